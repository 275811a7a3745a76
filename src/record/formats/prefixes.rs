//! Calls of which only lengths are known, and how many tokens of each prompt the server had in its cache.
//!
//! Source: the model of aiperf 0.13 for `TraceLab`, `_tracelab_convert.py`. A call keeps the blocks of its
//! session's last call that lie wholly in its cached prefix, and all its other blocks are new. So blocks that
//! two sessions share count as different, and the calls of a session must come in order. Only full blocks
//! have ids, and a call has none where its session or its cached prefix is not known.

use super::base::{DecodedLines, FileFacts};
use super::calls::CallBlocks;
use crate::error::Invalid;
use crate::record::json::{RawObject, implausible};
use crate::record::line::{OWN_NAMES, TraceLine};
use crate::record::prompt::value_at;
use crate::record::surrogate::surrogate_id;
use crate::record::time::Millis;
use crate::record::trace_record::MAX_NEW_BLOCKS;

/// Tokens per block where the user does not say.
const BLOCK_SIZE: u64 = 64;

/// Bytes of a text in quotes that may be the name of a kind.
const LONGEST_LABEL: usize = 66;

/// A call of a server.
#[derive(Clone, Default)]
pub(super) struct Call<'a> {
    pub(super) session: Option<String>,
    /// The session that began this one.
    pub(super) parent: Option<String>,
    pub(super) time: Option<Millis>,
    /// How long after the last call of its session it is sent.
    pub(super) delay: Option<Millis>,
    pub(super) input_length: u64,
    pub(super) output_length: Option<u64>,
    /// Tokens of the prompt that the server had in its cache.
    pub(super) cached: Option<u64>,
    /// Tokens of it that the server wrote there.
    pub(super) written: Option<u64>,
    /// Further fields, with their JSON.
    pub(super) rest: Vec<(&'a str, &'a str)>,
}

/// Says of calls which blocks they have.
#[derive(Clone)]
pub(super) struct CachedPrefixes {
    block_size: u64,
    keep: Vec<String>,
}

impl CachedPrefixes {
    pub(super) fn new(file: &FileFacts) -> Self {
        let block_size = file.block_size.unwrap_or(BLOCK_SIZE);
        Self { block_size, keep: file.keep.clone() }
    }

    /// The fields of a call that stay: those that are `known`, and those that the user wants.
    pub(super) fn kept(&self, object: &RawObject, known: &[&str]) -> Vec<(String, String)> {
        let wanted = self.keep.iter().map(String::as_str).filter(|name| !known.contains(name));
        let names = known.iter().copied().chain(wanted);
        let value = |name: &str| Some((name.to_owned(), value_at(object, name)?.json().get().to_owned()));
        names.filter_map(value).collect()
    }

    /// Tells of the fields with short texts that have no part in a call and are not kept; `used` are those that
    /// have.
    pub(super) fn tell_left_out(&self, object: &RawObject, used: &[&str], out: &mut DecodedLines) {
        let is_label = |value: &str| {
            let is_text = value.starts_with('"') && (3..LONGEST_LABEL).contains(&value.len());
            (is_text || matches!(value, "true" | "false"))
                && Millis::parse_date(value.trim_matches('"')).is_none()
        };
        let labels = object.fields().filter(|(_, value)| is_label(value.get())).map(|(name, _)| name);
        out.set_left_out(labels.filter(|name| {
            !used.contains(name) && !OWN_NAMES.contains(name) && !self.keep.iter().any(|kept| kept == name)
        }));
    }

    /// Adds the request of a call.
    pub(super) fn push(&self, call: &Call, out: &mut DecodedLines) -> Result<(), Invalid> {
        let mut request = TraceLine {
            time: call.time,
            input_length: call.input_length,
            output_length: call.output_length,
            session: call.session.as_deref(),
            parent: call.parent.as_deref(),
            delay: call.delay,
            cached_tokens: call.cached,
            cache_write_tokens: call.written,
            rest: call.rest.clone(),
            ..TraceLine::default()
        };
        let Some((session, cached)) = call.session.as_ref().zip(call.cached) else {
            out.push(&request, true);
            return Ok(());
        };
        let length = call.input_length;
        let all = length / self.block_size;
        if all > MAX_NEW_BLOCKS {
            return Err(implausible("input_length", &length.to_string(), "tokens"));
        }
        request.block_size = Some(self.block_size);
        let session = surrogate_id(&[session.as_bytes()]);
        let cached = (cached.min(length) / self.block_size) as u32;
        out.push_call(request, CallBlocks { session, cached, all: all as u32 });
        Ok(())
    }
}
