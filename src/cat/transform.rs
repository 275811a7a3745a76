//! What happens to a record between reading and writing.
//!
//! The order: its time within the whole trace; selection by time, lengths and chance; the first or
//! last ones; turns; blocks; ids; the time that is written; the format. Where nothing changes the line
//! is copied.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;

use memchr::memmem;
use xxhash_rust::xxh3::xxh3_64;

use crate::blocks::BlockJoin;
use crate::cat::contents::Contents;
use crate::cat::dispatch::{Dispatcher, Sent};
use crate::cat::entry::SourceRecord;
use crate::cat::ids::{Group, IdChange, IdMap};
use crate::cat::select::{Selection, Selector};
use crate::cat::times::{Retimer, TimeChange};
use crate::cat::told::Told;
use crate::error::{Error, Invalid};
use crate::fleet::Fleet;
use crate::record::Sessions;
use crate::record::edit::LineEdits;
use crate::record::formats::{Target, TargetWriter};
use crate::record::line::{TraceLine, write_text};
use crate::record::time::{Millis, TimeOrder, Unit};
use crate::record::turns::{FreshIds, SessionTurn, TurnConverter, Turns};
use crate::record::{self, DEFAULT_BLOCK_SIZE, Record, general};

/// Names of the field that tells how long after the answer before it a request is sent.
const DELAYS: [&str; 2] = ["delay", "delay_ms"];

/// All that may happen to records.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// How timestamps change.
    pub times: TimeChange,
    /// Which records are kept.
    pub selection: Selection,
    /// Conversion of sessions.
    pub turns: Option<Turns>,
    /// Whether rows that are read hold only what is new in their sessions, and so do those written.
    pub increments: bool,
    /// The block size to be written, a multiple of the one read.
    pub reblock: Option<u64>,
    /// How ids change.
    pub ids: IdChange,
    /// Whether records of several numberings come mixed.
    pub mixed: bool,
    /// The format to be written.
    pub target: Target,
    /// Replicas of which one gets each record, which is written into its line, in the Mooncake format alone.
    pub fleet: Option<Fleet>,
    /// A file with the KV cache events of the server that had the requests: what it held of each prompt is
    /// written into its line, in the Mooncake format alone.
    pub kv_events: Option<PathBuf>,
    /// Memory for what must be held: the last records, sessions.
    pub max_memory: usize,
    /// Memory for the numbers of blocks.
    pub max_ids_memory: usize,
}

/// Whether more records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    More,
    /// All that are wanted have come.
    Enough,
}

/// Takes one record after the other and appends what is to be written.
pub(super) struct Transformer {
    retimer: Retimer,
    selector: Selector,
    sessions: Sessions,
    turns: Option<TurnConverter>,
    /// Whether the rows that are written hold only what is new in their sessions.
    increments: bool,
    reblock: Option<u64>,
    ids: IdMap,
    target: Target,
    writer: TargetWriter,
    /// Nothing changes but times of a clock and ids that must not stay.
    plain: bool,
    changes_times: bool,
    head_left: Option<u64>,
    tail: Tail,
    written: u64,
    last_time: Option<f64>,
    order: TimeOrder,
    /// The times that are read as milliseconds because nothing says what they count.
    read: Option<TimeOrder>,
    new_ids: Vec<u64>,
    new_output_ids: Vec<u64>,
    /// How many records have lost the ids of their answers.
    lost_answers: u64,
    told: Option<Told>,
    dispatcher: Option<Dispatcher>,
    contents: Option<Contents>,
    edits: LineEdits,
    tails: FreshIds,
}

/// The last records, for `--tail`.
struct Tail {
    most: Option<usize>,
    held: VecDeque<HeldLine>,
    bytes: usize,
    max_bytes: usize,
}

struct HeldLine {
    line: Vec<u8>,
    group: Group,
    time: Option<Millis>,
}

impl Transformer {
    /// Nothing has been read yet. Times of a clock begin at `origin`, or with the first.
    ///
    /// # Errors
    /// When the file with events does not exist.
    pub(super) fn new(plan: Plan, origin: Option<Millis>) -> Result<Self, Error> {
        let Plan {
            times,
            selection,
            turns,
            increments,
            reblock,
            ids,
            mixed,
            target,
            fleet,
            kv_events,
            max_memory,
            max_ids_memory,
        } = plan;
        // A length beyond the address space is no limit.
        let most = selection.tail.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let needs_new_ids = target.needs_dense() || turns == Some(Turns::Cumulative);
        let ids = if needs_new_ids && ids == IdChange::Keep { IdChange::Dense } else { ids };
        let anonymous = matches!(ids, IdChange::Keyed(_));
        let [fresh, tails] = FreshIds::ALL_FILES.map(|file| FreshIds::of_file(file).named(anonymous));
        let writes_increments = increments || turns == Some(Turns::Incremental);
        let unchanged = times.is_none()
            && selection.is_all()
            && turns.is_none()
            && reblock.is_none()
            && fleet.is_none()
            && kv_events.is_none()
            && ids == IdChange::Keep
            && target == Target::Mooncake;
        Ok(Self {
            changes_times: !times.is_none() || selection.needs_time() || target != Target::Mooncake,
            read: (times.unit == Unit::Milliseconds).then(TimeOrder::default),
            retimer: Retimer::new(times, origin),
            head_left: selection.head,
            selector: Selector::new(selection),
            sessions: Sessions::new(max_memory),
            increments: writes_increments,
            turns: turns.map(|turns| TurnConverter::new(turns, max_memory).with_fresh(fresh)),
            reblock,
            told: Told::new(target, writes_increments, anonymous),
            // A whole prompt keeps ids that its session had in earlier files.
            ids: IdMap::new(ids, mixed || turns == Some(Turns::Cumulative), max_ids_memory),
            target,
            writer: TargetWriter::new(target),
            plain: unchanged,
            tail: Tail { most, held: VecDeque::new(), bytes: 0, max_bytes: max_memory },
            written: 0,
            last_time: None,
            order: TimeOrder::default(),
            new_ids: Vec::new(),
            new_output_ids: Vec::new(),
            lost_answers: 0,
            dispatcher: fleet.map(|fleet| Dispatcher::new(fleet, max_ids_memory)),
            contents: kv_events.map(|file| Contents::new(&file)).transpose()?,
            edits: LineEdits::default(),
            tails,
        })
    }

    /// From now on records may have the ids of an earlier group.
    pub(super) fn mix_groups(&mut self) {
        self.ids.mix();
    }

    /// Whether no record is wanted at all.
    pub(super) fn is_satisfied(&self) -> bool {
        self.head_left == Some(0)
    }

    /// How many records have been written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The time of the record that was written last, as written (in milliseconds).
    pub(super) fn last_time(&self) -> Option<f64> {
        self.last_time
    }

    /// What the user should know in the end.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let unsampled = self.selector.unsampled();
        if unsampled > 0 {
            notes.push(format!("{unsampled} records have nothing to be sampled by: drawn one by one"));
        }
        let restarts = self.turns.as_ref().map_or(0, TurnConverter::restarts);
        if restarts > 0 {
            notes.push(format!(
                "{restarts} prompts do not continue their session: each begins a session of its own"
            ));
        }
        notes.extend(self.contents.iter().flat_map(Contents::notes));
        notes.extend(self.retimer.note());
        notes.extend(self.read.and_then(|read| read.unit_note()));
        if self.lost_answers > 0 {
            let why = match self.turns {
                Some(_) => "`turns` cuts blocks at other places",
                None => "the format has no place for them",
            };
            notes.push(format!("the output_hash_ids of {} records are left out: {why}", self.lost_answers));
        }
        notes.extend(self.told.as_ref().and_then(Told::note));
        notes.extend(
            self.order
                .note()
                .map(|note| format!("{note} (see `sort`, and of several files `merge` and `shift`)")),
        );
        notes
    }

    /// Takes the next record, whose blocks have `block_size` tokens.
    ///
    /// # Errors
    /// What makes the record impossible to convert, without its place.
    #[inline]
    pub(super) fn add(
        &mut self,
        entry: &SourceRecord,
        block_size: u64,
        out: &mut Vec<u8>,
    ) -> Result<Flow, Invalid> {
        if let Some(read) = self.read.as_mut().filter(|_| !entry.fixed_unit) {
            read.count(entry.record.timestamp);
        }
        let is_sized = block_size == DEFAULT_BLOCK_SIZE || entry.record.block_size.is_some();
        if self.plain
            && is_sized
            && !entry.has_synonyms()
            && !entry.surrogate_ids
            && !entry.clock_time
            && !self.retimer.has_origin()
            && entry.group == 0
        {
            out.extend_from_slice(entry.line);
            out.push(b'\n');
            self.count(entry.record.timestamp);
            return Ok(Flow::More);
        }
        self.general(entry, block_size, out)
    }

    /// Counts a record that is written.
    #[inline]
    fn count(&mut self, time: Option<f64>) {
        self.written += 1;
        self.last_time = time;
        self.order.count(time);
    }

    #[inline(never)]
    fn general(&mut self, entry: &SourceRecord, block_size: u64, out: &mut Vec<u8>) -> Result<Flow, Invalid> {
        if (entry.surrogate_ids || entry.group > 0) && *self.ids.change() == IdChange::Keep {
            self.number_from_now(entry)?;
        }
        let mut time = None;
        if self.changes_times || entry.clock_time || self.retimer.has_origin() {
            time = self.retimer.place(entry, self.last_time)?;
        }
        let date = if self.selector.needs_date() { self.retimer.date(entry)? } else { None };
        if !self.selector.keeps(entry, (time, date), &mut self.sessions)? {
            return Ok(Flow::More);
        }
        match self.tail.most {
            Some(most) => self.tail.hold(entry, time, most)?,
            None => self.write(entry.line, entry.record, entry.group, time, block_size, out)?,
        }
        let Some(left) = &mut self.head_left else { return Ok(Flow::More) };
        *left = left.saturating_sub(1);
        Ok(if *left == 0 { Flow::Enough } else { Flow::More })
    }

    /// Renumbers from the first record on, if this is the first.
    fn number_from_now(&mut self, entry: &SourceRecord) -> Result<(), Invalid> {
        if self.written > 0 {
            let what =
                if entry.surrogate_ids { "strings or have another scope" } else { "numbered from zero" };
            return Err(Invalid::conflict(format!(
                "ids that are {what}, after ids that were kept as they are: give `renumber` or `ids_scope`"
            )));
        }
        self.ids.make_dense();
        self.plain = false;
        Ok(())
    }

    /// Appends the next of the records that had to wait for the end; false if there is none.
    ///
    /// # Errors
    /// As for [`Transformer::add`].
    pub(super) fn drain(&mut self, block_size: u64, out: &mut Vec<u8>) -> Result<bool, Invalid> {
        let Some(held) = self.tail.held.pop_front() else {
            self.writer.start(out);
            return Ok(false);
        };
        let mut record = Record::default();
        record::parse(&held.line, &mut record)?;
        self.write(&held.line, &record, held.group, held.time, block_size, out)?;
        Ok(true)
    }

    fn write(
        &mut self,
        line: &[u8],
        record: &Record,
        group: Group,
        time: Option<Millis>,
        block_size: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        self.new_ids.clear();
        self.new_ids.extend_from_slice(&record.hash_ids);
        self.new_output_ids.clear();
        self.new_output_ids.extend_from_slice(&record.output_hash_ids);
        let mut new = NewValues {
            has_ids: record.has_ids,
            has_output_ids: record.has_output_ids,
            input_length: record.input_length,
            group,
            restarts: 0,
            time: time.map(|time| self.retimer.finish(time)).transpose()?,
            delay: if self.target.holds_delays() { self.delay(line)?.map(|(_, delay)| delay) } else { None },
        };
        let session = self.convert_turn(line, record, block_size, &mut new)?;
        if new.has_output_ids && new.input_length != record.input_length {
            new.has_output_ids = false;
            self.new_output_ids.clear();
            self.lost_answers += 1;
        }
        let size = self.reblock(block_size, new.input_length)?;
        let all = new.input_length.div_ceil(size);
        if new.has_ids && self.target.needs_all_blocks() && (self.new_ids.len() as u64) < all {
            self.new_ids.push(self.tails.fresh(xxh3_64(line)));
        }
        self.map_ids(new.group)?;
        let written_time = new.time.map(Millis::as_f64).or(record.timestamp);
        self.count(written_time);
        if self.target == Target::Mooncake {
            let start = out.len();
            self.mooncake(line, record, &new, size, out)?;
            self.told.iter_mut().for_each(|told| told.add(&out[start..], None));
            if let Some(contents) = &mut self.contents {
                contents.look_up(record, (block_size, written_time), start, out)?;
            }
            let Some(dispatcher) = &mut self.dispatcher else { return Ok(()) };
            let ids = if new.has_ids { &self.new_ids[..] } else { &[] };
            let (input_length, time) = (new.input_length, written_time);
            return dispatcher.send(&Sent { ids, input_length, time, block_size: size }, start, out);
        }
        let unusual = Some(size).filter(|size| new.has_ids && *size != DEFAULT_BLOCK_SIZE);
        self.told.iter_mut().for_each(|told| told.add(line, unusual));
        let name = if self.target.holds_session(self.increments) {
            let name = session.map(|session| session_name(line, session, new.restarts));
            name.or_else(|| general::field(line, "session_id"))
        } else {
            None
        };
        let request = TraceLine {
            time: new.time,
            input_length: new.input_length,
            output_length: record.output_length,
            ids: new.has_ids.then_some(Cow::Borrowed(&self.new_ids[..])),
            output_ids: new.has_output_ids.then_some(Cow::Borrowed(&self.new_output_ids[..])),
            block_size: Some(size),
            session: name.as_deref(),
            delay: new.delay,
            ..TraceLine::default()
        };
        self.writer.write(&request, line, out)?;
        self.lost_answers += u64::from(new.has_output_ids && !self.writer.has_output_ids());
        Ok(())
    }

    /// Converts a row of a session, if that is wanted; the session.
    fn convert_turn(
        &mut self,
        line: &[u8],
        record: &Record,
        block_size: u64,
        new: &mut NewValues,
    ) -> Result<Option<u64>, Invalid> {
        let Some(turns) = &mut self.turns else { return Ok(None) };
        let Some(session) = self.sessions.key(line)? else { return Ok(None) };
        let turn = SessionTurn {
            session,
            numbering: new.group as usize,
            input_length: record.input_length,
            output_length: record.output_length.unwrap_or(0),
            block_size,
            time: new.time,
            delay: new.delay,
        };
        let turn = turns.convert(&turn, &mut self.new_ids, &mut new.has_ids)?;
        (new.input_length, new.restarts) = (turn.input_length, turn.restarts);
        new.group = turn.numbering as Group;
        // The first request of a session has a time.
        if turn.begins.is_some() {
            (new.time, new.delay) = (turn.begins, None);
        }
        Ok(Some(session))
    }

    /// Joins blocks into those of the size that is wanted, if one is; the size that they then have.
    fn reblock(&mut self, block_size: u64, input_length: u64) -> Result<u64, Invalid> {
        let Some(wanted) = self.reblock else { return Ok(block_size) };
        let join = BlockJoin::new(block_size, wanted, "reblock")?;
        join.join(input_length, &mut self.new_ids, &mut self.new_output_ids);
        Ok(wanted)
    }

    /// Changes the ids of a prompt and then those of its answer, which have one numbering.
    fn map_ids(&mut self, group: Group) -> Result<(), Invalid> {
        let prompt = self.new_ids.len();
        self.new_ids.append(&mut self.new_output_ids);
        self.ids.map(group, &mut self.new_ids)?;
        self.new_output_ids.extend(self.new_ids.drain(prompt..));
        Ok(())
    }

    /// The delay of a record as it is written, and where in the line it stands.
    fn delay(&self, line: &[u8]) -> Result<Option<(Range<usize>, Millis)>, Invalid> {
        if memmem::find(line, b"\"delay").is_none() {
            return Ok(None);
        }
        let found = DELAYS.iter().find_map(|&name| Some((name, general::field_span(line, name)?)));
        let Some((name, span)) = found else { return Ok(None) };
        // The name of the other one says what it counts.
        let unit = if name == "delay" { self.retimer.unit() } else { Unit::Milliseconds };
        let text = std::str::from_utf8(&line[span.clone()]).unwrap_or_default();
        if text == "null" {
            return Ok(None);
        }
        let wrong = || Invalid::value(format!("{name}: expected a number, found {text}"));
        let delay = Millis::parse(text, unit).ok_or_else(wrong)?;
        Ok(Some((span, self.retimer.span(delay)?)))
    }

    /// The line with what has changed.
    fn mooncake(
        &mut self,
        line: &[u8],
        record: &Record,
        new: &NewValues,
        block_size: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        let delay = if self.retimer.changes_delays() { self.delay(line)? } else { None };
        let Self { edits, new_ids, new_output_ids, .. } = self;
        if let Some((place, delay)) = delay {
            edits.replace(&place, |text| delay.write(Unit::Milliseconds, text));
        }
        let number = |value: u64, text: &mut Vec<u8>| {
            text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        };
        if new.restarts > 0 {
            let name = general::field(line, "session_id");
            let span = name.as_ref().and_then(|_| general::field_span(line, "session_id"));
            let (Some(name), Some(span)) = (name, span) else {
                return Err(Invalid::conflict(
                    "a prompt does not continue its session, which has no session_id to be changed \
                     (see `to_format`=aiperf)",
                ));
            };
            edits.replace(&span, |text| write_text(&restarted(&name, new.restarts), text));
        }
        for (place, name) in general::synonyms(line, record) {
            edits.replace(&place, |text| text.extend_from_slice(name.as_bytes()));
        }
        if let Some(time) = new.time {
            edits.replace(&record.time_span, |text| time.write(Unit::Milliseconds, text));
        }
        // Whoever reads ids must know the size of their blocks. One that is null counts as absent, but stands there.
        let gets_size = new.has_ids
            && block_size != DEFAULT_BLOCK_SIZE
            && record.block_size.is_none()
            && memmem::find(line, b"\"block_size\"").is_none();
        let ids = new.has_ids.then_some(&new_ids[..]);
        edits.prompt(line, record, new.input_length, ids, gets_size.then_some(block_size));
        if !new.has_output_ids {
            edits.replace(&record.output_ids_span, |text| text.extend_from_slice(b"null"));
        } else if *new_output_ids != record.output_hash_ids {
            edits.ids(line, &record.output_ids_span, new_output_ids);
        }
        if record.block_size.is_some_and(|size| size != block_size) {
            edits.replace(&record.block_size_span, |text| number(block_size, text));
        }
        edits.apply(line, out);
        Ok(())
    }
}

/// What a record has become.
struct NewValues {
    has_ids: bool,
    has_output_ids: bool,
    input_length: u64,
    /// Whose ids it has.
    group: Group,
    restarts: u32,
    time: Option<Millis>,
    delay: Option<Millis>,
}

impl Tail {
    fn hold(&mut self, entry: &SourceRecord, time: Option<Millis>, most: usize) -> Result<(), Invalid> {
        if most == 0 {
            return Ok(());
        }
        let mut line = Vec::new();
        if self.held.len() == most
            && let Some(oldest) = self.held.pop_front()
        {
            self.bytes -= oldest.line.capacity() + size_of::<HeldLine>();
            line = oldest.line;
        }
        line.clear();
        line.extend_from_slice(entry.line);
        self.bytes += line.capacity() + size_of::<HeldLine>();
        if self.bytes > self.max_bytes {
            return Err(Invalid::over_limit(
                "the records for `tail` take more memory than `max_memory` allows",
            ));
        }
        self.held.push_back(HeldLine { line, group: entry.group, time });
        Ok(())
    }
}

/// A name for the session of a line.
fn session_name(line: &[u8], session: u64, restarts: u32) -> String {
    let name = general::field(line, "session_id").or_else(|| general::field(line, "conversation_id"));
    restarted(&name.unwrap_or_else(|| format!("{session:016x}")), restarts)
}

fn restarted(name: &str, restarts: u32) -> String {
    if restarts == 0 { name.to_owned() } else { format!("{name}.{}", restarts + 1) }
}
