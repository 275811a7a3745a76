//! What is done for each line by itself: prompts to lengths and chained hashes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::DateTime;

use super::decision::Decision;
use super::options::HashOptions;
use super::prefixes::Prefixes;
use crate::blocks::{BlockChain, BlockHash};
use crate::error::Invalid;
use crate::record::formats::Format;
use crate::record::prompt::{
    Chat, Content, Keys, OutputLength, PromptReader, PromptRecord, Remarks, Timestamp, Turns,
};
use crate::record::recent::Recent;
use crate::tokens::chat::{self, Turn};
use crate::tokens::template::{SeenMessages, TODAY, Template};
use crate::tokens::{Encoder, GrowingPrompt};

/// The requests of a batch of lines.
#[derive(Default)]
pub(super) struct Hashed {
    pub(super) records: Vec<Fields>,
    pub(super) requests: Vec<Request>,
    pub(super) hashes: Vec<BlockHash>,
    /// Bad lines: which of the batch, and why.
    pub(super) rejected: Vec<(usize, String)>,
    /// What was remarkable about the records.
    pub(super) counts: Counts,
}

/// The fields of a record that each of its requests gets.
pub(super) struct Fields {
    pub(super) timestamp: Option<Timestamp>,
    pub(super) cached_tokens: Option<u64>,
    pub(super) recorded_input_length: Option<u64>,
    pub(super) kept: Vec<(String, String)>,
}

/// One request: its record, how many of its first hashes are those of the request before, and where
/// the others end in [`Hashed::hashes`].
pub(super) struct Request {
    pub(super) record: usize,
    pub(super) line: usize,
    pub(super) input_length: u64,
    pub(super) output_length: Option<u64>,
    pub(super) shared: usize,
    pub(super) hashes_end: usize,
}

/// What the user is told at the end: how many records or requests there were of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Chats with answers in them that were taken as one request.
    pub taken_as_requests: u64,
    /// Chats with answers in them that were taken as a request per answer.
    pub taken_as_chats: u64,
    /// Chats that were taken otherwise than they look, since the first one decides.
    pub look_otherwise: u64,
    /// Chats whose last question has not become a request.
    pub unanswered: u64,
    /// Answers at the start of a chat, which have not become requests.
    pub unasked: u64,
    /// Parts of messages for whose text something else stands, such as images.
    pub stand_ins: u64,
    /// Records with earlier turns that only the server has.
    pub continued: u64,
    /// Chats in the default template although the tokenizer belongs to a model.
    pub without_template: u64,
    /// Requests whose output length is the greatest that was allowed.
    pub limits: u64,
    /// Requests without an output length.
    pub without_output: u64,
    /// Requests without a time.
    pub without_time: u64,
}

impl Counts {
    /// Adds what a record was read with.
    fn add(&mut self, remarks: &Remarks) {
        self.taken_as_requests += u64::from(remarks.turns == Some(Turns::Last));
        self.taken_as_chats += u64::from(remarks.turns == Some(Turns::Each));
        self.look_otherwise += u64::from(remarks.looks_otherwise);
        self.unanswered += u64::from(remarks.unanswered);
        self.continued += u64::from(remarks.continued);
        self.stand_ins += remarks.stand_ins;
        self.unasked += remarks.unasked;
    }

    /// Adds those of other records.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.taken_as_requests += other.taken_as_requests;
        self.taken_as_chats += other.taken_as_chats;
        self.look_otherwise += other.look_otherwise;
        self.unanswered += other.unanswered;
        self.stand_ins += other.stand_ins;
        self.continued += other.continued;
        self.limits += other.limits;
        self.without_output += other.without_output;
        self.without_time += other.without_time;
        self.without_template += other.without_template;
        self.unasked += other.unasked;
    }
}

/// The output length of a record's requests, and where it is from.
#[derive(Clone, Copy)]
enum Output {
    Reported(u64),
    Counted(u64),
    Limit(u64),
    Unknown,
}

impl Output {
    /// Whether the answers in `chat` tell more: a report is about the whole of a record.
    fn yields(self, chat: &Chat) -> bool {
        !matches!(self, Self::Reported(_)) || chat.requests.len() > 1
    }

    /// The length, or `default`; counts what is no length of this request.
    fn length(self, default: Option<u64>, out: &mut Hashed) -> Option<u64> {
        match self {
            Self::Reported(length) | Self::Counted(length) => Some(length),
            Self::Limit(length) => {
                out.counts.limits += 1;
                Some(length)
            }
            Self::Unknown => {
                out.counts.without_output += u64::from(default.is_none());
                default
            }
        }
    }
}

/// What is wrong with a line; where it is of a trace, that comes first.
#[cold]
fn advised(line: &[u8], reason: String) -> String {
    match Format::of_trace(line) {
        Some(format) => format!(
            "a record of a trace ({format}), not a prompt: read it with trace-stats, trace-synth or trace-cat ({reason})"
        ),
        None => reason,
    }
}

/// One thread's work and the memory for it.
pub(super) struct Worker {
    options: HashOptions,
    /// The number of the current batch.
    batch: Arc<AtomicU64>,
    reader: PromptReader,
    encoder: Encoder,
    /// The tokens of turns by the ids of their messages.
    turns: Recent<Box<[u32]>>,
    /// Messages that a template was given before.
    messages: SeenMessages,
    chain: BlockChain,
    /// The blocks of the messages that chats have begun with.
    prefixes: Prefixes,
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
    /// One of `workers`, whose chats are all taken in one way.
    pub(super) fn new(options: &HashOptions, workers: usize, decision: Arc<Decision>) -> Self {
        let memory = options.reuse / workers;
        let (of_blocks, of_messages) = (memory / 8, memory / 4);
        let of_texts = memory - 2 * of_blocks - 2 * of_messages;
        let batch = Arc::new(AtomicU64::new(0));
        let current = batch.clone();
        let reader = PromptReader::new(options.prompts.clone(), of_messages);
        Self {
            batch,
            reader: reader.deciding_by(move |looks| decision.taken(current.load(Ordering::Relaxed), looks)),
            encoder: Encoder::new(options.tokenizer.clone(), of_texts),
            turns: Recent::new(of_messages),
            messages: SeenMessages::new(of_messages),
            chain: BlockChain::new(options.block_size, options.partial, options.scheme.clone())
                .with_memory(of_blocks),
            prefixes: Prefixes::new(of_blocks),
            options: options.clone(),
            tokens: Vec::new(),
            text: String::new(),
            growing: GrowingPrompt::default(),
            invitation: Vec::new(),
            answer: Vec::new(),
            middle: None,
        }
    }

    /// The lines that follow are those of this batch.
    pub(super) fn begin(&mut self, batch: u64) {
        self.batch.store(batch, Ordering::Relaxed);
    }

    /// Appends the requests of `line`, number `index` of its batch; a bad line leaves nothing but
    /// the reason.
    pub(super) fn line(&mut self, index: usize, line: &[u8], out: &mut Hashed) {
        let before = (out.records.len(), out.requests.len(), out.hashes.len(), out.counts);
        let done = self.reader.read(line).and_then(|record| self.record(record, index, out));
        if let Err(reason) = done {
            out.records.truncate(before.0);
            out.requests.truncate(before.1);
            out.hashes.truncate(before.2);
            out.counts = before.3;
            out.rejected.push((index, advised(line, reason.message)));
        }
    }

    fn record(&mut self, record: PromptRecord, line: usize, out: &mut Hashed) -> Result<(), Invalid> {
        let PromptRecord {
            content,
            output,
            timestamp,
            cached_tokens,
            recorded_input_length,
            keys,
            kept,
            remarks,
        } = record;
        self.chain.set_keys(&keys);
        let output = match &output {
            OutputLength::Known(length) => Output::Reported(*length),
            OutputLength::Text(text) => Output::Counted(self.encoder.count(text)? as u64),
            OutputLength::Answer(messages) => {
                let mut length = 0;
                for message in messages {
                    length += self.encoder.count(&Turn::of_message(message)?.text)?;
                }
                Output::Counted(length as u64)
            }
            OutputLength::Limit(length) => Output::Limit(*length),
            OutputLength::Unknown => Output::Unknown,
        };
        let now = timestamp.as_ref().and_then(Timestamp::date).unwrap_or(TODAY);
        out.records.push(Fields { timestamp, cached_tokens, recorded_input_length, kept });
        out.counts.add(&remarks);
        if matches!(content, Content::Chat(_)) && self.options.template.is_none() {
            out.counts.without_template += u64::from(self.encoder.tokenizer().is_of_model());
        }
        match &content {
            Content::Texts(texts) => {
                for text in texts {
                    self.text(text)?;
                    self.request(0, output.length(self.options.output_length, out), line, out);
                }
            }
            Content::Tokens(lists) => {
                for tokens in lists {
                    self.tokens.clone_from(tokens);
                    self.request(0, output.length(self.options.output_length, out), line, out);
                }
            }
            Content::Chat(chat) => match self.options.template.clone() {
                Some(template) => self.templated(chat, &template, now, output, line, out)?,
                None if self.options.reuse > 0 && self.encoder.tokenizer().turns_apart() => {
                    self.chat(chat, &keys, output, line, out)?;
                }
                None => self.whole_chat(chat, output, line, out)?,
            },
        }
        Ok(())
    }

    /// The tokens of a text, with special tokens around it if asked for.
    fn text(&mut self, text: &str) -> Result<(), Invalid> {
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
    fn chat(
        &mut self,
        chat: &Chat,
        keys: &Keys,
        output: Output,
        line: usize,
        out: &mut Hashed,
    ) -> Result<(), Invalid> {
        self.tokens.clear();
        self.chain.begin();
        let mut prefix = Some(self.prefixes.empty(keys));
        if let Some(tools) = &chat.tools {
            self.known_turn(tools.id, || Ok(Turn::of_tools(tools)))?;
            self.prefix(&mut prefix, tools.id);
        }
        let (mut done, mut known, mut begun) = (0, 0, true);
        let mut answer: Option<Turn<'_>> = None;
        for &request in &chat.requests {
            for (i, message) in (done..request).zip(&chat.messages[done..request]) {
                if let Some(answer) = answer.take() {
                    self.turn(&answer, true)?;
                } else if chat.continues() && i + 1 == chat.messages.len() {
                    prefix = None;
                    self.open_turn(&Turn::of_message(message)?)?;
                } else {
                    self.known_turn(message.id, || Turn::of_message(message))?;
                }
                self.prefix(&mut prefix, message.id);
            }
            done = request;
            let past = self.tokens.len();
            if chat.invites() {
                if self.invitation.is_empty() {
                    self.encoder.encode(chat::INVITATION, &mut self.invitation)?;
                }
                self.tokens.extend_from_slice(&self.invitation);
            }
            answer = chat.answer(request).map(Turn::of_message).transpose()?;
            let counted = match &answer {
                Some(answer) if output.yields(chat) => Some(self.count_answer(&answer.text)?),
                _ => {
                    answer = None;
                    None
                }
            };
            let output = counted.map_or(output, Output::Counted);
            let output_length = output.length(self.options.output_length, out);
            let hashed = if std::mem::take(&mut begun) { self.chain.hashed() } else { known };
            self.request_after(known, hashed, output_length, line, out);
            // Other blocks have been hashed than those of the messages alone.
            prefix = None;
            self.tokens.truncate(past);
            known = past;
        }
        Ok(())
    }

    /// Appends the tokens of a turn that may have been tokenised before, under the id of its message.
    fn known_turn<'t>(
        &mut self,
        id: Option<u64>,
        turn: impl FnOnce() -> Result<Turn<'t>, Invalid>,
    ) -> Result<(), Invalid> {
        if let Some(tokens) = id.and_then(|id| self.turns.get(id)) {
            self.tokens.extend_from_slice(tokens);
            return Ok(());
        }
        let start = self.tokens.len();
        self.turn(&turn()?, false)?;
        if let Some(id) = id {
            let tokens: Box<[u32]> = self.tokens[start..].into();
            let bytes = 4 * tokens.len() + 64;
            self.turns.insert(id, tokens, bytes);
        }
        Ok(())
    }

    /// Hashes the blocks up to the end of a message, whose tokens have been appended to those of the messages of
    /// the list `prefix`, which becomes the longer list; it is none where a message has no id.
    fn prefix(&mut self, prefix: &mut Option<u64>, message: Option<u64>) {
        *prefix = prefix.zip(message).map(|(before, message)| {
            if let Some((number, hashes)) = self.prefixes.longer(before, message) {
                self.chain.extend(hashes);
                return number;
            }
            let hashes = self.chain.full_blocks(&self.tokens);
            self.prefixes.insert(before, message, hashes)
        });
    }

    /// Appends the tokens of a turn that has no end.
    fn open_turn(&mut self, turn: &Turn<'_>) -> Result<(), Invalid> {
        self.text.clear();
        chat::open_turn(&turn.role, &mut self.text);
        self.text.push_str(&turn.text);
        self.encoder.encode(&self.text, &mut self.tokens)
    }

    /// Appends the tokens of a turn. If it is the answer counted last, most of them are known.
    fn turn(&mut self, turn: &Turn<'_>, answered: bool) -> Result<(), Invalid> {
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
    fn count_answer(&mut self, text: &str) -> Result<u64, Invalid> {
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
    fn whole_chat(
        &mut self,
        chat: &Chat,
        output: Output,
        line: usize,
        out: &mut Hashed,
    ) -> Result<(), Invalid> {
        let tools = chat.tools.as_ref().map(Turn::of_tools);
        let turns = chat.messages.iter().map(Turn::of_message).collect::<Result<Vec<_>, _>>()?;
        for &request in &chat.requests {
            self.text.clear();
            tools.iter().for_each(|tools| chat::render_turn(tools, &mut self.text));
            turns[..request].iter().for_each(|turn| chat::render_turn(turn, &mut self.text));
            if chat.continues() {
                let end = self.text.len() - chat::END.len();
                self.text.truncate(end);
            }
            if chat.invites() {
                self.text.push_str(chat::INVITATION);
            }
            self.tokens.clear();
            self.encoder.encode(&self.text, &mut self.tokens)?;
            let output = self.answer(chat, request, output)?;
            self.request(0, output.length(self.options.output_length, out), line, out);
        }
        Ok(())
    }

    /// A chat in the user's template, which may render the past otherwise in each request: what is
    /// the same text is not tokenised again.
    fn templated(
        &mut self,
        chat: &Chat,
        template: &Template,
        now: DateTime,
        output: Output,
        line: usize,
        out: &mut Hashed,
    ) -> Result<(), Invalid> {
        let conversation = template.conversation(chat, &mut self.messages)?;
        let grows = chat.requests.len() > 1 && self.options.reuse > 0;
        self.growing.clear();
        for &request in &chat.requests {
            self.text.clear();
            template.render(&conversation, request, now, &mut self.text)?;
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
            self.request(known, output.length(self.options.output_length, out), line, out);
        }
        Ok(())
    }

    /// The output length of a chat's request: that of the turn which answers it, if there is one.
    fn answer(&mut self, chat: &Chat, request: usize, output: Output) -> Result<Output, Invalid> {
        match chat.answer(request) {
            Some(answer) if output.yields(chat) => {
                Ok(Output::Counted(self.encoder.count(&Turn::of_message(answer)?.text)? as u64))
            }
            _ => Ok(output),
        }
    }

    /// Appends the request whose prompt is in `self.tokens`; the first `known` of them are those of
    /// the request before.
    fn request(&mut self, known: usize, output_length: Option<u64>, line: usize, out: &mut Hashed) {
        self.request_after(known, known, output_length, line, out);
    }

    /// The same where the blocks of the first `begun` tokens have been hashed.
    fn request_after(
        &mut self,
        known: usize,
        begun: usize,
        output_length: Option<u64>,
        line: usize,
        out: &mut Hashed,
    ) {
        let shared = known.min(self.chain.kept(self.tokens.len())) / self.options.block_size;
        let hashes = self.chain.hashes(&self.tokens, begun);
        out.hashes.extend_from_slice(&hashes[shared..]);
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
