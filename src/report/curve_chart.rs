//! Hit rate against capacity as a chart: the lines of policies or groups, with rings at the caches asked for.

use maud::{Markup, PreEscaped, html};

use crate::report::axis::Axis;
use crate::report::curve::{Curve, INFINITE, Line, Named, Point};
use crate::report::numbers::{bytes, grouped, percent, short};
use crate::report::svg::{CHARACTER, Frame, STYLE, Size, legend, path, tenth};
use crate::stats::Report;

/// Appends hit rate against capacity as a file of its own.
pub(super) fn write(report: &Report, input: &str, out: &mut Vec<u8>) {
    let size = (720.0, 400.0);
    let (title, drawn) = match Curve::of(report) {
        Some(curve) => (summary(&curve), chart(&curve, size, Scale::Log)),
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

/// How capacities are spaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// By ratio.
    Log,
    /// Evenly.
    Linear,
}

/// A hit rate with what it is worth.
fn rate_text(point: &Point) -> String {
    let mark = if point.at_least { "≥ " } else { "" };
    let error = point.error.map_or_else(String::new, |error| format!(" ± {:.1}", error * 100.0));
    format!("{mark}{}{error}", percent(point.rate))
}

/// The curve in a sentence.
pub(super) fn summary(curve: &Curve) -> String {
    let mut text = String::new();
    for Line { name, points, .. } in &curve.lines {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let (from, to) = (grouped(first.blocks as u128), grouped(last.blocks as u128));
            text.push_str(&format!(
                "{name} serves {} of the prompt tokens with {from} block{} and {} with {to}. ",
                rate_text(first),
                if first.blocks == 1.0 { "" } else { "s" },
                rate_text(last)
            ));
        }
    }
    match &curve.infinite {
        Some(infinite) => text + &format!("The {INFINITE} serves {}.", rate_text(infinite)),
        None => text.trim_end().to_owned(),
    }
}

/// Room that a chart needs below what is drawn, for one axis or two.
pub(super) fn height_of_axes(curve: &Curve) -> f64 {
    if curve.block_bytes.is_some() { 84.0 } else { 42.0 }
}

/// Hit rate against capacity in blocks, and if known in bytes.
pub(super) fn chart(curve: &Curve, size: Size, scale: Scale) -> Markup {
    let mut entries: Vec<(&str, String)> =
        curve.lines.iter().map(|line| (line.class, shortened(&line.name, 40))).collect();
    if curve.is_estimate() {
        entries[0].1.push_str(", estimate ± standard error");
    }
    if curve.has_bounds() {
        entries.push(("lru least", "at least".into()));
    }
    let (legend, above) = legend(&entries, size.0);
    let first = curve.lines.iter().filter_map(|line| line.points.first());
    let x = match scale {
        Scale::Log => Axis::log(first.map(|p| p.blocks).fold(f64::INFINITY, f64::min), curve.largest()),
        Scale::Linear => Axis::linear(0.0, curve.largest()),
    };
    // The name of the ceiling stands above it.
    let y = Axis::up_to(curve.highest() * 1.06 + 1e-6, 5);
    let rows = y.ticks(7);
    let labels: Vec<String> =
        rows.iter().map(|&rate| format!("{} %", short(tenth(rate * 1000.0) / 10.0))).collect();
    let frame = Frame::new(size, x, y, &labels, above + 14.0, height_of_axes(curve));
    let columns: Vec<(f64, String)> = x.ticks(frame.room(4)).into_iter().map(|b| (b, short(b))).collect();
    let spacing = if scale == Scale::Log { " (log scale)" } else { "" };
    html! {
        (legend)
        (frame.rows(&rows, &labels))
        (frame.columns(&columns, frame.bottom, &format!("cache capacity in blocks{spacing}")))
        @if let Some(block) = curve.block_bytes {
            (byte_axis(&frame, block, scale))
        }
        @if let Some(infinite) = &curve.infinite {
            @let ceiling = frame.py(infinite.rate);
            path.line.infinite d=(path([(frame.left, ceiling), (frame.right, ceiling)])) {}
        }
        @for line in curve.lines.iter().rev() {
            (drawn_line(&frame, line))
        }
        (names(curve, &frame))
        @for line in &curve.lines {
            @for point in &line.points {
                circle.hover cx=(frame.px(point.blocks)) cy=(frame.py(point.rate)) r="5" {
                    title { (point_text(curve, &line.name, point)) }
                }
            }
        }
    }
}

/// The same axis in bytes, below that in blocks.
fn byte_axis(frame: &Frame, block: f64, scale: Scale) -> Markup {
    let (from, to) = (frame.x.from() * block, frame.x.to() * block);
    let most = frame.room(8);
    let ticks = match scale {
        Scale::Log => Axis::log(from, to).byte_ticks(most),
        // Round numbers of the unit in which the end of the axis is read.
        Scale::Linear => {
            let unit = 1024_f64.powf((to.max(1.0).log2() / 10.0).floor());
            Axis::linear(from / unit, to / unit).ticks(most).into_iter().map(|n| n * unit).collect()
        }
    };
    let ticks: Vec<_> = ticks.into_iter().map(|size| (size / block, bytes(size as u128))).collect();
    let y = frame.bottom + 42.0;
    html! {
        line.axis x1=(tenth(frame.left)) x2=(frame.right) y1=(y) y2=(y) {}
        (frame.columns(&ticks, y, "the same in bytes of KV cache"))
    }
}

fn point_text(curve: &Curve, name: &str, point: &Point) -> String {
    let blocks = grouped(point.blocks as u128);
    let size = curve.block_bytes.map(|block| format!(" ({})", bytes((point.blocks * block) as u128)));
    format!("{name}, {blocks} blocks{}: {}", size.unwrap_or_default(), rate_text(point))
}

/// A line, dotted where its points are lower bounds, with the band of its errors behind it.
fn drawn_line(frame: &Frame, line: &Line) -> Markup {
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
        path class=(format!("line {}", line.class)) d=(path(exact.iter().map(|point| at(point, 0.0)))) {}
        @if known < line.points.len() {
            path class=(format!("line {} least", line.class)) d=(path(bounds.iter().map(|point| at(point, 0.0)))) {}
        }
        // Simulated at these capacities only.
        @if line.has_dots {
            @for point in &line.points {
                circle class=(format!("dot {}", line.class))
                    cx=(frame.px(point.blocks)) cy=(frame.py(point.rate)) r="2.5" {}
            }
        }
    }
}

/// The name of the ceiling, and the rings of the caches asked for with theirs where there is room.
fn names(curve: &Curve, frame: &Frame) -> Markup {
    let mut taken = Vec::new();
    let ceiling = curve.infinite.as_ref().map(|infinite| {
        let text = format!("{INFINITE}: {}", rate_text(infinite));
        let place = (frame.left + 6.0, frame.py(infinite.rate) - 6.0);
        taken.push(Place::starting(place, &text));
        (place, text)
    });
    let rings: Vec<(f64, f64)> =
        curve.named.iter().map(|n| (frame.px(n.point.blocks), frame.py(n.point.rate))).collect();
    taken.extend(rings.iter().map(|&(x, y)| Place {
        left: x - 5.0,
        right: x + 5.0,
        top: y - 5.0,
        bottom: y + 5.0,
    }));
    let labels: Vec<_> = curve
        .named
        .iter()
        .zip(&rings)
        // Those of other policies stand above and below the same capacity.
        .filter(|(named, _)| curve.lines.first().is_some_and(|line| line.class == named.policy))
        .filter_map(|(named, &ring)| {
            let place = free_place(ring, &named.label, frame, &taken)?;
            taken.push(Place::starting(place, &named.label));
            Some((place, &named.label))
        })
        .collect();
    html! {
        @if let Some(((x, y), text)) = ceiling {
            text.strong.halo x=(tenth(x)) y=(tenth(y)) { (text) }
        }
        @for (Named { policy, point, .. }, (x, y)) in curve.named.iter().zip(rings) {
            circle class=(format!("point {policy}")) cx=(x) cy=(y) r="4" {
                title { (point_text(curve, policy, point)) }
            }
        }
        @for ((x, y), text) in labels {
            text.strong.halo x=(tenth(x)) y=(tenth(y)) { (text) }
        }
    }
}

/// Where something is drawn.
#[derive(Clone, Copy)]
struct Place {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Place {
    /// A text whose first letter begins there on the line.
    fn starting((x, y): (f64, f64), text: &str) -> Self {
        let width = text.chars().count() as f64 * CHARACTER;
        Self { left: x - 2.0, right: x + width + 2.0, top: y - 12.0, bottom: y + 4.0 }
    }

    fn touches(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// Where the label of a ring begins so that it touches nothing: below its right, where a rising curve is
/// not, or else at another side.
fn free_place((x, y): (f64, f64), text: &str, frame: &Frame, taken: &[Place]) -> Option<(f64, f64)> {
    let width = text.chars().count() as f64 * CHARACTER;
    let sides = [
        (x + 7.0, y + 15.0),
        (x - 7.0 - width, y - 7.0),
        (x - width / 2.0, y - 10.0),
        (x - width / 2.0, y + 20.0),
        (x + 8.0, y + 4.0),
        (x - 8.0 - width, y + 4.0),
    ];
    sides.into_iter().find(|&side| {
        let place = Place::starting(side, text);
        let inside = place.left >= frame.left
            && place.right <= frame.right + 8.0
            && place.top >= frame.top - 14.0
            && place.bottom <= frame.bottom - 2.0;
        inside && !taken.iter().any(|other| other.touches(&place))
    })
}
