//! Tokenizer files of any kind, run by the crate `tokenizers`: the code that Python's `tokenizers` is.
//!
//! All is the crate's own but for regular expressions (see [`oniguruma`](super::oniguruma)): the steps
//! that have one are read here, so that a pattern that cannot be run refuses the file, and one that
//! takes too long ends with an error. (The crate ends the search, and says nothing.)

use std::collections::HashMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::models::unigram::Unigram;
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::{
    AddedToken, Decoder, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, Offsets,
    PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior,
    TokenizerImpl,
};

use super::oniguruma::Regex;

/// A tokenizer of a file.
pub(super) struct General(TokenizerImpl<ModelWrapper, Normalize, PreTokenize, PostProcessorWrapper, Decode>);

impl General {
    /// Reads the text of a tokenizer file.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        // A file that is not JSON gets the clearest message from serde.
        serde_json::from_str::<IgnoredAny>(text).map_err(|e| e.to_string())?;
        let mut tokenizer: TokenizerImpl<ModelWrapper, Normalize, PreTokenize, PostProcessorWrapper, Decode> =
            guarded(|| serde_json::from_str(text).map_err(|e| of_part(text, e)))?;
        if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
            && bpe.dropout.is_some_and(|dropout| dropout > 0.0)
        {
            return Err("model: dropout makes its tokens random".into());
        }
        if let ModelWrapper::Unigram(_) = tokenizer.get_model() {
            tokenizer.with_model(guarded(|| unigram(text))?);
        }
        tokenizer.with_padding(None).with_truncation(None).map_err(|e| e.to_string())?;
        Ok(Self(tokenizer))
    }

    /// Appends the tokens of `text`, with `around` those around it too.
    pub(super) fn encode(&self, text: &str, around: bool, out: &mut Vec<u32>) -> Result<(), String> {
        let encoding = guarded(|| self.0.encode_fast(text, around).map_err(|e| e.to_string()))?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}

/// An error in a file, with the part that it is in if it does not say so itself.
fn of_part(text: &str, error: serde_json::Error) -> String {
    fn check<T: for<'de> Deserialize<'de>>(part: &str) -> Result<(), serde_json::Error> {
        serde_json::from_str::<Option<T>>(part).map(drop)
    }
    type Check = fn(&str) -> Result<(), serde_json::Error>;
    let checks: [(&str, Check); 3] = [
        ("model", check::<ModelWrapper>),
        ("post_processor", check::<PostProcessorWrapper>),
        ("added_tokens", check::<Vec<AddedToken>>),
    ];
    let parts: HashMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let failed = checks.iter().find_map(|(name, check)| {
        let reason = check(parts.get(*name)?.get()).err()?;
        Some(format!("{name}: {reason}"))
    });
    failed.unwrap_or_else(|| error.to_string())
}

/// The Unigram model of a file with the scores that Python's `tokenizers` reads: its JSON reader rounds
/// twice, and the last bit decides between segmentations of equal score, as of a long run of one letter.
fn unigram(text: &str) -> Result<Unigram, String> {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        model: Model<'a>,
    }
    #[derive(Deserialize)]
    struct Model<'a> {
        #[serde(borrow)]
        vocab: Vec<(String, &'a RawValue)>,
        unk_id: Option<usize>,
        #[serde(default)]
        byte_fallback: bool,
    }
    let Model { vocab, unk_id, byte_fallback } =
        serde_json::from_str::<File<'_>>(text).map_err(|e| format!("model: {e}"))?.model;
    let score = |number: &str| twice_rounded(number).ok_or_else(|| format!("model: a score of {number}"));
    let vocab = vocab.into_iter().map(|(token, number)| Ok((token, score(number.get())?)));
    Unigram::from(vocab.collect::<Result<_, String>>()?, unk_id, byte_fallback)
        .map_err(|e| format!("model: {e}"))
}

/// A JSON number as `serde_json` reads it without its feature `float_roundtrip`: the digits that fit into
/// 64 bits, rounded to a float, and that times or divided by a power of ten.
fn twice_rounded(number: &str) -> Option<f64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let mut exponent: i32 = exponent.parse().ok()?;
    let digits = mantissa.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (mut significand, mut fits) = (0_u64, true);
    for (place, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(10)?);
        let next = significand.checked_mul(10).and_then(|tens| tens.checked_add(digit)).filter(|_| fits);
        fits = next.is_some();
        significand = next.unwrap_or(significand);
        match (fits, place < whole.len()) {
            (true, false) => exponent = exponent.checked_sub(1)?,
            (false, true) => exponent = exponent.checked_add(1)?,
            _ => {}
        }
    }
    let mut value = significand as f64;
    if exponent < -308 {
        value /= 1e308;
        exponent += 308;
    }
    let power: f64 = format!("1e{}", exponent.unsigned_abs()).parse().ok()?;
    let value = if exponent < 0 { value / power } else { value * power };
    value.is_finite().then_some(if mantissa.starts_with('-') { -value } else { value })
}

/// What `work` gives; a panic in the crate is an error as others are.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    crate::error::guarded(work)
        .unwrap_or_else(|| Err("the library that runs this tokenizer failed".to_owned()))
}

impl Pattern for &Regex {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let pieces = self.pieces(inside)?;
        Ok(pieces.into_iter().map(|(piece, matches)| ((piece.start, piece.end), matches)).collect())
    }
}

/// Changes of a text before all else.
enum Normalize {
    Steps(Vec<Self>),
    Replace { regex: Regex, content: String },
    Other(NormalizerWrapper),
}

impl<'de> Deserialize<'de> for Normalize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(value).map_err(|reason| D::Error::custom(format_args!("normalizer: {reason}")))
    }
}

impl Normalize {
    fn read(mut value: Value) -> Result<Self, String> {
        if let Some(steps) = steps(&mut value, "normalizers") {
            return steps.into_iter().map(Self::read).collect::<Result<_, _>>().map(Self::Steps);
        }
        match (regex(&value, "Replace"), value.get("content").and_then(Value::as_str)) {
            (Some(pattern), Some(content)) => {
                Ok(Self::Replace { regex: Regex::new(pattern)?, content: content.to_owned() })
            }
            _ => other(value).map(Self::Other),
        }
    }
}

impl Normalizer for Normalize {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::Steps(steps) => steps.iter().try_for_each(|step| step.normalize(text)),
            Self::Replace { regex, content } => text.replace(regex, content),
            Self::Other(step) => step.normalize(text),
        }
    }
}

/// Steps that cut a text into words.
enum PreTokenize {
    Steps(Vec<Self>),
    Split { regex: Regex, behavior: SplitDelimiterBehavior, invert: bool },
    Other(PreTokenizerWrapper),
}

impl<'de> Deserialize<'de> for PreTokenize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(value).map_err(|reason| D::Error::custom(format_args!("pre_tokenizer: {reason}")))
    }
}

impl PreTokenize {
    fn read(mut value: Value) -> Result<Self, String> {
        if let Some(steps) = steps(&mut value, "pretokenizers") {
            return steps.into_iter().map(Self::read).collect::<Result<_, _>>().map(Self::Steps);
        }
        let Some(pattern) = regex(&value, "Split") else { return other(value).map(Self::Other) };
        let regex = Regex::new(pattern)?;
        let invert = value.get("invert").and_then(Value::as_bool).ok_or("Split: no \"invert\"")?;
        let behavior = value["behavior"].take();
        let behavior = serde_json::from_value(behavior).map_err(|e| format!("Split: {e}"))?;
        Ok(Self::Split { regex, behavior, invert })
    }
}

impl PreTokenizer for PreTokenize {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Steps(steps) => steps.iter().try_for_each(|step| step.pre_tokenize(text)),
            Self::Split { regex, behavior, invert: false } => {
                text.split(|_, piece| piece.split(regex, *behavior))
            }
            Self::Split { regex, behavior, invert: true } => {
                text.split(|_, piece| piece.split(Invert(regex), *behavior))
            }
            Self::Other(step) => step.pre_tokenize(text),
        }
    }
}

/// The steps of a sequence.
fn steps(value: &mut Value, name: &str) -> Option<Vec<Value>> {
    if value.get("type")? != "Sequence" {
        return None;
    }
    match value.get_mut(name)?.take() {
        Value::Array(steps) => Some(steps),
        _ => None,
    }
}

/// The regular expression of a step of this kind, if it is one and has one.
fn regex<'a>(value: &'a Value, kind: &str) -> Option<&'a str> {
    if value.get("type")? != kind {
        return None;
    }
    value.get("pattern")?.get("Regex")?.as_str()
}

/// A step that the crate reads.
fn other<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    let kind = value.get("type").map_or("a step without a type".to_owned(), ToString::to_string);
    serde_json::from_value(value).map_err(|e| format!("{kind}: {e}"))
}

/// How tokens become text again, which is never done here.
struct Decode;

impl<'de> Deserialize<'de> for Decode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Decoder for Decode {
    fn decode_chain(&self, tokens: Vec<String>) -> tokenizers::Result<Vec<String>> {
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's tokenizers 0.23.3 makes of these scores, seen by which of two segmentations it takes.
    #[test]
    fn scores_are_rounded_twice() {
        for (number, expected) in [
            ("-5", -5.0),
            ("-2.0", -2.0),
            ("0.1", 0.1),
            ("-3.5e-2", -0.035),
            ("1E3", 1000.0),
            ("-11.283802032470703", -11.283_802_032_470_703),
            // The digits are more than 53 bits hold.
            ("9.007199254740993", 9.007_199_254_740_992),
            ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
            ("0.123456789012345678901234567890", 0.123_456_789_012_345_68),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(twice_rounded(number), Some(expected), "{number}");
        }
        for bad in ["1e400", "null", "\"1\"", "1e99999999999"] {
            assert_eq!(twice_rounded(bad), None, "{bad}");
        }
        let differs = |number: &&str| twice_rounded(number) != number.parse().ok();
        assert!(["-3.6123709293488147", "-12.029181247038437"].iter().all(differs));
    }
}
