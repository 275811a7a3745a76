//! Options of `trace-cat`.

use std::path::PathBuf;

use super::choice::{Choice, NamedValues};
use super::common::{Common, CommonOptions, HasCommon};
use super::fleet::{replicas, route};
use super::memory::default_max_memory;
use super::spec::{Group, Opt, Rule, Spec, opt};
use super::value::Value;
use crate::cat::{
    Action, DEFAULT_CHECK_MEMORY, DEFAULT_MEMORY, IdChange, IdsScope, Moment, Order, Plan, ReadOptions,
    Sample, SampleBy, Selection, SortOptions, Task, TimeChange, Turns,
};
use crate::fleet::{Fleet, Route};
use crate::io::Compression;
use crate::record::formats::{Format, Target};
use crate::record::time::{Millis, Unit};

/// What the user has typed.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag of the command line")]
pub struct Options {
    common: Common,
    from_format: Option<Format>,
    to_format: Option<Target>,
    turns: Option<Turns>,
    /// Each with the name that counts, and the one in the table.
    columns: Vec<(String, String)>,
    keep: Vec<String>,
    block_size: Option<u64>,
    ids_scope: IdsScope,
    renumber: bool,
    anonymize: bool,
    salt: Option<String>,
    reblock: Option<u64>,
    merge: bool,
    sort: bool,
    max_memory: Option<u64>,
    jobs: Option<usize>,
    temp_dir: Option<PathBuf>,
    times: TimeChange,
    /// Without the sample.
    selection: Selection,
    sample: Option<f64>,
    sample_by: Option<SampleBy>,
    prefix_blocks: Option<usize>,
    seed: Option<u64>,
    kv_events: Option<PathBuf>,
    replicas: Option<u32>,
    route: Option<Route>,
    check: bool,
    pace: bool,
    compress: Option<Compression>,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Choice for Target {
    const NAMES: NamedValues<Self> = Self::ALL;
}

impl Choice for Unit {
    const NAMES: NamedValues<Self> = &[
        ("ms", Self::Milliseconds),
        ("s", Self::Seconds),
        ("us", Self::Microseconds),
        ("ns", Self::Nanoseconds),
    ];
}

impl Choice for Turns {
    const NAMES: NamedValues<Self> = &[("cumulative", Self::Cumulative), ("incremental", Self::Incremental)];
}

impl Choice for IdsScope {
    const NAMES: NamedValues<Self> = &[("auto", Self::Auto), ("file", Self::File), ("shared", Self::Shared)];
}

impl Choice for SampleBy {
    const NAMES: NamedValues<Self> =
        &[("request", Self::Request), ("session", Self::Session), ("prefix", Self::Prefix)];
}

impl Choice for Compression {
    const NAMES: NamedValues<Self> = &[("gzip", Self::Gzip), ("zstd", Self::Zstd)];
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-cat",
    text: include_str!("text/trace-cat.txt"),
    options: OPTIONS,
    common: CommonOptions::<Options>::TABLE,
    rules: RULES,
};

const OPTIONS: &[Group<Options>] =
    &[("Input", INPUT), ("Order", ORDER), ("Selection", SELECTION), ("Changes", CHANGES), ("Output", OUTPUT)];

const INPUT: &[Opt<Options>] = &[
    opt("from-format")
        .daily()
        .short('f')
        .list::<_, Option<Format>>(|o, v| v.pick().map(|format| o.from_format = format)),
    opt("keep").value(|o, v| v.add_new_to(&mut o.keep, Value::string)),
    opt("columns").value(|o, v| v.add_to(&mut o.columns, column)),
    opt("block-size").short('b').value(|o, v| v.block_size().map(|size| o.block_size = Some(size))),
    opt("turns").choice::<_, Turns>(|o, v| v.pick().map(|turns| o.turns = Some(turns))),
    opt("ids-scope").choice::<_, IdsScope>(|o, v| v.pick().map(|scope| o.ids_scope = scope)),
    opt("timestamp-unit").choice::<_, Unit>(|o, v| v.pick().map(|unit| o.times.unit = unit)),
];

const ORDER: &[Opt<Options>] = &[
    opt("merge").daily().short('m').flag(|o| o.merge = true),
    opt("sort").daily().short('s').flag(|o| o.sort = true),
    opt("shift").flag(|o| o.times.shift = true),
    opt("max-memory").value(|o, v| v.positive_size().map(|size| o.max_memory = Some(size))),
    opt("jobs").short('j').value(|o, v| v.threads().map(|jobs| o.jobs = Some(jobs))),
    opt("temp-dir").file(|o, v| v.file().map(|path| o.temp_dir = Some(path))),
];

const SELECTION: &[Opt<Options>] = &[
    opt("head").daily().short('n').value(|o, v| v.count().map(|n| o.selection.head = Some(n))),
    opt("tail").value(|o, v| v.count().map(|n| o.selection.tail = Some(n))),
    opt("from").daily().value(|o, v| moment(v).map(|time| o.selection.from = Some(time))),
    opt("to").daily().value(|o, v| moment(v).map(|time| o.selection.to = Some(time))),
    opt("min-isl").value(|o, v| v.count().map(|n| o.selection.input.min = Some(n))),
    opt("max-isl").value(|o, v| v.count().map(|n| o.selection.input.max = Some(n))),
    opt("min-osl").value(|o, v| v.count().map(|n| o.selection.output.min = Some(n))),
    opt("max-osl").value(|o, v| v.count().map(|n| o.selection.output.max = Some(n))),
    opt("sample").daily().value(|o, v| v.share().map(|share| o.sample = Some(share))),
    opt("sample-by").choice::<_, SampleBy>(|o, v| v.pick().map(|by| o.sample_by = Some(by))),
    opt("prefix-blocks").value(|o, v| v.positive_number().map(|n| o.prefix_blocks = Some(n))),
    opt("seed").value(|o, v| v.count().map(|seed| o.seed = Some(seed))),
];

const CHANGES: &[Opt<Options>] = &[
    opt("renumber").flag(|o| o.renumber = true),
    opt("anonymize").daily().flag(|o| o.anonymize = true),
    opt("salt").value(|o, v| v.salt().map(|salt| o.salt = Some(salt))),
    opt("reblock").value(|o, v| v.block_size().map(|size| o.reblock = Some(size))),
    opt("rebase").daily().flag(|o| o.times.rebase = true),
    opt("speedup-ratio").value(|o, v| v.pace().map(|ratio| o.times.speedup = ratio)),
    opt("kv-events").file(|o, v| v.file().map(|path| o.kv_events = Some(path))),
    opt("replicas").value(|o, v| replicas(v).map(|n| o.replicas = Some(n))),
    opt("route").value(|o, v| route(v).map(|route| o.route = Some(route))),
];

const OUTPUT: &[Opt<Options>] = &[
    opt("to-format")
        .daily()
        .short('t')
        .list::<_, Target>(|o, v| v.pick().map(|format| o.to_format = Some(format))),
    opt("check").daily().flag(|o| o.check = true),
    opt("pace").flag(|o| o.pace = true),
    opt("compress")
        .daily()
        .short('z')
        .choice::<_, Compression>(|o, v| v.pick().map(|form| o.compress = Some(form))),
];

const RULES: &[Rule<Options>] = &[
    (
        |o| o.check && o.changes(),
        "--check only validates: it goes with --from-format, --block-size and --max-memory alone",
    ),
    (|o| o.merge && o.sort, "--merge needs sorted files and --sort any: give one of the two"),
    (
        |o| o.times.shift && (o.merge || o.sort),
        "--shift keeps the order of the files: it goes neither with --merge nor with --sort",
    ),
    (
        |o| !o.columns.is_empty() && o.from_format.is_some_and(|format| format != Format::Csv),
        "--columns is for tables: it goes with --from-format csv, or with none",
    ),
    (|o| o.renumber && o.anonymize, "--renumber gives dense ids and --anonymize hashes: give one of the two"),
    (|o| o.anonymize != o.salt.is_some(), "--anonymize needs --salt, and --salt goes with --anonymize alone"),
    (
        |o| o.anonymize && o.target().needs_dense(),
        "ids of this --to-format have 32 bits: --anonymize does not go with it",
    ),
    (
        |o| o.sample.is_none() && (o.sample_by.is_some() || o.seed.is_some()),
        "--sample-by and --seed go with --sample",
    ),
    (
        |o| o.route.is_some() && o.replicas.is_none(),
        "--route is the way to one of several replicas: say how many with --replicas",
    ),
    (
        |o| o.replicas.is_some() && o.target() != Target::Mooncake,
        "--replicas adds a field to lines in the format of Mooncake: it goes without --to-format",
    ),
    (
        |o| {
            o.kv_events.is_some()
                && (o.target() != Target::Mooncake || o.reblock.is_some() || o.turns.is_some())
        },
        "--kv-events finds the blocks of prompts as the engine cut them, and adds a field to lines in the format \
         of Mooncake: it goes with none of --to-format, --reblock and --turns",
    ),
    (
        |o| o.kv_events.is_some() && (o.times.rebase || o.times.shift || o.times.speedup != 1.0),
        "--kv-events compares times of one clock: change them afterwards, in a further call",
    ),
    (
        |o| o.prefix_blocks.is_some() && o.sample_by != Some(SampleBy::Prefix),
        "--prefix-blocks goes with --sample-by=prefix",
    ),
    (
        |o| o.pace && o.compression().is_some(),
        "--pace writes lines at their times and --compress in blocks: give one of the two",
    ),
    (
        |o| o.compress.is_some() && o.named_compression().is_some_and(|named| Some(named) != o.compress),
        "--compress contradicts the end of the name of --output",
    ),
    (
        |o| o.selection.from.zip(o.selection.to).is_some_and(|(from, to)| from.is_from(to)),
        "--from is not before --to: no record can be between them",
    ),
    (|o| !o.selection.input.is_possible(), "--min-isl is above --max-isl"),
    (|o| !o.selection.output.is_possible(), "--min-osl is above --max-osl"),
    (
        |o| o.temp_dir.is_some() && !o.sort && !o.merge,
        "--temp-dir is for the temporary file of --sort and --merge",
    ),
];

impl Options {
    /// How the name of the output says that it is compressed.
    fn named_compression(&self) -> Option<Compression> {
        self.common.output.as_deref().and_then(Compression::of)
    }

    /// The format of the output: what is asked for, or what the end of its name says.
    fn target(&self) -> Target {
        let named = self.common.output_kind().filter(|kind| *kind == "csv");
        self.to_format.or(named.map(|_| Target::Csv)).unwrap_or(Target::Mooncake)
    }

    /// How the output is compressed.
    fn compression(&self) -> Option<Compression> {
        self.compress.or(self.named_compression())
    }

    /// Whether anything is asked for beside the plain records.
    fn changes(&self) -> bool {
        self.merge
            || self.sort
            || self.renumber
            || self.anonymize
            || self.reblock.is_some()
            || self.turns.is_some()
            || self.sample.is_some()
            || self.replicas.is_some()
            || self.kv_events.is_some()
            || self.pace
            || self.compress.is_some()
            || !self.times.is_none()
            || !self.selection.is_all()
            || self.to_format.is_some_and(|target| target != Target::Mooncake)
    }

    /// What the run will do.
    pub fn task(&self) -> Task {
        let action = if self.check {
            Action::Check { max_memory: self.max_memory(DEFAULT_CHECK_MEMORY) }
        } else {
            Action::Convert {
                order: self.order(),
                plan: Box::new(self.plan()),
                pace: self.pace,
                compress: self.compression(),
            }
        };
        let read = ReadOptions {
            format: self.read_format(),
            block_size: self.block_size,
            keep: self.keep.clone(),
            columns: self.columns.clone(),
            scope: self.ids_scope,
            input: self.common.input(),
            session_memory: self.max_memory(DEFAULT_MEMORY),
            named_ids: self.salt.is_some(),
        };
        let (files, output) = (self.common.files.clone(), self.common.output.clone());
        Task { files, read, jobs: self.jobs.unwrap_or(1), output, action }
    }

    /// How files are read: rows of aiperf that are to stay as they are, as plain lines.
    fn read_format(&self) -> Option<Format> {
        match (self.from_format, self.turns) {
            (Some(Format::Aiperf), Some(Turns::Incremental)) => Some(Format::Mooncake),
            (None, _) if !self.columns.is_empty() => Some(Format::Csv),
            (format, _) => format,
        }
    }

    fn plan(&self) -> Plan {
        let mut selection = self.selection.clone();
        selection.sample = self.sample.map(|share| Sample {
            share,
            by: self.sample_by.unwrap_or_default(),
            seed: self.seed.unwrap_or(0),
            prefix_blocks: self.prefix_blocks.unwrap_or(1),
        });
        let ids = match &self.salt {
            Some(salt) => IdChange::keyed(salt),
            None if self.renumber || self.read_format() == Some(Format::Aiperf) => IdChange::Dense,
            None => IdChange::Keep,
        };
        // Rows of aiperf are made whole when they are read, or stay as they are.
        let turns = self.turns.filter(|_| self.from_format != Some(Format::Aiperf));
        Plan {
            times: self.times.clone(),
            selection,
            turns,
            increments: self.from_format == Some(Format::Aiperf) && self.turns == Some(Turns::Incremental),
            reblock: self.reblock,
            ids,
            mixed: self.merge || self.sort,
            target: self.target(),
            fleet: self.replicas.map(|replicas| Fleet { replicas, route: self.route.unwrap_or_default() }),
            kv_events: self.kv_events.clone(),
            max_memory: self.max_memory(DEFAULT_MEMORY),
            max_ids_memory: self.max_memory(u64::MAX),
        }
    }

    fn order(&self) -> Order {
        let max_memory = self.max_memory(DEFAULT_MEMORY);
        let sort = SortOptions { max_memory, folder: self.temp_dir.clone() };
        if self.merge {
            Order::Merge(sort)
        } else if self.sort {
            Order::Sort(sort)
        } else {
            Order::Files
        }
    }

    /// What the user allows, or the default, which is less where the system allows less.
    fn max_memory(&self, default: u64) -> usize {
        let allowed = || default.min(default_max_memory().unwrap_or(default));
        // More than the address space holds is no limit.
        usize::try_from(self.max_memory.unwrap_or_else(allowed)).unwrap_or(usize::MAX)
    }
}

/// A moment of the trace: a time since its beginning, or a date.
fn moment(value: &Value) -> Result<Moment, String> {
    let text = value.string()?;
    if let Some(date) = Millis::parse_date(&text).or_else(|| Millis::parse_day(&text)) {
        return Ok(Moment::Date(date));
    }
    let since = value.duration_ms().map(|time| Moment::Since(Millis::whole(time)));
    since.map_err(|fault| format!("{fault}, or a date such as 2026-11-23 or 2026-11-23T10:00Z"))
}

/// A column of a table: the name of the field that it holds, and its own.
fn column(value: &Value) -> Result<(String, String), String> {
    let text = value.string()?;
    let named = text.split_once('=').filter(|(name, column)| !name.is_empty() && !column.is_empty());
    let (name, column) = named.ok_or_else(|| {
        format!("'{text}' names no column; expected FIELD=COLUMN, such as input_length=prompt_tokens")
    })?;
    Ok((name.to_owned(), column.to_owned()))
}
