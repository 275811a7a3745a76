//! Replicas behind a router: where each request goes, and what it finds there.
//!
//! [`Fleets`] holds any number of fleets, each of some replicas and a [`Route`], and sends every request
//! through all of them in one pass. What is shared by all is kept once: a tree of the prefixes. Each fleet then
//! has 8 bytes for each node of that tree, which say which replica has it and where in its LRU stack it is.

mod by_block;
mod fleets;
mod homes;
mod router;
mod segments;
mod slots;
mod tree;

pub use fleets::{Arrival, Choice, Detail, Fleets, Run, Use};
pub use router::{Fleet, Route};
