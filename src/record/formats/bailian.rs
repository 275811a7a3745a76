//! Alibaba's Bailian (Qwen) traces.
//!
//! Source: github.com/alibaba-edu/qwen-bailian-usagetraces-anon, its README and file names; the loader
//! of aiperf 0.13 reads the same fields. One request per line; `timestamp` in seconds since the start,
//! `input_length` of the whole prompt, blocks of 16 tokens (`blksz_16` in the file name), the last one
//! perhaps partial. The hashes may cover single blocks only, so a block is known here by its id and
//! all ids before it. `chat_id`, `parent_chat_id`, `type` and `turn` stay.

use std::collections::HashMap;

use super::base::{DecodeObject, FileFacts, counts_from_zero, mooncake_fields};
use crate::error::{Invalid, InvalidKind};
use crate::record::json::RawObject;
use crate::record::line::{self, LineWriter, TraceLine};
use crate::record::surrogate::surrogate_child;
use crate::record::time::Unit;

/// Tokens per block where neither the user nor the file's name says another number.
const BLOCK_SIZE: u64 = 16;

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let named = file.name.split_once("blksz_").and_then(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok().filter(|&size| size > 0)
    });
    let block_size = file.block_size.or(named).unwrap_or(BLOCK_SIZE);
    Box::new(move |object, out| {
        let mut request = mooncake_fields(object, Unit::Seconds, RawObject::ids)?;
        let size = *request.block_size.get_or_insert(block_size);
        let [ids, output_ids] =
            [&request.ids, &request.output_ids].map(|ids| ids.as_deref().unwrap_or_default());
        let from_zero = counts_from_zero(ids, output_ids);
        request.ids = request.ids.map(|ids| chained(0, &ids).into());
        // The answer goes on behind the last full block of the prompt.
        let full = usize::try_from(request.input_length / size).unwrap_or(usize::MAX);
        let before = request.ids.as_deref().unwrap_or_default().iter().take(full).next_back().copied();
        request.output_ids = request.output_ids.map(|ids| chained(before.unwrap_or(0), &ids).into());
        out.push(&request, from_zero);
        Ok(())
    })
}

/// Ids of blocks by all that comes before them, behind the block `parent`.
fn chained(parent: u64, ids: &[u64]) -> Vec<u64> {
    let child = |parent: &mut u64, id: &u64| {
        *parent = surrogate_child(*parent, *id);
        Some(*parent)
    };
    ids.iter().scan(parent, child).collect()
}

pub(super) fn is_first(object: &RawObject) -> bool {
    // With a block size it has been converted already.
    object.has("chat_id") && object.has("parent_chat_id") && !object.has("block_size")
}

/// Writes requests that carry their `chat_id` as they are, and numbers the others: one chat per request,
/// chained within a session.
#[derive(Default)]
pub(super) struct BailianWriter {
    chats: u64,
    /// The last chat of each session and its turn.
    sessions: HashMap<String, (u64, u64)>,
}

/// Fields that are written before the others.
const FIRST: [&str; 4] = ["chat_id", "parent_chat_id", "type", "turn"];

impl BailianWriter {
    /// Appends a request, with the further fields of `original`, its Mooncake line.
    pub(super) fn write(
        &mut self,
        request: &TraceLine,
        original: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        let object = RawObject::parse(original)?;
        let stated = |name: &str| object.get(name).map(|value| value.get().to_owned());
        let (chat, parent, turn) = match stated("chat_id") {
            Some(chat) => (chat, stated("parent_chat_id"), stated("turn")),
            None => self.number(request.session),
        };
        let output_length = request.output_length.ok_or_else(|| {
            let message = "missing field \"output_length\", which bailian needs";
            Invalid::new(InvalidKind::MissingField, message)
        })?;
        let mut line = LineWriter::new(out);
        line.json(line::CHAT_ID, &chat);
        line.json(line::PARENT_CHAT_ID, parent.as_deref().unwrap_or("-1"));
        if let Some(time) = request.time {
            line.time(line::TIMESTAMP, time, Unit::Seconds);
        }
        line.number(line::INPUT_LENGTH, request.input_length);
        line.number(line::OUTPUT_LENGTH, output_length);
        line.json(line::TYPE, object.get("type").map_or("\"text\"", |kind| kind.get()));
        line.json(line::TURN, turn.as_deref().unwrap_or("1"));
        if let Some(ids) = &request.ids {
            line.ids(line::HASH_IDS, ids);
        }
        if let Some(ids) = &request.output_ids {
            line.ids(line::OUTPUT_HASH_IDS, ids);
        }
        line.rest(&object.rest(&FIRST));
        line.end();
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
