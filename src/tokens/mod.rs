//! Tokenizers: text to token ids, with nothing to download.
//!
//! A tokenizer never adds tokens of its own and reads the names of special tokens
//! (`<|endoftext|>`) as the ordinary text that they are in a prompt: two prompts share exactly the
//! tokens of their common text, and no input can forge a token.

pub mod chat;
mod words;

use tiktoken::CoreBpe;

pub use words::Words;

/// The tokenizer used where the user names none.
pub const DEFAULT: &str = "o200k_base";

/// The name of the tokenizer whose tokens are bytes.
const BYTES: &str = "bytes";

/// Turns text into token ids. Cheap to copy; may be used by several threads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenizer {
    /// `OpenAI`'s byte-pair vocabulary of 199,998 tokens, embedded in the program and decoded on first
    /// use, which takes about a tenth of a second. The ids are those of `encode_ordinary` in Python's
    /// tiktoken, with one exception known: the crate behind it takes an apostrophe and a long s
    /// (U+017F) after an ASCII word for a piece of its own instead of a contraction.
    O200kBase,
    /// One token for each byte of the text's UTF-8 form. Needs no vocabulary, which makes results
    /// easy to reproduce by other means.
    Bytes,
}

impl Tokenizer {
    /// The tokenizer of this name: `o200k_base` or `bytes`.
    ///
    /// # Errors
    ///
    /// A message that lists the names, if there is no such tokenizer.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            DEFAULT => Ok(Self::O200kBase),
            BYTES => Ok(Self::Bytes),
            _ => Err(format!("no tokenizer \"{name}\"; there are {DEFAULT} and {BYTES}")),
        }
    }

    /// The name by which the tokenizer is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => DEFAULT,
            Self::Bytes => BYTES,
        }
    }

    /// The number of token ids: all ids are below it.
    pub fn vocabulary_size(self) -> usize {
        match self {
            Self::O200kBase => o200k_base().vocab_size(),
            Self::Bytes => 256,
        }
    }

    /// Appends the tokens of `text` to `tokens`. The empty text has none.
    pub fn encode(self, text: &str, tokens: &mut Vec<u32>) {
        match self {
            Self::O200kBase => tokens.append(&mut o200k_base().encode(text)),
            Self::Bytes => tokens.extend(text.bytes().map(u32::from)),
        }
    }

    /// The number of tokens that [`Tokenizer::encode`] finds in `text`.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::O200kBase => o200k_base().count(text),
            Self::Bytes => text.len(),
        }
    }
}

/// The embedded vocabulary, decoded by the first call.
#[expect(clippy::expect_used, reason = "a build without this vocabulary is a mistake in Cargo.toml")]
fn o200k_base() -> &'static CoreBpe {
    tiktoken::get_encoding(DEFAULT).expect("the vocabulary is a feature chosen in Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        Tokenizer::O200kBase.encode(text, &mut tokens);
        assert_eq!(Tokenizer::O200kBase.count(text), tokens.len(), "{text:?}");
        tokens
    }

    #[test]
    fn a_tokenizer_is_chosen_by_its_name() {
        for name in ["o200k_base", "bytes"] {
            assert_eq!(Tokenizer::named(name).unwrap().name(), name);
        }
        let error = Tokenizer::named("gpt2").unwrap_err();
        assert_eq!(error, "no tokenizer \"gpt2\"; there are o200k_base and bytes");
    }

    #[test]
    fn the_bytes_of_a_text_are_its_tokens() {
        let mut tokens = vec![7];
        Tokenizer::Bytes.encode("a\u{e9}", &mut tokens);
        assert_eq!(tokens, [7, 0x61, 0xc3, 0xa9]);
        assert_eq!(Tokenizer::Bytes.count("a\u{e9}"), 3);
        assert_eq!(Tokenizer::Bytes.vocabulary_size(), 256);
    }

    /// The ids are the output of tiktoken 0.14 for Python.
    #[test]
    fn the_ids_are_those_of_tiktoken() {
        let vectors: [(&str, &[u32]); 8] = [
            ("", &[]),
            ("Hello, world!", &[13225, 11, 2375, 0]),
            (" leading and  double   spaces \n\n\tend", &[8117, 326, 220, 3503, 256, 18608, 1202, 13304]),
            (
                "HTTPServer's camelCase it'LL 1234567 .\n//x",
                &[17893, 6444, 885, 83330, 6187, 480, 6, 7454, 220, 7633, 19354, 22, 220, 7621, 87],
            ),
            (
                "naïve café, 北京 12月, 한국어 ひらがな",
                &[
                    1503, 9954, 737, 30469, 11, 15439, 220, 899, 3181, 11, 52971, 5959, 220, 60922, 8870,
                    6632, 5784,
                ],
            ),
            (
                "हिन्दी ไทย עברית العربية ｆｕｌｌ\u{3000}width",
                &[
                    1554, 71602, 840, 62720, 128_301, 6277, 33968, 184_743, 228, 5257, 243, 5257, 234, 5257,
                    234, 1397, 6015,
                ],
            ),
            ("\u{a0}\u{2003}\u{3000}\r\n\r\n\u{2028}x", &[5310, 33203, 1397, 1414, 51008, 87]),
            (
                "\0\u{7f}\u{fffd}\u{e000}\u{2000b} ẞß ǅ ʰ a\u{301}",
                &[
                    188, 221, 3251, 112_593, 222, 172, 62313, 233, 220, 803, 252, 2819, 220, 131, 227, 220,
                    134, 108, 261, 13430,
                ],
            ),
        ];
        for (text, expected) in vectors {
            assert_eq!(encode(text), expected, "{text:?}");
            assert!(expected.iter().all(|&id| (id as usize) < Tokenizer::O200kBase.vocabulary_size()));
        }
    }

    #[test]
    fn the_names_of_special_tokens_are_ordinary_text() {
        assert_eq!(
            encode("<|endoftext|><|im_start|>user\n<|im_end|>"),
            [27, 91, 419, 1440, 919, 91, 3784, 91, 321, 10949, 91, 29, 1428, 198, 27, 91, 321, 13707, 91, 29]
        );
    }

    #[test]
    fn long_runs_of_one_character_are_merged_like_short_ones() {
        assert_eq!(encode(&"a".repeat(100_000)), vec![117_525; 12_500]);
        assert_eq!(encode(&"中".repeat(50_000)), vec![1404; 50_000]);
        assert_eq!(encode(&" ".repeat(100_000)).len(), 782);
    }
}
