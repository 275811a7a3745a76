//! The prompts of one chat, most of which continue the one before.

use super::chunk_cache::CHUNK;
use super::encoder::Encoder;
use crate::error::Invalid;

/// A prompt and its tokens; the next prompt takes over the tokens of what both have in common.
#[derive(Default)]
pub struct GrowingPrompt {
    text: String,
    tokens: Vec<u32>,
    /// Places where the text may be cut: the byte offset, and the number of tokens before it.
    marks: Vec<(usize, usize)>,
}

impl GrowingPrompt {
    /// The tokens of the last prompt.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets the last prompt.
    pub fn clear(&mut self) {
        self.text.clear();
        self.tokens.clear();
        self.marks.clear();
    }

    /// Goes on to the prompt `text`, whose tokens are then [`GrowingPrompt::tokens`]; returns how many of
    /// them are the first tokens of the last prompt as well.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn advance(&mut self, text: &str, encoder: &mut Encoder) -> Result<usize, Invalid> {
        let common = common_prefix(self.text.as_bytes(), text.as_bytes());
        // Whether a cut is safe depends on the two characters beside it, so both must be common.
        while self.marks.last().is_some_and(|&(at, _)| at + 4 > common) {
            self.marks.pop();
        }
        let (mut start, known) = self.marks.last().copied().unwrap_or_default();
        self.tokens.truncate(known);
        self.text.truncate(start);
        self.text.push_str(&text[start..]);
        if let Some(cuts) = encoder.tokenizer().cuts() {
            while text.len() - start > CHUNK
                && let Some(length) = cuts.next(&text[start..], CHUNK)
            {
                encoder.encode(&text[start..start + length], &mut self.tokens)?;
                start += length;
                self.marks.push((start, self.tokens.len()));
            }
        }
        encoder.encode(&text[start..], &mut self.tokens)?;
        Ok(known)
    }
}

/// Length of the longest common prefix.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    let done = steps * STEP;
    done + a[done..].iter().zip(&b[done..]).take_while(|(a, b)| a == b).count()
}
