//! Prefix blocks: the chained hashes of token blocks, and numbering by first appearance.

mod chain;
mod numbering;
mod table;

pub use chain::{BlockChain, BlockKey, Partial};
pub use numbering::{BlockNumber, NumberRun, Numbering};
pub use table::KeyTable;
