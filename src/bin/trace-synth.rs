//! `trace-synth`: a trace to a synthetic one like it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kvtrace::cli::{self, Progress, synth};
use kvtrace::error::{Error, Invalid, InvalidKind, Result};
use kvtrace::io::{Input, InputOptions, Output, Pacer, signals};
use kvtrace::record::TraceReader;
use kvtrace::record::formats::Format;
use kvtrace::synth::{Figures, Generator, Learner, Model, ModelReader, RequestWriter, SyntheticRequest};

fn main() -> ExitCode {
    cli::run(&synth::SPEC, filter)
}

fn filter(options: synth::Options) -> Result<()> {
    options.check().map_err(Error::Usage)?;
    let output_file = options.common.output.as_deref();
    cli::refuse_same_file("--output", output_file, "--save-model", options.save_model.as_deref())?;
    let (model, original) = match &options.model_file {
        Some(path) => (load(&options, path)?, None),
        None => learn(&options)?,
    };
    let needs_time = options.duration.is_some() || options.pace;
    if needs_time && !model.has_time() && options.knobs.rate.is_none() {
        return Err(Error::Failed("the trace has no times; give it arrivals with --rate".into()));
    }
    if let Some(path) = &options.save_model {
        save(&model, path)?;
    }
    let mut output = Output::create(options.common.output.as_deref())?;
    let mut synthetic = original.as_ref().map(|_| Figures::new(model.block_size(), model.has_ids()));
    if let Err(error) = generate(&options, model, &mut output, synthetic.as_mut()) {
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    if let (Some(original), Some(synthetic)) = (original, synthetic) {
        // Where standard error is closed there is nobody to tell.
        std::io::stderr().write_all(original.compare(&synthetic).as_bytes()).ok();
    }
    Ok(())
}

/// The model of the trace that is read, and its figures if they will be compared.
fn learn(options: &synth::Options) -> Result<(Model, Option<Figures>)> {
    let common = &options.common;
    let note = |message: &str| cli::note(synth::SPEC.name, common.quiet, message);
    let input = Input::new(&common.files, InputOptions::from(common))?;
    let mut progress = Progress::new(synth::SPEC.name, common.progress, common.quiet, input.total_size());
    let mut reader = TraceReader::new(input, Some(Format::Mooncake), options.block_size);
    let mut learner = Learner::default();
    let limit = options.max_memory.or_else(cli::default_max_memory).unwrap_or(u64::MAX);
    // The rest is for the program and its buffers.
    let most = limit.saturating_sub(16 << 20);
    while reader.advance(|status| progress.update(status))? {
        learner.add(reader.record(), reader.block_size()).map_err(|message| reader.input().error(message))?;
        if learner.bytes(options.report) > most {
            return Err(Error::Failed(format!(
                "learning more than {} requests would take more than --max-memory ({limit} bytes); a part of the \
                 trace takes less (trace-cat --tail, --sample)",
                learner.requests()
            )));
        }
    }
    progress.finish();
    if let Some(message) = reader.skipped()? {
        note(&message);
    }
    let (without, all) = (learner.without_ids(), learner.requests());
    if without > 0 && without < all {
        note(&format!("{without} of {all} requests have no hash_ids: taken for prompts that share nothing"));
    }
    if let Some(late) = learner.order().note() {
        note(&format!("{late}: taken to arrive with it (see trace-cat --sort)"));
    }
    let forest = learner.finish()?;
    let figures = options.report.then(|| Figures::of_learnt(&forest)).transpose()?;
    let model = Model::new(options.model.unwrap_or_default(), &forest);
    Ok((model, figures))
}

/// The model of a file.
fn load(options: &synth::Options, path: &PathBuf) -> Result<Model> {
    let mut input_options = InputOptions::from(&options.common);
    input_options.skip_invalid = false;
    let mut input = Input::new([path], input_options)?;
    let mut reader = ModelReader::default();
    while input.advance(|_| Ok(()))? {
        reader.line(input.line()).map_err(|message| input.error(message))?;
    }
    let model = reader.finish().map_err(|message| Error::Failed(format!("{}: {message}", path.display())))?;
    if options.model.is_some_and(|kind| kind != model.kind()) {
        return Err(Error::Failed(format!("{}: not the model that --model asks for", path.display())));
    }
    match options.block_size {
        Some(size) if size != model.block_size() => {
            let found = model.block_size();
            Err(Error::Failed(format!(
                "{}: block size {found} contradicts --block-size {size}",
                path.display()
            )))
        }
        _ => Ok(model),
    }
}

fn save(model: &Model, path: &Path) -> Result<()> {
    let mut output = Output::create(Some(path))?;
    model.save(|line| {
        output.buffer().extend_from_slice(line);
        output.end_record()
    })?;
    output.finish()
}

/// Names the options that help when no request can be drawn.
fn advise(error: Invalid) -> Error {
    let advice = match error.kind {
        InvalidKind::Conflict => ": widen --min-isl and --max-isl",
        InvalidKind::OverLimit => "; see --max-isl",
        _ => "",
    };
    Error::Failed(error.message + advice)
}

fn generate(
    options: &synth::Options,
    model: Model,
    output: &mut Output,
    mut figures: Option<&mut Figures>,
) -> Result<()> {
    let unlimited = options.forever || options.duration.is_some();
    let default = if unlimited { u64::MAX } else { model.requests() };
    let count = options.requests.unwrap_or(default);
    let end = options.duration.map_or(f64::INFINITY, |duration| duration as f64);
    let mut write = model.write_options();
    write.annotate = options.annotate;
    write.prompts = options.vocabulary().map_err(Error::Usage)?;
    let mut writer = RequestWriter::new(write);
    let known = Some(count).filter(|_| !unlimited);
    let mut generator = Generator::new(model, options.knobs.clone(), options.seed, known).map_err(advise)?;
    let mut pacer = options.pace.then(|| Pacer::new(1.0));
    let mut request = SyntheticRequest::default();
    for _ in 0..count {
        signals::check()?;
        generator.next(&mut request).map_err(advise)?;
        let arrival = request.timestamp.unwrap_or(0.0);
        if arrival >= end {
            break;
        }
        if let Some(figures) = &mut figures {
            figures.add(&request)?;
        }
        if let Some(pacer) = &mut pacer {
            output.flush()?;
            pacer.wait(arrival)?;
        }
        writer.write(&request, output.buffer())?;
        output.end_record()?;
    }
    Ok(())
}
