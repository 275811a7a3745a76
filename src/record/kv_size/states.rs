//! Families that keep a state in some layers: of a convolution, a state space or linear attention.
//!
//! A state is that of vLLM: the last inputs of the convolution, in the model's type, and the recurrent state,
//! whose type the config may state.

use super::config::Config;
use super::dtype;
use super::layer::{Bytes, Layer, Shape};

/// The last inputs of a convolution over so many channels.
struct Convolution {
    channels: u64,
    kernel: u64,
}

/// Bytes of a state: what the convolution needs, and `recurrent` numbers of so many bytes.
fn state(convolution: &Convolution, model: u64, recurrent: [u64; 3], number: u64) -> Layer {
    let inputs = convolution.channels.saturating_mul(convolution.kernel.saturating_sub(1));
    let recurrent = recurrent.into_iter().fold(number, u64::saturating_mul);
    Layer::State(inputs.saturating_mul(model).saturating_add(recurrent))
}

/// Bytes of a number of the recurrent state, which this field may state.
fn recurrent_bytes(config: &Config, name: &str, default: u64) -> Result<u64, String> {
    let stated = config.text(name)?.filter(|stated| *stated != "auto");
    stated.map_or(Ok(default), dtype::bytes_of)
}

/// Layers of attention where `is_attention` says so, others with the state.
fn mixed(
    config: &Config,
    bytes: Bytes,
    state: Layer,
    is_attention: impl Fn(usize) -> bool,
) -> Result<Vec<Layer>, String> {
    let full = Layer::Full(Shape::of(config, bytes.cache)?);
    Ok((0..config.layers()? as usize).map(|at| if is_attention(at) { full } else { state }).collect())
}

/// Which layers are of attention, from a list of names; newer configs call all others linear attention.
fn named(kinds: &[&str], other: &str, field: &str) -> Result<Vec<bool>, String> {
    let is_full = |kind: &&str| match *kind {
        "attention" | "full_attention" => Ok(true),
        kind if kind == other || kind == "linear_attention" => Ok(false),
        kind => Err(format!("{field} has layers of {kind}")),
    };
    kinds.iter().map(is_full).collect()
}

/// The type of the recurrent state may be stated.
pub(super) fn qwen3_5(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    gated_delta(config, bytes, recurrent_bytes(config, "mamba_ssm_dtype", bytes.model)?)
}

/// vLLM keeps the recurrent state in the model's type, whatever is stated.
pub(super) fn qwen3_next(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    config.ignore(&["mamba_ssm_dtype"]);
    gated_delta(config, bytes, bytes.model)
}

/// Linear attention by the gated delta rule, with a recurrent state of numbers of so many bytes.
fn gated_delta(config: &Config, bytes: Bytes, number: u64) -> Result<Vec<Layer>, String> {
    let needed = |name| config.needed(&[name]);
    let keys = needed("linear_num_key_heads")?.saturating_mul(needed("linear_key_head_dim")?);
    let (heads, width) = (needed("linear_num_value_heads")?, needed("linear_value_head_dim")?);
    let convolution = Convolution {
        channels: keys.saturating_mul(2).saturating_add(heads.saturating_mul(width)),
        kernel: needed("linear_conv_kernel_dim")?,
    };
    let state = state(&convolution, bytes.model, [heads, width, needed("linear_key_head_dim")?], number);
    let interval = config.number(&["full_attention_interval"])?;
    let is_full = match (config.layer_types()?, interval) {
        (Some(kinds), _) => named(&kinds, "linear_attention", "layer_types")?,
        (None, interval) => {
            let interval = interval.unwrap_or(4).max(1);
            (1..=config.layers()?).map(|at| at.is_multiple_of(interval)).collect()
        }
    };
    mixed(config, bytes, state, |at| is_full[at])
}

/// Mamba 2 with these sizes.
struct Mamba2 {
    inner: u64,
    groups: u64,
    heads: u64,
    width: u64,
    state: u64,
    kernel: u64,
}

impl Mamba2 {
    fn layer(&self, model: u64, number: u64) -> Layer {
        let groups = self.groups.saturating_mul(self.state).saturating_mul(2);
        let convolution = Convolution { channels: self.inner.saturating_add(groups), kernel: self.kernel };
        state(&convolution, model, [self.heads, self.width, self.state], number)
    }

    /// The fields as Granite, Falcon and Bamba name them.
    fn of(config: &Config, inner: u64) -> Result<Self, String> {
        let needed = |name| config.needed(&[name]);
        Ok(Self {
            inner,
            groups: needed("mamba_n_groups")?,
            heads: needed("mamba_n_heads")?,
            width: needed("mamba_d_head")?,
            state: needed("mamba_d_state")?,
            kernel: needed("mamba_d_conv")?,
        })
    }

    fn expanded(config: &Config) -> Result<u64, String> {
        Ok(config.needed(&["mamba_expand"])?.saturating_mul(config.needed(&["hidden_size"])?))
    }
}

/// What says only how a state is computed.
fn ignore_computation(config: &Config) {
    config.ignore(&[
        "mamba_chunk_size",
        "mamba_conv_bias",
        "mamba_dt_rank",
        "mamba_expand",
        "mamba_head_dim",
        "mamba_hidden_act",
        "mamba_inner_layernorms",
        "mamba_norm_before_gate",
        "mamba_num_heads",
        "mamba_proj_bias",
        "mamba_rms_norm",
        "mamba_use_mlp",
        "ssm_in_multiplier",
        "ssm_multipliers",
        "ssm_out_multiplier",
        "use_mamba_kernels",
    ]);
}

/// A letter per layer (`M` state, `*` attention, `-` and `E` neither), or a list of names.
pub(super) fn nemotron_h(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let needed = |name| config.needed(&[name]);
    let (heads, width) = (needed("mamba_num_heads")?, needed("mamba_head_dim")?);
    let mamba = Mamba2 {
        inner: heads.saturating_mul(width),
        groups: needed("n_groups")?,
        heads,
        width,
        state: needed("ssm_state_size")?,
        kernel: needed("conv_kernel")?,
    };
    let state = mamba.layer(bytes.model, recurrent_bytes(config, "mamba_ssm_cache_dtype", 4)?);
    let full = Layer::Full(Shape::of(config, bytes.cache)?);
    ignore_computation(config);
    let letters = config.text("hybrid_override_pattern")?.map(|letters| letters.split("").collect());
    let kinds = config.texts("layers_block_type")?.or(letters);
    let mut layers = Vec::new();
    for kind in kinds.ok_or("the model config does not state hybrid_override_pattern")? {
        match kind {
            "M" | "mamba" => layers.push(state),
            "*" | "attention" => layers.push(full),
            "" | "-" | "E" | "mlp" | "moe" => {}
            kind => return Err(format!("hybrid_override_pattern has layers of {kind}")),
        }
    }
    Ok(layers)
}

/// Mamba 1 with a layer of attention in each period.
pub(super) fn jamba(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let inner = Mamba2::expanded(config)?;
    let convolution = Convolution { channels: inner, kernel: config.needed(&["mamba_d_conv"])? };
    let state = state(&convolution, bytes.model, [inner, config.needed(&["mamba_d_state"])?, 1], bytes.model);
    let period = config.needed(&["attn_layer_period"])?.max(1);
    let offset = config.needed(&["attn_layer_offset"])?;
    ignore_computation(config);
    mixed(config, bytes, state, |at| at as u64 % period == offset)
}

/// Every layer has both a state and attention.
pub(super) fn falcon_h1(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let inner = config.number(&["mamba_d_ssm"])?.map_or_else(|| Mamba2::expanded(config), Ok)?;
    let state = Mamba2::of(config, inner)?.layer(bytes.model, bytes.model);
    let full = Layer::Full(Shape::of(config, bytes.cache)?);
    ignore_computation(config);
    Ok((0..config.layers()?).flat_map(|_| [full, state]).collect())
}

/// Mamba 2 in the layers that `layer_types` does not call attention.
pub(super) fn granite_hybrid(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let kinds = config.layer_types()?.ok_or("the model config does not state layer_types")?;
    let is_full = named(&kinds, "mamba", "layer_types")?;
    ignore_computation(config);
    if is_full.iter().all(|&is_full| is_full) {
        config.ignore(&["mamba_d_conv", "mamba_d_head", "mamba_d_state", "mamba_n_groups", "mamba_n_heads"]);
        return mixed(config, bytes, Layer::State(0), |_| true);
    }
    let state = Mamba2::of(config, Mamba2::expanded(config)?)?.layer(bytes.model, bytes.model);
    mixed(config, bytes, state, |at| is_full[at])
}

/// Short convolutions, and attention in the layers that `full_attn_idxs` or `layer_types` name.
pub(super) fn lfm2(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let convolution = Convolution {
        channels: config.needed(&["conv_dim", "hidden_size"])?,
        kernel: config.needed(&["conv_L_cache"])?,
    };
    let state = state(&convolution, bytes.model, [0; 3], 0);
    let indices = config.numbers("full_attn_idxs")?;
    let is_full: Vec<bool> = match (config.layer_types()?, indices) {
        (Some(kinds), _) => named(&kinds, "conv", "layer_types")?,
        (None, Some(full)) => (0..config.layers()?).map(|at| full.contains(&at)).collect(),
        (None, None) => return Err("the model config states neither full_attn_idxs nor layer_types".into()),
    };
    config.ignore(&["conv_bias", "conv_dim_out", "conv_use_xavier_init"]);
    mixed(config, bytes, state, |at| is_full[at])
}

/// Delta attention in the layers that `linear_attn_config` lists from 1, compressed vectors in the others.
pub(super) fn kimi_linear(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let linear = config.object("linear_attn_config");
    let linear = linear.ok_or("the model config does not state linear_attn_config")?;
    let (heads, width) = (linear.needed(&["num_heads"])?, linear.needed(&["head_dim"])?);
    let convolution = Convolution {
        channels: heads.saturating_mul(width).saturating_mul(3),
        kernel: linear.needed(&["short_conv_kernel_size"])?,
    };
    let state = state(&convolution, bytes.model, [heads, width, width], 4);
    let listed = linear.numbers("kda_layers")?.ok_or("linear_attn_config does not state kda_layers")?;
    let latent = Layer::latent(config, bytes)?;
    let layer = |at| if listed.contains(&at) { state } else { latent };
    Ok((1..=config.layers()?).map(layer).collect())
}
