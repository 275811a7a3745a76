//! What a reader has to say of its files in the end.

use crate::error::printable;
use crate::record::formats::{DecodedLines, Format};

/// What has been noticed so far.
#[derive(Default)]
pub(super) struct Remarks {
    /// The formats that were found out, with the first file of each.
    found: Vec<(Format, String)>,
    /// The first file with rows that were taken for whole prompts and may be none.
    doubtful: Option<String>,
    /// The first record without a time that has something like one: its place, and what that is.
    unread_time: Option<String>,
}

impl Remarks {
    /// Remembers the file that showed first that it has `format`.
    pub(super) fn found(&mut self, format: Format, file: &str) {
        if self.found.iter().all(|(known, _)| *known != format) {
            self.found.push((format, file.to_owned()));
        }
    }

    /// Remembers a file with rows that were taken for whole prompts and may be none.
    pub(super) fn doubt(&mut self, file: &str) {
        self.doubtful.get_or_insert_with(|| file.to_owned());
    }

    /// Remembers the place of a record without a time, and what may be one.
    pub(super) fn unread_time(&mut self, (file, line): (&str, u64), what: &str) {
        self.unread_time.get_or_insert_with(|| format!("{file}:{line}: {what}"));
    }

    /// All of it, with what was left out of the lines.
    pub(super) fn list(&self, lines: &DecodedLines) -> Vec<String> {
        let remark = |(format, file): &(Format, String)| {
            let spec = format.spec();
            let what = spec.remark.map(|remark| format!(": {remark}")).unwrap_or_default();
            format!("{file}: read as {} (see `from_format`){what}", spec.name)
        };
        let doubt = self.doubtful.iter().map(|file| {
            format!(
                "{file}: rows with a delay do not begin as the row before them in their session, and were taken \
                 for whole prompts: if they hold only what is new, give `from_format` aiperf"
            )
        });
        let notes = self.found.iter().map(remark).chain(doubt).chain(self.unread_time.clone());
        notes.chain(left_out(lines)).chain(passed_over(lines)).collect()
    }
}

/// The fields of logs that were left out, though they may be labels of requests.
fn left_out(lines: &DecodedLines) -> Option<String> {
    let names: Vec<_> = lines.left_out().map(|name| printable(name)).collect();
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("fields of the log that are left out: {names} (see trace-cat `keep`)"))
}

/// The calls of logs that were left out.
fn passed_over(lines: &DecodedLines) -> Option<String> {
    let count = lines.passed_over();
    let calls = if count == 1 { "1 call was" } else { &format!("{count} calls were") };
    (count > 0).then(|| format!("{calls} left out: the log does not say how long the prompt is"))
}
