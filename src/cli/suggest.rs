//! "Did you mean": the closest of a few known words.

/// The known word that `given` was most probably meant to be, if one is close enough: a third of
/// its letters may be wrong, or its end may be missing.
pub(super) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().collect();
    known
        .into_iter()
        .filter_map(|word| {
            let letters: Vec<char> = word.chars().collect();
            let cut_short = given.len() >= 3 && letters.starts_with(&given);
            let distance = if cut_short { 1 } else { distance(&given, &letters) };
            let tolerated = (letters.len() / 3).max(1);
            // A word of one or two letters is within reach of everything.
            (distance <= tolerated && distance < letters.len()).then_some((distance, word))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment, row by row).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let replaced = row[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(above[j - 1] + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["block-size", "format", "seed", "max-line"];

    fn between(a: &str, b: &str) -> usize {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        distance(&a, &b)
    }

    #[test]
    fn distances_count_edits_and_a_swap_as_one() {
        assert_eq!(between("", ""), 0);
        assert_eq!(between("", "abc"), 3);
        assert_eq!(between("abc", ""), 3);
        assert_eq!(between("kitten", "sitting"), 3);
        assert_eq!(between("fromat", "format"), 1);
    }

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
