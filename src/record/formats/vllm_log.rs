//! vLLM's own log of requests, in which each one has its tokens.
//!
//! Source: vLLM, `entrypoints/logger.py` and `logger.py` (`--enable-log-requests`): a line
//! `Received request ID: prompt: ..., prompt_token_ids: [...]`, or since 0.11 with the level DEBUG
//! `Request ID details: prompt: ..., prompt_token_ids: [...]`. The adapter, `lora_request: LoRARequest(lora_name='...')`
//! or `None`, stands behind the tokens, or with the level DEBUG in the line `Received request ID: params: ...` that
//! follows: until then a request is held. Times have no year, so the first day of a year comes before the last one of
//! the year before. The length of the answer stands in a later line, if at
//! all, and is not read. Blocks have 16 tokens unless the user says otherwise. All other lines are passed
//! over.

use std::collections::VecDeque;

use memchr::memmem;

use super::base::{DecodeLine, DecodedLines, FileFacts};
use super::tokens::TokenBlocks;
use crate::error::Invalid;
use crate::record::json::text_of;
use crate::record::line::TraceLine;
use crate::record::prompt::Keys;
use crate::record::scan::Scanner;
use crate::record::time::Millis;

/// Levels of the log.
const LEVELS: [&str; 4] = ["INFO ", "DEBUG ", "WARNING ", "ERROR "];

/// Whether a line is of such a log.
pub(super) fn is_log(line: &[u8]) -> bool {
    text_of(line).ok().and_then(moment).is_some()
}

/// So many requests may wait for the line that tells their adapter: one for each process that writes the log.
const OPEN_REQUESTS: usize = 16;

/// A request that is held.
#[derive(Clone)]
struct Logged {
    id: Vec<u8>,
    time: Option<Millis>,
    tokens: Vec<u64>,
    /// Whether its adapter is known.
    is_whole: bool,
}

impl Logged {
    /// Holds it in `place`, with its adapter.
    fn hold(
        &self,
        place: usize,
        lora: Option<String>,
        blocks: &mut TokenBlocks,
        out: &mut DecodedLines,
    ) -> Result<(), Invalid> {
        let keys = Keys { lora, ..Keys::default() };
        let request = TraceLine {
            time: self.time,
            input_length: self.tokens.len() as u64,
            ids: Some(blocks.keyed_ids(&self.tokens, &keys).into()),
            block_size: Some(blocks.block_size),
            ..TraceLine::default()
        };
        out.hold(place, |out| {
            out.push(&request, false);
            Ok(())
        })
    }
}

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    let mut blocks = TokenBlocks::new(file);
    let mut open: VecDeque<Logged> = VecDeque::new();
    Box::new(move |line, out| {
        const TOKENS: &[u8] = b"prompt_token_ids: [";
        let Some((id, is_whole)) = request_id(line) else { return Ok(()) };
        // A prompt may hold anything, so its tokens are what stands last.
        match memmem::rfind(line, TOKENS) {
            Some(at) => {
                let rest = &line[at + TOKENS.len() - 1..];
                let mut tokens = Vec::new();
                let list = &mut Scanner::new(rest);
                list.id_list(&mut tokens)
                    .ok_or_else(|| Invalid::value("prompt_token_ids: expected a list of tokens"))?;
                let lora = adapter(&rest[list.position()..]);
                let time = text_of(line).ok().and_then(moment);
                let request = Logged { id: id.to_owned(), time, tokens, is_whole };
                request.hold(open.len(), lora, &mut blocks, out)?;
                open.push_back(request);
            }
            None => {
                let mut known = open.iter_mut().enumerate();
                let goes_on = |request: &Logged| is_whole && !request.is_whole && request.id == id;
                let Some((place, request)) = known.find(|(_, request)| goes_on(request)) else {
                    return Ok(());
                };
                request.is_whole = true;
                if let Some(name) = adapter(line) {
                    request.hold(place, Some(name), &mut blocks, out)?;
                }
            }
        }
        while open.front().is_some_and(|first| first.is_whole) || open.len() > OPEN_REQUESTS {
            open.pop_front();
            out.release_first();
        }
        Ok(())
    })
}

/// The id of the request that a line is about, and whether nothing more is said of it.
fn request_id(line: &[u8]) -> Option<(&[u8], bool)> {
    const RECEIVED: &[u8] = b"Received request ";
    const DETAILS: &[u8] = b"Request ";
    let received = memmem::find(line, RECEIVED);
    // A prompt may hold anything, so what stands first counts.
    let details = memmem::find(&line[..received.unwrap_or(line.len())], DETAILS);
    let (rest, end): (_, &[u8]) = match (details, received) {
        (Some(at), _) => (&line[at + DETAILS.len()..], b" details: prompt: "),
        (None, at) => (&line[at? + RECEIVED.len()..], b": "),
    };
    Some((&rest[..memmem::find(rest, end)?], details.is_none()))
}

/// The name of the adapter in the text of a request, as Python writes it.
fn adapter(text: &[u8]) -> Option<String> {
    const REQUEST: &[u8] = b"lora_request: LoRARequest(";
    const NAME: &[u8] = b"lora_name=";
    let text = &text[memmem::rfind(text, REQUEST)?..];
    let (quote, name) = text[memmem::find(text, NAME)? + NAME.len()..].split_first()?;
    let is_end = |at: &usize| name[*at] == *quote && !name[..*at].ends_with(b"\\");
    let end = (0..name.len()).find(is_end)?;
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
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
