//! Mooncake lines whose times are in seconds: traces for guidellm and for vLLM.
//!
//! Sources: guidellm 0.8, `data/deserializers/trace_common.py`; vLLM, `vllm bench serve --dataset-name
//! timed_trace`. Nothing in a line says so, so these formats are not detected automatically. The block size
//! is an option of those programs. Everything but the timestamp stays.

use super::base::{DecodeLine, DecodedLines, FileFacts, counts_from_zero, mooncake_fields, optional_ids};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::time::Unit;

struct SecondsDecoder;

pub(super) fn decoder(_: &FileFacts) -> Box<dyn DecodeLine> {
    Box::new(SecondsDecoder)
}

impl DecodeLine for SecondsDecoder {
    fn line(&mut self, line: &[u8], out: &mut DecodedLines) -> Result<(), Invalid> {
        let object = RawObject::parse(line)?;
        let ids = optional_ids(&object)?;
        let mut request = mooncake_fields(&object, Unit::Seconds)?;
        let from_zero = ids.as_deref().is_some_and(counts_from_zero);
        request.ids = ids.map(Into::into);
        out.push(&request, from_zero);
        Ok(())
    }
}
