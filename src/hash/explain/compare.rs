//! What earlier prompts have of a prompt behind what it shares with the beginning of any, and the one to blame.
//!
//! The prompt that begins alike for longest need not have what follows: where two variants of a prompt take turns,
//! the last turn of the conversation has most of it, behind another beginning. So windows of tokens that were
//! sampled from all prompts tell which other ones to compare, one after the other, until nearly all that is known
//! of the prompt is found.

use super::common::{Common, common};
use super::tree::{Anchor, Earlier, Tree, Walk};
use crate::record::recent::Recent;

/// Prompts that are compared beside the one that begins alike for longest.
const CANDIDATES: usize = 4;

/// Where this part of the known windows is found, no other prompt is looked at.
const ENOUGH: f64 = 0.97;

/// A prompt to look for in earlier ones.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'p> {
    pub(super) tokens: &'p [u32],
    pub(super) walk: &'p Walk,
    pub(super) key: u32,
    /// Tokens with which some earlier prompt begins as well.
    pub(super) shared: usize,
    /// Tokens of the shortest run that counts, and of a window.
    pub(super) least: usize,
}

/// What earlier prompts have of a prompt.
pub(super) struct Compared {
    /// The one that has most of what is lost.
    pub(super) earlier: Earlier,
    /// What it has in common behind the place where both part.
    pub(super) common: Common,
    /// Tokens behind the shared ones that any of those has which were looked at.
    pub(super) lost: usize,
}

impl Compared {
    /// Tokens that the prompt has in common with that one in all.
    pub(super) fn tokens(&self) -> usize {
        self.earlier.shared + self.common.tokens
    }
}

/// A window of a prompt that some earlier one has.
struct Window {
    at: usize,
    /// The last prompt that has it, and a place in that.
    prompt: u64,
    anchor: Anchor,
}

/// Compares a prompt with earlier ones; `sample` are windows of it, of those in `windows`.
pub(super) fn compared(
    tree: &Tree,
    windows: &mut Recent<Anchor>,
    sample: &[(usize, u64)],
    wanted: Wanted<'_>,
) -> Option<Compared> {
    let Wanted { tokens, walk, key, shared, least } = wanted;
    let mut open = Vec::new();
    for &(at, hash) in sample.iter().filter(|(at, _)| *at >= shared) {
        let Some(&anchor) = windows.get(hash) else { continue };
        open.extend(tree.last(anchor, key).map(|prompt| Window { at, prompt, anchor }));
    }
    let few = (open.len() as f64 * (1.0 - ENOUGH)) as usize;
    let mut had = vec![false; tokens.len()];
    let (mut seen, mut best) = (Vec::<u64>::new(), None::<Compared>);
    // Where next to nothing is shared at the beginning, the last prompt with the end of this one comes first.
    let (mut alike, mut first) = (true, walk.own < least);
    while best.is_none() || open.len() > few {
        // The end of a prompt is what is most its own.
        let next = open.iter().rev().find(|window| !seen.contains(&window.prompt));
        let earlier = match next {
            Some(window) if (first || !alike) && seen.len() <= CANDIDATES => {
                seen.push(window.prompt);
                tree.through(window.anchor, walk, key)
            }
            _ if alike => {
                alike = false;
                let alike = tree.best(walk, key).filter(|earlier| !seen.contains(&earlier.prompt));
                seen.extend(alike.as_ref().map(|earlier| earlier.prompt));
                alike
            }
            _ => break,
        };
        first = false;
        let Some(earlier) = earlier else { continue };
        let common = common(&earlier.rest, &tokens[earlier.shared..], least);
        let mut lost = 0;
        for range in common.ranges(shared.saturating_sub(earlier.shared)) {
            lost += range.len();
            had[earlier.shared + range.start..earlier.shared + range.end].fill(true);
        }
        let other = Compared { earlier, common, lost };
        if best.as_ref().is_none_or(|best| (other.lost, other.tokens()) > (best.lost, best.tokens())) {
            best = Some(other);
        }
        open.retain(|window| had[window.at..window.at + least].contains(&false));
    }
    let mut best = best?;
    if best.lost > 0 && open.len() > few {
        // What has come in a prompt that was not compared is known as far as it was sampled.
        for window in open.iter().filter(|window| !seen.contains(&window.prompt)) {
            had[window.at..window.at + least].fill(true);
        }
    }
    best.lost = had.iter().filter(|had| **had).count();
    Some(best)
}
