//! Requests that are served one after the other: each finds what its prompt shares with the cache, takes
//! all the blocks that it needs, and gives them back before the next one comes.

use crate::stats::cache::served::Server;
use crate::stats::cache::vllm::pool::{Pool, Slot};
use crate::stats::engine::EngineRequest;

/// vLLM serving one request at a time.
pub(in crate::stats) struct Sequential {
    capacity: u64,
    block_size: u64,
    pool: Pool,
    slots: Vec<Slot>,
}

impl Server for Sequential {
    fn new(capacity: u64, block_size: u64) -> Self {
        Self { capacity, block_size, pool: Pool::new(capacity), slots: Vec::new() }
    }

    fn fits(&self, request: &EngineRequest) -> bool {
        request.tokens().div_ceil(self.block_size) <= self.capacity
    }

    fn serve(&mut self, request: &EngineRequest) -> u64 {
        let Self { pool, slots, block_size, .. } = self;
        slots.clear();
        pool.find(request.names_to_find(*block_size), slots);
        let hit = slots.len();
        pool.share(slots);
        pool.take(request.tokens().div_ceil(*block_size) - hit as u64, slots);
        for (&slot, &name) in slots.iter().zip(request.names).skip(hit) {
            pool.fill(slot, name);
        }
        pool.release(slots);
        hit as u64
    }

    fn bytes(&self) -> usize {
        self.pool.bytes()
    }
}
