//! The model `sessions`: new sessions, drawn request by request from distributions.
//!
//! A finite cache cares about *when* a prefix comes back, and that is decided within sessions: a turn
//! continues the turn before it, after a while, by so many tokens. So a synthetic session is a branching
//! process in seconds. A first request begins below a shared prefix ([`prefixes`]) at a moment that follows
//! the trace's rate and its bursts ([`arrivals`]). Every request then draws what follows it, given its own
//! [`state`]: whether it is continued, repeated, or left for another branch, after how long, by how many
//! tokens, with how long an answer.
//!
//! Each of these is a distribution given the state: a regression tree ([`tree`]) whose leaves hold quantiles
//! ([`quantiles`]). Nothing that is kept describes fewer than `min_count` sessions. Draws are stratified
//! ([`draws`]), and where a single pass is wanted, that of several is taken which finds most nearly as much again as
//! the trace did ([`pass`]): that takes away most of the chance between seeds. Few sessions are chosen one by one,
//! so that their sums become those of the trace ([`balance`]), and what caches that they share would find
//! ([`reuse`]). Where there are several passes, sessions are drawn in a thread of their own ([`ahead`]).

mod ahead;
mod arrivals;
mod balance;
mod bend;
mod draws;
mod engine;
mod generator;
mod hit_rate;
mod learn;
mod left_out;
mod links;
mod model;
mod open;
mod pass;
mod prefixes;
mod quantiles;
mod random;
mod reuse;
mod rows;
mod scale;
mod spawn;
mod state;
mod tree;

pub(super) use arrivals::Rate;
pub(super) use balance::Sums;
pub(super) use bend::Drawing;
pub(super) use generator::SessionsGenerator;
pub(super) use learn::learn;
pub(super) use model::{Chance, Clock, Number, Part, PrefixEnd, SessionsModel};
