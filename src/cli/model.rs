//! The model whose cache is meant: its `config.json`, as the user names it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::choice::{Choice, NamedValues};
use crate::error::{Error, Result};
use crate::record::kv_size::KvSize;
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
    size: OnceCell<KvSize>,
}

impl ModelOptions {
    /// Bytes of KV cache per token, if a model is named; none of a model of which every prompt takes another
    /// size, where no length is given and the figure is not needed. Reads its configuration.
    pub(super) fn kv_bytes(&self, is_needed: bool) -> Result<Option<u64>> {
        let (Some(path), Some(size)) = (&self.path, self.size()?) else { return Ok(None) };
        if !is_needed && self.prompt_length.is_none() && !size.is_constant() {
            return Ok(None);
        }
        let bytes = size.bytes_per_token(self.prompt_length);
        bytes.map(Some).map_err(|invalid| usage(&format!("{}: {invalid}", path.display())))
    }

    /// The tokens in whose multiples vLLM finds prefixes, where a model is named that decides on it, and
    /// whether its layers form several groups.
    pub(super) fn hit_unit(&self) -> Result<(Option<u64>, bool)> {
        Ok(self.size()?.map_or((None, false), |size| (size.hit_unit(), size.has_groups())))
    }

    /// What is worth knowing of the cache of a model whose layers are not all alike, once it has been read.
    pub(super) fn note(&self) -> Option<String> {
        let size = self.size.get().filter(|size| !size.is_constant())?;
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

    /// The cache of the model, if one is named.
    fn size(&self) -> Result<Option<&KvSize>> {
        let Some(path) = &self.path else { return Ok(None) };
        if self.size.get().is_none() {
            let size = self.read(path).map_err(|message| usage(&message))?;
            self.size.get_or_init(|| size);
        }
        Ok(self.size.get())
    }

    fn read(&self, path: &Path) -> Result<KvSize, String> {
        const FILE: &str = "config.json";
        let cached = if path.exists() { None } else { path.to_str().and_then(|name| find_model(name, FILE)) };
        let folder = cached.transpose().map_err(|error| error.to_string())?;
        let folder = folder.as_deref().unwrap_or(path);
        let file = if folder.is_dir() { folder.join(FILE) } else { folder.to_owned() };
        let name = file.display();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{name}: {e}"))?;
        let number = self.kv_dtype.and_then(|dtype| dtype.bytes);
        KvSize::of(&text, number).map_err(|message| format!("{name}: {message}"))
    }
}

fn usage(message: &str) -> Error {
    Error::Usage(format!("--model-config: {message}"))
}
