//! Fields of which the user is told: those that stay as they are in a trace whose ids are made anonymous, and those
//! for which the format that is written has no place.

use std::collections::BTreeSet;

use crate::error::printable;
use crate::record::formats::Target;
use crate::record::general;
use crate::record::line::OWN_NAMES;

/// Fields that tell nothing but numbers of a request: what a trace for others needs.
const NUMBERS: [&str; 11] = [
    "timestamp",
    "input_length",
    "output_length",
    "hash_ids",
    "output_hash_ids",
    "block_size",
    "delay",
    "delay_ms",
    "cached_tokens",
    "cache_write_tokens",
    "replica",
];

/// So many names of fields are named to the user.
const NAMED: usize = 8;

/// The names that have been seen.
pub(super) struct Told {
    target: Target,
    /// Fields that tell of nothing, or have a place.
    known: Vec<&'static str>,
    names: BTreeSet<String>,
}

impl Told {
    /// Of a run that writes `target`, with rows that hold `increments` or not; none where there is nothing to tell.
    pub(super) fn new(target: Target, increments: bool, anonymous: bool) -> Option<Self> {
        let known = match target {
            Target::Mooncake if anonymous => NUMBERS.to_vec(),
            Target::Mooncake => return None,
            // Every format holds the fields of a request, under whatever name, but not the size of its blocks; of
            // the ids of answers another note tells.
            _ => {
                let request = OWN_NAMES.iter().filter(|name| **name != "block_size");
                request.chain(target.further_fields(increments)?).copied().collect()
            }
        };
        Some(Self { target, known, names: BTreeSet::new() })
    }

    /// Takes the line of a record, and the size of its blocks where that is not the usual one.
    pub(super) fn add(&mut self, line: &[u8], block_size: Option<u64>) {
        if self.names.len() < NAMED {
            let unstated = block_size.filter(|_| !self.known.contains(&"block_size"));
            self.names.extend(unstated.map(|_| "block_size".to_owned()));
            self.names.extend(general::other_fields(line, &self.known));
        }
    }

    /// What the user should know in the end.
    pub(super) fn note(&self) -> Option<String> {
        let names: Vec<_> = self.names.iter().take(NAMED).map(|name| printable(name)).collect();
        let names = names.join(", ");
        (!names.is_empty()).then(|| match self.target {
            Target::Mooncake => format!(
                "ids are anonymous, and other fields stay as they are: {names}; leave out what is private (jq 'del(...)')"
            ),
            target => format!("left out, since {} has no place for it: {names}", target.name()),
        })
    }
}
