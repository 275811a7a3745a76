//! Values that have names on the command line.

use crate::record::formats::Format;

/// Lists the words of a choice.
pub type Names = fn() -> Vec<&'static str>;

/// Values with their names, in the order of help and manual.
pub type NamedValues<T> = &'static [(&'static str, T)];

/// Values that have names on the command line. Parser, help and completions read the names from here.
pub trait Choice: Copy + 'static {
    /// All names and what they mean.
    const NAMES: NamedValues<Self>;
}

/// The names of a [`Choice`].
pub fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

/// A format, or none for one that is recognised.
impl Choice for Option<Format> {
    const NAMES: NamedValues<Self> = &{
        let mut names = [("auto", None); Format::ALL.len() + 1];
        let mut i = 0;
        while i < Format::ALL.len() {
            names[i + 1] = (Format::ALL[i].0, Some(Format::ALL[i].1));
            i += 1;
        }
        names
    };
}
