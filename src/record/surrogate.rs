//! Ids that stand for names.

use xxhash_rust::xxh3::xxh3_64;

use crate::record::trace_record::first_bits;

/// A 64-bit id for what `parts` name together: equal for equal parts. Among 10^8 names two get the
/// same id with a chance of 3 in 10,000.
pub(in crate::record) fn surrogate_id(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    first_bits(hasher.finalize().as_bytes())
}

/// The surrogate id of an `id` that follows a `parent`, which is a surrogate id itself; much faster.
pub(in crate::record) fn surrogate_child(parent: u64, id: u64) -> u64 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&parent.to_le_bytes());
    name[8..].copy_from_slice(&id.to_le_bytes());
    xxh3_64(&name)
}
