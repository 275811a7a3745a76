//! Traces of kvcache-simulator, and Mooncake lines whose ids are strings.
//!
//! Source: the package kvcache-simulator 0.1.3 on `PyPI`, `trace.py`. The Mooncake format, but an id may
//! be a string; a string of digits is the same id as that number. Everything else stays.

use super::base::{DecodeLine, DecodedLines, FileFacts, counts_from_zero, id_of, mooncake_fields};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::time::Unit;

struct SimulatorDecoder;

pub(super) fn decoder(_: &FileFacts) -> Box<dyn DecodeLine> {
    Box::new(SimulatorDecoder)
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.get("hash_ids").is_some_and(|ids| ids.get().contains('"'))
}

impl DecodeLine for SimulatorDecoder {
    fn line(&mut self, line: &[u8], out: &mut DecodedLines) -> Result<(), Invalid> {
        let object = RawObject::parse(line)?;
        let mut ids: Option<Vec<u64>> = None;
        if object.has("hash_ids") {
            let list = object.list("hash_ids")?;
            ids = Some(list.into_iter().map(|id| id_of("hash_ids", id)).collect::<Result<_, _>>()?);
        }
        let mut request = mooncake_fields(&object, Unit::Milliseconds)?;
        let from_zero = ids.as_deref().is_some_and(counts_from_zero);
        request.ids = ids.map(Into::into);
        out.push(&request, from_zero);
        Ok(())
    }
}
