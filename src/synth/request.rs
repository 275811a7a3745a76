//! One synthetic request.

use crate::error::Invalid;

/// The output length of a request that states none.
pub(super) const NO_OUTPUT: u32 = u32::MAX;

/// A longer request does not fit into memory as a line.
const MOST_BLOCKS: u64 = 1 << 28;

/// Tokens in so many blocks, of which the last has `tail` tokens.
pub(super) fn tokens(blocks: u64, tail: u32, block_size: u64) -> u64 {
    blocks.saturating_sub(1) * block_size + u64::from(tail)
}

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first id.
    pub start: u64,
    /// How many there are.
    pub len: u32,
}

impl Span {
    /// The id after the last.
    fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }

    /// The ids themselves.
    pub(super) fn ids(&self) -> std::ops::Range<u64> {
        self.start..self.end()
    }
}

/// The place of a request in a conversation: a session, or a branch of one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// Number of the conversation, in the order of their first requests.
    pub conversation: u64,
    /// The conversation that this one left.
    pub parent: Option<u64>,
    /// Number of the request in its conversation, from 1.
    pub turn: u32,
    /// Milliseconds after the answer to the request before it in its conversation, if it is not the first.
    pub delay: Option<f64>,
}

/// A synthetic request. The vector of spans is reused from one to the next.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SyntheticRequest {
    /// Arrival in milliseconds, if the model knows about time.
    pub timestamp: Option<f64>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens, if the model knows it.
    pub output_length: Option<u64>,
    /// Tokens of the prefix that it shares with earlier requests, or may share with them: the core, and
    /// what it continues.
    pub context_length: u64,
    /// Its place in a conversation, if the model knows conversations.
    pub place: Option<Place>,
    /// Its blocks, first block first.
    pub spans: Vec<Span>,
}

impl SyntheticRequest {
    /// Makes it a request of `shared` blocks of context and `new` ones, the last with `tail` tokens, and
    /// with this output length, which may be [`NO_OUTPUT`]; its blocks are still to come.
    pub(super) fn start(&mut self, shared: u64, new: u32, tail: u32, output: u32, block_size: u64) {
        self.timestamp = None;
        self.place = None;
        self.input_length = tokens(shared + u64::from(new), tail, block_size);
        self.output_length = (output != NO_OUTPUT).then_some(u64::from(output));
        self.context_length = (shared * block_size).min(self.input_length);
        self.spans.clear();
    }

    /// Appends blocks, to the span before them where the ids go on.
    pub(super) fn push(&mut self, span: Span) {
        match self.spans.last_mut() {
            _ if span.len == 0 => {}
            Some(last) if last.end() == span.start && last.len.checked_add(span.len).is_some() => {
                last.len += span.len;
            }
            _ => self.spans.push(span),
        }
    }

    /// Fails if it is too long to be written.
    pub(super) fn check_length(&self, block_size: u64) -> Result<(), Invalid> {
        let length = self.input_length;
        if length / block_size <= MOST_BLOCKS {
            return Ok(());
        }
        Err(Invalid::over_limit(format!("a request of {length} tokens is too long to write")))
    }

    /// Its first so many blocks.
    pub(super) fn listed(&self, mut most: u64) -> impl Iterator<Item = Span> + Clone + '_ {
        self.spans.iter().map(move |span| {
            let len = u64::from(span.len).min(most) as u32;
            most -= u64::from(len);
            Span { start: span.start, len }
        })
    }

    /// Number of its blocks.
    pub fn blocks(&self) -> u64 {
        self.spans.iter().map(|span| u64::from(span.len)).sum()
    }

    /// Its ids, first block first.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.spans.iter().flat_map(Span::ids)
    }
}
