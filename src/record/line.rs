//! The one writer of trace lines.
//!
//! The names of the fields that kvtrace writes stand here once. [`LineWriter`] writes one field after the
//! other; [`TraceLine`] is a request whose fields are written in the order that traces have.

use std::borrow::Cow;
use std::ops::Range;

use crate::record::time::{Millis, Unit};

/// The name of a field, with what stands before and after it in a line.
#[derive(Clone, Copy, Debug)]
pub struct FieldKey(&'static str);

macro_rules! field_keys {
    ($($(#[$doc:meta])* $key:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $key: FieldKey = FieldKey(concat!(", \"", $name, "\": "));)*
    };
}

field_keys! {
    /// Arrival.
    TIMESTAMP = "timestamp";
    /// Prompt length in tokens.
    INPUT_LENGTH = "input_length";
    /// Generated length in tokens.
    OUTPUT_LENGTH = "output_length";
    /// One id per block of the prompt.
    HASH_IDS = "hash_ids";
    /// One id per block that becomes full with the answer.
    OUTPUT_HASH_IDS = "output_hash_ids";
    /// Tokens per block.
    BLOCK_SIZE = "block_size";
    /// Prompt tokens that the server found in its cache.
    CACHED_TOKENS = "cached_tokens";
    /// Prompt tokens that the server wrote to its cache.
    CACHE_WRITE_TOKENS = "cache_write_tokens";
    /// Prompt tokens that the server counted, where they are not those of the prompt's text.
    RECORDED_INPUT_LENGTH = "recorded_input_length";
    /// The conversation that a request belongs to.
    SESSION_ID = "session_id";
    /// The conversation that began the one of the request.
    PARENT_SESSION_ID = "parent_session_id";
    /// The replica that a router sends a request to, from 0.
    REPLICA = "replica";
    /// How long after the end of the request before it in its session a request is sent.
    DELAY = "delay";
    /// The most tokens that an answer may have, beside a prompt.
    MAX_TOKENS = "max_tokens";
    /// The reference synthesizer's length of the shared beginning.
    CONTEXT_LEN = "context_len";
    /// The reference synthesizer's length of what is not shared.
    UNIQUE_USER_PROMPT_LEN = "unique_user_prompt_len";
    /// Bailian's number of a request.
    CHAT_ID = "chat_id";
    /// Bailian's number of the request before in its conversation.
    PARENT_CHAT_ID = "parent_chat_id";
    /// Bailian's kind of request.
    TYPE = "type";
    /// Bailian's number of a request within its conversation.
    TURN = "turn";
}

impl FieldKey {
    /// The name alone.
    pub(crate) fn name(self) -> &'static str {
        self.0.trim_matches([',', ' ', '"', ':'])
    }

    /// The name as it stands behind another field.
    pub(crate) fn separated(self) -> &'static str {
        self.0
    }
}

/// The names of a trace's own fields, synonyms included: a further field of such a name would stand twice.
pub(crate) const OWN_NAMES: [&str; 9] = [
    "timestamp",
    "created_time",
    "input_length",
    "input_tokens",
    "output_length",
    "output_tokens",
    "hash_ids",
    "output_hash_ids",
    "block_size",
];

/// Writes the fields of one line, an object, one after the other.
pub struct LineWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bytes of a separator that does not stand before the first field.
    skip: usize,
}

impl<'a> LineWriter<'a> {
    /// Begins an object at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, skip: 2 }
    }

    /// Where the caller writes the value of a field.
    #[inline]
    pub fn value(&mut self, key: FieldKey) -> &mut Vec<u8> {
        self.out.extend_from_slice(&key.0.as_bytes()[self.skip..]);
        self.skip = 0;
        self.out
    }

    /// Where the caller writes a whole field, its name included.
    #[inline]
    pub fn member(&mut self) -> &mut Vec<u8> {
        self.out.extend_from_slice(&b", "[self.skip..]);
        self.skip = 0;
        self.out
    }

    /// A whole number.
    #[inline]
    pub fn number(&mut self, key: FieldKey, value: u64) {
        self.value(key).extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A whole number, if there is one.
    pub fn optional(&mut self, key: FieldKey, value: Option<u64>) {
        value.into_iter().for_each(|value| self.number(key, value));
    }

    /// A time in `unit`s.
    pub fn time(&mut self, key: FieldKey, time: Millis, unit: Unit) {
        time.write(unit, self.value(key));
    }

    /// A list whose items `write` appends.
    #[inline]
    pub fn list(&mut self, key: FieldKey, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.value(key);
        out.push(b'[');
        write(out);
        out.push(b']');
    }

    /// A list of ids.
    pub fn ids(&mut self, key: FieldKey, ids: &[u64]) {
        self.list(key, |out| join_ids(ids.iter().copied(), b", ", out));
    }

    /// Text, which becomes a JSON string.
    pub fn text(&mut self, key: FieldKey, text: &str) {
        write_text(text, self.value(key));
    }

    /// A value that is JSON already.
    pub fn json(&mut self, key: FieldKey, json: &str) {
        self.value(key).extend_from_slice(json.as_bytes());
    }

    /// A field of any name whose value is JSON already.
    pub fn further(&mut self, name: &str, json: &str) {
        let out = self.member();
        write_text(name, out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(json.as_bytes());
    }

    /// The fields of `rest` but those whose names are a trace's own.
    pub fn rest(&mut self, rest: &[(&str, &str)]) {
        for (name, json) in rest.iter().filter(|(name, _)| !OWN_NAMES.contains(name)) {
            self.further(name, json);
        }
    }

    /// Ends the object, and the line.
    #[inline]
    pub fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

/// One request to be written: the fields that it has.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TraceLine<'a> {
    /// Its time.
    pub time: Option<Millis>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens.
    pub output_length: Option<u64>,
    /// One id per block.
    pub ids: Option<Cow<'a, [u64]>>,
    /// One id per block that becomes full with the answer.
    pub output_ids: Option<Cow<'a, [u64]>>,
    /// Tokens per block.
    pub block_size: Option<u64>,
    /// The session, where lines of one session belong together.
    pub session: Option<&'a str>,
    /// The session that began this one.
    pub parent: Option<&'a str>,
    /// How long after the end of its session's last request it is sent.
    pub delay: Option<Millis>,
    /// Prompt tokens that the server found in its cache.
    pub cached_tokens: Option<u64>,
    /// Prompt tokens that it wrote there.
    pub cache_write_tokens: Option<u64>,
    /// Further fields: name, and JSON as it stood.
    pub rest: Vec<(&'a str, &'a str)>,
}

impl TraceLine<'_> {
    /// Appends the line, with times in `unit`s.
    pub fn write(&self, unit: Unit, out: &mut Vec<u8>) {
        self.write_at(self.time, unit, out);
    }

    /// The same at another time.
    pub(crate) fn write_at(&self, time: Option<Millis>, unit: Unit, out: &mut Vec<u8>) {
        let mut line = LineWriter::new(out);
        if let Some(time) = time {
            line.time(TIMESTAMP, time, unit);
        }
        line.number(INPUT_LENGTH, self.input_length);
        if let Some(length) = self.output_length {
            line.number(OUTPUT_LENGTH, length);
        }
        if let Some(ids) = &self.ids {
            line.ids(HASH_IDS, ids);
        }
        if let Some(ids) = &self.output_ids {
            line.ids(OUTPUT_HASH_IDS, ids);
        }
        if let Some(size) = self.block_size {
            line.number(BLOCK_SIZE, size);
        }
        if let Some(session) = self.session {
            line.text(SESSION_ID, session);
        }
        if let Some(parent) = self.parent {
            line.text(PARENT_SESSION_ID, parent);
        }
        if let Some(delay) = self.delay {
            line.time(DELAY, delay, unit);
        }
        line.optional(CACHED_TOKENS, self.cached_tokens);
        line.optional(CACHE_WRITE_TOKENS, self.cache_write_tokens);
        line.rest(&self.rest);
        line.end();
    }
}

/// Appends ids with `separator` between them.
#[inline]
pub fn join_ids(ids: impl IntoIterator<Item = u64>, separator: &[u8], out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let start = out.len();
    for id in ids {
        if out.len() > start {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(number.format(id).as_bytes());
    }
}

/// Appends runs of consecutive ids with `separator`, of two bytes, between all of them. Numbers that follow one
/// another are counted up as text, in a third of the time.
pub fn join_runs(runs: impl IntoIterator<Item = Range<u64>>, separator: [u8; 2], out: &mut Vec<u8>) {
    let start = out.len();
    for run in runs.into_iter().filter(|run| !run.is_empty()) {
        let mut number = Counting::new(run.start, separator);
        if out.len() == start {
            out.extend_from_slice(number.digits());
        } else {
            number.append(out);
        }
        for _ in run.start + 1..run.end {
            number.count_up();
            number.append(out);
        }
    }
}

/// A separator and a number as text. Its bytes are copied as a whole, which is faster than so many as there are.
struct Counting {
    text: [u8; 24],
    len: usize,
}

impl Counting {
    fn new(number: u64, separator: [u8; 2]) -> Self {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number).as_bytes();
        let mut text = [0; 24];
        let len = 2 + digits.len();
        text[..2].copy_from_slice(&separator);
        text[2..len].copy_from_slice(digits);
        Self { text, len }
    }

    fn digits(&self) -> &[u8] {
        &self.text[2..self.len]
    }

    #[inline]
    fn append(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.text);
        out.truncate(end);
    }

    #[inline]
    fn count_up(&mut self) {
        for digit in self.text[2..self.len].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        // All were nines.
        self.text[2] = b'1';
        self.text[self.len] = b'0';
        self.len += 1;
    }
}

/// Appends a JSON list of ids.
pub fn write_ids(ids: &[u64], separator: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    join_ids(ids.iter().copied(), separator, out);
    out.push(b']');
}

/// Appends `text` as a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Text written into memory cannot fail.
    serde_json::to_writer(out, text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_written_as_their_ids(
            runs in proptest::collection::vec((0_u32..20, 0_u64..9, 0_u64..30), 0..6),
        ) {
            // Powers of ten are near.
            let runs = runs.iter().map(|&(power, less, len)| {
                let start = 10_u64.pow(power.min(18)).saturating_sub(less);
                start..start + len
            });
            let (mut written, mut expected) = (b"[".to_vec(), b"[".to_vec());
            join_runs(runs.clone(), *b", ", &mut written);
            let mut ids = Vec::new();
            join_ids(runs.flatten(), b", ", &mut ids);
            expected.extend(ids);
            prop_assert_eq!(written, expected);
        }
    }
}
