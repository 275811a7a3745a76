//! A line on standard error that says how far the input has been read.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::io::Status;

/// When the progress line is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// Where standard error is a terminal.
    #[default]
    Auto,
    /// Always, also into a file.
    Always,
    /// Never.
    Never,
}

/// Time between two looks of the line.
const INTERVAL: Duration = Duration::from_millis(100);

/// The progress line of one run.
pub struct Progress {
    name: &'static str,
    shown: bool,
    total: Option<u64>,
    start: Instant,
    /// When the line was drawn last; nothing is drawn in the first interval.
    drawn: Instant,
    visible: bool,
}

impl Progress {
    /// A line for the filter `name`, to be shown as asked. `total` is the size of the input in bytes.
    pub fn new(name: &'static str, when: When, quiet: bool, total: Option<u64>) -> Self {
        let shown = match when {
            When::Auto => !quiet && io::stderr().is_terminal(),
            When::Always => true,
            When::Never => false,
        };
        let now = Instant::now();
        Self { name, shown, total, start: now, drawn: now, visible: false }
    }

    /// Redraws the line, if it is time for it. Called before each read of the input.
    ///
    /// # Errors
    /// None; the result fits where reading wants one.
    pub fn update(&mut self, status: Status) -> Result<()> {
        if self.shown && self.drawn.elapsed() >= INTERVAL {
            self.drawn = Instant::now();
            self.visible = true;
            let line = describe(status, self.total, self.start.elapsed().as_secs_f64());
            // Where standard error is closed there is nobody to tell.
            write!(io::stderr(), "\r\x1b[K{}: {line}", self.name).ok();
        }
        Ok(())
    }

    /// Removes the line.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.visible) {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
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
    fn the_line_gives_rate_and_time_left_where_the_size_is_known() {
        let status = Status { bytes: 50_000_000, lines: 1234 };
        assert_eq!(describe(status, None, 2.0), "50.0 MB, 1234 lines, 25.0 MB/s");
        let line = describe(status, Some(200_000_000), 2.0);
        assert_eq!(line, "50.0 MB, 1234 lines, 25.0 MB/s, 25 %, 6 s left");
        assert_eq!(describe(Status { bytes: 0, lines: 0 }, Some(0), 0.0), "0.0 B, 0 lines, 0.0 B/s");
    }
}
