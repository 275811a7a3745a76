//! Prompts to trace lines: tokens, blocks, ids in the order of first appearance.

use crate::blocks::{BlockChain, KeyTable, Partial};
use crate::record::prompt::{Chat, Content, OutputLength, PromptOptions, PromptRecord};
use crate::tokens::{Tokenizer, chat};

/// Output length of a request whose record says nothing about it, as in the reference.
pub const DEFAULT_OUTPUT_LENGTH: u64 = 500;

/// How prompts become trace lines.
#[derive(Clone, Debug)]
pub struct HashOptions {
    /// Where the prompts are in a line.
    pub prompts: PromptOptions,
    /// What cuts them into tokens.
    pub tokenizer: Tokenizer,
    /// Tokens per block, at least 1.
    pub block_size: usize,
    /// What happens to the tokens after the last full block.
    pub partial: Partial,
    /// Output length where the record says nothing.
    pub output_length: u64,
}

/// Writes the trace lines of prompts, one input line at a time.
///
/// Memory grows with the distinct blocks: 18 to 23 bytes each.
pub struct PromptHasher {
    options: HashOptions,
    chain: BlockChain,
    ids: KeyTable<[u32; 3]>,
    requests: u64,
    /// Tokens of the current prompt, and a chat's text as it is rendered; reused.
    tokens: Vec<u32>,
    text: String,
}

/// The fields of a record that each of its requests gets.
struct Shared<'a> {
    timestamp: &'a str,
    kept: &'a [(String, String)],
}

impl PromptHasher {
    /// A hasher that has seen no block yet.
    pub fn new(options: HashOptions) -> Self {
        let chain = BlockChain::new(options.block_size, options.partial);
        Self {
            options,
            chain,
            ids: KeyTable::default(),
            requests: 0,
            tokens: Vec::new(),
            text: String::new(),
        }
    }

    /// Number of requests written so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Appends one trace line per request of `line`.
    ///
    /// # Errors
    /// What is wrong with the line, without its place; nothing has been appended then.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let record = PromptRecord::parse(line, &self.options.prompts)?;
        let before = out.len();
        let written = self.record(&record, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn record(&mut self, record: &PromptRecord, out: &mut Vec<u8>) -> Result<(), String> {
        let tokenizer = self.options.tokenizer;
        let output = match &record.output {
            OutputLength::Known(length) => *length,
            OutputLength::Text(text) => tokenizer.count(text) as u64,
            OutputLength::Unknown => self.options.output_length,
        };
        let timestamp = record.timestamp.as_deref().unwrap_or("0");
        let shared = Shared { timestamp, kept: &record.kept };
        match &record.content {
            Content::Texts(texts) => {
                for text in texts {
                    self.tokens.clear();
                    tokenizer.encode(text, &mut self.tokens);
                    self.request(output, &shared, out)?;
                }
            }
            Content::Tokens(lists) => {
                for tokens in lists {
                    self.tokens.clone_from(tokens);
                    self.request(output, &shared, out)?;
                }
            }
            Content::Chat(chat) => self.chat(chat, output, &shared, out)?,
        }
        Ok(())
    }

    /// A chat's tokens are those of its turns one after the other (see [`chat`]), so each turn is
    /// tokenised once, however many requests begin with it.
    fn chat(&mut self, chat: &Chat, output: u64, shared: &Shared, out: &mut Vec<u8>) -> Result<(), String> {
        let tokenizer = self.options.tokenizer;
        self.tokens.clear();
        let mut done = 0;
        for &request in &chat.requests {
            for turn in &chat.turns[done..request] {
                self.text.clear();
                chat::render_turn(turn, &mut self.text);
                tokenizer.encode(&self.text, &mut self.tokens);
            }
            done = request;
            let past = self.tokens.len();
            tokenizer.encode(chat::INVITATION, &mut self.tokens);
            let answer = chat.answer(request).map(|text| tokenizer.count(text) as u64);
            self.request(answer.unwrap_or(output), shared, out)?;
            self.tokens.truncate(past);
        }
        Ok(())
    }

    /// Appends the trace line of the request whose prompt is in `self.tokens`.
    fn request(&mut self, output: u64, shared: &Shared, out: &mut Vec<u8>) -> Result<(), String> {
        let Self { chain, ids, tokens, .. } = self;
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"{\"timestamp\": ");
        out.extend_from_slice(shared.timestamp.as_bytes());
        out.extend_from_slice(b", \"input_length\": ");
        out.extend_from_slice(number.format(chain.kept(tokens.len())).as_bytes());
        out.extend_from_slice(b", \"output_length\": ");
        out.extend_from_slice(number.format(output).as_bytes());
        out.extend_from_slice(b", \"hash_ids\": [");
        let list = out.len();
        let mut full = false;
        chain.keys(tokens, |key| {
            let id = ids.get(key).unwrap_or_else(|| {
                full |= ids.len() >= u32::MAX as usize;
                if !full {
                    ids.insert_new(key);
                }
                (ids.len() - 1) as u32
            });
            if out.len() > list {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(number.format(id).as_bytes());
        });
        if full {
            return Err("more than 4294967295 distinct blocks".into());
        }
        out.push(b']');
        for (name, value) in shared.kept {
            out.extend_from_slice(b", ");
            // A string written into memory cannot fail.
            serde_json::to_writer(&mut *out, name).ok();
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"}\n");
        self.requests += 1;
        Ok(())
    }
}
