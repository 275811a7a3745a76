//! What is done for each line by itself: prompts to lengths and chained hashes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::DateTime;

use super::decision::Decision;
use super::hashed::{Fields, Hashed, Request};
use super::options::HashOptions;
use super::output::{Answer, Output};
use super::prefixes::Prefixes;
use super::prompt::{Layout, Prompt, Source, Turn as Part, told_apart};
use crate::blocks::{BlockChain, BlockHash, Scheme};
use crate::error::Invalid;
use crate::record::formats::Format;
use crate::record::prompt::{
    self, Chat, Content, Generated, Keys, OutputLength, PromptReader, PromptRecord, Timestamp,
};
use crate::record::recent::Recent;
use crate::tokens::chat::{self, Turn};
use crate::tokens::template::{AnswerForm, Conversation, SeenMessages, TODAY, Template};
use crate::tokens::{Encoder, GrowingPrompt};

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
    /// How the template writes answers.
    form: AnswerForm,
    /// Whether the answer in the chat is one that was recorded beside the prompt.
    recorded: bool,
    /// The answer of the current request, and the tokens in the middle of the answer counted last with the
    /// place where the middle is.
    answer: Answer,
    kept: Vec<u32>,
    middle: Option<Range<usize>>,
    /// What the tokens are of, where prompts are to be explained.
    layout: Layout,
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
            form: options
                .template
                .as_ref()
                .filter(|_| options.prompts.answers)
                .map(|t| t.answer_form())
                .unwrap_or_default(),
            options: options.clone(),
            tokens: Vec::new(),
            text: String::new(),
            growing: GrowingPrompt::default(),
            invitation: Vec::new(),
            recorded: false,
            answer: Answer::default(),
            kept: Vec::new(),
            middle: None,
            layout: Layout::Ids,
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
            mut content,
            output,
            answer,
            timestamp,
            unread_time,
            cached_tokens,
            cache_write_tokens,
            recorded_input_length,
            keys,
            features,
            kept,
            remarks,
            places,
        } = record;
        self.chain.set_keys(&keys);
        self.chain.set_features(&features);
        let output = self.output(&output)?;
        self.recorded_answer(answer, &mut content)?;
        let now = timestamp.as_ref().and_then(Timestamp::date).unwrap_or(TODAY);
        let source = self.explains().then(|| Source::new(keys.clone(), places, &content));
        out.records.push(Fields {
            timestamp,
            cached_tokens,
            cache_write_tokens,
            recorded_input_length,
            kept,
            source,
        });
        out.counts.add(&remarks);
        out.unread_time = out.unread_time.take().or(unread_time.map(|what| (line, what)));
        out.counts.without_features +=
            u64::from(!features.is_empty() && matches!(self.options.scheme, Scheme::Dynamo { .. }));
        if let Content::Chat(chat) = &content
            && self.options.template.is_none()
        {
            out.counts.without_template += u64::from(self.encoder.tokenizer().is_of_model());
            out.counts.without_documents += u64::from(chat.has_documents());
        }
        match &content {
            Content::Texts(texts) => {
                for (item, text) in texts.iter().enumerate() {
                    self.text(text)?;
                    if self.explains() {
                        self.layout = Layout::Text { text: text.clone(), item };
                    }
                    self.request(0, output, line, out);
                }
            }
            Content::Tokens(lists) => {
                self.layout = Layout::Ids;
                for tokens in lists {
                    self.tokens.clone_from(tokens);
                    self.request(0, output, line, out);
                }
            }
            Content::Chat(chat) => match self.options.template.clone() {
                Some(template) => self.templated(chat, &template, now, output, line, out)?,
                // Places are told by turns, whether these are kept or not.
                None if (self.options.reuse > 0 || self.explains())
                    && self.encoder.tokenizer().turns_apart() =>
                {
                    self.chat(chat, &keys, output, line, out)?;
                }
                None => self.whole_chat(chat, output, line, out)?,
            },
        }
        Ok(())
    }

    /// The output length that a record states, or that of the answer beside its prompt.
    fn output(&mut self, length: &OutputLength) -> Result<Output, Invalid> {
        if let Some(stated) = Output::stated(length) {
            return Ok(stated);
        }
        let mut tokens = 0;
        match length {
            OutputLength::Text(text) => tokens = self.encoder.count(text)?,
            OutputLength::Answer(messages) => {
                for message in messages {
                    tokens += self.encoder.count(&Turn::of_message(message)?.text)?;
                }
            }
            _ => {}
        }
        Ok(Output::Counted(tokens as u64))
    }

    /// Takes note of the answer that stands beside a prompt. A message becomes the turn of the chat that
    /// follows the prompt.
    fn recorded_answer(
        &mut self,
        answer: Option<prompt::Answer>,
        content: &mut Content,
    ) -> Result<(), Invalid> {
        self.answer.forget();
        self.recorded = false;
        let Some(prompt::Answer { generated, stopped }) = answer else { return Ok(()) };
        self.answer.stopped = stopped;
        match (generated, content) {
            (Generated::Tokens(tokens), _) => {
                self.answer.tokens = tokens;
                self.answer.is_known = true;
            }
            (Generated::Text(text), _) => {
                self.encoder.encode(&text, &mut self.answer.tokens)?;
                self.answer.is_known = true;
            }
            (Generated::Messages(messages), Content::Chat(chat))
                if messages.len() == 1 && chat.requests == [chat.messages.len()] && !chat.continues() =>
            {
                chat.messages.extend(messages);
                self.recorded = true;
            }
            (Generated::Messages(messages), Content::Texts(_) | Content::Tokens(_)) => {
                if let [message] = &messages[..] {
                    self.encoder.encode(&Turn::of_message(message)?.text, &mut self.answer.tokens)?;
                    self.answer.is_known = true;
                }
            }
            (Generated::Messages(_), Content::Chat(_)) => {}
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
        self.layout = Layout::Turns(Vec::new());
        self.chain.begin();
        let mut prefix = Some(self.prefixes.empty(keys));
        if let Some(tools) = &chat.tools {
            self.known_turn(tools.id, || Ok(Turn::of_tools(tools)))?;
            self.part(Part::Tools);
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
                self.part(Part::Message(i));
            }
            done = request;
            let past = self.tokens.len();
            if chat.invites() {
                if self.invitation.is_empty() {
                    self.encoder.encode(chat::INVITATION, &mut self.invitation)?;
                }
                self.tokens.extend_from_slice(&self.invitation);
                self.part(Part::Invitation);
            }
            answer = chat.answer(request).map(Turn::of_message).transpose()?;
            let counted = match &answer {
                Some(answer) if output.yields(chat) || self.options.prompts.answers => {
                    Some(self.count_answer(&answer.text)?)
                }
                _ => {
                    answer = None;
                    None
                }
            };
            let output = counted.filter(|_| output.yields(chat)).map_or(output, Output::Counted);
            let hashed = if std::mem::take(&mut begun) { self.chain.hashed() } else { known };
            self.request_after(known, hashed, output, line, out);
            if let Layout::Turns(parts) = &mut self.layout {
                parts.pop_if(|(_, part)| *part == Part::Invitation);
            }
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
        self.tokens.extend_from_slice(&self.kept);
        self.text.clear();
        self.text.push_str(&turn.text[middle.end..]);
        chat::close_turn(&mut self.text);
        self.encoder.encode(&self.text, &mut self.tokens)
    }

    /// The number of tokens of an answer. Those of its middle are kept: the answer is a turn of the
    /// next request.
    fn count_answer(&mut self, text: &str) -> Result<u64, Invalid> {
        self.middle = self.encoder.middle(text);
        self.kept.clear();
        self.begin_answer();
        let tokens = &mut self.answer.tokens;
        let Some(middle) = self.middle.clone() else {
            self.encoder.encode(text, tokens)?;
            return Ok(tokens.len() as u64);
        };
        self.encoder.encode(&text[..middle.start], tokens)?;
        let before = tokens.len();
        self.encoder.encode(&text[middle.clone()], tokens)?;
        self.kept.extend_from_slice(&tokens[before..]);
        self.encoder.encode(&text[middle.end..], tokens)?;
        Ok(tokens.len() as u64)
    }

    /// The turn whose tokens follow is the answer of the request.
    fn begin_answer(&mut self) {
        self.answer.forget();
        self.answer.is_known = true;
        // Whoever has said all of a turn has ended it.
        if !self.recorded {
            self.answer.stopped = true;
        }
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
            self.keep_text(request);
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
            self.as_generated(chat, &conversation, template, request, now)?;
            self.keep_text(request);
            self.request(known, output, line, out);
        }
        Ok(())
    }

    /// The output length of a chat's request: that of the turn which answers it, if there is one.
    fn answer(&mut self, chat: &Chat, request: usize, output: Output) -> Result<Output, Invalid> {
        match chat.answer(request) {
            Some(answer) if output.yields(chat) || self.options.prompts.answers => {
                self.begin_answer();
                self.encoder.encode(&Turn::of_message(answer)?.text, &mut self.answer.tokens)?;
                let counted = Output::Counted(self.answer.tokens.len() as u64);
                Ok(if output.yields(chat) { counted } else { output })
            }
            _ => Ok(output),
        }
    }

    /// Where the answer of a chat's request is asked for, its tokens as the model that the template is of has
    /// generated them.
    fn as_generated(
        &mut self,
        chat: &Chat,
        conversation: &Conversation,
        template: &Template,
        request: usize,
        now: DateTime,
    ) -> Result<(), Invalid> {
        let Some(answer) = chat.answer(request).filter(|_| self.options.prompts.answers) else {
            return Ok(());
        };
        let said;
        let text = match &answer.text {
            Some(_) if self.recorded => return Ok(()),
            // As it was counted.
            Some(text) if self.form.text(text).len() == text.len() => return Ok(()),
            Some(text) => self.form.text(text),
            None => {
                said = template.answer(conversation, request, now, &self.text, &self.form);
                self.answer.is_known = said.is_some();
                said.as_deref().unwrap_or_default()
            }
        };
        self.answer.tokens.clear();
        self.encoder.encode(text, &mut self.answer.tokens)
    }

    /// Appends the request whose prompt is in `self.tokens`; the first `known` of them are those of
    /// the request before.
    fn request(&mut self, known: usize, output: Output, line: usize, out: &mut Hashed) {
        self.request_after(known, known, output, line, out);
    }

    /// The same where the blocks of the first `begun` tokens have been hashed.
    fn request_after(&mut self, known: usize, begun: usize, output: Output, line: usize, out: &mut Hashed) {
        let shared = known.min(self.chain.kept(self.tokens.len())) / self.options.block_size;
        let hashes = self.chain.hashes(&self.tokens, begun);
        out.hashes.extend_from_slice(&hashes[shared..]);
        let hashes_end = out.hashes.len();
        let answers = self.options.prompts.answers;
        let answered = if answers { self.answer.length(output, &mut out.counts) } else { None };
        if let Some(length) = answered {
            self.hash_answer(length, &mut out.hashes);
        }
        let default = self.options.output_length;
        let output_length = answered.or_else(|| output.length(default, &mut out.counts));
        out.requests.push(Request {
            record: out.records.len() - 1,
            line,
            input_length: self.tokens.len() as u64,
            output_length,
            shared,
            hashes_end,
            answer_end: answered.map(|_| out.hashes.len()),
            prompt: self.explains().then(|| Prompt {
                tokens: told_apart(&self.tokens, self.chain.features()),
                layout: self.layout.clone(),
            }),
        });
    }

    /// Whether prompts are to be explained.
    fn explains(&self) -> bool {
        self.options.prompts.places
    }

    /// The tokens up to here are those of `part`.
    fn part(&mut self, part: Part) {
        if let (true, Layout::Turns(parts)) = (self.options.prompts.places, &mut self.layout) {
            parts.push((self.tokens.len(), part));
        }
    }

    /// The tokens are those of the text, which has so many messages.
    fn keep_text(&mut self, messages: usize) {
        if self.explains() {
            self.layout = Layout::Chat { text: self.text.clone(), messages };
        }
    }

    /// Appends the hashes of the blocks that become full with the answer, which is so long. Its last token is
    /// sampled and never computed; that is the stop token, if there is one, so it need not be known.
    fn hash_answer(&mut self, length: u64, hashes: &mut Vec<BlockHash>) {
        let computed = length.saturating_sub(1) as usize;
        let prompt = self.tokens.len();
        self.tokens.extend_from_slice(&self.answer.tokens[..computed]);
        let end = (prompt + computed) / self.options.block_size;
        hashes.extend_from_slice(self.chain.answer(&self.tokens, prompt, end));
        self.tokens.truncate(prompt);
    }
}
