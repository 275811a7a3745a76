//! How lists of millions of entries grow.

/// Makes room for so many `more` items, and for an eighth of the list if that is more: a list that
/// doubles when it is full takes up to three times the memory in use.
#[inline]
pub(crate) fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}
