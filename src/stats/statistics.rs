//! The list of statistics.

use crate::error::Invalid;
use crate::stats::arrivals::Arrivals;
use crate::stats::billing::Billing;
use crate::stats::cache::{CacheOptions, Caches, Policy};
use crate::stats::distribution::Distribution;
use crate::stats::hit_count::{HitCount, HitRule, HitUnit};
use crate::stats::lengths::Lengths;
use crate::stats::prefixes::Prefixes;
use crate::stats::price::Price;
use crate::stats::recorded::Recorded;
use crate::stats::reuse::Reuse;
use crate::stats::sample::Sample;
use crate::stats::seen::Seen;
use crate::stats::server::ServerHits;
use crate::stats::sharing::Sharing;
use crate::stats::statistic::{Bytes, Forgetting, Known, Statistic};
use crate::stats::timeline::Timeline;
use crate::stats::totals::Totals;
use crate::stats::window::{Window, WindowSize};
use crate::stats::{Bound, Report};

/// What is to be analysed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AnalysisOptions {
    /// Which cached blocks count as hits.
    pub hit_rule: HitRule,
    /// In what steps hits come, if not in blocks.
    pub hit_unit: HitUnit,
    /// What tokens cost, to price every cache.
    pub price: Option<Price>,
    /// Which finite caches to study.
    pub caches: CacheOptions,
    /// Estimate hits from a sample of at most this many blocks in place of keeping them all.
    pub approx: Option<usize>,
    /// Report this many shared prefixes, those that save most.
    pub top: usize,
    /// Say where the hits of a cache without limit come from.
    pub reuse: bool,
    /// The field by which hits are told apart that belong to the requests which had brought the blocks.
    pub shared_by: Option<String>,
    /// Count what charts need.
    pub pictures: bool,
    /// Report on windows of this size. Then the context length, which looks ahead over the whole
    /// trace, is not kept, and no memory grows with the number of requests.
    pub window: Option<WindowSize>,
    /// The percentiles in the reports on windows, in percent.
    pub window_percentiles: Vec<f64>,
    /// Bytes that may be used for blocks and requests before half of the blocks, those used least
    /// recently, are forgotten.
    pub budget: Option<usize>,
    /// What servers counted, to stand beside what is predicted.
    pub servers: Vec<ServerHits>,
}

impl AnalysisOptions {
    /// Refuses what has no meaning in the units of hits.
    ///
    /// # Errors
    /// Those of the unit alone, and where caches or estimates are asked for that are of single blocks.
    pub(super) fn check_hit_unit(&self, block_size: u64) -> Result<(), Invalid> {
        self.hit_unit.check(block_size, self.hit_rule)?;
        let Some(unit) = HitCount::new(block_size, self.hit_rule, self.hit_unit).unit else {
            return match (self.approx, self.hit_rule) {
                (Some(_), HitRule::Engine) => Err(Invalid::value(
                    "`approx` samples the blocks of prompts, and engines keep those of answers and full ones alone: \
                     take `hits` reference, or leave out `approx`",
                )),
                _ => Ok(()),
            };
        };
        let is_hosted = !self.hit_unit.has_groups && !unit.is_last_dropped;
        let (units, way_out) = match (is_hosted, unit.is_last_dropped) {
            (true, _) => ("from a minimum on or in steps", "leave out `min_hit` and `hit_step`".to_owned()),
            (_, true) => ("without the last unit", "leave out `drop_last_unit`".to_owned()),
            _ => ("in units of several blocks", format!("set `hit_unit` to {block_size} to count blocks")),
        };
        let blocks = |policy: &&Policy| policy.is_engine() || **policy == Policy::Opt;
        if let Some(policy) = self.caches.policies.iter().find(blocks) {
            let name = policy.name();
            return Err(Invalid::value(format!(
                "`policy` {name} is for prefixes that are found block by block, and here they count {units}: take \
                 lru, or {way_out}"
            )));
        }
        let alone = [
            (!self.caches.tiers.is_empty(), "`tiers` find prefixes block by block"),
            (self.approx.is_some(), "`approx` estimates hits of blocks"),
            (self.top > 0 && !unit.is_of_blocks(block_size), "`top` lists prefixes of whole blocks"),
        ];
        match alone.into_iter().find(|(is_asked_for, _)| *is_asked_for) {
            Some((_, what)) => Err(Invalid::value(format!("{what}, and here they count {units}: {way_out}"))),
            None => Ok(()),
        }
    }

    /// Refuses what pieces of a trace do not hold.
    ///
    /// # Errors
    /// The setting, why, and what to do.
    pub(super) fn check_pieces(&self) -> Result<(), Invalid> {
        let caches = &self.caches;
        let engine = "pieces hold neither the answers of engines nor which last blocks are partial";
        let whole = "give it to a run over the whole trace (trace-cat joins files)";
        let route = "route with trace-cat, and cut and merge each replica by itself";
        let of_a_request = "pieces hold only those blocks of a request that they introduce";
        let policy = caches.policies.iter().find(|policy| **policy != Policy::Lru);
        let refused = [
            (policy.is_some(), "policy", "caches but LRU need every block of every request in turn", whole),
            (!caches.fleets.is_empty(), "replicas", "each replica has a stack of its own", route),
            (
                !caches.tiers.is_empty(),
                "tiers",
                "what each tier holds depends on every block of a request",
                whole,
            ),
            (
                caches.ttls.iter().any(|ttl| ttl.is_fixed()),
                "ttl",
                "when a block was written depends on what was found before",
                whole,
            ),
            (caches.misses, "misses", "pieces hold no sessions", whole),
            (caches.wants_requests(), "per_request", "pieces hold no lines of requests", whole),
            (
                self.hit_rule == HitRule::Engine && caches.is_asked_for(),
                "hits",
                engine,
                "take finite caches from a run over the whole trace, or leave this out",
            ),
            (self.approx.is_some(), "approx", "pieces hold no sample", whole),
            (self.top > 0, "top", of_a_request, whole),
            (self.reuse, "reuse", of_a_request, whole),
            (self.shared_by.is_some(), "shared_by", of_a_request, whole),
        ];
        match refused.into_iter().find(|(is_asked_for, ..)| *is_asked_for) {
            Some((_, setting, why, what)) => {
                Err(Invalid::value(format!("`{setting}` does not go with `merge`: {why}; {what}")))
            }
            None => Ok(()),
        }
    }
}

/// What statistics are made for.
pub(super) struct Purpose<'a> {
    pub(super) options: &'a AnalysisOptions,
    pub(super) count: HitCount,
    /// Makes distributions: small ones where there are many.
    pub(super) distribution: fn() -> Distribution,
    /// Bytes for all that grows with the trace.
    pub(super) budget: Option<usize>,
}

/// Makes a struct of the statistics, each with the expression that makes it, and what is done to all.
macro_rules! statistics {
    (|$purpose:ident| $($name:ident: $type:ty = $new:expr,)+) => {
        /// All statistics of an analysis.
        pub(super) struct Statistics {
            $(pub(super) $name: $type,)+
        }

        impl Statistics {
            /// Those that are asked for; nothing has been seen yet.
            pub(super) fn new($purpose: &Purpose) -> Self {
                Self { $($name: $new,)+ }
            }

            /// Each one takes the next request.
            ///
            /// # Errors
            /// When there is more than one of them can count.
            // As one function, as if there were no parts: there are few instructions for each request.
            #[inline(always)]
            pub(super) fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
                $(self.$name.add(seen)?;)+
                Ok(())
            }

            /// Bytes of all.
            #[inline]
            pub(super) fn bytes(&self) -> Bytes {
                let mut sum = Bytes::default();
                $(sum += self.$name.bytes();)+
                sum
            }

            /// Bytes of all distributions.
            pub(super) fn distribution_bytes(&self) -> usize {
                let mut sum = 0;
                $(sum += self.$name.distribution_bytes();)+
                sum
            }

            /// Each one makes do with the blocks that are kept.
            pub(super) fn forget(&mut self, forgetting: &Forgetting) {
                $(self.$name.forget(forgetting);)+
            }

            /// Each one says what its figures are worth.
            pub(super) fn mark(bound: &Bound, report: &mut Report) {
                $(<$type>::mark(bound, report);)+
            }

            /// Each one fills in its figures.
            pub(super) fn report(&self, known: &Known, report: &mut Report) {
                $(self.$name.report(known, report);)+
            }
        }
    };
}

statistics! { |purpose|
    totals: Totals = Totals::new(purpose.count.unit),
    lengths: Lengths = Lengths::new(purpose.distribution, purpose.budget),
    arrivals: Arrivals = Arrivals::default(),
    recorded: Recorded = Recorded::new(purpose.count),
    sharing: Sharing =
        Sharing::new(purpose.count.block_size, purpose.options.window.is_none(), purpose.distribution),
    prefixes: Option<Prefixes> =
        (purpose.options.top > 0).then(|| Prefixes::new(purpose.options.top, purpose.count.block_size)),
    caches: Option<Caches> = if purpose.options.approx.is_some() {
        None
    } else {
        Caches::new(&purpose.options.caches, purpose.count)
    },
    reuse: Option<Reuse> = (purpose.options.reuse || purpose.options.shared_by.is_some())
        .then(|| Reuse::new(purpose.count.block_size, purpose.options.shared_by.as_deref())),
    window: Option<Window> =
        purpose.options.window.map(|size| Window::new(size, &purpose.options.window_percentiles)),
    timeline: Option<Timeline> = purpose.options.pictures.then(Timeline::default),
    // After the others, since its estimates take the place of figures that it knows better.
    sample: Option<Sample> =
        purpose.options.approx.map(|size| Sample::new(size, purpose.count, &purpose.options.caches)),
    // Behind all whose rows it prices.
    billing: Option<Billing> =
        purpose.options.price.map(|price| Billing::new(price, purpose.options.hit_unit)),
}
