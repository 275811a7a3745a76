//! The tokenizer, as the user names it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::tokens::{Decoder, FILE_NAME, Tokenizer, find_model};

/// A name or a file.
#[derive(Default)]
pub(super) struct TokenizerOption {
    pub(super) name: Option<PathBuf>,
}

impl TokenizerOption {
    /// Whether it is one that is part of the program.
    pub(super) fn is_embedded(&self) -> bool {
        self.name.as_ref().is_none_or(|path| named(path).is_some())
    }

    /// The tokenizer, and the folder that it was found in if one was named. `special_tokens` is for
    /// [`Tokenizer::load`].
    pub(super) fn load(&self, special_tokens: bool) -> Result<(Tokenizer, Option<PathBuf>)> {
        let Some(path) = &self.file()? else {
            let embedded = self.name.as_deref().and_then(named);
            return Ok((embedded.unwrap_or_default(), None));
        };
        let is_name = path.components().count() == 1 && path.extension().is_none();
        if is_name && !path.exists() {
            return Err(Error::Usage(format!(
                "--tokenizer: '{}' is neither o200k_base or bytes nor a file or folder here",
                path.display()
            )));
        }
        let tokenizer = Tokenizer::load(path, special_tokens)?;
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        Ok((tokenizer, Some(folder.to_owned())))
    }

    /// What its tokens say.
    pub(super) fn decoder(&self, tokenizer: &Tokenizer) -> Result<Decoder> {
        match self.file()? {
            Some(path) => Decoder::load(&path),
            None => Ok(Decoder::of(tokenizer)),
        }
    }

    /// The file or folder of the tokenizer, unless it is an embedded one.
    fn file(&self) -> Result<Option<PathBuf>> {
        let Some(path) = self.name.as_ref().filter(|path| named(path).is_none()) else {
            return Ok(None);
        };
        let known = |name| find_model(name, FILE_NAME);
        let cached = if path.exists() { None } else { path.to_str().and_then(known).transpose()? };
        Ok(Some(cached.unwrap_or_else(|| path.clone())))
    }
}

/// The tokenizer that is part of the program under this name.
fn named(path: &Path) -> Option<Tokenizer> {
    path.to_str().and_then(Tokenizer::named)
}
