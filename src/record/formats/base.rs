//! What the decoders of all formats share.
//!
//! Ids that are no numbers are replaced by 64-bit hashes (surrogate ids), which later become dense numbers;
//! ids that mean something else in every conversation, and blocks of which only the number is known, get
//! numbers at once. Formats that hash only full blocks leave out a last partial block, and so do we.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use foldhash::fast::RandomState;
use memchr::memchr;

use super::calls::{CallBlocks, SessionBlocks};
use crate::error::Invalid;
use crate::record::json::{RawObject, id_bits};
use crate::record::line::{TraceLine, join_ids};
use crate::record::raw::Json;
use crate::record::surrogate::surrogate_id;
use crate::record::time::{Millis, Unit};

/// So many names of fields are named to the user.
const NAMED: usize = 8;

/// What a decoder may need to know of its file.
#[derive(Clone)]
pub(in crate::record) struct FileFacts {
    /// Its name as the user wrote it.
    pub(in crate::record) name: String,
    /// Its index among the operands.
    pub(in crate::record) index: usize,
    /// Tokens per block, if the user says.
    pub(in crate::record) block_size: Option<u64>,
    /// The most bytes for what is known of sessions.
    pub(in crate::record) session_memory: usize,
    /// Fields of logs that are kept though they have no part in a record.
    pub(in crate::record) keep: Vec<String>,
    /// Columns of a table that count as others: the name that counts, and the one in the table.
    pub(in crate::record) columns: Vec<(String, String)>,
    /// Whether ids that are given here are hashes of what they name.
    pub(in crate::record) named_ids: bool,
    /// Whether its first line told the format, not the user.
    pub(in crate::record) is_found_out: bool,
}

/// Decodes one file of a format: adds the requests that a line holds, none for a header or another kind of
/// event.
pub(in crate::record) type DecodeLine = Box<dyn LineDecoder>;

/// The same for a format whose lines are JSON objects.
pub(super) type DecodeObject = Box<dyn ObjectDecoder>;

/// A function with what it remembers of the lines before.
pub(in crate::record) trait LineDecoder:
    FnMut(&[u8], &mut DecodedLines) -> Result<(), Invalid> + Send + Sync
{
    fn copy(&self) -> DecodeLine;
}

/// The same for objects.
pub(super) trait ObjectDecoder:
    FnMut(&RawObject, &mut DecodedLines) -> Result<(), Invalid> + Send + Sync
{
    fn copy(&self) -> DecodeObject;
}

impl<F> LineDecoder for F
where
    F: FnMut(&[u8], &mut DecodedLines) -> Result<(), Invalid> + Clone + Send + Sync + 'static,
{
    fn copy(&self) -> DecodeLine {
        Box::new(self.clone())
    }
}

impl<F> ObjectDecoder for F
where
    F: FnMut(&RawObject, &mut DecodedLines) -> Result<(), Invalid> + Clone + Send + Sync + 'static,
{
    fn copy(&self) -> DecodeObject {
        Box::new(self.clone())
    }
}

impl Clone for DecodeLine {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

impl Clone for DecodeObject {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

/// The requests of one line of a file, as Mooncake lines.
#[derive(Default)]
pub(in crate::record) struct DecodedLines {
    text: Vec<u8>,
    requests: Vec<Request>,
    next: usize,
    /// The lines of requests of which more may come, and their ids.
    held: VecDeque<(Vec<u8>, Ids)>,
    /// The operand that is read, and whether its sessions are those of the one before it.
    file: usize,
    goes_on: bool,
    /// Gives blocks to requests that have none yet.
    blocks: SessionBlocks,
    is_local_first: Option<bool>,
    /// What is wrong if no further line of the file comes.
    unfinished: Option<Invalid>,
    /// Of a record without a time, what may be one.
    unread_time: Option<String>,
    /// Names of fields that were left out, as far as the user is told.
    left_out: BTreeSet<String>,
    /// Calls that were left out, because nothing tells the length of their prompt.
    passed_over: u64,
    /// Whether times are those of a clock.
    clock_times: bool,
    /// Whether these are counted from the first, and that.
    from_zero: bool,
    origin: Option<Millis>,
}

/// A request of a line.
struct Request {
    /// Where its line ends.
    end: usize,
    ids: Ids,
    /// The operand whose numbering its ids have.
    numbering: usize,
}

/// What is known of the ids of a request.
#[derive(Clone, Copy, Default)]
pub(in crate::record) struct Written {
    /// Whether the file numbers its blocks from zero.
    pub(in crate::record) from_zero: bool,
    /// Whether they are numbers of ids that a conversation has by itself.
    pub(in crate::record) is_local: bool,
    /// Whether they stand for others, and are to be renumbered.
    pub(in crate::record) is_surrogate: bool,
}

/// Where the line of a request stands, and which ids it has.
pub(in crate::record) struct Place {
    pub(in crate::record) text: Range<usize>,
    pub(in crate::record) ids: Written,
    /// The operand whose numbering its ids have.
    pub(in crate::record) numbering: usize,
}

/// The ids of a request.
#[derive(Clone, Copy)]
enum Ids {
    /// They are in the line.
    Written(Written),
    /// They are found out in its turn, from zero.
    OfCall(CallBlocks),
}

impl DecodedLines {
    pub(in crate::record) fn clear(&mut self) {
        self.clear_requests();
        self.unfinished = None;
        self.unread_time = None;
    }

    /// None yet, for lines further down in the file.
    pub(in crate::record) fn further_down(&self) -> Self {
        let Self { file, clock_times, from_zero, origin, .. } = *self;
        Self { left_out: self.left_out.clone(), file, clock_times, from_zero, origin, ..Self::default() }
    }

    /// Forgets all requests, but not that a record has begun.
    pub(in crate::record) fn clear_requests(&mut self) {
        self.text.clear();
        self.requests.clear();
        self.next = 0;
    }

    /// Bytes in use.
    pub(in crate::record) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.requests[..])
    }

    /// Adds the requests of a line, and tells which they are; `None` if anything else is to be said of it.
    pub(in crate::record) fn add(&mut self, decoder: &mut DecodeLine, line: &[u8]) -> Option<Range<usize>> {
        let (text, requests) = (self.text.len(), self.requests.len());
        let said = |lines: &Self| (lines.left_out.len(), lines.passed_over, lines.clock_times);
        let said_before = said(self);
        let has_begun = self.unfinished.take().is_some();
        let is_valid = decoder(line, self).is_ok();
        let says_more =
            self.unread_time.take().is_some() || self.unfinished.is_some() || said(self) != said_before;
        if is_valid && !has_begun && !says_more {
            return Some(requests..self.requests.len());
        }
        self.text.truncate(text);
        self.requests.truncate(requests);
        None
    }

    /// The same as these requests of `from`, in place of those before.
    pub(in crate::record) fn copy(&mut self, from: &Self, requests: Range<usize>) {
        self.clear();
        let start = from.end(requests.start);
        self.text.extend_from_slice(&from.text[start..from.end(requests.end)]);
        let moved = |request: &Request| Request { end: request.end - start, ..*request };
        self.requests.extend(from.requests[requests].iter().map(moved));
    }

    /// Whether a record has begun that goes on in the next line.
    pub(in crate::record) fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Says that the line is only the beginning of a record, and what is wrong if no more of it comes.
    pub(super) fn set_unfinished(&mut self, wrong: Invalid) {
        self.unfinished = Some(wrong);
    }

    /// What is wrong if the file ends here.
    pub(in crate::record) fn take_unfinished(&mut self) -> Option<Invalid> {
        self.unfinished.take()
    }

    /// Goes on with another file, and says whether its times are those of a clock. Its sessions are those before if it
    /// `goes_on`.
    pub(in crate::record) fn start_file(&mut self, file: &FileFacts, clock_times: bool, goes_on: bool) {
        self.clear();
        self.file = file.index;
        if !goes_on {
            self.blocks = SessionBlocks::of(file.index, file_start(file), file.named_ids);
        }
        self.goes_on = goes_on;
        self.clock_times = clock_times;
    }

    /// Whether the sessions of the file are those of the one before it.
    pub(in crate::record) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Says that times of a clock are to be counted from the first of all.
    pub(in crate::record) fn count_from_zero(&mut self) {
        self.from_zero = true;
    }

    /// The operand that is read.
    pub(super) fn file(&self) -> usize {
        self.file
    }

    /// Says that the file's times are those of a clock, though its format leaves that open.
    pub(super) fn set_clock_times(&mut self) {
        self.clock_times = true;
    }

    /// Whether the file's times are those of a clock.
    pub(in crate::record) fn has_clock_times(&self) -> bool {
        self.clock_times
    }

    /// Says that fields of these names are left out.
    pub(super) fn set_left_out<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        if self.left_out.len() < NAMED {
            self.left_out.extend(names.map(str::to_owned));
        }
    }

    /// Names of fields that were left out, not all of them.
    pub(in crate::record) fn left_out(&self) -> impl Iterator<Item = &String> {
        self.left_out.iter().take(NAMED)
    }

    /// Leaves a call out, since nothing tells the length of its prompt.
    pub(super) fn pass_over(&mut self) {
        self.passed_over += 1;
    }

    /// Takes in a call that had been left out until now.
    pub(super) fn take_in(&mut self) {
        self.passed_over -= 1;
    }

    /// How many calls were left out.
    pub(in crate::record) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Says what may be the time of a record that has none.
    pub(super) fn set_unread_time(&mut self, what: Option<String>) {
        self.unread_time = what;
    }

    /// What may be the time of the record, which has none.
    pub(in crate::record) fn take_unread_time(&mut self) -> Option<String> {
        self.unread_time.take()
    }

    /// Keeps the request that `push` adds, in `place` of one that is kept or behind all of them, until it is
    /// released: those that were kept first come first.
    pub(super) fn hold(
        &mut self,
        place: usize,
        push: impl FnOnce(&mut Self) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let start = self.text.len();
        push(self)?;
        if let Some(request) = self.requests.pop() {
            let kept = (self.text.split_off(start), request.ids);
            match self.held.get_mut(place) {
                Some(before) => *before = kept,
                None => self.held.push_back(kept),
            }
        }
        Ok(())
    }

    /// Whether a request is kept.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Adds the first of the requests that are kept; false if there is none.
    pub(super) fn release_first(&mut self) -> bool {
        let Some((line, ids)) = self.held.pop_front() else { return false };
        self.text.extend_from_slice(&line);
        self.requests.push(Request { end: self.text.len(), ids, numbering: self.file });
        true
    }

    /// Adds all requests that are kept; false if there are none.
    pub(in crate::record) fn release(&mut self) -> bool {
        let is_any = !self.held.is_empty();
        while self.release_first() {}
        is_any
    }

    /// Adds a request. `from_zero` tells whether the file numbers its blocks 0, 1, 2, ...
    pub(super) fn push(&mut self, request: &TraceLine, from_zero: bool) {
        let mut time = request.time;
        if let Some(time) = time.as_mut().filter(|_| self.clock_times && self.from_zero) {
            *time = *time - *self.origin.get_or_insert(*time);
        }
        request.write_at(time, Unit::Milliseconds, &mut self.text);
        self.end_line(from_zero, self.file);
    }

    /// Adds a request whose line `write` appends, newline included, and whose ids have the numbering of that operand.
    pub(super) fn push_line(&mut self, from_zero: bool, numbering: usize, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.end_line(from_zero, numbering);
    }

    /// Adds a request of whose ids this is known.
    pub(super) fn push_known(&mut self, request: &TraceLine, ids: Written) {
        self.push(request, false);
        if let Some(request) = self.requests.last_mut() {
            request.ids = Ids::Written(ids);
        }
    }

    /// Whether ids that a conversation has by itself came before any that mean the same everywhere, given whether the
    /// next ones do.
    pub(super) fn is_local_first(&mut self, is_global: bool) -> bool {
        *self.is_local_first.get_or_insert(!is_global)
    }

    /// Says that other readers have ids that mean the same everywhere.
    pub(in crate::record) fn set_global_first(&mut self) {
        self.is_local_first = Some(false);
    }

    /// Adds a request that gets the ids of these blocks in its turn.
    pub(super) fn push_call(&mut self, mut request: TraceLine, call: CallBlocks) {
        request.ids = Some(Cow::Borrowed(&[]));
        self.push(&request, true);
        if let Some(request) = self.requests.last_mut() {
            request.ids = Ids::OfCall(call);
        }
    }

    fn end_line(&mut self, from_zero: bool, numbering: usize) {
        // Lines are handed on as an input hands them on: without their newline.
        self.text.pop();
        self.requests.push(Request {
            end: self.text.len(),
            ids: Ids::Written(Written { from_zero, ..Written::default() }),
            numbering,
        });
    }

    /// Where the first `count` requests end.
    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.requests[last].end)
    }

    /// Adds a request whose ids are those of the file.
    pub(super) fn push_numbered(&mut self, request: &TraceLine) {
        let [ids, output_ids] =
            [&request.ids, &request.output_ids].map(|ids| ids.as_deref().unwrap_or_default());
        self.push(request, counts_from_zero(ids, output_ids));
    }

    /// The place of the next line.
    pub(in crate::record) fn take(&mut self) -> Option<Place> {
        let start = self.end(self.next);
        let &Request { end, ids, numbering } = self.requests.get(self.next)?;
        self.next += 1;
        let call = match ids {
            Ids::Written(ids) => return Some(Place { text: start..end, ids, numbering }),
            Ids::OfCall(call) => call,
        };
        let ids = self.blocks.ids(call);
        // Before its ids a line has numbers alone. The whole one goes behind the others.
        let list = memchr(b'[', &self.text[start..end]).map_or(end, |at| start + at + 1);
        let whole = self.text.len();
        self.text.extend_from_within(start..list);
        join_ids(ids.iter().copied(), b", ", &mut self.text);
        self.text.extend_from_within(list..end);
        let ids = Written { from_zero: true, ..Written::default() };
        Some(Place { text: whole..self.text.len(), ids, numbering: self.blocks.file })
    }

    /// The line at a place.
    pub(in crate::record) fn line(&self, place: Range<usize>) -> &[u8] {
        &self.text[place]
    }
}

/// The request of an object with the field names of the Mooncake format, and with the ids that `read` finds
/// in a field.
pub(super) fn mooncake_fields<'a, 'b>(
    object: &'a RawObject<'b>,
    unit: Unit,
    read: impl Fn(&RawObject<'b>, &str) -> Result<Vec<u64>, Invalid>,
) -> Result<TraceLine<'a>, Invalid> {
    mooncake_fields_at(object, object.time("timestamp", unit)?, read)
}

/// The same of an object whose time is known.
pub(super) fn mooncake_fields_at<'a, 'b>(
    object: &'a RawObject<'b>,
    time: Option<Millis>,
    read: impl Fn(&RawObject<'b>, &str) -> Result<Vec<u64>, Invalid>,
) -> Result<TraceLine<'a>, Invalid> {
    let ids = |name: &str| object.get(name).map(|_| read(object, name).map(Into::into)).transpose();
    Ok(TraceLine {
        time,
        input_length: object.length("input_length")?,
        output_length: object.optional_length("output_length")?,
        block_size: object.block_size("block_size")?,
        ids: ids("hash_ids")?,
        output_ids: ids("output_hash_ids")?,
        rest: object.rest(&[]),
        ..TraceLine::default()
    })
}

/// Whether the blocks of a prompt, or if it has none those of its answer, are numbered 0, 1, 2, ...
pub(in crate::record) fn counts_from_zero(ids: &[u64], output_ids: &[u64]) -> bool {
    let ids = if ids.is_empty() { output_ids } else { ids };
    !ids.is_empty() && ids.iter().copied().eq(0..ids.len() as u64)
}

/// A list of ids that are numbers or strings.
pub(super) fn named_ids(object: &RawObject, name: &str) -> Result<Vec<u64>, Invalid> {
    object.list(name)?.into_iter().map(|id| id_of(name, id)).collect()
}

/// The id of a block that a number or a string names; a string that is a number is that number.
pub(super) fn id_of(name: &str, value: Json<'_>) -> Result<u64, Invalid> {
    let raw = value.get();
    let wrong = || Invalid::value(format!("{name}: expected ids as numbers or strings, found {raw}"));
    if !raw.starts_with('"') {
        return id_bits(raw).ok_or_else(wrong);
    }
    let text: String = serde_json::from_str(raw).map_err(|_| wrong())?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Ok(number.unwrap_or_else(|| surrogate_id(&[b"id", text.as_bytes()])))
}

/// Numbers ids that mean something else in every conversation: 0, 1, 2, ... over the conversations of a file.
///
/// No id is hashed: most are small numbers themselves, for which a list is enough.
#[derive(Clone)]
pub(super) struct LocalIds {
    /// The first number of the conversation, and the next one.
    first: u64,
    next: u64,
    /// Numbers of small ids, counted from one after `first`; 0 if there is none yet.
    small: Vec<u32>,
    others: HashMap<u64, u64, RandomState>,
}

/// Ids below this have a place in a list.
const SMALL: u64 = 1 << 22;

impl LocalIds {
    pub(super) fn new(file: &FileFacts) -> Self {
        let first = file_start(file);
        Self { first, next: first, small: Vec::new(), others: HashMap::default() }
    }

    /// Begins another conversation, or the same once more with `again`.
    pub(super) fn begin(&mut self, again: bool) {
        if again {
            self.next = self.first;
        }
        self.first = self.next;
        self.small.clear();
        self.others.clear();
    }

    /// Replaces ids by their numbers.
    pub(super) fn number(&mut self, ids: &mut [u64]) {
        let most = ids.iter().copied().filter(|&id| id < SMALL).max();
        if let Some(most) = most.filter(|&most| most as usize >= self.small.len()) {
            self.small.resize(most as usize + 1, 0);
        }
        for id in ids {
            *id = match self.small.get_mut(*id as usize).filter(|_| *id < SMALL) {
                Some(0) if self.next - self.first >= u64::from(u32::MAX) => self.other(*id),
                Some(place) => {
                    if *place == 0 {
                        self.next += 1;
                        *place = (self.next - self.first) as u32;
                    }
                    self.first + u64::from(*place) - 1
                }
                None => self.other(*id),
            };
        }
    }

    fn other(&mut self, id: u64) -> u64 {
        let next = &mut self.next;
        *self.others.entry(id).or_insert_with(|| {
            *next += 1;
            *next - 1
        })
    }
}

/// Where the numbers that a decoder gives in a file begin: those of two files are never the same.
pub(super) fn file_start(file: &FileFacts) -> u64 {
    (file.index as u64) << 40
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn local_ids_are_numbered_by_conversation(
            conversations in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![4 => 0..20_u64, 1 => SMALL - 2..SMALL + 2, 1 => any::<u64>()],
                    0..30,
                ),
                0..6,
            ),
        ) {
            let mut ids = LocalIds { first: 7, next: 7, small: Vec::new(), others: HashMap::default() };
            let mut naive: HashMap<(usize, u64), u64> = HashMap::new();
            for (conversation, list) in conversations.iter().enumerate() {
                ids.begin(false);
                // Read once more from the start.
                ids.number(&mut list.clone());
                ids.begin(true);
                let mut numbers = list.clone();
                let (first, second) = numbers.split_at_mut(list.len() / 2);
                ids.number(first);
                ids.number(second);
                for (id, number) in list.iter().zip(numbers) {
                    let next = 7 + naive.len() as u64;
                    prop_assert_eq!(*naive.entry((conversation, *id)).or_insert(next), number);
                }
            }
        }
    }
}
