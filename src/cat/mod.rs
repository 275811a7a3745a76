//! Traces of any format to one valid trace: joined, ordered, sliced, converted, checked.

mod check;
mod clock;
mod contents;
mod dispatch;
mod entry;
mod ids;
mod merge;
mod records;
mod run;
mod select;
mod sort;
mod times;
mod told;
mod transform;

pub use crate::record::turns::Turns;
pub use ids::{IdChange, IdsScope, ReadOptions};
pub use records::Order;
pub use run::{Action, Task, run};
pub use select::{Moment, Sample, SampleBy, Selection};
pub use sort::SortOptions;
pub use times::TimeChange;
pub use transform::Plan;

/// Bytes of memory where the user does not say.
pub const DEFAULT_MEMORY: u64 = 256 << 20;

/// The same for a check, whose tables hold every block.
pub const DEFAULT_CHECK_MEMORY: u64 = 1 << 30;
