//! The formats that can be read: their names, how each is recognised, and its decoder.
//!
//! A new format is a file with its decoder, and a variant and a row here.

use memchr::memmem;

use crate::error::Invalid;
use crate::record::formats::base::{DecodeLine, DecodeObject, FileFacts};
use crate::record::formats::csv::{self, TableColumns};
use crate::record::formats::{
    agentic, aibrix, aiperf, aiperf_export, bailian, bench, claude, codex, copilot, dates, dynamo, kv_events,
    langfuse, llmservingsim, lmcache, otel, seconds, sglang_log, simulator, tair, tracelab, usage, vllm_log,
    weka,
};
use crate::record::general;
use crate::record::json::RawObject;
use crate::record::scan;
use crate::record::trace_record::Record;

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Our own, with all extensions whose lines are complete requests.
    Mooncake,
    /// The same, but lines of one session hold only what is new.
    Aiperf,
    /// Alibaba's Bailian (Qwen) traces.
    Bailian,
    /// Dynamo's request trace.
    Dynamo,
    /// Dynamo's agentic Mooncake.
    Agentic,
    /// Conversations of the KV cache tester of Weka and `SemiAnalysis`.
    Weka,
    /// Rounds of `TraceLab`.
    Tracelab,
    /// The same as a table for replay.
    TracelabReplay,
    /// Transcripts of Claude Code.
    ClaudeCode,
    /// Rollouts of the Codex CLI.
    Codex,
    /// GitHub Copilot's coding agent data set.
    Copilot,
    /// Spans of OpenTelemetry.
    Otel,
    /// Exports of Langfuse.
    Langfuse,
    /// Logs of `LiteLLM`.
    Litellm,
    /// Amazon Bedrock's log of invocations.
    Bedrock,
    /// Any log that reports the tokens of each call.
    Usage,
    /// What aiperf exports of a run.
    AiperfExport,
    /// Detailed results of the benchmarks of vLLM and `SGLang`.
    Bench,
    /// Events of the KV cache of vLLM and `SGLang`.
    KvEvents,
    /// vLLM's log of requests.
    VllmLog,
    /// `SGLang`'s log of requests.
    SglangLog,
    /// Workloads of `LLMServingSim`.
    Llmservingsim,
    /// Workloads of `AIBrix`.
    Aibrix,
    /// The lookup log of `LMCache`.
    Lmcache,
    /// The trace of Tair's KV cache optimizer.
    Tair,
    /// kvcache-simulator, whose ids may be strings.
    KvcacheSimulator,
    /// The CSV of `BurstGPT`.
    Burstgpt,
    /// The CSV of Azure's LLM inference traces.
    Azure,
    /// The CSV of Vidur.
    Vidur,
    /// The CSV that this program writes.
    Csv,
    /// Mooncake lines whose times are dates.
    Dates,
    /// Mooncake lines in seconds, for guidellm.
    Guidellm,
    /// Mooncake lines in seconds, for vLLM.
    Vllm,
}

/// What is known of a format.
pub(in crate::record) struct FormatSpec {
    format: Format,
    /// Its name on the command line.
    pub(in crate::record) name: &'static str,
    reading: Reading,
    /// Whether times are those of a clock, not of the trace.
    pub(in crate::record) clock_times: bool,
    /// Whether ids are hashes of ours, fit only for renumbering.
    pub(in crate::record) surrogate_ids: bool,
    /// Whether a line says the same whatever stands in others, once the first ones with a time have been read.
    pub(in crate::record) lines_apart: bool,
    /// What users of the format should know.
    pub(in crate::record) remark: Option<&'static str>,
}

/// How the lines of a format are recognised and read.
enum Reading {
    /// They are read where they lie.
    InPlace,
    /// Lines of the Mooncake format that are changed.
    Rows(fn(&FileFacts) -> DecodeLine),
    /// JSON that nothing distinguishes from other formats: the user has to name it.
    Json(MakeDecoder),
    /// JSON that a first line tells from all other formats above.
    JsonLike(fn(&RawObject) -> bool, MakeDecoder),
    /// The same, but lines are not split first.
    Lines(fn(&RawObject) -> bool, fn(&FileFacts) -> DecodeLine),
    /// Anything else that a first line tells.
    Text(fn(&[u8]) -> bool, fn(&FileFacts) -> DecodeLine),
    /// Lines of JSON among others; either kind tells.
    Mixed(fn(&RawObject) -> bool, fn(&[u8]) -> bool, fn(&FileFacts) -> DecodeLine),
    /// A table, which the names of its columns tell.
    Table(&'static TableColumns),
}

type MakeDecoder = fn(&FileFacts) -> DecodeObject;

impl FormatSpec {
    const fn new(format: Format, name: &'static str, reading: Reading) -> Self {
        Self {
            format,
            name,
            reading,
            clock_times: false,
            surrogate_ids: false,
            lines_apart: false,
            remark: None,
        }
    }

    const fn with_remark(mut self, remark: &'static str) -> Self {
        self.remark = Some(remark);
        self
    }

    const fn with_clock_times(mut self) -> Self {
        self.clock_times = true;
        self
    }

    const fn with_surrogate_ids(mut self) -> Self {
        self.surrogate_ids = true;
        self
    }

    const fn with_lines_apart(mut self) -> Self {
        self.lines_apart = true;
        self
    }

    /// Whether the user may know better than the format what times count.
    pub(in crate::record) fn leaves_unit_open(&self) -> bool {
        matches!(self.format, Format::Mooncake | Format::Aiperf | Format::KvcacheSimulator | Format::Csv)
    }

    /// Whether blocks follow from what came before in the same session, and go on in the next file if that is of the
    /// same format.
    pub(in crate::record) fn follows_sessions(&self) -> bool {
        use Format as F;
        matches!(
            self.format,
            F::Aiperf
                | F::Tracelab
                | F::TracelabReplay
                | F::ClaudeCode
                | F::Codex
                | F::Copilot
                | F::Otel
                | F::Langfuse
                | F::Litellm
                | F::Bedrock
                | F::Usage
                | F::Llmservingsim
        )
    }

    /// A decoder for one file; `None` where lines are read as they are. Of a file whose format was found out,
    /// every line must be of that format.
    pub(in crate::record) fn decoder(&'static self, file: &FileFacts) -> Option<DecodeLine> {
        let is_found_out = file.is_found_out;
        match self.reading {
            Reading::InPlace => None,
            Reading::Rows(make)
            | Reading::Lines(_, make)
            | Reading::Text(_, make)
            | Reading::Mixed(.., make) => Some(make(file)),
            Reading::Json(make) => {
                let mut decode = make(file);
                Some(Box::new(move |line, out| decode(&RawObject::parse(line)?, out)))
            }
            Reading::JsonLike(is_like, make) => {
                let mut decode = make(file);
                Some(Box::new(move |line, out| {
                    let object = RawObject::parse(line)?;
                    if is_found_out && !is_like(&object) {
                        self.refuse_others(&object)?;
                    }
                    decode(&object, out)
                }))
            }
            Reading::Table(columns) => Some(columns.decoder(file)),
        }
    }

    /// Refuses an object that is a record of another format.
    #[cold]
    fn refuse_others(&self, object: &RawObject) -> Result<(), Invalid> {
        let other = Format::of_object(object).filter(|other| *other != self.format);
        let is_mooncake = self.format != Format::KvcacheSimulator && object.has("input_length");
        match other.or(is_mooncake.then_some(Format::Mooncake)) {
            Some(other) => Err(self.contradicted_by(other.spec().name)),
            None => Ok(()),
        }
    }

    /// What is wrong with a record of the format `other` in a file of this one.
    pub(in crate::record) fn contradicted_by(&self, other: &str) -> Invalid {
        let message =
            format!("a record of the format {other}, in a file that begins with one of {}", self.name);
        Invalid::conflict(message)
    }
}

/// What is left out of a log that may hold prompts.
const LENGTHS_OF_LOG: &str =
    "lengths and cached tokens alone; where the log has the prompts, trace-hash finds what they share";

/// Whether a table is `TraceLab`'s for replay.
fn is_replay(line: &[u8]) -> bool {
    csv::has_columns(line, &tracelab::REPLAY)
}

const FORMATS: [FormatSpec; 33] = {
    use Format as F;
    use FormatSpec as Spec;
    use Reading::{InPlace, Json, JsonLike, Lines, Mixed, Rows, Table, Text};
    [
        Spec::new(F::Mooncake, "mooncake", InPlace),
        Spec::new(F::Aiperf, "aiperf", Rows(aiperf::decoder))
            .with_remark("rows of a session hold only what is new, and were made whole prompts"),
        Spec::new(F::Bailian, "bailian", JsonLike(bailian::is_first, bailian::decoder))
            .with_surrogate_ids()
            .with_lines_apart(),
        Spec::new(F::Dynamo, "dynamo", JsonLike(dynamo::is_first, dynamo::decoder))
            .with_clock_times()
            .with_lines_apart(),
        Spec::new(F::Agentic, "agentic", JsonLike(agentic::is_first, agentic::decoder)).with_surrogate_ids(),
        Spec::new(F::Weka, "weka", Lines(weka::is_first, weka::decoder)),
        Spec::new(F::Tracelab, "tracelab", JsonLike(tracelab::is_first, tracelab::decoder))
            .with_clock_times()
            .with_lines_apart(),
        Spec::new(F::Lmcache, "lmcache", JsonLike(lmcache::is_first, lmcache::decoder))
            .with_clock_times()
            .with_surrogate_ids()
            .with_lines_apart(),
        Spec::new(F::Tair, "tair", JsonLike(tair::is_first, tair::decoder))
            .with_clock_times()
            .with_lines_apart(),
        Spec::new(
            F::KvcacheSimulator,
            "kvcache-simulator",
            JsonLike(simulator::is_first, simulator::decoder),
        )
        .with_surrogate_ids()
        .with_lines_apart(),
        Spec::new(F::Burstgpt, "burstgpt", Table(&csv::BURSTGPT)).with_lines_apart(),
        Spec::new(F::Azure, "azure", Table(&csv::AZURE)).with_clock_times().with_lines_apart(),
        Spec::new(F::Vidur, "vidur", Table(&csv::VIDUR)).with_lines_apart(),
        Spec::new(F::Csv, "csv", Table(&csv::OWN)).with_lines_apart(),
        Spec::new(F::Dates, "dates", JsonLike(dates::is_first, dates::decoder))
            .with_clock_times()
            .with_lines_apart(),
        Spec::new(F::Guidellm, "guidellm", Json(seconds::decoder)).with_lines_apart(),
        Spec::new(F::Vllm, "vllm", Json(seconds::decoder)).with_lines_apart(),
        Spec::new(F::TracelabReplay, "tracelab-replay", Text(is_replay, tracelab::replay_decoder)),
        Spec::new(F::ClaudeCode, "claude-code", JsonLike(claude::is_first, claude::decoder))
            .with_clock_times(),
        Spec::new(F::Codex, "codex", JsonLike(codex::is_first, codex::decoder)).with_clock_times(),
        Spec::new(F::Copilot, "copilot", JsonLike(copilot::is_first, copilot::decoder))
            .with_clock_times()
            .with_lines_apart(),
        Spec::new(F::Otel, "otel", JsonLike(otel::is_first, otel::decoder))
            .with_clock_times()
            .with_remark(LENGTHS_OF_LOG)
            .with_lines_apart(),
        Spec::new(F::Langfuse, "langfuse", JsonLike(langfuse::is_first, langfuse::decoder))
            .with_clock_times()
            .with_remark(LENGTHS_OF_LOG)
            .with_lines_apart(),
        Spec::new(F::Litellm, "litellm", JsonLike(usage::is_litellm, usage::decoder))
            .with_clock_times()
            .with_remark(LENGTHS_OF_LOG)
            .with_lines_apart(),
        Spec::new(F::Bedrock, "bedrock", JsonLike(usage::is_bedrock, usage::bedrock_decoder))
            .with_clock_times()
            .with_remark(LENGTHS_OF_LOG)
            .with_lines_apart(),
        Spec::new(
            F::AiperfExport,
            "aiperf-export",
            JsonLike(aiperf_export::is_first, aiperf_export::decoder),
        )
        .with_clock_times()
        .with_lines_apart(),
        Spec::new(F::Bench, "bench", JsonLike(bench::is_first, bench::decoder)).with_clock_times(),
        Spec::new(
            F::KvEvents,
            "kv-events",
            Mixed(kv_events::is_dynamo, kv_events::is_batch, kv_events::decoder),
        )
        .with_clock_times()
        .with_remark("requests that the cache served whole do not appear, and lengths are of whole blocks"),
        Spec::new(F::VllmLog, "vllm-log", Text(vllm_log::is_log, vllm_log::decoder))
            .with_clock_times()
            .with_surrogate_ids()
            .with_remark(
                "requests are those whose tokens are in the log (since vLLM 0.11 with the level DEBUG)",
            ),
        Spec::new(
            F::SglangLog,
            "sglang-log",
            Mixed(sglang_log::is_event, sglang_log::is_log, sglang_log::decoder),
        )
        .with_clock_times()
        .with_surrogate_ids(),
        Spec::new(
            F::Llmservingsim,
            "llmservingsim",
            JsonLike(llmservingsim::is_first, llmservingsim::decoder),
        )
        .with_surrogate_ids(),
        Spec::new(F::Aibrix, "aibrix", JsonLike(aibrix::is_first, aibrix::decoder))
            .with_remark("it has lengths alone; prompts are not read")
            .with_lines_apart(),
        Spec::new(F::Usage, "usage", JsonLike(usage::is_usage, usage::decoder))
            .with_clock_times()
            .with_lines_apart(),
    ]
};

static SPECS: [FormatSpec; FORMATS.len()] = FORMATS;

impl Format {
    /// All formats with their names on the command line.
    pub const ALL: &'static [(&'static str, Self)] = &{
        let mut all = [("", Self::Mooncake); FORMATS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = (FORMATS[i].name, FORMATS[i].format);
            i += 1;
        }
        all
    };

    /// The format that begins with this line; what fits no other is taken for Mooncake.
    pub fn detect(line: &[u8]) -> Self {
        Self::of_first(line).unwrap_or(Self::Mooncake)
    }

    /// The same, if the line is one of any format.
    pub(in crate::record) fn of_first(line: &[u8]) -> Option<Self> {
        if line.trim_ascii_start().starts_with(b"{") {
            let object = RawObject::parse(line).ok()?;
            Some(Self::of_object(&object).unwrap_or(Self::Mooncake))
        } else {
            let names = csv::column_names(line);
            let is_like = |spec: &&FormatSpec| match spec.reading {
                Reading::Table(table) => table.fit(&names),
                Reading::Text(is_first, _) | Reading::Mixed(_, is_first, _) => is_first(line),
                _ => false,
            };
            SPECS.iter().find(is_like).map(|spec| spec.format)
        }
    }

    /// The format whose files begin with an object such as this.
    fn of_object(object: &RawObject) -> Option<Self> {
        let is_like = |spec: &&FormatSpec| match spec.reading {
            Reading::JsonLike(is_like, _) | Reading::Lines(is_like, _) | Reading::Mixed(is_like, ..) => {
                is_like(object)
            }
            _ => false,
        };
        SPECS.iter().find(is_like).map(|spec| spec.format)
    }

    /// The format of a line that is a record of a trace, by its name.
    pub fn of_trace(line: &[u8]) -> Option<&'static str> {
        let format = Self::detect(line);
        let is_trace = format != Self::Mooncake || general::parse(line, &mut Record::default()).is_ok();
        is_trace.then_some(format.spec().name)
    }

    /// The format of a line that is a valid Mooncake line too, where it means something else.
    pub(in crate::record) fn misread(line: &[u8]) -> Option<Self> {
        let may_be = scan::FOREIGN_KEYS.iter().any(|key| memmem::find(line, key).is_some());
        may_be.then(|| Self::detect(line)).filter(|format| *format != Self::Mooncake)
    }

    /// What is known of this format.
    pub(in crate::record) fn spec(self) -> &'static FormatSpec {
        SPECS.iter().find(|spec| spec.format == self).unwrap_or(&SPECS[0])
    }
}
