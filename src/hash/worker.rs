//! What is done for each line by itself: prompts to lengths and chained hashes.

use std::ops::Range;

use super::HashOptions;
use crate::blocks::{BlockChain, BlockHash};
use crate::record::prompt::{Chat, Content, OutputLength, PromptRecord, Turn};
use crate::tokens::template::{Messages, Template};
use crate::tokens::{Encoder, GrowingPrompt, chat};

/// The requests of a batch of lines.
#[derive(Default)]
pub(super) struct Hashed {
    pub(super) records: Vec<Fields>,
    pub(super) requests: Vec<Request>,
    pub(super) hashes: Vec<BlockHash>,
    /// Bad lines: which of the batch, and why.
    pub(super) rejected: Vec<(usize, String)>,
    /// Chats whose last question has not become a request.
    pub(super) unanswered: u64,
}

/// The fields of a record that each of its requests gets.
pub(super) struct Fields {
    pub(super) timestamp: Option<String>,
    pub(super) kept: Vec<(String, String)>,
}

/// One request: its record, how many of its first hashes are those of the request before, and where
/// the others end in [`Hashed::hashes`].
pub(super) struct Request {
    pub(super) record: usize,
    pub(super) line: usize,
    pub(super) input_length: u64,
    pub(super) output_length: u64,
    pub(super) shared: usize,
    pub(super) hashes_end: usize,
}

/// One thread's work and the memory for it.
pub(super) struct Worker {
    options: HashOptions,
    encoder: Encoder,
    chain: BlockChain,
    /// Tokens of the current prompt, and a chat's text as it is rendered; reused.
    tokens: Vec<u32>,
    text: String,
    growing: GrowingPrompt,
    /// The tokens of what ends a chat's prompt.
    invitation: Vec<u32>,
    /// The tokens in the middle of the answer counted last, and where the middle is.
    answer: Vec<u32>,
    middle: Option<Range<usize>>,
}

impl Worker {
    /// One of `workers`.
    pub(super) fn new(options: &HashOptions, workers: usize) -> Self {
        let memory = options.reuse / workers;
        let of_blocks = memory / 8;
        Self {
            encoder: Encoder::new(options.tokenizer.clone(), memory - of_blocks),
            chain: BlockChain::new(options.block_size, options.partial, options.scheme.clone())
                .with_memory(of_blocks),
            options: options.clone(),
            tokens: Vec::new(),
            text: String::new(),
            growing: GrowingPrompt::default(),
            invitation: Vec::new(),
            answer: Vec::new(),
            middle: None,
        }
    }

    /// Appends the requests of `line`, number `index` of its batch; a bad line leaves nothing but
    /// the reason.
    pub(super) fn line(&mut self, index: usize, line: &[u8], out: &mut Hashed) {
        let before = (out.records.len(), out.requests.len(), out.hashes.len());
        let done = PromptRecord::parse(line, &self.options.prompts)
            .and_then(|record| self.record(record, index, out));
        if let Err(reason) = done {
            out.records.truncate(before.0);
            out.requests.truncate(before.1);
            out.hashes.truncate(before.2);
            out.rejected.push((index, reason));
        }
    }

    fn record(&mut self, record: PromptRecord, line: usize, out: &mut Hashed) -> Result<(), String> {
        let output = match &record.output {
            OutputLength::Known(length) => *length,
            OutputLength::Text(text) => self.encoder.count(text)? as u64,
            OutputLength::Unknown => self.options.output_length,
        };
        out.records.push(Fields { timestamp: record.timestamp, kept: record.kept });
        match &record.content {
            Content::Texts(texts) => {
                for text in texts {
                    self.text(text)?;
                    self.request(0, output, line, out);
                }
            }
            Content::Tokens(lists) => {
                for tokens in lists {
                    self.tokens.clone_from(tokens);
                    self.request(0, output, line, out);
                }
            }
            Content::Chat(chat) => {
                match self.options.template.clone() {
                    Some(template) => self.templated(chat, &template, output, line, out)?,
                    None if self.options.reuse > 0 && self.encoder.tokenizer().turns_apart() => {
                        self.chat(chat, output, line, out)?;
                    }
                    None => self.whole_chat(chat, output, line, out)?,
                }
                out.unanswered += u64::from(chat.ends_unanswered());
            }
        }
        Ok(())
    }

    /// The tokens of a text, with special tokens around it if asked for.
    fn text(&mut self, text: &str) -> Result<(), String> {
        self.tokens.clear();
        if !self.options.special_tokens {
            return self.encoder.encode(text, &mut self.tokens);
        }
        let (before, after) = self.encoder.tokenizer().around(text)?;
        self.tokens.extend(before);
        self.encoder.encode(text, &mut self.tokens)?;
        self.tokens.extend(after);
        Ok(())
    }

    /// A chat's tokens are those of its turns one after the other (see [`chat`]), so each turn is
    /// tokenised and hashed once, however many requests begin with it.
    fn chat(&mut self, chat: &Chat, output: u64, line: usize, out: &mut Hashed) -> Result<(), String> {
        self.tokens.clear();
        let (mut done, mut known) = (0, 0);
        let mut answered = false;
        for &request in &chat.requests {
            for turn in &chat.turns[done..request] {
                self.turn(turn, std::mem::take(&mut answered))?;
            }
            done = request;
            let past = self.tokens.len();
            if self.invitation.is_empty() {
                self.encoder.encode(chat::INVITATION, &mut self.invitation)?;
            }
            self.tokens.extend_from_slice(&self.invitation);
            answered = chat.answer(request).is_some();
            let output = match chat.answer(request) {
                Some(text) => self.count_answer(text)?,
                None => output,
            };
            self.request(known, output, line, out);
            self.tokens.truncate(past);
            known = past;
        }
        Ok(())
    }

    /// Appends the tokens of a turn. If it is the answer counted last, most of them are known.
    fn turn(&mut self, turn: &Turn, answered: bool) -> Result<(), String> {
        self.text.clear();
        let Some(middle) = self.middle.clone().filter(|_| answered) else {
            chat::render_turn(turn, &mut self.text);
            return self.encoder.encode(&self.text, &mut self.tokens);
        };
        if middle.start == 0 {
            // What opens the turn is what has invited to it.
            self.tokens.extend_from_slice(&self.invitation);
        } else {
            chat::open_turn(&turn.role, &mut self.text);
            self.text.push_str(&turn.text[..middle.start]);
            self.encoder.encode(&self.text, &mut self.tokens)?;
        }
        self.tokens.extend_from_slice(&self.answer);
        self.text.clear();
        self.text.push_str(&turn.text[middle.end..]);
        chat::close_turn(&mut self.text);
        self.encoder.encode(&self.text, &mut self.tokens)
    }

    /// The number of tokens of an answer. Those of its middle are kept: the answer is a turn of the
    /// next request.
    fn count_answer(&mut self, text: &str) -> Result<u64, String> {
        self.middle = self.encoder.middle(text);
        self.answer.clear();
        let Some(middle) = self.middle.clone() else {
            return Ok(self.encoder.count(text)? as u64);
        };
        self.encoder.encode(&text[middle.clone()], &mut self.answer)?;
        let ends = self.encoder.count(&text[..middle.start])? + self.encoder.count(&text[middle.end..])?;
        Ok((self.answer.len() + ends) as u64)
    }

    /// A chat in the default template, for tokenizers that must see the whole text, and where nothing
    /// is to be reused.
    fn whole_chat(&mut self, chat: &Chat, output: u64, line: usize, out: &mut Hashed) -> Result<(), String> {
        for &request in &chat.requests {
            self.text.clear();
            chat::render(&chat.turns[..request], &mut self.text);
            self.tokens.clear();
            self.encoder.encode(&self.text, &mut self.tokens)?;
            let output = self.answer(chat, request, output)?;
            self.request(0, output, line, out);
        }
        Ok(())
    }

    /// A chat in the user's template, which may render the past otherwise in each request: what is
    /// the same text is not tokenised again.
    fn templated(
        &mut self,
        chat: &Chat,
        template: &Template,
        output: u64,
        line: usize,
        out: &mut Hashed,
    ) -> Result<(), String> {
        let messages = Messages::new(chat)?;
        let grows = chat.requests.len() > 1 && self.options.reuse > 0;
        self.growing.clear();
        for &request in &chat.requests {
            self.text.clear();
            template.render(&messages, request, &mut self.text)?;
            let mut known = 0;
            if grows {
                known = self.growing.advance(&self.text, &mut self.encoder)?;
                self.tokens.clear();
                self.tokens.extend_from_slice(self.growing.tokens());
            } else {
                self.tokens.clear();
                self.encoder.encode(&self.text, &mut self.tokens)?;
            }
            let output = self.answer(chat, request, output)?;
            self.request(known, output, line, out);
        }
        Ok(())
    }

    /// The output length of a chat's request: that of the turn which answers it, if there is one.
    fn answer(&mut self, chat: &Chat, request: usize, output: u64) -> Result<u64, String> {
        match chat.answer(request) {
            Some(text) => Ok(self.encoder.count(text)? as u64),
            None => Ok(output),
        }
    }

    /// Appends the request whose prompt is in `self.tokens`; the first `known` of them are those of
    /// the request before.
    fn request(&mut self, known: usize, output_length: u64, line: usize, out: &mut Hashed) {
        let (shared, new) = self.chain.new_hashes(&self.tokens, known);
        out.hashes.extend_from_slice(new);
        out.requests.push(Request {
            record: out.records.len() - 1,
            line,
            input_length: self.chain.kept(self.tokens.len()) as u64,
            output_length,
            shared,
            hashes_end: out.hashes.len(),
        });
    }
}
