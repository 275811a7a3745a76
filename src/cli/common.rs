//! The options that all filters share.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::choice::{Choice, NamedValues};
use super::completions::Shell;
use super::spec::{Opt, opt};
use crate::error::{Error, Result};
use crate::io::InputOptions;

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
        }
    }
}

impl Common {
    /// How the input is read.
    pub(super) fn input(&self) -> InputOptions {
        InputOptions { max_line: self.max_line, skip_invalid: self.skip_invalid, ..InputOptions::default() }
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
    /// A summary of the options.
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
    pub const TABLE: &'static [Opt<O>] = &[
        opt("output")
            .short('o')
            .file(|o, v| v.file().map(|path| o.common().output = (path.as_os_str() != "-").then_some(path))),
        opt("skip-invalid").flag(|o| o.common().skip_invalid = true),
        opt("max-line").value(|o, v| v.bytes().map(|size| o.common().max_line = size)),
        opt("progress").choice::<_, When>(|o, v| v.pick().map(|when| o.common().progress = when)),
        opt("quiet").short('q').flag(|o| o.common().quiet = true),
        opt("help").short('h').flag(|o| o.common().request = Some(Request::Help)),
        opt("man").flag(|o| o.common().request = Some(Request::Man)),
        opt("completions").choice::<_, Shell>(|o, v| {
            v.pick().map(|shell| o.common().request = Some(Request::Completions(shell)))
        }),
        opt("version").short('V').flag(|o| o.common().request = Some(Request::Version)),
    ];
}
