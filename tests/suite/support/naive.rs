//! The definitions of the statistics, as plainly as they can be written: the whole trace in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Clone, Debug)]
pub struct Request {
    pub input: u64,
    pub output: u64,
    pub ids: Vec<u64>,
}

pub struct Figures {
    pub totals: BTreeMap<&'static str, f64>,
    pub values: BTreeMap<&'static str, Vec<f64>>,
}

pub fn analyse(requests: &[Request], block_size: u64) -> Figures {
    let mut occurrences: HashMap<u64, u64> = HashMap::new();
    for id in requests.iter().flat_map(|r| &r.ids) {
        *occurrences.entry(*id).or_default() += 1;
    }
    let mut starts: HashMap<u64, u64> = HashMap::new();
    for first in requests.iter().filter_map(|r| r.ids.first()) {
        *starts.entry(*first).or_default() += 1;
    }
    let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut push = |name, value| values.entry(name).or_default().push(value);
    let mut seen: HashSet<u64> = HashSet::new();
    let (mut hit_blocks, mut cached_tokens) = (0, 0);
    for r in requests {
        let repeated = r.ids.iter().filter(|id| occurrences[id] > 1).count() as u64;
        let context = if repeated == r.ids.len() as u64 { r.input } else { repeated * block_size };
        let hit = r.ids.iter().take_while(|id| seen.contains(id)).count() as u64;
        let cached = (hit * block_size).min(r.input);
        hit_blocks += hit;
        cached_tokens += cached;
        push("input_length", r.input as f64);
        push("context_length", context as f64);
        push("unique_prompt_length", r.input as f64 - context as f64);
        push("output_length", r.output as f64);
        push("cached_length", cached as f64);
        if !r.ids.is_empty() {
            push("hit_rate", hit as f64 / r.ids.len() as f64);
        }
        seen.extend(&r.ids);
    }
    let blocks: u64 = occurrences.values().sum();
    let input: u64 = requests.iter().map(|r| r.input).sum();
    let count = |n: usize| n as f64;
    let totals = BTreeMap::from([
        ("requests", count(requests.len())),
        ("blocks", blocks as f64),
        ("unique_blocks", count(occurrences.len())),
        ("shared_blocks", count(occurrences.values().filter(|&&n| n > 1).count())),
        ("prefix_groups", count(starts.values().filter(|&&n| n > 1).count())),
        ("input_tokens", input as f64),
        ("output_tokens", requests.iter().map(|r| r.output).sum::<u64>() as f64),
        ("cached_tokens", cached_tokens as f64),
        ("token_hit_rate", cached_tokens as f64 / input as f64),
        ("block_hit_rate", hit_blocks as f64 / blocks as f64),
    ]);
    Figures { totals, values }
}

pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = p / 100.0 * (sorted.len() - 1) as f64;
    let low = position.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (position - position.floor())
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Which blocks of a cached prefix count.
pub fn counted(hit: u64, input: u64, block_size: u64, engine: bool) -> u64 {
    let hit = if engine { hit.min(input.saturating_sub(1) / block_size) } else { hit };
    (hit * block_size).min(input)
}

/// The blocks that an engine computes as a whole: the full ones of the prompt, and those of the answer,
/// which nobody else has.
pub fn computed(requests: &[Request], block_size: u64) -> Vec<Vec<u64>> {
    let mut fresh = 1 << 40;
    let path = |r: &Request| {
        let mut path = r.ids[..(r.input / block_size) as usize].to_vec();
        while (path.len() as u64) < (r.input + r.output.max(1) - 1) / block_size {
            fresh += 1;
            path.push(fresh);
        }
        path
    };
    requests.iter().map(path).collect()
}

/// Hit tokens of a prefix-aware LRU cache: the longest cached prefix hits, then the blocks become the
/// most recent from last to first, and the least recent ones leave.
pub fn lru(requests: &[Request], capacity: usize, block_size: u64, warmup: usize, engine: bool) -> u64 {
    let mut cache: Vec<u64> = Vec::new();
    let mut tokens = 0;
    let paths = if engine { computed(requests, block_size) } else { Vec::new() };
    for (index, r) in requests.iter().enumerate() {
        let path = paths.get(index).unwrap_or(&r.ids);
        let hit = path.iter().take_while(|id| cache.contains(id)).count() as u64;
        if index >= warmup {
            tokens += counted(hit, r.input, block_size, engine);
        }
        for id in path.iter().rev() {
            cache.retain(|other| other != id);
            cache.insert(0, *id);
        }
        cache.truncate(capacity);
    }
    tokens
}

/// Hit tokens of an unbounded cache whose blocks expire `ttl` after their last use.
pub fn expiring(requests: &[Request], times: &[f64], ttl: f64, block_size: u64) -> u64 {
    let mut used: HashMap<u64, f64> = HashMap::new();
    let (mut tokens, mut now) = (0, f64::NEG_INFINITY);
    for (r, time) in requests.iter().zip(times) {
        now = now.max(*time);
        let alive = |id: &&u64| used.get(id).is_some_and(|last| now - last <= ttl);
        tokens += counted(r.ids.iter().take_while(alive).count() as u64, r.input, block_size, false);
        used.extend(r.ids.iter().map(|id| (*id, now)));
    }
    tokens
}

/// Hit tokens of a cache that absent blocks enter from first to last, the oldest entry leaving.
pub fn fifo(requests: &[Request], capacity: usize, block_size: u64, warmup: usize) -> u64 {
    let mut cache: Vec<u64> = Vec::new();
    let mut tokens = 0;
    for (index, r) in requests.iter().enumerate() {
        let hit = r.ids.iter().take_while(|id| cache.contains(id)).count() as u64;
        if index >= warmup {
            tokens += counted(hit, r.input, block_size, false);
        }
        for id in &r.ids {
            if !cache.contains(id) {
                cache.push(*id);
                if cache.len() > capacity {
                    cache.remove(0);
                }
            }
        }
    }
    tokens
}

/// Hit tokens of a cache whose blocks are used from last to first; the one used least often since it
/// entered leaves, of several the one used least recently.
pub fn lfu(requests: &[Request], capacity: usize, block_size: u64, warmup: usize) -> u64 {
    // Id, uses, time of the last use.
    let mut cache: Vec<(u64, u64, u64)> = Vec::new();
    let (mut tokens, mut clock) = (0, 0);
    for (index, r) in requests.iter().enumerate() {
        let held = |id: &&u64| cache.iter().any(|(held, ..)| held == *id);
        let hit = r.ids.iter().take_while(held).count() as u64;
        if index >= warmup {
            tokens += counted(hit, r.input, block_size, false);
        }
        for id in r.ids.iter().rev().filter(|_| capacity > 0) {
            clock += 1;
            if let Some(entry) = cache.iter_mut().find(|(held, ..)| held == id) {
                *entry = (*id, entry.1 + 1, clock);
                continue;
            }
            if cache.len() == capacity {
                let least = cache.iter().copied().min_by_key(|(_, uses, last)| (*uses, *last)).unwrap();
                cache.retain(|entry| *entry != least);
            }
            cache.push((*id, 1, clock));
        }
    }
    tokens
}

/// The most blocks that any cache could serve, by trying everything: after a request it may hold any
/// of what it held and of the request's blocks.
pub fn best(requests: &[Request], capacity: usize, warmup: usize) -> u64 {
    let mut states: BTreeMap<Vec<u64>, u64> = BTreeMap::from([(Vec::new(), 0)]);
    for (index, r) in requests.iter().enumerate() {
        let mut next: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        for (held, served) in &states {
            let hit = r.ids.iter().take_while(|id| held.contains(id)).count() as u64;
            let served = served + if index >= warmup { hit } else { 0 };
            let mut choices: Vec<u64> = held.iter().chain(&r.ids).copied().collect();
            choices.sort_unstable();
            choices.dedup();
            for mask in 0..1_u32 << choices.len() {
                if mask.count_ones() as usize == capacity.min(choices.len()) {
                    let kept = choices.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
                    let most = next.entry(kept.map(|(_, id)| *id).collect()).or_default();
                    *most = served.max(*most);
                }
            }
        }
        states = next;
    }
    states.into_values().max().unwrap_or(0)
}

/// A shared prefix: id of its last block, blocks, tokens, requests, saved tokens, first and last
/// request (from 1), longest pause.
pub type SharedPrefix = (u64, u64, u64, u64, u64, u64, u64, f64);

/// The shared prefixes of a forest, by definition: a block ends one if no block after it is used as
/// often; its own blocks are those before it that are.
pub fn shared_prefixes(requests: &[Request], times: &[f64], block_size: u64) -> Vec<SharedPrefix> {
    let mut users: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, r) in requests.iter().enumerate() {
        r.ids.iter().for_each(|id| users.entry(*id).or_default().push(index));
    }
    let mut rows = Vec::new();
    for (id, by) in users.iter().filter(|(_, by)| by.len() > 1) {
        let path = &requests[by[0]];
        let end = path.ids.iter().position(|other| other == id).unwrap();
        let as_often = |id: &u64| users[id].len() == by.len();
        let next_of = |index: &usize| requests[*index].ids.get(end + 1);
        if by.iter().filter_map(next_of).any(as_often) {
            continue;
        }
        let tokens_to = |blocks: u64| (blocks * block_size).min(path.input);
        let own = path.ids[..=end].iter().rev().take_while(|id| as_often(id)).count() as u64;
        let blocks = end as u64 + 1;
        let tokens = tokens_to(blocks) - tokens_to(blocks - own);
        let pause = by.windows(2).map(|two| times[two[1]] - times[two[0]]).fold(0.0, f64::max);
        let (first, last) = (by[0] as u64 + 1, by[by.len() - 1] as u64 + 1);
        let times_used = by.len() as u64;
        let saved = (times_used - 1) * tokens;
        rows.push((*id, blocks, tokens_to(blocks), times_used, saved, first, last, pause));
    }
    rows
}
