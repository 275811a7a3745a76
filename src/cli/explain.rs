//! Options of `trace-hash --explain`.

use std::sync::Arc;

use super::choice::{Choice, NamedValues};
use crate::error::Result;
use crate::hash::{BreakReport, ExplainOptions, Shown};
use crate::report::breaks;
use crate::tokens::Decoder;

/// Places that are shown where the user does not say how many.
const TOP: usize = 10;

/// Memory for prompts where the system does not say how much it has.
const MEMORY: usize = 1 << 30;

/// What the user has typed.
#[derive(Default)]
pub(super) struct ExplainArgs {
    pub(super) kind: Option<Explain>,
    pub(super) top: Option<usize>,
    pub(super) excerpt: Option<usize>,
    pub(super) format: Option<BreakFormat>,
}

/// What is said of the places where prompts part from earlier ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Explain {
    Rows,
    Top,
}

impl Choice for Explain {
    const NAMES: NamedValues<Self> = &[("rows", Self::Rows), ("top", Self::Top)];
}

/// How the sums of these places are written.
#[derive(Clone, Copy, Default)]
pub(super) enum BreakFormat {
    #[default]
    Table,
    Json,
    Markdown,
}

impl Choice for BreakFormat {
    const NAMES: NamedValues<Self> =
        &[("table", Self::Table), ("json", Self::Json), ("markdown", Self::Markdown)];
}

impl ExplainArgs {
    /// What is said of these places, if anything is.
    pub(super) fn shown(&self) -> Option<Explain> {
        self.top.map(|_| Explain::Top).or(self.kind)
    }

    /// How requests are explained, if they are.
    pub(super) fn options(
        &self,
        decoder: impl FnOnce() -> Result<Decoder>,
        max_memory: Option<usize>,
    ) -> Result<Option<ExplainOptions>> {
        let Some(shown) = self.shown() else { return Ok(None) };
        let mut options = ExplainOptions::new(Arc::new(decoder()?), max_memory.unwrap_or(MEMORY));
        options.excerpt = self.excerpt.unwrap_or(options.excerpt);
        let write: fn(&BreakReport, &mut Vec<u8>) = match self.format.unwrap_or_default() {
            BreakFormat::Table => breaks::table,
            BreakFormat::Json => breaks::json,
            BreakFormat::Markdown => breaks::markdown,
        };
        options.shown = match shown {
            Explain::Rows => Shown::Rows,
            Explain::Top => Shown::Top(self.top.unwrap_or(TOP), write),
        };
        Ok(Some(options))
    }
}
