//! The library by itself: what lines of prompts are read as, and what chat templates make of chats.

mod chat_templates;
mod prompt_apis;
mod prompt_lines;

use kvtrace::record::prompt::PromptOptions;

/// The default options, but for what `set` changes.
fn options(set: impl FnOnce(&mut PromptOptions)) -> PromptOptions {
    let mut options = PromptOptions::default();
    set(&mut options);
    options
}
