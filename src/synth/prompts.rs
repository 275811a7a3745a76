//! Blocks as text or token ids, so that hashing a prompt gives back its blocks.
//!
//! The content of a block follows from its id alone, so nothing has to be kept of it: its first
//! tokens are the id, written with the vocabulary as digits, and the rest is drawn from a generator
//! that the id seeds. Two blocks after the same prefix then differ wherever their ids do. Only where a
//! block is too short for the digits, two tokens at the end of a prompt, say, it gets the next free
//! content after its prefix, and this is remembered ([`ShortBlocks`]). All else about a prompt depends on no
//! other ([`PromptWriter`]).

use std::collections::HashMap;
use std::sync::Arc;

use fastrand::Rng;
use foldhash::fast::RandomState;

use super::request::SyntheticRequest;
use crate::error::Invalid;
use crate::tokens::{Encoder, Tokenizer, Words};

/// Ids are below this: no usable trace has as many blocks.
const MOST_IDS: u64 = 1 << 40;

/// What the tokens of prompts are.
#[non_exhaustive]
pub enum Vocabulary {
    /// Words of a tokenizer: prompts are text.
    Words(Words),
    /// Words that were found by trial.
    Tried {
        /// The words.
        words: Words,
        /// Their tokenizer, which checks each prompt that is made of them.
        tokenizer: Arc<Tokenizer>,
        /// Whether a prompt is the message of a chat.
        is_chat: bool,
    },
    /// Numbers below this, at least 1: prompts are lists of token ids.
    Ids(u32),
}

impl Vocabulary {
    fn len(&self) -> u64 {
        match self {
            Self::Words(words) | Self::Tried { words, .. } => words.len() as u64,
            Self::Ids(size) => u64::from(*size),
        }
    }

    /// Tokens that stand before the words of every prompt, and after them.
    fn around(&self) -> (u64, u64) {
        match self {
            Self::Tried { words, .. } => (words.around().0 as u64, words.around().1 as u64),
            Self::Words(_) | Self::Ids(_) => (0, 0),
        }
    }

    /// Words of a prompt, at least: the message of a chat is never empty.
    fn least(&self) -> u64 {
        u64::from(matches!(self, Self::Tried { is_chat: true, .. }))
    }
}

/// What all prompts have in common.
#[derive(Clone)]
pub(super) struct PromptForm {
    vocabulary: Arc<Vocabulary>,
    block_size: u64,
    /// How many tokens it takes to hold any id.
    digits: u64,
}

/// A block of a prompt.
struct Block {
    id: u64,
    /// The id of the block before plus one; 0 if there is none.
    before: u64,
    /// What is left of it for words.
    tokens: u64,
}

impl PromptForm {
    pub(super) fn new(vocabulary: Arc<Vocabulary>, block_size: u64) -> Self {
        let digits = u64::from(digits(vocabulary.len(), MOST_IDS));
        Self { vocabulary, block_size, digits }
    }

    /// The places of the first word of a prompt, and behind its last.
    fn words(&self, length: u64) -> (u64, u64) {
        let (first, after) = self.vocabulary.around();
        (first, length.saturating_sub(after).max(first + self.vocabulary.least()))
    }

    fn blocks<'r>(&self, request: &'r SyntheticRequest) -> impl Iterator<Item = Block> + use<'r> {
        let length = request.input_length;
        let ((first, last), block_size) = (self.words(length), self.block_size);
        let (mut at, mut before) = (0, 0);
        // A prompt without blocks has the word that it must have.
        let alone = (length == 0 && last > first).then_some(MOST_IDS - 1);
        request.ids().chain(alone).map(move |id| {
            let end = (at + block_size).min(length);
            // The last block of a prompt that is too short has the word that it must have.
            let end = if end == length { length.max(last) } else { end };
            let block = Block { id, before, tokens: end.clamp(first, last) - at.clamp(first, last) };
            (at, before) = (end, id + 1);
            block
        })
    }

    fn is_short(&self, block: &Block) -> bool {
        block.tokens < self.digits
    }
}

/// Gives short blocks their contents, in the order in which prompts are written. Memory: about 50 bytes for each
/// block of one or two tokens.
pub(super) struct ShortBlocks {
    form: PromptForm,
    /// The content of each, by its id.
    contents: HashMap<u64, u64, RandomState>,
    /// The next free content, by the block before (plus one) and the tokens.
    free: HashMap<(u64, u64), u64, RandomState>,
    counts: Counts,
}

/// Prompts that are not all that they should be, because of what stands around their texts.
#[derive(Default)]
struct Counts {
    /// Shorter than what stands around them.
    too_short: u64,
    /// With a full block that ends with tokens of the template.
    cut: u64,
    /// Blocks that differ and have the same tokens.
    merged: u64,
}

impl ShortBlocks {
    pub(super) fn new(form: PromptForm) -> Self {
        Self { form, contents: HashMap::default(), free: HashMap::default(), counts: Counts::default() }
    }

    /// Appends the contents of the short blocks of a request, which comes next.
    ///
    /// # Errors
    /// When the vocabulary is too small to tell its blocks apart.
    pub(super) fn add(&mut self, request: &SyntheticRequest, contents: &mut Vec<u64>) -> Result<(), Invalid> {
        for block in self.form.blocks(request) {
            if self.form.is_short(&block) {
                contents.push(self.content(&block)?);
            } else if block.id >= MOST_IDS {
                return Err(Invalid::over_limit("too many blocks to write as prompts"));
            }
        }
        let length = request.input_length;
        let (first, after) = self.form.vocabulary.around();
        self.counts.too_short += u64::from(length < first + self.form.vocabulary.least() + after);
        let (_, last) = self.form.words(length);
        let full = length / self.form.block_size * self.form.block_size;
        self.counts.cut += u64::from(after > 0 && last < full);
        Ok(())
    }

    fn content(&mut self, block: &Block) -> Result<u64, Invalid> {
        let &Block { id, before, tokens } = block;
        if let Some(&content) = self.contents.get(&id) {
            return Ok(content);
        }
        let free = self.free.entry((before, tokens)).or_default();
        let mut content = *free;
        *free += 1;
        let vocabulary = &self.form.vocabulary;
        let contents = vocabulary.len().saturating_pow(tokens as u32);
        if content >= contents {
            if vocabulary.around() == (0, 0) {
                let size = vocabulary.len();
                return Err(Invalid::over_limit(format!(
                    "more than {content} different blocks of {tokens} tokens after the same prefix: a vocabulary of {size} is too small"
                )));
            }
            self.counts.merged += 1;
            content %= contents;
        }
        self.contents.insert(id, content);
        Ok(content)
    }

    /// What is to be said about the prompts that were written.
    pub(super) fn remarks(&self) -> Vec<String> {
        let (before, after) = self.form.vocabulary.around();
        let Counts { too_short, cut, merged } = self.counts;
        let remark = |count: u64, text: String| (count > 0).then_some(text);
        [
            remark(
                too_short,
                format!(
                    "{too_short} prompts would be shorter than the {before} and {after} tokens around every text and a \
                     word, and have as many"
                ),
            ),
            remark(
                cut,
                format!(
                    "{cut} prompts end within {after} tokens after a full block: as it ends with tokens of the template, \
                     no other prompt shares it"
                ),
            ),
            remark(
                merged,
                format!("{merged} blocks have hardly any tokens beside the template's, and are equal to others"),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Writes prompts.
pub(super) struct PromptWriter {
    form: PromptForm,
    /// What checks prompts, if their words were tried.
    encoder: Option<Encoder>,
    /// The words of the prompt so far, as tokens, where they are checked.
    expected: Vec<u32>,
    /// Text and tokens of the prompt that is checked.
    text: String,
    tokens: Vec<u32>,
}

impl PromptWriter {
    pub(super) fn new(form: PromptForm) -> Self {
        let encoder = match &*form.vocabulary {
            Vocabulary::Tried { tokenizer, .. } => Some(Encoder::new(Arc::clone(tokenizer), 0)),
            Vocabulary::Words(_) | Vocabulary::Ids(_) => None,
        };
        Self { form, encoder, expected: Vec::new(), text: String::new(), tokens: Vec::new() }
    }

    /// Appends the field with the prompt of a request; takes what its short blocks contain from `short`.
    ///
    /// # Errors
    /// When the tokenizer does not cut the prompt as it should.
    pub(super) fn write(
        &mut self,
        request: &SyntheticRequest,
        short: &mut impl Iterator<Item = u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        let form = self.form.clone();
        let (open, close): (&[u8], &[u8]) = match &*form.vocabulary {
            Vocabulary::Tried { is_chat: true, .. } => {
                (b"\"messages\": [{\"role\": \"user\", \"content\": \"", b"\"}]")
            }
            Vocabulary::Words(_) | Vocabulary::Tried { .. } => (b"\"prompt\": \"", b"\""),
            Vocabulary::Ids(_) => (b"\"prompt_token_ids\": [", b"]"),
        };
        out.extend_from_slice(open);
        let start = out.len();
        self.expected.clear();
        if let Vocabulary::Tried { words, .. } = &*form.vocabulary {
            out.extend_from_slice(words.frame().start.as_bytes());
        }
        for block in form.blocks(request) {
            let content = if form.is_short(&block) { short.next() } else { Some(block.id) };
            self.block(content.unwrap_or_default(), &block, out);
        }
        self.check(request.input_length, &out[start..])?;
        out.extend_from_slice(close);
        Ok(())
    }

    /// Fails if the tokenizer does not cut a text into the words that it was made of.
    fn check(&mut self, length: u64, content: &[u8]) -> Result<(), Invalid> {
        let vocabulary = &*self.form.vocabulary;
        let (Vocabulary::Tried { words, .. }, Some(encoder)) = (vocabulary, &mut self.encoder) else {
            return Ok(());
        };
        let ((before, after), least) = (vocabulary.around(), vocabulary.least());
        self.text.clear();
        self.text.push_str(&words.frame().open);
        self.text.push_str(&String::from_utf8_lossy(content));
        self.text.push_str(&words.frame().close);
        self.tokens.clear();
        encoder.encode(&self.text, &mut self.tokens)?;
        let (found, wanted) = (self.tokens.len() as u64, length.max(before + least + after));
        let same = self.tokens.get(before as usize..).is_some_and(|rest| rest.starts_with(&self.expected));
        if found == wanted && same {
            return Ok(());
        }
        Err(Invalid::value(format!(
            "the tokenizer cuts a prompt of {wanted} words into {found} tokens, and not at each word"
        )))
    }

    /// Appends the tokens of a block.
    fn block(&mut self, mut content: u64, block: &Block, out: &mut Vec<u8>) {
        let size = self.form.vocabulary.len();
        // Seeded by the id: a block has the same content whenever it occurs.
        let mut filler = Rng::with_seed(block.id);
        for i in 0..block.tokens {
            let token = if i < self.form.digits {
                let digit = content % size;
                content /= size;
                digit
            } else {
                filler.u64(..size)
            };
            match &*self.form.vocabulary {
                Vocabulary::Words(words) => out.extend_from_slice(words.get(token as usize).as_bytes()),
                Vocabulary::Tried { words, .. } => {
                    let number = token as usize;
                    let is_first = self.expected.is_empty();
                    let word = if is_first { words.first(number) } else { words.get(number) };
                    out.extend_from_slice(word.as_bytes());
                    self.expected.extend(words.token(number));
                }
                Vocabulary::Ids(_) => {
                    if !out.ends_with(b"[") {
                        out.extend_from_slice(b", ");
                    }
                    out.extend_from_slice(itoa::Buffer::new().format(token).as_bytes());
                }
            }
        }
    }
}

/// How many digits in base `size` hold any number below `most`.
fn digits(size: u64, most: u64) -> u32 {
    if size < 2 {
        return u32::MAX;
    }
    let (mut digits, mut power) = (0, 1_u64);
    while power < most {
        power = power.saturating_mul(size);
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::request::Span;
    use super::*;

    type Writer = (ShortBlocks, PromptWriter);

    fn writer(vocabulary: u32, block_size: u64) -> Writer {
        let form = PromptForm::new(Arc::new(Vocabulary::Ids(vocabulary)), block_size);
        (ShortBlocks::new(form.clone()), PromptWriter::new(form))
    }

    fn prompt(writer: &mut Writer, spans: &[(u64, u32)], input_length: u64) -> Result<String, Invalid> {
        let spans = spans.iter().map(|&(start, len)| Span { start, len }).collect();
        let request = SyntheticRequest { input_length, spans, ..SyntheticRequest::default() };
        let (mut out, mut contents) = (Vec::new(), Vec::new());
        writer.0.add(&request, &mut contents)?;
        let mut contents = contents.into_iter();
        writer.1.write(&request, &mut contents, &mut out)?;
        assert!(contents.next().is_none());
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn blocks_with_different_ids_differ_and_equal_ones_are_equal() {
        let mut writer = writer(3, 4);
        let mut seen = HashSet::new();
        for id in 0..3 {
            assert!(seen.insert(prompt(&mut writer, &[(id, 1)], 1).unwrap()));
        }
        for id in 3..12 {
            assert!(seen.insert(prompt(&mut writer, &[(id, 1)], 2).unwrap()));
        }
        for id in (3..12).rev() {
            assert!(!seen.insert(prompt(&mut writer, &[(id, 1)], 2).unwrap()));
        }
        assert!(
            prompt(&mut writer, &[(20, 1)], 1).unwrap_err().message.contains("vocabulary of 3 is too small")
        );
        // After another block the same contents are free again.
        let after = prompt(&mut writer, &[(30, 2)], 5).unwrap();
        assert_eq!(after.matches(',').count(), 4);
    }

    #[test]
    fn long_blocks_hold_their_ids() {
        let mut writer = writer(2, 64);
        let prompts: HashSet<String> =
            (0..1000).map(|id| prompt(&mut writer, &[(id << 30, 1)], 64).unwrap()).collect();
        assert_eq!(prompts.len(), 1000);
        assert!(writer.0.contents.is_empty());
    }

    #[test]
    fn a_vocabulary_of_one_tells_nothing_apart() {
        let mut writer = writer(1, 4);
        assert_eq!(prompt(&mut writer, &[(0, 1)], 4).unwrap(), "\"prompt_token_ids\": [0, 0, 0, 0]");
        assert!(prompt(&mut writer, &[(1, 1)], 4).is_err());
    }
}
