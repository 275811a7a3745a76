//! Replicas behind routers, tiers and times to live, as plainly as they can be written: every cache is a list of
//! blocks, most recent first.

use std::collections::{HashMap, HashSet};

/// A request as a router sees it.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub time: Option<f64>,
    pub input: u64,
    pub ids: Vec<u64>,
    /// The JSON of its session field, if it has one.
    pub session: Option<String>,
}

/// The time of each request: the largest so far, never less than 0.
pub fn times(requests: &[Sent]) -> Vec<f64> {
    let later = |now: &mut f64, request: &Sent| {
        *now = now.max(request.time.unwrap_or(0.0));
        Some(*now)
    };
    requests.iter().scan(0.0, later).collect()
}

/// The replica of each request, and the work that it is there with a cache without limit.
pub fn route(requests: &[Sent], replicas: usize, route: &str, block_size: u64) -> Vec<(usize, u64)> {
    let mut ever: Vec<HashSet<u64>> = vec![HashSet::new(); replicas];
    let mut last_user: HashMap<u64, usize> = HashMap::new();
    let mut homes: HashMap<String, usize> = HashMap::new();
    let mut sent: Vec<(f64, usize, u64)> = Vec::new();
    let mut out = Vec::new();
    for (index, (request, now)) in requests.iter().zip(times(requests)).enumerate() {
        let load = |x: usize| -> u64 {
            let recent = sent.iter().filter(|(time, to, _)| *to == x && *time > now - 60_000.0);
            recent.map(|(.., work)| work).sum()
        };
        let loads: Vec<u64> = (0..replicas).map(load).collect();
        let least = (0..replicas).min_by_key(|&x| (loads[x], x)).unwrap();
        let is_over = |x: usize| 4 * replicas as u64 * loads[x] > 5 * loads.iter().sum::<u64>();
        let (name, blocks) = route.split_once('=').unwrap_or((route, "1"));
        let to = match name {
            "round-robin" => index % replicas,
            "session" => {
                let key = request.session.clone().unwrap_or(format!("request {index}"));
                *homes.entry(key).or_insert(least)
            }
            "prefix" => match request.ids.len().min(blocks.parse().unwrap()) {
                0 => least,
                place => {
                    let home = *homes.entry(request.ids[place - 1].to_string()).or_insert(least);
                    if is_over(home) { least } else { home }
                }
            },
            "cache" => {
                let known = request.ids.iter().take_while(|id| last_user.contains_key(id)).count();
                let is_half = 2 * known as u64 * block_size >= request.input;
                match known.checked_sub(1).map(|last| last_user[&request.ids[last]]) {
                    Some(user) if is_half && !is_over(user) => user,
                    _ => least,
                }
            }
            other => panic!("no such route: {other}"),
        };
        let known = request.ids.iter().take_while(|id| ever[to].contains(id)).count() as u64;
        let work = request.input - (known * block_size).min(request.input);
        ever[to].extend(&request.ids);
        last_user.extend(request.ids.iter().map(|id| (*id, to)));
        sent.push((now, to, work));
        out.push((to, work));
    }
    out
}

/// An LRU cache.
#[derive(Clone, Debug, Default)]
pub struct Lru {
    pub size: usize,
    /// Most recent first.
    pub blocks: Vec<u64>,
    /// How often a block has left.
    pub left: u64,
}

impl Lru {
    pub fn new(size: usize) -> Self {
        Self { size, ..Self::default() }
    }

    pub fn hit(&self, ids: &[u64]) -> u64 {
        ids.iter().take_while(|id| self.blocks.contains(id)).count() as u64
    }

    pub fn use_all(&mut self, ids: &[u64]) {
        for id in ids.iter().rev() {
            self.blocks.retain(|other| other != id);
            self.blocks.insert(0, *id);
            if self.blocks.len() > self.size {
                self.blocks.pop();
                self.left += 1;
            }
        }
    }
}

/// Hit tokens of replicas with LRU caches of a size, from request `from` on.
pub fn fleet_hits(
    requests: &[Sent],
    sent: &[(usize, u64)],
    replicas: usize,
    size: usize,
    from: usize,
    block_size: u64,
) -> u64 {
    let ttl = (f64::INFINITY, false);
    hits_by_request(requests, sent, replicas, Some(size), ttl, block_size).into_iter().skip(from).sum()
}

/// Hit tokens of each request, of the caches of [`found_by_request`].
pub fn hits_by_request(
    requests: &[Sent],
    sent: &[(usize, u64)],
    replicas: usize,
    size: Option<usize>,
    ttl: (f64, bool),
    block_size: u64,
) -> Vec<u64> {
    let found = found_by_request(requests, sent, replicas, size, ttl);
    found
        .into_iter()
        .zip(requests)
        .map(|(blocks, request)| (blocks * block_size).min(request.input))
        .collect()
}

/// Hit blocks of each request, of replicas with LRU caches of a size, or none, whose blocks expire `ttl` after their
/// last use; with `fixed`, after their write.
pub fn found_by_request(
    requests: &[Sent],
    sent: &[(usize, u64)],
    replicas: usize,
    size: Option<usize>,
    (ttl, fixed): (f64, bool),
) -> Vec<u64> {
    let mut caches = vec![Lru::new(size.unwrap_or(usize::MAX)); replicas];
    let mut since: Vec<HashMap<u64, f64>> = vec![HashMap::new(); replicas];
    let mut found = Vec::new();
    for ((request, now), (to, _)) in requests.iter().zip(times(requests)).zip(sent) {
        let (cache, since) = (&mut caches[*to], &mut since[*to]);
        let is_there = |id: &&u64| cache.blocks.contains(id) && now - since[*id] <= ttl;
        let hit = request.ids.iter().take_while(is_there).count();
        found.push(hit as u64);
        cache.use_all(&request.ids);
        since.extend(request.ids[if fixed { hit } else { 0 }..].iter().map(|id| (*id, now)));
    }
    found
}

/// What one tier of all replicas, or the pool, serves and moves. Moves are by request: time, replica, blocks.
#[derive(Clone, Debug, Default)]
pub struct Tier {
    pub hit_tokens: u64,
    pub promoted: Vec<(f64, usize, u64)>,
    /// Blocks that leave it, or that are written into it: the first of exclusive tiers, the second of others.
    pub left: Vec<(f64, usize, u64)>,
    pub written: Vec<(f64, usize, u64)>,
}

/// Tiers of each replica, and a pool below them for all.
pub fn tiers(
    requests: &[Sent],
    sent: &[(usize, u64)],
    replicas: usize,
    (sizes, inclusive): (&[usize], bool),
    shared: usize,
    block_size: u64,
) -> Vec<Tier> {
    let ends: Vec<usize> = (0..sizes.len())
        .map(|last| if inclusive { sizes[last] } else { sizes[..=last].iter().sum() })
        .collect();
    let mut caches: Vec<Vec<Lru>> = vec![ends.into_iter().map(Lru::new).collect(); replicas];
    let mut pool = Lru::new(shared);
    let mut out = vec![Tier::default(); sizes.len() + 1];
    for ((request, now), (to, _)) in requests.iter().zip(times(requests)).zip(sent) {
        let (mut tokens_above, mut blocks_above) = (0, 0);
        for (tier, cache) in out.iter_mut().zip(caches[*to].iter_mut().chain([&mut pool])) {
            let blocks = cache.hit(&request.ids);
            let tokens = (blocks * block_size).min(request.input);
            tier.hit_tokens += tokens.saturating_sub(tokens_above);
            tier.promoted.push((now, *to, blocks.saturating_sub(blocks_above)));
            (tokens_above, blocks_above) = (tokens.max(tokens_above), blocks.max(blocks_above));
            let (left, mut written) = (cache.left, 0);
            // One by one, so that what is absent at its use is seen.
            for id in request.ids.iter().rev() {
                written += u64::from(!cache.blocks.contains(id));
                cache.use_all(&[*id]);
            }
            tier.left.push((now, *to, cache.left - left));
            tier.written.push((now, *to, written));
        }
    }
    out
}

/// All blocks of moves, the most in a second, and the most of one replica in a second.
pub fn flow(moves: &[(f64, usize, u64)]) -> (u64, u64, u64) {
    let most = |of: Option<usize>| {
        let mut seconds: HashMap<u64, u64> = HashMap::new();
        for (time, _, blocks) in moves.iter().filter(|(_, to, _)| of.is_none_or(|of| *to == of)) {
            *seconds.entry((time / 1000.0) as u64).or_default() += blocks;
        }
        seconds.into_values().max().unwrap_or(0)
    };
    let replicas: HashSet<usize> = moves.iter().map(|(_, to, _)| *to).collect();
    let of_one = replicas.into_iter().map(|to| most(Some(to))).max().unwrap_or(0);
    (moves.iter().map(|(.., blocks)| blocks).sum(), most(None), of_one)
}
