//! From the `config.json` of a Hugging Face model to the arithmetic of its prefill.
//!
//! Each token takes two operations for each parameter that it passes in the layers, of a mixture of experts
//! those of the experts chosen for it ("Scaling Laws for Neural Language Models", arXiv 2001.08361, table 1).
//! Besides, each layer takes
//!
//! ```text
//! 2 x num_attention_heads x (width of a key + width of a value)
//! ```
//!
//! for each token that a token attends to, itself included: 4 x heads x head size where keys are as wide as
//! values. So a token costs more behind a long prompt than at the beginning of one. Layers with a window or a
//! chunk attend to no more than that; with multi-head latent attention, a prompt is computed with keys and values
//! unpacked.
//!
//! Embeddings, norms and biases are left out, and so is the head of the model, which is computed for one token.
//! Models whose layers keep a state, or choose what they attend to, are refused by name.

use super::config::Config;
use super::family;
use super::layer::{Bytes, Layer, Shape, out_of_range};
use crate::error::Invalid;

/// Layers that reach differently far.
const KINDS: usize = 4;

/// How far back a layer attends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// To the first token.
    All,
    /// To so many tokens, itself included.
    Window(u64),
    /// To the last multiple of so many tokens.
    Chunk(u64),
}

impl Reach {
    /// Pairs of tokens of which the later one attends to the earlier one, itself included, among the first
    /// tokens of a prompt.
    fn pairs(self, tokens: u64) -> u128 {
        let triangle = |n: u64| u128::from(n) * (u128::from(n) + 1) / 2;
        match self {
            Self::All => triangle(tokens),
            Self::Window(window) => {
                let beyond = tokens.saturating_sub(window);
                triangle(tokens.min(window)) + u128::from(beyond) * u128::from(window)
            }
            Self::Chunk(chunk) => u128::from(tokens / chunk) * triangle(chunk) + triangle(tokens % chunk),
        }
    }
}

/// The arithmetic that computing prompts takes, in floating point operations (FLOPs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefillCost {
    /// Of a token, whatever is before it.
    per_token: u64,
    /// Of a pair of tokens, in all layers that reach so far.
    per_pair: [(Reach, u64); KINDS],
}

impl PrefillCost {
    /// That of the model that `config_json` describes.
    ///
    /// # Errors
    ///
    /// The text is no model config, a field is missing, or how the model computes is not known.
    pub fn of(config_json: &str) -> Result<Self, Invalid> {
        let outer = Config::parse(config_json).map_err(Invalid::malformed)?;
        let nested = outer.language_model();
        let model = nested.as_ref().unwrap_or(&outer);
        let name = model.model_type(&outer);
        name.and_then(|name| Self::of_model(name, model)).map_err(Invalid::value)
    }

    fn of_model(model_type: Option<&str>, config: &Config) -> Result<Self, String> {
        let feed_forward = feed_forward_of(model_type, config)?;
        // What is cached takes no part in it, but the sizes have to be some.
        let layers = family::layers(model_type, config, Bytes { cache: 2, model: 2 })?;
        let (mut parameters, mut cost) = (0_u64, Self { per_token: 0, per_pair: [(Reach::All, 0); KINDS] });
        for (at, &layer) in (0..).zip(&layers) {
            let attention = Attention::of(layer, config)?;
            let passed = attention.parameters.checked_add(feed_forward(config, at)?);
            parameters = passed.and_then(|n| n.checked_add(parameters)).ok_or_else(out_of_range)?;
            cost.add_pairs(attention.reach, attention.per_pair)?;
        }
        cost.per_token = parameters.checked_mul(2).ok_or_else(out_of_range)?;
        Ok(cost)
    }

    fn add_pairs(&mut self, reach: Reach, flops: u64) -> Result<(), String> {
        let place = self.per_pair.iter_mut().find(|(known, sum)| *known == reach || *sum == 0);
        let (known, sum) = place.ok_or("its layers attend to windows of too many sizes")?;
        *known = reach;
        *sum = sum.checked_add(flops).ok_or_else(out_of_range)?;
        Ok(())
    }

    /// The parameters of the layers that a token passes: of a mixture of experts, with the experts that are
    /// chosen for it; without embeddings.
    #[must_use]
    pub fn active_parameters(&self) -> u64 {
        self.per_token / 2
    }

    /// FLOPs of the first so many tokens of a prompt. Those of the tokens behind a cached prefix are the
    /// difference to those of the prefix.
    #[must_use]
    #[inline]
    pub fn flops(&self, tokens: u64) -> u128 {
        let pairs = self.per_pair.iter().filter(|(_, flops)| *flops > 0);
        let attention: u128 = pairs.map(|&(reach, flops)| u128::from(flops) * reach.pairs(tokens)).sum();
        u128::from(self.per_token) * u128::from(tokens) + attention
    }
}

/// The attention of a layer.
struct Attention {
    parameters: u64,
    per_pair: u64,
    reach: Reach,
}

impl Attention {
    fn of(layer: Layer, config: &Config) -> Result<Self, String> {
        let (shape, reach) = match layer {
            Layer::Full(shape) => (shape, Reach::All),
            Layer::Window(shape, window) => (shape, Reach::Window(window)),
            Layer::Chunk(shape, chunk) => (shape, Reach::Chunk(chunk)),
            Layer::Vector(_) => return Self::latent(config),
            Layer::State(_) => return Err("it has layers with a state".into()),
        };
        let (hidden, heads) = (hidden(config)?, heads(config)?);
        let Shape { heads: kv_heads, key, value, .. } = shape;
        let wide = |heads: u64| product(&[hidden, heads, key.saturating_add(value)]);
        let parameters = wide(heads)?.checked_add(wide(kv_heads)?).ok_or_else(out_of_range)?;
        Ok(Self { parameters, per_pair: product(&[2, heads, key.saturating_add(value)])?, reach })
    }

    /// Multi-head latent attention ("DeepSeek-V2", arXiv 2405.04434, appendix C).
    fn latent(config: &Config) -> Result<Self, String> {
        let (hidden, heads) = (hidden(config)?, heads(config)?);
        let [rank, rope, plain, value] =
            ["kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"]
                .map(|name| config.needed(&[name]));
        let (rank, rope, plain, value) = (rank?, rope?, plain?, value?);
        let key = plain.saturating_add(rope);
        let query = match config.number(&["q_lora_rank"])?.filter(|&rank| rank > 0) {
            Some(rank) => sum(&[product(&[hidden, rank])?, product(&[rank, heads, key])?])?,
            None => product(&[hidden, heads, key])?,
        };
        let parameters = sum(&[
            query,
            product(&[hidden, rank.saturating_add(rope)])?,
            product(&[rank, heads, plain.saturating_add(value)])?,
            product(&[heads, value, hidden])?,
        ])?;
        let per_pair = product(&[2, heads, key.saturating_add(value)])?;
        Ok(Self { parameters, per_pair, reach: Reach::All })
    }
}

/// Parameters that a token passes behind the attention of a layer, by its place from 0.
type FeedForward = fn(&Config, u64) -> Result<u64, String>;

/// The `model_type`s whose layers are known.
const FEED_FORWARDS: &[(&str, FeedForward)] = &[
    ("apertus arcee bloom falcon gpt2 gpt_bigcode gpt_neox nemotron opt phi starcoder2", plain),
    (
        "baichuan cohere cohere2 ernie4_5 exaone exaone4 gemma gemma2 gemma3 gemma3_text glm glm4 granite internlm2 \
         internlm3 llama mimo minicpm ministral3 mistral olmo olmo2 olmo3 phi3 qwen2 qwen2_vl qwen2_vl_text \
         qwen2_5_vl qwen2_5_vl_text qwen3 qwen3_vl_text seed_oss smollm3 solar stablelm",
        |config, _| gated(config, &["intermediate_size"]),
    ),
    ("gpt_oss granitemoe granitemoeshared minimax_m2 mixtral olmoe phimoe", |config, _| {
        sum(&[experts(config)?, shared(config, "shared_intermediate_size")?])
    }),
    ("qwen2_moe qwen3_moe qwen3_vl_moe_text", qwen_moe),
    ("deepseek_v2 deepseek_v3 glm4_moe glm4_moe_lite kimi_k2", deepseek),
    ("llama4 llama4_text", llama4),
];

/// That of a model. One without a `model_type` is taken for a plain one if nothing is said of experts.
fn feed_forward_of(model_type: Option<&str>, config: &Config) -> Result<FeedForward, String> {
    let Some(name) = model_type else {
        return match config.number(&EXPERTS)? {
            None => Ok(|config, _| gated(config, &["intermediate_size"])),
            Some(_) => Err("it has experts and no model_type".into()),
        };
    };
    let known = FEED_FORWARDS.iter().find(|(names, _)| names.split(' ').any(|known| known == name));
    known.map(|&(_, known)| known).ok_or_else(|| format!("the layers of a {name} are not known"))
}

/// Names for the number of experts.
const EXPERTS: [&str; 3] = ["num_local_experts", "num_experts", "n_routed_experts"];

/// Two matrices.
fn plain(config: &Config, _: u64) -> Result<u64, String> {
    let hidden = hidden(config)?;
    let inner = config.number(&["intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"])?;
    product(&[2, hidden, inner.unwrap_or(hidden.saturating_mul(4))])
}

/// Three matrices.
fn gated(config: &Config, inner: &[&str]) -> Result<u64, String> {
    product(&[3, hidden(config)?, config.needed(inner)?])
}

/// The experts that are chosen for a token, and the router that chooses.
fn experts(config: &Config) -> Result<u64, String> {
    let chosen = config.needed(&["num_experts_per_tok", "experts_per_token"])?;
    let inner = config.needed(&["moe_intermediate_size", "intermediate_size"])?;
    let chosen = product(&[3, chosen, hidden(config)?, inner])?;
    sum(&[chosen, product(&[hidden(config)?, config.needed(&EXPERTS)?])?])
}

/// An expert that every token passes, if there is one.
fn shared(config: &Config, inner: &str) -> Result<u64, String> {
    config.number(&[inner])?.map_or(Ok(0), |inner| product(&[3, hidden(config)?, inner]))
}

fn qwen_moe(config: &Config, layer: u64) -> Result<u64, String> {
    let every = config.number(&["decoder_sparse_step"])?.unwrap_or(1).max(1);
    let dense = config.numbers("mlp_only_layers")?.unwrap_or_default();
    if dense.contains(&layer) || !(layer + 1).is_multiple_of(every) {
        return gated(config, &["intermediate_size"]);
    }
    sum(&[experts(config)?, shared(config, "shared_expert_intermediate_size")?])
}

fn deepseek(config: &Config, layer: u64) -> Result<u64, String> {
    let first = config.number(&["first_k_dense_replace"])?.unwrap_or(0);
    let every = config.number(&["moe_layer_freq"])?.unwrap_or(1).max(1);
    if config.number(&EXPERTS)?.is_none() || layer < first || !layer.is_multiple_of(every) {
        return gated(config, &["intermediate_size"]);
    }
    let shared = config.number(&["n_shared_experts"])?.unwrap_or(0);
    sum(&[
        experts(config)?,
        product(&[shared, 3, hidden(config)?, config.needed(&["moe_intermediate_size"])?])?,
    ])
}

/// Every so manieth layer has experts, and one besides that every token passes.
fn llama4(config: &Config, layer: u64) -> Result<u64, String> {
    let every = config.number(&["interleave_moe_layer_step"])?.unwrap_or(1).max(1);
    if config.numbers("moe_layers")?.is_some_and(|listed| !listed.is_empty()) {
        return Err("moe_layers lists layers with experts".into());
    }
    if !(layer + 1).is_multiple_of(every) {
        return gated(config, &["intermediate_size_mlp", "intermediate_size"]);
    }
    sum(&[experts(config)?, gated(config, &["intermediate_size"])?])
}

fn hidden(config: &Config) -> Result<u64, String> {
    config.needed(&["hidden_size", "n_embd", "d_model"])
}

fn heads(config: &Config) -> Result<u64, String> {
    config.needed(&["num_attention_heads", "n_head", "n_heads"])
}

fn product(factors: &[u64]) -> Result<u64, String> {
    factors.iter().try_fold(1_u64, |product, &factor| product.checked_mul(factor)).ok_or_else(out_of_range)
}

fn sum(terms: &[u64]) -> Result<u64, String> {
    terms.iter().try_fold(0_u64, |sum, &term| sum.checked_add(term)).ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Billions of parameters that a token passes, with an embedding and a head of so many rows.
    fn billions(config: &str, rows: u64) -> f64 {
        let hidden = hidden(&Config::parse(config).unwrap()).unwrap();
        let cost = PrefillCost::of(config).unwrap();
        (cost.active_parameters() + rows * hidden) as f64 / 1e9
    }

    const LLAMA_8B: &str = r#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8}"#;

    #[test]
    fn active_parameters_are_those_that_are_published() {
        assert_eq!(PrefillCost::of(LLAMA_8B).unwrap().active_parameters(), 6_979_321_856);
        let mixtral =
            LLAMA_8B.replace(r#""llama""#, r#""mixtral", "num_local_experts": 8, "num_experts_per_tok": 2"#);
        let qwen3_30b = r#"{"model_type": "qwen3_moe", "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048,
            "intermediate_size": 6144, "mlp_only_layers": [], "moe_intermediate_size": 768,
            "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
            "num_key_value_heads": 4}"#;
        let gpt_oss = r#"{"model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880,
            "num_attention_heads": 64, "num_hidden_layers": 24, "num_key_value_heads": 8, "sliding_window": 128,
            "num_local_experts": 32, "num_experts_per_tok": 4, "experts_per_token": 4}"#;
        let deepseek = r#"{"model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168,
            "intermediate_size": 18432, "kv_lora_rank": 512, "moe_intermediate_size": 2048, "moe_layer_freq": 1,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_attention_heads": 128, "num_experts_per_tok": 8,
            "num_hidden_layers": 61, "num_key_value_heads": 128, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64, "v_head_dim": 128}"#;
        let gpt2 = r#"{"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_inner": null, "n_layer": 12}"#;
        for (config, rows, published) in [
            (LLAMA_8B, 2 * 128_256, 8.03),
            (&mixtral, 2 * 32_000, 12.9),
            (qwen3_30b, 2 * 151_936, 3.3),
            (gpt_oss, 201_088, 3.6),
            (deepseek, 2 * 129_280, 37.0),
            (gpt2, 50_257 + 1024, 0.124),
        ] {
            let billions = billions(config, rows);
            assert!((billions / published - 1.0).abs() < 0.025, "{billions} for {published}: {config}");
        }
    }

    #[test]
    fn a_token_attends_to_all_before_it_to_a_window_or_to_a_chunk() {
        let naive = |reach: Reach, tokens: u64| -> u64 {
            let seen = |at: u64| match reach {
                Reach::All => at + 1,
                Reach::Window(window) => (at + 1).min(window),
                Reach::Chunk(chunk) => at % chunk + 1,
            };
            (0..tokens).map(seen).sum()
        };
        for reach in [Reach::All, Reach::Window(1), Reach::Window(7), Reach::Chunk(5), Reach::Chunk(1)] {
            for tokens in 0..40 {
                assert_eq!(reach.pairs(tokens), u128::from(naive(reach, tokens)), "{reach:?} {tokens}");
            }
        }
    }

    #[test]
    fn attention_takes_four_for_each_head_width_layer_and_pair() {
        let cost = PrefillCost::of(LLAMA_8B).unwrap();
        let linear = 2 * 6_979_321_856_u128;
        assert_eq!(cost.flops(0), 0);
        assert_eq!(cost.flops(1000), 1000 * linear + 4 * 32 * 32 * 128 * (1000 * 1001 / 2));
        // Every second layer sees 128 tokens.
        let windows = r#"{"model_type": "gemma2", "head_dim": 128, "hidden_size": 64, "intermediate_size": 10,
            "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "sliding_window": 128}"#;
        let cost = PrefillCost::of(windows).unwrap();
        let linear = 2 * 2 * (64 * 4 * 256 + 64 * 2 * 256 + 3 * 64 * 10);
        let pairs = 500 * 501 / 2 + 128 * 129 / 2 + 372 * 128;
        assert_eq!(cost.flops(500), 500 * linear + 4 * 4 * 128 * pairs);
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (config, name) in [
            (LLAMA_8B.replace("\"llama\"", "\"qwen3_next\""), "qwen3_next"),
            (LLAMA_8B.replace("intermediate_size", "other"), "intermediate_size"),
            (LLAMA_8B.replace("\"model_type\": \"llama\",", "\"num_experts\": 8,"), "experts"),
            (LLAMA_8B.replace("14336", "18446744073709551615"), "64 bits"),
        ] {
            let message = PrefillCost::of(&config).unwrap_err().message;
            assert!(message.contains(name), "{message}");
        }
    }
}
