//! From the `config.json` of a Hugging Face model to the bytes its KV cache needs per token.
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
//! The figure is that of the whole model, however many devices share it, without draft layers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Invalid, InvalidKind};

/// Bytes of one cached number where the config states no type: half precision, as models are served.
const DEFAULT_BYTES: u64 = 2;

/// Beginnings of the `model_type`s that keep a recurrent state instead of, or beside, a KV cache.
const RECURRENT_MODELS: [&str; 10] = [
    "bamba",
    "falcon_h1",
    "falcon_mamba",
    "jamba",
    "mamba",
    "nemotron_h",
    "plamo2",
    "recurrent_gemma",
    "rwkv",
    "zamba",
];

/// Fields that tell by being there, whatever their value, that layers differ, and how.
const MARKERS: [(&str, &str); 11] = [
    ("attention_chunk_size", "layers that attend within chunks only"),
    ("attn_layer_indices", "layers without attention"),
    ("attn_layer_period", "layers without attention"),
    ("block_configs", "layers that are not alike"),
    ("cross_attention_layers", "layers that do not cache text"),
    ("full_attention_interval", "layers of linear attention"),
    ("hybrid_override_pattern", "layers without attention"),
    ("index_topk", "an index beside the cache, whose size the engine chooses"),
    ("layers_block_type", "layers without attention"),
    ("linear_attn_config", "layers of linear attention"),
    ("num_key_value_heads_per_layer", "layers that are not alike"),
];

/// The part of a `config.json` that decides on the KV cache, older names included.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    model_type: Option<String>,
    // Multi-modal models keep the language model's own config in one of these.
    text_config: Option<Box<Config>>,
    llm_config: Option<Box<Config>>,
    language_config: Option<Box<Config>>,
    // Layers, heads and widths.
    num_hidden_layers: Option<u64>,
    n_layer: Option<u64>,
    num_attention_heads: Option<u64>,
    n_head: Option<u64>,
    num_key_value_heads: Option<u64>,
    num_kv_heads: Option<u64>,
    n_head_kv: Option<u64>,
    multi_query: Option<bool>,
    new_decoder_architecture: Option<bool>,
    head_dim: Option<u64>,
    hidden_size: Option<u64>,
    n_embd: Option<u64>,
    kv_lora_rank: Option<u64>,
    qk_rope_head_dim: Option<u64>,
    // The type of the cache.
    dtype: Option<String>,
    torch_dtype: Option<String>,
    kv_cache_dtype: Option<String>,
    quantization_config: Option<Quantization>,
    // Layers that do not keep every token, or do not all keep the same.
    sliding_window: Option<u64>,
    use_sliding_window: Option<bool>,
    max_position_embeddings: Option<u64>,
    layer_types: Option<Vec<String>>,
    attn_type_list: Option<Vec<u64>>,
    num_kv_shared_layers: Option<u64>,
    /// All other fields.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Quantization {
    kv_cache_scheme: Option<Value>,
    kv_cache_quant_algo: Option<String>,
}

/// Bytes of KV cache that one token takes in the model that `config_json` describes.
///
/// The bytes of a cached number are `number`, where it is given: an engine may be told to use another type
/// than the model's. Else the type is that of the cache where the config states one (`kv_cache_dtype`, or a
/// `kv_cache_scheme` of the quantization), else the model's `dtype` or `torch_dtype`, else two bytes.
///
/// # Errors
///
/// The text is no model config, a field is missing, or the model has layers whose share per token
/// is not constant (sliding windows, linear attention and the like).
pub fn kv_bytes_per_token(config_json: &str, number: Option<u64>) -> Result<u64, Invalid> {
    // A JSON array would do for a struct as far as serde is concerned.
    if !config_json.trim_start().starts_with('{') {
        return Err(Invalid::malformed("the model config is not a JSON object"));
    }
    let outer: Config = serde_json::from_str(config_json).map_err(|e| {
        let what = if e.is_data() { "has an unexpected value" } else { "is not JSON" };
        Invalid::malformed(format!("the model config {what}: {e}"))
    })?;
    let nested = [&outer.text_config, &outer.llm_config, &outer.language_config];
    let model = nested.into_iter().flatten().next().map_or(&outer, |inner| &**inner);

    if let Some(why) = model.varying_layers() {
        return Err(instead(&format!("the KV cache of this model has no single size per token: {why}")));
    }
    // What is said of the cache goes before what is said of the model, inner before outer.
    let mut stated = number;
    for bytes_of in [Config::cache_bytes, Config::model_bytes] {
        for config in [model, &outer] {
            if stated.is_none() {
                stated = bytes_of(config)?;
            }
        }
    }
    let bytes = stated.unwrap_or(DEFAULT_BYTES);
    let layers = required(model.num_hidden_layers.or(model.n_layer), "num_hidden_layers")?;
    let factors = match model.kv_lora_rank {
        Some(rank) if rank > 0 => {
            let rope = required(model.qk_rope_head_dim, "qk_rope_head_dim")?;
            [bytes, 1, 1, rank.saturating_add(rope)]
        }
        _ => [bytes, 2, model.kv_heads()?, model.head_dim()?],
    };
    let product = factors.into_iter().try_fold(layers, u64::checked_mul);
    product.filter(|&bytes| bytes > 0).ok_or_else(|| {
        Invalid::value(
            "the layers, heads and widths of the model config multiply to zero or to more than 64 bits",
        )
    })
}

impl Config {
    /// Why the bytes per token are not the same for every token, where they are not.
    fn varying_layers(&self) -> Option<String> {
        let recurrent = |name: &&String| RECURRENT_MODELS.iter().any(|model| name.starts_with(model));
        if let Some(name) = self.model_type.as_ref().filter(recurrent) {
            return Some(format!("model_type {name} has layers with a recurrent state"));
        }
        if let Some((name, meaning)) = MARKERS.iter().find(|(name, _)| self.has(name)) {
            return Some(format!("{name} means {meaning}"));
        }
        if self.attn_type_list.iter().flatten().any(|&kind| kind == 0) {
            return Some("attn_type_list has layers of linear attention".into());
        }
        if self.num_kv_shared_layers.is_some_and(|layers| layers > 0) {
            return Some("num_kv_shared_layers means layers without a cache of their own".into());
        }
        // A list of the layers decides; what is said of windows then only explains it.
        if let Some(types) = &self.layer_types {
            let other = types.iter().find(|kind| !matches!(kind.as_str(), "full_attention" | "attention"));
            return other.map(|kind| format!("layer_types has layers of {kind}"));
        }
        self.sliding_layers()
    }

    /// Whether there is a further field of this name, and not `null`.
    fn has(&self, name: &str) -> bool {
        self.rest.get(name).is_some_and(|value| !value.is_null())
    }

    /// Why layers forget the tokens that leave a window, where there is one in use.
    fn sliding_layers(&self) -> Option<String> {
        if self.use_sliding_window == Some(false) {
            return None;
        }
        if self.has("sliding_window_pattern") {
            return Some("sliding_window_pattern means layers that forget all but a window".into());
        }
        // No token ever leaves a window that is as long as the context.
        let context = self.max_position_embeddings.unwrap_or(u64::MAX);
        let window = self.sliding_window.filter(|&window| window < context)?;
        Some(format!("sliding_window means layers that forget all but the last {window} tokens"))
    }

    /// Bytes of one cached number, if the config states them for the cache itself.
    fn cache_bytes(&self) -> Result<Option<u64>, Invalid> {
        let quantization = self.quantization_config.as_ref();
        if let Some(scheme) = quantization.and_then(|q| q.kv_cache_scheme.as_ref()) {
            return match scheme.get("num_bits").and_then(Value::as_u64) {
                Some(8) => Ok(Some(1)),
                Some(16) => Ok(Some(2)),
                _ => Err(instead(&format!("the kv_cache_scheme {scheme} is not known"))),
            };
        }
        let algorithm = quantization.and_then(|q| q.kv_cache_quant_algo.as_ref());
        first_type([self.kv_cache_dtype.as_ref(), algorithm])
    }

    /// Bytes of one number of the model, if the config states a type.
    fn model_bytes(&self) -> Result<Option<u64>, Invalid> {
        first_type([self.dtype.as_ref(), self.torch_dtype.as_ref()])
    }

    /// KV heads of a layer: one per attention head unless the config states fewer.
    fn kv_heads(&self) -> Result<u64, Invalid> {
        // The first Falcon models state as many KV heads as heads although they share a single one.
        if self.multi_query == Some(true) && self.new_decoder_architecture != Some(true) {
            return Ok(1);
        }
        self.num_key_value_heads.or(self.num_kv_heads).or(self.n_head_kv).map_or_else(|| self.heads(), Ok)
    }

    fn heads(&self) -> Result<u64, Invalid> {
        required(self.num_attention_heads.or(self.n_head), "num_attention_heads")
    }

    /// Width of a head: an equal part of the hidden size unless the config states it.
    fn head_dim(&self) -> Result<u64, Invalid> {
        if let Some(width) = self.head_dim {
            return Ok(width);
        }
        let hidden = required(self.hidden_size.or(self.n_embd), "hidden_size")?;
        let heads = self.heads()?;
        hidden.checked_div(heads).filter(|width| width * heads == hidden).ok_or_else(|| {
            Invalid::value(format!(
                "the model config has no head_dim, and hidden_size {hidden} is no multiple of {heads} heads"
            ))
        })
    }
}

/// Bytes of the first type that is stated; "auto" states none.
fn first_type(names: [Option<&String>; 2]) -> Result<Option<u64>, Invalid> {
    let name = names.into_iter().flatten().find(|name| *name != "auto");
    name.map(|name| bytes_of(name)).transpose()
}

fn bytes_of(dtype: &str) -> Result<u64, Invalid> {
    let name = dtype.to_ascii_lowercase();
    match name.strip_prefix("torch.").unwrap_or(&name) {
        "float32" | "float" => Ok(4),
        "float16" | "bfloat16" | "half" => Ok(2),
        "fp8" | "fp8_e4m3" | "fp8_e5m2" | "int8" => Ok(1),
        name if name.starts_with("float8_") => Ok(1),
        _ => Err(instead(&format!("the type {dtype} of the model config is not known"))),
    }
}

fn required(field: Option<u64>, name: &str) -> Result<u64, Invalid> {
    field.ok_or_else(|| Invalid {
        kind: InvalidKind::MissingField,
        ..instead(&format!("the model config does not state {name}"))
    })
}

fn instead(why: &str) -> Invalid {
    Invalid::value(format!("{why}; give `kv_bytes_per_token` instead"))
}

#[cfg(test)]
mod tests {
    use super::Invalid;

    fn kv_bytes_per_token(config: &str) -> Result<u64, Invalid> {
        super::kv_bytes_per_token(config, None)
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
        let message = kv_bytes_per_token(config).unwrap_err().message;
        assert!(message.contains(name), "{message}");
        assert!(message.ends_with("; give `kv_bytes_per_token` instead"), "{message}");
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
        refused(&qwen.replace("false", "true"), "sliding_window");
        for fields in [
            r#""sliding_window": null"#,
            r#""sliding_window": 262144"#,
            r#""sliding_window": 4096, "layer_types": ["full_attention", "full_attention"]"#,
        ] {
            assert_eq!(kv_bytes_per_token(&llama_and(fields)), Ok(131_072), "{fields}");
        }
    }

    #[test]
    fn mistral_has_a_window_in_its_first_version_only() {
        let first = r#"{"model_type": "mistral", "hidden_size": 4096, "max_position_embeddings": 32768,
            "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
            "sliding_window": 4096, "torch_dtype": "bfloat16"}"#;
        refused(first, "the last 4096 tokens");
        let third = first.replace(r#""sliding_window": 4096"#, r#""sliding_window": null"#);
        assert_eq!(kv_bytes_per_token(&third), Ok(131_072));
    }

    #[test]
    fn models_with_sliding_layers_are_refused() {
        let gpt_oss = r#"{"model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880,
            "layer_types": ["sliding_attention", "full_attention"], "num_attention_heads": 64,
            "num_hidden_layers": 24, "num_key_value_heads": 8, "sliding_window": 128}"#;
        refused(gpt_oss, "sliding_attention");
        let gemma3_4b = r#"{"model_type": "gemma3", "text_config": {"hidden_size": 2560,
            "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024},
            "torch_dtype": "bfloat16"}"#;
        refused(gemma3_4b, "sliding_window");
        refused(&gemma3_4b.replace("sliding_window", "sliding_window_pattern"), "sliding_window_pattern");
    }

    #[test]
    fn models_whose_layers_differ_are_refused_by_the_field_that_says_so() {
        for (fields, name) in [
            (r#""full_attention_interval": 4"#, "full_attention_interval"),
            (r#""attn_layer_indices": [9, 18, 27]"#, "attn_layer_indices"),
            (r#""hybrid_override_pattern": "M-M*-""#, "hybrid_override_pattern"),
            (r#""layer_types": ["linear_attention", "full_attention"]"#, "linear_attention"),
            (r#""attn_type_list": [0, 0, 1]"#, "attn_type_list"),
            (r#""num_key_value_heads_per_layer": [8, 4]"#, "num_key_value_heads_per_layer"),
            (r#""attention_chunk_size": 8192"#, "attention_chunk_size"),
            (r#""num_kv_shared_layers": 15"#, "num_kv_shared_layers"),
        ] {
            refused(&llama_and(fields), name);
        }
        refused(&LLAMA_8B.replace("llama", "jamba"), "jamba");
        refused(&LLAMA_8B.replace("llama", "mamba2"), "mamba2");
        refused(&DEEPSEEK_V3.replace("q_lora_rank", "index_topk"), "index_topk");
        let uniform =
            llama_and(r#""attn_type_list": [1, 1], "num_kv_shared_layers": 0, "block_configs": null"#);
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
            (r#""torch_dtype": "float32""#, 4),
            (r#""dtype": "float16""#, 2),
            (r#""dtype": "float8_e4m3fn", "torch_dtype": "float32""#, 1),
            (r#""torch_dtype": "bfloat16", "kv_cache_dtype": "fp8""#, 1),
            (r#""torch_dtype": "float32", "kv_cache_dtype": "auto""#, 4),
            (r#""quantization_config": {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}"#, 1),
            (r#""quantization_config": {"kv_cache_scheme": null}, "dtype": "float32""#, 4),
            (r#""quantization_config": {"kv_cache_quant_algo": "FP8"}, "dtype": "bfloat16""#, 1),
        ] {
            assert_eq!(kv_bytes_per_token(&llama_and(fields)), Ok(65_536 * bytes), "{fields}");
        }
        assert_eq!(super::kv_bytes_per_token(LLAMA_8B, Some(1)), Ok(65_536), "what the engine is told");
        refused(&llama_and(r#""dtype": "int3""#), "int3");
        refused(&llama_and(r#""quantization_config": {"kv_cache_scheme": {"num_bits": 4}}"#), "num_bits");
    }

    #[test]
    fn a_nested_language_model_takes_its_type_from_outside_if_it_has_none() {
        let text = LLAMA_8B.replace("bfloat16", "auto");
        let nested = format!(r#"{{"text_config": {text}, "vision_config": {{}}, "torch_dtype": "float32"}}"#);
        assert_eq!(kv_bytes_per_token(&nested), Ok(262_144));
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
            ("", "not a JSON object"),
            ("[32, 8]", "not a JSON object"),
            ("{\"num_hidden_layers\": ", "is not JSON"),
            ("{\"num_hidden_layers\": \"many\"}", "unexpected value"),
            ("{\"num_hidden_layers\": \"many\"}", "expected u64 at line 1 column 28"),
            (&LLAMA_8B.replace("4096", "4095"), "no multiple of 32 heads"),
            (&LLAMA_8B.replace(r#"layers": 32"#, r#"layers": 0"#), "zero"),
            (&LLAMA_8B.replace("4096", "18446744073709551584"), "more than 64 bits"),
        ] {
            let message = kv_bytes_per_token(text).unwrap_err().message;
            assert!(message.contains(expected), "{message}");
        }
    }
}
