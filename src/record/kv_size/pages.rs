//! How vLLM lays the layers of a model out in memory.
//!
//! All blocks of memory are of one size, whatever layers they belong to. Layers that are alike form groups of
//! equally many layers, and a block holds the tokens of one group: as many as make its pages, one per layer,
//! as large as those of the other groups. A page whose size cannot be reached by more tokens is padded. Where
//! layers keep a state, it is the state that decides: blocks of attention take as many tokens as make a page
//! at least as large as a state, and a cached prefix can only end where such a block does.

use super::layer::{Layer, out_of_range};

/// Tokens of a block, unless layers make vLLM choose more.
const BLOCK: u64 = 16;

/// The least multiple of tokens in a block beside states where a cache is compressed.
const BLOCK_OF_VECTORS: u64 = 128;

/// Blocks of one size for groups of layers.
pub(super) struct Pages {
    /// Bytes of a block: a page for each layer of a group.
    block_bytes: u128,
    groups: Vec<Group>,
}

/// Layers that share the table of their blocks.
struct Group {
    keeps: Keeps,
    /// Tokens of a block.
    block: u64,
}

#[derive(Clone, Copy)]
enum Keeps {
    EveryToken,
    Window(u64),
    Chunk(u64),
    State,
}

/// Layers that are alike.
struct Bucket {
    layer: Layer,
    count: u64,
    block: u64,
    /// Bytes of a page.
    page: u128,
}

impl Pages {
    pub(super) fn new(layers: &[Layer]) -> Result<Self, String> {
        let mut sum = 0;
        for layer in layers {
            sum += u128::from(layer.bytes()?);
        }
        let keeps = Keeps::of(layers[0]);
        let alike = layers.iter().all(|&layer| match (keeps, Keeps::of(layer)) {
            (Keeps::EveryToken, Keeps::EveryToken) => true,
            (Keeps::Window(one), Keeps::Window(other)) => one == other,
            _ => false,
        });
        if alike {
            return Ok(Self {
                block_bytes: sum * u128::from(BLOCK),
                groups: vec![Group { keeps, block: BLOCK }],
            });
        }
        let mut buckets = buckets(layers)?;
        let page = buckets.iter().map(|bucket| bucket.page).max().unwrap_or(0);
        for bucket in &mut buckets {
            bucket.grow(page)?;
        }
        let size = layers_of_a_group(&buckets);
        let groups = buckets.iter().flat_map(|bucket| {
            let groups = bucket.count.div_ceil(size);
            (0..groups).map(|_| Group { keeps: Keeps::of(bucket.layer), block: bucket.block })
        });
        let block_bytes = page.checked_mul(u128::from(size)).ok_or_else(out_of_range)?;
        Ok(Self { block_bytes, groups: groups.collect() })
    }

    /// Whether every token takes the same.
    pub(super) fn is_constant(&self) -> bool {
        matches!(&self.groups[..], [Group { keeps: Keeps::EveryToken, .. }])
    }

    /// Bytes per token, rounded up, when a prompt of so many tokens has been computed.
    pub(super) fn bytes_per_token(&self, tokens: u64) -> Result<u64, String> {
        let whole_blocks = if self.is_constant() { BLOCK } else { tokens };
        u64::try_from(self.bytes(whole_blocks)?.div_ceil(u128::from(whole_blocks)))
            .map_err(|_| out_of_range())
    }

    /// Bytes that a prompt of so many tokens holds once it has been computed.
    fn bytes(&self, tokens: u64) -> Result<u128, String> {
        let blocks = self.groups.iter().map(|group| u128::from(group.blocks(tokens))).sum();
        self.block_bytes.checked_mul(blocks).ok_or_else(out_of_range)
    }

    /// Whether there are blocks of several groups of layers.
    pub(super) fn has_groups(&self) -> bool {
        self.groups.len() > 1
    }

    /// The tokens in whose multiples cached prefixes end, where the layers decide on it.
    pub(super) fn hit_unit(&self) -> Option<u64> {
        let unit = self.groups.iter().map(|group| group.block).try_fold(BLOCK, least_common_multiple)?;
        (unit > BLOCK).then_some(unit)
    }
}

impl Group {
    /// Blocks that a prompt of so many tokens holds once it has been computed.
    fn blocks(&self, tokens: u64) -> u64 {
        match self.keeps {
            Keeps::EveryToken => tokens.div_ceil(self.block),
            // The next token sees one token less than the window, or the chunk that it is in.
            Keeps::Window(window) => {
                self.blocks_without(tokens, tokens.saturating_sub(window.saturating_sub(1)))
            }
            Keeps::Chunk(chunk) => {
                self.blocks_without(tokens, tokens - tokens.checked_rem(chunk).unwrap_or(tokens))
            }
            Keeps::State => 1,
        }
    }

    /// Blocks that hold tokens after the first `left` ones.
    fn blocks_without(&self, tokens: u64, left: u64) -> u64 {
        tokens.div_ceil(self.block) - left / self.block
    }
}

impl Keeps {
    fn of(layer: Layer) -> Self {
        match layer {
            Layer::Full(_) | Layer::Vector(_) => Self::EveryToken,
            Layer::Window(_, window) => Self::Window(window),
            Layer::Chunk(_, chunk) => Self::Chunk(chunk),
            Layer::State(_) => Self::State,
        }
    }
}

impl Bucket {
    /// Makes the page as large as all others are: by more tokens if that is possible, else by padding.
    fn grow(&mut self, page: u128) -> Result<(), String> {
        if page.is_multiple_of(self.page) {
            if !matches!(self.layer, Layer::State(_)) {
                let times = u64::try_from(page / self.page).map_err(|_| out_of_range())?;
                self.block = self.block.checked_mul(times).ok_or_else(out_of_range)?;
            }
        } else if matches!(self.layer, Layer::Vector(_)) {
            return Err(
                "vLLM cannot bring the compressed cache and the other layers to pages of one size".into()
            );
        }
        self.page = page;
        Ok(())
    }
}

/// The kinds of layers with the pages they have by themselves, in the order in which they appear.
fn buckets(layers: &[Layer]) -> Result<Vec<Bucket>, String> {
    let (block, state_page) = block_beside_states(layers)?;
    let mut buckets: Vec<Bucket> = Vec::new();
    for &layer in layers {
        if let Some(bucket) = buckets.iter_mut().find(|bucket| bucket.layer == layer) {
            bucket.count += 1;
            continue;
        }
        let page = match layer {
            Layer::State(_) => state_page,
            _ => u128::from(layer.bytes()?) * u128::from(block),
        };
        buckets.push(Bucket { layer, count: 1, block, page });
    }
    Ok(buckets)
}

/// The tokens of a block of attention whose page holds the largest state, and the bytes of that page.
fn block_beside_states(layers: &[Layer]) -> Result<(u64, u128), String> {
    let is_state = |layer: &&Layer| matches!(layer, Layer::State(_));
    let states = layers.iter().filter(is_state).map(|layer| layer.bytes());
    let Some(state) = states.reduce(|a, b| Ok(a?.max(b?))) else { return Ok((BLOCK, 0)) };
    let Some(attention) = layers.iter().find(|layer| !is_state(layer)) else {
        return Err("all layers keep a state, and none a token".into());
    };
    let step = if matches!(attention, Layer::Vector(_)) { BLOCK_OF_VECTORS } else { BLOCK };
    let token = attention.bytes()?;
    let tokens = u128::from(state?).div_ceil(u128::from(token) * u128::from(step)) * u128::from(step);
    let tokens = u64::try_from(tokens).map_err(|_| out_of_range())?;
    Ok((tokens, u128::from(tokens) * u128::from(token)))
}

/// As many layers as the rarest kind has, or the most frequent one if it has hardly more.
fn layers_of_a_group(buckets: &[Bucket]) -> u64 {
    let fewest = buckets.iter().map(|bucket| bucket.count).min().unwrap_or(1);
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    if 2 * most < 3 * fewest { most } else { fewest }
}

fn least_common_multiple(a: u64, b: u64) -> Option<u64> {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b)
}
