//! What one layer of a model keeps.

use super::config::Config;

/// Bytes of the numbers that an engine keeps.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    /// Of a key or value.
    pub cache: u64,
    /// Of the model's activations, in which states are kept.
    pub model: u64,
}

/// Keys and values of one token in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub heads: u64,
    /// Width of a key, and of a value.
    pub key: u64,
    pub value: u64,
    /// Bytes of a number.
    pub number: u64,
}

/// What one layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// Keys and values of every token.
    Full(Shape),
    /// A vector of so many bytes for every token.
    Vector(u64),
    /// Keys and values of the tokens of the window.
    Window(Shape, u64),
    /// Keys and values of the tokens since the last multiple of so many.
    Chunk(Shape, u64),
    /// A state of so many bytes, however many tokens there have been.
    State(u64),
}

impl Shape {
    /// The shape that the common fields describe: as many KV heads as heads unless fewer are stated, keys
    /// that are an equal part of the hidden size unless their width is stated, and values alike.
    pub(super) fn of(config: &Config, number: u64) -> Result<Self, String> {
        let heads = || config.needed(&["num_attention_heads", "n_head", "n_heads"]);
        // The first Falcon models state as many KV heads as heads although they share a single one.
        let single = config.is_true("multi_query") && !config.is_true("new_decoder_architecture");
        let stated =
            config.number(&["num_key_value_heads", "num_kv_heads", "n_head_kv", "num_attention_groups"])?;
        let key = match config.number(&["head_dim", "attention_head_dim"])? {
            Some(width) => width,
            None => {
                let hidden = config.needed(&["hidden_size", "n_embd", "d_model"])?;
                let heads = heads()?;
                hidden.checked_div(heads).filter(|width| width * heads == hidden).ok_or_else(|| {
                    format!(
                        "the model config has no head_dim, and hidden_size {hidden} is no multiple of {heads} heads"
                    )
                })?
            }
        };
        let value = config.number(&["v_head_dim"])?.unwrap_or(key);
        let heads = if single { 1 } else { stated.map_or_else(heads, Ok)? };
        Ok(Self { heads, key, value, number })
    }

    pub(super) fn bytes(self) -> Result<u64, String> {
        let widths = self.key.checked_add(self.value);
        let bytes = widths.and_then(|n| n.checked_mul(self.heads)).and_then(|n| n.checked_mul(self.number));
        bytes.filter(|&bytes| bytes > 0).ok_or_else(out_of_range)
    }
}

impl Layer {
    /// A compressed vector and a rotary key, shared by all heads and by keys and values.
    pub(super) fn latent(config: &Config, bytes: Bytes) -> Result<Self, String> {
        let rank = config.needed(&["kv_lora_rank"])?;
        let rope = config.needed(&["qk_rope_head_dim"])?;
        config.ignore(&["num_key_value_heads", "head_dim", "qk_head_dim", "qk_nope_head_dim", "v_head_dim"]);
        Ok(Self::Vector(rank.saturating_add(rope).saturating_mul(bytes.cache)))
    }

    /// Bytes per token, or those of the state.
    pub(super) fn bytes(self) -> Result<u64, String> {
        match self {
            Self::Full(shape) | Self::Window(shape, _) | Self::Chunk(shape, _) => shape.bytes(),
            Self::Vector(0) | Self::State(0) => Err(out_of_range()),
            Self::Vector(bytes) | Self::State(bytes) => Ok(bytes),
        }
    }
}

/// Which of the layers do not keep every token, in words.
pub(super) fn others(layers: &[Layer]) -> Option<String> {
    let first = layers.iter().find(|layer| !matches!(layer, Layer::Full(_) | Layer::Vector(_)))?;
    let alike = layers.iter().filter(|layer| *layer == first).count();
    let keep = match first {
        Layer::Window(_, window) => format!("only the last {window} tokens"),
        Layer::Chunk(_, chunk) => format!("only a chunk of {chunk} tokens"),
        _ => "a state".into(),
    };
    Some(format!("{alike} of its {} layers keep {keep}", layers.len()))
}

pub(super) fn out_of_range() -> String {
    "the layers, heads and widths of the model config multiply to zero or to more than 64 bits".into()
}
