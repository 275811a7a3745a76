//! The options that all filters share.

use std::marker::PhantomData;
use std::path::PathBuf;

use super::completions::Shell;
use super::progress::When;
use super::spec::{Arg, Opt};

/// Values of the options that all filters share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The inputs in order; `-` is standard input, none at all too.
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
    /// What to print instead of filtering; [`run`](super::run) takes care of it.
    pub request: Option<Request>,
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
        }
    }
}

/// A text that the user asks for about the filter itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The options in short.
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

/// Carries [`TABLE`](Self::TABLE), the common options as they apply to a filter's `O`.
pub struct CommonOptions<O>(PhantomData<O>);

impl<O: HasCommon + 'static> CommonOptions<O> {
    /// The table for [`Spec::common`](super::Spec::common).
    pub const TABLE: &'static [Opt<O>] = &[
        Opt {
            long: "output",
            short: Some('o'),
            arg: Arg::File("FILE"),
            help: "write to FILE instead of standard output",
            doc: "Write to FILE instead of standard output. \
                  The output goes to a temporary file beside FILE that is renamed to FILE at the \
                  end of a successful run, so that FILE is never seen half written. \
                  A FILE of - is standard output.\n\n\
                  As with sort -o, FILE may be one of the inputs. \
                  A symbolic link is followed: the file that it leads to is replaced, or created, and \
                  the link stays, while other hard links to that file keep its old content. \
                  Each .. in the name is the parent of the folder that the name before it leads to, as for \
                  the system. \
                  A new file in place of an old one has its permissions. \
                  A FILE that is a device or a named pipe is written directly.\n\n\
                  A run that is killed (SIGKILL) leaves its temporary file, .kvtrace-*.tmp, which the next \
                  run to the same FILE removes.",
            set: |options, value| {
                options.common().output = Some(value.path()).filter(|path| path.as_os_str() != "-");
                Ok(())
            },
        },
        Opt {
            long: "skip-invalid",
            short: None,
            arg: Arg::None,
            help: "skip and count bad records instead of stopping at the first",
            doc: "Skip bad records and print their number at the end. \
                  By default the first bad record ends the run with a message that names its file \
                  and line. A run without any valid record still fails.",
            set: |options, _| {
                options.common().skip_invalid = true;
                Ok(())
            },
        },
        Opt {
            long: "max-line",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "longest line accepted (default 64Mi)",
            doc: "Treat a line longer than SIZE bytes as a bad record, which is read past without \
                  being held in memory. \
                  SIZE takes the units k, M, G, Ki, Mi and Gi; the default is 64Mi.",
            set: |options, value| {
                // A limit beyond the address space is no limit.
                options.common().max_line = usize::try_from(value.positive_size()?).unwrap_or(usize::MAX);
                Ok(())
            },
        },
        Opt {
            long: "progress",
            short: None,
            arg: Arg::Choice(&["auto", "always", "never"]),
            help: "when to show progress on standard error (default auto)",
            doc: "Show bytes, lines and rate on standard error, and percentage and time left where \
                  the size of the input is known. \
                  The default, auto, does so where standard error is a terminal.",
            set: |options, value| {
                options.common().progress =
                    value.pick(&[("auto", When::Auto), ("always", When::Always), ("never", When::Never)])?;
                Ok(())
            },
        },
        Opt {
            long: "quiet",
            short: Some('q'),
            arg: Arg::None,
            help: "print no warnings and no progress, only errors",
            doc: "Print errors only: no warnings, and no progress unless it is asked for with \
                  --progress=always.",
            set: |options, _| {
                options.common().quiet = true;
                Ok(())
            },
        },
        Opt {
            long: "help",
            short: Some('h'),
            arg: Arg::None,
            help: "print this help",
            doc: "Print a summary of the options.",
            set: |options, _| request(options, Request::Help),
        },
        Opt {
            long: "man",
            short: None,
            arg: Arg::None,
            help: "print the manual page (read it with: man -l FILE)",
            doc: "Print this manual page in the mdoc format.",
            set: |options, _| request(options, Request::Man),
        },
        Opt {
            long: "completions",
            short: None,
            arg: Arg::Choice(&["bash", "zsh", "fish"]),
            help: "print a completion script for the shell",
            doc: "Print a script that completes options and their values in the given shell.",
            set: |options, value| {
                let shell =
                    value.pick(&[("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)])?;
                request(options, Request::Completions(shell))
            },
        },
        Opt {
            long: "version",
            short: Some('V'),
            arg: Arg::None,
            help: "print name and version",
            doc: "",
            set: |options, _| request(options, Request::Version),
        },
    ];
}

/// Stores a request with the signature of a setter's tail.
#[allow(clippy::unnecessary_wraps)]
fn request<O: HasCommon>(options: &mut O, request: Request) -> Result<(), String> {
    options.common().request = Some(request);
    Ok(())
}
