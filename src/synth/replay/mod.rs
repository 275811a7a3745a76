//! The model `replay`: the sessions of the original themselves, moved in time.
//!
//! Nothing but the ids and the order of requests is new: lengths, outputs and what is shared are copies,
//! session by session, so what is kept of a trace for it *is* the trace.
//!
//! A finite cache cares about *when* a prefix comes back, and that is decided within conversations: a
//! turn continues the turn before it, after a while, by so many tokens. So what is drawn here is a
//! *session*: a tree of requests of the original, with the places where they continue one another, the
//! lengths of their new parts, and how many requests arrive between them. Each time a session is drawn it
//! gets fresh blocks. Blocks that are continued again and again, by requests that have nothing else
//! in common (system prompts, tools, documents), form the core, which stays the same.
//!
//! Sessions come in the order of the original but for a local shuffle (see
//! [`LocalShuffle`](super::shuffle::LocalShuffle)), and so do the times between arrivals, in groups. That
//! keeps slow changes over the day, and the hit rate of a cache that fills; the neighbours of a request
//! are new each time. Places count in requests, not in milliseconds: then traces without times are
//! modelled the same way.

mod generator;
mod learn;
mod model;
mod siblings;
mod window;

pub(super) use generator::ReplayGenerator;
pub(super) use model::{ReplayModel, Session, SessionTurn};
