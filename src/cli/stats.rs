//! Options of `trace-stats`.

use super::choice::{Choice, NamedValues};
use super::common::{Common, CommonOptions, HasCommon};
use super::memory::default_max_memory;
use super::spec::{Opt, Rule, Spec, opt};
use super::terminal::{columns, locale_is_unicode};
use super::value::Value;
use crate::blocks::BlockNumber;
use crate::error::{Error, Result, printable};
use crate::record::kv_size::KvSize;
use crate::report::{Canvas, Format, Style};
use crate::stats::{
    AnalysisOptions, CacheOptions, Capacity, HitRule, Mode, Piece, Policy, Task, Warmup, WindowSize,
};

/// What the user has typed.
#[derive(Default)]
pub struct Options {
    common: Common,
    block_size: Option<u64>,
    format: Option<Format>,
    percentiles: Vec<f64>,
    hit_rule: HitRule,
    policies: Vec<Policy>,
    capacities: Vec<Capacity>,
    curve: bool,
    plot: Option<Letters>,
    targets: Vec<f64>,
    ttls: Vec<u64>,
    warmup: Warmup,
    kv_bytes_per_token: Option<u64>,
    /// The same from the configuration of a model, and for prompts of a length.
    model: Option<KvSize>,
    prompt_length: Option<u64>,
    by: Option<String>,
    approx: Option<usize>,
    top: usize,
    max_memory: Option<u64>,
    window: Option<WindowSize>,
    every: Option<u64>,
    partial: bool,
    piece: Option<Piece>,
    merge: bool,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// What charts in a terminal are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    /// As the locale says.
    Auto,
    /// Plain ASCII.
    Ascii,
    /// Block characters.
    Unicode,
}

impl Choice for Letters {
    const NAMES: NamedValues<Self> =
        &[("auto", Self::Auto), ("ascii", Self::Ascii), ("unicode", Self::Unicode)];
}

impl Choice for Format {
    const NAMES: NamedValues<Self> = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("prometheus", Self::Prometheus),
        ("html", Self::Html),
        ("svg", Self::Svg),
    ];
}

impl Choice for HitRule {
    const NAMES: NamedValues<Self> = &[("reference", Self::Reference), ("engine", Self::Engine)];
}

impl Choice for Policy {
    const NAMES: NamedValues<Self> = &[
        (Self::Lru.name(), Self::Lru),
        (Self::Fifo.name(), Self::Fifo),
        (Self::Lfu.name(), Self::Lfu),
        (Self::Opt.name(), Self::Opt),
    ];
}

/// Options that choose another mode, with which an option does not go, and why.
type Modes = &'static [(&'static str, &'static str)];

const A_REPORT: Modes = &[("partial", "--partial writes no report, so give it to --merge")];

const ONE_RUN: Modes = &[
    ("partial", "finite caches need the whole trace in one run"),
    ("merge", "finite caches need the whole trace in one run"),
];

const ONE_RUN_AND_REPORT: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
    (
        "window",
        "--target and --ttl go with a report or --every, and lines of --window have --capacity and --curve only",
    ),
];

const WHOLE_REPORT: Modes = &[
    ("window", "--window writes a line for each window, and no report"),
    ("partial", "--partial writes no report"),
    ("merge", "--merge makes one report of what the pieces hold"),
];

const GROUPS: Modes =
    &[WHOLE_REPORT[0], WHOLE_REPORT[1], WHOLE_REPORT[2], ("every", "groups are in one report, at the end")];

const CHARTS: Modes = &[WHOLE_REPORT[0], WHOLE_REPORT[1]];

const WINDOWS: Modes = &[WHOLE_REPORT[1], WHOLE_REPORT[2]];

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-stats",
    text: include_str!("text/trace-stats.txt"),
    options: OPTIONS,
    common: CommonOptions::<Options>::TABLE,
    rules: RULES,
};

const OPTIONS: &[Opt<Options>] = &[
    opt("format")
        .short('f')
        .not_with(A_REPORT)
        .choice::<_, Format>(|o, v| v.pick().map(|format| o.format = Some(format))),
    opt("percentiles")
        .short('p')
        .not_with(A_REPORT)
        .value(|o, v| v.add_new_to(&mut o.percentiles, percentile)),
    opt("block-size")
        .short('b')
        .not_with(&[("merge", "--merge has the block size of the pieces")])
        .value(|o, v| v.block_size().map(|size| o.block_size = Some(size))),
    opt("capacity").short('c').not_with(ONE_RUN).value(|o, v| v.add_to(&mut o.capacities, capacity)),
    opt("policy").not_with(ONE_RUN).list::<_, Policy>(|o, v| v.add_new_to(&mut o.policies, Value::pick)),
    opt("curve").not_with(ONE_RUN).flag(|o| o.curve = true),
    opt("plot")
        .not_with(CHARTS)
        .maybe::<_, Letters>(|o, v| v.pick_or_first().map(|letters| o.plot = Some(letters))),
    opt("target").not_with(ONE_RUN_AND_REPORT).value(|o, v| v.add_new_to(&mut o.targets, share)),
    opt("ttl").not_with(ONE_RUN_AND_REPORT).value(|o, v| v.add_new_to(&mut o.ttls, Value::duration_ms)),
    opt("warmup").not_with(ONE_RUN).value(|o, v| warmup(v).map(|warmup| o.warmup = warmup)),
    opt("hits").not_with(A_REPORT).choice::<_, HitRule>(|o, v| v.pick().map(|rule| o.hit_rule = rule)),
    opt("kv-bytes-per-token")
        .not_with(ONE_RUN)
        .value(|o, v| v.positive().map(|bytes| o.kv_bytes_per_token = Some(bytes))),
    opt("by").not_with(GROUPS).value(|o, v| v.string().map(|field| o.by = Some(field))),
    opt("top").not_with(WHOLE_REPORT).value(|o, v| v.positive_number().map(|n| o.top = n)),
    opt("approx").not_with(WHOLE_REPORT).value(|o, v| sample_size(v).map(|n| o.approx = Some(n))),
    opt("max-memory").value(|o, v| v.memory().map(|bytes| o.max_memory = Some(bytes))),
    opt("window").short('w').not_with(WINDOWS).value(|o, v| window(v).map(|size| o.window = Some(size))),
    opt("every").not_with(WHOLE_REPORT).value(|o, v| v.positive().map(|n| o.every = Some(n))),
    opt("model-config").not_with(ONE_RUN).file(|o, v| model_size(v).map(|model| o.model = Some(model))),
    opt("prompt-length")
        .not_with(ONE_RUN)
        .value(|o, v| v.positive().map(|tokens| o.prompt_length = Some(tokens))),
    opt("partial")
        .not_with(&[("merge", "one writes pieces and the other reads them")])
        .flag(|o| o.partial = true),
    opt("piece").value(|o, v| piece(v).map(|piece| o.piece = Some(piece))),
    opt("merge").flag(|o| o.merge = true),
];

const RULES: &[Rule<Options>] = &[
    (|o| o.piece.is_some() && !o.partial, "--piece goes with --partial"),
    (
        |o| o.merge && o.common.skip_invalid,
        "--merge would be wrong without a line of a piece: it goes without --skip-invalid",
    ),
    (
        |o| o.kv_bytes_per_token.is_some() && o.model.is_some(),
        "--kv-bytes-per-token and --model-config say the same: give one of the two",
    ),
    (
        |o| o.prompt_length.is_some() && o.model.is_none(),
        "--prompt-length is that of the prompts in the cache of --model-config: name the model's config.json",
    ),
    (
        |o| o.has_kv_bytes() && !o.has_caches() && !o.has_picture(),
        "--kv-bytes-per-token and --model-config size the caches of --capacity, --curve and --target: name one",
    ),
    (
        |o| o.warmup != Warmup::default() && !o.has_caches() && !o.has_picture(),
        "--warmup is for the caches of --capacity, --curve, --target and --ttl: name one",
    ),
    (
        |o| o.by.is_some() && matches!(o.format(), Format::Csv | Format::Prometheus),
        "--by goes with one report as table, markdown, json or html, in one run",
    ),
    (
        |o| o.every.is_some() && matches!(o.format(), Format::Html | Format::Svg),
        "--format=html and svg are one file: they do not go with --every",
    ),
    (
        |o| o.format() == Format::Svg && (o.merge || o.by.is_some()),
        "--format=svg is the one curve of one run: it goes neither with --merge nor with --by",
    ),
    (
        |o| o.plot.is_some() && o.format() != Format::Table,
        "--plot goes with --format=table; --format=html has charts of its own",
    ),
    (
        |o| o.window.is_some() && !matches!(o.format, None | Some(Format::Json | Format::Csv)),
        "--window writes JSON lines, or rows with --format=csv",
    ),
    (
        |o| !o.has_sizes() && o.policies.iter().any(|policy| matches!(policy, Policy::Fifo | Policy::Lfu)),
        "--policy fifo and lfu are simulated at chosen sizes: name them with --capacity, or give --curve",
    ),
    (|o| !o.has_sizes() && !o.policies.is_empty(), "--policy goes with --capacity or --curve"),
    (
        |o| o.policies.contains(&Policy::Opt) && (o.window.is_some() || o.every.is_some()),
        "--policy opt looks back from the end of the input: it goes neither with --window nor with --every",
    ),
    (
        |o| {
            o.approx.is_some()
                && (o.top > 0 || !o.ttls.is_empty() || o.policies.iter().any(|policy| *policy != Policy::Lru))
        },
        "--approx estimates LRU and infinite caches, in one report or with --every",
    ),
    (
        |o| !o.has_kv_bytes() && o.capacities.iter().any(|c| matches!(c, Capacity::Bytes(_))),
        "a --capacity in bytes needs --kv-bytes-per-token or --model-config",
    ),
];

impl Options {
    /// How the report is written.
    fn format(&self) -> Format {
        self.format.unwrap_or_default()
    }

    /// Whether it is known how many bytes of KV cache a token takes.
    fn has_kv_bytes(&self) -> bool {
        self.kv_bytes_per_token.is_some() || self.model.is_some()
    }

    /// Bytes of KV cache per token, if they are known.
    fn kv_bytes(&self) -> Result<Option<u64>> {
        let Some(model) = &self.model else { return Ok(self.kv_bytes_per_token) };
        let bytes = model.bytes_per_token(self.prompt_length);
        bytes.map(Some).map_err(|message| Error::Usage(format!("--model-config: {message}")))
    }

    /// What is worth knowing of the cache of a model whose layers are not all alike.
    pub fn model_note(&self) -> Option<String> {
        let (model, tokens) = (self.model.as_ref()?, self.prompt_length?);
        let bytes = model.bytes_per_token(self.prompt_length).ok().filter(|_| !model.is_constant())?;
        let unit = model.hit_unit().map_or_else(String::new, |unit| {
            format!("; vLLM finds cached prefixes of this model in multiples of {unit} tokens")
        });
        Some(format!("--model-config: {bytes} bytes per token in prompts of {tokens}{unit}"))
    }

    /// Whether finite or expiring caches are asked for.
    fn has_caches(&self) -> bool {
        self.curve
            || !(self.policies.is_empty()
                && self.capacities.is_empty()
                && self.targets.is_empty()
                && self.ttls.is_empty())
    }

    /// Whether there are sizes at which policies differ.
    fn has_sizes(&self) -> bool {
        self.curve || self.has_picture() || !self.capacities.is_empty()
    }

    /// Whether charts are drawn.
    fn has_charts(&self) -> bool {
        self.plot.is_some() || matches!(self.format(), Format::Html | Format::Svg)
    }

    /// Whether the curve is drawn. Merged pieces have none.
    fn has_picture(&self) -> bool {
        self.has_charts() && !self.merge
    }

    /// What is written. The table of options refuses all other combinations.
    fn mode(&self) -> Mode {
        match self.window {
            _ if self.partial => Mode::Piece(self.piece),
            _ if self.merge => Mode::Merge,
            Some(size) => Mode::Windows(size),
            None => Mode::Report { every: self.every, by: self.by.clone() },
        }
    }

    /// What the run will do, and how its report is written.
    ///
    /// # Errors
    /// When the input would have to be read twice and cannot be.
    pub fn task(&self) -> Result<(Task, Style)> {
        let files = &self.common.files;
        let is_regular = |file: &std::path::PathBuf| std::fs::metadata(file).is_ok_and(|m| m.is_file());
        let is_readable_twice = !files.is_empty() && files.iter().all(is_regular);
        if matches!(self.warmup, Warmup::Fraction(_)) && !is_readable_twice {
            let message =
                "--warmup with a fraction reads its input twice: give it as FILE, or a number of requests";
            return Err(Error::Usage(message.into()));
        }
        let percentiles = match &self.percentiles[..] {
            [] => self.format().default_percentiles(),
            chosen => chosen,
        };
        let task = Task {
            files: files.clone(),
            input: self.common.input(),
            output: self.common.output.clone(),
            mode: self.mode(),
            block_size: self.block_size,
            percentiles: percentiles.to_vec(),
            analysis: self.analysis(self.kv_bytes()?),
            capacities: self.capacities.clone(),
            warmup: self.warmup,
        };
        Ok((task, self.style()))
    }

    fn analysis(&self, kv_bytes_per_token: Option<u64>) -> AnalysisOptions {
        AnalysisOptions {
            hit_rule: self.hit_rule,
            caches: CacheOptions {
                policies: self.policies.clone(),
                curve: self.curve,
                picture: self.has_picture(),
                targets: self.targets.clone(),
                ttls: self.ttls.clone(),
                kv_bytes_per_token,
                ..CacheOptions::default()
            },
            approx: self.approx,
            top: self.top,
            pictures: self.has_charts(),
            budget: self.budget(),
            ..AnalysisOptions::default()
        }
    }

    /// Bytes for what grows with the trace: what the limit leaves above the fixed part, with room for
    /// tables that double.
    fn budget(&self) -> Option<usize> {
        let limit = self.max_memory.or_else(default_max_memory)?;
        let budget = limit.saturating_sub(24 << 20) / 3;
        // The whole trace and its groups have half each.
        Some((budget / if self.by.is_some() { 2 } else { 1 }) as usize)
    }

    fn style(&self) -> Style {
        let plot = self.plot.map(|letters| {
            let unicode = match letters {
                Letters::Auto => locale_is_unicode(),
                Letters::Ascii => false,
                Letters::Unicode => true,
            };
            Canvas { columns: columns(self.common.output.is_some()), unicode }
        });
        Style { format: self.format(), plot, input: self.input_name() }
    }

    /// The input in a few words.
    fn input_name(&self) -> String {
        let name = |file: &std::path::PathBuf| match file.to_str() {
            Some("-") => "standard input".into(),
            _ => printable(&file.display().to_string()),
        };
        match &self.common.files[..] {
            [] => "standard input".into(),
            [one] => name(one),
            [first, .., last] => {
                format!("{} files, {} to {}", self.common.files.len(), name(first), name(last))
            }
        }
    }
}

fn percentile(value: &Value) -> Result<f64, String> {
    let p = value.number()?;
    let is_valid = (0.0..=100.0).contains(&p);
    is_valid.then_some(p).ok_or(format!("{p} is not between 0 and 100"))
}

fn capacity(value: &Value) -> Result<Capacity, String> {
    let text = value.text()?;
    let number = value.positive_size()?;
    if text.ends_with('B') {
        return Ok(Capacity::Bytes(number));
    }
    if number > u64::from(BlockNumber::MAX) {
        return Err(format!(
            "{text} is more blocks than there can be; bytes have a B at the end, as in {text}B"
        ));
    }
    Ok(Capacity::Blocks(number))
}

/// A share of hits for which there is a smallest cache.
fn share(value: &Value) -> Result<f64, String> {
    let share = value.share()?;
    if share == 0.0 {
        return Err(format!("'{}': no cache at all serves nothing; expected more", value.text()?));
    }
    Ok(share)
}

/// `60s` or `5m`: a span of trace time; `10000` or `10k`: a number of requests.
fn window(value: &Value) -> Result<WindowSize, String> {
    if value.text()?.ends_with(['s', 'm', 'h', 'd']) {
        let length = value.duration_ms()?;
        let none = || "a window of no time; expected such as 60s".to_owned();
        return (length > 0).then_some(WindowSize::Time(length)).ok_or_else(none);
    }
    value.positive().map(WindowSize::Requests)
}

/// `3/100`: the third of a hundred pieces.
fn piece(value: &Value) -> Result<Piece, String> {
    let text = value.text()?;
    let pair = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    pair.filter(|&(i, n)| 0 < i && i <= n).ok_or(format!("'{text}' is not a piece; expected such as 3/100"))
}

fn warmup(value: &Value) -> Result<Warmup, String> {
    let number = value.number().unwrap_or(1.0);
    if value.text()?.contains('.') && (0.0..1.0).contains(&number) {
        return Ok(Warmup::Fraction(number));
    }
    value.count().map(Warmup::Requests)
}

fn sample_size(value: &Value) -> Result<usize, String> {
    let size = value.count()?;
    if size < 100 {
        return Err(format!("a sample of {size} blocks is too small; expected 100 or more"));
    }
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn model_size(value: &Value) -> Result<KvSize, String> {
    let path = value.file()?;
    let name = path.display();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
    KvSize::of(&text, None).map_err(|message| format!("{name}: {message}"))
}
