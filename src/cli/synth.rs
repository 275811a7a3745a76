//! Options and manual of `trace-synth`.

use std::path::PathBuf;

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec, Value};
use crate::synth::{Knobs, MAX_FACTOR, ModelKind};

/// Values of the options.
#[derive(Default)]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// How the trace is modelled, if the user says.
    pub model: Option<ModelKind>,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// How many requests to write.
    pub requests: Option<u64>,
    /// Whether to go on without end.
    pub forever: bool,
    /// Milliseconds of the trace to write.
    pub duration: Option<u64>,
    /// Seed of all draws.
    pub seed: u64,
    /// Changes to what was learnt.
    pub knobs: Knobs,
    /// Whether the reference's two lengths are added.
    pub annotate: bool,
    /// Whether lines appear at their time.
    pub pace: bool,
    /// Where the model is saved.
    pub save_model: Option<PathBuf>,
    /// Where a saved model is read.
    pub model_file: Option<PathBuf>,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// A finite number above zero.
fn above_zero(value: &Value) -> Result<f64, String> {
    let number = value.number()?;
    if number <= 0.0 {
        return Err(format!("'{}' is not above zero", value.text()?));
    }
    Ok(number)
}

/// A factor for lengths.
fn factor(value: &Value) -> Result<f64, String> {
    let number = above_zero(value)?;
    if number > MAX_FACTOR {
        return Err(format!("'{}' is more than {MAX_FACTOR}, the largest factor", value.text()?));
    }
    Ok(number)
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-synth",
    about: "learn a request trace and write a synthetic one like it",
    description: &[Block::Text(
        "Reads a trace, learns a model of it in one pass, and writes a synthetic trace of any length.",
    )],
    options: &[
        Opt {
            long: "num-requests",
            short: Some('n'),
            arg: Arg::Value("N"),
            help: "requests to write (default: as many as were read)",
            doc: "",
            set: |options, value| {
                options.requests = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "seed",
            short: None,
            arg: Arg::Value("N"),
            help: "seed of all draws (default 0)",
            doc: "",
            set: |options, value| {
                options.seed = value.count()?;
                Ok(())
            },
        },
        Opt {
            long: "model",
            short: None,
            arg: Arg::Choice(&["sessions", "tree"]),
            help: "how the trace is modelled (default sessions)",
            doc: "",
            set: |options, value| {
                options.model =
                    Some(value.pick(&[("sessions", ModelKind::Sessions), ("tree", ModelKind::Tree)])?);
                Ok(())
            },
        },
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block (default 512, or as the trace states)",
            doc: "",
            set: |options, value| {
                options.block_size = Some(value.block_size()?);
                Ok(())
            },
        },
        Opt {
            long: "speedup-ratio",
            short: None,
            arg: Arg::Value("X"),
            help: "let time pass X times as fast",
            doc: "",
            set: |options, value| {
                options.knobs.speedup = above_zero(value)?;
                Ok(())
            },
        },
        Opt {
            long: "prefix-len-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make shared prefixes X times as long",
            doc: "",
            set: |options, value| {
                options.knobs.prefix_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "prefix-root-multiplier",
            short: None,
            arg: Arg::Value("N"),
            help: "choose one of N disjoint copies of the shared prefixes",
            doc: "",
            set: |options, value| {
                options.knobs.prefix_root =
                    u32::try_from(value.positive()?).map_err(|_| "too many copies".to_owned())?;
                Ok(())
            },
        },
        Opt {
            long: "prompt-len-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make all other parts of prompts X times as long",
            doc: "",
            set: |options, value| {
                options.knobs.prompt_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "osl-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make outputs X times as long",
            doc: "",
            set: |options, value| {
                options.knobs.output_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "min-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "leave out requests with fewer input tokens",
            doc: "",
            set: |options, value| {
                options.knobs.input.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "leave out requests with more input tokens",
            doc: "",
            set: |options, value| {
                options.knobs.input.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "min-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "raise smaller output lengths to N tokens",
            doc: "",
            set: |options, value| {
                options.knobs.output.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "cut larger output lengths to N tokens",
            doc: "",
            set: |options, value| {
                options.knobs.output.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "annotate",
            short: None,
            arg: Arg::None,
            help: "add context_len and unique_user_prompt_len to each line",
            doc: "",
            set: |options, _| {
                options.annotate = true;
                Ok(())
            },
        },
        Opt {
            long: "rate",
            short: None,
            arg: Arg::Value("R"),
            help: "rescale arrivals to R requests per second on average",
            doc: "",
            set: |options, value| {
                options.knobs.rate = Some(above_zero(value)?);
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section { title: "SEE ALSO", body: &[Block::Text("trace-cat(1), trace-hash(1), trace-stats(1)")] },
    ],
};
