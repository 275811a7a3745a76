//! The options that all filters share.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::choice::{Choice, NamedValues};
use super::completions::Shell;
use super::spec::{Group, Opt, opt};
use crate::error::{Error, Result, printable};
use crate::io::{Compression, InputOptions};

/// Values of the options that all filters share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The inputs in order. `-` is standard input, and so is an empty list.
    pub files: Vec<PathBuf>,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// Whether warnings and the progress line are left out.
    pub quiet: bool,
    /// When the progress line is shown.
    pub progress: When,
    /// Longest line accepted, in bytes.
    pub max_line: usize,
    /// Whether bad records are skipped and counted.
    pub skip_invalid: bool,
    /// What to print instead of filtering; [`run`](super::run) prints it.
    pub request: Option<Request>,
    /// The long names of the options on the command line, in order.
    pub given: Vec<&'static str>,
    /// The arguments of the command line, as a shell reads them.
    pub arguments: String,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            output: None,
            quiet: false,
            progress: When::Auto,
            max_line: 64 << 20,
            skip_invalid: false,
            request: None,
            given: Vec::new(),
            arguments: String::new(),
        }
    }
}

impl Common {
    /// How the input is read.
    pub(super) fn input(&self) -> InputOptions {
        InputOptions { max_line: self.max_line, skip_invalid: self.skip_invalid, ..InputOptions::default() }
    }

    /// The input in a few words.
    pub(super) fn input_name(&self) -> String {
        let name = |file: &PathBuf| match file.to_str() {
            Some("-") => "standard input".into(),
            _ => printable(&file.display().to_string()),
        };
        match &self.files[..] {
            [] => "standard input".into(),
            [one] => name(one),
            [first, .., last] => {
                format!("{} files, {} to {}", self.files.len(), name(first), name(last))
            }
        }
    }

    /// The end of the output's name that says what it holds: `html` of `report.html` and `report.html.gz`.
    pub(super) fn output_kind(&self) -> Option<&str> {
        let path = self.output.as_deref()?;
        let plain = Compression::of(path).and_then(|_| path.file_stem()).map_or(path, Path::new);
        plain.extension()?.to_str()
    }

    /// Refuses an output whose name promises what is not written here: says what makes it.
    pub(super) fn refuse_kind(&self, program: &str) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        let name = path.display();
        let piped = |command: &str| format!("try: {program} ... | {command}");
        let how = match path.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => piped(&format!("xz > {name}")),
            Some("bz2") => piped(&format!("bzip2 > {name}")),
            Some("lz4") => piped(&format!("lz4 > {name}")),
            Some("br") => piped(&format!("brotli > {name}")),
            Some("zip") => piped(&format!("zip {name} -")),
            Some("parquet") => {
                let lines = path.with_extension("jsonl");
                let lines = lines.display();
                format!("write {lines}, and then: duckdb -c \"COPY (FROM '{lines}') TO '{name}'\"")
            }
            _ => return Ok(()),
        };
        Err(Error::Usage(format!("--output {name}: compressed are .gz and .zst alone; {how}")))
    }

    /// Refuses a file that is given both as the output and with another option: each would overwrite the other.
    pub(super) fn refuse_as_output(&self, option: &str, other: Option<&Path>) -> Result<()> {
        let (Some(file), Some(other)) = (self.output.as_deref(), other) else { return Ok(()) };
        let place = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok();
        if file == other || place(file).is_some_and(|place_of| place(other) == Some(place_of)) {
            let name = file.display();
            return Err(Error::Usage(format!("--output and {option} are the same file, {name}")));
        }
        Ok(())
    }
}

/// When the progress line is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// If standard error is a terminal.
    #[default]
    Auto,
    /// Always, even if standard error is a file.
    Always,
    /// Never.
    Never,
}

impl Choice for When {
    const NAMES: NamedValues<Self> =
        &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

/// A text about the filter itself that the user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The options that people use every day, on one screen (`-h`).
    Summary,
    /// All options (`--help`).
    Help,
    /// Name and version.
    Version,
    /// A completion script.
    Completions(Shell),
    /// The manual page.
    Man,
}

/// Options of a filter that contain the common ones.
pub trait HasCommon {
    /// The common options.
    fn common(&mut self) -> &mut Common;
}

/// Holds [`TABLE`](Self::TABLE), the common options for a filter whose options are an `O`.
pub struct CommonOptions<O>(PhantomData<O>);

impl<O: HasCommon + 'static> CommonOptions<O> {
    /// The table for [`Spec::common`](super::Spec::common).
    pub const TABLE: &'static [Group<O>] =
        &[("Input", Self::INPUT), ("Output", Self::OUTPUT), ("About", Self::ABOUT)];

    const INPUT: &'static [Opt<O>] = &[
        opt("skip-invalid").daily().flag(|o| o.common().skip_invalid = true),
        opt("max-line").value(|o, v| v.bytes().map(|size| o.common().max_line = size)),
    ];

    const OUTPUT: &'static [Opt<O>] = &[
        opt("output")
            .short('o')
            .daily()
            .file(|o, v| v.file().map(|path| o.common().output = (path.as_os_str() != "-").then_some(path))),
        opt("progress").choice::<_, When>(|o, v| v.pick().map(|when| o.common().progress = when)),
        opt("quiet").short('q').flag(|o| o.common().quiet = true),
    ];

    const ABOUT: &'static [Opt<O>] = &[
        opt("help").short('h').flag(|o| o.common().request = Some(Request::Help)),
        opt("man").flag(|o| o.common().request = Some(Request::Man)),
        opt("completions").choice::<_, Shell>(|o, v| {
            v.pick().map(|shell| o.common().request = Some(Request::Completions(shell)))
        }),
        opt("version").short('V').flag(|o| o.common().request = Some(Request::Version)),
    ];
}
