//! Prefix blocks: the chained hashes of token blocks, and numbering by first appearance.

mod chain;
mod encode;
mod grow;
mod join;
mod numbering;
mod state;
mod table;

pub use chain::{
    BlockChain, BlockHash, BlockKey, Encoding, ExtraKeys, Partial, Scheme, VLLM_SEED, VllmDigest,
};
pub(crate) use grow::reserve;
pub use join::BlockJoin;
pub use numbering::{BlockNumber, NumberRun, Numbering};
pub(crate) use state::StateFile;
pub use state::StateHeader;
pub use table::KeyTable;
