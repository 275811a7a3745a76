//! Values that have names on the command line.

/// Lists the words of a choice.
pub type Names = fn() -> Vec<&'static str>;

/// Values that have names on the command line, which stand here and nowhere else.
pub trait Choice: Copy + 'static {
    /// All names and what they mean, in the order of help and manual.
    const NAMES: &'static [(&'static str, Self)];
}

/// The names of a [`Choice`].
pub fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}
