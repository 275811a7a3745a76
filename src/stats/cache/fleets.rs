//! Replicas behind routers, each with an LRU cache of every capacity.

use crate::fleet::{Arrival, Choice, Detail, Fleet, Fleets, Route};
use crate::stats::cache::figures::{Hits, PrefillWork};
use crate::stats::cache::fleet_figures::{FleetCapacity, FleetCompute, FleetRow, FleetTarget, FleetTtl};
use crate::stats::cache::options::CacheOptions;
use crate::stats::cache::per_second::{PerSecond, second_of};
use crate::stats::cache::sized_hits::SizedHits;
use crate::stats::cache::tier_curve::TierCurve;
use crate::stats::cache::tier_figures::{TierCurveRow, TierRow};
use crate::stats::cache::tiers::{InStack, TierStudy, TieredRequest};
use crate::stats::cache::ttl::Expiring;
use crate::stats::hit_count::{HitCount, HitRule, Tally};
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// What a replica has got.
#[derive(Clone, Copy, Default)]
struct Replica {
    requests: u64,
    /// Prompt tokens that it computes with a cache without limit.
    work: PerSecond,
}

/// The replica with the most of something; of equal ones the first.
fn busiest<T: Copy + Default>(replicas: &[T], of: impl Fn(&T) -> u128) -> T {
    replicas.iter().rev().max_by_key(|replica| of(replica)).copied().unwrap_or_default()
}

/// What one replica has of something over the mean of all; 0 if none has any.
fn over_mean<T>(replicas: &[T], one: &T, of: impl Fn(&T) -> u128) -> f64 {
    let all: u128 = replicas.iter().map(&of).sum();
    if all == 0 { 0.0 } else { (of(one) * replicas.len() as u128) as f64 / all as f64 }
}

/// What is counted of a fleet.
struct Counters {
    replicas: Vec<Replica>,
    /// The FLOPs that the work of each takes; none if no model is known.
    compute: Vec<PerSecond>,
    /// Of caches without limit.
    infinite: Tally,
    hits: SizedHits,
    expiring: Vec<Expiring>,
}

/// All fleets that are asked for.
pub(super) struct FleetStudy {
    count: HitCount,
    /// Each fleet, and which of those simulated it is: of one replica all routes are the same.
    asked: Vec<(Fleet, usize)>,
    /// They choose, by what prompts share.
    fleets: Fleets,
    /// The same replicas with the blocks that engines keep, if that is how hits are counted.
    engines: Option<Fleets>,
    counters: Vec<Counters>,
    tiers: Vec<TierStudy>,
    tier_curves: Vec<TierCurve>,
    /// The fleet that is one cache, which is that of a shared pool.
    one: Option<usize>,
    /// Times of the first and the last measured request.
    measured: Option<(f64, f64)>,
    /// Measured requests that have blocks.
    all: Tally,
    has_times: bool,
}

impl FleetStudy {
    /// No request yet; none if no replicas and no tiers are asked for.
    pub(super) fn new(options: &CacheOptions, count: HitCount) -> Option<Self> {
        if options.fleets.is_empty() && options.tiers.is_empty() {
            return None;
        }
        let mut simulated = Vec::new();
        let mut place_of = |fleet: Fleet| {
            simulated.iter().position(|known| *known == fleet.simplest()).unwrap_or_else(|| {
                simulated.push(fleet.simplest());
                simulated.len() - 1
            })
        };
        let one = Fleet { replicas: 1, route: Route::default() };
        let asked: Vec<_> = options.fleets.iter().map(|&fleet| (fleet, place_of(fleet))).collect();
        let alone = (asked.is_empty()).then(|| (one, place_of(one)));
        let tiered: Vec<_> = asked.iter().copied().chain(alone).collect();
        let of_tiered = tiered.iter();
        let tiers =
            of_tiered.clone().flat_map(|&(fleet, place)| TierStudy::all(options, fleet, place)).collect();
        let tier_curves: Vec<_> =
            of_tiered.flat_map(|&(fleet, place)| TierCurve::all(options, fleet, place)).collect();
        let one = options.shared.map(|_| place_of(one));
        let every =
            options.curve || options.picture || !options.targets.is_empty() || !tier_curves.is_empty();
        let counters = |fleet: &Fleet| Counters {
            replicas: vec![Replica::default(); fleet.replicas as usize],
            compute: count
                .prefill
                .map_or_else(Vec::new, |_| vec![PerSecond::default(); fleet.replicas as usize]),
            infinite: Tally::default(),
            hits: SizedHits::new(count, &options.capacities, every),
            expiring: Expiring::all(options, count),
        };
        let mut detail = Detail::default();
        let has_engines = count.rule == HitRule::Engine;
        let chooser = has_engines.then(|| Fleets::new(&simulated, count.block_size, detail));
        (detail.stacks, detail.times) = (true, !options.ttls.is_empty());
        detail.uses = !options.tiers.is_empty();
        let holder = Fleets::new(&simulated, count.block_size, detail);
        let (fleets, engines) = match chooser {
            Some(chooser) => (chooser, Some(holder)),
            None => (holder, None),
        };
        Some(Self {
            count,
            asked,
            fleets,
            engines,
            counters: simulated.iter().map(counters).collect(),
            tiers,
            tier_curves,
            one,
            measured: None,
            all: Tally::default(),
            has_times: false,
        })
    }

    /// Sends the next request to a replica of each fleet.
    pub(super) fn access(&mut self, seen: &Seen) {
        let now = seen.now.max(0.0);
        self.has_times |= seen.timestamp.is_some();
        let lookup = seen.cached.as_ref().map(|cached| cached.lookup).unwrap_or_default();
        self.fleets.send(&Arrival {
            runs: lookup.runs,
            first_new: lookup.first_new,
            tokens: seen.input_length,
            now,
            session: seen.affinity,
        });
        if let Some(engines) = &mut self.engines {
            let mut runs = Vec::new();
            seen.engine.iter().for_each(|engine| engine.append_runs(&mut runs));
            let first_new = seen.engine.map_or(0, |engine| engine.first_new);
            engines.follow(&runs, first_new, now, self.fleets.choices());
        }
        if seen.is_measured {
            self.measure(seen, now, seen.blocks.is_some());
        }
    }

    fn measure(&mut self, seen: &Seen, now: f64, has_blocks: bool) {
        self.measured = Some((self.measured.map_or(now, |(first, _)| first), now));
        let (length, count) = (seen.input_length, self.count);
        if has_blocks {
            self.all.add(length, count);
        }
        let (flops, second) = (count.flops(length), second_of(now));
        let found = self.engines.as_ref().unwrap_or(&self.fleets);
        for (place, (counters, choice)) in self.counters.iter_mut().zip(found.choices()).enumerate() {
            let Choice { replica, known, .. } = *choice;
            let tokens = count.tokens(known.into(), length);
            let saved = count.flops(tokens);
            let of_replica = &mut counters.replicas[replica as usize];
            of_replica.requests += 1;
            of_replica.work.add(length - tokens, second);
            if let Some(compute) = counters.compute.get_mut(replica as usize) {
                compute.add(flops - saved, second);
            }
            if tokens == 0 {
                continue;
            }
            counters.infinite.tokens += u128::from(tokens);
            counters.infinite.flops += saved;
            let runs = found.runs(place).iter();
            let distances = runs.clone().map(|run| (run.len, run.distance));
            let blocks = u64::from(known).min(count.limit(length));
            counters.hits.measure(distances, blocks as u32, tokens, length);
            for expiring in &mut counters.expiring {
                expiring.measure(runs.clone().copied(), now, length, count);
            }
        }
        let one = self.one;
        let request = |place: usize| {
            let stack = |place| InStack { runs: found.runs(place), uses: found.uses(place) };
            let replica = found.choices()[place].replica;
            TieredRequest { replica, stack: stack(place), one: stack(one.unwrap_or(place)), length, second }
        };
        self.tiers.iter_mut().for_each(|tiers| tiers.measure(&request(tiers.place), count));
        self.tier_curves.iter_mut().for_each(|curve| curve.measure(&request(curve.place), count));
    }

    /// The figures of tiers so far.
    pub(super) fn tier_rows(&self, options: &CacheOptions) -> Vec<TierRow> {
        let size = |blocks| options.bytes(blocks, self.count.block_size);
        self.tiers.iter().map(|tiers| tiers.row(self.all.tokens, self.seconds(), size)).collect()
    }

    /// The figures so far of tiers of many sizes, up to a working set of so many blocks.
    pub(super) fn tier_curves(&self, options: &CacheOptions, working_set: u64) -> Vec<TierCurveRow> {
        let bytes = |blocks| options.bytes(blocks, self.count.block_size);
        let sizes = CacheOptions::curve_sizes(working_set);
        let row = |curve: &TierCurve| {
            let hits = &self.counters[curve.place].hits;
            curve.row(&sizes, hits, self.all.tokens, self.seconds(), bytes)
        };
        self.tier_curves.iter().map(row).collect()
    }

    /// Seconds from the first measured request to the last, if there are times.
    fn seconds(&self) -> Option<f64> {
        self.measured.filter(|_| self.has_times).map(|(first, last)| (last - first) / 1000.0)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> Bytes {
        let curve = |counters: &Counters| {
            counters.hits.bytes() + counters.expiring.iter().map(Expiring::bytes).sum::<usize>()
        };
        Bytes {
            blocks: self.fleets.bytes() + self.engines.as_ref().map_or(0, Fleets::bytes),
            curve: self.counters.iter().map(curve).sum::<usize>()
                + self.tiers.iter().map(TierStudy::bytes).sum::<usize>()
                + self.tier_curves.iter().map(TierCurve::bytes).sum::<usize>(),
            ..Bytes::default()
        }
    }

    /// The figures so far. `working_set` are the blocks of one cache without limit, and `shared` gives the hits of one
    /// cache at rising capacities.
    pub(super) fn rows(
        &self,
        options: &CacheOptions,
        working_set: u64,
        shared: impl Fn(&[u64]) -> Vec<Tally>,
    ) -> Vec<FleetRow> {
        let listed = options.listed_capacities(working_set);
        let drawn = if options.picture { options.all_capacities(working_set) } else { Vec::new() };
        let row = |&(fleet, place): &(Fleet, usize)| {
            let counters = &self.counters[place];
            let at = |capacities: &[u64]| {
                let hits = counters.hits.at(capacities);
                self.capacities(fleet, options, capacities, &hits, &shared)
            };
            let targets = options.targets.iter().flat_map(|&share| {
                let wanted = share * counters.infinite.tokens as f64;
                let all = (counters.hits.distances(), counters.infinite);
                let (capacity, hits) = counters.hits.smallest(wanted).unwrap_or(all);
                let rows = self.capacities(fleet, options, &[capacity], &[hits], &shared);
                rows.into_iter().map(move |row| FleetTarget { share, row })
            });
            let ttls = options.ttls.iter().filter(|ttl| !ttl.is_fixed()).zip(&counters.expiring);
            let ttls = ttls.flat_map(|(ttl, expiring)| {
                expiring.rows(&listed).map(|(capacity_blocks, hits)| FleetTtl {
                    ttl_ms: ttl.ms(),
                    capacity_blocks,
                    hits: self.hits(hits),
                    work: self.left(hits),
                })
            });
            self.summary(
                counters,
                FleetRow {
                    capacity: at(&listed),
                    targets: targets.collect(),
                    ttls: ttls.collect(),
                    curve: at(&drawn),
                    ..FleetRow::of(fleet)
                },
            )
        };
        self.asked.iter().map(row).collect()
    }

    /// The same row with what does not depend on capacities.
    fn summary(&self, counters: &Counters, row: FleetRow) -> FleetRow {
        let replicas = &counters.replicas;
        let busiest = busiest(replicas, |replica| replica.work.total);
        let hits = self.hits(counters.infinite);
        FleetRow {
            tokens: self.all.tokens,
            infinite_hit_tokens: hits.hit_tokens,
            infinite_token_hit_rate: hits.rate(),
            requests_max: replicas.iter().map(|replica| replica.requests).max().unwrap_or(0),
            request_imbalance: over_mean(replicas, &busiest, |replica| replica.requests.into()),
            work_max_tokens: busiest.work.total,
            work_imbalance: over_mean(replicas, &busiest, |replica| replica.work.total),
            peak_second_tokens: self.has_times.then_some(busiest.work.peak),
            highest_peak_second_tokens: self.highest(replicas.iter().map(|replica| &replica.work)),
            compute: self.left(counters.infinite).map(|left| self.compute(&counters.compute, left)),
            ..row
        }
    }

    /// How the FLOPs are spread of which caches without limit leave so many.
    fn compute(&self, replicas: &[PerSecond], left: PrefillWork) -> FleetCompute {
        let busiest = busiest(replicas, |replica| replica.total);
        FleetCompute {
            infinite_prefill_flops: left.prefill_flops,
            infinite_prefill_saving_compute: left.prefill_saving_compute,
            work_max_flops: busiest.total,
            work_imbalance_compute: over_mean(replicas, &busiest, |replica| replica.total),
            peak_second_flops: self.has_times.then_some(busiest.peak),
            highest_peak_second_flops: self.highest(replicas.iter()),
        }
    }

    /// The highest peak of any replica, if there are times.
    fn highest<'a>(&self, replicas: impl Iterator<Item = &'a PerSecond>) -> Option<u128> {
        replicas.map(|replica| replica.peak).max().filter(|_| self.has_times)
    }

    /// So many hits in all requests.
    fn hits(&self, hits: Tally) -> Hits {
        Hits { hit_tokens: hits.tokens, tokens: self.all.tokens }
    }

    /// What they leave to compute, where a model is known.
    fn left(&self, hits: Tally) -> Option<PrefillWork> {
        self.count.prefill.map(|_| PrefillWork::new(self.all.flops, hits.flops))
    }

    /// Caches of these capacities with these hits.
    fn capacities(
        &self,
        fleet: Fleet,
        options: &CacheOptions,
        capacities: &[u64],
        hits: &[Tally],
        shared: &impl Fn(&[u64]) -> Vec<Tally>,
    ) -> Vec<FleetCapacity> {
        let total = |&capacity: &u64| capacity.saturating_mul(fleet.replicas.into());
        let totals: Vec<u64> = capacities.iter().map(total).collect();
        let size = |blocks| options.bytes(blocks, self.count.block_size);
        let row = |(((&capacity_blocks, &hits), &total_blocks), shared)| {
            let one = self.hits(shared);
            FleetCapacity {
                capacity_blocks,
                capacity_bytes: size(capacity_blocks),
                total_blocks,
                total_bytes: size(total_blocks),
                hits: self.hits(hits),
                work: self.left(hits),
                shared_hit_tokens: one.hit_tokens,
                shared_token_hit_rate: one.rate(),
                shared_prefill_saving_compute: self.left(shared).and_then(|left| left.prefill_saving_compute),
            }
        };
        capacities.iter().zip(hits).zip(&totals).zip(shared(&totals)).map(row).collect()
    }
}
