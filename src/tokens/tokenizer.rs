//! Which tokenizer: one that is embedded, or one of a file.

use std::path::{Path, PathBuf};

use super::file::FileTokenizer;
use super::scanner::Grammar;
use super::split::Cuts;
use crate::error::{Invalid, Result};

/// The tokenizer that is used by default.
pub const DEFAULT: &str = "o200k_base";

/// The name of the tokenizer whose tokens are bytes.
pub(super) const BYTES: &str = "bytes";

/// The name that the file of a tokenizer has.
pub const FILE_NAME: &str = "tokenizer.json";

/// Turns text into token ids; may be used by several threads at once.
pub struct Tokenizer {
    pub(super) kind: Kind,
    /// Identifies it in a saved numbering: equal for the same tokenizer only.
    identity: String,
}

pub(super) enum Kind {
    /// `OpenAI`'s byte-pair vocabulary of 199,998 tokens, embedded in the program (see [`embedded`]).
    /// The ids are those of `encode_ordinary` in Python's tiktoken.
    O200kBase,
    /// One token for each byte of the text's UTF-8 form. Needs no vocabulary, which makes results
    /// easy to reproduce by other means.
    Bytes,
    File(FileTokenizer),
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self { kind: Kind::O200kBase, identity: DEFAULT.to_owned() }
    }
}

impl Tokenizer {
    /// The embedded tokenizer of this name: `o200k_base` or `bytes`.
    pub fn named(name: &str) -> Option<Self> {
        let kind = match name {
            DEFAULT => Kind::O200kBase,
            BYTES => Kind::Bytes,
            _ => return None,
        };
        Some(Self { kind, identity: name.to_owned() })
    }

    /// Reads the tokenizer at `path`: a `tokenizer.json`, or a folder that contains one. `special_tokens`
    /// says whether [`Tokenizer::around`] will be asked for the tokens that belong around a prompt.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a tokenizer that is supported.
    pub fn load(path: &Path, special_tokens: bool) -> Result<Self> {
        let path = if path.is_dir() { path.join(FILE_NAME) } else { PathBuf::from(path) };
        let (file, identity) = FileTokenizer::load(&path, special_tokens)?;
        Ok(Self { kind: Kind::File(file), identity })
    }

    /// Reads a `tokenizer.json` from its bytes; error messages call it `name`.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn from_json(name: &str, bytes: Vec<u8>, special_tokens: bool) -> Result<Self> {
        let (file, identity) = FileTokenizer::from_json(name, bytes, special_tokens)?;
        Ok(Self { kind: Kind::File(file), identity })
    }

    /// Identifies this tokenizer: its name, or a hash of its file.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether it was read from a file, as that of a model.
    pub fn is_of_model(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    /// Where a text may be cut without changing its tokens, if that is known.
    pub(super) fn cuts(&self) -> Option<Cuts> {
        match &self.kind {
            Kind::O200kBase => Some(Grammar::O200k.cuts()),
            Kind::Bytes => None,
            Kind::File(file) => file.cuts(),
        }
    }

    /// Whether the tokens of a chat in the default template are those of its turns, one after the
    /// other (see [`chat`](super::chat)).
    pub fn turns_apart(&self) -> bool {
        matches!(self.kind, Kind::Bytes) || self.cuts().is_some()
    }

    /// The special tokens that belong before and after the prompt `text`.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn around(&self, text: &str) -> Result<(Vec<u32>, Vec<u32>), Invalid> {
        match &self.kind {
            Kind::File(file) => file.around(text),
            Kind::O200kBase | Kind::Bytes => Ok(Default::default()),
        }
    }
}
