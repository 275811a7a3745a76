//! How the layers of each family of models are told from its config.
//!
//! A model whose `model_type` is not in the table is refused: its classes may do anything. One without a
//! `model_type` is taken for a plain one as long as no field speaks against it.

use super::config::Config;
use super::layer::{Bytes, Layer, Shape};
use super::states;

/// What the layers of a model are, given its fields, and the bytes of a number of the cache.
type Layers = fn(&Config, Bytes) -> Result<Vec<Layer>, String>;

/// The `model_type`s of each family.
const FAMILIES: &[(&str, Layers)] = &[
    (
        "apertus arcee baichuan bloom cohere ernie4_5 ernie4_5_moe exaone falcon gemma glm glm4 glm4_moe gpt2 \
         gpt_bigcode gpt_neox granite granitemoe granitemoeshared internlm2 internlm3 llama mimo minicpm \
         ministral3 mistral mixtral nemotron olmo olmo2 olmoe opt phi phi3 phimoe qwen2 qwen2_moe qwen2_vl \
         qwen2_vl_text qwen2_5_vl qwen2_5_vl_text qwen3 qwen3_moe qwen3_vl_text qwen3_vl_moe_text seed_oss \
         smollm3 solar stablelm starcoder2",
        by_kind,
    ),
    ("minimax_m2", minimax_m2),
    ("gemma2 gpt_oss", |config, bytes| one_full_in(config, bytes, 2)),
    ("olmo3", |config, bytes| one_full_in(config, bytes, 4)),
    ("gemma3 gemma3_text", |config, bytes| one_full_in(config, bytes, 6)),
    ("cohere2", cohere2),
    ("exaone4", exaone4),
    ("gemma3n gemma3n_text", gemma3n),
    ("gemma4 gemma4_text", gemma4),
    ("llama4 llama4_text", llama4),
    ("mimo_v2 mimo_v2_flash", mimo_v2),
    ("nemotron-nas", nemotron_nas),
    ("deepseek_v2 deepseek_v3 glm4_moe_lite kimi_k2", compressed),
    ("deepseek_v32 glm_moe_dsa", indexed),
    ("longcat_flash", longcat_flash),
    ("minicpm3", minicpm3),
    ("qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text", states::qwen3_5),
    ("qwen3_next", states::qwen3_next),
    ("nemotron_h", states::nemotron_h),
    ("jamba", states::jamba),
    ("falcon_h1", states::falcon_h1),
    ("granitemoehybrid", states::granite_hybrid),
    ("lfm2 lfm2_moe", states::lfm2),
    ("kimi_linear", states::kimi_linear),
];

/// The layers of a model.
pub(super) fn layers(model_type: Option<&str>, config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let Some(name) = model_type else { return unnamed(config, bytes) };
    let family = FAMILIES.iter().find(|(names, _)| names.split(' ').any(|known| known == name));
    let (_, family) =
        family.ok_or_else(|| format!("how a model of model_type {name} keeps its tokens is not known"))?;
    let layers = family(config, bytes)?;
    config.refuse_the_rest()?;
    Ok(layers)
}

/// A plain model, or one with a compressed cache, as long as all layers are alike.
fn unnamed(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    config.layers()?;
    let is_compressed = config.number(&["kv_lora_rank"])?.is_some_and(|rank| rank > 0);
    let layers = if is_compressed { compressed(config, bytes)? } else { by_kind(config, bytes)? };
    config.refuse_the_rest()?;
    let is_guess = config.get("layer_types").is_none();
    match layers[0] {
        Layer::Window(_, window) if is_guess => Err(format!(
            "sliding_window means layers that forget all but the last {window} tokens, and without model_type \
             it is not known which"
        )),
        _ => Ok(layers),
    }
}

/// Layers of attention: those that `layer_types` names, else all with a window where one is in use.
fn by_kind(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let shape = Shape::of(config, bytes.cache)?;
    if let Some(layers) = by_layer_types(config, shape, shape, 0)? {
        return Ok(layers);
    }
    let layers = config.layers()?;
    let layer = window_in_use(config)?.map_or(Layer::Full(shape), |window| Layer::Window(shape, window));
    if config.is_true("use_sliding_window") && layer != Layer::Full(shape) {
        // Only layers from this one on have a window, where any have.
        match config.number(&["max_window_layers"])? {
            Some(full) if full >= layers => return Ok(vec![Layer::Full(shape); layers as usize]),
            Some(1..) => {
                return Err("max_window_layers means windows in some layers only, which vLLM refuses".into());
            }
            Some(0) | None => {}
        }
    }
    Ok(vec![layer; layers as usize])
}

/// The window of all layers of a model, if it has one shorter than its context.
fn window_in_use(config: &Config) -> Result<Option<u64>, String> {
    let window = config.number(&["sliding_window"])?.filter(|&window| window > 0);
    let is_off = config.get("use_sliding_window").is_some() && !config.is_true("use_sliding_window");
    // No token ever leaves a window that is as long as the context.
    let context = config.number(&["max_position_embeddings"])?.unwrap_or(u64::MAX);
    Ok(window.filter(|&window| !is_off && window < context))
}

/// The layers that `layer_types` lists, if it is there; windows reach `more` tokens further than stated.
fn by_layer_types(
    config: &Config,
    full: Shape,
    sliding: Shape,
    more: u64,
) -> Result<Option<Vec<Layer>>, String> {
    let Some(kinds) = config.layer_types()? else { return Ok(None) };
    let layer = |kind: &&str| match *kind {
        "full_attention" | "attention" => Ok(Layer::Full(full)),
        "sliding_attention" => {
            let window = config.needed(&["sliding_window"])?;
            Ok(Layer::Window(sliding, window.saturating_add(more)))
        }
        kind => Err(format!("layer_types has layers of {kind}")),
    };
    let layers = kinds.iter().map(layer).collect::<Result<_, _>>()?;
    // What explains the window is of no use to a model whose layers have none.
    config.ignore(&["sliding_window"]);
    Ok(Some(layers))
}

/// Every so manieth layer is one of full attention, the others have a window.
fn one_full_in(config: &Config, bytes: Bytes, every: u64) -> Result<Vec<Layer>, String> {
    let shape = Shape::of(config, bytes.cache)?;
    let pattern = config.number(&["sliding_window_pattern", "_sliding_window_pattern"]);
    // Older configs of Gemma 2 state the window twice.
    if let Some(again) = config.number(&["sliding_window_size"])?
        && config.number(&["sliding_window"])? != Some(again)
    {
        return Err("sliding_window and sliding_window_size differ".into());
    }
    if let Some(layers) = by_layer_types(config, shape, shape, 0)? {
        return Ok(layers);
    }
    let every = pattern?.unwrap_or(every);
    let window = config.needed(&["sliding_window"])?;
    Ok(alternating(config.layers()?, every, Layer::Full(shape), Layer::Window(shape, window)))
}

fn alternating(layers: u64, every: u64, last: Layer, others: Layer) -> Vec<Layer> {
    let layer = |at: u64| if every > 0 && (at + 1).is_multiple_of(every) { last } else { others };
    (0..layers).map(layer).collect()
}

/// The window of Cohere's models does not count the token itself.
fn cohere2(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let shape = Shape::of(config, bytes.cache)?;
    let every = config.number(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(4);
    if let Some(layers) = by_layer_types(config, shape, shape, 1)? {
        return Ok(layers);
    }
    let window = Layer::Window(shape, config.needed(&["sliding_window"])?.saturating_add(1));
    Ok(alternating(config.layers()?, every, Layer::Full(shape), window))
}

/// The pattern is a text such as `LLLG`, or a number; without a window all layers are full.
fn exaone4(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let shape = Shape::of(config, bytes.cache)?;
    let window = config.number(&["sliding_window"])?;
    config.ignore(&["sliding_window_pattern"]);
    match (by_layer_types(config, shape, shape, 0)?, window) {
        (Some(layers), _) => Ok(layers),
        (None, None) => Ok(vec![Layer::Full(shape); config.layers()? as usize]),
        (None, Some(_)) => Err("the model config does not state layer_types".into()),
    }
}

/// All layers are full, or linear in versions that vLLM does not serve.
fn minimax_m2(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    if config.numbers("attn_type_list")?.into_iter().flatten().any(|kind| kind != 1) {
        return Err("attn_type_list has layers of linear attention".into());
    }
    by_kind(config, bytes)
}

/// The last layers use the keys and values of earlier ones.
fn gemma3n(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let layers = one_full_in(config, bytes, 5)?;
    config.ignore(&["hidden_size_per_layer_input", "vocab_size_per_layer_input"]);
    without_shared(config, layers)
}

fn without_shared(config: &Config, mut layers: Vec<Layer>) -> Result<Vec<Layer>, String> {
    let shared = config.number(&["num_kv_shared_layers"])?.unwrap_or(0) as usize;
    let own = layers.len().checked_sub(shared).filter(|&own| own > 0);
    layers.truncate(own.ok_or("num_kv_shared_layers leaves no layer with a cache of its own")?);
    Ok(layers)
}

/// Layers of full attention have fewer and wider heads than those with a window.
fn gemma4(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let sliding = Shape::of(config, bytes.cache)?;
    let key = config.needed(&["global_head_dim"])?;
    let stated = config.number(&["num_global_key_value_heads"])?;
    let heads = stated.filter(|_| config.is_true("attention_k_eq_v")).unwrap_or(sliding.heads);
    let full = Shape { heads, key, value: key, ..sliding };
    let layers = by_layer_types(config, full, sliding, 0)?;
    without_shared(config, layers.ok_or("the model config does not state layer_types")?)
}

/// Layers that attend within chunks, but for those without rotary positions: 0 in their list, or every fourth.
fn llama4(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let shape = Shape::of(config, bytes.cache)?;
    let full = Layer::Full(shape);
    let chunk = config.number(&["attention_chunk_size"])?.filter(|&chunk| chunk > 0);
    let others = chunk.map_or(full, |chunk| Layer::Chunk(shape, chunk));
    config.ignore(&["layer_types"]);
    let layers = config.layers()?;
    let every = config.number(&["no_rope_layer_interval"])?.unwrap_or(4);
    let listed = config.numbers("no_rope_layers")?.filter(|listed| !listed.is_empty());
    let Some(listed) = listed else { return Ok(alternating(layers, every, full, others)) };
    if listed.len() as u64 != layers {
        return Err(format!("no_rope_layers names {} of {layers} layers", listed.len()));
    }
    Ok(listed.iter().map(|&has_rope| if has_rope == 0 { full } else { others }).collect())
}

/// Layers with a window have heads of their own; 0 in the pattern is a layer of full attention.
fn mimo_v2(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let full = Shape::of(config, bytes.cache)?;
    let key = config.needed(&["swa_head_dim"])?;
    let sliding = Shape {
        heads: config.needed(&["swa_num_key_value_heads"])?,
        key,
        value: config.number(&["swa_v_head_dim"])?.unwrap_or(key),
        ..full
    };
    let window = config.needed(&["sliding_window_size", "sliding_window"])?;
    config.ignore(&[
        "attention_chunk_size",
        "add_full_attention_sink_bias",
        "add_swa_attention_sink_bias",
        "sliding_window",
        "swa_num_attention_heads",
    ]);
    let pattern = config.numbers("hybrid_layer_pattern")?;
    let pattern = pattern.ok_or("the model config does not state hybrid_layer_pattern")?;
    if pattern.len() as u64 != config.layers()? {
        return Err(format!("hybrid_layer_pattern names {} of {} layers", pattern.len(), config.layers()?));
    }
    let layer = |kind: &u64| if *kind == 0 { Layer::Full(full) } else { Layer::Window(sliding, window) };
    Ok(pattern.iter().map(layer).collect())
}

/// Each block states its own attention, or none.
fn nemotron_nas(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let heads = config.needed(&["num_attention_heads"])?;
    let shape = Shape::of(config, bytes.cache)?;
    let blocks = config.get("block_configs").and_then(serde_json::Value::as_array);
    let blocks = blocks.ok_or("the model config does not state block_configs")?;
    let mut layers = Vec::new();
    for block in blocks {
        let attention = &block["attention"];
        if attention["no_op"].as_bool() == Some(true) {
            continue;
        }
        let strange = attention["replace_with_linear"].as_bool() == Some(true)
            || ["window_length", "sparsify", "num_sink_tokens"].iter().any(|name| !attention[name].is_null());
        let group = attention["n_heads_in_group"].as_u64().filter(|&group| group > 0 && !strange);
        let group = group.ok_or_else(|| format!("block_configs has an attention of {attention}"))?;
        layers.push(Layer::Full(Shape { heads: heads / group, ..shape }));
    }
    if layers.is_empty() { Err("block_configs has no layer of attention".into()) } else { Ok(layers) }
}

/// A compressed vector for each layer.
fn compressed(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    Ok(vec![Layer::latent(config, bytes)?; config.layers()? as usize])
}

/// Compressed vectors and, in the layers that choose tokens, a key of the index in eight bits with a scale of
/// four bytes for each 128 of its numbers.
fn indexed(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    if bytes.cache != 2 {
        return Err(
            "index_topk in a cache of other than 16 bits means a layout that the engine chooses".into()
        );
    }
    let latent = Layer::latent(config, bytes)?;
    let width = config.needed(&["index_head_dim"])?;
    let index = Layer::Vector(width.saturating_add(width.div_ceil(128).saturating_mul(4)));
    let every = config.number(&["index_topk_freq"])?.unwrap_or(1).max(1);
    let offset = config.number(&["index_skip_topk_offset"])?.unwrap_or(2);
    let pattern = config.text("index_topk_pattern")?;
    config.ignore(&["index_topk", "indexer_types"]);
    let mut layers = Vec::new();
    for at in 0..config.layers()? {
        let is_shared = match pattern {
            Some(pattern) => pattern.as_bytes().get(at as usize) == Some(&b'S'),
            None => !(at + 1).saturating_sub(offset).is_multiple_of(every),
        };
        layers.push(latent);
        layers.extend((!is_shared).then_some(index));
    }
    Ok(layers)
}

/// Each layer has two attentions.
fn longcat_flash(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    Ok(vec![Layer::latent(config, bytes)?; 2 * config.layers()? as usize])
}

/// vLLM keeps the keys and values of this model as they are before compression, values as wide as keys.
fn minicpm3(config: &Config, bytes: Bytes) -> Result<Vec<Layer>, String> {
    let key = config.needed(&["qk_nope_head_dim"])?.saturating_add(config.needed(&["qk_rope_head_dim"])?);
    let heads = config.needed(&["num_attention_heads"])?;
    config.ignore(&["kv_lora_rank", "num_key_value_heads", "head_dim", "qk_head_dim", "v_head_dim"]);
    let shape = Shape { heads, key, value: key, number: bytes.cache };
    Ok(vec![Layer::Full(shape); config.layers()? as usize])
}
