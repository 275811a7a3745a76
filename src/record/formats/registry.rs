//! The formats that can be read: their names, how each is recognised, and its decoder.
//!
//! A new format is a file with its decoder, and a variant and a row here.

use crate::record::formats::base::{DecodeLine, DecodeObject, FileFacts};
use crate::record::formats::csv::{self, TableColumns};
use crate::record::formats::{agentic, bailian, dynamo, lmcache, seconds, simulator, tair, tracelab, weka};
use crate::record::json::RawObject;

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
    /// Mooncake lines in seconds, for guidellm.
    Guidellm,
    /// Mooncake lines in seconds, for vLLM.
    Vllm,
}

/// What is known of a format.
pub(in crate::record) struct FormatSpec {
    format: Format,
    /// Its name on the command line.
    name: &'static str,
    reading: Reading,
    /// Whether times are those of a clock, not of the trace.
    pub(in crate::record) clock_times: bool,
    /// Whether ids are hashes of ours, fit only for renumbering.
    pub(in crate::record) surrogate_ids: bool,
}

/// How the lines of a format are recognised and read.
enum Reading {
    /// They are read where they lie.
    InPlace,
    /// JSON that nothing distinguishes from other formats: the user has to name it.
    Json(MakeDecoder),
    /// JSON that a first line tells from all other formats above.
    JsonLike(fn(&RawObject) -> bool, MakeDecoder),
    /// A table, which the names of its columns tell.
    Table(&'static TableColumns),
}

type MakeDecoder = fn(&FileFacts) -> DecodeObject;

impl FormatSpec {
    const fn new(format: Format, name: &'static str, reading: Reading) -> Self {
        Self { format, name, reading, clock_times: false, surrogate_ids: false }
    }

    const fn with_clock_times(mut self) -> Self {
        self.clock_times = true;
        self
    }

    const fn with_surrogate_ids(mut self) -> Self {
        self.surrogate_ids = true;
        self
    }

    /// Whether the user may know better than the format what times count.
    pub(in crate::record) fn leaves_unit_open(&self) -> bool {
        matches!(self.format, Format::Mooncake | Format::Aiperf | Format::KvcacheSimulator | Format::Csv)
    }

    /// A decoder for one file; `None` where lines are read as they are.
    pub(in crate::record) fn decoder(&self, file: &FileFacts) -> Option<DecodeLine> {
        match self.reading {
            Reading::InPlace => None,
            Reading::Json(make) | Reading::JsonLike(_, make) => {
                let mut decode = make(file);
                Some(Box::new(move |line, out| decode(&RawObject::parse(line)?, out)))
            }
            Reading::Table(columns) => Some(columns.decoder()),
        }
    }
}

const FORMATS: [FormatSpec; 16] = {
    use Format as F;
    use FormatSpec as Spec;
    use Reading::{InPlace, Json, JsonLike, Table};
    [
        Spec::new(F::Mooncake, "mooncake", InPlace),
        Spec::new(F::Aiperf, "aiperf", InPlace),
        Spec::new(F::Bailian, "bailian", JsonLike(bailian::is_first, bailian::decoder)).with_surrogate_ids(),
        Spec::new(F::Dynamo, "dynamo", JsonLike(dynamo::is_first, dynamo::decoder)).with_clock_times(),
        Spec::new(F::Agentic, "agentic", JsonLike(agentic::is_first, agentic::decoder)).with_surrogate_ids(),
        Spec::new(F::Weka, "weka", JsonLike(weka::is_first, weka::decoder)).with_surrogate_ids(),
        Spec::new(F::Tracelab, "tracelab", JsonLike(tracelab::is_first, tracelab::decoder))
            .with_clock_times()
            .with_surrogate_ids(),
        Spec::new(F::Lmcache, "lmcache", JsonLike(lmcache::is_first, lmcache::decoder))
            .with_clock_times()
            .with_surrogate_ids(),
        Spec::new(F::Tair, "tair", JsonLike(tair::is_first, tair::decoder)).with_clock_times(),
        Spec::new(
            F::KvcacheSimulator,
            "kvcache-simulator",
            JsonLike(simulator::is_first, simulator::decoder),
        )
        .with_surrogate_ids(),
        Spec::new(F::Burstgpt, "burstgpt", Table(&csv::BURSTGPT)),
        Spec::new(F::Azure, "azure", Table(&csv::AZURE)).with_clock_times(),
        Spec::new(F::Vidur, "vidur", Table(&csv::VIDUR)),
        Spec::new(F::Csv, "csv", Table(&csv::OWN)),
        Spec::new(F::Guidellm, "guidellm", Json(seconds::decoder)),
        Spec::new(F::Vllm, "vllm", Json(seconds::decoder)),
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
        let mut specs = SPECS.iter();
        let found = if line.trim_ascii_start().starts_with(b"{") {
            let Ok(object) = RawObject::parse(line) else { return Self::Mooncake };
            specs.find(|spec| matches!(spec.reading, Reading::JsonLike(is_first, _) if is_first(&object)))
        } else {
            let names = csv::column_names(line);
            specs.find(|spec| matches!(spec.reading, Reading::Table(columns) if columns.fit(&names)))
        };
        found.map_or(Self::Mooncake, |spec| spec.format)
    }

    /// What is known of this format.
    pub(in crate::record) fn spec(self) -> &'static FormatSpec {
        SPECS.iter().find(|spec| spec.format == self).unwrap_or(&SPECS[0])
    }
}
