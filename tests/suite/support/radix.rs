//! The radix cache of `SGLang` and the list of `LMCache`'s simulator, as plainly as they can be written.

use super::engine::Served;

/// Pages that no request has told apart: those of `path` from `start` on.
struct Run {
    path: Vec<u64>,
    start: usize,
    used: u64,
}

/// The runs of the cache, those that were made first in front. What a run follows is written in its path.
#[derive(Default)]
struct Radix {
    runs: Vec<Run>,
    now: u64,
}

impl Radix {
    /// Uses what is there of `ids`, and how many pages these are. A run that is used in part is split.
    fn walk(&mut self, ids: &[u64]) -> usize {
        let (now, mut found) = (self.now, 0);
        loop {
            let begins = |run: &&mut Run| {
                run.start == found && ids.len() > found && run.path[..=found] == ids[..=found]
            };
            let Some(run) = self.runs.iter_mut().find(begins) else { return found };
            let common = run.path.iter().zip(ids).take_while(|(a, b)| a == b).count();
            let start = found;
            (run.used, found) = (now, common);
            if common < run.path.len() {
                run.start = common;
                self.runs.push(Run { path: ids[..common].to_vec(), start, used: now });
                return found;
            }
        }
    }

    /// Adds what is missing of `ids`; how many pages were there.
    fn insert(&mut self, ids: &[u64]) -> usize {
        let found = self.walk(ids);
        if found < ids.len() {
            self.runs.push(Run { path: ids.to_vec(), start: found, used: self.now });
        }
        found
    }

    /// Removes the run used least recently of those that nothing follows and that a request with the pages
    /// `held` does not use; how many pages that are. Of those used together the one made first leaves.
    fn evict(&mut self, held: &[u64]) -> usize {
        let is_last = |at: &usize| {
            let path = &self.runs[*at].path;
            let follows = |run: &Run| run.start == path.len() && run.path.starts_with(path);
            !held.starts_with(path) && !self.runs.iter().any(follows)
        };
        let oldest = (0..self.runs.len()).filter(is_last).min_by_key(|&at| self.runs[at].used).unwrap();
        let run = self.runs.remove(oldest);
        run.path.len() - run.start
    }

    fn pages(&self) -> usize {
        self.runs.iter().map(|run| run.path.len() - run.start).sum()
    }
}

/// The hits of each request in tokens, one request after the other; `None` where it does not fit.
pub fn serve_sglang(requests: &[Served], size: u64, capacity: usize) -> Vec<Option<u64>> {
    let mut cache = Radix::default();
    let serve = |r: &Served| {
        let tokens = r.prompt + r.answer - 1;
        let pages = |tokens: u64| tokens.div_ceil(size) as usize;
        if pages(tokens + size) > capacity {
            return None;
        }
        // Room for `own` pages of the request beside those of the cache, and a spare one.
        let make_room = |cache: &mut Radix, held: &[u64], own: usize, spare: usize| {
            while cache.pages() + own + spare > capacity {
                cache.evict(held);
            }
        };
        let prompt = (r.prompt / size) as usize;
        cache.now += 1;
        let hit = cache.walk(&r.ids[..(r.prompt.saturating_sub(1) / size) as usize]);
        make_room(&mut cache, &r.ids[..hit], pages(r.prompt) - hit, usize::from(size > 1));
        if r.answer > 1 {
            cache.now += 1;
            cache.insert(&r.ids[..prompt]);
            // Each token of the answer needs a page to spare, and takes one where the one before is full.
            for computed in r.prompt..tokens {
                make_room(&mut cache, &r.ids[..prompt], pages(computed) - prompt, 1);
            }
        }
        cache.now += 1;
        cache.insert(&r.ids);
        if prompt > 0 && prompt < r.ids.len() {
            cache.walk(&r.ids[..prompt]);
        }
        Some(hit as u64 * size)
    };
    requests.iter().map(serve).collect()
}

/// The same of `LMCache`'s simulator, which keeps what was used last at the end of a list.
pub fn serve_lmcache(requests: &[Served], size: u64, capacity: usize) -> Vec<Option<u64>> {
    let mut held: Vec<u64> = Vec::new();
    let serve = |r: &Served| {
        let prompt = &r.ids[..(r.prompt / size) as usize];
        let hit = prompt.iter().take_while(|id| held.contains(id)).count();
        for id in prompt {
            held.retain(|other| other != id);
            held.push(*id);
            held.drain(..held.len().saturating_sub(capacity));
        }
        Some(hit as u64 * size)
    };
    requests.iter().map(serve).collect()
}
