//! Why prompts do not find more of themselves in a cache: what each one has in common with earlier ones behind what
//! it shares with the beginning of any, where it parts from the one that has most of that, and what differs there.
//!
//! The prompts are kept as a tree of their tokens (`tree`). The one that begins alike for longest is compared
//! (`common`), and those that have later parts of the prompt, wherever they stand there (`compare`). Places are found by the texts of the record in what the template has made of them (`leaves`,
//! `place`), and the kind of a difference is told by the text on both sides (`kind`).

mod common;
mod compare;
mod figures;
mod kind;
mod leaves;
mod order;
mod place;
mod top;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

pub use figures::{Break, BreakReport, Explained};
pub use kind::Difference;

use common::{LEAST, common_bytes, sample};
use compare::{Compared, Wanted, compared};
use kind::{Sides, is_of_system};
use order::is_reordered;
use place::{Place, Position, locate};
use top::Top;
use tree::{Anchor, Earlier, Tree};

use super::counts::Counts;
use super::hashed::{Fields, Hashed, Request};
use super::pipeline::{Batch, Refusal, Sink};
use super::prompt::{Layout, Prompt, Source, is_of_feature};
use crate::blocks::{BlockKey, KeyTable};
use crate::error::Result;
use crate::io::Output;
use crate::record::prompt::Keys;
use crate::record::recent::Recent;
use crate::tokens::Decoder;

/// How requests are explained.
#[derive(Clone)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// What is written.
    pub shown: Shown,
    /// Characters of text around a place; 0 for none.
    pub excerpt: usize,
    /// Most bytes for the prompts to compare with.
    pub max_memory: usize,
    /// The texts of the tokens.
    pub decoder: Arc<Decoder>,
}

impl ExplainOptions {
    /// A row for each request, with texts of 80 characters.
    pub fn new(decoder: Arc<Decoder>, max_memory: usize) -> Self {
        Self { shown: Shown::Rows, excerpt: 80, max_memory, decoder }
    }
}

/// What is written about the places where prompts part.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Shown {
    /// A line of JSON for each request.
    Rows,
    /// The most expensive kinds of places, so many of them, as this function writes them.
    Top(usize, fn(&BreakReport, &mut Vec<u8>)),
}

/// Bytes of text that are looked at behind a place.
const SEEN: usize = 4096;

/// Tokens before a place that are looked at.
const BEFORE: usize = 64;

/// Explains requests one after the other.
pub(super) struct Explainer {
    output: Output,
    options: ExplainOptions,
    block_size: usize,
    /// Tokens of the shortest run that counts as lost.
    least: usize,
    tree: Tree,
    /// All blocks, forgotten prompts included, as long as there is memory for them.
    blocks: KeyTable<BlockKey>,
    /// Where the last prompt is that has a sampled window of tokens.
    windows: Recent<Anchor>,
    keys: HashMap<Keys, u32>,
    /// The keys by their numbers.
    numbered: Vec<Keys>,
    /// The first line of each file over all files, and its name.
    files: Vec<(u64, String)>,
    several_files: bool,
    top: Top,
    requests: u64,
    counts: Counts,
}

impl Explainer {
    pub(super) fn new(output: Output, options: ExplainOptions, block_size: usize, files: usize) -> Self {
        let memory = options.max_memory;
        let least = if options.decoder.is_of_bytes() { 4 * LEAST } else { LEAST };
        Self {
            output,
            options,
            block_size,
            least,
            tree: Tree::new(memory / 8 * 6),
            blocks: KeyTable::default(),
            windows: Recent::new(memory / 8),
            keys: HashMap::new(),
            numbered: Vec::new(),
            files: Vec::new(),
            several_files: files > 1,
            top: Top::default(),
            requests: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn into_output(self) -> Output {
        self.output
    }

    /// Writes what is written at the end.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Shown::Top(most, write) = self.options.shown {
            write(&self.top.report(most), self.output.buffer());
        }
        self.output.finish()
    }

    /// Adds the blocks of a request; returns how many of its first tokens are those of earlier ones, by full blocks.
    fn known_tokens(&mut self, hashed: &Hashed, start: usize, request: &Request) -> usize {
        let limit = self.options.max_memory / 8;
        let full = request.input_length as usize / self.block_size;
        // Those of the request before in the same record are known.
        let (mut known, mut is_known) = (request.shared, true);
        for hash in &hashed.hashes[start..request.hashes_end] {
            let found = self.blocks.get(hash.key()).is_some();
            is_known &= found;
            known += usize::from(is_known);
            if !found && self.blocks.bytes_with_one_more() <= limit {
                self.blocks.insert_new(hash.key());
            }
        }
        known.min(full) * self.block_size
    }

    /// The number of the keys of a request.
    fn key(&mut self, keys: &Keys) -> u32 {
        if let Some(&key) = self.keys.get(keys) {
            return key;
        }
        let key = self.numbered.len() as u32;
        self.numbered.push(keys.clone());
        self.keys.insert(keys.clone(), key);
        key
    }

    fn explain(
        &mut self,
        record: &str,
        line: u64,
        source: &Source,
        prompt: &Prompt,
        known: usize,
    ) -> Explained {
        let tokens = &prompt.tokens;
        let key = self.key(&source.keys);
        let walk = self.tree.walk(tokens, key);
        let shared = walk.own.max(known.min(tokens.len()));
        let sample = sample(tokens, walk.own, self.least);
        let wanted = Wanted { tokens, walk: &walk, key, shared, least: self.least };
        let compared = compared(&self.tree, &mut self.windows, &sample, wanted);
        let other_key = if walk.depth > compared.as_ref().map_or(0, |compared| shared + compared.lost) {
            self.tree.best_of_all(&walk)
        } else {
            None
        };
        let mut row = Explained {
            file: None,
            line: 0,
            request: None,
            prompt_tokens: tokens.len() as u64,
            shared_tokens: shared as u64,
            difference: Difference::New,
            earlier_file: None,
            earlier_line: None,
            token: None,
            block: None,
            place: None,
            character: None,
            role: None,
            in_template: false,
            approximate: false,
            excerpt: None,
            earlier_excerpt: None,
            lost_tokens: 0,
            block_lost_tokens: (shared % self.block_size) as u64,
            forgotten: known > walk.own,
        };
        match (other_key, compared) {
            _ if walk.own == tokens.len() => row.difference = Difference::Repeat,
            (Some((other, earlier)), _) => {
                let (difference, place) = self.key_difference(source, other);
                row.difference = difference;
                row.place = place;
                row.lost_tokens = walk.depth.saturating_sub(shared) as u64;
                self.put_earlier(&mut row, &earlier, walk.own);
            }
            (None, Some(compared)) if compared.tokens() > 0 => {
                row.lost_tokens = compared.lost as u64;
                self.put_earlier(&mut row, &compared.earlier, compared.earlier.shared);
                self.part(&mut row, record, source, prompt, &compared);
            }
            (None, _) => {}
        }
        let decoder = &self.options.decoder;
        let content_end = prompt.content_end(source, |tokens| decoder.length(tokens));
        let anchor = self.tree.add(tokens, walk, key, line, content_end);
        sample.iter().for_each(|&(_, hash)| self.windows.insert(hash, anchor, size_of::<Anchor>() + 48));
        row
    }

    fn put_earlier(&self, row: &mut Explained, earlier: &Earlier, token: usize) {
        let (file, line) = self.place_of(earlier.line);
        row.earlier_file = file;
        row.earlier_line = Some(line);
        row.token = Some(token as u64);
        row.block = Some((token / self.block_size) as u64);
    }

    /// The file, where there are several, and the line in it.
    fn place_of(&self, line: u64) -> (Option<String>, u64) {
        let at = self.files.partition_point(|(first, _)| *first < line);
        let Some((first, name)) = at.checked_sub(1).and_then(|at| self.files.get(at)) else {
            return (None, line);
        };
        (self.several_files.then(|| name.clone()), line - first)
    }

    /// Which key of a request differs from those with the number `other`, and where it stands.
    fn key_difference(&self, source: &Source, other: u32) -> (Difference, Option<String>) {
        let other = &self.numbered[other as usize];
        let [model, salt, adapter] = &source.places.keys;
        if source.keys.model != other.model {
            return (Difference::Model, model.clone());
        }
        if source.keys.cache_salt != other.cache_salt {
            return (Difference::Salt, salt.clone());
        }
        (Difference::Adapter, adapter.clone())
    }

    /// Says where and how two prompts part.
    fn part(&self, row: &mut Explained, record: &str, source: &Source, prompt: &Prompt, compared: &Compared) {
        let Compared { earlier, common, .. } = compared;
        let decoder = &self.options.decoder;
        let token = earlier.shared;
        let is_end = match earlier.content_end {
            Some(end) => token >= end,
            None if earlier.rest.is_empty() => {
                row.difference = Difference::Forgotten;
                row.forgotten = true;
                return;
            }
            None => false,
        };
        // Sums have places of what was lost alone, and to find a place takes as long as to read the record.
        if row.lost_tokens == 0 && matches!(self.options.shown, Shown::Top(..)) {
            return;
        }
        if matches!(prompt.layout, Layout::Ids) {
            let shown = |tokens: &[u32]| tokens.first().is_some_and(|&token| is_of_feature(token));
            row.difference = if is_end {
                Difference::End
            } else if shown(&earlier.rest) || shown(&prompt.tokens[token..]) {
                Difference::Part
            } else {
                Difference::Tokens
            };
            row.place = Some(source.places.prompt.clone());
            return;
        }
        let seen = if is_end { 256.max(4 * self.options.excerpt) } else { SEEN };
        let (a, b) = (decoder.text(&earlier.rest, seen), decoder.text(&prompt.tokens[token..], seen));
        let ahead = common_bytes(&a, &b);
        let place = locate(record, source, prompt, decoder, Position { token, ahead, following: is_end });
        let mut before = decoder.text(&prompt.tokens[token.saturating_sub(BEFORE)..token], usize::MAX);
        before.extend_from_slice(&b[..ahead]);
        let before = String::from_utf8_lossy(&before);
        let (a, b) = (String::from_utf8_lossy(&a[ahead..]), String::from_utf8_lossy(&b[ahead..]));
        let sides = Sides { before: &before, earlier: &a, later: &b };
        row.difference = match sides.difference(&common.runs) {
            _ if is_end => Difference::End,
            found @ (Difference::Part
            | Difference::WhiteSpace
            | Difference::Order
            | Difference::Time
            | Difference::Date
            | Difference::Hash) => found,
            _ if is_reordered(decoder, &prompt.tokens, token, &earlier.rest) => Difference::Order,
            found @ (Difference::Insertion | Difference::Removal) if is_of_system(place.role.as_deref()) => {
                sides.form_of_more().unwrap_or(found)
            }
            found => found,
        };
        let half = self.options.excerpt / 2;
        if half > 0 {
            row.excerpt = Some(excerpt(&before, &b, half));
            row.earlier_excerpt = Some(excerpt(&before, &a, half));
        }
        let Place { pointer, character, in_template, role, is_approximate } = place;
        row.place = Some(pointer);
        row.character = character.map(|character| character as u64);
        (row.in_template, row.role, row.approximate) = (in_template, role, is_approximate);
    }

    fn write_row(&mut self, row: &Explained, fields: &Fields) -> Result<()> {
        let out = self.output.buffer();
        // Writing to memory does not fail.
        serde_json::to_writer(&mut *out, row).ok();
        for (name, value) in &fields.kept {
            out.pop();
            let name = serde_json::to_string(name).unwrap_or_default();
            out.extend_from_slice(format!(",{name}:{value}}}").as_bytes());
        }
        out.push(b'\n');
        self.output.end_record()
    }
}

impl Sink for Explainer {
    fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    fn write(&mut self, batch: &Batch, hashed: &Hashed, from: usize) -> Result<(), Refusal> {
        if from == 0 {
            self.counts.add_all(&hashed.counts);
        }
        for (index, request) in hashed.requests.iter().enumerate().skip(from) {
            let start = index.checked_sub(1).map_or(0, |before| hashed.requests[before].end());
            let known = self.known_tokens(hashed, start, request);
            let fields = &hashed.records[request.record];
            let (Some(source), Some(prompt)) = (&fields.source, &request.prompt) else { continue };
            let (line, bytes) = batch.line(request.line);
            if self.files.last().is_none_or(|(_, name)| *name != batch.file) {
                self.files.push((line.total - line.number, batch.file.clone()));
            }
            let record = std::str::from_utf8(bytes).unwrap_or_default();
            let mut row = self.explain(record, line.total, source, prompt, known);
            (row.file, row.line) = self.place_of(line.total);
            let mut others = hashed.requests[..index].iter().rev();
            let before = others.by_ref().take_while(|other| other.line == request.line).count() as u64;
            let more = hashed.requests.get(index + 1).is_some_and(|other| other.line == request.line);
            row.request = (before > 0 || more).then_some(before + 1);
            self.requests += 1;
            match self.options.shown {
                Shown::Rows => self.write_row(&row, fields).map_err(Refusal::Run)?,
                Shown::Top(..) => self.top.add(&row),
            }
        }
        Ok(())
    }
}

/// The text around a place: up to `half` characters before it and behind it, on one line.
fn excerpt(before: &str, after: &str, half: usize) -> String {
    let start = before.char_indices().rev().nth(half - 1).map_or(0, |(at, _)| at);
    before[start..].chars().chain(after.chars().take(half)).collect()
}
