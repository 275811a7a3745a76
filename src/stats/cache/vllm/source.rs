//! Who enters the engine when: the clients.
//!
//! In a closed loop a fixed number of requests is in the engine, and the next one of the trace enters when
//! one ends. In an open loop requests arrive at their times. With sessions, a turn waits for the end of the
//! one before it, and the requests behind it may pass.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::blocks::BlockNumber;

/// A session: whether records name it, and its number.
pub(super) type Session = (bool, u64);

/// A request on its way into an engine.
pub(super) struct Request {
    /// Its number, from 0.
    pub(super) index: u64,
    /// Whether it counts.
    pub(super) is_measured: bool,
    /// Prompt tokens.
    pub(super) prompt: u64,
    /// Tokens of the answer, at least one.
    pub(super) answer: u64,
    /// The names of the full blocks of both, but for the last token.
    pub(super) names: Vec<BlockNumber>,
    /// Its time in nanoseconds.
    pub(super) arrival: i128,
    /// Its session, if turns wait for each other.
    pub(super) session: Option<Session>,
}

impl Request {
    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<BlockNumber>() * self.names.len()
    }
}

/// The requests that have been read and have not entered.
pub(super) struct Source {
    /// How many are in the engine at a time, in a closed loop.
    loop_of: Option<u64>,
    /// The next one of the trace.
    next: Option<Rc<Request>>,
    /// Whether no more will be read.
    has_ended: bool,
    /// Turns whose time to enter has come late, since the one before them has ended.
    late: VecDeque<Rc<Request>>,
    /// Turns that wait, by session; a session is here while a turn of it is in the engine.
    held: HashMap<Session, VecDeque<Rc<Request>>, RandomState>,
    bytes: usize,
}

impl Source {
    /// Nothing has been read yet.
    pub(super) fn new(loop_of: Option<u64>) -> Self {
        Self {
            loop_of,
            next: None,
            has_ended: false,
            late: VecDeque::new(),
            held: HashMap::default(),
            bytes: 0,
        }
    }

    /// Whether nothing can be decided before the next request of the trace is known.
    pub(super) fn is_starved(&self) -> bool {
        self.next.is_none() && !self.has_ended
    }

    /// Takes the next request of the trace, which is asked for.
    pub(super) fn read(&mut self, request: Rc<Request>) {
        self.bytes += request.bytes();
        let is_closed = self.loop_of.is_some();
        match request.session.filter(|_| is_closed).and_then(|session| self.held.get_mut(&session)) {
            Some(held) => held.push_back(request),
            None => self.next = Some(request),
        }
    }

    /// There are no more requests.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// The request that enters now, while so many are in the engine. None also where that cannot be decided
    /// yet.
    pub(super) fn enter(&mut self, now: i128, in_engine: u64) -> Option<Rc<Request>> {
        match self.loop_of {
            Some(most) if in_engine >= most => return None,
            Some(_) => {}
            None => self.hold(now),
        }
        if self.is_starved() {
            return None;
        }
        let request = match self.late.pop_front() {
            Some(late) => late,
            None => {
                let arrived = |next: &mut Rc<Request>| self.loop_of.is_some() || next.arrival <= now;
                self.next.take_if(arrived)?
            }
        };
        if let Some(session) = request.session {
            self.held.entry(session).or_default();
        }
        self.bytes -= request.bytes();
        Some(request)
    }

    /// Holds turns back that have arrived before the one before them has ended.
    fn hold(&mut self, now: i128) {
        let Some(next) = self.next.take_if(|next| next.arrival <= now) else { return };
        match next.session.and_then(|session| self.held.get_mut(&session)) {
            Some(held) => held.push_back(next),
            None => self.next = Some(next),
        }
    }

    /// The time of the next request of the trace.
    pub(super) fn next_arrival(&self) -> Option<i128> {
        self.next.as_ref().map(|next| next.arrival)
    }

    /// A request has left the engine.
    pub(super) fn leave(&mut self, request: &Request) {
        let Some(session) = request.session else { return };
        match self.held.get_mut(&session).and_then(VecDeque::pop_front) {
            Some(next) => self.late.push_back(next),
            None => drop(self.held.remove(&session)),
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + 2 * size_of::<(Session, VecDeque<Rc<Request>>)>() * self.held.len()
    }
}
