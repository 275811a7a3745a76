//! vLLM's own log of requests, in which each one has its tokens.
//!
//! Source: vLLM, `entrypoints/logger.py` and `logger.py` (`--enable-log-requests`): a line
//! `Received request ID: prompt: ..., prompt_token_ids: [...]`, or since 0.11 with the level DEBUG
//! `Request ID details: prompt: ..., prompt_token_ids: [...]`. Times have no year, so the first day of a
//! year comes before the last one of the year before. The length of the answer stands in a later line, if at
//! all, and is not read. Blocks have 16 tokens unless the user says otherwise. All other lines are passed
//! over.

use memchr::memmem;

use super::base::{DecodeLine, FileFacts};
use super::tokens::TokenBlocks;
use crate::error::Invalid;
use crate::record::json::text_of;
use crate::record::line::TraceLine;
use crate::record::scan::Scanner;
use crate::record::time::Millis;

/// Levels of the log.
const LEVELS: [&str; 4] = ["INFO ", "DEBUG ", "WARNING ", "ERROR "];

/// Whether a line is of such a log.
pub(super) fn is_log(line: &[u8]) -> bool {
    text_of(line).ok().and_then(moment).is_some()
}

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    let mut blocks = TokenBlocks::new(file);
    Box::new(move |line, out| {
        const TOKENS: &[u8] = b"prompt_token_ids: [";
        // A prompt may hold anything, so its tokens are what stands last.
        let Some(at) = memmem::rfind(line, TOKENS) else { return Ok(()) };
        let head = &line[..at];
        let is_request = [&b"Received request "[..], b" details: prompt: "];
        if !is_request.iter().any(|text| memmem::find(head, text).is_some()) {
            return Ok(());
        }
        let mut tokens = Vec::new();
        let list = &mut Scanner::new(&line[at + TOKENS.len() - 1..]);
        list.id_list(&mut tokens)
            .ok_or_else(|| Invalid::value("prompt_token_ids: expected a list of tokens"))?;
        let request = TraceLine {
            time: text_of(line).ok().and_then(moment),
            input_length: tokens.len() as u64,
            ids: Some(blocks.ids(&tokens).into()),
            block_size: Some(blocks.block_size),
            ..TraceLine::default()
        };
        out.push(&request, false);
        Ok(())
    })
}

/// The time of a line: after its level, `07-10 12:34:56`.
fn moment(line: &str) -> Option<Millis> {
    // A process may name itself first: `(APIServer pid=1) INFO ...`.
    let head: String = line.chars().take(120).collect();
    let (_, rest) = LEVELS.iter().find_map(|level| head.split_once(level))?;
    let end = rest.find(|c: char| c != ' ' && c != '-' && c != ':' && c != '.' && !c.is_ascii_digit());
    let text = rest[..end.unwrap_or(rest.len())].trim();
    // The year 2000 has a 29th of February.
    Millis::parse_date(&format!("2000-{text}"))
}
