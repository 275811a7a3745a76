//! Options of `trace-stats`.

use super::common::CommonOptions;
use super::fleet::{replicas, route};
use super::load::service;
use super::model::KvType;
use super::modes::{
    A_REPORT, CHARTS, EVERY, FLEETS, FORMATS, GROUPS, NO_WINDOW, OF_ALL_BLOCKS, ONE_BILL, ONE_CHECK,
    ONE_ENGINE, ONE_LIST, ONE_REPORT, ONE_RUN, SAMPLE, SIZES, TOP,
};
use super::quantities::{
    capacity, one_number, percentile, piece, policies, price, prometheus_label, sample_size, scrape, share,
    tiers, ttl, warmup, window,
};
use super::spec::{Group, Opt, Rule, Spec, opt};
pub use super::stats_request::Options;
use super::stats_request::{Check, Lines, NAME};
use super::terminal::Letters;
use super::value::Value;
use crate::fleet::Route;
use crate::record::formats::Format as TraceFormat;
use crate::report::{Format, prometheus_label_of};
use crate::stats::{Answers, Capacity, HitRule, Policy, TierMode, Warmup};

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: NAME,
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
    opt("label").not_with(A_REPORT).value(|o, v| v.add_to(&mut o.labels, prometheus_label)),
    opt("from-format")
        .not_with(FORMATS)
        .list::<_, Option<TraceFormat>>(|o, v| v.pick().map(|format| o.from_format = format)),
    opt("percentiles")
        .short('p')
        .not_with(A_REPORT)
        .value(|o, v| v.add_new_to(&mut o.percentiles, percentile)),
    opt("exact").not_with(A_REPORT).flag(|o| o.exact = true),
    opt("provenance").not_with(A_REPORT).flag(|o| o.provenance = true),
    opt("plot")
        .daily()
        .not_with(CHARTS)
        .maybe::<_, Letters>(|o, v| v.pick_or_first().map(|letters| o.plot = Some(letters))),
    opt("by").daily().once().not_with(GROUPS).value(|o, v| v.string().map(|field| o.by = Some(field))),
    opt("block-sizes").not_with(SIZES).value(|o, v| v.add_new_to(&mut o.block_sizes, Value::block_size)),
    opt("top").not_with(TOP).value(|o, v| v.positive_number().map(|n| o.top = n)),
];

const INPUT: &[Opt<Options>] = &[opt("block-size")
    .daily()
    .short('b')
    .not_with(&[("merge", "--merge has the block size of the pieces")])
    .value(|o, v| v.block_size().map(|size| o.block_size = Some(size)))];

const CACHES: &[Opt<Options>] = &[
    opt("capacity").daily().short('c').not_with(A_REPORT).value(|o, v| {
        one_number(v)?;
        v.add_to(&mut o.capacities, capacity)
    }),
    opt("target").daily().not_with(NO_WINDOW).value(|o, v| v.add_new_to(&mut o.targets, share)),
    opt("curve").daily().not_with(A_REPORT).flag(|o| o.curve = true),
    opt("policy")
        .daily()
        .not_with(A_REPORT)
        .list::<_, Policy>(|o, v| policies(v, &mut o.policies, &mut o.priority)),
    opt("ttl").not_with(NO_WINDOW).value(|o, v| v.add_new_to(&mut o.ttls, ttl)),
    opt("misses").daily().not_with(ONE_REPORT).flag(|o| o.misses = true),
    opt("reuse").not_with(OF_ALL_BLOCKS).flag(|o| o.reuse = true),
    opt("shared-by")
        .once()
        .not_with(OF_ALL_BLOCKS)
        .value(|o, v| v.string().map(|field| o.shared_by = Some(field))),
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
    opt("price").daily().once().not_with(ONE_BILL).value(|o, v| price(v).map(|price| o.price = Some(price))),
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
    opt("check-against").once().not_with(ONE_CHECK).file(|o, v| scrape(v).map(|servers| o.servers = servers)),
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
    opt("jobs")
        .short('j')
        .not_with(&[("merge", "--merge reads pieces with one thread")])
        .value(|o, v| v.threads().map(|jobs| o.jobs = Some(jobs))),
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
        |o| !o.labels.is_empty() && o.format() != Format::Prometheus,
        "--label is of all samples of --format=prometheus",
    ),
    (
        |o| {
            let fields = o.by.iter().chain(&o.shared_by).map(|field| prometheus_label_of(field));
            let all: Vec<String> = fields.chain(o.labels.iter().map(|(name, _)| name.clone())).collect();
            !o.labels.is_empty() && (1..all.len()).any(|i| all[..i].contains(&all[i]))
        },
        "a sample has each label once: the names of --label and the fields of --by and --shared-by are different",
    ),
    (
        |o| o.by.is_some() && o.shared_by.is_some(),
        "--by makes caches of its own, and --shared-by is about one that is shared: give them to two runs",
    ),
    (|o| o.piece.is_some() && !o.partial && !o.merge, "--piece goes with --partial or --merge"),
    (
        |o| o.piece.is_some() && o.partial && o.merge,
        "--merge --partial has the numbers of the pieces: leave out --piece",
    ),
    (
        |o| o.partial && o.piece.is_some_and(|it| it.first < it.last),
        "--partial writes one piece: --piece=3/100 is its number, and a range of them goes with --merge",
    ),
    (
        |o| {
            let of_reports = o.curve || o.top > 0 || !o.targets.is_empty() || !o.ttls.is_empty();
            let is_report =
                of_reports || o.plot.is_some() || o.exact || o.title.is_some() || !o.percentiles.is_empty();
            o.lines == Lines::Requests && is_report
        },
        "--per-request writes the hits of each request in the caches of --capacity: it goes without --curve, --target, \
         --ttl, --top, --plot, --percentiles, --exact and --title",
    ),
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
        |o| !o.block_sizes.is_empty() && o.format() == Format::Svg,
        "--block-sizes goes with a report as table, markdown, json, csv, html or prometheus",
    ),
    (
        |o| o.provenance && (o.format() != Format::Json || o.window.is_some()),
        "--provenance ends a report with --format json",
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
        "policies but lru and opt are simulated at chosen sizes: name them with --capacity (such as 1k,10k,100k), or give --curve",
    ),
    (
        |o| !o.servers.is_empty() && o.capacities.is_empty(),
        "--check-against compares a server with caches: name their sizes with --capacity",
    ),
    (
        |o| !o.has_sizes() && !o.policies.is_empty(),
        "--policy says how caches evict: give their sizes with --capacity (such as 1k,10k,100k, or 418ktok), or --curve",
    ),
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
        |o| {
            let is_used = o.misses || o.load.sessions || o.fleet.routes.contains(&Route::Session);
            o.session_field.is_some() && !is_used
        },
        "--session-field names the sessions of --misses, --sessions and --route session: give one of these too",
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
