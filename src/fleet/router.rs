//! Which replica a request goes to.

use std::collections::VecDeque;
use std::fmt;

/// How a router chooses a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// The i-th request goes to replica i mod N.
    #[default]
    RoundRobin,
    /// A session stays where its first request was sent.
    Session,
    /// So do all requests with the same so many first blocks, unless their replica is overloaded.
    Prefix(u32),
    /// The replica that used the longest known prefix last, if that is half of the prompt and the replica is
    /// not overloaded.
    Cache,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Session => f.write_str("session"),
            Self::Prefix(blocks) => write!(f, "prefix={blocks}"),
            Self::Cache => f.write_str("cache"),
        }
    }
}

/// A number of replicas behind a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// How many replicas there are, at least one.
    pub replicas: u32,
    /// Which one gets a request.
    pub route: Route,
}

/// Where requests have been sent lately counts as load, for so many milliseconds.
const WINDOW_MS: f64 = 60_000.0;

/// The work of a replica that it got at one time.
struct Sent {
    time: f64,
    replica: u32,
    work: u64,
}

/// What one replica has to do.
#[derive(Clone, Copy, Default)]
struct Load {
    work: u128,
    /// How many of [`Loads::recent`] there have ever been up to the last one of this replica.
    newest: u64,
}

/// What each replica has to do.
struct Loads {
    loads: Vec<Load>,
    sum: u128,
    /// Oldest first; one for each time and replica.
    recent: VecDeque<Sent>,
    /// How many were before these.
    gone: u64,
}

impl Loads {
    fn new(replicas: u32) -> Self {
        Self { loads: vec![Load::default(); replicas as usize], sum: 0, recent: VecDeque::new(), gone: 0 }
    }

    /// Forgets what was sent too long ago.
    fn advance(&mut self, now: f64) {
        while let Some(sent) = self.recent.front().filter(|sent| sent.time <= now - WINDOW_MS) {
            self.loads[sent.replica as usize].work -= u128::from(sent.work);
            self.sum -= u128::from(sent.work);
            self.recent.pop_front();
            self.gone += 1;
        }
    }

    /// The replica with the least; of equal ones the first.
    fn least(&self) -> u32 {
        (0..).zip(&self.loads).min_by_key(|(_, load)| load.work).map_or(0, |(replica, _)| replica)
    }

    /// Whether a replica has more than 1.25 times the mean.
    fn is_over(&self, replica: u32) -> bool {
        4 * self.loads.len() as u128 * self.loads[replica as usize].work > 5 * self.sum
    }

    fn add(&mut self, time: f64, replica: u32, work: u64) {
        if work == 0 {
            return;
        }
        let load = &mut self.loads[replica as usize];
        load.work += u128::from(work);
        self.sum += u128::from(work);
        // Without times, all would be kept to the end.
        let last =
            load.newest.checked_sub(self.gone + 1).and_then(|place| self.recent.get_mut(place as usize));
        let same = last.filter(|sent| sent.time >= time);
        match same.and_then(|sent| Some((sent.work.checked_add(work)?, sent))) {
            Some((work, sent)) => sent.work = work,
            None => {
                self.recent.push_back(Sent { time, replica, work });
                load.newest = self.gone + self.recent.len() as u64;
            }
        }
    }
}

/// What a router looks at.
pub(super) struct Question<'a> {
    /// Milliseconds, never falling.
    pub(super) now: f64,
    /// Where the session or the prefix of the request stays, or [`NOWHERE`] yet; if it has one.
    pub(super) home: Option<&'a mut u32>,
    /// The replica that used the longest known prefix last, where that is at least half of the prompt.
    pub(super) last_user: &'a dyn Fn() -> Option<u32>,
}

/// Stands for a home that is yet to be chosen.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The router of one fleet.
pub(super) struct Router {
    fleet: Fleet,
    next: u32,
    /// None if nothing depends on them.
    loads: Option<Loads>,
}

impl Router {
    /// Nothing has been sent yet.
    pub(super) fn new(fleet: Fleet) -> Self {
        let has_loads = fleet.replicas > 1 && fleet.route != Route::RoundRobin;
        let loads = has_loads.then(|| Loads::new(fleet.replicas));
        Self { fleet, next: 0, loads }
    }

    /// Whether sessions or prefixes stay somewhere.
    pub(super) fn has_homes(&self) -> bool {
        self.loads.is_some() && matches!(self.fleet.route, Route::Session | Route::Prefix(_))
    }

    /// Chooses the replica of the next request.
    #[inline]
    pub(super) fn choose(&mut self, question: Question) -> u32 {
        let Some(loads) = &mut self.loads else {
            let replica = self.next;
            self.next = if replica + 1 == self.fleet.replicas { 0 } else { replica + 1 };
            return replica;
        };
        loads.advance(question.now);
        let home = question.home.map(|home| {
            if *home == NOWHERE {
                *home = loads.least();
            }
            *home
        });
        let replica = match self.fleet.route {
            Route::RoundRobin => None,
            Route::Session => return home.unwrap_or_else(|| loads.least()),
            Route::Prefix(_) => home,
            Route::Cache => (question.last_user)(),
        };
        replica.filter(|&replica| !loads.is_over(replica)).unwrap_or_else(|| loads.least())
    }

    /// Notes how much work the request is where it went.
    #[inline]
    pub(super) fn sent(&mut self, now: f64, replica: u32, work: u64) {
        if let Some(loads) = &mut self.loads {
            loads.add(now, replica, work);
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let of = |loads: &Loads| {
            size_of::<Load>() * loads.loads.len() + size_of::<Sent>() * loads.recent.capacity()
        };
        self.loads.as_ref().map_or(0, of)
    }
}
