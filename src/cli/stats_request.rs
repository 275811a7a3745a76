//! What the options of `trace-stats` ask for.

use super::common::{Common, HasCommon};
use super::fleet::{FleetOptions, TierOptions};
use super::load::LoadOptions;
use super::memory::default_max_memory;
use super::model::ModelOptions;
use super::terminal::{Letters, columns, known_columns};
use crate::error::{Error, Result, printable};
use crate::record::formats::Format as TraceFormat;
use crate::report::{Canvas, ENOUGH, Format, Style};
use crate::stats::{
    AnalysisOptions, Answers, CacheOptions, Capacity, HitRule, HitUnit, Mode, PieceRange, Policy, Price,
    RequestUse, ServerHits, Task, Ttl, Warmup, WindowSize,
};

/// The name of the program.
pub(super) const NAME: &str = "trace-stats";

/// What the user has typed.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag of the command line")]
pub struct Options {
    pub(super) common: Common,
    pub(super) from_format: Option<TraceFormat>,
    pub(super) block_size: Option<u64>,
    pub(super) format: Option<Format>,
    pub(super) title: Option<String>,
    /// Labels of all samples for Prometheus.
    pub(super) labels: Vec<(String, String)>,
    pub(super) percentiles: Vec<f64>,
    pub(super) hit_rule: Option<HitRule>,
    pub(super) hit_unit: Option<u64>,
    pub(super) drops_last_unit: bool,
    pub(super) min_hit: Option<u64>,
    pub(super) hit_step: Option<u64>,
    pub(super) price: Option<Price>,
    pub(super) policies: Vec<Policy>,
    /// The field of `--policy priority=FIELD`.
    pub(super) priority: Option<String>,
    pub(super) capacities: Vec<Capacity>,
    pub(super) curve: bool,
    pub(super) exact: bool,
    pub(super) provenance: bool,
    pub(super) plot: Option<Letters>,
    pub(super) targets: Vec<f64>,
    pub(super) ttls: Vec<Ttl>,
    pub(super) misses: bool,
    pub(super) reuse: bool,
    pub(super) shared_by: Option<String>,
    pub(super) session_field: Option<String>,
    pub(super) fleet: FleetOptions,
    pub(super) tiers: TierOptions,
    pub(super) warmup: Warmup,
    pub(super) load: LoadOptions,
    pub(super) answers: Option<Answers>,
    pub(super) lines: Lines,
    pub(super) check: Check,
    pub(super) servers: Vec<ServerHits>,
    pub(super) kv_bytes_per_token: Option<u64>,
    /// A model whose configuration says the same.
    pub(super) model: ModelOptions,
    pub(super) by: Option<String>,
    pub(super) block_sizes: Vec<u64>,
    pub(super) approx: Option<usize>,
    pub(super) top: usize,
    pub(super) jobs: Option<usize>,
    pub(super) max_memory: Option<u64>,
    pub(super) window: Option<WindowSize>,
    pub(super) every: Option<u64>,
    pub(super) partial: bool,
    pub(super) piece: Option<PieceRange>,
    pub(super) merge: bool,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// What is written of requests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lines {
    /// A report on all of them.
    #[default]
    Report,
    /// A line for each.
    Requests,
}

/// Whether hits are compared with those that servers recorded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Check {
    #[default]
    None,
    Hits,
}

impl Options {
    /// How the report is to be written, by --format or else by the end of the output's name.
    pub(super) fn chosen_format(&self) -> Option<Format> {
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
    pub(super) fn has_engine(&self) -> bool {
        self.policies.iter().any(|policy| policy.is_engine())
    }

    /// Which cached blocks count: those of engines, if one is simulated or has a unit.
    pub(super) fn hit_rule(&self) -> HitRule {
        let is_engine = self.has_engine() || self.has_engine_unit();
        self.hit_rule.unwrap_or(if is_engine { HitRule::Engine } else { HitRule::Reference })
    }

    /// Whether an engine is said to find prefixes in units of its own.
    pub(super) fn has_engine_unit(&self) -> bool {
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
    pub(super) fn format(&self) -> Format {
        self.chosen_format().unwrap_or_default()
    }

    /// Whether it is known how many bytes of KV cache a token takes.
    pub(super) fn has_kv_bytes(&self) -> bool {
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
    pub(super) fn has_caches(&self) -> bool {
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
    pub(super) fn has_sizes(&self) -> bool {
        self.curve || self.has_picture() || !self.capacities.is_empty()
    }

    /// Whether charts are drawn.
    fn has_charts(&self) -> bool {
        self.plot.is_some() || matches!(self.format(), Format::Html | Format::Svg)
    }

    /// Whether the report says how large a cache is enough.
    pub(super) fn has_answer(&self) -> bool {
        let is_for_people = matches!(self.format(), Format::Table | Format::Html);
        is_for_people && matches!(self.mode(), Mode::Report { .. }) && !self.is_without_caches()
    }

    /// Whether the curve is drawn.
    pub(super) fn has_picture(&self) -> bool {
        self.has_charts() && !self.is_without_caches()
    }

    /// Whether nothing can be said of finite caches: pieces do not hold those of engines.
    fn is_without_caches(&self) -> bool {
        self.merge && self.hit_rule() == HitRule::Engine
    }

    /// What is written. The table of options refuses all other combinations.
    fn mode(&self) -> Mode {
        match self.window {
            _ if self.partial => {
                Mode::Piece { place: self.piece.map(|it| (it.first, it.of)), by: self.by.clone() }
            }
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
            jobs: self.jobs.unwrap_or(1),
            output: self.common.output.clone(),
            // One file has one value of each gauge.
            replaces: self.format() == Format::Prometheus,
            mode: self.mode(),
            merges: self.merge,
            pieces: self.piece,
            format: self.from_format,
            block_size: self.block_size,
            title: self.title.as_deref().map(printable),
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
        let command = printable(&format!("{} {}", NAME, self.common.arguments));
        let width = known_columns(self.common.output.is_some());
        Style {
            format: self.format(),
            exact: self.exact,
            width,
            plot,
            input: self.common.input_name(),
            command,
            provenance: self.provenance,
            labels: self.labels.clone(),
        }
    }
}
