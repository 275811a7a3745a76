//! Charts as SVG: markup that a style sheet colours, for a light and a dark page.
//!
//! A chart is drawn for the width at which it is shown, so that its text is as large as the text around
//! it: in a page once for phones and once for wide windows, of which the style sheet shows one.

use maud::{Markup, html};

use crate::report::axis::Axis;
use crate::report::numbers::{grouped, percent, short, time_unit};
use crate::stats::{Bin, Bucket, TimelineFigures};

/// Width and height of a chart, in its own units: pixels if it is not scaled.
pub(super) type Size = (f64, f64);

/// Text is 12 units high; a character is about this wide.
pub(super) const CHARACTER: f64 = 7.2;

/// Colours and strokes of all charts. Plain rules, since viewers other than browsers know no variables.
pub(super) const STYLE: &str = include_str!("svg.css");

/// A chart inside a page.
pub(super) fn embedded(label: &str, class: &str, (width, height): Size, drawn: &Markup) -> Markup {
    html! {
        svg class=(class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(label) { (drawn) }
    }
}

/// The space inside the axes.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    /// Leaves room for the labels of `y`, `above` units above, and `below` below.
    pub(super) fn new(
        (width, height): Size,
        x: Axis,
        y: Axis,
        labels: &[String],
        above: f64,
        below: f64,
    ) -> Self {
        let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let left = widest as f64 * CHARACTER + 10.0;
        Self { left, right: width - 12.0, top: above, bottom: height - below, x, y }
    }

    pub(super) fn px(&self, value: f64) -> f64 {
        tenth(self.left + self.x.place(value) * (self.right - self.left))
    }

    pub(super) fn py(&self, value: f64) -> f64 {
        tenth(self.bottom - self.y.place(value) * (self.bottom - self.top))
    }

    /// How many labels of that many characters fit side by side.
    pub(super) fn room(&self, characters: usize) -> usize {
        (((self.right - self.left) / (characters as f64 * CHARACTER + 14.0)) as usize).max(2)
    }

    /// Lines across with their labels at the left.
    pub(super) fn rows(&self, ticks: &[f64], labels: &[String]) -> Markup {
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
    pub(super) fn columns(&self, ticks: &[(f64, String)], y: f64, title: &str) -> Markup {
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

pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `x,y` pairs joined by straight lines.
pub(super) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        out.push_str(&format!("{}{x} {y}", if index == 0 { "M" } else { "L" }));
    }
    out
}

/// Names of what is drawn, in rows from the top left; and how high they are.
pub(super) fn legend(entries: &[(&str, String)], width: f64) -> (Markup, f64) {
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

/// So many requests.
fn requests(count: u64) -> String {
    format!("{} request{}", grouped(count.into()), if count == 1 { "" } else { "s" })
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
                    title { (bin_text(bin, values)) ": " (requests(bin.count)) }
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
                format!("{}, {} per second", requests(bucket.requests), short(rate(bucket)))
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
