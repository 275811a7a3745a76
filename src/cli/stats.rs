//! Options of `trace-stats`.

use super::common::{Common, CommonOptions, HasCommon};
use super::fleet::{FleetOptions, TierOptions, replicas, route};
use super::load::{LoadOptions, service};
use super::memory::default_max_memory;
use super::model::{KvType, ModelOptions};
use super::modes::{
    A_REPORT, CHARTS, EVERY, FLEETS, FORMATS, GROUPS, NO_WINDOW, OF_ALL_BLOCKS, ONE_BILL, ONE_CHECK,
    ONE_ENGINE, ONE_LIST, ONE_REPORT, ONE_RUN, SAMPLE, SIZES, TOP,
};
use super::quantities::{
    capacity, percentile, piece, policies, price, sample_size, scrape, share, tiers, ttl, warmup, window,
};
use super::spec::{Group, Opt, Rule, Spec, opt};
use super::terminal::{Letters, columns, known_columns};
use super::value::Value;
use crate::error::{Error, Result, printable};
use crate::record::formats::Format as TraceFormat;
use crate::report::{Canvas, ENOUGH, Format, Style};
use crate::stats::{
    AnalysisOptions, Answers, CacheOptions, Capacity, HitRule, HitUnit, Mode, Piece, Policy, Price,
    RequestUse, ServerHits, Task, TierMode, Ttl, Warmup, WindowSize,
};

/// What the user has typed.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag of the command line")]
pub struct Options {
    common: Common,
    from_format: Option<TraceFormat>,
    block_size: Option<u64>,
    format: Option<Format>,
    title: Option<String>,
    percentiles: Vec<f64>,
    hit_rule: Option<HitRule>,
    hit_unit: Option<u64>,
    drops_last_unit: bool,
    min_hit: Option<u64>,
    hit_step: Option<u64>,
    price: Option<Price>,
    policies: Vec<Policy>,
    /// The field of `--policy priority=FIELD`.
    priority: Option<String>,
    capacities: Vec<Capacity>,
    curve: bool,
    exact: bool,
    plot: Option<Letters>,
    targets: Vec<f64>,
    ttls: Vec<Ttl>,
    misses: bool,
    reuse: bool,
    shared_by: Option<String>,
    session_field: Option<String>,
    fleet: FleetOptions,
    tiers: TierOptions,
    warmup: Warmup,
    load: LoadOptions,
    answers: Option<Answers>,
    lines: Lines,
    check: Check,
    servers: Vec<ServerHits>,
    kv_bytes_per_token: Option<u64>,
    /// A model whose configuration says the same.
    model: ModelOptions,
    by: Option<String>,
    block_sizes: Vec<u64>,
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

/// What is written of requests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lines {
    /// A report on all of them.
    #[default]
    Report,
    /// A line for each.
    Requests,
}

/// Whether hits are compared with those that servers recorded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Check {
    #[default]
    None,
    Hits,
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-stats",
    text: include_str!("text/trace-stats.txt"),
    options: OPTIONS,
    common: CommonOptions::<Options>::TABLE,
    rules: RULES,
};

const OPTIONS: &[Group<Options>] = &[
    ("Report", REPORT),
    ("Input", INPUT),
    ("Caches", CACHES),
    ("Streams", STREAMS),
    ("Large traces", SCALE),
];

const REPORT: &[Opt<Options>] = &[
    opt("format")
        .daily()
        .short('f')
        .not_with(A_REPORT)
        .choice::<_, Format>(|o, v| v.pick().map(|format| o.format = Some(format))),
    opt("title").not_with(CHARTS).value(|o, v| v.string().map(|title| o.title = Some(title))),
    opt("from-format")
        .not_with(FORMATS)
        .list::<_, Option<TraceFormat>>(|o, v| v.pick().map(|format| o.from_format = format)),
    opt("percentiles")
        .short('p')
        .not_with(A_REPORT)
        .value(|o, v| v.add_new_to(&mut o.percentiles, percentile)),
    opt("exact").not_with(A_REPORT).flag(|o| o.exact = true),
    opt("plot")
        .daily()
        .not_with(CHARTS)
        .maybe::<_, Letters>(|o, v| v.pick_or_first().map(|letters| o.plot = Some(letters))),
    opt("by").daily().not_with(GROUPS).value(|o, v| v.string().map(|field| o.by = Some(field))),
    opt("block-sizes").not_with(SIZES).value(|o, v| v.add_new_to(&mut o.block_sizes, Value::block_size)),
    opt("top").not_with(TOP).value(|o, v| v.positive_number().map(|n| o.top = n)),
];

const INPUT: &[Opt<Options>] = &[opt("block-size")
    .daily()
    .short('b')
    .not_with(&[("merge", "--merge has the block size of the pieces")])
    .value(|o, v| v.block_size().map(|size| o.block_size = Some(size)))];

const CACHES: &[Opt<Options>] = &[
    opt("capacity").daily().short('c').not_with(A_REPORT).value(|o, v| v.add_to(&mut o.capacities, capacity)),
    opt("target").daily().not_with(NO_WINDOW).value(|o, v| v.add_new_to(&mut o.targets, share)),
    opt("curve").daily().not_with(A_REPORT).flag(|o| o.curve = true),
    opt("policy")
        .daily()
        .not_with(A_REPORT)
        .list::<_, Policy>(|o, v| policies(v, &mut o.policies, &mut o.priority)),
    opt("ttl").not_with(NO_WINDOW).value(|o, v| v.add_new_to(&mut o.ttls, ttl)),
    opt("misses").daily().not_with(ONE_REPORT).flag(|o| o.misses = true),
    opt("reuse").not_with(OF_ALL_BLOCKS).flag(|o| o.reuse = true),
    opt("shared-by").not_with(OF_ALL_BLOCKS).value(|o, v| v.string().map(|field| o.shared_by = Some(field))),
    opt("session-field")
        .not_with(ONE_REPORT)
        .value(|o, v| v.string().map(|field| o.session_field = Some(field))),
    opt("replicas").daily().not_with(FLEETS).value(|o, v| v.add_new_to(&mut o.fleet.replicas, replicas)),
    opt("route").not_with(FLEETS).value(|o, v| v.add_new_to(&mut o.fleet.routes, route)),
    opt("tiers").not_with(FLEETS).value(|o, v| tiers(v).map(|tiers| o.tiers.sizes.push(tiers))),
    opt("shared").not_with(FLEETS).value(|o, v| capacity(v).map(|size| o.tiers.shared = Some(size))),
    opt("tier-mode")
        .not_with(FLEETS)
        .choice::<_, TierMode>(|o, v| v.pick().map(|mode| o.tiers.mode = Some(mode))),
    opt("warmup").not_with(A_REPORT).value(|o, v| warmup(v).map(|warmup| o.warmup = warmup)),
    opt("hits").not_with(A_REPORT).choice::<_, HitRule>(|o, v| v.pick().map(|rule| o.hit_rule = Some(rule))),
    opt("hit-unit").not_with(A_REPORT).value(|o, v| v.positive().map(|n| o.hit_unit = Some(n))),
    opt("drop-last-unit").not_with(A_REPORT).flag(|o| o.drops_last_unit = true),
    opt("min-hit").not_with(A_REPORT).value(|o, v| v.positive().map(|n| o.min_hit = Some(n))),
    opt("hit-step").not_with(A_REPORT).value(|o, v| v.positive().map(|n| o.hit_step = Some(n))),
    opt("price").daily().not_with(ONE_BILL).value(|o, v| price(v).map(|price| o.price = Some(price))),
    opt("outputs")
        .not_with(ONE_RUN)
        .choice::<_, Answers>(|o, v| v.pick().map(|answers| o.answers = Some(answers))),
    opt("concurrency").not_with(ONE_ENGINE).value(|o, v| v.positive().map(|n| o.load.concurrency = Some(n))),
    opt("step-tokens").not_with(ONE_ENGINE).value(|o, v| v.positive().map(|n| o.load.step_tokens = Some(n))),
    opt("service")
        .not_with(ONE_ENGINE)
        .value(|o, v| service(v).map(|service| o.load.service = Some(service))),
    opt("sessions").not_with(ONE_ENGINE).flag(|o| o.load.sessions = true),
    opt("async-scheduling").not_with(ONE_ENGINE).flag(|o| o.load.async_scheduling = true),
    opt("check-against").not_with(ONE_CHECK).file(|o, v| scrape(v).map(|servers| o.servers = servers)),
    opt("check-hits").not_with(ONE_CHECK).flag(|o| o.check = Check::Hits),
    opt("per-request").not_with(ONE_LIST).flag(|o| o.lines = Lines::Requests),
    opt("kv-bytes-per-token")
        .not_with(A_REPORT)
        .value(|o, v| v.positive_size().map(|bytes| o.kv_bytes_per_token = Some(bytes))),
    opt("model-config")
        .daily()
        .not_with(A_REPORT)
        .file(|o, v| v.file().map(|path| o.model.path = Some(path))),
    opt("kv-dtype")
        .not_with(A_REPORT)
        .choice::<_, KvType>(|o, v| v.pick().map(|it| o.model.kv_dtype = Some(it))),
    opt("prompt-length")
        .not_with(A_REPORT)
        .value(|o, v| v.positive().map(|tokens| o.model.prompt_length = Some(tokens))),
];

const STREAMS: &[Opt<Options>] = &[
    opt("window")
        .daily()
        .short('w')
        .not_with(A_REPORT)
        .value(|o, v| window(v).map(|size| o.window = Some(size))),
    opt("every").not_with(EVERY).value(|o, v| v.requests().map(|n| o.every = Some(n))),
];

const SCALE: &[Opt<Options>] = &[
    opt("max-memory").value(|o, v| v.memory().map(|bytes| o.max_memory = Some(bytes))),
    opt("approx").not_with(SAMPLE).value(|o, v| sample_size(v).map(|n| o.approx = Some(n))),
    opt("partial").flag(|o| o.partial = true),
    opt("piece").value(|o, v| piece(v).map(|piece| o.piece = Some(piece))),
    opt("merge").flag(|o| o.merge = true),
];

const RULES: &[Rule<Options>] = &[
    (
        |o| o.title.is_some() && matches!(o.format(), Format::Csv | Format::Prometheus),
        "--title heads a report as table, markdown, json, html or svg",
    ),
    (
        |o| o.by.is_some() && o.shared_by.is_some(),
        "--by makes caches of its own, and --shared-by is about one that is shared: give them to two runs",
    ),
    (|o| o.piece.is_some() && !o.partial, "--piece goes with --partial"),
    (|o| o.piece.is_some() && o.merge, "--merge --partial has the numbers of the pieces: leave out --piece"),
    (
        |o| o.merge && matches!(o.warmup, Warmup::Fraction(_)),
        "pieces do not say how many requests there are: give --warmup a number of them",
    ),
    (
        |o| o.merge && o.policies.iter().any(|policy| *policy != Policy::Lru),
        "caches but LRU need every block of every request in turn: give --policy to a run over the whole trace",
    ),
    (
        |o| o.merge && o.hit_rule() == HitRule::Engine && (o.has_caches() || o.format() == Format::Svg),
        "pieces hold neither the answers in the caches of engines nor which blocks are partial: with --merge, finite \
         caches go with --hits reference, or give --hits engine to a run over the whole trace",
    ),
    (
        |o| o.merge && o.ttls.iter().any(|ttl| ttl.is_fixed()),
        "when a block was written depends on what was found before: give --ttl fixed: to a run over the whole trace",
    ),
    (
        |o| o.merge && o.common.skip_invalid,
        "--merge would be wrong without a line of a piece: it goes without --skip-invalid",
    ),
    (
        |o| o.kv_bytes_per_token.is_some() && o.model.path.is_some(),
        "--kv-bytes-per-token and --model-config say the same: give one of the two",
    ),
    (
        |o| o.model.kv_dtype.is_some() && o.model.path.is_none(),
        "--kv-dtype is that of the cache of --model-config: name the model's config.json",
    ),
    (
        |o| o.model.prompt_length.is_some() && o.model.path.is_none(),
        "--prompt-length is that of the prompts in the cache of --model-config: name the model's config.json",
    ),
    (
        |o| {
            let is_for_the_unit = o.model.path.is_some() && o.hit_rule() == HitRule::Engine;
            o.has_kv_bytes() && !o.has_caches() && !o.has_picture() && !o.has_answer() && !is_for_the_unit
        },
        "--kv-bytes-per-token and --model-config size the caches of --capacity, --curve and --target: name one",
    ),
    (
        |o| o.warmup != Warmup::default() && !o.has_caches() && !o.has_picture(),
        "--warmup is for the caches of --capacity, --curve, --target and --ttl: name one",
    ),
    (
        |o| o.by.is_some() && o.partial && o.merge,
        "--merge --partial keeps the groups of the pieces: leave out --by",
    ),
    (
        |o| o.by.is_some() && o.format() == Format::Csv,
        "--by goes with one report as table, markdown, json, html or prometheus, in one run",
    ),
    (
        |o| !o.block_sizes.is_empty() && matches!(o.format(), Format::Csv | Format::Svg),
        "--block-sizes goes with a report as table, markdown, json, html or prometheus",
    ),
    (
        |o| {
            let mut sizes = o.capacities.iter().chain(o.tiers.sizes());
            !o.block_sizes.is_empty() && sizes.any(|size| matches!(size, Capacity::Blocks(_)))
        },
        "--block-sizes compares caches of one size: give --capacity and --tiers in tokens (as 418ktok) or bytes",
    ),
    (
        |o| o.every.is_some() && matches!(o.format(), Format::Html | Format::Svg),
        "--format=html and svg are one file: they do not go with --every",
    ),
    (
        |o| o.format() == Format::Svg && o.by.is_some(),
        "--format=svg is the one curve of one run: it does not go with --by",
    ),
    (
        |o| o.exact && (o.format() != Format::Table || o.window.is_some()),
        "--exact is for the table: everything else has all digits anyway",
    ),
    (
        |o| o.plot.is_some() && o.format() != Format::Table,
        "--plot goes with --format=table; --format=html has charts of its own",
    ),
    (
        |o| {
            let lines =
                matches!(o.chosen_format(), None | Some(Format::Json | Format::Csv | Format::Prometheus));
            o.window.is_some() && !lines
        },
        "--window writes JSON lines, or rows with --format=csv, or with prometheus a file",
    ),
    (
        |o| {
            let goes_on = o.window.is_some() || o.every.is_some();
            goes_on && o.format() == Format::Prometheus && o.common.output.is_none()
        },
        "each report for Prometheus replaces the one before: name the file with --output",
    ),
    (
        |o| !o.has_sizes() && o.policies.iter().any(|p| !matches!(p, Policy::Lru | Policy::Opt)),
        "policies but lru and opt are simulated at chosen sizes: name them with --capacity, or give --curve",
    ),
    (
        |o| !o.servers.is_empty() && o.capacities.is_empty(),
        "--check-against compares a server with caches: name their sizes with --capacity",
    ),
    (|o| !o.has_sizes() && !o.policies.is_empty(), "--policy goes with --capacity or --curve"),
    (
        |o| o.capacities.is_empty() && o.policies.iter().any(|policy| policy.is_of_one_size()),
        "--policy slru, wtinylfu, vllm, sglang and lmcache are simulated at chosen sizes: name them with --capacity",
    ),
    (
        |o| o.load.is_given() && !o.policies.contains(&Policy::Vllm),
        "--concurrency, --step-tokens, --service, --sessions and --async-scheduling are for --policy vllm",
    ),
    (
        |o| o.load.is_pointless(),
        "--step-tokens, --sessions and --async-scheduling make a difference only where requests are served \
         together: give --concurrency or --service",
    ),
    (
        |o| (o.lines == Lines::Requests || o.check == Check::Hits) && o.policies.contains(&Policy::Opt),
        "--policy opt looks back from the end of the input: it goes neither with --per-request nor with --check-hits",
    ),
    (
        |o| {
            let is_hosted = o.min_hit.is_some() || o.hit_step.is_some();
            is_hosted && o.has_engine_unit()
        },
        "--min-hit and --hit-step are of hosted caches, --hit-unit and --drop-last-unit of engines: give either",
    ),
    (
        |o| o.misses && o.policies.iter().any(|policy| *policy != Policy::Lru),
        "--misses tells the fates of tokens in LRU caches: it goes with no other --policy",
    ),
    (
        |o| o.misses && o.ttls.iter().any(|ttl| ttl.is_fixed()),
        "--misses tells fates by the last use: it does not go with --ttl fixed",
    ),
    (
        |o| o.session_field.is_some() && !o.misses,
        "--session-field names the sessions of --misses: give that too",
    ),
    (
        |o| o.answers.is_some() && o.hit_rule() == HitRule::Reference && !o.has_engine(),
        "--outputs is for engines, since only they keep answers: give --hits engine or --policy vllm",
    ),
    (
        |o| o.has_engine_unit() && o.hit_rule() == HitRule::Reference,
        "--hit-unit and --drop-last-unit are for hits as engines count them: leave out --hits reference",
    ),
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
        |o| o.fleet.replicas.is_empty() && !o.fleet.routes.is_empty(),
        "--route is the way to one of several replicas: say how many with --replicas",
    ),
    (
        |o| !o.fleet.replicas.is_empty() && o.ttls.iter().any(|ttl| ttl.is_fixed()),
        "--ttl fixed: is for one cache: of --replicas, blocks expire after their last use",
    ),
    (
        |o| o.tiers.sizes.is_empty() && (o.tiers.shared.is_some() || o.tiers.mode.is_some()),
        "--shared and --tier-mode are for the caches of --tiers: name their sizes",
    ),
    (
        |o| !o.fleet.replicas.is_empty() && o.policies.iter().any(|policy| *policy != Policy::Lru),
        "--replicas have LRU caches: they go with --policy lru alone",
    ),
    (
        |o| !o.has_kv_bytes() && o.tiers.sizes().any(|c| matches!(c, Capacity::Bytes(_))),
        "--tiers and --shared in bytes need --kv-bytes-per-token or --model-config",
    ),
    (
        |o| !o.has_kv_bytes() && o.capacities.iter().any(|c| matches!(c, Capacity::Bytes(_))),
        "a --capacity in bytes needs --kv-bytes-per-token or --model-config",
    ),
];

impl Options {
    /// How the report is to be written, by --format or else by the end of the output's name.
    fn chosen_format(&self) -> Option<Format> {
        let named = match self.common.output_kind() {
            // A state is written in one way.
            _ if self.partial => None,
            Some("html" | "htm") => Some(Format::Html),
            Some("json" | "jsonl") => Some(Format::Json),
            Some("csv") => Some(Format::Csv),
            Some("md") => Some(Format::Markdown),
            Some("prom") => Some(Format::Prometheus),
            Some("svg") => Some(Format::Svg),
            _ => None,
        };
        self.format.or(named)
    }

    /// Whether a policy is that of a serving engine.
    fn has_engine(&self) -> bool {
        self.policies.iter().any(|policy| policy.is_engine())
    }

    /// Which cached blocks count: those of engines, if one is simulated or has a unit.
    fn hit_rule(&self) -> HitRule {
        let is_engine = self.has_engine() || self.has_engine_unit();
        self.hit_rule.unwrap_or(if is_engine { HitRule::Engine } else { HitRule::Reference })
    }

    /// Whether an engine is said to find prefixes in units of its own.
    fn has_engine_unit(&self) -> bool {
        self.hit_unit.is_some() || self.drops_last_unit
    }

    /// In what steps hits are counted: as typed, or else as the model decides.
    fn hit_unit(&self) -> Result<HitUnit> {
        let mut unit = HitUnit { is_last_dropped: self.drops_last_unit, ..HitUnit::default() };
        if self.min_hit.is_some() || self.hit_step.is_some() {
            unit = HitUnit::new(self.min_hit.unwrap_or(0), self.hit_step.unwrap_or(1));
        } else if self.hit_unit.is_some() {
            (unit.step, unit.has_groups) = (self.hit_unit, true);
        } else if self.hit_rule() == HitRule::Engine {
            (unit.step, unit.has_groups) = self.model.hit_unit()?;
        }
        Ok(unit)
    }

    /// How the report is written.
    fn format(&self) -> Format {
        self.chosen_format().unwrap_or_default()
    }

    /// Whether it is known how many bytes of KV cache a token takes.
    fn has_kv_bytes(&self) -> bool {
        self.kv_bytes_per_token.is_some() || self.model.path.is_some()
    }

    /// Bytes of KV cache per token, if they are known. Reads the configuration of the model.
    fn kv_bytes(&self) -> Result<Option<u64>> {
        // A model whose size depends on prompts may be named for its unit alone.
        let is_needed = self.hit_rule() == HitRule::Reference || self.has_bytes();
        Ok(self.kv_bytes_per_token.or(self.model.kv_bytes(is_needed)?))
    }

    /// Whether a capacity or a tier is in bytes.
    fn has_bytes(&self) -> bool {
        self.capacities.iter().chain(self.tiers.sizes()).any(|size| matches!(size, Capacity::Bytes(_)))
    }

    /// What is worth knowing of the model, after the run.
    pub fn model_notes(&self) -> Vec<String> {
        self.model.notes()
    }

    /// Whether finite or expiring caches are asked for.
    fn has_caches(&self) -> bool {
        self.curve
            || !(self.policies.is_empty()
                && self.capacities.is_empty()
                && self.targets.is_empty()
                && self.ttls.is_empty()
                && self.fleet.replicas.is_empty()
                && self.tiers.sizes.is_empty())
            || self.misses
    }

    /// Whether there are sizes at which policies differ.
    fn has_sizes(&self) -> bool {
        self.curve || self.has_picture() || !self.capacities.is_empty()
    }

    /// Whether charts are drawn.
    fn has_charts(&self) -> bool {
        self.plot.is_some() || matches!(self.format(), Format::Html | Format::Svg)
    }

    /// Whether the report says how large a cache is enough.
    fn has_answer(&self) -> bool {
        let is_for_people = matches!(self.format(), Format::Table | Format::Html);
        is_for_people && matches!(self.mode(), Mode::Report { .. }) && !self.is_without_caches()
    }

    /// Whether the curve is drawn.
    fn has_picture(&self) -> bool {
        self.has_charts() && !self.is_without_caches()
    }

    /// Whether nothing can be said of finite caches: pieces do not hold those of engines.
    fn is_without_caches(&self) -> bool {
        self.merge && self.hit_rule() == HitRule::Engine
    }

    /// What is written. The table of options refuses all other combinations.
    fn mode(&self) -> Mode {
        match self.window {
            _ if self.partial => Mode::Piece { place: self.piece, by: self.by.clone() },
            _ if self.lines == Lines::Requests => Mode::Requests,
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
            // One file has one value of each gauge.
            replaces: self.format() == Format::Prometheus,
            mode: self.mode(),
            merges: self.merge,
            format: self.from_format,
            block_size: self.block_size,
            title: self.title.clone(),
            percentiles: percentiles.to_vec(),
            analysis: self.analysis()?,
            capacities: self.capacities.clone(),
            tiers: self.tiers.sizes.clone(),
            shared: self.tiers.shared,
            warmup: self.warmup,
            block_sizes: self.block_sizes.clone(),
        };
        Ok((task, self.style()))
    }

    fn analysis(&self) -> Result<AnalysisOptions> {
        Ok(AnalysisOptions {
            hit_rule: self.hit_rule(),
            hit_unit: self.hit_unit()?,
            price: self.price,
            caches: CacheOptions {
                policies: self.policies.clone(),
                priority_field: self.priority.clone(),
                curve: self.curve,
                picture: self.has_picture(),
                targets: self.targets.clone(),
                enough: self.has_answer().then_some(ENOUGH),
                ttls: self.ttls.clone(),
                misses: self.misses,
                session_field: self.session_field.clone(),
                fleets: self.fleet.fleets(),
                tier_mode: self.tiers.mode.unwrap_or_default(),
                kv_bytes_per_token: self.kv_bytes()?,
                prefill: self.model.prefill(),
                load: self.load.load(),
                answers: self.answers.unwrap_or_default(),
                requests: RequestUse {
                    listed: self.lines == Lines::Requests,
                    checked: self.check == Check::Hits,
                },
                ..CacheOptions::default()
            },
            approx: self.approx,
            top: self.top,
            reuse: self.reuse,
            shared_by: self.shared_by.clone(),
            pictures: self.has_charts(),
            budget: self.budget(),
            servers: self.servers.clone(),
            ..AnalysisOptions::default()
        })
    }

    /// Bytes for what grows with the trace: what the limit leaves above the fixed part, with room for
    /// tables that double.
    fn budget(&self) -> Option<usize> {
        let limit = self.max_memory.or_else(default_max_memory)?;
        let budget = limit.saturating_sub(24 << 20) / 3;
        // The whole trace and its groups have half each.
        Some((budget / if self.by.is_some() || !self.block_sizes.is_empty() { 2 } else { 1 }) as usize)
    }

    fn style(&self) -> Style {
        let plot = self.plot.map(|letters| Canvas {
            columns: columns(self.common.output.is_some()),
            unicode: letters.are_unicode(),
        });
        let command = printable(&format!("{} {}", SPEC.name, self.common.arguments));
        let width = known_columns(self.common.output.is_some());
        Style {
            format: self.format(),
            exact: self.exact,
            width,
            plot,
            input: self.common.input_name(),
            command,
        }
    }
}
