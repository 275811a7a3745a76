//! From the `config.json` of a Hugging Face model to the memory that its KV cache takes.
//!
//! Every token leaves one key and one value per layer and KV head ("GQA", arXiv 2305.13245):
//!
//! ```text
//! 2 x num_hidden_layers x num_key_value_heads x head_dim x bytes of the cache's type
//! ```
//!
//! Multi-head latent attention caches one compressed vector and one rotary key per layer, shared by
//! all heads and by keys and values ("DeepSeek-V2", arXiv 2405.04434, table 1):
//!
//! ```text
//! num_hidden_layers x (kv_lora_rank + qk_rope_head_dim) x bytes of the cache's type
//! ```
//!
//! Other models have layers that keep a window of tokens or a state, and what a token takes depends on the
//! length of the prompt. Their size is the one that vLLM reserves. `family` knows the layers of each model,
//! `pages` how vLLM lays them out; what neither knows is refused by its name.
//!
//! The figure is that of the whole model, however many devices share it, without draft layers. What computing a
//! prompt takes is in `prefill`.

mod config;
mod dtype;
mod family;
mod layer;
mod pages;
mod prefill;
mod states;

pub use prefill::PrefillCost;

use serde_json::Value;

use crate::error::Invalid;

use config::Config;
use layer::Bytes;
use pages::Pages;

/// Bytes of a number where the config states no type: half precision, as models are served.
const DEFAULT_BYTES: u64 = 2;

/// The KV cache of a model.
pub struct KvSize {
    pages: Pages,
    /// Which layers do not keep every token, in words.
    others: Option<String>,
}

impl KvSize {
    /// That of the model that `config_json` describes.
    ///
    /// A cached number takes `number` bytes, where they are given: an engine may be told to use another type
    /// than the model's. Else the type is that of the cache where the config states one (`kv_cache_dtype`, or a
    /// `kv_cache_scheme` of the quantization), else the model's `dtype` or `torch_dtype`, else two bytes.
    /// Models in single precision are served in half of it.
    ///
    /// # Errors
    ///
    /// The text is no model config, a field is missing, or a part of it is not understood.
    pub fn of(config_json: &str, number: Option<u64>) -> Result<Self, Invalid> {
        let outer = Config::parse(config_json).map_err(Invalid::malformed)?;
        Self::of_config(&outer, number).map_err(|why| instead(&why))
    }

    fn of_config(outer: &Config, number: Option<u64>) -> Result<Self, String> {
        let nested = outer.language_model();
        let model = nested.as_ref().unwrap_or(outer);
        if outer.is_true("is_encoder_decoder") {
            return Err("is_encoder_decoder means layers that keep the tokens of an encoder".into());
        }
        let bytes = Bytes {
            cache: number.map_or_else(|| number_bytes(model, outer), Ok)?,
            model: model_bytes(model)?.or(model_bytes(outer)?).unwrap_or(DEFAULT_BYTES),
        };
        let layers = family::layers(model.model_type(outer)?, model, bytes)?;
        Ok(Self { pages: Pages::new(&layers)?, others: layer::others(&layers) })
    }

    /// Bytes that one token takes of a prompt of so many tokens, once it has been computed: what vLLM
    /// reserves for the prompt, divided by its length and rounded up. The length does not matter where every
    /// token takes the same.
    ///
    /// # Errors
    ///
    /// The length matters and is not given.
    pub fn bytes_per_token(&self, prompt: Option<u64>) -> Result<u64, Invalid> {
        match prompt {
            Some(0) => Err(Invalid::value("a prompt of no tokens takes no memory")),
            Some(tokens) => self.pages.bytes_per_token(tokens).map_err(Invalid::value),
            None if self.pages.is_constant() => self.pages.bytes_per_token(1).map_err(Invalid::value),
            None => Err(Invalid::value(format!(
                "the KV cache of this model has no single size per token: {}; give `prompt_length`, for prompts \
                 of that length, or `kv_bytes_per_token`",
                self.others.as_deref().unwrap_or("its layers differ")
            ))),
        }
    }

    /// Whether every token takes the same, whatever the length of the prompt.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.pages.is_constant()
    }

    /// Whether the layers form several groups, each with blocks of its own.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        self.pages.has_groups()
    }

    /// The tokens in whose multiples vLLM finds cached prefixes, where the layers of the model decide on
    /// it, and not the block size that the engine is told: with states as large as the keys and values of
    /// hundreds of tokens, or pages of several sizes.
    ///
    /// It is for kernels that take blocks of any multiple of 16 tokens, without speculative decoding.
    #[must_use]
    pub fn hit_unit(&self) -> Option<u64> {
        self.pages.hit_unit()
    }
}

/// Bytes of one cached number: what is said of the cache goes before what is said of the model, inner
/// before outer.
fn number_bytes(model: &Config, outer: &Config) -> Result<u64, String> {
    for bytes_of in [cache_bytes, model_bytes] {
        for config in [model, outer] {
            if let Some(bytes) = bytes_of(config)? {
                return Ok(bytes);
            }
        }
    }
    Ok(DEFAULT_BYTES)
}

/// Bytes of one cached number, if the config states them for the cache itself.
fn cache_bytes(config: &Config) -> Result<Option<u64>, String> {
    let quantization = config.object("quantization_config");
    if let Some(scheme) = quantization.as_ref().and_then(|quantization| quantization.get("kv_cache_scheme")) {
        return match scheme.get("num_bits").and_then(Value::as_u64) {
            Some(8) => Ok(Some(1)),
            Some(16) => Ok(Some(2)),
            _ => Err(format!("the kv_cache_scheme {scheme} is not known")),
        };
    }
    let algorithm = quantization.as_ref().map_or(Ok(None), |config| config.text("kv_cache_quant_algo"))?;
    dtype::first_type([config.text("kv_cache_dtype")?, algorithm])
}

/// Bytes of one number of the model as it is served, if the config states a type.
fn model_bytes(config: &Config) -> Result<Option<u64>, String> {
    let stated = dtype::first_type([config.text("dtype")?, config.text("torch_dtype")?])?;
    Ok(stated.map(|bytes| bytes.min(DEFAULT_BYTES)))
}

fn instead(why: &str) -> Invalid {
    Invalid::value(format!("{why}; give `kv_bytes_per_token` instead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv_bytes_per_token(config: &str) -> Result<u64, String> {
        KvSize::of(config, None).and_then(|size| size.bytes_per_token(None)).map_err(|error| error.message)
    }

    const LLAMA_8B: &str = r#"{"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16"}"#;
    const DEEPSEEK_V3: &str = r#"{"model_type": "deepseek_v3", "hidden_size": 7168, "kv_lora_rank": 512,
        "num_attention_heads": 128, "num_hidden_layers": 61, "num_key_value_heads": 128,
        "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "quantization_config": {"fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]},
        "torch_dtype": "bfloat16", "v_head_dim": 128}"#;

    /// The config of Llama 3.1 8B with more fields, which come last.
    fn llama_and(fields: &str) -> String {
        LLAMA_8B.replace(r#""torch_dtype": "bfloat16""#, fields)
    }

    #[track_caller]
    fn refused(config: &str, name: &str) {
        let message = kv_bytes_per_token(config).unwrap_err();
        assert!(message.contains(name), "{message}");
        assert!(message.ends_with("; give `kv_bytes_per_token` instead"), "{message}");
    }

    /// Bytes per token in prompts of so many tokens, of a model that has none without a length.
    #[track_caller]
    fn in_prompts(config: &str, lengths: [u64; 3]) -> [u64; 3] {
        let size = KvSize::of(config, None).unwrap();
        let message = size.bytes_per_token(None).unwrap_err().message;
        assert!(message.contains("no single size per token"), "{message}");
        assert!(message.contains("`prompt_length`"), "{message}");
        lengths.map(|tokens| size.bytes_per_token(Some(tokens)).unwrap())
    }

    /// Of a list of layers in which every so manieth is `full`.
    fn kinds(layers: usize, every: usize, full: &str, others: &str) -> String {
        let kind = |at: usize| if at.is_multiple_of(every) { full } else { others };
        format!("{:?}", (1..=layers).map(kind).collect::<Vec<_>>())
    }

    #[test]
    fn grouped_query_attention_counts_the_key_value_heads() {
        assert_eq!(kv_bytes_per_token(LLAMA_8B), Ok(2 * 32 * 8 * 128 * 2));
        let llama_70b = r#"{"model_type": "llama", "hidden_size": 8192, "num_attention_heads": 64,
            "num_hidden_layers": 80, "num_key_value_heads": 8, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(llama_70b), Ok(327_680));
    }

    #[test]
    fn a_stated_head_dim_wins_over_the_hidden_size() {
        // Qwen3 0.6B: 16 heads of 128 in a hidden size of 1024. Qwen3 8B: both ways say 128.
        let small = r#"{"head_dim": 128, "hidden_size": 1024, "num_attention_heads": 16,
            "num_hidden_layers": 28, "num_key_value_heads": 8, "sliding_window": null,
            "use_sliding_window": false, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(small), Ok(114_688));
        let qwen3_8b = r#"{"head_dim": 128, "hidden_size": 4096, "max_window_layers": 36,
            "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
            "sliding_window": null, "use_sliding_window": false, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(qwen3_8b), Ok(147_456));
    }

    #[test]
    fn latent_attention_caches_one_vector_per_layer() {
        assert_eq!(kv_bytes_per_token(DEEPSEEK_V3), Ok(61 * 576 * 2));
        let no_rope = DEEPSEEK_V3.replace("qk_rope_head_dim", "other");
        refused(&no_rope, "qk_rope_head_dim");
    }

    #[test]
    fn a_window_that_is_not_in_use_does_no_harm() {
        // Qwen2.5 7B.
        let qwen = r#"{"model_type": "qwen2", "hidden_size": 3584, "max_position_embeddings": 32768,
            "max_window_layers": 28, "num_attention_heads": 28, "num_hidden_layers": 28,
            "num_key_value_heads": 4, "sliding_window": 16384, "torch_dtype": "bfloat16",
            "use_sliding_window": false}"#;
        assert_eq!(kv_bytes_per_token(qwen), Ok(57_344));
        let used = qwen.replace("false", "true");
        assert_eq!(kv_bytes_per_token(&used), Ok(57_344), "max_window_layers leaves none");
        refused(&used.replace("window_layers\": 28", "window_layers\": 21"), "max_window_layers");
        in_prompts(&used.replace("window_layers\": 28", "window_layers\": 0"), [1; 3]);
        for fields in [
            r#""sliding_window": null"#,
            r#""sliding_window": 262144"#,
            &format!(r#""sliding_window": 4096, "layer_types": {}"#, kinds(32, 1, "full_attention", "")),
        ] {
            assert_eq!(kv_bytes_per_token(&llama_and(fields)), Ok(131_072), "{fields}");
        }
    }

    #[test]
    fn mistral_has_a_window_in_its_first_version_only() {
        let first = r#"{"model_type": "mistral", "hidden_size": 4096, "max_position_embeddings": 32768,
            "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
            "sliding_window": 4096, "torch_dtype": "bfloat16"}"#;
        // vLLM's cache manager says so, too.
        assert_eq!(in_prompts(first, [1000, 8192, 50_000]), [132_121, 65_536, 10_738]);
        let message = kv_bytes_per_token(first).unwrap_err();
        assert!(message.contains("32 of its 32 layers keep only the last 4096 tokens"), "{message}");
        // Without a model_type, it may be any of the layers that forget.
        refused(&first.replace(r#""model_type": "mistral","#, ""), "the last 4096 tokens");
        let third = first.replace(r#""sliding_window": 4096"#, r#""sliding_window": null"#);
        assert_eq!(kv_bytes_per_token(&third), Ok(131_072));
    }

    #[test]
    fn windows_hold_what_the_next_token_sees() {
        // All figures here are those of vLLM's cache manager. gpt-oss 20B.
        let gpt_oss = format!(
            r#"{{"model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880, "layer_types": {},
            "num_attention_heads": 64, "num_hidden_layers": 24, "num_key_value_heads": 8,
            "initial_context_length": 4096, "sliding_window": 128}}"#,
            kinds(24, 2, "full_attention", "sliding_attention")
        );
        assert_eq!(in_prompts(&gpt_oss, [100, 1000, 8192]), [55_051, 28_312, 24_960]);
        let message = kv_bytes_per_token(&gpt_oss).unwrap_err();
        assert!(message.contains("12 of its 24 layers keep only the last 128 tokens"), "{message}");
        assert_eq!(KvSize::of(&gpt_oss, None).unwrap().hit_unit(), None);
        // Gemma 3 with one full layer in six; the list goes before the pattern.
        let gemma3 = r#"{"model_type": "gemma3", "text_config": {"head_dim": 256, "hidden_size": 2304,
            "model_type": "gemma3_text", "num_attention_heads": 8, "num_hidden_layers": 26,
            "num_key_value_heads": 4, "sliding_window": 4096, "sliding_window_pattern": 6},
            "torch_dtype": "bfloat16"}"#;
        assert_eq!(in_prompts(gemma3, [1000, 8192, 50_000]), [115_606, 65_536, 24_438]);
        refused(&gemma3.replace("sliding_window\"", "other_window\""), "sliding_window");
    }

    #[test]
    fn pages_of_two_sizes_become_one() {
        // Gemma 4 26B: full layers have two heads of 512, the others eight of 256. A block of the full ones
        // takes 32 tokens, so cached prefixes end there.
        let gemma4 = format!(
            r#"{{"model_type": "gemma4_text", "attention_k_eq_v": true, "dtype": "bfloat16",
            "global_head_dim": 512, "head_dim": 256, "hidden_size": 2816, "layer_types": {},
            "num_attention_heads": 16, "num_global_key_value_heads": 2, "num_hidden_layers": 30,
            "num_key_value_heads": 8, "num_kv_shared_layers": 0, "sliding_window": 1024}}"#,
            kinds(30, 6, "full_attention", "sliding_attention")
        );
        assert_eq!(in_prompts(&gemma4, [1000, 8192, 50_000]), [227_410, 46_080, 24_681]);
        assert_eq!(KvSize::of(&gemma4, None).unwrap().hit_unit(), Some(32));
        // Layers that share the cache of others have none; a third of the layers is full.
        let shared = gemma4.replace("num_kv_shared_layers\": 0", "num_kv_shared_layers\": 6");
        assert!(in_prompts(&shared, [8192; 3])[0] < 46_080);
        refused(
            &gemma4.replace("num_kv_shared_layers\": 0", "num_kv_shared_layers\": 30"),
            "num_kv_shared_layers",
        );
    }

    #[test]
    fn states_decide_on_the_blocks_of_attention() {
        let qwen = format!(
            r#"{{"model_type": "qwen3_5_moe_text", "dtype": "bfloat16", "full_attention_interval": 4,
            "head_dim": 256, "hidden_size": 2048, "layer_types": {}, "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
            "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32", "num_attention_heads": 16,
            "num_hidden_layers": 40, "num_key_value_heads": 2}}"#,
            kinds(40, 4, "full_attention", "linear_attention")
        );
        assert_eq!(in_prompts(&qwen, [100, 8192, 50_000]), [865_076, 29_040, 22_060]);
        assert_eq!(KvSize::of(&qwen, None).unwrap().hit_unit(), Some(1056));
        // Without a list, the interval decides.
        let interval = qwen.replace("layer_types", "other_types_of_layers");
        assert_eq!(in_prompts(&interval, [100, 8192, 50_000]), [865_076, 29_040, 22_060]);
        // Nemotron 3 Nano: layers without attention or a state take nothing.
        let nemotron = r#"{"model_type": "nemotron_h", "conv_kernel": 4, "expand": 2, "head_dim": 128,
            "hidden_size": 2688,
            "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
            "mamba_head_dim": 64, "mamba_num_heads": 64, "mamba_proj_bias": false,
            "mamba_ssm_cache_dtype": "float32", "n_groups": 8, "num_attention_heads": 32,
            "num_hidden_layers": 52, "num_key_value_heads": 2, "sliding_window": null, "ssm_state_size": 128,
            "time_step_limit": [0.0, Infinity], "torch_dtype": "bfloat16", "use_conv_bias": true}"#;
        assert_eq!(in_prompts(nemotron, [100, 1000, 8192]), [643_892, 64_390, 12_576]);
        assert_eq!(KvSize::of(nemotron, None).unwrap().hit_unit(), Some(2096));
        refused(&nemotron.replace("MEMEM", "MEMEX"), "layers of X");
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let jamba = |state: u64, hidden: u64| {
            format!(
                r#"{{"model_type": "jamba", "attn_layer_offset": 1, "attn_layer_period": 2, "hidden_size": {hidden},
                "mamba_d_conv": 4, "mamba_d_state": {state}, "mamba_expand": 2, "num_attention_heads": 1,
                "num_hidden_layers": 4, "num_key_value_heads": 1}}"#
            )
        };
        // Blocks of more tokens than a prompt has.
        assert_eq!(KvSize::of(&jamba(1 << 40, 1), None).unwrap().hit_unit(), Some((1 << 40) + 16));
        for (state, hidden) in [(1 << 62, 1), (u64::MAX, 1), (u64::MAX, u64::MAX), (16, u64::MAX)] {
            let size = KvSize::of(&jamba(state, hidden), None);
            let bytes = size.and_then(|size| size.bytes_per_token(Some(1)));
            assert!(bytes.is_err(), "{state} {hidden}: {bytes:?}");
        }
    }

    #[test]
    fn short_convolutions_take_next_to_nothing() {
        let lfm2 = r#"{"model_type": "lfm2", "num_hidden_layers": 16, "full_attn_idxs": [2, 5, 8, 10, 12, 14],
            "conv_L_cache": 3, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 2048,
            "torch_dtype": "bfloat16"}"#;
        // Two groups of five convolutions and one of six layers of attention, in blocks of six pages.
        let [at_8192, at_64k, _] = in_prompts(lfm2, [8192, 65_536, 65_536]);
        assert!((12_288..12_500).contains(&at_8192), "{at_8192}");
        assert!((12_288..12_320).contains(&at_64k), "{at_64k}");
        // Without a name of the model, what these fields mean is a guess.
        refused(&lfm2.replace(r#""model_type": "lfm2","#, ""), "conv_L_cache");
    }

    #[test]
    fn keys_and_values_may_differ_in_width() {
        let config = r#"{"num_hidden_layers": 40, "head_dim": 192, "v_head_dim": 128, "num_attention_heads": 32,
            "num_key_value_heads": 8, "hidden_size": 4096, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(config), Ok(40 * 8 * (192 + 128) * 2));
    }

    #[test]
    fn an_index_beside_compressed_vectors_counts_where_it_is_built() {
        let v32 = DEEPSEEK_V3.replace("deepseek_v3", "deepseek_v32").replace(
            "q_lora_rank\": 1536",
            "index_topk\": 2048, \"index_head_dim\": 128, \"index_n_heads\": 64",
        );
        assert_eq!(kv_bytes_per_token(&v32), Ok(61 * (576 * 2 + 128 + 4)));
        let every_fourth = v32.replace("index_topk\"", "index_topk_freq\": 4, \"index_topk\"");
        assert_eq!(kv_bytes_per_token(&every_fourth), Ok(61 * 576 * 2 + 16 * 132));
        // A cache of eight bits has scales in it, in a layout of the engine's choice.
        assert!(KvSize::of(&v32, Some(1)).is_err());
    }

    #[test]
    fn chunks_hold_what_the_next_token_sees() {
        // Llama 4 Scout: all but every fourth layer.
        let llama4 = r#"{"model_type": "llama4", "text_config": {"attention_chunk_size": 8192, "head_dim": 128,
            "hidden_size": 5120, "model_type": "llama4_text", "num_attention_heads": 40,
            "num_hidden_layers": 48, "num_key_value_heads": 8, "torch_dtype": "bfloat16"}}"#;
        assert_eq!(in_prompts(llama4, [1000, 8192, 50_000]), [198_181, 49_152, 51_653]);
        let listed = llama4.replace("head_dim", r#"no_rope_layers": [1, 0], "head_dim"#);
        refused(&listed, "no_rope_layers names 2 of 48 layers");
    }

    #[test]
    fn models_whose_layers_differ_are_refused_by_the_field_that_says_so() {
        for (fields, name) in [
            (r#""full_attention_interval": 4"#, "full_attention_interval"),
            (r#""attn_layer_indices": [9, 18, 27]"#, "attn_layer_indices"),
            (r#""hybrid_override_pattern": "M-M*-""#, "hybrid_override_pattern"),
            (r#""attn_type_list": [0, 0, 1]"#, "attn_type_list"),
            (r#""num_key_value_heads_per_layer": [8, 4]"#, "num_key_value_heads_per_layer"),
            (r#""attention_chunk_size": 8192"#, "attention_chunk_size"),
            (r#""num_kv_shared_layers": 15"#, "num_kv_shared_layers"),
            (r#""compress_ratios": [4, 128]"#, "compress_ratios"),
            (r#""qk_nope_head_dim": 64, "qk_rope_head_dim": 32"#, "qk_nope_head_dim"),
            (r#""layer_types": ["full_attention", "sliding_attention"]"#, "2 of 32 layers"),
            (r#""is_encoder_decoder": true"#, "is_encoder_decoder"),
        ] {
            refused(&llama_and(fields), name);
        }
        let linear = format!(r#""layer_types": {}"#, kinds(32, 4, "full_attention", "linear_attention"));
        refused(&llama_and(&linear), "linear_attention");
        refused(&LLAMA_8B.replace("llama", "mamba2"), "mamba2");
        refused(&LLAMA_8B.replace("llama", "llama_of_tomorrow"), "llama_of_tomorrow");
        refused(&DEEPSEEK_V3.replace("q_lora_rank", "index_topk"), "index_topk");
        let uniform = llama_and(r#""attn_type_list": [], "num_kv_shared_layers": 0, "block_configs": null"#);
        assert_eq!(kv_bytes_per_token(&uniform), Ok(131_072));
    }

    #[test]
    fn the_older_names_of_the_fields_are_known() {
        // GPT-2 states no type: two bytes.
        let gpt2 = r#"{"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12}"#;
        assert_eq!(kv_bytes_per_token(gpt2), Ok(36_864));
        let falcon_7b = r#"{"model_type": "falcon", "hidden_size": 4544, "multi_query": true,
            "new_decoder_architecture": false, "num_attention_heads": 71, "num_hidden_layers": 32,
            "num_kv_heads": 71, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(falcon_7b), Ok(2 * 32 * 64 * 2));
        let falcon_40b = r#"{"model_type": "falcon", "hidden_size": 8192, "multi_query": true,
            "new_decoder_architecture": true, "num_attention_heads": 128, "num_hidden_layers": 60,
            "num_kv_heads": 8, "torch_dtype": "bfloat16"}"#;
        assert_eq!(kv_bytes_per_token(falcon_40b), Ok(2 * 60 * 8 * 64 * 2));
    }

    #[test]
    fn the_type_of_the_cache_sets_the_bytes() {
        for (fields, bytes) in [
            (r#""torch_dtype": "float32""#, 2),
            (r#""dtype": "float16""#, 2),
            (r#""dtype": "float8_e4m3fn", "torch_dtype": "float32""#, 1),
            (r#""torch_dtype": "bfloat16", "kv_cache_dtype": "fp8""#, 1),
            (r#""torch_dtype": "bfloat16", "kv_cache_dtype": "float32""#, 4),
            (r#""torch_dtype": "float32", "kv_cache_dtype": "auto""#, 2),
            (r#""quantization_config": {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}"#, 1),
            (r#""quantization_config": {"kv_cache_scheme": null}, "dtype": "float16""#, 2),
            (r#""quantization_config": {"kv_cache_quant_algo": "FP8"}, "dtype": "bfloat16""#, 1),
        ] {
            assert_eq!(kv_bytes_per_token(&llama_and(fields)), Ok(65_536 * bytes), "{fields}");
        }
        refused(&llama_and(r#""dtype": "int3""#), "int3");
        refused(&llama_and(r#""quantization_config": {"kv_cache_scheme": {"num_bits": 4}}"#), "num_bits");
    }

    #[test]
    fn a_nested_language_model_takes_its_type_from_outside_if_it_has_none() {
        let text = LLAMA_8B.replace("bfloat16", "auto");
        let nested =
            format!(r#"{{"text_config": {text}, "vision_config": {{}}, "torch_dtype": "float8_e5m2"}}"#);
        assert_eq!(kv_bytes_per_token(&nested), Ok(65_536));
        let cache = r#""quantization_config": {"kv_cache_scheme": {"num_bits": 8}}"#;
        assert_eq!(kv_bytes_per_token(&format!(r#"{{"text_config": {LLAMA_8B}, {cache}}}"#)), Ok(65_536));
        let nested = format!(r#"{{"llm_config": {LLAMA_8B}, "torch_dtype": "float32"}}"#);
        assert_eq!(kv_bytes_per_token(&nested), Ok(131_072));
    }

    #[test]
    fn missing_fields_are_named() {
        refused("{}", "num_hidden_layers");
        refused(&LLAMA_8B.replace("hidden_size", "other"), "hidden_size");
        refused(&LLAMA_8B.replace("num_attention_heads", "other"), "num_attention_heads");
        let no_groups = LLAMA_8B.replace("num_key_value_heads", "other");
        assert_eq!(kv_bytes_per_token(&no_groups), Ok(524_288));
    }

    #[test]
    fn what_is_no_model_config_is_said_to_be_none() {
        for (text, expected) in [
            ("", "is not JSON"),
            ("[32, 8]", "not a JSON object"),
            ("{\"num_hidden_layers\": ", "is not JSON"),
            ("{\"num_hidden_layers\": \"many\"}", "unexpected value"),
            ("{\"num_hidden_layers\": \"many\"}", "num_hidden_layers is \"many\", not a number"),
            (&LLAMA_8B.replace("4096", "4095"), "no multiple of 32 heads"),
            (&LLAMA_8B.replace(r#"layers": 32"#, r#"layers": 0"#), "zero"),
            (&LLAMA_8B.replace("4096", "18446744073709551584"), "more than 64 bits"),
        ] {
            let message = kv_bytes_per_token(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
