//! What a filter says on standard error while it runs: how far it has come, and what is worth knowing.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::common::{Common, When};
use super::spec::Spec;
use super::{cat, hash, stats, synth};
use crate::error::{Error, printable};
use crate::io::{Observer, Status};

/// Time between two updates of the progress line.
const INTERVAL: Duration = Duration::from_millis(100);

const PROMPT: &str = "waiting for standard input, which ends with Ctrl-D (-h shows how to use files)";

/// Writes to standard error during a run: a progress line, and notes unless the user wants none.
pub struct Console {
    name: &'static str,
    quiet: bool,
    shown: bool,
    /// What is said before reading if a person has to type the input.
    prompt: Option<&'static str>,
    total: Option<u64>,
    start: Instant,
    /// When the line was drawn last; nothing is drawn in the first interval.
    drawn: Instant,
    visible: bool,
}

impl Console {
    /// The console of the filter `name`.
    pub fn new(name: &'static str, common: &Common) -> Self {
        let shown = match common.progress {
            When::Auto => !common.quiet && io::stderr().is_terminal(),
            When::Always => true,
            When::Never => false,
        };
        let reads_stdin = common.files.is_empty() || common.files.iter().any(|file| file.as_os_str() == "-");
        Self {
            name,
            quiet: common.quiet,
            shown,
            prompt: (reads_stdin && io::stdin().is_terminal()).then_some(PROMPT),
            total: None,
            start: Instant::now(),
            drawn: Instant::now(),
            visible: false,
        }
    }
}

impl Observer for Console {
    fn begin(&mut self, total: Option<u64>) {
        if let Some(prompt) = self.prompt.filter(|_| total.is_none()) {
            self.note(prompt);
        }
        self.total = total;
        self.start = Instant::now();
        self.drawn = self.start;
    }

    fn progress(&mut self, status: Status) {
        if self.shown && self.drawn.elapsed() >= INTERVAL {
            self.drawn = Instant::now();
            self.visible = true;
            let line = describe(status, self.total, self.start.elapsed().as_secs_f64());
            // If standard error is closed, nobody can be told.
            write!(io::stderr(), "\r\x1b[K{}: {line}", self.name).ok();
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.visible) {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }

    fn wording(&self, message: &str) -> String {
        with_options(message)
    }

    fn note(&mut self, message: &str) {
        if !self.quiet {
            say(self.name, &with_options(&printable(message)));
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes one line to standard error. If that is closed, nobody can be told.
pub(super) fn say(program: &str, message: &str) {
    writeln!(io::stderr(), "{program}: {message}").ok();
}

/// What `error` says in terms of the command line. A file may be called anything.
pub(super) fn worded(error: &Error) -> String {
    match error {
        Error::Data { file, line, message } => {
            Error::Data { file: file.clone(), line: *line, message: with_options(message) }.to_string()
        }
        other => with_options(&other.to_string()),
    }
}

/// `message` with each setting that it names in backticks, as the library does, as the option that it is on
/// the command line. What a message quotes of the input stands in other quotation marks.
fn with_options(message: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(message.len()), message);
    while let Some((before, quoted)) = rest.split_once('`') {
        text.push_str(before);
        let ours = text.is_empty() || text.ends_with([' ', '(']);
        let name = quoted.split_once('`').filter(|(name, _)| ours && is_option(name));
        match name {
            Some((name, _)) => text.push_str(&format!("--{}", name.replace('_', "-"))),
            None => text.push('`'),
        }
        rest = name.map_or(quoted, |(_, after)| after);
    }
    text + rest
}

/// Whether a filter has an option for the setting `name`; messages also name those of other filters.
fn is_option(name: &str) -> bool {
    fn has<O>(spec: &Spec<O>, long: &str) -> bool {
        spec.all().any(|option| option.long == long)
    }
    let long = name.replace('_', "-");
    has(&cat::SPEC, &long) || has(&hash::SPEC, &long) || has(&stats::SPEC, &long) || has(&synth::SPEC, &long)
}

fn describe(status: Status, total: Option<u64>, seconds: f64) -> String {
    let rate = status.bytes as f64 / seconds.max(1e-9);
    let mut line = format!("{}, {} lines, {}/s", bytes(status.bytes as f64), status.lines, bytes(rate));
    if let Some(total) = total.filter(|&total| total > 0) {
        let percent = (status.bytes as f64 / total as f64 * 100.0).min(100.0);
        let left = total.saturating_sub(status.bytes) as f64 / rate.max(1e-9);
        line.push_str(&format!(", {percent:.0} %, {left:.0} s left"));
    }
    line
}

/// A number of bytes with a decimal unit.
fn bytes(n: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = (n.max(1.0).log10() / 3.0).floor().clamp(0.0, 4.0);
    format!("{:.1} {}", n / 1000_f64.powf(power), units[power as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_as_options() {
        assert_eq!(
            with_options("`max_memory` is little; see trace-cat `sort`"),
            "--max-memory is little; see trace-cat --sort"
        );
        assert_eq!(with_options("(see `policy`=opt)"), "(see --policy=opt)");
        for other in ["expected `,` or `}`", "found \"`sort`\"", "no `such` option", "a ` b `sort"] {
            assert_eq!(with_options(other), other);
        }
    }

    #[test]
    fn the_line_gives_rate_and_time_left_where_the_size_is_known() {
        let status = Status { bytes: 50_000_000, lines: 1234 };
        assert_eq!(describe(status, None, 2.0), "50.0 MB, 1234 lines, 25.0 MB/s");
        let line = describe(status, Some(200_000_000), 2.0);
        assert_eq!(line, "50.0 MB, 1234 lines, 25.0 MB/s, 25 %, 6 s left");
        assert_eq!(describe(Status { bytes: 0, lines: 0 }, Some(0), 0.0), "0.0 B, 0 lines, 0.0 B/s");
    }
}
