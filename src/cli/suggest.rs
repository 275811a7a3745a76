//! "Did you mean": the closest of a few known words.

/// The known word that `given` most probably stands for, if one is close enough: up to a third of its letters
/// may be wrong, or its end may be missing.
pub(super) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter_map(|word| {
            let cut_short = given.chars().count() >= 3 && word.starts_with(given);
            let distance = if cut_short { 1 } else { strsim::osa_distance(given, word) };
            let letters = word.chars().count();
            let tolerated = (letters / 3).max(1);
            // Every word would be close enough to one of one or two letters.
            (distance <= tolerated && distance < letters).then_some((distance, word))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["block-size", "format", "seed", "max-line"];

    #[test]
    fn a_typing_error_finds_its_word() {
        assert_eq!(closest("blok-size", KNOWN), Some("block-size"));
        assert_eq!(closest("fromat", KNOWN), Some("format"));
        assert_eq!(closest("blocksize", KNOWN), Some("block-size"));
    }

    #[test]
    fn a_word_cut_short_finds_its_word() {
        assert_eq!(closest("max", KNOWN), Some("max-line"));
    }

    #[test]
    fn a_strange_word_finds_nothing() {
        assert_eq!(closest("verbose", KNOWN), None);
        assert_eq!(closest("", KNOWN), None);
        assert_eq!(closest("x", ["s", "ms"]), None);
    }
}
