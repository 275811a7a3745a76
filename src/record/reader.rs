//! The one reader: records out of files of any format, with the block size they agree on.

use crate::error::{Invalid, Result};
use crate::io::{Input, Status};
use crate::record::block_size::BlockSize;
use crate::record::decoded::Decoded;
use crate::record::formats::{
    DecodeLine, DecodedLines, FileFacts, Format, FormatSpec, Increments, Place, Rows, counts_from_zero,
    is_header,
};
use crate::record::general;
use crate::record::remarks::Remarks;
use crate::record::scan::{scan, scan_line};
use crate::record::scanned::Scanned;
use crate::record::sessions::{Sessions, affinity};
use crate::record::trace_record::Record;

/// The records of an input whose files may be in different formats.
///
/// The first line of a file says its format, unless the user does; a line that contradicts it is an error.
/// Lines of the Mooncake format are read where they lie; those of other formats become Mooncake lines first.
/// [`TraceReader::advance`] reuses the memory of one record; where each record may have its own there is an
/// iterator, [`TraceReader::records`].
pub struct TraceReader {
    input: Input,
    choice: Option<Format>,
    /// Index of the first file of `input` among all operands.
    first_file: usize,
    /// The operand that the decoder is for.
    file: Option<usize>,
    format: &'static FormatSpec,
    decoder: Option<DecodeLine>,
    decoded: DecodedLines,
    /// Looks for rows that hold only what is new, as long as the file may have some.
    watch: Option<Box<Increments>>,
    remarks: Remarks,
    /// What decoders are told of every file.
    facts: FileFacts,
    /// Where the current record stands in `decoded`, if it does.
    place: Option<Place>,
    /// Whether every file has sessions of its own.
    files_apart: bool,
    record: Record,
    block_size: BlockSize,
    valid: u64,
    /// Whether the scanner has read the line before: then the next is read without looking for its end first.
    scanned: bool,
    /// Threads beside this one that read ahead.
    helpers: usize,
    /// What tells the sessions of records, if that is asked for.
    sessions: Option<Sessions>,
    /// The field with the priority of records, if that is asked for.
    priority: Option<String>,
    /// What tells the affinity of records, if that is asked for.
    affinity: Option<Affinity>,
}

/// The field that alone tells the affinity, if there is one.
struct Affinity(Option<String>);

impl TraceReader {
    /// Reads records from `input`. Without a `format` each file's first line decides. `block_size` is what
    /// the user says, if anything.
    pub fn new(input: Input, format: Option<Format>, block_size: Option<u64>) -> Self {
        Self {
            input,
            choice: format,
            first_file: 0,
            file: None,
            format: Format::Mooncake.spec(),
            decoder: None,
            decoded: DecodedLines::default(),
            watch: None,
            remarks: Remarks::default(),
            facts: FileFacts {
                name: String::new(),
                index: 0,
                block_size: None,
                session_memory: usize::MAX,
                keep: Vec::new(),
                columns: Vec::new(),
                named_ids: false,
                is_found_out: format.is_none(),
            },
            place: None,
            files_apart: false,
            record: Record::default(),
            block_size: BlockSize::new(block_size),
            valid: 0,
            scanned: false,
            helpers: 0,
            sessions: None,
            priority: None,
            affinity: None,
        }
    }

    /// The same for an input whose first file is operand `index`, while other readers have the others.
    #[must_use]
    pub fn starting_at(mut self, index: usize) -> Self {
        self.first_file = index;
        self.decoded.set_global_first();
        self
    }

    /// The same with times of the trace: those of a clock are counted from the first.
    #[must_use]
    pub fn with_times_from_zero(mut self) -> Self {
        self.decoded.count_from_zero();
        self
    }

    /// The same, with at most so many bytes for sessions whose rows hold only what is new.
    #[must_use]
    pub fn with_session_memory(mut self, bytes: usize) -> Self {
        self.facts.session_memory = bytes;
        self
    }

    /// The same, where the sessions of every file are its own, whatever they are called. Otherwise what is known of them
    /// goes on over files of one format that follow each other, as if they were one.
    #[must_use]
    pub fn with_files_apart(mut self, files_apart: bool) -> Self {
        self.files_apart = files_apart;
        self
    }

    /// The same, where ids that the file does not have, or only for a session or a conversation, are hashes of what they
    /// name: then they differ also from those of other files that are read by themselves.
    #[must_use]
    pub fn with_named_ids(mut self, named_ids: bool) -> Self {
        self.facts.named_ids = named_ids;
        self
    }

    /// The same, where these fields of logs are kept though they have no part in a record.
    #[must_use]
    pub fn with_kept(mut self, fields: Vec<String>) -> Self {
        self.facts.keep = fields;
        self
    }

    /// The same, where columns of tables count as others: each with the name that counts, and the one in the table.
    #[must_use]
    pub fn with_columns(mut self, columns: Vec<(String, String)>) -> Self {
        self.facts.columns = columns;
        self
    }

    /// The same with this thread and `jobs - 1` more, which read lines of long files before their turn, if they are in the
    /// Mooncake format or one in which lines do not depend on others. The records are the same.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.helpers = jobs.saturating_sub(1);
        self
    }

    /// The same, where records are to have the number of their session. Where sessions are known by chains of
    /// chats alone, these may take `max_bytes`.
    #[must_use]
    pub fn with_sessions(mut self, max_bytes: usize) -> Self {
        self.sessions = Some(Sessions::new(max_bytes));
        self
    }

    /// The same, where records are to have the priority that this field states.
    #[must_use]
    pub fn with_priority(mut self, field: Option<String>) -> Self {
        self.priority = field;
        self
    }

    /// The same, where `field` alone names the session.
    #[must_use]
    pub fn with_session_field(mut self, field: &str) -> Self {
        self.sessions = Some(Sessions::of_field(field.to_owned()));
        self
    }

    /// The same, where records are to have what a router may keep in one place: the value of `field`, if that is
    /// given.
    #[must_use]
    pub fn with_affinity(mut self, field: Option<&str>) -> Self {
        self.affinity = Some(Affinity(field.map(str::to_owned)));
        self
    }

    /// Goes on to the next valid record; false after the last. `idle` as for [`Input::advance`].
    ///
    /// # Errors
    /// A bad record (unless those are skipped), and those of [`Input::advance`].
    #[inline]
    pub fn advance(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        while let Some(record) = self.step(&mut idle)? {
            match record {
                Ok(()) => return Ok(true),
                Err(invalid) => self.input.reject(invalid.message)?,
            }
        }
        Ok(false)
    }

    /// Goes on to the next record, valid or not; `None` after the last.
    ///
    /// # Errors
    /// Those of [`Input::advance`].
    #[inline]
    pub fn step(
        &mut self,
        mut idle: impl FnMut(Status) -> Result<()>,
    ) -> Result<Option<Result<(), Invalid>>> {
        if self.scanned {
            let record = &mut self.record;
            let preview = self.input.preview().and_then(|(preview, at)| Some((Scanned::of(preview)?, at)));
            let length = preview.and_then(|(scanned, at)| scanned.take(at, record));
            if self.input.advance_by(|text| length.or_else(|| scan_line(text, record))) {
                return Ok(Some(self.check()));
            }
            if self.helpers > 0 {
                self.input.read_ahead(self.helpers, Scanned::previews)?;
            }
        }
        'lines: loop {
            if self.decoder.is_some() {
                self.place = self.decoded.take();
                if self.place.is_some() {
                    let parsed = self.parse();
                    if parsed.is_ok() {
                        self.decode_ahead()?;
                    }
                    return Ok(Some(parsed));
                }
                if self.take_decoded() {
                    continue;
                }
            }
            while !self.input.advance_in_file(&mut idle)? {
                // What a file has still to give comes before the next one is opened, as it is of this one: a record
                // that its end cut off, or one of which more might have come.
                if let Some(invalid) = self.decoded.take_unfinished() {
                    return Ok(Some(Err(invalid)));
                }
                self.decoded.clear_requests();
                if self.decoded.release() {
                    continue 'lines;
                }
                if !self.input.open_next()? {
                    return Ok(None);
                }
            }
            if self.file != Some(self.input.file_index()) {
                self.start_file();
            }
            if self.decoder.is_none()
                && let Some(record) = self.in_place()
            {
                return Ok(Some(record));
            }
            let Some(decoder) = &mut self.decoder else { continue };
            self.decoded.clear();
            if let Err(invalid) = decoder(self.input.line(), &mut self.decoded) {
                self.decoded.clear();
                return Ok(Some(Err(self.explain(invalid))));
            }
            if let Some(what) = self.decoded.take_unread_time() {
                self.remarks.unread_time(self.input.place(), &what);
            }
        }
    }

    /// Lets the threads that read ahead decode what they read, once the file has shown how it writes times.
    fn decode_ahead(&mut self) -> Result<()> {
        let wanted = self.helpers > 0 && self.format.lines_apart && self.record.timestamp.is_some();
        match &self.decoder {
            Some(decoder) if wanted => {
                self.input.read_ahead(self.helpers, || Decoded::previews(decoder, &self.decoded))
            }
            _ => Ok(()),
        }
    }

    /// Goes on to the next line if it has been decoded before its turn.
    fn take_decoded(&mut self) -> bool {
        if self.decoded.is_unfinished() {
            return false;
        }
        let Some((preview, at)) = self.input.preview() else { return false };
        let length = Decoded::of(preview).and_then(|decoded| decoded.take(at, &mut self.decoded));
        let is_taken = length.is_some_and(|length| self.input.advance_over(length));
        if !is_taken {
            self.decoded.clear();
        }
        is_taken
    }

    /// Reads a line where it lies; `None` if it turns out to be for a decoder.
    #[inline]
    fn in_place(&mut self) -> Option<Result<(), Invalid>> {
        let parsed = self.parse();
        if self.watch.is_none() {
            return Some(parsed);
        }
        let watched = parsed.and_then(|()| self.watch_rows());
        watched.map(|goes_on| goes_on.then_some(())).transpose()
    }

    /// Looks at a row of a file that may hold sessions in increments; false if it does.
    #[cold]
    fn watch_rows(&mut self) -> Result<bool, Invalid> {
        let Some(mut watch) = self.watch.take() else { return Ok(true) };
        let rows = watch.look(self.input.line(), &self.record, self.block_size(), self.file_index());
        self.valid -= u64::from(!matches!(rows, Ok(Rows::Unclear | Rows::Whole)));
        match rows? {
            Rows::Unclear => {
                if watch.is_doubtful() {
                    self.remarks.doubt(self.input.place().0);
                }
                self.watch = Some(watch);
            }
            Rows::Whole => {}
            Rows::Increments => {
                self.format = Format::Aiperf.spec();
                self.remarks.found(Format::Aiperf, self.input.place().0);
                self.decoder = Some(watch.decoder());
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Chooses the decoder by the first line of a file.
    #[cold]
    fn start_file(&mut self) {
        let index = self.input.file_index();
        let known = self.choice.or_else(|| Format::of_first(self.input.line()));
        // A line that is no record of anything leaves it to the next one.
        self.file = known.map(|_| index);
        let format = known.unwrap_or(Format::Mooncake);
        let goes_on = !self.files_apart && self.continues(format);
        let (name, _) = self.input.place();
        let facts = FileFacts {
            name: name.to_owned(),
            index: self.first_file + index,
            block_size: self.block_size.given(),
            ..self.facts.clone()
        };
        if !goes_on {
            self.format = format.spec();
            self.decoder = self.format.decoder(&facts);
            let may_hold_increments = self.choice.is_none() && format == Format::Mooncake;
            self.watch = may_hold_increments.then(|| Increments::watch(self.input.line(), &facts)).flatten();
        }
        self.decoded.start_file(&facts, self.format.clock_times, goes_on);
        self.place = None;
        if self.choice.is_none() && format != Format::Mooncake {
            self.remarks.found(format, self.input.place().0);
        }
    }

    /// Whether a file whose first line shows `format` may go on with the sessions of the one before it.
    fn continues(&self, format: Format) -> bool {
        match (format, &self.watch) {
            (Format::Mooncake, Some(watch)) => {
                watch.may_go_on() && Increments::has_session(self.input.line())
            }
            (Format::Mooncake, None) if self.format.name == Format::Aiperf.spec().name => {
                Increments::has_session(self.input.line())
            }
            _ => {
                self.format.follows_sessions()
                    && self.format.name == format.spec().name
                    && self.decoder.is_some()
            }
        }
    }

    #[inline]
    fn parse(&mut self) -> Result<(), Invalid> {
        let line = match &self.place {
            None => self.input.line(),
            Some(place) => self.decoded.line(place.text.clone()),
        };
        self.scanned = scan(line, &mut self.record);
        if !self.scanned {
            general::parse(line, &mut self.record).map_err(|invalid| self.explain(invalid))?;
            self.refuse_other_formats()?;
        }
        // Lines of other formats are not read where they lie, and rows that are watched not without it.
        self.scanned &= self.decoder.is_none() && self.watch.is_none();
        self.check().map_err(|invalid| match self.format.name {
            "mooncake" => invalid,
            name => Invalid::new(invalid.kind, format!("{}, read as {name}", invalid.message)),
        })
    }

    /// What to say of a line that cannot be read: where it is of another format, that comes first.
    #[cold]
    fn explain(&self, invalid: Invalid) -> Invalid {
        let line = self.input.line();
        let other = Format::detect(line);
        let is_other = match other {
            Format::Mooncake => {
                self.decoder.is_some() && general::parse(line, &mut Record::default()).is_ok()
            }
            _ => other.spec().name != self.format.name,
        };
        if !is_other {
            let begins_table = self.decoder.is_none() && self.input.place().1 == 1 && is_header(line);
            return if begins_table { unknown_table(&invalid) } else { invalid };
        }
        if self.choice.is_some() {
            let message =
                format!("{} (the line looks like {}: see `from_format`)", invalid.message, other.spec().name);
            return Invalid::new(invalid.kind, message);
        }
        let other = self.format.contradicted_by(other.spec().name);
        if other.message == invalid.message {
            return invalid;
        }
        Invalid::new(invalid.kind, format!("{} ({})", other.message, invalid.message))
    }

    /// Refuses a line that is valid here but means something else in its own format.
    fn refuse_other_formats(&self) -> Result<(), Invalid> {
        let is_chosen = self.choice.is_some() || self.decoder.is_some();
        match Format::misread(self.input.line()).filter(|_| !is_chosen) {
            Some(other) => Err(self.format.contradicted_by(other.spec().name)),
            None => Ok(()),
        }
    }

    #[inline]
    fn check(&mut self) -> Result<(), Invalid> {
        self.record.line = self.input.lines_read();
        let mut checked = self.block_size.check(&self.record);
        if checked.is_ok() && (self.sessions.is_some() || self.affinity.is_some()) {
            checked = self.find_session();
        }
        if checked.is_ok() && self.priority.is_some() {
            checked = self.find_priority();
        }
        self.valid += u64::from(checked.is_ok());
        checked
    }

    #[cold]
    fn find_priority(&mut self) -> Result<(), Invalid> {
        if let Some(field) = &self.priority {
            self.record.priority = general::number(self.line(), field)?;
        }
        Ok(())
    }

    #[cold]
    fn find_session(&mut self) -> Result<(), Invalid> {
        let line = match &self.place {
            None => self.input.line(),
            Some(place) => self.decoded.line(place.text.clone()),
        };
        if let Some(sessions) = &mut self.sessions {
            self.record.session = sessions.key(line)?;
        }
        if let Some(Affinity(field)) = &self.affinity {
            self.record.affinity = affinity(line, field.as_deref());
        }
        Ok(())
    }

    /// The valid records that are left, each with memory of its own. A bad record is an error, after which
    /// the records behind it may be asked for.
    pub fn records(&mut self) -> impl Iterator<Item = Result<Record>> {
        std::iter::from_fn(|| match self.advance(|_| Ok(())) {
            Ok(true) => Some(Ok(self.record.clone())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// The record that [`TraceReader::advance`] has reached.
    #[inline]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The line of the current record, in the Mooncake format.
    #[inline]
    pub fn line(&self) -> &[u8] {
        match &self.place {
            None => self.input.line(),
            Some(place) => self.decoded.line(place.text.clone()),
        }
    }

    /// Which operand the record is from, from 0.
    #[inline]
    pub fn file_index(&self) -> usize {
        self.first_file + self.input.file_index()
    }

    /// The operand whose numbering the ids of the record have: an earlier one where its session goes on from there.
    #[inline]
    pub fn numbering(&self) -> usize {
        self.place.as_ref().map_or_else(|| self.file_index(), |place| place.numbering)
    }

    /// Whether the file numbers the blocks of the current record 0, 1, 2, ...
    pub fn counts_from_zero(&self) -> bool {
        match &self.place {
            None => counts_from_zero(&self.record.hash_ids, &self.record.output_hash_ids),
            Some(place) => place.ids.from_zero,
        }
    }

    /// Whether the sessions of the current file are those of the one before it.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.decoded.goes_on()
    }

    /// Whether ids of the current file depend on what came before in the same session.
    pub(crate) fn follows_sessions(&self) -> bool {
        self.format.follows_sessions()
    }

    /// Whether the times of the current file are those of a clock, not of the trace.
    #[inline]
    pub fn has_clock_times(&self) -> bool {
        self.decoded.has_clock_times()
    }

    /// Whether the format of the current file says what its times count.
    #[inline]
    pub fn has_fixed_unit(&self) -> bool {
        !self.format.leaves_unit_open() || self.has_clock_times()
    }

    /// Whether the ids of the current record stand for strings or for ids with a local scope, and are to be
    /// renumbered.
    #[inline]
    pub fn has_surrogate_ids(&self) -> bool {
        self.format.surrogate_ids || self.place.as_ref().is_some_and(|place| place.ids.is_surrogate)
    }

    /// Whether the ids of the current record are those of a conversation alone, so that no other file has them.
    pub(crate) fn has_local_ids(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.ids.is_local)
    }

    /// The lines beneath the records.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The block size: final once a record has been read.
    pub fn block_size(&self) -> u64 {
        self.block_size.get()
    }

    /// Number of valid records so far.
    pub fn valid(&self) -> u64 {
        self.valid
    }

    /// What to say at the end about the formats that were found out.
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.list(&self.decoded)
    }

    /// What to say at the end about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub fn skipped(&self) -> Result<Option<String>> {
        self.input.skipped(self.valid)
    }
}

/// What to say of a table whose columns are those of no format.
fn unknown_table(invalid: &Invalid) -> Invalid {
    let hint = "of a table with names of its own, `columns` of trace-cat says what they hold (timestamp=NAME,input_length=NAME)";
    Invalid::new(invalid.kind, format!("{}; {hint}", invalid.message))
}
