//! How long a request's output is, and which tokens it is.

use super::counts::Counts;
use crate::record::prompt::{Chat, OutputLength};

/// The output length of a record's requests, and where it is from.
#[derive(Clone, Copy)]
pub(super) enum Output {
    Reported(u64),
    Counted(u64),
    Limit(u64),
    Unknown,
}

impl Output {
    /// What a record says of its length; `None` where its tokens are to be counted.
    pub(super) fn stated(length: &OutputLength) -> Option<Self> {
        match length {
            OutputLength::Known(length) => Some(Self::Reported(*length)),
            OutputLength::Limit(length) => Some(Self::Limit(*length)),
            OutputLength::Unknown => Some(Self::Unknown),
            OutputLength::Text(_) | OutputLength::Answer(_) => None,
        }
    }

    /// Whether the answers in `chat` tell more: a report is about the whole of a record.
    pub(super) fn yields(self, chat: &Chat) -> bool {
        !matches!(self, Self::Reported(_)) || chat.requests.len() > 1
    }

    /// The length, or `default`; counts what is no length of this request.
    pub(super) fn length(self, default: Option<u64>, counts: &mut Counts) -> Option<u64> {
        match self {
            Self::Reported(length) | Self::Counted(length) => Some(length),
            Self::Limit(length) => {
                counts.limits += 1;
                Some(length)
            }
            Self::Unknown => {
                counts.without_output += u64::from(default.is_none());
                default
            }
        }
    }
}

/// The answer of the request that is being hashed, as it was generated: tokens of its own, which came after
/// those of the prompt.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) tokens: Vec<u32>,
    pub(super) is_known: bool,
    /// Whether a stop token came after them.
    pub(super) stopped: bool,
}

impl Answer {
    /// No answer is known.
    pub(super) fn forget(&mut self) {
        self.tokens.clear();
        self.is_known = false;
    }

    /// The output length of its request, stop token included, where it is known and the record says nothing else.
    /// That length is at most one more than there are tokens.
    pub(super) fn length(&self, output: Output, counts: &mut Counts) -> Option<u64> {
        if !self.is_known {
            counts.without_answer += 1;
            return None;
        }
        let tokens = self.tokens.len() as u64;
        match output {
            Output::Reported(length) if length == tokens || length == tokens + 1 => Some(length),
            Output::Reported(_) => {
                counts.unlike_answers += 1;
                None
            }
            _ => Some(tokens + u64::from(self.stopped)),
        }
    }
}
