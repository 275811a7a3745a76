//! Axes, whatever draws them.

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

    /// Powers of two that are easy numbers of bytes, rising, at most `most` on an axis of bytes.
    pub(super) fn byte_ticks(&self, most: usize) -> Vec<f64> {
        let (low, high) = (self.from.log2().ceil() as i32, self.to.log2().floor() as i32);
        let every = |step: i32| -> Vec<f64> {
            (low..=high).filter(|power| power.rem_euclid(step) == 0).map(|power| 2_f64.powi(power)).collect()
        };
        let steps = [1, 2, 5, 10, 20, 40].map(every);
        steps.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default()
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

    #[test]
    fn ticks_of_bytes_are_powers_of_two() {
        let gib = f64::from(1 << 30);
        let ticks = |from: f64, to: f64, most| Axis::log(from * gib, to * gib).byte_ticks(most);
        assert_eq!(ticks(1.0, 9.0, 5), [1.0, 2.0, 4.0, 8.0].map(|n| n * gib));
        assert_eq!(ticks(0.0625, 12_000.0, 5), [1.0, 32.0, 1024.0].map(|n| n * gib));
        assert!(ticks(0.5, 1e12, 6).len() > 1);
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
}
