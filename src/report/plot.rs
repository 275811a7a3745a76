//! Charts drawn with characters, for a terminal.

use crate::report::axis::Axis;
use crate::report::cells;
use crate::report::curve::{Curve, INFINITE, Point, varied_tier};
use crate::report::numbers::{bytes, percent, short};
use crate::stats::{Bin, Report};

/// A place for charts drawn with characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// How many characters a line may have.
    pub columns: usize,
    /// Whether characters beyond ASCII may be used.
    pub unicode: bool,
}

/// Lines of a chart.
const CURVE_ROWS: usize = 12;
const HISTOGRAM_ROWS: usize = 4;

/// Narrower than this, a chart says nothing.
const LEAST_COLUMNS: usize = 40;

/// Columns for the labels at the left.
const MARGIN: usize = 8;

/// Characters to draw with.
struct Pen {
    /// A cell filled from below, in equal steps; the first is empty.
    fill: &'static [char],
    /// Marks of the lines after the first.
    marks: &'static [char],
    ceiling: char,
    side: char,
    corner: char,
    floor: char,
    at_least: &'static str,
    plus_minus: &'static str,
}

const UNICODE: Pen = Pen {
    fill: &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    marks: &['○', '◆', '×', '▲', '◇', '●', '+', '□', '▽', '■', '△', '▼', '☆', '◉', '◐', '★'],
    ceiling: '╌',
    side: '│',
    corner: '└',
    floor: '─',
    at_least: "≥ ",
    plus_minus: "±",
};

const ASCII: Pen = Pen {
    fill: &[' ', '.', '#'],
    marks: &['o', '*', 'x', '+', '@', '%', '&', '=', '$', '~', 'A', 'B', 'C', 'D', 'E', 'F'],
    ceiling: '-',
    side: '|',
    corner: '+',
    floor: '-',
    at_least: ">= ",
    plus_minus: "+-",
};

/// Appends the curve, if there is one, and the distributions.
pub(super) fn write(report: &Report, canvas: Canvas, out: &mut Vec<u8>) {
    let pen = if canvas.unicode { UNICODE } else { ASCII };
    let columns = canvas.columns.clamp(LEAST_COLUMNS, 400) - MARGIN - 1;
    let mut text = String::new();
    if let Some(curve) = Curve::of(report) {
        draw_curve(&curve, "Token Hit Rate by cache capacity", &pen, columns, &mut text);
    }
    let by_tier = format!("Token Hit Rate of all tiers by the size of {}", varied_tier(report));
    let of_fleets = Curve::of_fleets(report)
        .map(|(curve, left_out)| (curve, left_out, "Token Hit Rate by cache capacity of each replica"));
    let of_tiers = Curve::of_tiers(report).map(|(curve, left_out)| (curve, left_out, &*by_tier));
    for (curve, left_out, title) in of_fleets.into_iter().chain(of_tiers) {
        let all = curve.lines.len() + left_out;
        let some = curve.lines.len().min(pen.marks.len() + 1);
        let title = if some < all { format!("{title}, {some} of {all}") } else { title.to_owned() };
        draw_curve(&Curve { lines: curve.lines[..some].to_vec(), ..curve }, &title, &pen, columns, &mut text);
    }
    let charts = [
        ("Input Length", &report.input_length),
        ("Context Length", &report.context_length),
        ("Unique Prompt Length", &report.unique_prompt_length),
        ("Output Length", &report.output_length),
        ("Cached Length", &report.cached_length),
    ];
    for (name, figure) in charts {
        let Some(bins) = figure.value.as_ref().map(|summary| &summary.bins[..]) else { continue };
        let mark = cells::limit(figure.accuracy, " (lower bounds)", " (upper bounds)");
        text.push_str(&format!("\n{name}{mark}: requests by tokens\n"));
        draw_histogram(bins, &pen, columns, &mut text);
    }
    out.extend_from_slice(text.as_bytes());
}

/// Cells that are drawn into, row by row from the top.
struct Grid {
    cells: Vec<Vec<char>>,
}

impl Grid {
    fn new(columns: usize, rows: usize) -> Self {
        Self { cells: vec![vec![' '; columns]; rows] }
    }

    /// Fills a column from below up to `share` of its height.
    fn fill(&mut self, column: usize, share: f64, pen: &Pen) {
        let steps = pen.fill.len() - 1;
        let rows = self.cells.len();
        let mut filled = (share.clamp(0.0, 1.0) * (rows * steps) as f64).round() as usize;
        if share > 0.0 {
            // What is there is seen.
            filled = filled.max(1);
        }
        for row in (0..rows).rev() {
            self.cells[row][column] = pen.fill[filled.min(steps)];
            filled = filled.saturating_sub(steps);
        }
    }

    /// The row at `share` of the height.
    fn row(&self, share: f64) -> usize {
        let rows = self.cells.len();
        rows - 1 - ((share.clamp(0.0, 1.0) * rows as f64) as usize).min(rows - 1)
    }

    /// Appends the rows with labels at the left, of which each has its row.
    fn write(&self, labels: &[(usize, String)], pen: &Pen, out: &mut String) {
        for (index, row) in self.cells.iter().enumerate() {
            let label = labels.iter().find(|(of, _)| *of == index).map_or("", |(_, label)| label);
            let cells: String = row.iter().collect();
            out.push_str(&format!("{label:>width$} {}{}\n", pen.side, cells.trim_end(), width = MARGIN - 1));
        }
        let floor: String = std::iter::repeat_n(pen.floor, self.cells[0].len()).collect();
        out.push_str(&format!("{:>width$} {}{floor}\n", "0", pen.corner, width = MARGIN - 1));
    }
}

/// Appends labels below a chart, each centred on its column; one that would touch another is left out.
fn write_labels(labels: &[(f64, String)], columns: usize, unit: &str, out: &mut String) {
    let mut line = vec![' '; columns];
    let mut free = 0;
    let room = columns.saturating_sub(unit.len() + 2);
    for (share, label) in labels {
        let centre = (share * columns as f64) as usize;
        let start = centre.saturating_sub(label.len() / 2).max(free);
        if start + label.len() > room || (start > centre) {
            continue;
        }
        line.splice(start..start + label.len(), label.chars());
        free = start + label.len() + 2;
    }
    let line: String = line.iter().take(room).collect();
    let line = format!("{:MARGIN$} {line}  {unit}", "");
    out.push_str(&format!("{}\n", line.trim_end()));
}

/// The first policy as an area, the others as marks in front of it.
fn draw_curve(curve: &Curve, title: &str, pen: &Pen, columns: usize, out: &mut String) {
    let from = curve.lines.iter().filter_map(|line| line.points.first()).map(|point| point.blocks);
    let x = Axis::log(from.fold(f64::INFINITY, f64::min), curve.largest());
    let y = Axis::up_to(curve.highest().max(1e-6), 4);
    let mut grid = Grid::new(columns, CURVE_ROWS);
    let Some(infinite) = &curve.infinite else { return };
    let ceiling = grid.row(y.place(infinite.rate));
    grid.cells[ceiling].fill(pen.ceiling);
    let capacity = |column: usize| x.at((column as f64 + 0.5) / columns as f64);
    let apart = curve.lines.len().max(4);
    for (index, line) in curve.lines.iter().enumerate() {
        for column in 0..columns {
            let share = y.place(line.at(capacity(column)));
            match index.checked_sub(1).and_then(|mark| pen.marks.get(mark)) {
                None => {
                    let above = grid.cells[ceiling][column];
                    grid.fill(column, share, pen);
                    if grid.cells[ceiling][column] == ' ' {
                        grid.cells[ceiling][column] = above;
                    }
                }
                // Marks of one line stand apart, beside those of the others.
                Some(&mark) if column % apart == index => {
                    let row = grid.row(share);
                    grid.cells[row][column] = mark;
                }
                Some(_) => {}
            }
        }
    }
    let rate = |point: &Point| {
        let mark = if point.at_least { pen.at_least } else { "" };
        let error = point.error.map(|error| format!(" {} {:.1}", pen.plus_minus, error * 100.0));
        format!("{mark}{}{}", percent(point.rate), error.unwrap_or_default())
    };
    let mut names = Vec::new();
    for (index, line) in curve.lines.iter().enumerate() {
        let symbol = index.checked_sub(1).and_then(|mark| pen.marks.get(mark)).or(pen.fill.last());
        names.push(format!("{} {}", symbol.copied().unwrap_or(' '), line.name));
    }
    let estimate = if curve.is_estimate() { ", an estimate" } else { "" };
    let bounds = if curve.has_bounds() && !infinite.at_least { ", partly at least" } else { "" };
    out.push_str(&format!("\n{title}{estimate}{bounds}\n"));
    names.push(format!("{0}{0} {INFINITE} {1}", pen.ceiling, rate(infinite)));
    let mut legend = String::new();
    for name in names {
        let length = |text: &str| text.chars().count();
        if !legend.is_empty() && length(&legend) + 3 + length(&name) > columns {
            out.push_str(&format!("{:MARGIN$} {legend}\n", ""));
            legend.clear();
        }
        legend.push_str(if legend.is_empty() { "" } else { "   " });
        legend.push_str(&name);
    }
    out.push_str(&format!("{:MARGIN$} {legend}\n", ""));
    let label =
        |tick: &f64| (grid.row(y.place(*tick) - 1e-9), format!("{} %", short((tick * 1e4).round() / 100.0)));
    let labels: Vec<_> = y.ticks(5).iter().filter(|&&tick| tick > 0.0).map(label).collect();
    grid.write(&labels, pen, out);
    let ticks = x.ticks(columns / 9);
    let blocks: Vec<_> = ticks.iter().map(|&blocks| (x.place(blocks), short(blocks))).collect();
    write_labels(&blocks, columns, "blocks", out);
    if let Some(block) = curve.block_bytes {
        let axis = Axis::log(x.from() * block, x.to() * block);
        let ticks = axis.byte_ticks(columns / 12);
        let labels: Vec<_> = ticks.iter().map(|&size| (axis.place(size), bytes(size as u128))).collect();
        write_labels(&labels, columns, "", out);
    }
}

fn draw_histogram(bins: &[Bin], pen: &Pen, columns: usize, out: &mut String) {
    let zero = bins.first().filter(|bin| bin.from == 0.0);
    let others = &bins[usize::from(zero.is_some())..];
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    let y = Axis::up_to(most as f64, 2);
    let x = match (others.first(), others.last()) {
        (Some(first), Some(last)) => Axis::log(first.from, last.to),
        _ => Axis::log(1.0, 10.0),
    };
    let mut grid = Grid::new(columns, HISTOGRAM_ROWS);
    // Zero has no place on an axis by ratio, but one beside it.
    let left = if zero.is_some() { 4 } else { 0 };
    if let Some(zero) = zero {
        grid.fill(1, y.place(zero.count as f64), pen);
    }
    let width = (columns - left) as f64;
    for bin in others.iter().filter(|bin| bin.count > 0) {
        let first = left + (x.place(bin.from) * width).round() as usize;
        let end = (left + (x.place(bin.to) * width).round() as usize).max(first + 1).min(columns);
        (first.min(columns - 1)..end).for_each(|column| grid.fill(column, y.place(bin.count as f64), pen));
    }
    let label = |tick: &f64| (grid.row(y.place(*tick) - 1e-9), short(*tick));
    let labels: Vec<_> =
        y.ticks(3).iter().filter(|&&tick| tick > 0.0 && tick.fract() == 0.0).map(label).collect();
    grid.write(&labels, pen, out);
    let place = |tick: f64| (left as f64 + x.place(tick) * width) / columns as f64;
    let mut labels: Vec<_> = zero.map(|_| (1.5 / columns as f64, "0".to_owned())).into_iter().collect();
    labels.extend(x.ticks(columns / 8).into_iter().map(|tick| (place(tick), short(tick))));
    write_labels(&labels, columns, "tokens", out);
}
