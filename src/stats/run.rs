//! What `trace-stats` does, from its inputs to its output.

use std::path::PathBuf;

use super::analysis::Analysis;
use super::block_sizes::{BlockSizes, FIELD};
use super::cache::{CacheOptions, TierSizes};
use super::figures::{Report, WindowReport};
use super::groups::{GroupReport, Groups, label};
use super::pieces::{Merger, PartialWriter, Piece};
use super::requests::RequestReport;
use super::statistics::AnalysisOptions;
use super::thrashing::Thrashing;
use super::window::WindowSize;
use crate::error::{Error, Result};
use crate::io::{Input, InputOptions, Observer, Output};
use crate::record::formats::Format;
use crate::record::time::{late_note, unit_note};
use crate::record::{DEFAULT_BLOCK_SIZE, TraceReader, general};

/// All that a run needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The inputs in order; none is standard input.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub input: InputOptions,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// Whether each report of several replaces the one before, instead of following it.
    pub replaces: bool,
    /// What is written.
    pub mode: Mode,
    /// The format of all files; if absent, the first line of each file tells.
    pub format: Option<Format>,
    /// Tokens per block; if absent, what the records state.
    pub block_size: Option<u64>,
    /// What the report is called, if it is given a name.
    pub title: Option<String>,
    /// Percentiles in the reports, in percent.
    pub percentiles: Vec<f64>,
    /// What is analysed. The run itself fills in the window, the capacities and the warm-up.
    pub analysis: AnalysisOptions,
    /// Capacities to report.
    pub capacities: Vec<Capacity>,
    /// Names and sizes of the tiers of each replica; several lists to compare.
    pub tiers: Vec<Vec<(String, Capacity)>>,
    /// The size of a pool below them, one for all replicas.
    pub shared: Option<Capacity>,
    /// Requests that fill the caches first.
    pub warmup: Warmup,
    /// Sizes of blocks at which a report in [`Mode::Report`] tells the figures too: multiples of that of the trace.
    pub block_sizes: Vec<u64>,
}

impl Task {
    /// A report on `files` to standard output, at the end.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            input: InputOptions::default(),
            output: None,
            replaces: false,
            mode: Mode::Report { every: None, by: None },
            format: None,
            block_size: None,
            title: None,
            percentiles: vec![50.0, 90.0, 99.0],
            analysis: AnalysisOptions::default(),
            capacities: Vec::new(),
            tiers: Vec::new(),
            shared: None,
            warmup: Warmup::default(),
            block_sizes: Vec::new(),
        }
    }
}

/// What a run writes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// A report on all requests, at the end.
    Report {
        /// Another one after every so many requests.
        every: Option<u64>,
        /// Also on the requests with each value of this field.
        by: Option<String>,
    },
    /// The hits of each request in each cache.
    Requests,
    /// The figures of each window of this size.
    Windows(WindowSize),
    /// The state of one piece of a trace, to be merged with others; where it is in the trace, if known.
    Piece(Option<Piece>),
    /// A report on the trace whose pieces are read.
    Merge,
}

/// The size of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capacity {
    /// In blocks.
    Blocks(u64),
    /// In tokens, as engines state it: whole blocks of them count.
    Tokens(u64),
    /// In bytes of KV cache, which needs [`CacheOptions::kv_bytes_per_token`].
    Bytes(u64),
}

/// How many requests fill the caches before the measure begins.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warmup {
    /// This many.
    Requests(u64),
    /// This share of all, rounded down. The files are read once more to count them.
    Fraction(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Requests(0)
    }
}

/// Turns figures into text.
pub trait Render {
    /// Appends a report.
    fn report(&self, report: &Report, out: &mut Vec<u8>);

    /// Appends a report on all requests and those on groups by the value of `field`; one without a value
    /// is of the requests that have no group.
    fn groups(&self, report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>);

    /// Appends the hits of a request.
    fn request(&self, report: &RequestReport, out: &mut Vec<u8>);

    /// Appends the figures of a window.
    fn window(&self, report: &WindowReport, out: &mut Vec<u8>);
}

/// Reads the inputs of `task` and writes what it asks for, in the style given.
///
/// # Errors
/// Those of reading and writing; a signal, after which the report of what has been read is still
/// written; and figures that mean nothing for this trace.
pub fn run(task: Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    match task.mode {
        Mode::Report { .. } | Mode::Requests | Mode::Windows(_) => analyse(&task, style, observer),
        Mode::Piece(piece) => write_piece(&task, piece, observer),
        Mode::Merge => merge(&task, style, observer),
    }
}

fn analyse(task: &Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    let warmup = task.warmup_requests()?;
    let mut reader = task.open()?;
    observer.begin(reader.input().total_size());
    let mut output = Output::named(task.output.as_deref())?;
    let mut running = Running::new(task, warmup);
    let ended = loop {
        let more = reader.advance(|status| {
            observer.progress(status);
            output.flush()
        });
        match more {
            Ok(true) => {
                running.add(&reader, style, output.buffer())?;
                if task.replaces && !output.buffer().is_empty() {
                    std::mem::replace(&mut output, Output::named(task.output.as_deref())?).finish()?;
                }
            }
            Ok(false) => break Ok(()),
            // The report of what has been read is still owed.
            Err(signal @ Error::Signal(_)) => break Err(signal),
            Err(error) => return Err(error),
        }
        output.end_record()?;
    };
    observer.end();
    let skipped = reader.skipped()?;
    running.skipped = reader.input().skipped_so_far().0;
    running.finish(style, output, observer)?;
    reader.remarks().iter().chain(&skipped).for_each(|message| observer.note(message));
    running.note_missing_fields(observer);
    ended
}

/// An analysis while its input is read.
struct Running<'a> {
    task: &'a Task,
    warmup: u64,
    every: Option<u64>,
    by: Option<&'a str>,
    /// Made with the first record, which settles the block size.
    analysis: Option<Analysis>,
    groups: Option<Groups>,
    /// Made with the first record, if sizes are asked for.
    sizes: Option<BlockSizes>,
    requests: u64,
    /// Whether a record has had the field of the groups.
    has_field: bool,
    /// Records that do not state the priority that is asked for.
    without_priority: u64,
    /// Records that do not name their session.
    without_session: u64,
    /// Bad records that have been skipped.
    skipped: u64,
}

impl<'a> Running<'a> {
    fn new(task: &'a Task, warmup: u64) -> Self {
        let (every, by) = match &task.mode {
            Mode::Report { every, by } => (*every, by.as_deref()),
            _ => (None, None),
        };
        Self {
            task,
            warmup,
            every,
            by,
            analysis: None,
            groups: None,
            sizes: None,
            requests: 0,
            has_field: false,
            without_priority: 0,
            without_session: 0,
            skipped: 0,
        }
    }

    /// Takes the current record of `reader`, and appends what is to be written with it.
    #[inline]
    fn add(&mut self, reader: &TraceReader, style: &dyn Render, out: &mut Vec<u8>) -> Result<()> {
        self.requests += 1;
        let (record, block_size) = (reader.record(), reader.block_size());
        self.without_priority += u64::from(record.priority.is_none());
        self.without_session += u64::from(record.session.is_none());
        let analysis = match &mut self.analysis {
            Some(analysis) => analysis,
            None => {
                self.task.check_capacities(block_size)?;
                let options = self.task.analysis_options(block_size, self.warmup);
                let checked = options.check_hit_unit(block_size);
                checked.map_err(|invalid| Error::Usage(invalid.to_string()))?;
                self.analysis.insert(Analysis::new(block_size, options))
            }
        };
        if let Some(window) = analysis.close_window(record) {
            style.window(&window, out);
        }
        if let Some(field) = &self.task.analysis.shared_by {
            let value = value_in(reader.line(), field);
            self.has_field |= value.is_some_and(|value| value != "null");
            analysis.set_sharer(&label(value));
        }
        analysis.add(record).map_err(|message| reader.input().error(message))?;
        while let Some(row) = analysis.take_request() {
            if self.task.mode == Mode::Requests {
                style.request(&row, out);
            }
        }
        if !self.task.block_sizes.is_empty() {
            let sizes = match &mut self.sizes {
                Some(sizes) => sizes,
                None => self.sizes.insert(self.task.begin_block_sizes(block_size, self.warmup)?),
            };
            sizes.add(record).map_err(|message| reader.input().error(message))?;
        }
        if let Some(field) = self.by {
            let value = value_in(reader.line(), field);
            self.has_field |= value.is_some_and(|value| value != "null");
            let groups = self.groups.get_or_insert_with(|| {
                Groups::new(block_size, self.task.analysis_options(block_size, self.warmup))
            });
            let added = groups.add(&label(value), record);
            added.map_err(|message| reader.input().error(message))?;
        }
        if self.every.is_some_and(|every| self.requests.is_multiple_of(every)) {
            let skipped_records = reader.input().skipped_so_far().0;
            style.report(&Report { skipped_records, ..self.task.figures(analysis) }, out);
        }
        Ok(())
    }

    /// Writes what is left to be written at the end.
    fn finish(&mut self, style: &dyn Render, mut output: Output, observer: &mut dyn Observer) -> Result<()> {
        let mut analysis = self.analysis.take().unwrap_or_else(|| {
            let block_size = self.task.empty_block_size();
            Analysis::new(block_size, self.task.analysis_options(block_size, self.warmup))
        });
        if self.requests > 0 && !analysis.has_times() {
            self.task.refuse_spans_of_time()?;
        }
        analysis.finish();
        while let Some(row) = analysis.take_request() {
            if self.task.mode == Mode::Requests {
                style.request(&row, output.buffer());
            }
        }
        if let Some(window) = analysis.last_window() {
            style.window(&window, output.buffer());
        }
        let is_reported =
            self.every.is_some_and(|every| self.requests > 0 && self.requests.is_multiple_of(every));
        if is_reported || matches!(self.task.mode, Mode::Windows(_)) {
            if self.task.replaces && output.buffer().is_empty() {
                output.abandon();
                return Ok(());
            }
            return output.finish();
        }
        if self.task.mode == Mode::Requests {
            output.finish()?;
            note(self.task, &analysis.report(&self.task.percentiles), observer);
            return Ok(());
        }
        let sizes = self.sizes.take().map(BlockSizes::into_groups);
        let field = if self.task.block_sizes.is_empty() { self.by } else { Some(FIELD) };
        let mut groups = sizes.or_else(|| self.groups.take());
        groups.iter_mut().for_each(Groups::finish);
        let groups = field.map(|field| (field, groups.as_ref()));
        let figures = Report { skipped_records: self.skipped, ..self.task.figures(&analysis) };
        report(self.task, &figures, groups, style, output, observer)
    }

    fn note_missing_fields(&self, observer: &mut dyn Observer) {
        let shared_by = self.task.analysis.shared_by.as_deref();
        let named = [(self.by, "by"), (shared_by, "shared_by")].into_iter();
        if self.requests > 0 && !self.has_field {
            for (field, setting) in named.filter_map(|(field, setting)| Some((field?, setting))) {
                observer.note(&format!("no record has the field \"{field}\" of `{setting}`"));
            }
        }
        let priority = self.task.analysis.caches.priority_field.as_ref();
        if let Some(field) = priority.filter(|_| self.without_priority > 0) {
            observer.note(&format!(
                "{} of {} requests are missing field \"{field}\": they count as priority 0 in `policy` priority",
                self.without_priority, self.requests
            ));
        }
        if self.task.analysis.caches.load.sessions && self.without_session > 0 {
            observer.note(&format!(
                "{} of {} requests do not name their session: with `sessions` they wait for the request whose \
                 prompt theirs continues",
                self.without_session, self.requests
            ));
        }
    }
}

/// The value of a field in a line of JSON, as it is written there.
fn value_in<'a>(line: &'a [u8], field: &str) -> Option<&'a str> {
    std::str::from_utf8(&line[general::field_span(line, field)?]).ok()
}

fn write_piece(task: &Task, piece: Option<Piece>, observer: &mut dyn Observer) -> Result<()> {
    let mut reader = task.open()?;
    observer.begin(reader.input().total_size());
    let mut output = Output::named(task.output.as_deref())?;
    let new =
        |block_size, out: &mut Vec<u8>| PartialWriter::new(block_size, piece, task.analysis.budget, out);
    let (mut writer, mut has_answers) = (None, false);
    // A piece without its end cannot be merged, so an error or a signal needs no care here.
    while reader.advance(|status| {
        observer.progress(status);
        Ok(())
    })? {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(new(reader.block_size(), output.buffer())),
        };
        has_answers |= reader.record().has_output_ids;
        let added = writer.add(reader.record(), output.buffer());
        added.map_err(|message| reader.input().error(message))?;
        output.end_record()?;
    }
    observer.end();
    let writer = writer.unwrap_or_else(|| new(task.empty_block_size(), output.buffer()));
    let skipped = reader.skipped()?;
    writer.finish(output.buffer());
    output.finish()?;
    if has_answers {
        observer
            .note("pieces do not hold \"output_hash_ids\": hits of engines will be those without answers");
    }
    reader.remarks().iter().chain(&skipped).for_each(|message| observer.note(message));
    Ok(())
}

fn merge(task: &Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    // Without a line of a piece the figures would be wrong.
    let mut input = Input::new(&task.files, InputOptions { skip_invalid: false, ..task.input.clone() })?;
    observer.begin(input.total_size());
    let output = Output::named(task.output.as_deref())?;
    let mut merger = Merger::new(task.analysis.clone());
    while merger.advance(&mut input, |status| {
        observer.progress(status);
        Ok(())
    })? {}
    observer.end();
    let analysis = merger.finish()?;
    report(task, &task.figures(&analysis), None, style, output, observer)
}

/// Writes the report at the end, and says what its reader should know.
fn report(
    task: &Task,
    figures: &Report,
    groups: Option<(&str, Option<&Groups>)>,
    style: &dyn Render,
    mut output: Output,
    observer: &mut dyn Observer,
) -> Result<()> {
    match groups {
        None => style.report(figures, output.buffer()),
        Some((field, groups)) => {
            let report = |(value, group): (Option<&str>, &Analysis)| {
                (value.map(str::to_owned), group.report(&task.percentiles))
            };
            let groups: Vec<_> = groups.iter().flat_map(|groups| groups.iter()).map(report).collect();
            style.groups(figures, field, &groups, output.buffer());
        }
    }
    output.finish()?;
    note(task, figures, observer);
    Ok(())
}

fn note(task: &Task, figures: &Report, observer: &mut dyn Observer) {
    if figures.requests == 0 {
        observer.note("no requests in the input");
    } else if figures.requests_without_ids > 0 {
        let (n, all) = (figures.requests_without_ids, figures.requests);
        observer.note(&format!(
            "{n} of {all} requests are missing field \"hash_ids\": they count in input and output length only"
        ));
    }
    if let Some(late) = figures.arrivals.as_ref().and_then(|a| late_note(a.late, a.requests)) {
        observer.note(&format!(
            "{late}: figures of arrivals and hits are those of this order (see trace-cat `sort`)"
        ));
    }
    let arrivals = figures.arrivals.as_ref();
    if let Some(message) = arrivals.and_then(|a| unit_note(a.first_ms, a.last_ms, a.requests)) {
        observer.note(&message);
    }
    note_engines(figures, observer);
    note_opt(figures, observer);
    let ttls = &task.analysis.caches.ttls;
    if let Some(span) = arrivals.map(|a| a.duration_s).filter(|&span| span > 0.0) {
        let long: Vec<String> = ttls
            .iter()
            .map(|ttl| ttl.ms() as f64 / 1000.0)
            .filter(|&ttl| ttl >= span)
            .map(|ttl| format!("{ttl} s"))
            .collect();
        if !long.is_empty() {
            let long = long.join(", ");
            observer
                .note(&format!("`ttl` {long}: the trace spans {span} s, so nothing in it expires by then"));
        }
    }
    let expires = !ttls.is_empty();
    if expires && figures.arrivals.as_ref().is_none_or(|a| a.requests < figures.requests) {
        observer.note("`ttl` counts requests without a timestamp at the time of the one before");
    }
}

/// Says where a cache serves more tokens than the one that serves the most blocks.
fn note_opt(figures: &Report, observer: &mut dyn Observer) {
    let rows = figures.caches.iter().flat_map(|caches| &caches.capacity);
    let best = rows.filter(|row| row.below_opt.is_some_and(|below| below < 0.0));
    let names: Vec<_> = best.map(|row| format!("{}:{}", row.policy, row.capacity_blocks)).collect();
    if !names.is_empty() {
        observer.note(&format!(
            "{} more tokens than opt, which serves the most blocks: a last block may be partial",
            if names.len() == 1 {
                format!("{} serves", names[0])
            } else {
                format!("{} serve", names.join(", "))
            }
        ));
    }
}

/// The largest block size that vLLM offers without a model that asks for more.
const LARGEST_VLLM_BLOCK: u64 = 256;

/// Says which requests engines refuse, and which of their caches thrash.
fn note_engines(figures: &Report, observer: &mut dyn Observer) {
    let rows = figures.caches.iter().flat_map(|caches| &caches.capacity);
    let has_own_unit = figures.hit_unit.value.is_some();
    if figures.block_size > LARGEST_VLLM_BLOCK
        && !has_own_unit
        && rows.clone().any(|row| row.policy == "vllm")
    {
        observer.note(&format!(
            "blocks of {} tokens: vLLM's have 16 unless it is started with others, and find more of a prompt",
            figures.block_size
        ));
    }
    for row in rows.clone().filter(|row| row.refused_requests.is_some_and(|refused| refused > 0)) {
        let (refused, blocks, policy) = (row.refused_requests.unwrap_or(0), row.capacity_blocks, row.policy);
        observer.note(&format!(
            "{refused} of {} requests need more than {blocks} blocks: refused by `policy` {policy}, and in none of its figures",
            figures.requests
        ));
    }
    if !figures.checks.is_empty() && figures.checks.iter().all(|check| check.requests == 0) {
        observer.note("no record has \"cached_tokens\" to be compared by `check_hits`");
    }
    for thrashing in Thrashing::all(figures) {
        observer.note(&thrashing.to_string());
    }
}

impl Task {
    /// The figures so far.
    fn figures(&self, analysis: &Analysis) -> Report {
        Report { title: self.title.clone(), ..analysis.report(&self.percentiles) }
    }

    fn open(&self) -> Result<TraceReader> {
        let input = Input::new(&self.files, self.input.clone())?;
        let max_bytes = self.analysis.budget.unwrap_or(usize::MAX);
        let reader = TraceReader::new(input, self.format, self.block_size)
            .with_times_from_zero()
            .with_session_memory(max_bytes);
        let caches = &self.analysis.caches;
        let reader = reader.with_priority(caches.priority_field.clone());
        let reader = match &caches.session_field {
            Some(field) => reader.with_session_field(field),
            None if caches.load.sessions || caches.misses => reader.with_sessions(max_bytes),
            None => reader,
        };
        Ok(if caches.wants_affinity() { reader.with_affinity() } else { reader })
    }

    /// The block size of a trace without records.
    fn empty_block_size(&self) -> u64 {
        self.block_size.unwrap_or(DEFAULT_BLOCK_SIZE)
    }

    /// The number of requests that only fill the caches; counts all of them if it is a share.
    fn warmup_requests(&self) -> Result<u64> {
        let share = match self.warmup {
            Warmup::Requests(n) => return Ok(n),
            Warmup::Fraction(share) => share,
        };
        let mut reader = self.open()?;
        while reader.advance(|_| Ok(()))? {}
        Ok((reader.valid() as f64 * share) as u64)
    }

    /// Bytes of KV cache that a block takes.
    fn block_bytes(&self, block_size: u64) -> u64 {
        self.analysis.caches.kv_bytes_per_token.unwrap_or(1).saturating_mul(block_size)
    }

    /// Refuses caches that cannot hold a block, now that the size of one is known.
    fn check_capacities(&self, block_size: u64) -> Result<()> {
        let block = self.block_bytes(block_size);
        let small = |capacity: &Capacity| match *capacity {
            Capacity::Bytes(bytes) if bytes < block => {
                Some(format!("{bytes} bytes hold no block of {block_size} tokens, which is {block} bytes"))
            }
            Capacity::Tokens(tokens) if tokens < block_size => {
                Some(format!("{tokens} tokens are no block, which has {block_size}"))
            }
            _ => None,
        };
        let tiers = self.tiers.iter().flatten().map(|(_, capacity)| ("tiers", capacity));
        let capacities = self.capacities.iter().map(|capacity| ("capacity", capacity));
        let all = capacities.chain(tiers).chain(self.shared.iter().map(|capacity| ("shared", capacity)));
        let found = all.into_iter().find_map(|(setting, capacity)| Some((setting, small(capacity)?)));
        found.map_or(Ok(()), |(setting, message)| Err(Error::Usage(format!("`{setting}`: {message}"))))
    }

    /// The groups of the block sizes, now that the trace's own is known.
    fn begin_block_sizes(&self, block_size: u64, warmup: u64) -> Result<BlockSizes> {
        self.block_sizes.iter().try_for_each(|&size| self.check_capacities(size))?;
        let options = |size| self.analysis_options(size, warmup);
        BlockSizes::new(block_size, &self.block_sizes, options)
            .map_err(|invalid| Error::Failed(invalid.message))
    }

    /// What is analysed, now that the block size is known.
    fn analysis_options(&self, block_size: u64, warmup: u64) -> AnalysisOptions {
        let block_bytes = self.block_bytes(block_size);
        let blocks = |&capacity: &Capacity| match capacity {
            Capacity::Blocks(blocks) => blocks,
            Capacity::Tokens(tokens) => tokens / block_size,
            Capacity::Bytes(bytes) => bytes / block_bytes,
        };
        let capacities = self.capacities.iter().map(blocks).collect();
        let sizes = |tiers: &Vec<(String, Capacity)>| TierSizes {
            tiers: tiers.iter().map(|(name, size)| (name.clone(), blocks(size))).collect(),
        };
        let tiers = self.tiers.iter().map(sizes).collect();
        let shared = self.shared.as_ref().map(blocks);
        AnalysisOptions {
            caches: CacheOptions { capacities, tiers, shared, warmup, ..self.analysis.caches.clone() },
            window: match self.mode {
                Mode::Windows(size) => Some(size),
                _ => None,
            },
            window_percentiles: self.percentiles.clone(),
            ..self.analysis.clone()
        }
    }

    /// Refuses figures that would mean nothing for a trace without any timestamp.
    fn refuse_spans_of_time(&self) -> Result<()> {
        let needs = |what: &str| Err(Error::Failed(format!("{what}, and no record has a timestamp")));
        match self.mode {
            Mode::Windows(WindowSize::Time(_)) => {
                needs("`window` of a span needs times (of requests, as 1000, it needs none)")
            }
            _ if !self.analysis.caches.ttls.is_empty() => needs("`ttl` needs times"),
            _ if self.analysis.caches.load.service.is_some() => needs("`service` needs times"),
            _ => Ok(()),
        }
    }
}
