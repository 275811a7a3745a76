//! The model whose cache is meant: its `config.json`, as the user names it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::choice::{Choice, NamedValues};
use crate::error::{Error, Result};
use crate::record::kv_size::{KvSize, PrefillCost};
use crate::tokens::find_model;

/// The type of the numbers in a KV cache, by the names that vLLM gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KvType {
    /// Bytes of a number; those of the model if it has no own.
    bytes: Option<u64>,
}

impl Choice for KvType {
    const NAMES: NamedValues<Self> = &[
        ("auto", Self { bytes: None }),
        ("fp8", Self { bytes: Some(1) }),
        ("fp8_e4m3", Self { bytes: Some(1) }),
        ("fp8_e5m2", Self { bytes: Some(1) }),
        ("int8", Self { bytes: Some(1) }),
        ("bfloat16", Self { bytes: Some(2) }),
        ("float16", Self { bytes: Some(2) }),
        ("float32", Self { bytes: Some(4) }),
    ];
}

/// What the user says of a model.
#[derive(Default)]
pub(super) struct ModelOptions {
    /// Its `config.json`, its folder, or its name in the cache of Hugging Face.
    pub path: Option<PathBuf>,
    /// The type of the numbers in its cache, if the engine is told another one than the model's.
    pub kv_dtype: Option<KvType>,
    /// Tokens of a prompt.
    pub prompt_length: Option<u64>,
    model: OnceCell<Model>,
}

/// What the configuration of a model says.
struct Model {
    size: KvSize,
    /// What computing a prompt takes, or why that is not known.
    prefill: Result<PrefillCost, String>,
}

impl ModelOptions {
    /// Bytes of KV cache per token, if a model is named; none of a model of which every prompt takes another
    /// size, where no length is given and the figure is not needed. Reads its configuration.
    pub(super) fn kv_bytes(&self, is_needed: bool) -> Result<Option<u64>> {
        let (Some(path), Some(Model { size, .. })) = (&self.path, self.model()?) else { return Ok(None) };
        if !is_needed && self.prompt_length.is_none() && !size.is_constant() {
            return Ok(None);
        }
        let bytes = size.bytes_per_token(self.prompt_length);
        bytes.map(Some).map_err(|invalid| usage(&format!("{}: {invalid}", path.display())))
    }

    /// The tokens in whose multiples vLLM finds prefixes, where a model is named that decides on it, and
    /// whether its layers form several groups.
    pub(super) fn hit_unit(&self) -> Result<(Option<u64>, bool)> {
        Ok(self.model()?.map_or((None, false), |Model { size, .. }| (size.hit_unit(), size.has_groups())))
    }

    /// What computing a prompt takes, once the configuration has been read and if it tells.
    pub(super) fn prefill(&self) -> Option<PrefillCost> {
        self.model.get()?.prefill.as_ref().ok().copied()
    }

    /// What is worth knowing of the model, once it has been read: why savings are not given in compute, and how
    /// much a token takes where layers are not all alike.
    pub(super) fn notes(&self) -> Vec<String> {
        let unknown = |why: &String| format!("--model-config: savings are counted in tokens alone: {why}");
        let unknown = self.model.get().and_then(|model| model.prefill.as_ref().err()).map(unknown);
        unknown.into_iter().chain(self.size_note()).collect()
    }

    fn size_note(&self) -> Option<String> {
        let size = self.model.get().map(|model| &model.size).filter(|size| !size.is_constant())?;
        let bytes = self.prompt_length.and_then(|tokens| {
            let bytes = size.bytes_per_token(Some(tokens)).ok()?;
            Some(format!("{bytes} bytes per token in prompts of {tokens}"))
        });
        let unit = size
            .hit_unit()
            .map(|unit| format!("vLLM finds cached prefixes of this model in multiples of {unit} tokens"));
        let known: Vec<String> = bytes.into_iter().chain(unit).collect();
        (!known.is_empty()).then(|| format!("--model-config: {}", known.join("; ")))
    }

    /// The model, if one is named.
    fn model(&self) -> Result<Option<&Model>> {
        let Some(path) = &self.path else { return Ok(None) };
        if self.model.get().is_none() {
            let model = self.read(path).map_err(|message| usage(&message))?;
            self.model.get_or_init(|| model);
        }
        Ok(self.model.get())
    }

    fn read(&self, path: &Path) -> Result<Model, String> {
        const FILE: &str = "config.json";
        let cached = if path.exists() { None } else { path.to_str().and_then(|name| find_model(name, FILE)) };
        let folder = cached.transpose().map_err(|error| error.to_string())?;
        let folder = folder.as_deref().unwrap_or(path);
        let file = if folder.is_dir() { folder.join(FILE) } else { folder.to_owned() };
        let name = file.display();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{name}: {e}"))?;
        let number = self.kv_dtype.and_then(|dtype| dtype.bytes);
        let size = KvSize::of(&text, number).map_err(|message| format!("{name}: {message}"))?;
        Ok(Model { size, prefill: PrefillCost::of(&text).map_err(|invalid| invalid.message) })
    }
}

fn usage(message: &str) -> Error {
    Error::Usage(format!("--model-config: {message}"))
}
