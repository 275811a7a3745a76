//! Charts as SVG: markup that a style sheet colours, for a light and a dark page.
//!
//! A chart is drawn for the width at which it is shown, so that its text is as large as the text around
//! it: in a page once for phones and once for wide windows, of which the style sheet shows one.

use maud::{Markup, PreEscaped, html};

use crate::report::axis::Axis;
use crate::report::curve::{Curve, INFINITE, Point, PolicyLine};
use crate::report::numbers::{grouped, percent, short, time_unit};
use crate::stats::{Bin, Bucket, Report, TimelineFigures};

/// Width and height of a chart, in its own units: pixels if it is not scaled.
pub(super) type Size = (f64, f64);

/// Text is 12 units high; a character is about this wide.
const CHARACTER: f64 = 7.2;

/// Colours and strokes of all charts. Plain rules, since viewers other than browsers know no variables.
pub(super) const STYLE: &str = "\
svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#57606a}\
svg .strong{fill:#1f2328}\
svg .grid{stroke:#e4e7eb;stroke-width:1}\
svg .axis{stroke:#8c959f;stroke-width:1}\
svg .line{fill:none;stroke-width:2.25;stroke-linejoin:round}\
svg .thin{stroke-width:1.25}\
svg .least{stroke-dasharray:.1 4.5;stroke-linecap:round}\
svg .lru,svg .all{stroke:#1f66c7}svg .fifo{stroke:#b25600;stroke-dasharray:2 3}\
svg .lfu{stroke:#8250df;stroke-dasharray:9 3 2 3}svg .opt{stroke:#1a7f37;stroke-dasharray:8 4}\
svg .infinite{stroke:#57606a;stroke-dasharray:4 4;stroke-width:1.5}\
svg .part{stroke:#b25600}\
svg .point{stroke-dasharray:none;stroke-width:2;fill:#fff}\
svg .dot{stroke-dasharray:none;stroke-width:0}svg .dot.fifo{fill:#b25600}svg .dot.lfu{fill:#8250df}\
svg .band{stroke:none;fill:#1f66c7;fill-opacity:.2}\
svg .bar{fill:#1f66c7}svg .bar:hover{fill:#0b3f86}\
svg .hover{fill:transparent;stroke:none}\
svg .halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\
svg .page{fill:#fff}\
@media(prefers-color-scheme:dark){\
svg text{fill:#a3adba}svg .strong{fill:#e8ebf0}svg .grid{stroke:#2c323b}svg .axis{stroke:#6b7685}\
svg .lru,svg .all{stroke:#6cb0ff}svg .fifo{stroke:#f0a04b}svg .lfu{stroke:#c9a6ff}svg .opt{stroke:#62d084}\
svg .infinite{stroke:#a3adba}svg .part{stroke:#f0a04b}svg .point{fill:#16191e}\
svg .dot.fifo{fill:#f0a04b}svg .dot.lfu{fill:#c9a6ff}svg .band{fill:#6cb0ff}\
svg .bar{fill:#6cb0ff}svg .bar:hover{fill:#b5d7ff}svg .halo{stroke:#16191e}svg .page{fill:#16191e}}";

/// Appends hit rate against capacity as a file of its own.
pub(super) fn write(report: &Report, input: &str, out: &mut Vec<u8>) {
    let size = (720.0, 400.0);
    let (title, drawn) = match Curve::of(report) {
        Some(curve) => (curve_summary(&curve), curve_chart(&curve, size)),
        None => ("No prompt tokens were measured.".to_owned(), nothing(size)),
    };
    let heading = format!("Hit rate against cache capacity: {input}");
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (size.0 + 16.0) " " (size.1 + 44.0) }
            width=(size.0 + 16.0) height=(size.1 + 44.0) role="img" aria-label=(heading) {
            title { (heading) }
            desc { (title) }
            style { (PreEscaped(STYLE)) }
            rect.page width="100%" height="100%" {}
            text.strong x="16" y="24" { (shortened(&heading, 96)) }
            g transform="translate(8 36)" { (drawn) }
        }
    };
    out.extend_from_slice(markup.into_string().as_bytes());
    out.push(b'\n');
}

/// A chart inside a page.
pub(super) fn embedded(label: &str, class: &str, (width, height): Size, drawn: &Markup) -> Markup {
    html! {
        svg class=(class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(label) { (drawn) }
    }
}

fn nothing((width, height): Size) -> Markup {
    html! { text x=(width / 2.0) y=(height / 2.0) text-anchor="middle" { "no prompt tokens were measured" } }
}

/// The part of a text that fits.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The space inside the axes.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    /// Leaves room for the labels of `y`, `above` units above, and `below` below.
    fn new((width, height): Size, x: Axis, y: Axis, labels: &[String], above: f64, below: f64) -> Self {
        let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let left = widest as f64 * CHARACTER + 10.0;
        Self { left, right: width - 12.0, top: above, bottom: height - below, x, y }
    }

    fn px(&self, value: f64) -> f64 {
        tenth(self.left + self.x.place(value) * (self.right - self.left))
    }

    fn py(&self, value: f64) -> f64 {
        tenth(self.bottom - self.y.place(value) * (self.bottom - self.top))
    }

    /// How many labels of that many characters fit side by side.
    fn room(&self, characters: usize) -> usize {
        (((self.right - self.left) / (characters as f64 * CHARACTER + 14.0)) as usize).max(2)
    }

    /// Lines across with their labels at the left.
    fn rows(&self, ticks: &[f64], labels: &[String]) -> Markup {
        html! {
            @for (&tick, label) in ticks.iter().zip(labels) {
                @let y = self.py(tick);
                line class=(if tick == self.y.from() { "axis" } else { "grid" })
                    x1=(tenth(self.left)) x2=(self.right) y1=(y) y2=(y) {}
                text x=(tenth(self.left - 6.0)) y=(y + 4.0) text-anchor="end" { (label) }
            }
        }
    }

    /// Ticks with their labels below the frame, and the title of the axis.
    fn columns(&self, ticks: &[(f64, String)], y: f64, title: &str) -> Markup {
        html! {
            @for (tick, label) in ticks {
                @let x = self.px(*tick);
                line.axis x1=(x) x2=(x) y1=(y) y2=(y + 4.0) {}
                // A label in the middle of its tick, unless it would stick out.
                @let half = label.chars().count() as f64 * CHARACTER / 2.0;
                @let centre = x.min(self.right + 10.0 - half);
                text x=(tenth(centre)) y=(y + 17.0) text-anchor="middle" { (label) }
            }
            text x=(tenth(f64::midpoint(self.left, self.right))) y=(y + 33.0) text-anchor="middle" { (title) }
        }
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `x,y` pairs joined by straight lines.
fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        out.push_str(&format!("{}{x} {y}", if index == 0 { "M" } else { "L" }));
    }
    out
}

/// Names of what is drawn, in rows from the top left; and how high they are.
fn legend(entries: &[(&str, String)], width: f64) -> (Markup, f64) {
    let (mut x, mut y) = (8.0, 14.0);
    let mut placed = Vec::new();
    for (class, name) in entries {
        let wide = 26.0 + name.chars().count() as f64 * CHARACTER + 16.0;
        if x + wide > width + 16.0 && x > 8.0 {
            (x, y) = (8.0, y + 18.0);
        }
        placed.push((class, name, x, y));
        x += wide;
    }
    let drawn = html! {
        @for (class, name, x, y) in placed {
            line class=(format!("line {class}")) x1=(tenth(x)) x2=(tenth(x + 20.0)) y1=(y - 4.0) y2=(y - 4.0) {}
            text.strong x=(tenth(x + 26.0)) y=(y) { (name) }
        }
    };
    (drawn, y + 6.0)
}

/// A hit rate with what it is worth.
fn rate_text(point: &Point) -> String {
    let mark = if point.at_least { "≥ " } else { "" };
    let error = point.error.map_or_else(String::new, |error| format!(" ± {:.1}", error * 100.0));
    format!("{mark}{}{error}", percent(point.rate))
}

/// The curve in a sentence.
pub(super) fn curve_summary(curve: &Curve) -> String {
    let mut text = String::new();
    for PolicyLine { policy, points } in &curve.lines {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let (from, to) = (grouped(first.blocks as u128), grouped(last.blocks as u128));
            text.push_str(&format!(
                "{policy} serves {} of the prompt tokens with {from} block{} and {} with {to}. ",
                rate_text(first),
                if first.blocks == 1.0 { "" } else { "s" },
                rate_text(last)
            ));
        }
    }
    text + &format!("The {INFINITE} serves {}.", rate_text(&curve.infinite))
}

/// Hit rate against capacity, by ratio, in blocks and if known in GiB.
pub(super) fn curve_chart(curve: &Curve, size: Size) -> Markup {
    let mut entries: Vec<(&str, String)> =
        curve.lines.iter().map(|line| (line.policy, line.policy.to_owned())).collect();
    if curve.is_estimate() {
        entries[0].1.push_str(", estimate ± standard error");
    }
    if curve.has_bounds() {
        entries.push(("lru least", "at least".into()));
    }
    let (legend, above) = legend(&entries, size.0);
    let first = curve.lines.iter().filter_map(|line| line.points.first());
    let x = Axis::log(first.map(|p| p.blocks).fold(f64::INFINITY, f64::min), curve.largest());
    // The name of the ceiling stands above it.
    let y = Axis::up_to(curve.highest() * 1.06 + 1e-6, 5);
    let rows = y.ticks(7);
    let labels: Vec<String> =
        rows.iter().map(|&rate| format!("{} %", short(tenth(rate * 1000.0) / 10.0))).collect();
    let below = if curve.block_gib.is_some() { 84.0 } else { 42.0 };
    let frame = Frame::new(size, x, y, &labels, above + 14.0, below);
    let columns: Vec<(f64, String)> = x.ticks(frame.room(4)).into_iter().map(|b| (b, short(b))).collect();
    let ceiling = frame.py(curve.infinite.rate);
    html! {
        (legend)
        (frame.rows(&rows, &labels))
        (frame.columns(&columns, frame.bottom, "cache capacity in blocks (log scale)"))
        @if let Some(gib) = curve.block_gib {
            (gib_axis(&frame, gib))
        }
        path.line.infinite d=(path([(frame.left, ceiling), (frame.right, ceiling)])) {}
        @for line in curve.lines.iter().rev() {
            (policy_line(&frame, line))
        }
        text.strong.halo x=(tenth(frame.left + 6.0)) y=(tenth(ceiling - 6.0)) {
            (INFINITE) ": " (rate_text(&curve.infinite))
        }
        @for (policy, point) in &curve.named {
            circle class=(format!("point {policy}")) cx=(frame.px(point.blocks)) cy=(frame.py(point.rate)) r="4" {
                title { (point_text(curve, policy, point)) }
            }
        }
        @for line in &curve.lines {
            @for point in &line.points {
                circle.hover cx=(frame.px(point.blocks)) cy=(frame.py(point.rate)) r="5" {
                    title { (point_text(curve, line.policy, point)) }
                }
            }
        }
    }
}

/// The same axis in GiB, below that in blocks.
fn gib_axis(frame: &Frame, block_gib: f64) -> Markup {
    let axis = Axis::log(frame.x.from() * block_gib, frame.x.to() * block_gib);
    let ticks = axis.ticks(frame.room(6)).into_iter().map(|gib| (gib / block_gib, short(gib)));
    let y = frame.bottom + 42.0;
    html! {
        line.axis x1=(tenth(frame.left)) x2=(frame.right) y1=(y) y2=(y) {}
        (frame.columns(&ticks.collect::<Vec<_>>(), y, "the same in GiB of KV cache"))
    }
}

fn point_text(curve: &Curve, policy: &str, point: &Point) -> String {
    let blocks = grouped(point.blocks as u128);
    let gib = curve.block_gib.map_or_else(String::new, |gib| format!(" ({} GiB)", short(point.blocks * gib)));
    format!("{policy}, {blocks} blocks{gib}: {}", rate_text(point))
}

/// A line, dotted where its points are lower bounds, with the band of its errors behind it.
fn policy_line(frame: &Frame, line: &PolicyLine) -> Markup {
    let at = |point: &Point, error: f64| (frame.px(point.blocks), frame.py(point.rate + error));
    let known = line.points.partition_point(|point| !point.at_least);
    let (exact, bounds) = (&line.points[..known], &line.points[known.saturating_sub(1)..]);
    let error = |point: &Point| point.error.unwrap_or(0.0);
    let upper = line.points.iter().map(|point| at(point, error(point)));
    let lower = line.points.iter().rev().map(|point| at(point, -error(point)));
    html! {
        @if line.points.iter().any(|point| point.error.is_some()) {
            path.band d=(path(upper.chain(lower)) + "Z") {}
        }
        path class=(format!("line {}", line.policy)) d=(path(exact.iter().map(|point| at(point, 0.0)))) {}
        @if known < line.points.len() {
            path class=(format!("line {} least", line.policy)) d=(path(bounds.iter().map(|point| at(point, 0.0)))) {}
        }
        // Simulated at these capacities only.
        @if matches!(line.policy, "fifo" | "lfu") {
            @for point in &line.points {
                circle class=(format!("dot {}", line.policy))
                    cx=(frame.px(point.blocks)) cy=(frame.py(point.rate)) r="2.5" {}
            }
        }
    }
}

/// How the values of a histogram are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Whole numbers of tokens, by ratio.
    Tokens,
    /// Shares.
    Rates,
}

/// A bin in words.
pub(super) fn bin_text(bin: &Bin, values: Values) -> String {
    match values {
        Values::Tokens if bin.to - bin.from <= 1.0 => grouped(bin.from as u128),
        Values::Tokens => format!("{} – {}", grouped(bin.from as u128), grouped(bin.to as u128 - 1)),
        Values::Rates => format!("{:.0} – {:.0} %", bin.from * 100.0, bin.to * 100.0),
    }
}

/// How many requests have which value.
pub(super) fn histogram(bins: &[Bin], values: Values, size: Size) -> Markup {
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    let y = Axis::up_to(most as f64, 4);
    let rows: Vec<f64> = y.ticks(5).into_iter().filter(|count| count.fract() == 0.0).collect();
    let labels: Vec<String> = rows.iter().map(|&count| short(count)).collect();
    // Zero has no place on an axis by ratio, but one beside it.
    let zero = bins.first().filter(|bin| values == Values::Tokens && bin.from == 0.0);
    let others = &bins[usize::from(zero.is_some())..];
    let x = match (values, others.first(), others.last()) {
        (Values::Tokens, Some(first), Some(last)) => Axis::log(first.from, last.to),
        (Values::Tokens, ..) => Axis::log(1.0, 10.0),
        (Values::Rates, ..) => Axis::linear(0.0, 1.0),
    };
    let mut frame = Frame::new(size, x, y, &labels, 24.0, 42.0);
    let outer = frame.left;
    frame.left += if zero.is_some() { 26.0 } else { 0.0 };
    let columns: Vec<(f64, String)> = match values {
        Values::Tokens => x.ticks(frame.room(4)).into_iter().map(|n| (n, short(n))).collect(),
        Values::Rates => [0.0, 0.25, 0.5, 0.75, 1.0].map(|r| (r, format!("{:.0} %", r * 100.0))).into(),
    };
    let title = match values {
        Values::Tokens => "tokens (log scale)",
        Values::Rates => "share of the request's blocks that are cached",
    };
    let bar = |left: f64, right: f64, bin: &Bin| {
        let top = frame.py(bin.count as f64);
        // A bin with anything in it is seen.
        let height = if bin.count > 0 { tenth(frame.bottom - top).max(1.0) } else { 0.0 };
        html! {
            @if bin.count > 0 {
                rect.bar x=(tenth(left)) width=(tenth((right - left - 1.0).max(1.0)))
                    y=(tenth(frame.bottom - height)) height=(height) {
                    title { (bin_text(bin, values)) ": " (grouped(bin.count.into())) " requests" }
                }
            }
        }
    };
    html! {
        text x="4" y="12" { "requests" }
        // The lines begin left of the zero.
        (Frame { left: outer, ..frame }.rows(&rows, &labels))
        (frame.columns(&columns, frame.bottom, title))
        @if let Some(zero) = zero {
            (bar(outer + 4.0, outer + 18.0, zero))
            text x=(tenth(outer + 10.5)) y=(frame.bottom + 17.0) text-anchor="middle" { "0" }
        }
        @for bin in others {
            (bar(frame.px(bin.from), frame.px(bin.to), bin))
        }
    }
}

/// Time as the axis of a chart.
struct Time {
    axis: Axis,
    ticks: Vec<(f64, String)>,
    title: String,
}

impl Time {
    fn new(timeline: &TimelineFigures, most: usize) -> Self {
        let end = timeline.length_s * timeline.buckets.len() as f64;
        let (name, unit) = time_unit(end);
        let ticks = Axis::linear(0.0, end / unit).ticks(most);
        let ticks = ticks.into_iter().map(|tick| (tick * unit, short(tick))).collect();
        Self { axis: Axis::linear(0.0, end), ticks, title: format!("trace time, {name}") }
    }
}

/// Requests per second over time.
pub(super) fn arrivals(timeline: &TimelineFigures, size: Size, hover: bool) -> Markup {
    let TimelineFigures { length_s, ref buckets } = *timeline;
    let rate = |bucket: &Bucket| bucket.requests as f64 / length_s;
    let time = Time::new(timeline, if size.0 > 500.0 { 10 } else { 7 });
    let y = Axis::up_to(buckets.iter().map(rate).fold(0.0, f64::max), 4);
    let rows = y.ticks(5);
    let labels: Vec<String> = rows.iter().map(|&rate| short(rate)).collect();
    let frame = Frame::new(size, time.axis, y, &labels, 24.0, 42.0);
    let steps = buckets.iter().enumerate().flat_map(|(index, bucket)| {
        let y = frame.py(rate(bucket));
        [(frame.px(index as f64 * length_s), y), (frame.px((index + 1) as f64 * length_s), y)]
    });
    let steps: Vec<(f64, f64)> = steps.collect();
    let ends = [(frame.right, frame.bottom), (tenth(frame.left), frame.bottom)];
    html! {
        text x="4" y="12" { "requests per second" }
        (frame.rows(&rows, &labels))
        path.band d=(path(steps.iter().copied().chain(ends)) + "Z") {}
        path.line.thin.all d=(path(steps)) {}
        (frame.columns(&time.ticks, frame.bottom, &time.title))
        @if hover {
            (hovers(&frame, timeline, |bucket| {
                format!("{} requests, {} per second", grouped(bucket.requests.into()), short(rate(bucket)))
            }))
        }
    }
}

/// Invisible columns that say what is in a bucket.
fn hovers(frame: &Frame, timeline: &TimelineFigures, text: impl Fn(&Bucket) -> String) -> Markup {
    let TimelineFigures { length_s, ref buckets } = *timeline;
    html! {
        @for (index, bucket) in buckets.iter().enumerate() {
            @let (left, right) = (frame.px(index as f64 * length_s), frame.px((index + 1) as f64 * length_s));
            rect.hover x=(left) width=(tenth(right - left)) y=(frame.top) height=(tenth(frame.bottom - frame.top)) {
                title { (span(index, length_s)) ": " (text(bucket)) }
            }
        }
    }
}

/// The time of a bucket in words.
pub(super) fn span(index: usize, length_s: f64) -> String {
    let (from, to) = (index as f64 * length_s, (index + 1) as f64 * length_s);
    format!("{from} – {to} s")
}

/// The hit rates since the beginning, at the end of each bucket.
pub(super) fn running(buckets: &[Bucket]) -> Vec<Option<f64>> {
    let mut sum = Bucket::default();
    let add = |bucket: &Bucket| {
        sum.tokens += bucket.tokens;
        sum.cached_tokens += bucket.cached_tokens;
        sum.token_hit_rate()
    };
    buckets.iter().map(add).collect()
}

/// The infinite cache's hit rate over time: of each bucket, and since the beginning.
pub(super) fn hits_over_time(timeline: &TimelineFigures, at_least: bool, size: Size, hover: bool) -> Markup {
    let TimelineFigures { length_s, ref buckets } = *timeline;
    let mark = if at_least { ", at least" } else { "" };
    let entries =
        [("thin part", format!("at the time{mark}")), ("all", format!("since the beginning{mark}"))];
    let (legend, above) = legend(&entries, size.0);
    let time = Time::new(timeline, if size.0 > 500.0 { 10 } else { 7 });
    let most = buckets.iter().filter_map(Bucket::token_hit_rate).fold(0.0, f64::max);
    let y = Axis::up_to(most.max(0.01), 4);
    let rows = y.ticks(5);
    let labels: Vec<String> =
        rows.iter().map(|&rate| format!("{} %", short(tenth(rate * 1000.0) / 10.0))).collect();
    let frame = Frame::new(size, time.axis, y, &labels, above + 12.0, 42.0);
    let x = |index: usize| frame.px(index as f64 * length_s);
    let mut parts = String::new();
    for (index, bucket) in buckets.iter().enumerate() {
        let Some(rate) = bucket.token_hit_rate() else { continue };
        parts.push_str(&path([(x(index), frame.py(rate)), (x(index + 1), frame.py(rate))]));
        // Joined with the next one, unless that has no rate.
        if let Some(next) = buckets.get(index + 1).and_then(Bucket::token_hit_rate) {
            parts.push_str(&format!("V{}", frame.py(next)));
        }
    }
    let sums = running(buckets);
    let whole = sums.iter().enumerate().filter_map(|(index, rate)| Some((x(index + 1), frame.py((*rate)?))));
    html! {
        (legend)
        (frame.rows(&rows, &labels))
        path.line.thin.part d=(parts) {}
        path.line.all d=(path(whole)) {}
        (frame.columns(&time.ticks, frame.bottom, &time.title))
        @if hover {
            (hovers(&frame, timeline, |bucket| {
                bucket.token_hit_rate().map_or_else(|| "no prompt tokens".into(), percent)
            }))
        }
    }
}
