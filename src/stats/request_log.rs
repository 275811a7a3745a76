//! What must be remembered of each request until the end: 4 to 6 bytes in most traces.

use crate::blocks::BlockNumber;

/// Requests with ids in their order.
#[derive(Default)]
pub(super) struct RequestLog {
    /// Per request three variable-length numbers: the length; twice the number of new blocks plus
    /// whether the first is new; and twice one more than the output length, which is 0 if unknown, plus
    /// whether only full blocks are listed.
    bytes: Vec<u8>,
}

/// A request in the log.
pub(super) struct LoggedRequest {
    pub(super) length: u64,
    pub(super) new_blocks: BlockNumber,
    /// Whether its first block is new.
    pub(super) starts_new: bool,
    pub(super) output: Option<u64>,
    /// Whether the list of blocks leaves out a last partial one.
    pub(super) is_full: bool,
}

impl RequestLog {
    /// Appends a request.
    #[inline(always)]
    pub(super) fn push(&mut self, request: &LoggedRequest) {
        self.push_number(request.length);
        self.push_number(u64::from(request.new_blocks) << 1 | u64::from(request.starts_new));
        self.push_number(request.output.map_or(0, |output| output + 1) << 1 | u64::from(request.is_full));
    }

    /// Seven bits per byte, lowest first; the top bit says that more follow.
    #[inline]
    fn push_number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Bytes in use.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All requests in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = LoggedRequest> + '_ {
        let mut bytes = self.bytes.iter();
        let mut number = move || {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes.next()?;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            Some(value)
        };
        std::iter::from_fn(move || {
            let (length, new, output) = (number()?, number()?, number()?);
            Some(LoggedRequest {
                length,
                new_blocks: (new >> 1) as u32,
                starts_new: new & 1 == 1,
                output: (output >> 1).checked_sub(1),
                is_full: output & 1 == 1,
            })
        })
    }
}
