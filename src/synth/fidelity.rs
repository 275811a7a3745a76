//! How far a synthetic trace is from the one that was learnt, statistic by statistic.
//!
//! Distances: of a distribution the largest gap between the two empirical distribution functions
//! (Kolmogorov-Smirnov; 0 the same, 1 disjoint), of a figure the difference. All
//! figures of a request are final when it arrives, except for its context length, which depends on later
//! requests too. So the numbers of its known and new blocks are kept, and one bit per block.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::forest::Forest;
use super::request::{Span, SyntheticRequest};
use crate::error::Invalid;
use crate::record::Record;
use crate::stats::{Analysis, AnalysisOptions, CacheOptions, Served};

/// Capacities of the LRU caches, in blocks.
const CAPACITIES: [u64; 9] = [500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 50_000, 80_000];

/// Figures of a trace, gathered request by request. Memory: 110 bytes per request and 25 per distinct block.
pub(super) struct Figures {
    block_size: u64,
    /// Whether only full blocks are listed.
    full_blocks_only: bool,
    requests: Requests,
    caches: Analysis,
    record: Record,
}

/// What is kept of the requests.
#[derive(Default)]
struct Requests {
    input: Vec<f64>,
    /// NaN where there is none.
    output: Vec<f64>,
    cached: Vec<f64>,
    hit: Vec<f64>,
    gap: Vec<f64>,
    reuse: Vec<f64>,
    /// Per request: how many of its first blocks were known, and where in `new` the others are.
    known: Vec<(u32, usize)>,
    /// Ranges of blocks.
    new: Vec<(usize, usize)>,
    /// Per block: the last request that used it, and whether more than one did.
    last: Vec<u32>,
    repeated: Vec<bool>,
    blocks: Vec<u32>,
    times: Vec<f64>,
    distinct: u64,
    continues: u64,
    /// The request that began the session of each.
    began: Vec<u32>,
}

impl Figures {
    /// Figures of an empty trace. Without ids no request is taken to share anything, and of lists of full blocks alone
    /// no partial one counts.
    pub(super) fn new(block_size: u64, has_ids: bool, full_blocks_only: bool) -> Self {
        let caches = CacheOptions { capacities: CAPACITIES.to_vec(), ..CacheOptions::default() };
        let options = AnalysisOptions { caches, ..AnalysisOptions::default() };
        let caches = Analysis::new(block_size, options);
        let record = Record { has_ids, ..Record::default() };
        Self { block_size, full_blocks_only, requests: Requests::default(), caches, record }
    }

    /// Figures of the trace that has been learnt.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    pub(super) fn of_learnt(forest: &Forest) -> Result<Self, Invalid> {
        let mut figures = Self::new(forest.block_size, forest.has_ids(), forest.lists_full_blocks_only());
        forest.each(|request| figures.add(request))?;
        Ok(figures)
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    pub(super) fn add(&mut self, request: &SyntheticRequest) -> Result<(), Invalid> {
        let Self { requests, caches, record, .. } = self;
        record.input_length = request.input_length;
        record.output_length = request.output_length;
        record.timestamp = request.timestamp;
        record.hash_ids.clear();
        let full = if self.full_blocks_only { request.input_length / self.block_size } else { u64::MAX };
        let spans = request.listed(if record.has_ids { full } else { 0 });
        record.hash_ids.extend(spans.clone().flat_map(|span| span.ids()));
        let served = caches.add(record)?;
        requests.add(request, spans, &record.hash_ids, served);
        Ok(())
    }

    /// The report as a table: what was learnt, what was generated, and the distance.
    pub(super) fn compare(&self, synthetic: &Self) -> String {
        let mut text = format!("{:28}{:>14}{:>14}{:>12}\n", "statistic", "original", "synthetic", "distance");
        let mut row = |name: &str, original: f64, synthetic: f64, distance: f64| {
            text += &format!("{name:28}{original:14.4}{synthetic:14.4}{distance:12.4}\n");
        };
        let (ours, theirs) = (self.samples(), synthetic.samples());
        for ((name, a), (_, b)) in ours.iter().zip(&theirs) {
            row(&format!("ks {name}"), mean(a), mean(b), largest_gap(a, b));
        }
        let copies = self.requests.copies();
        let mut share_row =
            |name: &str, natural: f64, share: f64| row(name, natural, share, (natural - share).abs());
        let all = 0..self.requests.input.len();
        let other = synthetic.requests.copies();
        let (first, second) = (0..all.end / 2, all.end / 2..all.end);
        let whole = 0..synthetic.requests.input.len();
        share_row("copied_pairs", copies.pairs(&first, &copies, &second), copies.pairs(&all, &other, &whole));
        share_row(
            "copied_sessions_3",
            copies.sessions(&first, &copies, &second),
            copies.sessions(&all, &other, &whole),
        );
        let pairs = self.figures(&ours).into_iter().zip(synthetic.figures(&theirs));
        pairs.for_each(|((name, a), (_, b))| row(&name, a, b, (a - b).abs()));
        text
    }

    /// The figures whose distributions are compared, of all requests.
    fn samples(&self) -> [(&'static str, Cow<'_, [f64]>); 8] {
        let requests = &self.requests;
        let (context, unique) = requests.context(self.block_size);
        [
            ("input", (&requests.input).into()),
            ("output", requests.output.iter().copied().filter(|output| !output.is_nan()).collect()),
            ("context", context.into()),
            ("unique", unique.into()),
            ("cached", (&requests.cached).into()),
            ("hit", (&requests.hit).into()),
            ("gap", (&requests.gap).into()),
            ("reuse_s", (&requests.reuse).into()),
        ]
    }

    /// The figures that are compared as they are.
    fn figures(&self, samples: &[(&'static str, Cow<'_, [f64]>); 8]) -> Vec<(String, f64)> {
        let Requests { input, output, cached, times, .. } = &self.requests;
        let count = (input.len() as f64).max(1.0);
        let rate = |part: Range<usize>| {
            cached[part.clone()].iter().sum::<f64>() / input[part].iter().sum::<f64>().max(1.0)
        };
        let (context, unique) = (&samples[2].1, &samples[3].1);
        let mut figures = vec![
            ("token_hit_rate".to_owned(), rate(0..input.len())),
            ("corr_context_unique".to_owned(), spearman(context, unique)),
            ("corr_input_output".to_owned(), of_known(input, output)),
            ("corr_cached_output".to_owned(), of_known(cached, output)),
            ("unique_blocks_per_request".to_owned(), self.requests.distinct as f64 / count),
            ("continues".to_owned(), self.requests.continues as f64 / count),
        ];
        let dispersions =
            [10.0, 60.0].map(|seconds| (format!("dispersion_{seconds}s"), dispersion(times, seconds)));
        figures.extend(dispersions);
        let bound = |quarter: usize| input.len() * quarter / 4;
        figures.extend((0..4).map(|q| (format!("hit_quarter_{}", q + 1), rate(bound(q)..bound(q + 1)))));
        let caches = self.caches.report(&[]).caches.map_or_else(Vec::new, |caches| caches.capacity);
        let lru = CAPACITIES.iter().zip(caches);
        figures.extend(lru.map(|(size, row)| (format!("lru {size}"), row.hits.rate().unwrap_or(0.0))));
        figures
    }
}

impl Requests {
    /// Takes a request with these blocks, of which an infinite cache has `served` some.
    fn add(
        &mut self,
        request: &SyntheticRequest,
        spans: impl Iterator<Item = Span>,
        ids: &[u64],
        served: Served,
    ) {
        let now = request.timestamp.unwrap_or(0.0);
        if let Some(before) = self.times.last() {
            self.gap.push(now - before);
        }
        self.blocks_of(spans, ids, served.blocks as usize, now);
        self.distinct += u64::from(served.new_blocks);
        self.times.push(now);
        let blocks = ids.len();
        self.blocks.push(blocks as u32);
        self.input.push(request.input_length as f64);
        self.output.push(request.output_length.map_or(f64::NAN, |length| length as f64));
        self.cached.push(served.tokens as f64);
        self.hit.push(if blocks == 0 { 0.0 } else { f64::from(served.blocks) / blocks as f64 });
    }

    /// Notes the blocks of a request, of which the first `known` are known.
    fn blocks_of(&mut self, spans: impl Iterator<Item = Span>, ids: &[u64], known: usize, now: f64) {
        let index = self.times.len() as u32;
        let deepest = known.checked_sub(1).map(|last| self.last[ids[last] as usize] as usize);
        for &id in ids {
            let id = id as usize;
            if id >= self.last.len() {
                self.last.resize(id + 1, u32::MAX);
                self.repeated.resize(id + 1, false);
            }
            self.repeated[id] = self.last[id] != u32::MAX;
            self.last[id] = index;
        }
        let mut began = index;
        if let Some(j) = deepest {
            self.reuse.push((now - self.times[j]) / 1000.0);
            if known > 1 && known + 1 >= self.blocks[j] as usize {
                self.continues += 1;
                began = self.began[j];
            }
        }
        self.began.push(began);
        self.known.push((known as u32, self.new.len()));
        let mut skip = known as u64;
        for span in spans {
            let skipped = skip.min(u64::from(span.len));
            skip -= skipped;
            if skipped < u64::from(span.len) {
                self.new.push(((span.start + skipped) as usize, (span.start + u64::from(span.len)) as usize));
            }
        }
    }

    /// Context and unique prompt lengths; the whole trace must be known.
    fn context(&self, block_size: u64) -> (Vec<f64>, Vec<f64>) {
        let mut context = Vec::with_capacity(self.input.len());
        for (i, &(known, start)) in self.known.iter().enumerate() {
            let end = self.known.get(i + 1).map_or(self.new.len(), |&(_, start)| start);
            let new = self.new[start..end].iter().flat_map(|&(first, last)| &self.repeated[first..last]);
            let repeated = u64::from(known) + new.filter(|&&repeated| repeated).count() as u64;
            let all = repeated > 0 && repeated == u64::from(self.blocks[i]);
            context.push(if all { self.input[i] } else { (repeated * block_size) as f64 });
        }
        let unique = self.input.iter().zip(&context).map(|(input, context)| input - context).collect();
        (context, unique)
    }
}

/// What a copy would repeat: pairs of input and output lengths, and those of whole sessions.
struct Copies {
    pairs: Vec<(u64, u64)>,
    /// The requests of each session, in order.
    sessions: Vec<Vec<usize>>,
}

/// Sessions of so many requests are not alike by chance.
const LONG_SESSION: usize = 3;

impl Copies {
    /// Share of the pairs of a part of `other` that are in one request of a part of this trace, and one only.
    fn pairs(&self, part: &Range<usize>, other: &Self, of: &Range<usize>) -> f64 {
        let mut counts: HashMap<(u64, u64), u32> = HashMap::new();
        self.pairs[part.clone()].iter().for_each(|pair| *counts.entry(*pair).or_default() += 1);
        let copied = other.pairs[of.clone()].iter().filter(|pair| counts.get(pair) == Some(&1)).count();
        copied as f64 / (of.len() as f64).max(1.0)
    }

    /// Share of the long sessions in a part of `other` that have all lengths of one in a part of this trace.
    fn sessions(&self, part: &Range<usize>, other: &Self, of: &Range<usize>) -> f64 {
        let have: HashSet<Vec<(u64, u64)>> = self.long_sessions(part).collect();
        let sessions: Vec<Vec<(u64, u64)>> = other.long_sessions(of).collect();
        sessions.iter().filter(|session| have.contains(*session)).count() as f64
            / (sessions.len() as f64).max(1.0)
    }

    /// The lengths of sessions of some requests within a part.
    fn long_sessions(&self, part: &Range<usize>) -> impl Iterator<Item = Vec<(u64, u64)>> {
        let within = |session: &Vec<usize>| -> Vec<(u64, u64)> {
            session
                .iter()
                .filter(|request| part.contains(request))
                .map(|&request| self.pairs[request])
                .collect()
        };
        self.sessions.iter().map(within).filter(|session| session.len() >= LONG_SESSION)
    }
}

impl Requests {
    fn copies(&self) -> Copies {
        let pairs =
            self.input.iter().zip(&self.output).map(|(input, output)| (*input as u64, *output as u64));
        let mut number: HashMap<u32, usize> = HashMap::new();
        let mut sessions: Vec<Vec<usize>> = Vec::new();
        for (i, &began) in self.began.iter().enumerate() {
            let session = *number.entry(began).or_insert_with(|| {
                sessions.push(Vec::new());
                sessions.len() - 1
            });
            sessions[session].push(i);
        }
        Copies { pairs: pairs.collect(), sessions }
    }
}

fn mean(values: &[f64]) -> f64 {
    // The sum of nothing is -0.
    (values.iter().sum::<f64>() + 0.0) / (values.len() as f64).max(1.0)
}

/// Largest gap between two empirical distribution functions.
fn largest_gap(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 0.0 } else { 1.0 };
    }
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut worst) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        worst = worst.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    worst
}

/// The rank correlation over the requests whose output is known.
fn of_known(x: &[f64], output: &[f64]) -> f64 {
    let known = || x.iter().zip(output).filter(|(_, output)| !output.is_nan());
    let (x, output): (Vec<f64>, Vec<f64>) = known().unzip();
    spearman(&x, &output)
}

/// Spearman's rank correlation; 0 where one of the two does not vary.
fn spearman(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (ranks(x), ranks(y));
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let sum = |a: &[f64], b: &[f64], mean_a: f64, mean_b: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    let spread = sum(&x, &x, mean_x, mean_x) * sum(&y, &y, mean_y, mean_y);
    if spread > 0.0 { sum(&x, &y, mean_x, mean_y) / spread.sqrt() } else { 0.0 }
}

/// Ranks; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|&i| ranks[i] = rank);
        start += group.len();
    }
    ranks
}

/// Variance over mean of the numbers of arrivals per window of so many seconds.
fn dispersion(times: &[f64], seconds: f64) -> f64 {
    let start = times.first().copied().unwrap_or(0.0);
    let windows: Vec<u64> =
        times.iter().map(|time| ((time - start).max(0.0) / (1000.0 * seconds)) as u64).collect();
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return 0.0 };
    let span = (last - first + 1) as f64;
    let mean = times.len() as f64 / span;
    let counts = windows.chunk_by(|a, b| a == b).map(|window| window.len() as f64);
    let (mut variance, mut filled) = (0.0, 0.0);
    for count in counts {
        variance += (count - mean) * (count - mean);
        filled += 1.0;
    }
    (variance + (span - filled) * mean * mean) / span / mean
}
