//! What a run of `trace-stats` is to do.

use std::path::PathBuf;

use super::analysis::Analysis;
use super::block_sizes::BlockSizes;
use super::cache::{CacheOptions, TierSizes};
use super::figures::{Report, WindowReport};
use super::groups::GroupReport;
use super::piece_header::{Piece, PieceRange};
use super::requests::RequestReport;
use super::statistics::AnalysisOptions;
use super::window::WindowSize;
use crate::error::{Error, Result};
use crate::io::{Input, InputOptions};
use crate::record::formats::Format;
use crate::record::{DEFAULT_BLOCK_SIZE, TraceReader};

/// All that a run needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The inputs in order; none is standard input.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub input: InputOptions,
    /// Threads that work on it, at least one. The output does not depend on it.
    pub jobs: usize,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// Whether each report of several replaces the one before, instead of following it.
    pub replaces: bool,
    /// What is written.
    pub mode: Mode,
    /// Whether the inputs are pieces of a trace, in order, to be merged.
    pub merges: bool,
    /// Which pieces of a numbered trace they are, if not all.
    pub pieces: Option<PieceRange>,
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
    /// Names and sizes of the tiers of each replica; several lists to compare. One tier of a list may be without a
    /// size: it is studied at all sizes.
    pub tiers: Vec<Vec<(String, Option<Capacity>)>>,
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
            jobs: 1,
            output: None,
            replaces: false,
            mode: Mode::Report { every: None, by: None },
            merges: false,
            pieces: None,
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
    /// The state of one piece of a trace, to be merged with others.
    Piece {
        /// Where it is in the trace, if known.
        place: Option<Piece>,
        /// Also the states of the requests with each value of this field.
        by: Option<String>,
    },
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

impl Task {
    /// The figures so far.
    pub(super) fn figures(&self, analysis: &Analysis) -> Report {
        Report { title: self.title.clone(), ..analysis.report(&self.percentiles) }
    }

    /// Opens the inputs.
    pub(super) fn open(&self) -> Result<TraceReader> {
        let input = Input::new(&self.files, self.input.clone())?;
        let max_bytes = self.analysis.budget.unwrap_or(usize::MAX);
        let reader = TraceReader::new(input, self.format, self.block_size)
            .with_times_from_zero()
            .with_kept(self.named_fields())
            .with_session_memory(max_bytes)
            .with_jobs(self.jobs);
        let caches = &self.analysis.caches;
        let reader = reader.with_priority(caches.priority_field.clone());
        let reader = match &caches.session_field {
            Some(field) => reader.with_session_field(field),
            None if caches.load.sessions || caches.misses => reader.with_sessions(max_bytes),
            None => reader,
        };
        Ok(if caches.wants_affinity() {
            reader.with_affinity(caches.session_field.as_deref())
        } else {
            reader
        })
    }

    /// The fields of records by which requests are told apart.
    fn named_fields(&self) -> Vec<String> {
        let by = match &self.mode {
            Mode::Report { by, .. } | Mode::Piece { by, .. } => by.as_ref(),
            _ => None,
        };
        let caches = &self.analysis.caches;
        let shared_by = self.analysis.shared_by.as_ref();
        let all = [by, shared_by, caches.session_field.as_ref(), caches.priority_field.as_ref()];
        all.into_iter().flatten().cloned().collect()
    }

    /// Opens the inputs where they are pieces. Without a line of one the figures would be wrong.
    ///
    /// # Errors
    /// When a file does not exist, or is empty as after a run that failed.
    pub(super) fn open_pieces(&self) -> Result<Input> {
        let is_empty =
            |file: &&PathBuf| std::fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() == 0);
        if let Some(file) = self.files.iter().find(is_empty) {
            return Err(Error::Failed(format!("{}: an empty file is no piece", file.display())));
        }
        Input::new(&self.files, InputOptions { skip_invalid: false, ..self.input.clone() })
    }

    /// The block size of a trace without records.
    pub(super) fn empty_block_size(&self) -> u64 {
        self.block_size.unwrap_or(DEFAULT_BLOCK_SIZE)
    }

    /// The number of requests that only fill the caches; counts all of them if it is a share.
    pub(super) fn warmup_requests(&self) -> Result<u64> {
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
    pub(super) fn check_capacities(&self, block_size: u64) -> Result<()> {
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
        let tiers = self.tiers.iter().flatten().filter_map(|(_, size)| Some(("tiers", size.as_ref()?)));
        let capacities = self.capacities.iter().map(|capacity| ("capacity", capacity));
        let all = capacities.chain(tiers).chain(self.shared.iter().map(|capacity| ("shared", capacity)));
        let found = all.into_iter().find_map(|(setting, capacity)| Some((setting, small(capacity)?)));
        found.map_or(Ok(()), |(setting, message)| Err(Error::Usage(format!("`{setting}`: {message}"))))
    }

    /// Refuses units of hits that are not made of blocks of this size, and what does not go with units.
    pub(super) fn check_hit_unit(&self, block_size: u64) -> Result<()> {
        let checked = self.analysis_options(block_size, 0).check_hit_unit(block_size);
        checked.map_err(|invalid| Error::Usage(invalid.to_string()))
    }

    /// The groups of the block sizes, now that the trace's own is known.
    pub(super) fn begin_block_sizes(&self, block_size: u64, warmup: u64) -> Result<BlockSizes> {
        for &size in &self.block_sizes {
            self.check_capacities(size)?;
            self.check_hit_unit(size)?;
        }
        let options = |size| {
            let mut options = self.analysis_options(size, warmup);
            options.caches.in_tokens = true;
            options
        };
        BlockSizes::new(block_size, &self.block_sizes, options)
            .map_err(|invalid| Error::Failed(invalid.message))
    }

    /// What is analysed, now that the block size is known.
    pub(super) fn analysis_options(&self, block_size: u64, warmup: u64) -> AnalysisOptions {
        let block_bytes = self.block_bytes(block_size);
        let blocks = |&capacity: &Capacity| match capacity {
            Capacity::Blocks(blocks) => blocks,
            Capacity::Tokens(tokens) => tokens / block_size,
            Capacity::Bytes(bytes) => bytes / block_bytes,
        };
        let capacities = self.capacities.iter().map(blocks).collect();
        let sizes = |tiers: &Vec<(String, Option<Capacity>)>| TierSizes {
            tiers: tiers.iter().map(|(name, size)| (name.clone(), size.as_ref().map(blocks))).collect(),
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
    pub(super) fn refuse_spans_of_time(&self) -> Result<()> {
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
