//! Detailed results of the benchmarks of vLLM and `SGLang`.
//!
//! Sources: vLLM, `benchmarks/serve.py` (`vllm bench serve --save-result --save-detailed`); `SGLang`,
//! `bench_serving.py` (`--output-details`). One object per run, with columns: `input_lens`, `output_lens`, and
//! `start_times` (seconds of some clock), which `SGLang` does not have. A request that failed has no answer;
//! it stays, as its prompt was sent.

use super::base::{DecodeObject, FileFacts};
use crate::error::Invalid;
use crate::record::json::{RawObject, expected, whole_tokens};
use crate::record::line::TraceLine;
use crate::record::time::{Millis, Unit};

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("input_lens") && object.has("output_lens")
}

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        let inputs = object.list("input_lens")?;
        let column = |name: &str| match object.get(name).map(|_| object.list(name)).transpose()? {
            // Results without details have empty lists.
            Some(list) if list.len() == inputs.len() => Ok(Some(list)),
            Some(list) if list.is_empty() => Ok(None),
            None => Ok(None),
            Some(list) => Err(Invalid::value(format!(
                "{name}: expected as many values as in input_lens, {}, found {}",
                inputs.len(),
                list.len()
            ))),
        };
        let (outputs, starts) = (column("output_lens")?, column("start_times")?);
        let mut rows = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            let output = outputs.as_ref().map(|list| whole_tokens("output_lens", list[i].get()));
            let start = starts.as_ref().map(|list| start(list[i].get()));
            rows.push((start.transpose()?, whole_tokens("input_lens", input.get())?, output.transpose()?));
        }
        // Columns are in the order of the data set, not of sending.
        rows.sort_by_key(|(time, ..)| *time);
        for (time, input_length, output_length) in rows {
            out.push(&TraceLine { time, input_length, output_length, ..TraceLine::default() }, false);
        }
        Ok(())
    })
}

fn start(text: &str) -> Result<Millis, Invalid> {
    Millis::parse(text, Unit::Seconds).ok_or_else(|| expected("start_times", "numbers of seconds", text))
}
