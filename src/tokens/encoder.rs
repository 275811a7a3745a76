//! Text to tokens, with a memory of what has been tokenised before.

use std::ops::Range;
use std::sync::Arc;

use super::chunk_cache::{CHUNK, ChunkCache};
use super::embedded;
use super::file::Scratch;
use super::split::Cuts;
use super::tokenizer::{Kind, Tokenizer};
use crate::error::Invalid;

/// A tokenizer as one thread uses it, with the words and chunks of text that it remembers.
pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    scratch: Scratch,
    chunks: Option<(Cuts, ChunkCache)>,
    counted: Vec<u32>,
}

impl Encoder {
    /// An encoder that remembers up to `memory` bytes of text and tokens; 0 for none.
    pub fn new(tokenizer: Arc<Tokenizer>, memory: usize) -> Self {
        let cuts = tokenizer.cuts().filter(|_| memory > 0);
        let chunks = cuts.map(|cuts| (cuts, ChunkCache::new(memory)));
        Self { tokenizer, scratch: Scratch::default(), chunks, counted: Vec::new() }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A part of `text` whose tokens do not depend on what follows `text`, nor on what precedes it if that
    /// ends in a newline. `None` if there is no such part, or it is too short to be worth keeping.
    pub fn middle(&self, text: &str) -> Option<Range<usize>> {
        let middle = self.tokenizer.cuts()?.middle(text)?;
        (middle.len() >= CHUNK / 4).then_some(middle)
    }

    /// Appends the tokens of `text` to `tokens`. The empty text has none.
    ///
    /// # Errors
    /// When the tokenizer cannot encode the text; byte-level tokenizers can encode any.
    pub fn encode(&mut self, text: &str, tokens: &mut Vec<u32>) -> Result<(), Invalid> {
        if let Some((cuts, mut chunks)) = self.chunks.take() {
            let result = if chunks.pays(text.len() / CHUNK) {
                self.encode_chunks(text, cuts, &mut chunks, tokens)
            } else {
                self.encode_afresh(text, tokens)
            };
            self.chunks = Some((cuts, chunks));
            return result;
        }
        self.encode_afresh(text, tokens)
    }

    /// Encodes a chunk at a time; neighbouring chunks that are new are tokenised together.
    fn encode_chunks(
        &mut self,
        text: &str,
        cuts: Cuts,
        chunks: &mut ChunkCache,
        tokens: &mut Vec<u32>,
    ) -> Result<(), Invalid> {
        let (mut new, mut start) = (0, 0);
        while text.len() - start > CHUNK
            && let Some(length) = cuts.next(&text[start..], CHUNK)
        {
            let chunk = &text[start..start + length];
            match chunks.look(chunk) {
                Err(None) => {}
                Ok(known) => {
                    self.encode_afresh(&text[new..start], tokens)?;
                    tokens.extend_from_slice(known);
                    new = start + length;
                }
                Err(Some(hash)) => {
                    self.encode_afresh(&text[new..start], tokens)?;
                    let before = tokens.len();
                    self.encode_afresh(chunk, tokens)?;
                    chunks.insert(hash, chunk, &tokens[before..]);
                    new = start + length;
                }
            }
            start += length;
        }
        self.encode_afresh(&text[new..], tokens)
    }

    fn encode_afresh(&mut self, text: &str, tokens: &mut Vec<u32>) -> Result<(), Invalid> {
        if text.is_empty() {
            return Ok(());
        }
        match &self.tokenizer.kind {
            Kind::O200kBase => embedded::o200k_base().encode(text, &mut self.scratch, tokens),
            Kind::Bytes => tokens.extend(text.bytes().map(u32::from)),
            Kind::File(file) => file.encode(text, &mut self.scratch, tokens)?,
        }
        Ok(())
    }

    /// The number of tokens that [`Encoder::encode`] finds in `text`.
    ///
    /// # Errors
    /// As there.
    pub fn count(&mut self, text: &str) -> Result<usize, Invalid> {
        let mut tokens = std::mem::take(&mut self.counted);
        tokens.clear();
        let result = self.encode(text, &mut tokens);
        self.counted = tokens;
        result.map(|()| self.counted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::DEFAULT;
    use super::super::{GrowingPrompt, unicode_patch};
    use super::*;

    fn encode_as(name: &str, text: &str) -> Vec<u32> {
        let mut encoder = Encoder::new(Arc::new(Tokenizer::named(name).unwrap()), 0);
        let mut tokens = Vec::new();
        encoder.encode(text, &mut tokens).unwrap();
        assert_eq!(encoder.count(text).unwrap(), tokens.len(), "{text:?}");
        tokens
    }

    fn encode(text: &str) -> Vec<u32> {
        encode_as(DEFAULT, text)
    }

    #[test]
    fn a_tokenizer_is_chosen_by_its_name() {
        for name in ["o200k_base", "bytes"] {
            assert_eq!(Tokenizer::named(name).unwrap().identity(), name);
        }
        assert!(Tokenizer::named("gpt2").is_none());
    }

    #[test]
    fn the_bytes_of_a_text_are_its_tokens() {
        assert_eq!(encode_as("bytes", "a\u{e9}"), [0x61, 0xc3, 0xa9]);
    }

    /// The ids are the output of tiktoken 0.14 for Python.
    #[test]
    fn the_ids_are_those_of_tiktoken() {
        let vectors: [(&str, &[u32]); 14] = [
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
            // A long s after an apostrophe ends a word as an s does.
            ("a'ſ'd'mm", &[64, 6, 70067, 11062, 11146, 76]),
            (
                "B'ſ 1'ſ 'ſ'S's ſ'ſſ",
                &[33, 6, 70067, 220, 16, 6, 70067, 461, 70067, 31233, 885, 20757, 123, 6, 70067, 70067],
            ),
            // The first of each pair is assigned since Unicode 17.
            ("\u{88f}'s \u{88e}'s", &[156, 95, 237, 6, 82, 333, 95, 236, 885]),
            ("e\u{1acf}'s e\u{1ace}'s", &[68, 157, 104, 237, 6, 82, 319, 157, 104, 236, 885]),
            ("x\u{323b0}'LL\u{323af}'LL", &[87, 172, 110, 236, 108, 6, 7454, 172, 110, 236, 107, 6, 7454]),
            // A small letter up to Unicode 16 and, beside it, one without case.
            ("ʕ亚洲AVd ʔ亚洲AVd", &[134, 243, 6199, 5345, 67, 220, 134, 242, 193_819, 67]),
        ];
        for (text, expected) in vectors {
            assert_eq!(encode(text), expected, "{text:?}");
        }
    }

    /// To tiktoken they are no letters, marks or digits yet, so that no contraction follows them.
    #[test]
    fn characters_of_unicode_17_are_not_assigned() {
        let contraction = |c: char| encode(&format!("{c}'s")).ends_with(&[885]);
        for (first, last) in unicode_patch::NEW {
            for c in (first..=last).filter_map(char::from_u32) {
                assert!(!contraction(c), "{c:?}");
            }
        }
        assert!(['a', 'é', '\u{301}', '中', '\u{88e}'].into_iter().all(contraction));
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

    /// What is remembered must not change a token: texts are cut anywhere and put together anew, so
    /// that their chunks come back, and each is tokenised with a memory and without.
    #[test]
    fn text_seen_before_has_the_same_tokens() {
        let mut random = fastrand::Rng::with_seed(5);
        let parts = [
            "word",
            " ",
            "\n",
            "\n\n",
            "  ",
            "Word's",
            "123",
            "4",
            "。\n",
            "中文",
            "\t",
            "é",
            "e\u{301}",
            " x",
            "a/b",
            "//",
            "'LL",
            "\r\n",
            "<|x|>",
            "\u{a0}",
            "한국어",
            ". ",
            "\u{200b}",
            "ÅngstrÖm",
        ];
        let mut text = |length: usize| -> String {
            let mut out = String::new();
            while out.len() < length {
                out.push_str(parts[random.usize(..parts.len())]);
            }
            out
        };
        let stock: Vec<String> = (0..40).map(|i| text(200 * (i % 12))).collect();
        let tokenizer = Arc::new(Tokenizer::default());
        for memory in [20_000, 1 << 20] {
            let mut encoder = Encoder::new(tokenizer.clone(), memory);
            let mut plain = Encoder::new(tokenizer.clone(), 0);
            let mut growing = GrowingPrompt::default();
            let mut random = fastrand::Rng::with_seed(9);
            let mut last = String::new();
            for _ in 0..600 {
                let mut prompt = stock[random.usize(..4)].clone();
                if random.bool() {
                    let mut end = random.usize(..=last.len());
                    end = (0..=end).rev().find(|&end| last.is_char_boundary(end)).unwrap_or(0);
                    prompt = last[..end].to_owned();
                }
                prompt += &stock[random.usize(..stock.len())];
                let (mut expected, mut found) = (Vec::new(), Vec::new());
                plain.encode(&prompt, &mut expected).unwrap();
                encoder.encode(&prompt, &mut found).unwrap();
                assert!(found == expected, "{prompt:?}");
                let before = growing.tokens().to_vec();
                let known = growing.advance(&prompt, &mut encoder).unwrap();
                assert!(growing.tokens() == expected && before[..known] == expected[..known], "{prompt:?}");
                last = prompt;
            }
        }
    }
}
