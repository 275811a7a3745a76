//! What the terminal can show. Nothing else in an output depends on where it goes.

use std::env;
use std::ffi::OsString;
use std::io;

use super::choice::{Choice, NamedValues};

/// Columns if nothing is known about the terminal.
const DEFAULT_COLUMNS: usize = 80;

/// The width of the output where it is known, else 80 columns.
pub(super) fn columns(to_file: bool) -> usize {
    known_columns(to_file).unwrap_or(DEFAULT_COLUMNS)
}

/// The width of the output: COLUMNS if set, else the width of the terminal if standard output is one and the
/// output goes there.
pub(super) fn known_columns(to_file: bool) -> Option<usize> {
    let named = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || {
        let size = if to_file { None } else { rustix::termios::tcgetwinsize(io::stdout()).ok() };
        size.map(|size| usize::from(size.ws_col))
    };
    named.or_else(terminal).filter(|&columns| columns > 0)
}

/// Whether the locale has more characters than ASCII; assumed if no locale is set.
pub(super) fn locale_is_unicode() -> bool {
    is_unicode(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default()))
}

/// The first value that is not empty decides.
fn is_unicode(values: [String; 3]) -> bool {
    let locale = values.into_iter().find(|value| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Arguments as a shell reads them.
pub(super) fn line(args: &[OsString]) -> String {
    args.iter().map(|arg| quoted(&arg.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// `word` as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:%+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What charts in a terminal are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// As the locale says.
    Auto,
    /// Plain ASCII.
    Ascii,
    /// Block characters.
    Unicode,
}

impl Choice for Letters {
    const NAMES: NamedValues<Self> =
        &[("auto", Self::Auto), ("ascii", Self::Ascii), ("unicode", Self::Unicode)];
}

impl Letters {
    /// Whether they are more than ASCII.
    pub(super) fn are_unicode(self) -> bool {
        match self {
            Self::Auto => locale_is_unicode(),
            Self::Ascii => false,
            Self::Unicode => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_named_counts() {
        let of = |values: [&str; 3]| is_unicode(values.map(str::to_owned));
        assert!(of(["", "", ""]) && of(["", "", "en_US.UTF-8"]) && of(["C.utf8", "C", "C"]));
        assert!(!of(["C", "", "en_US.UTF-8"]) && !of(["", "", "de_DE.ISO-8859-1"]));
    }
}
