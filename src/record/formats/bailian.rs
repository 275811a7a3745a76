//! Alibaba's Bailian (Qwen) traces.
//!
//! Source: github.com/alibaba-edu/qwen-bailian-usagetraces-anon, its README and file names; the loader
//! of aiperf 0.13 reads the same fields. One request per line; `timestamp` in seconds since the start,
//! `input_length` of the whole prompt, blocks of 16 tokens (`blksz_16` in the file name), the last one
//! perhaps partial. The hashes may cover single blocks only, so a block is known here by its id and
//! all ids before it. `chat_id`, `parent_chat_id`, `type` and `turn` stay.

use std::collections::HashMap;

use super::object::Object;
use super::target::TargetRow;
use super::{Decode, FileFacts, Row, Rows, TAKEN, is_from_zero, mint_child, write_ids};
use crate::error::{Invalid, InvalidKind};
use crate::record::time::Unit;

/// Tokens per block where neither the user nor the file's name says another number.
const BLOCK_SIZE: u64 = 16;

pub(super) struct Decoder {
    block_size: u64,
}

impl Decoder {
    pub(super) fn new(file: &FileFacts) -> Self {
        let named = file.name.split_once("blksz_").and_then(|(_, rest)| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok().filter(|&size| size > 0)
        });
        Self { block_size: file.block_size.or(named).unwrap_or(BLOCK_SIZE) }
    }
}

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        let ids = object.get("hash_ids").map(|_| object.ids("hash_ids")).transpose()?;
        let from_zero = ids.as_deref().is_some_and(is_from_zero);
        let ids = ids.map(|ids| {
            let mut parent = 0_u64;
            let chained = ids.iter().map(|id| {
                parent = mint_child(parent, *id);
                parent
            });
            chained.collect()
        });
        rows.push(&Row {
            timestamp: object.time("timestamp", Unit::Seconds)?,
            input_length: object.length("input_length")?,
            output_length: object.optional_length("output_length")?,
            ids,
            block_size: Some(object.block_size("block_size")?.unwrap_or(self.block_size)),
            from_zero,
            rest: object.rest(&[]),
        });
        Ok(())
    }
}

/// Writes rows that carry their `chat_id` as they are, and numbers the others: one chat per record,
/// chained within a session.
#[derive(Default)]
pub(super) struct Writer {
    chats: u64,
    /// The last chat of each session and its turn.
    sessions: HashMap<String, (u64, u64)>,
}

/// Fields that are written before the others.
const FIRST: [&str; 4] = ["chat_id", "parent_chat_id", "type", "turn"];

impl Writer {
    pub(super) fn write(&mut self, row: &TargetRow, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let object = Object::parse(row.line)?;
        let stated = |name: &str| object.get(name).map(|value| value.get().to_owned());
        let (chat, parent, turn) = match stated("chat_id") {
            Some(chat) => (chat, stated("parent_chat_id"), stated("turn")),
            None => self.number(row.session),
        };
        let kind = stated("type").unwrap_or_else(|| "\"text\"".into());
        let output = row.output_length.ok_or_else(|| {
            let message = "missing field \"output_length\", which bailian needs";
            Invalid::new(InvalidKind::MissingField, message)
        })?;
        out.extend_from_slice(b"{\"chat_id\": ");
        out.extend_from_slice(chat.as_bytes());
        out.extend_from_slice(b", \"parent_chat_id\": ");
        out.extend_from_slice(parent.as_deref().unwrap_or("-1").as_bytes());
        if let Some(time) = row.time {
            out.extend_from_slice(b", \"timestamp\": ");
            time.write(Unit::Seconds, out);
        }
        let lengths = format!(", \"input_length\": {}, \"output_length\": {output}", row.input_length);
        out.extend_from_slice(lengths.as_bytes());
        out.extend_from_slice(b", \"type\": ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b", \"turn\": ");
        out.extend_from_slice(turn.as_deref().unwrap_or("1").as_bytes());
        if let Some(ids) = row.ids {
            out.extend_from_slice(b", \"hash_ids\": ");
            write_ids(ids, b", ", out);
        }
        for (name, value) in object.rest(&FIRST).iter().filter(|(name, _)| !TAKEN.contains(name)) {
            out.extend_from_slice(b", ");
            // A string written into memory cannot fail.
            serde_json::to_writer(&mut *out, name).ok();
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Chat, parent and turn of a record that states none.
    fn number(&mut self, session: Option<&str>) -> (String, Option<String>, Option<String>) {
        let chat = self.chats;
        self.chats += 1;
        let before = session.and_then(|session| self.sessions.get(session).copied());
        let turn = before.map_or(1, |(_, turn)| turn + 1);
        if let Some(session) = session {
            self.sessions.insert(session.to_owned(), (chat, turn));
        }
        (chat.to_string(), before.map(|(chat, _)| chat.to_string()), Some(turn.to_string()))
    }
}
