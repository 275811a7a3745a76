//! Axes and the numbers beside them, whatever draws them.

/// A stretch of numbers that is drawn from one edge to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    /// Evenly from `from` to `to`.
    pub(super) fn linear(from: f64, to: f64) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, log: false }
    }

    /// By ratio; both ends are positive.
    pub(super) fn log(from: f64, to: f64) -> Self {
        let from = from.max(f64::MIN_POSITIVE);
        Self { from, to: if to > from { to } else { from * 2.0 }, log: true }
    }

    /// Evenly from 0 to a round number that is no less than `largest`, in at most `most` steps.
    pub(super) fn up_to(largest: f64, most: usize) -> Self {
        let step = round_step(largest / most as f64);
        let steps = if step > 0.0 { (largest / step - 1e-9).ceil().max(1.0) } else { 1.0 };
        Self::linear(0.0, steps * step)
    }

    /// The first number.
    pub(super) fn from(&self) -> f64 {
        self.from
    }

    /// The last number.
    pub(super) fn to(&self) -> f64 {
        self.to
    }

    /// Where a number is: 0 at the first edge, 1 at the last one.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        share.clamp(0.0, 1.0)
    }

    /// The number at a place.
    pub(super) fn at(&self, share: f64) -> f64 {
        if self.log {
            self.from * (self.to / self.from).powf(share)
        } else {
            self.from + (self.to - self.from) * share
        }
    }

    /// Round numbers on the axis, rising, at most `most` (at least 2).
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.log { self.log_ticks(most) } else { self.linear_ticks(most) }
    }

    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let step = round_step((self.to - self.from) / most.saturating_sub(1).max(1) as f64);
        let first = (self.from / step - 1e-9).ceil();
        let last = (self.to / step + 1e-9).floor();
        let steps = if last >= first { 0..=(last - first) as u32 } else { return Vec::new() };
        steps.map(|i| (first + f64::from(i)) * step).collect()
    }

    /// Powers of ten, every so many; with twos and fives between them where there is room.
    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let (low, high) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let inside = |tick: &f64| (self.from * (1.0 - 1e-9)..=self.to * (1.0 + 1e-9)).contains(tick);
        let between = |digits: &[f64]| -> Vec<f64> {
            let decade = |power: i32| digits.iter().map(move |digit| digit * 10_f64.powi(power));
            (low..=high).flat_map(decade).filter(inside).collect()
        };
        let fits = |ticks: &Vec<f64>| ticks.len() <= most;
        if let Some(ticks) = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0]].map(between).into_iter().find(fits) {
            return ticks;
        }
        let decades = between(&[1.0]);
        let step = decades.len().div_ceil(most).max(1);
        decades.into_iter().step_by(step).collect()
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    if !(least > 0.0 && least.is_finite()) {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= least * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

/// At most three digits or so, with a letter for thousands: `950`, `12.5k`, `1M`.
pub(super) fn short(value: f64) -> String {
    let units = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // What rounds to a thousand of a unit belongs to the next one.
    let unit = units.into_iter().find(|(size, _)| value.abs() >= size * 0.9995);
    match unit {
        _ if value.abs() > 1e18 => format!("{value:.0e}"),
        Some((size, letter)) => format!("{}{letter}", digits(value / size)),
        None => digits(value),
    }
}

/// Three digits without zeros at the end.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        x if x >= 99.95 => 0,
        x if x >= 9.995 => 1,
        x if x >= 0.9995 => 2,
        x => (2 - x.log10().floor() as i32).clamp(0, 12) as usize,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count with commas between thousands.
pub(super) fn grouped(value: u128) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    for (index, digit) in text.chars().enumerate() {
        if index > 0 && (text.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in percent, to a tenth.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The unit in which a span of so many seconds is read best: its name, and seconds in it.
pub(super) fn time_unit(seconds: f64) -> (&'static str, f64) {
    match seconds {
        s if s < 180.0 => ("s", 1.0),
        s if s < 3.0 * 3600.0 => ("min", 60.0),
        s if s < 3.0 * 86_400.0 => ("h", 3600.0),
        _ => ("days", 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::linear(0.0, 0.9).ticks(5), [0.0, 0.5]);
        assert_eq!(Axis::linear(3.0, 43.0).ticks(5), [10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Axis::log(1.0, 182_790.0).ticks(7), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
        assert_eq!(Axis::log(30.0, 700.0).ticks(7), [50.0, 100.0, 200.0, 500.0]);
        assert_eq!(Axis::up_to(37.0, 4).to(), 40.0);
        assert_eq!(Axis::up_to(0.0, 4).to(), 1.0);
    }

    proptest! {
        #[test]
        fn any_axis_has_ticks_inside_and_not_too_many(
            from in 0.001..1e12_f64, ratio in 1.0..1e9_f64, most in 2..12_usize
        ) {
            for axis in [Axis::linear(from, from * ratio), Axis::log(from, from * ratio)] {
                let ticks = axis.ticks(most);
                prop_assert!(ticks.len() <= most, "{axis:?} {ticks:?}");
                prop_assert!(ticks.is_sorted_by(|a, b| a < b));
                for tick in ticks {
                    let back = axis.at(axis.place(tick));
                    prop_assert!((back - tick).abs() <= axis.to() * 1e-6, "{axis:?} {tick} {back}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.05, 1.0, 950.0, 999.7, 1000.0, 12_500.0, 1e6, 182_790.0, 2.5e9];
        let expected = ["0", "0.05", "1", "950", "1k", "1k", "12.5k", "1M", "183k", "2.5G"];
        assert_eq!(texts.map(short), expected);
        assert_eq!(
            [0, 999, 1000, 12_031, 1_000_000].map(grouped),
            ["0", "999", "1,000", "12,031", "1,000,000"]
        );
    }
}
