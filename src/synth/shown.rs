//! The blocks that the requests of an open session have added, as far as any line has shown them.

use super::core::BlockIds;
use super::request::{Span, SyntheticRequest};

/// By the number of the request in its session.
#[derive(Default)]
pub(super) struct Shown {
    /// The first blocks of each, as far as any request that was written had them.
    first: Vec<Span>,
    /// Further ones, where more were had later.
    more: Vec<(u32, Span)>,
}

impl Shown {
    /// Forgets all requests.
    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.more.clear();
    }

    /// Adds a request with these blocks.
    pub(super) fn add(&mut self, blocks: Span) {
        self.first.push(blocks);
    }

    /// Appends to `request` the first `len` blocks that request `of` has added, with new ids as far as none were
    /// given.
    pub(super) fn append(&mut self, of: u32, len: u32, ids: &mut BlockIds, request: &mut SyntheticRequest) {
        let mut left = len;
        let more = self.more.iter().filter(|(its, _)| *its == of).map(|(_, span)| *span);
        for span in [self.first[of as usize]].into_iter().chain(more) {
            let len = span.len.min(left);
            request.push(Span { len, ..span });
            left -= len;
        }
        if left > 0 {
            let span = Span { start: ids.fresh(left, request), len: left };
            match &mut self.first[of as usize] {
                first if first.len == 0 => *first = span,
                _ => self.more.push((of, span)),
            }
        }
    }
}
