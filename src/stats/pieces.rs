//! A trace analysed in pieces: the state of each piece, and their merger.
//!
//! A trace is cut into consecutive pieces whose ids have the same meaning. What a piece can say by
//! itself is which blocks of a request occurred in the piece before, and where they were in its LRU stack; of the
//! others it cannot know whether an earlier piece had them. So a request is written down as its lengths and counts
//! with the blocks that it introduces into its piece and the places of the others. The merger repeats the analysis
//! over these rows, in the order of the pieces, and so comes to exactly the figures of one run. At its end a piece
//! names the blocks that occurred again in it, and the order of their last uses. What is left of several pieces is
//! a piece again, so merging may be a tree.
//!
//! A piece is a sequence of JSON lines:
//!
//! * `{"kvtrace_partial":4,"block_size":512,"piece":[3,100]}`, `piece` only if the user numbered them
//! * a row per request, see [`piece_row`](super::piece_row)
//! * its end, see [`piece_end`](super::piece_end)

use crate::blocks::NumberRun;
use crate::error::{Error, Invalid, InvalidKind};
use crate::io::{Input, Status};
use crate::record::{DEFAULT_BLOCK_SIZE, Numbered, NumberedFiles};
use crate::stats::piece_copies::{Copies, Fingerprint};
use crate::stats::piece_end::PieceEnd;
use crate::stats::piece_header::{Header, Piece, PieceRange};
use crate::stats::piece_row::{Before, PieceRow};
use crate::stats::piece_writer::PartialWriter;
use crate::stats::{Analysis, AnalysisOptions};

/// What pieces are merged into.
enum Merged {
    Report(Box<Analysis>),
    Piece(Box<PartialWriter>),
}

impl Merged {
    fn bytes(&self) -> usize {
        match self {
            Self::Report(analysis) => analysis.state.bytes().total(),
            Self::Piece(writer) => writer.bytes(),
        }
    }

    /// Bytes that each block of a row may take beyond its number.
    fn block_bytes(&self) -> usize {
        match self {
            Self::Report(analysis) if !analysis.has_caches() => 0,
            _ => 12,
        }
    }
}

/// What is to be made of pieces.
enum Wanted<'a> {
    /// The analysis with these options, by the block size.
    Report(Box<dyn Fn(u64) -> Result<AnalysisOptions, Invalid> + 'a>),
    /// One piece.
    Piece,
}

/// A line of a piece that has been read.
enum Line {
    Begin(Header),
    Row,
    End(PieceEnd),
}

/// Merges pieces, in order, into the analysis of the whole trace, or into one piece.
pub struct Merger<'a> {
    wanted: Wanted<'a>,
    budget: Option<usize>,
    /// Whether the trace is a group of a trace.
    is_group: bool,
    /// Bytes that others use of the budget.
    elsewhere: usize,
    /// Pieces of groups that follow the last piece.
    groups: u32,
    /// Begun with the first piece that has a block size.
    merged: Option<Merged>,
    /// The place of the first piece in its trace.
    first: Option<Piece>,
    block_size: u64,
    /// The piece whose rows are being taken.
    open: Option<OpenPiece>,
    /// The pieces that are wanted, if not all.
    part: Option<PieceRange>,
    /// Numbers of the last piece, and of all.
    previous: Option<Piece>,
    pieces: u32,
    /// Lines of the trace before the open piece, and before the last one.
    lines: u64,
    lines_before: u64,
    copies: Copies,
    numbered: NumberedFiles,
    /// Timestamp of the first request of the last piece that has one.
    started: Option<f64>,
    /// The current row.
    row: PieceRow,
    /// What there is of the piece that is written.
    written: Vec<u8>,
}

#[derive(Default)]
struct OpenPiece {
    /// What its next row builds on.
    before: Before,
    requests: u64,
    fingerprint: Fingerprint,
    numbered: Numbered,
    /// Numbers in the whole trace of the blocks that the piece introduced, as runs.
    numbers: Vec<NumberRun>,
    timed: bool,
}

impl Merger<'static> {
    /// A merger of no piece yet into an analysis.
    ///
    /// # Errors
    /// When something is asked for that pieces do not hold.
    pub fn new(options: AnalysisOptions) -> Result<Self, Invalid> {
        options.check_pieces()?;
        Ok(Self::into_report(options.budget, move |_| Ok(options.clone())))
    }

    /// A merger of no piece yet into one piece, whose blocks may take `budget` bytes.
    pub fn into_piece(budget: Option<usize>) -> Self {
        Self::of(Wanted::Piece, budget)
    }
}

impl<'a> Merger<'a> {
    /// The same as [`Merger::new`] with the options for a block size.
    pub(super) fn into_report(
        budget: Option<usize>,
        options: impl Fn(u64) -> Result<AnalysisOptions, Invalid> + 'a,
    ) -> Self {
        Self::of(Wanted::Report(Box::new(options)), budget)
    }

    fn of(wanted: Wanted<'a>, budget: Option<usize>) -> Self {
        Self {
            wanted,
            budget,
            is_group: false,
            elsewhere: 0,
            groups: 0,
            merged: None,
            first: None,
            block_size: 0,
            open: None,
            part: None,
            previous: None,
            pieces: 0,
            lines: 0,
            lines_before: 0,
            copies: Copies::default(),
            numbered: NumberedFiles::default(),
            started: None,
            row: PieceRow::default(),
            written: Vec::new(),
        }
    }

    /// The same of some of the numbered pieces of a trace.
    pub(super) fn of_part(self, part: Option<PieceRange>) -> Self {
        Self { part, ..self }
    }

    /// The same for a group of a trace.
    pub(super) fn of_group(self) -> Self {
        Self { is_group: true, ..self }
    }

    /// Whether a piece has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.merged.as_ref().map_or(0, Merged::bytes) + self.written.len()
    }

    /// Says how many bytes others use of the budget.
    pub(super) fn set_elsewhere(&mut self, bytes: usize) {
        self.elsewhere = bytes;
    }

    /// Says how many lines there are before the piece that begins.
    pub(super) fn set_lines(&mut self, lines: u64) {
        self.lines = lines;
    }

    /// Lines before the last piece.
    pub(super) fn lines_before(&self) -> u64 {
        self.lines_before
    }

    /// How many pieces of groups follow the piece that has ended, once.
    pub(super) fn take_groups(&mut self) -> u32 {
        std::mem::take(&mut self.groups)
    }

    /// Goes on to the next line of an input of pieces, which follow each other in the order of the trace,
    /// and takes it; false after the last.
    ///
    /// # Errors
    /// Those of [`Input::advance`] and of [`Merger::line`].
    pub fn advance(
        &mut self,
        input: &mut Input,
        idle: impl FnMut(Status) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        self.advance_past(input, idle, |_, _| {})
    }

    /// The same, where `each` is called with each request's time before it is taken.
    pub(super) fn advance_past(
        &mut self,
        input: &mut Input,
        idle: impl FnMut(Status) -> Result<(), Error>,
        each: impl FnOnce(&mut Analysis, Option<f64>),
    ) -> Result<bool, Error> {
        let line = match &self.open {
            // A row mostly follows a row: it is read without looking for its end first.
            Some(piece)
                if input.advance_by(|text| self.row.read_first(text, &piece.before, self.block_size)) =>
            {
                Ok(Line::Row)
            }
            _ if input.advance(idle)? => self.read(input.line()),
            _ => return Ok(false),
        };
        if let (Ok(Line::Row), Some(Merged::Report(analysis))) = (&line, &mut self.merged) {
            each(analysis, self.row.timestamp);
        }
        line.and_then(|line| self.take(line)).map_err(|message| input.error(message))?;
        Ok(true)
    }

    /// Takes the text of the next line of the pieces.
    ///
    /// # Errors
    /// What is wrong with the line or the order, without its place.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Invalid> {
        let line = self.read(line)?;
        self.take(line)
    }

    fn read(&mut self, line: &[u8]) -> Result<Line, Invalid> {
        let Some(piece) = &self.open else { return Header::read(line).map(Line::Begin) };
        if line.trim_ascii_start().first() == Some(&b'[') {
            self.row.read(line, &piece.before, self.block_size)?;
            return Ok(Line::Row);
        }
        PieceEnd::read(line).map(Line::End)
    }

    fn take(&mut self, line: Line) -> Result<(), Invalid> {
        match line {
            Line::Begin(header) => self.begin(&header),
            Line::Row => self.take_row(),
            Line::End(end) => self.end(&end),
        }
    }

    /// Begins the next piece.
    ///
    /// # Errors
    /// When it is not the one that follows.
    pub(super) fn begin(&mut self, header: &Header) -> Result<(), Invalid> {
        let is_whole = matches!(self.wanted, Wanted::Report(_));
        match (header.piece, self.previous) {
            // A piece may be without some groups.
            _ if self.is_group => {}
            (Some((i, n)), _) if i == 0 || i > n => {
                return Err(Invalid::conflict(format!("there is no piece {i} of {n}")));
            }
            (Some((i, n)), None)
                if is_whole && self.pieces == 0 && i != self.part.map_or(1, |it| it.first) =>
            {
                let first = self.part.map_or(1, |it| it.first);
                let hint =
                    if self.part.is_none() { " (`piece` names the pieces that are wanted)" } else { "" };
                return Err(Invalid::conflict(format!(
                    "piece {i} of {n} where piece {first} was expected{hint}"
                )));
            }
            (Some((i, n)), _) if self.part.is_some_and(|it| i > it.last || n != it.of) => {
                return Err(Invalid::conflict(format!(
                    "piece {i} of {n} is not among those that are wanted"
                )));
            }
            (None, _) if self.part.is_some() => {
                return Err(Invalid::conflict(
                    "this piece has no number, so it is not among those that are wanted",
                ));
            }
            (Some((i, n)), Some((before, all))) if i != before + 1 || n != all => {
                return Err(Invalid::conflict(format!("piece {i} of {n} after piece {before} of {all}")));
            }
            (given, before) if self.pieces > 0 && given.is_some() != before.is_some() => {
                return Err(Invalid::conflict("numbered and unnumbered pieces cannot be merged"));
            }
            _ => {}
        }
        let block_size = header.block_size.unwrap_or(self.block_size);
        if self.merged.is_some() && block_size != self.block_size {
            let (ours, theirs) = (self.block_size, block_size);
            return Err(Invalid::new(
                InvalidKind::BlockSizeMismatch,
                format!("block size {theirs} differs from {ours}, that of the pieces before"),
            ));
        }
        self.block_size = block_size;
        self.previous = header.piece;
        if self.pieces == 0 {
            self.first = header.piece;
        }
        self.pieces += 1;
        self.open = Some(OpenPiece::default());
        if self.merged.is_none() && header.block_size.is_some() {
            self.merged = Some(self.start(&header.at(self.first))?);
        }
        Ok(())
    }

    /// Begins with what is made of pieces, the first of which begins so.
    fn start(&mut self, header: &Header) -> Result<Merged, Invalid> {
        Ok(match &self.wanted {
            Wanted::Report(options) => {
                let options = options(self.block_size)?;
                options.check_hit_unit(self.block_size)?;
                let new = if self.is_group {
                    Analysis::of_group(self.block_size, options, self.budget)
                } else {
                    Analysis::new(self.block_size, options)
                };
                Merged::Report(Box::new(new))
            }
            Wanted::Piece => {
                Merged::Piece(Box::new(PartialWriter::begin(header, self.budget, &mut self.written)))
            }
        })
    }

    fn take_row(&mut self) -> Result<(), Invalid> {
        let (Some(piece), Some(merged)) = (&mut self.open, &mut self.merged) else {
            return Err(Invalid::malformed("a request in a piece that has no block size"));
        };
        let row = &mut self.row;
        piece.before.pass(row);
        // Numbers say more about the order than times do.
        if !piece.timed
            && !self.is_group
            && self.previous.is_none()
            && let Some(timestamp) = row.timestamp
        {
            piece.timed = true;
            if self.started.is_some_and(|before| timestamp < before) {
                return Err(Invalid::conflict(
                    "this piece begins before the one before it: pieces must be merged in order",
                ));
            }
            self.started = Some(timestamp);
        }
        piece.requests += 1;
        piece.fingerprint.add(row);
        piece.numbered.from_zero.add(row.new_ids());
        piece.numbered.predecessors.add_pairs(row.successors());
        if let Some((_, _, line)) = &mut row.recorded {
            *line += self.lines;
        }
        // A row of a few bytes may name more blocks than there is memory for a bit of each.
        let of_row = row.news() as usize / 8 + row.n.unwrap_or(0) as usize * merged.block_bytes();
        let bytes = self.elsewhere + merged.bytes() + size_of::<NumberRun>() * piece.numbers.len() + of_row;
        if self.budget.is_some_and(|budget| bytes > budget) {
            return Err(Invalid::over_limit("the pieces need more than `max_memory`"));
        }
        let numbers = match merged {
            Merged::Report(analysis) => analysis.add_row(row)?,
            Merged::Piece(writer) => writer.add_row(row, &mut self.written)?,
        };
        for &run in numbers {
            match piece.numbers.last_mut() {
                Some(last) if last.end() == run.start => last.len += run.len,
                _ => piece.numbers.push(run),
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &PieceEnd) -> Result<(), Invalid> {
        let (Some(piece), Some(merged)) = (self.open.take(), &mut self.merged) else { return Ok(()) };
        if end.requests != piece.requests {
            let (stated, found) = (end.requests, piece.requests);
            return Err(Invalid::conflict(format!(
                "the piece has {found} requests, and {stated} according to its last line"
            )));
        }
        match (end.through, &mut self.previous) {
            (Some(last), _) if self.part.is_some_and(|it| last > it.last) => {
                return Err(Invalid::conflict(format!(
                    "a piece that has others up to {last}, which is not among those that are wanted"
                )));
            }
            (Some(last), Some((i, n))) if (*i..=*n).contains(&last) => *i = last,
            (Some(last), _) => {
                return Err(Invalid::conflict(format!(
                    "a piece that has others up to {last}, which cannot be"
                )));
            }
            (None, _) => {}
        }
        if !self.is_group && self.previous.is_none() && piece.requests > 0 {
            self.copies.add(self.pieces, piece.fingerprint, &piece.numbers);
        }
        if !self.is_group {
            self.numbered.add(piece.numbered);
        }
        self.groups = end.groups.unwrap_or(0);
        self.lines_before = self.lines;
        self.lines = self.lines.saturating_add(end.lines.unwrap_or(end.requests));
        match merged {
            Merged::Report(analysis) => analysis.end_piece(&piece.numbers, end),
            Merged::Piece(writer) => writer.end_piece(&piece.numbers, end, self.lines),
        }
    }

    /// What the user should know of the pieces that were read.
    pub fn notes(&self) -> Vec<String> {
        let names = |others| match others {
            1 => "the first piece and another".into(),
            others => format!("the first piece and {others} others"),
        };
        let apart = self.numbered.note(names, "the pieces");
        self.copies.note().into_iter().chain(apart).collect()
    }

    /// What there is of the piece that is written, which the caller takes.
    pub fn written(&mut self) -> &mut Vec<u8> {
        &mut self.written
    }

    /// The analysis of the whole trace; that of an empty one if there was no piece.
    ///
    /// # Errors
    /// When a piece is cut off or missing.
    pub fn finish(self) -> Result<Analysis, Invalid> {
        self.check_end()?;
        match (self.previous, self.merged, &self.wanted) {
            (Some((i, n)), ..) if i < self.part.map_or(n, |it| it.last) && !self.is_group => {
                let hint =
                    if self.part.is_none() { " (`piece` names the pieces that are wanted)" } else { "" };
                Err(Invalid::conflict(format!("the last piece is {i} of {n}{hint}")))
            }
            (_, Some(Merged::Report(analysis)), _) => Ok(*analysis),
            (_, _, Wanted::Report(options)) => {
                Ok(Analysis::new(DEFAULT_BLOCK_SIZE, options(DEFAULT_BLOCK_SIZE)?))
            }
            (_, _, Wanted::Piece) => Err(Invalid::conflict("the pieces have been merged into one")),
        }
    }

    /// Ends the piece that is written, and gives the rest of it.
    ///
    /// # Errors
    /// When a piece is cut off.
    pub fn finish_piece(self) -> Result<Vec<u8>, Invalid> {
        self.finish_piece_with(None)
    }

    /// The same where so many groups follow.
    ///
    /// # Errors
    /// When a piece is cut off.
    pub(super) fn finish_piece_with(mut self, groups: Option<u32>) -> Result<Vec<u8>, Invalid> {
        self.check_end()?;
        let writer = match self.merged.take() {
            Some(Merged::Piece(writer)) => writer,
            _ => {
                let header = Header::new(None, self.first);
                Box::new(PartialWriter::begin(&header, self.budget, &mut self.written))
            }
        };
        let first = self.first.map(|(first, _)| first);
        let last = self.previous.map(|(last, _)| last).filter(|&last| Some(last) != first && !self.is_group);
        writer.finish_with(last, groups, &mut self.written);
        Ok(self.written)
    }

    fn check_end(&self) -> Result<(), Invalid> {
        if self.open.is_some() { Err(Invalid::malformed("the last piece is cut off")) } else { Ok(()) }
    }
}
