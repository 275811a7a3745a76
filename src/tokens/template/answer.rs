//! What the assistant generates, as a template writes it at the end of a chat.

use jiff::civil::DateTime;

use super::letters::is_space;
use super::{Conversation, SeenMessages, TODAY, Template};
use crate::record::prompt::{Chat, Message};

/// A text that no template has of its own, with blanks around it that some take away.
const MARK: &str = "kvtrace-answer";
const BLANKS: &str = " \n ";

/// How a template writes a turn of the assistant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerForm {
    trims_start: bool,
    trims_end: bool,
    /// What ends the turn, if that is known.
    end: Option<String>,
}

impl AnswerForm {
    /// The text of a turn as it stands in the past of a chat: without blanks that the template takes away.
    pub fn text<'t>(&self, mut text: &'t str) -> &'t str {
        if self.trims_start {
            text = text.trim_start_matches(is_space);
        }
        if self.trims_end {
            text = text.trim_end_matches(is_space);
        }
        text
    }
}

impl Template {
    /// How it writes a turn of the assistant, found out by means of a small chat.
    pub fn answer_form(&self) -> AnswerForm {
        self.form_of_mark().unwrap_or_default()
    }

    fn form_of_mark(&self) -> Option<AnswerForm> {
        let blanks = BLANKS.replace('\n', "\\n");
        let answer = format!(r#"{{"role": "assistant", "content": "{blanks}{MARK}{blanks}"}}"#);
        let question = Message::new("user", r#"{"role": "user", "content": "question"}"#);
        let messages = vec![question, Message::new("assistant", &answer)];
        let chat = Chat { messages, ..Chat::default() };
        let chat = self.conversation(&chat, &mut SeenMessages::new(0)).ok()?;
        let mut text = String::new();
        self.write(&chat, 2, TODAY, false, &mut text).ok()?;
        let (before, after) = text.split_once(MARK)?;
        let end = after.strip_prefix(BLANKS);
        Some(AnswerForm {
            trims_start: !before.ends_with(BLANKS),
            trims_end: end.is_none(),
            end: Some(end.unwrap_or(after).to_owned()),
        })
    }

    /// What the assistant says in message `answer`, reasoning and calls of tools included, as it follows the text
    /// of its `prompt`, which was made at the time `now`; `None` where the template does not write it so.
    pub fn answer(
        &self,
        chat: &Conversation,
        answer: usize,
        now: DateTime,
        prompt: &str,
        form: &AnswerForm,
    ) -> Option<String> {
        let mut text = String::new();
        self.write(chat, answer + 1, now, false, &mut text).ok()?;
        let said = text.strip_prefix(prompt)?.strip_suffix(form.end.as_deref()?)?;
        Some(said.to_owned())
    }
}
