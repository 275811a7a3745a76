//! Tokens to prefix blocks: cutting, and a hash per block that covers everything before it.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::encode::{Extra, Item, cbor_block, cbor_text, pickle_block, pickle_text};
use crate::record::prompt::{Feature, Keys};

/// Separates these hashes from those of all other uses of BLAKE3.
const CONTEXT: &str = "kvtrace 2026-11-25 prefix block chain";

/// The same for chains of requests with a salt, a model or an adapter of their own.
const KEYED_CONTEXT: &str = "kvtrace 2026-11-27 prefix block chain with keys";

/// The same for blocks in which there are images or the like.
const FEATURES_CONTEXT: &str = "kvtrace 2026-11-27 prefix block with features";

/// The seed of Dynamo's hashes.
const DYNAMO_SEED: u64 = 1337;

/// What vLLM hashes to begin a chain if no seed is set.
pub const VLLM_SEED: &str = "vllm-none-hash";

/// The first 96 bits of a block's chained hash: equal for equal prefixes. That any two of 10^9 different
/// blocks have the same key has a probability of 6 in 10^12.
pub type BlockKey = [u32; 3];

/// Blocks of fewer tokens are hashed as quickly as they are looked up, so they are not remembered.
const WORTHWHILE: usize = 128;

/// The chained hash of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockHash([u8; 32]);

impl BlockHash {
    /// The key of the block in a numbering.
    pub fn key(&self) -> BlockKey {
        let word = |i: usize| u32::from_le_bytes([self.0[i], self.0[i + 1], self.0[i + 2], self.0[i + 3]]);
        [word(0), word(4), word(8)]
    }
}

/// What happens to the tokens after the last full block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partial {
    /// They are a block of their own, as in the reference.
    #[default]
    Keep,
    /// They are left out, as serving engines do.
    Drop,
}

/// How a block's hash follows from its tokens and the hash of the block before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// BLAKE3 of the tokens as 32-bit little-endian numbers, keyed by the hash of the block before;
    /// the first by a key derived from the salt. BLAKE3 is collision resistant, so nobody can craft
    /// prompts whose different blocks have equal hashes.
    Kvtrace {
        /// What keys the chain.
        salt: Option<String>,
    },
    /// SHA-256 or XXH3 over Python objects, as vLLM does it: parent, tokens, and extra keys: the `LoRA` adapter,
    /// the features in the block, and for the first block the salt of the request.
    Vllm {
        /// How the objects become bytes.
        encoding: Encoding,
        /// What hashes the bytes.
        digest: VllmDigest,
        /// Which version wrote the extra keys.
        extra_keys: ExtraKeys,
        /// Where the chain begins: `PYTHONHASHSEED`.
        seed: String,
        /// `cache_salt` of the requests.
        salt: Option<String>,
    },
    /// XXH3 of the tokens, chained, as in Dynamo. Features are not hashed.
    Dynamo {
        /// The salt of the requests, which changes the seed for tokens.
        salt: Option<String>,
    },
}

/// How vLLM turns a block into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// `sha256` and `xxhash`: pickle, protocol 5.
    Pickle,
    /// `sha256_cbor` and `xxhash_cbor`: canonical CBOR.
    Cbor,
}

/// How vLLM hashes the bytes of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VllmDigest {
    /// SHA-256.
    #[default]
    Sha256,
    /// XXH3 with 128 bits.
    Xxh3,
}

impl VllmDigest {
    /// Bytes of a digest: the first ones of a [`BlockHash`].
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Xxh3 => 16,
        }
    }

    fn of(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            Self::Sha256 => Sha256::digest(bytes).into(),
            Self::Xxh3 => {
                let mut hash = [0; 32];
                hash[..16].copy_from_slice(&xxh3_128(bytes).to_be_bytes());
                hash
            }
        }
    }
}

/// How vLLM writes what blocks are keyed by beside their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtraKeys {
    /// Each with its kind before it, since 0.31.
    #[default]
    Tagged,
    /// The bare texts, before 0.31.
    Bare,
}

impl Scheme {
    /// The 64-bit number of a block's hash.
    pub fn number(&self, hash: &BlockHash) -> u64 {
        match self {
            // The published keys are the last eight bytes of the digest, as a big-endian number.
            Self::Vllm { digest, .. } => {
                hash.0[..digest.len()].last_chunk().map_or(0, |low| u64::from_be_bytes(*low))
            }
            Self::Kvtrace { .. } | Self::Dynamo { .. } => {
                hash.0.first_chunk().map_or(0, |low| u64::from_le_bytes(*low))
            }
        }
    }

    /// The whole digest of vLLM; `None` for schemes whose hash is just the number.
    pub fn digest<'h>(&self, hash: &'h BlockHash) -> Option<&'h [u8]> {
        match self {
            Self::Vllm { digest, .. } => Some(&hash.0[..digest.len()]),
            Self::Kvtrace { .. } | Self::Dynamo { .. } => None,
        }
    }

    /// Identifies the salt in a file without revealing it.
    pub fn salt_mark(&self) -> String {
        match self {
            Self::Kvtrace { salt: Some(salt) } => {
                let key = blake3::derive_key("kvtrace 2026-11-24 salt of block numbers", salt.as_bytes());
                key[..8].iter().map(|byte| format!("{byte:02x}")).collect()
            }
            _ => String::new(),
        }
    }

    /// The hash before the first block of a request with these keys.
    fn root(&self, keys: &Keys) -> [u8; 32] {
        match self {
            Self::Kvtrace { salt } => {
                let salt = salt.as_deref().unwrap_or("");
                if *keys == Keys::default() {
                    return blake3::derive_key(CONTEXT, salt.as_bytes());
                }
                // Each text with its length before it, so that no two lists of texts are the same bytes.
                let texts =
                    [Some(salt), keys.cache_salt.as_deref(), keys.model.as_deref(), keys.lora.as_deref()];
                let mut bytes = Vec::new();
                for text in texts {
                    bytes.extend(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
                }
                blake3::derive_key(KEYED_CONTEXT, &bytes)
            }
            Self::Dynamo { .. } => [0; 32],
            Self::Vllm { encoding: Encoding::Pickle, digest, seed, .. } => digest.of(&pickle_text(seed)),
            Self::Vllm { encoding: Encoding::Cbor, digest, seed, .. } => digest.of(&cbor_text(seed)),
        }
    }

    /// What vLLM hashes with each block of a request with these keys, and with the first one beside it.
    fn extras(&self, keys: &Keys) -> (Vec<Extra>, Vec<Extra>) {
        let Self::Vllm { extra_keys, salt, .. } = self else { return Default::default() };
        let tagged = *extra_keys == ExtraKeys::Tagged;
        let lora = keys.lora.as_ref().map(|name| {
            let path = keys.lora_path.as_ref().unwrap_or(name);
            if tagged {
                Extra::Tuple(vec![Item::Tag("lora"), Item::Text(name.clone()), Item::Text(path.clone())])
            } else {
                Extra::Text(name.clone())
            }
        });
        let salt = keys.cache_salt.as_ref().or(salt.as_ref()).map(|salt| {
            if tagged {
                Extra::Tuple(vec![Item::Tag("cache_salt"), Item::Text(salt.clone())])
            } else {
                Extra::Text(salt.clone())
            }
        });
        (lora.into_iter().collect(), salt.into_iter().collect())
    }
}

/// Cuts prompts into blocks and hashes them in chains.
pub struct BlockChain {
    block_size: usize,
    partial: Partial,
    scheme: Scheme,
    root: [u8; 32],
    keys: Keys,
    /// What is hashed with each block, and with the first one beside it.
    extras: (Vec<Extra>, Vec<Extra>),
    features: Vec<Feature>,
    bytes: Vec<u8>,
    hashes: Vec<BlockHash>,
    seen: SeenBlocks,
}

/// Blocks seen before: prompts that begin alike have the same first blocks, and comparing a block is
/// much quicker than hashing it. The first time a block is seen only its fingerprint is kept.
#[derive(Default)]
struct SeenBlocks {
    places: Vec<SeenBlock>,
    hasher: RandomState,
}

#[derive(Clone, Default)]
struct SeenBlock {
    fingerprint: u64,
    parent: [u8; 32],
    tokens: Vec<u32>,
    hash: [u8; 32],
}

impl BlockChain {
    /// Cuts into blocks of `block_size` tokens, at least 1.
    pub fn new(block_size: usize, partial: Partial, scheme: Scheme) -> Self {
        let keys = Keys::default();
        Self {
            block_size: block_size.max(1),
            partial,
            root: scheme.root(&keys),
            extras: scheme.extras(&keys),
            scheme,
            keys,
            features: Vec::new(),
            bytes: Vec::new(),
            hashes: Vec::new(),
            seen: SeenBlocks::default(),
        }
    }

    /// The prompts from here on are of requests with these keys.
    pub fn set_keys(&mut self, keys: &Keys) {
        if self.keys != *keys {
            self.keys.clone_from(keys);
            self.root = self.scheme.root(keys);
            self.extras = self.scheme.extras(keys);
            self.hashes.clear();
        }
    }

    /// What of the next prompt is no text: in the order of their offsets, none in another one.
    pub fn set_features(&mut self, features: &[Feature]) {
        if self.features != features {
            self.features = features.to_vec();
            self.hashes.clear();
        }
    }

    /// Those of the current prompt.
    pub(crate) fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The features in the block of so many tokens that follows those hashed so far, and where it begins.
    fn features_in(&self, tokens: usize) -> (&[Feature], usize) {
        let start = self.hashes.len() * self.block_size;
        let from = self.features.partition_point(|feature| feature.end() <= start);
        let rest = &self.features[from..];
        (&rest[..rest.partition_point(|feature| feature.offset < start + tokens)], start)
    }

    /// Lets it remember blocks, in at most so many bytes.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        let worthwhile = self.block_size >= WORTHWHILE;
        let places = if worthwhile { bytes / (size_of::<SeenBlock>() + 4 * self.block_size) } else { 0 };
        self.seen.places = vec![SeenBlock::default(); places];
        self
    }

    /// How many of so many `tokens` are in blocks: all, or those in full blocks.
    pub fn kept(&self, tokens: usize) -> usize {
        match self.partial {
            Partial::Keep => tokens,
            Partial::Drop => tokens - tokens % self.block_size,
        }
    }

    /// The hashes of all blocks of `tokens`, first block first. The first `known` tokens are those of
    /// the call before: their full blocks are not hashed again.
    pub fn hashes(&mut self, tokens: &[u32], known: usize) -> &[BlockHash] {
        let kept = self.kept(tokens.len());
        let done = (known.min(kept) / self.block_size).min(self.hashes.len());
        self.hashes.truncate(done);
        for block in tokens[done * self.block_size..kept].chunks(self.block_size) {
            let hash =
                if block.len() == self.block_size { self.full_block(block) } else { self.block(block) };
            self.hashes.push(hash);
        }
        &self.hashes
    }

    /// Forgets the prompt: the next one begins with other tokens.
    pub(crate) fn begin(&mut self) {
        self.hashes.clear();
    }

    /// Adds the hashes of the next full blocks of the prompt, which are known.
    pub(crate) fn extend(&mut self, hashes: &[BlockHash]) {
        self.hashes.extend_from_slice(hashes);
    }

    /// Hashes the full blocks of `tokens`, whose first blocks have been hashed; returns the hashes of the others.
    pub(crate) fn full_blocks(&mut self, tokens: &[u32]) -> &[BlockHash] {
        let done = self.hashes.len();
        for block in tokens[done * self.block_size..].chunks_exact(self.block_size) {
            let hash = self.full_block(block);
            self.hashes.push(hash);
        }
        &self.hashes[done..]
    }

    /// The hashes of the blocks from the last full one of a prompt up to block `end`, not included. The first
    /// `prompt` tokens are those of the prompt hashed last, the others what was generated after it.
    pub fn answer(&mut self, tokens: &[u32], prompt: usize, end: usize) -> &[BlockHash] {
        let full = prompt / self.block_size;
        self.hashes.truncate(full);
        self.full_blocks(&tokens[..end * self.block_size]);
        &self.hashes[full..]
    }

    /// The tokens of the blocks that have been hashed.
    pub(crate) fn hashed(&self) -> usize {
        self.hashes.len() * self.block_size
    }

    /// The hash of a full block, from memory if it is there.
    fn full_block(&mut self, block: &[u32]) -> BlockHash {
        let parent = self.hashes.last().map_or(self.root, |hash| hash.0);
        let first = self.hashes.is_empty() && !self.extras.1.is_empty();
        let plain = !first && self.extras.0.is_empty() && self.features_in(block.len()).0.is_empty();
        if self.seen.places.is_empty() || !plain {
            return self.block(block);
        }
        let fingerprint = self.seen.hasher.hash_one((parent, block));
        let place = fingerprint as usize % self.seen.places.len();
        let known = &self.seen.places[place];
        let before = known.fingerprint == fingerprint;
        if before && known.parent == parent && *known.tokens == *block {
            return BlockHash(known.hash);
        }
        let hash = self.block(block);
        let known = &mut self.seen.places[place];
        known.tokens.clear();
        if before {
            known.tokens.extend_from_slice(block);
        }
        (known.fingerprint, known.parent, known.hash) = (fingerprint, parent, hash.0);
        hash
    }

    /// The hash of the block that follows those hashed so far.
    fn block(&mut self, block: &[u32]) -> BlockHash {
        // The bytes are those of the scheme while they are written.
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let hash = self.hash(block, &mut bytes);
        self.bytes = bytes;
        BlockHash(hash)
    }

    /// The same; `bytes` are memory that is empty.
    fn hash(&self, block: &[u32], bytes: &mut Vec<u8>) -> [u8; 32] {
        let parent = self.hashes.last().map_or(self.root, |hash| hash.0);
        let first = self.hashes.is_empty();
        let (features, start) = self.features_in(block.len());
        match &self.scheme {
            Scheme::Kvtrace { .. } => {
                bytes.extend(block.iter().flat_map(|token| token.to_le_bytes()));
                let hash = *blake3::keyed_hash(&parent, bytes).as_bytes();
                if features.is_empty() { hash } else { with_features(&hash, features, start, bytes) }
            }
            Scheme::Vllm { encoding, digest, extra_keys, .. } => {
                let parent = &parent[..digest.len()];
                let features: Vec<_> =
                    features.iter().map(|feature| feature_keys(feature, start, *extra_keys)).collect();
                let of_first = if first { &self.extras.1[..] } else { &[] };
                let extras = [&self.extras.0[..], &features, of_first].concat();
                match encoding {
                    Encoding::Pickle => pickle_block(parent, block, &extras, bytes),
                    Encoding::Cbor => cbor_block(parent, block, &extras, bytes),
                }
                digest.of(bytes)
            }
            Scheme::Dynamo { salt } => {
                let salt = self.keys.cache_salt.as_ref().or(salt.as_ref());
                bytes.extend(block.iter().flat_map(|token| token.to_le_bytes()));
                let extra = salt.map_or(0, |salt| xxh3_64_with_seed(salt.as_bytes(), 1));
                let own = xxh3_64_with_seed(bytes, DYNAMO_SEED.wrapping_add(extra));
                let mut chained = [0; 32];
                if first {
                    chained[..8].copy_from_slice(&own.to_le_bytes());
                } else {
                    let mut pair = [0; 16];
                    pair[..8].copy_from_slice(&parent[..8]);
                    pair[8..].copy_from_slice(&own.to_le_bytes());
                    chained[..8].copy_from_slice(&xxh3_64_with_seed(&pair, DYNAMO_SEED).to_le_bytes());
                }
                chained
            }
        }
    }
}

/// What vLLM hashes of a feature with a block that begins at token `start`.
fn feature_keys(feature: &Feature, start: usize, extra_keys: ExtraKeys) -> Extra {
    let identifier = Item::Text(feature.identifier.clone());
    let offset = Item::Number(offset_in_block(feature, start));
    Extra::Tuple(match extra_keys {
        ExtraKeys::Tagged => vec![Item::Tag("mm"), identifier, offset],
        ExtraKeys::Bare => vec![identifier, offset],
    })
}

/// The hash of a block with `features`, which begins at token `start`: `hash` is that of its tokens.
fn with_features(hash: &[u8; 32], features: &[Feature], start: usize, bytes: &mut Vec<u8>) -> [u8; 32] {
    bytes.clear();
    bytes.extend_from_slice(hash);
    for feature in features {
        bytes.extend(offset_in_block(feature, start).to_le_bytes());
        bytes.extend((feature.identifier.len() as u64).to_le_bytes());
        bytes.extend_from_slice(feature.identifier.as_bytes());
    }
    blake3::derive_key(FEATURES_CONTEXT, bytes)
}

/// Where a feature begins, counted from token `start`: before it the number is negative.
fn offset_in_block(feature: &Feature, start: usize) -> i64 {
    feature.offset as i64 - start as i64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn plain() -> Scheme {
        Scheme::Kvtrace { salt: None }
    }

    fn hashes(tokens: &[u32], size: usize, partial: Partial, scheme: Scheme) -> Vec<BlockHash> {
        BlockChain::new(size, partial, scheme).hashes(tokens, 0).to_vec()
    }

    fn schemes() -> [Scheme; 5] {
        let vllm = |encoding| Scheme::Vllm {
            encoding,
            digest: VllmDigest::default(),
            seed: VLLM_SEED.into(),
            salt: None,
            extra_keys: ExtraKeys::Tagged,
        };
        let salted = Scheme::Kvtrace { salt: Some("pepper".into()) };
        [plain(), salted, vllm(Encoding::Pickle), vllm(Encoding::Cbor), Scheme::Dynamo { salt: None }]
    }

    proptest! {
        #[test]
        fn hashes_are_equal_exactly_when_all_tokens_up_to_the_end_are(
            prompts in prop::collection::vec(prop::collection::vec(0..3u32, 0..12), 1..12),
            size in 1..5usize,
        ) {
            for scheme in schemes() {
                let mut chain = BlockChain::new(size, Partial::Keep, scheme.clone());
                let mut prefix_of: HashMap<u64, Vec<u32>> = HashMap::new();
                let mut number_of: HashMap<Vec<u32>, u64> = HashMap::new();
                let mut last: &[u32] = &[];
                for tokens in &prompts {
                    let known = last.iter().zip(tokens).take_while(|(a, b)| a == b).count();
                    for (i, hash) in chain.hashes(tokens, known).iter().enumerate() {
                        let number = scheme.number(hash);
                        let prefix = tokens[..((i + 1) * size).min(tokens.len())].to_vec();
                        prop_assert_eq!(prefix_of.entry(number).or_insert_with(|| prefix.clone()), &prefix);
                        prop_assert_eq!(number_of.entry(prefix).or_insert(number), &number);
                    }
                    last = tokens;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn hashes_are_equal_exactly_when_tokens_and_features_are(
            prompts in prop::collection::vec(
                (8..20usize, prop::collection::vec((0..5usize, 1..7usize, 0..2u8), 0..4)), 2..10),
            size in 1..6usize,
        ) {
            for scheme in schemes().into_iter().filter(|scheme| !matches!(scheme, Scheme::Dynamo { .. })) {
                let mut chain = BlockChain::new(size, Partial::Keep, scheme.clone());
                let mut number_of = HashMap::new();
                let mut known_numbers = HashMap::new();
                for (length, gaps) in &prompts {
                    let tokens = vec![9; *length];
                    let (mut features, mut end) = (Vec::new(), 0);
                    for &(gap, length, kind) in gaps {
                        let feature = Feature::new(&kind.to_string(), end + gap, length);
                        end = feature.end();
                        features.push(feature);
                    }
                    features.retain(|feature| feature.end() <= tokens.len());
                    chain.set_features(&features);
                    let mut known = Vec::new();
                    for (i, hash) in chain.hashes(&tokens, 0).iter().enumerate() {
                        let block = i * size..tokens.len().min((i + 1) * size);
                        let inside: Vec<_> = features
                            .iter()
                            .filter(|feature| block.clone().any(|at| (feature.offset..feature.end()).contains(&at)))
                            .map(|feature| (feature.identifier.clone(), feature.offset))
                            .collect();
                        known.push((block.len(), inside));
                        let number = scheme.number(hash);
                        prop_assert_eq!(*number_of.entry(known.clone()).or_insert(number), number);
                        prop_assert_eq!(known_numbers.entry(number).or_insert_with(|| known.clone()), &known);
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_that_are_remembered_have_the_same_hashes() {
        let mut rng = fastrand::Rng::with_seed(3);
        for scheme in schemes() {
            // Four places: most blocks are replaced by others now and then.
            let bytes = 4 * (size_of::<SeenBlock>() + 4 * WORTHWHILE);
            let new = || BlockChain::new(WORTHWHILE, Partial::Keep, scheme.clone());
            let mut chain = new().with_memory(bytes);
            assert_eq!(chain.seen.places.len(), 4);
            for _ in 0..300 {
                let blocks = rng.usize(0..4);
                let mut tokens: Vec<u32> = (0..blocks).flat_map(|_| [rng.u32(0..2); WORTHWHILE]).collect();
                tokens.extend(vec![7; rng.usize(0..WORTHWHILE)]);
                assert_eq!(chain.hashes(&tokens, 0), new().hashes(&tokens, 0));
            }
        }
    }

    #[test]
    fn the_partial_block_is_kept_or_dropped() {
        let tokens = [1, 2, 3, 4, 5];
        assert_eq!(hashes(&tokens, 2, Partial::Keep, plain()).len(), 3);
        let full = hashes(&tokens[..4], 2, Partial::Keep, plain());
        assert_eq!(hashes(&tokens, 2, Partial::Drop, plain()), full);
        assert_eq!(BlockChain::new(2, Partial::Drop, plain()).kept(5), 4);
        assert!(hashes(&[], 2, Partial::Keep, plain()).is_empty());
    }

    /// Computed with the blake3 package of Python.
    #[test]
    fn hashes_are_those_of_another_implementation() {
        let found = |salt: Option<&str>| -> Vec<BlockKey> {
            let scheme = Scheme::Kvtrace { salt: salt.map(str::to_owned) };
            hashes(&[1, 2, 3, 4], 2, Partial::Keep, scheme).iter().map(BlockHash::key).collect()
        };
        let plain = [[0xee94_5b21, 0x05d7_a466, 0xa154_8097], [0x2c18_4236, 0xd305_2a49, 0xb934_9766]];
        assert_eq!(found(None), plain);
        let salted = [[0x0c20_2f48, 0x13ae_a1a3, 0x6582_1ce3], [0x8dd4_469f, 0x8af6_62e7, 0x3d05_ab13]];
        assert_eq!(found(Some("pepper")), salted);
    }

    #[test]
    fn a_salt_changes_every_hash() {
        let salted = |salt: &str| {
            hashes(&[1, 2, 3], 2, Partial::Keep, Scheme::Kvtrace { salt: Some(salt.to_owned()) })
        };
        let plain = hashes(&[1, 2, 3], 2, Partial::Keep, plain());
        for (a, b) in [(&plain, &salted("x")), (&salted("y"), &salted("x"))] {
            assert!(a.iter().zip(b).all(|(a, b)| a != b));
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// 300 tokens in blocks of 128, and the hashes that vLLM publishes for them.
    #[test]
    fn vllm_hashes_are_its_own() {
        let tokens: Vec<u32> = (0..300).map(|i| (i * 7919 + 13) % 152_064).collect();
        let cbor = Scheme::Vllm {
            encoding: Encoding::Cbor,
            digest: VllmDigest::default(),
            seed: VLLM_SEED.into(),
            salt: None,
            extra_keys: ExtraKeys::Tagged,
        };
        let found = hashes(&tokens, 128, Partial::Drop, cbor.clone());
        assert_eq!(
            hex(&cbor.root(&Keys::default())),
            "9bd96a485ad84efdafb72ee48a1d7a69bcead0f8f0433173941b276b9581eef0"
        );
        assert_eq!(
            found.iter().map(|h| hex(&h.0)).collect::<Vec<_>>(),
            [
                "3c922374e6fe67f3c64e75b88a3b8bd6185b538f7019674b72aefbf8dd8754f8",
                "2e69fa8c8aebe362593b51b8b212f1aeb45f9bb56c4258c0bf2a94f1e384e2a5"
            ]
        );
        let numbers: Vec<u64> = found.iter().map(|h| cbor.number(h)).collect();
        assert_eq!(numbers, [8_263_819_412_558_533_880, 13_774_986_176_891_249_317]);
        let seeded = Scheme::Vllm {
            encoding: Encoding::Cbor,
            digest: VllmDigest::default(),
            seed: "0".into(),
            salt: None,
            extra_keys: ExtraKeys::Tagged,
        };
        assert_eq!(
            hex(&seeded.root(&Keys::default())),
            "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e"
        );
        let pickle = Scheme::Vllm {
            encoding: Encoding::Pickle,
            digest: VllmDigest::default(),
            seed: VLLM_SEED.into(),
            salt: None,
            extra_keys: ExtraKeys::Tagged,
        };
        assert_eq!(
            hex(&pickle.root(&Keys::default())),
            "066b1e8987e027138e98701c46128929378935f9b6cd1549105ae6b4f0d71198"
        );
        assert_eq!(
            hashes(&tokens, 128, Partial::Drop, pickle).iter().map(|h| hex(&h.0)).collect::<Vec<_>>(),
            [
                "29249e97c93a51addca689dcffd19921657780be17efb44d3da4300108302a1e",
                "1cb030ec07ba92f9fb16f30b9659e85f7378e01d6105dfb15fafb5b0f0f44481"
            ]
        );
    }

    /// The values are those of Python's pickle; the first is that of vLLM 0.32's own code as well.
    #[test]
    fn keys_of_a_request_are_hashed_as_vllm_does() {
        let text = |text: &str| Some(text.to_owned());
        let hash = |extra_keys, keys: &Keys| {
            let (encoding, seed) = (Encoding::Pickle, VLLM_SEED.into());
            let scheme =
                Scheme::Vllm { encoding, digest: VllmDigest::default(), seed, salt: None, extra_keys };
            let mut chain = BlockChain::new(16, Partial::Drop, scheme);
            chain.set_keys(keys);
            let tokens: Vec<u32> = (100..116).collect();
            hex(&chain.hashes(&tokens, 0)[0].0)
        };
        let salted = Keys { cache_salt: text("abc"), model: text("not hashed"), ..Keys::default() };
        let adapted = Keys { lora: text("ad"), lora_path: text("/x"), ..Keys::default() };
        let both = Keys { cache_salt: text("abc"), ..adapted.clone() };
        for (extra_keys, keys, expected) in [
            (ExtraKeys::Tagged, &salted, "439e3ffb5ebef43ed1dcc851f909ac2d915079f9c91fb048e23efa4d00d571d3"),
            (ExtraKeys::Bare, &salted, "45ca85a58aabfadb19df3c9f305081e4c5e8a9311d19e21ac73b019b713ad2eb"),
            (ExtraKeys::Tagged, &adapted, "8f2f8c8a7e0941b4cdb07d3e4b94c0b710d5d6c02ec029f17beb561033644830"),
            (ExtraKeys::Tagged, &both, "f73966e3267884072f957de86f85f74a01a0137af7849584013f4bfda60c35da"),
        ] {
            assert_eq!(hash(extra_keys, keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn requests_with_other_keys_share_no_block() {
        let text = |text: &str| Some(text.to_owned());
        let all = [
            Keys::default(),
            Keys { cache_salt: text("x"), ..Keys::default() },
            Keys { model: text("x"), ..Keys::default() },
            Keys { lora: text("x"), ..Keys::default() },
            Keys { model: text("x"), lora: text("x"), ..Keys::default() },
            Keys { model: text("xx"), ..Keys::default() },
        ];
        let tokens: Vec<u32> = (0..600).collect();
        let mut chain = BlockChain::new(200, Partial::Keep, plain()).with_memory(1 << 20);
        let mut seen = HashMap::new();
        for round in 0..3 {
            for (i, keys) in all.iter().enumerate() {
                chain.set_keys(keys);
                for hash in chain.hashes(&tokens, 0) {
                    assert_eq!(*seen.entry(*hash).or_insert(i), i, "round {round}");
                }
            }
        }
        assert_eq!(seen.len(), 3 * all.len());
    }

    /// The values that Dynamo's own tests have, and those of its crate dynamo-kv-hashing 1.6.1
    /// (`Request::builder().tokens(...).salt(...).build()`, then `sequence_hashes(16)`), which agreed
    /// on 300 random sequences in blocks of 1 to 128 tokens as well.
    #[test]
    fn dynamo_hashes_are_its_own() {
        let numbers = |tokens: &[u32], size: usize, salt: Option<&str>| -> Vec<u64> {
            let scheme = Scheme::Dynamo { salt: salt.map(str::to_owned) };
            let found = hashes(tokens, size, Partial::Drop, scheme.clone());
            found.iter().map(|hash| scheme.number(hash)).collect()
        };
        let tokens: Vec<u32> = (1..=12).collect();
        let expected = [14_643_705_804_678_351_452, 4_945_711_292_740_353_085, 12_583_592_247_330_656_132];
        assert_eq!(numbers(&tokens, 4, None), expected);
        let tokens: Vec<u32> = (0..40).map(|i| i * 7919 + 13).collect();
        assert_eq!(numbers(&tokens, 16, None), [11_723_321_007_336_875_285, 10_087_750_364_332_773_579]);
        assert_eq!(
            numbers(&tokens, 16, Some("pepper")),
            [7_693_981_256_429_169_826, 17_309_958_069_637_844_436]
        );
    }
}
