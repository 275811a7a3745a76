//! Tokenizers: text to token ids.
//!
//! Two need no file: the embedded vocabulary `o200k_base`, and `bytes`. Any other is read from a
//! `tokenizer.json` of Hugging Face. A [`Tokenizer`] is shared by all threads; each has an [`Encoder`]
//! with the memory it works in.
//!
//! The embedded tokenizers read the names of special tokens (`<|endoftext|>`) as the ordinary text
//! that they are in a prompt; those from files know their added tokens, as their models do.
//!
//! What the same text was tokenised to before is used again, on three scales: words (in `bpe`), chunks
//! of a prompt that occur in others (`chunk_cache`), and the prompt that the next one continues
//! ([`GrowingPrompt`]). On a log of agent requests, where nearly all text is sent again, this makes the
//! run five times as fast.

mod added_tokens;
mod bpe;
mod characters;
pub mod chat;
mod chunk_cache;
mod decoder;
mod embedded;
mod encoder;
mod file;
mod find_words;
mod frame;
mod general;
mod growing_prompt;
mod hub;
mod oniguruma;
mod scanner;
mod split;
pub mod template;
mod tokenizer;
mod unicode_patch;
mod vocabulary;
mod words;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use frame::Frame;
pub use growing_prompt::GrowingPrompt;
pub use hub::{find_model, is_model_name};
pub use tokenizer::{DEFAULT, FILE_NAME, Tokenizer};
pub use words::Words;
