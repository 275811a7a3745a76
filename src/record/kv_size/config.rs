//! The fields of a `config.json`, and which of them have been understood.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// More layers than any model has: a larger number is a mistake, and would only cost time.
const MAX_LAYERS: u64 = 10_000;

/// What the names of fields contain that may say something about the KV cache.
const TELLING: [&str; 36] = [
    "attention_chunk",
    "attention_groups",
    "attention_other",
    "attention_type",
    "attn_idxs",
    "attn_layer",
    "attn_type",
    "block_configs",
    "block_types",
    "compress",
    "conv_",
    "cross_attention",
    "full_attention",
    "global_",
    "head_dim",
    "hybrid",
    "index_",
    "indexer",
    "is_encoder_decoder",
    "key_value",
    "kv_",
    "kda",
    "layer_types",
    "layers_block",
    "linear_",
    "local_att",
    "mamba",
    "pattern",
    "query_group",
    "recurrent",
    "sliding",
    "sparse_att",
    "ssm",
    "state_size",
    "swa_",
    "window",
];

/// Fields whose names contain one of these although they say nothing about the size.
const HARMLESS: [&str; 18] = [
    "activation_situ_linear_beta",
    "activation_sparsity_pattern",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "global_partial_rotary_factor",
    "index_n_heads",
    "index_share_for_mtp_iteration",
    "indexer_rope_interleave",
    "max_window_layers",
    "mla_scale_kv_lora",
    "mlp_layer_types",
    "mtp_hybrid_override_pattern",
    "mtp_layers_block_type",
    "qkv_bias",
    "swa_rope_theta",
    "use_conv_bias",
    "use_qkv_bias",
    "use_sliding_window",
];

/// An object of fields, which notes those that have been asked for.
pub(super) struct Config {
    fields: Map<String, Value>,
    understood: RefCell<BTreeSet<String>>,
}

impl Config {
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        match serde_json::from_str(&without_infinities(json)) {
            Ok(Value::Object(fields)) => Ok(Self::new(fields)),
            Ok(_) => Err("the model config is not a JSON object".into()),
            Err(e) => Err(format!("the model config is not JSON: {e}")),
        }
    }

    fn new(fields: Map<String, Value>) -> Self {
        Self { fields, understood: RefCell::default() }
    }

    /// The value of a field, unless it is `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        self.understood.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    /// The fields of an object inside.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.get(name)?.as_object().map(|fields| Self::new(fields.clone()))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let text = |value: &Value| Err(unexpected(name, value, "a text"));
        self.get(name).map_or(Ok(None), |value| value.as_str().map_or_else(|| text(value), |s| Ok(Some(s))))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// The number in the first of these fields that is there: newer names come before older ones.
    pub(super) fn number(&self, names: &[&str]) -> Result<Option<u64>, String> {
        let Some((name, value)) = names.iter().find_map(|name| Some((name, self.get(name)?))) else {
            return Ok(None);
        };
        value.as_u64().map(Some).ok_or_else(|| unexpected(name, value, "a number"))
    }

    pub(super) fn needed(&self, names: &[&str]) -> Result<u64, String> {
        self.number(names)?.ok_or_else(|| format!("the model config does not state {}", names[0]))
    }

    /// The texts of a list.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| unexpected(name, value, "a list of texts"))
    }

    /// The numbers of a list.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<u64>>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
        numbers.map(Some).ok_or_else(|| unexpected(name, value, "a list of numbers"))
    }

    /// The fields of the language model of a multi-modal one.
    pub(super) fn language_model(&self) -> Option<Self> {
        let nested = ["text_config", "llm_config", "language_config"];
        nested.iter().find_map(|name| self.object(name))
    }

    /// The `model_type` of a language model, else that of the model that it is part of.
    pub(super) fn model_type<'a>(&'a self, outer: &'a Self) -> Result<Option<&'a str>, String> {
        self.text("model_type")?.map_or_else(|| outer.text("model_type"), |name| Ok(Some(name)))
    }

    /// The number of layers.
    pub(super) fn layers(&self) -> Result<u64, String> {
        let layers = self.needed(&["num_hidden_layers", "n_layer", "num_layers", "n_layers"])?;
        match layers {
            0 => Err("num_hidden_layers is zero".into()),
            1..=MAX_LAYERS => Ok(layers),
            _ => Err(format!("{layers} layers are more than a model has")),
        }
    }

    /// The kinds of the layers, if they are listed: a list has to name each.
    pub(super) fn layer_types(&self) -> Result<Option<Vec<&str>>, String> {
        let Some(mut kinds) = self.texts("layer_types")? else { return Ok(None) };
        let layers = self.layers()? as usize;
        if kinds.len() < layers {
            return Err(format!("layer_types names {} of {layers} layers", kinds.len()));
        }
        kinds.truncate(layers);
        Ok(Some(kinds))
    }

    /// Takes fields as understood of which the engine makes nothing for this model.
    pub(super) fn ignore(&self, names: &[&str]) {
        self.understood.borrow_mut().extend(names.iter().map(|&name| name.to_owned()));
    }

    /// Refuses a field that nobody asked for although its name says that it may be about the cache.
    pub(super) fn refuse_the_rest(&self) -> Result<(), String> {
        let understood = self.understood.borrow();
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        };
        let is_telling = |name: &str| {
            TELLING.iter().any(|part| name.contains(part))
                && !HARMLESS.contains(&name)
                && !understood.contains(name)
        };
        match self.fields.iter().find(|(name, value)| is_telling(name) && !is_off(value)) {
            None => Ok(()),
            Some((name, _)) => Err(format!("{name} may change the KV cache in a way that is not known")),
        }
    }
}

/// The text with `null` for the numbers that only Python's JSON has, as in the `time_step_limit` of a Mamba.
fn without_infinities(json: &str) -> Cow<'_, str> {
    let numbers = ["-Infinity", "Infinity", "NaN"];
    if !numbers[1..].iter().any(|number| json.contains(number)) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len());
    // Every other piece between quotation marks, but for escaped ones, is a string.
    let mut is_string = false;
    for piece in json.split_inclusive('"') {
        if is_string {
            text.push_str(piece);
        } else {
            text.push_str(
                &numbers.iter().fold(piece.to_owned(), |piece, number| piece.replace(number, "null")),
            );
        }
        let escapes = piece.trim_end_matches('"').bytes().rev().take_while(|&byte| byte == b'\\').count();
        is_string = if is_string { escapes % 2 == 1 } else { piece.ends_with('"') };
    }
    text.into()
}

fn unexpected(name: &str, value: &Value, expected: &str) -> String {
    let shown: String = value.to_string().chars().take(40).collect();
    format!("the model config has an unexpected value: {name} is {shown}, not {expected}")
}
