//! `trace-synth`: a trace to a synthetic one like it.

use std::process::ExitCode;

use kvtrace::cli::{self, Progress, synth};
use kvtrace::error::{Error, Result};
use kvtrace::io::{Input, InputOptions, Output};
use kvtrace::record::{BlockSize, TraceReader};
use kvtrace::synth::{Generator, Learner, Model, Request, RequestWriter};

fn main() -> ExitCode {
    cli::run(&synth::SPEC, filter)
}

fn filter(options: synth::Options) -> Result<()> {
    let model = learn(&options)?;
    let output = Output::create(options.common.output.as_deref())?;
    generate(&options, model, output)
}

/// The model of the trace that is read.
fn learn(options: &synth::Options) -> Result<Model> {
    let common = &options.common;
    let name = synth::SPEC.name;
    let input = Input::new(&common.files, InputOptions::from(common))?;
    let mut progress = Progress::new(name, common.progress, common.quiet, input.total_size());
    let mut reader = TraceReader::new(input, BlockSize::new(options.block_size));
    let mut learner = Learner::default();
    while reader.advance(|status| progress.update(status))? {
        learner
            .add(reader.record(), reader.block_size())
            .map_err(|message| reader.input().error(message))?;
    }
    progress.finish();
    if let Some(message) = reader.skipped()? {
        cli::note(name, common.quiet, &message);
    }
    Model::new(options.model.unwrap_or_default(), learner).map_err(Error::Failed)
}

fn generate(options: &synth::Options, model: Model, mut output: Output) -> Result<()> {
    let count = options.requests.unwrap_or(model.requests());
    let mut write = model.write_options();
    write.annotate = options.annotate;
    let writer = RequestWriter::new(write);
    let mut generator = Generator::new(model, options.knobs.clone(), options.seed).map_err(Error::Failed)?;
    let mut request = Request::default();
    for _ in 0..count {
        generator.next(&mut request).map_err(Error::Failed)?;
        writer.write(&request, output.buffer());
        output.end_record()?;
    }
    output.finish()
}
