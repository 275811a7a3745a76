//! Times as exact decimal numbers.
//!
//! Times of day in seconds have more digits than a double holds once they are milliseconds, and a
//! shift by a double would write `0.30000000000000004`. So times that are changed are read digit by
//! digit into a whole number of billionths of a millisecond; further digits are rounded. Dates are the
//! matter of the crate `jiff`.

use std::iter::repeat_n;
use std::ops::{Add, Range, Sub};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;

use crate::error::Invalid;

/// Decimals of a millisecond that are kept.
const DECIMALS: i64 = 9;

/// One millisecond.
const ONE: i128 = 1_000_000_000;

/// No time is as far away as this: 10^24 milliseconds.
const MOST: u128 = 1_000_000_000_000_000_000_000_000_000_000_000;

/// A moment or a span, exact to a billionth of a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(i128);

/// Whether a clock in milliseconds can be written: whole ones fit into a double up to here.
///
/// # Errors
/// Beyond 2^53 milliseconds.
pub fn check_clock(now: f64) -> Result<(), Invalid> {
    const MOST: f64 = (1_u64 << 53) as f64;
    if now <= MOST {
        return Ok(());
    }
    Err(Invalid::value("arrival times run beyond 285,000 years (see `rate` and `speedup_ratio`)"))
}

/// Whether records come in the order of their times, and whether these are plausible as milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeOrder {
    first: Option<f64>,
    latest: Option<f64>,
    timed: u64,
    late: u64,
}

impl TimeOrder {
    /// Takes the time of the next record, if it has one.
    #[inline]
    pub fn count(&mut self, time: Option<f64>) {
        let Some(time) = time else { return };
        self.timed += 1;
        self.first.get_or_insert(time);
        match self.latest {
            Some(latest) if time < latest => self.late += 1,
            _ => self.latest = Some(time),
        }
    }

    /// What to say about it.
    pub fn note(&self) -> Option<String> {
        late_note(self.late, self.timed)
    }

    /// What makes one doubt that the times are milliseconds.
    pub fn unit_note(&self) -> Option<String> {
        let (first, latest) = self.first.zip(self.latest)?;
        unit_note(first, latest, self.timed)
    }
}

/// From so many requests on, a rate is one to judge by.
const ENOUGH: u64 = 100;

/// More requests per second than one trace is likely to hold.
const MOST_PER_SECOND: f64 = 2000.0;

/// A longer span than one trace is likely to cover, in milliseconds: ten years.
const LONGEST_SPAN: f64 = 10.0 * 365.0 * 86_400_000.0;

/// What makes one doubt that times from `first` to `last`, of so many requests, are milliseconds.
pub fn unit_note(first: f64, last: f64, requests: u64) -> Option<String> {
    const HINT: &str = "but count as milliseconds (see trace-cat `timestamp_unit`";
    if let Some(unit) = Unit::of_present(first) {
        let (words, name) = unit.names();
        return Some(format!("times look like {words} since 1970, {HINT} {name})"));
    }
    let span = last - first;
    let rate = requests as f64 / span * 1000.0;
    if requests >= ENOUGH && span > 0.0 && rate > MOST_PER_SECOND {
        return Some(format!("{rate:.0} requests per second: times may be seconds, {HINT})"));
    }
    (span > LONGEST_SPAN).then(|| {
        let years = span / LONGEST_SPAN * 10.0;
        format!("times span {years:.0} years: they may be microseconds or nanoseconds, {HINT})")
    })
}

/// What to say about `late` of `all` records that are earlier than one before them, if they are more than
/// some: a log that is written when requests end has a few.
pub fn late_note(late: u64, all: u64) -> Option<String> {
    (late > all / 10).then(|| format!("{late} of {all} records are earlier than one before them"))
}

/// Milliseconds since 1970 that are taken for a date: between 2001 and 2096.
pub(crate) const PRESENT: Range<f64> = 1e12..4e12;

/// What a number of a trace counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// The unit other than milliseconds, if there is one, in which the number `text` is a plausible Unix time:
    /// between 2001 and 2096.
    pub fn of_the_present(text: &str) -> Option<Self> {
        Self::of_present(text.parse().ok()?)
    }

    fn of_present(number: f64) -> Option<Self> {
        [Self::Seconds, Self::Microseconds, Self::Nanoseconds]
            .into_iter()
            .find(|unit| PRESENT.contains(&(number * 10_f64.powi(unit.power() as i32))))
    }

    /// Its name in words, and the short one.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Seconds => ("seconds", "s"),
            Self::Milliseconds => ("milliseconds", "ms"),
            Self::Microseconds => ("microseconds", "us"),
            Self::Nanoseconds => ("nanoseconds", "ns"),
        }
    }

    /// Powers of ten from this unit to milliseconds.
    fn power(self) -> i64 {
        match self {
            Self::Seconds => 3,
            Self::Milliseconds => 0,
            Self::Microseconds => -3,
            Self::Nanoseconds => -6,
        }
    }
}

impl Millis {
    /// A whole number of milliseconds.
    pub fn whole(milliseconds: u64) -> Self {
        Self(i128::from(milliseconds) * ONE)
    }

    /// A whole number of microseconds.
    pub fn micros(microseconds: u64) -> Self {
        Self(i128::from(microseconds) * (ONE / 1000))
    }

    /// The JSON number `text`, which counts `unit`s. `None` if it is no number or beyond 10^24 ms.
    pub fn parse(text: &str, unit: Unit) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        // The digit at place p counts 10^p billionths of a millisecond.
        let places = exponent.checked_add(unit.power() + DECIMALS)?.checked_add(whole.len() as i64)?;
        let (mut value, mut place) = (0_i128, places);
        for digit in whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')) {
            place -= 1;
            match place {
                0.. => value = value.checked_mul(10)?.checked_add(digit)?,
                -1 => value += i128::from(digit >= 5),
                _ => break,
            }
        }
        for _ in 0..place.clamp(0, 40) {
            value = value.checked_mul(10)?;
        }
        (value.unsigned_abs() <= MOST).then_some(Self(if negative { -value } else { value }))
    }

    /// A date and time as in RFC 3339, with a blank for the `T` and without a zone (then UTC) too; or as mail, web
    /// servers and logs have it, such as `Mon, 23 Nov 2026 10:00:00 GMT`, `[23/Nov/2026:10:00:00 +0000]` and
    /// `2026-11-23 10:00:00,123`.
    pub fn parse_date(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
        // Behind the date, these are in every zone, and without one the text would be read twice.
        let may_have_zone = text.bytes().skip(8).any(|byte| b"Zz+-".contains(&byte));
        let with_zone = may_have_zone.then(|| text.parse::<Timestamp>().ok()).flatten();
        let moment = with_zone.or_else(|| without_zone(text)).or_else(|| of_logs(text))?;
        Some(Self(moment.as_nanosecond() * (ONE / 1_000_000)))
    }

    /// The beginning of a day such as `2026-11-23`, in UTC.
    pub fn parse_day(text: &str) -> Option<Self> {
        let day = Offset::UTC.to_timestamp(text.trim().parse::<Date>().ok()?.at(0, 0, 0, 0)).ok()?;
        Some(Self(day.as_nanosecond() * (ONE / 1_000_000)))
    }

    /// The nearest double, in milliseconds.
    pub fn as_f64(self) -> f64 {
        // Both numbers are exact up to 2^53, and one division rounds once.
        if self.0.unsigned_abs() <= 1 << 53 {
            return self.0 as f64 / ONE as f64;
        }
        // The quotient has more bits than a double, of which the last says whether anything is beyond them: so
        // it is rounded once too.
        let shift = self.0.unsigned_abs().leading_zeros();
        let (dividend, divisor) = (self.0.unsigned_abs() << shift, ONE.unsigned_abs());
        let quotient = (dividend / divisor) | u128::from(!dividend.is_multiple_of(divisor));
        (quotient as f64 / 2_f64.powi(shift as i32)).copysign(self.0.signum() as f64)
    }

    /// This span made shorter by `ratio`, a positive number. `None` if that is beyond 10^24 ms.
    pub fn divided_by(self, ratio: f64) -> Option<Self> {
        // A double prints as the shortest decimal that is itself: dividing by that decimal gives what
        // the user expects of 1.1, and no digits that come from the binary form.
        let text = format!("{ratio}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let divisor: Option<i128> = format!("{whole}{fraction}").parse().ok();
        let factor = 10_i128.checked_pow(fraction.len() as u32);
        let exact = divisor.zip(factor).and_then(|(divisor, factor)| {
            let product = self.0.checked_mul(factor)?;
            // Rounded to the nearest; halves away from zero.
            (product + product.signum() * (divisor / 2)).checked_div(divisor)
        });
        let quotient = exact.unwrap_or_else(|| (self.0 as f64 / ratio).round() as i128);
        (quotient.unsigned_abs() < MOST).then_some(Self(quotient))
    }

    /// Appends the number of `unit`s in the shortest decimal form.
    pub fn write(self, unit: Unit, out: &mut Vec<u8>) {
        let decimals = (DECIMALS + unit.power()) as usize;
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(self.0.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
        let fraction = fraction.trim_end_matches('0');
        if self.0 < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend(repeat_n(b'0', decimals.saturating_sub(digits.len())));
            out.extend_from_slice(fraction.as_bytes());
        }
    }
}

/// A date and time that names no zone: then it is UTC. A date alone is no moment.
fn without_zone(text: &str) -> Option<Timestamp> {
    let civil = text.strip_suffix(" UTC").or(text.strip_suffix(" GMT")).unwrap_or(text);
    // The name of a zone in brackets would be passed over.
    let civil = if civil.contains('[') { "" } else { civil };
    Offset::UTC.to_timestamp(civil.contains(':').then(|| civil.parse::<DateTime>().ok())??).ok()
}

/// How logs write moments, beside ISO 8601 and RFC 2822; without a zone they are UTC.
const LOG_FORMS: [&str; 5] = [
    // The Common Log Format of web servers.
    "%d/%b/%Y:%H:%M:%S%.f %z",
    // Ruby, git, Go.
    "%Y-%m-%d %H:%M:%S%.f %z",
    // nginx's log of errors, glog.
    "%Y/%m/%d %H:%M:%S%.f",
    // asctime of C.
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S%.f",
];

/// No moment is written in more bytes.
const LONGEST_MOMENT: usize = 64;

#[cold]
fn of_logs(text: &str) -> Option<Timestamp> {
    if text.len() > LONGEST_MOMENT || !text.contains(':') {
        return None;
    }
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    // Go says the zone twice.
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    LOG_FORMS.iter().find_map(|form| {
        let parts = BrokenDownTime::parse(form, text).ok()?;
        match parts.offset() {
            Some(_) => parts.to_timestamp().ok(),
            None => Offset::UTC.to_timestamp(parts.to_datetime().ok()?).ok(),
        }
    })
}

impl Add for Millis {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Millis {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

/// How the times of a field are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeForm {
    /// As numbers that count this unit.
    Number(Unit),
    /// As texts such as `2026-11-24T12:00:00.5Z`.
    Date,
}

impl Default for TimeForm {
    fn default() -> Self {
        Self::Number(Unit::Milliseconds)
    }
}

impl TimeForm {
    /// Reads one of them.
    ///
    /// # Errors
    /// When it is no such time, or further off than a trace can be.
    pub fn parse(self, text: &str) -> Result<Millis, Invalid> {
        match self {
            Self::Number(unit) => Millis::parse(text, unit)
                .ok_or_else(|| Invalid::value(format!("\"{text}\" is not a plausible time in numbers"))),
            Self::Date => Millis::parse_date(text).ok_or_else(|| {
                Invalid::value(format!("\"{text}\" is not a time such as 2026-11-24T12:00:00Z"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plausible_unix_times_tell_their_unit() {
        let texts = [
            "0",
            "-1764000000",
            "3600000",
            "1764000000",
            "1764000000.25",
            "1764000000000",
            "1764e12",
            "1764e15",
        ];
        let seconds = Some(Unit::Seconds);
        let units = texts.map(Unit::of_the_present);
        assert_eq!(
            units,
            [None, None, None, seconds, seconds, None, Some(Unit::Microseconds), Some(Unit::Nanoseconds)]
        );
    }

    fn written(time: Millis, unit: Unit) -> String {
        let mut out = Vec::new();
        time.write(unit, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn from(text: &str, unit: Unit) -> Option<String> {
        Millis::parse(text, unit).map(|time| written(time, Unit::Milliseconds))
    }

    #[test]
    fn numbers_keep_their_digits_in_every_unit() {
        for (text, unit, expected) in [
            ("27482", Unit::Milliseconds, "27482"),
            ("0.1", Unit::Milliseconds, "0.1"),
            ("-1.50", Unit::Milliseconds, "-1.5"),
            ("61.114", Unit::Seconds, "61114"),
            ("1711929600.123", Unit::Seconds, "1711929600123"),
            ("1711929600.1234567", Unit::Seconds, "1711929600123.4567"),
            ("1711929600123456789", Unit::Nanoseconds, "1711929600123.456789"),
            ("1711929600123456", Unit::Microseconds, "1711929600123.456"),
            ("1.5e3", Unit::Milliseconds, "1500"),
            ("1e-3", Unit::Seconds, "1"),
            ("12E+2", Unit::Milliseconds, "1200"),
            ("0.00000000049", Unit::Milliseconds, "0"),
            ("0.0000000005", Unit::Milliseconds, "0.000000001"),
            ("0e99999", Unit::Milliseconds, "0"),
        ] {
            assert_eq!(from(text, unit).as_deref(), Some(expected), "{text} {unit:?}");
        }
        for text in ["", "-", "x", "1.x", ".5", "1e", "1e99", "1e9999999999999999999", "nan", "1 "] {
            assert_eq!(from(text, Unit::Seconds), None, "{text}");
        }
        assert_eq!(written(Millis::whole(1234), Unit::Seconds), "1.234");
        assert_eq!(written(Millis::whole(60_000), Unit::Seconds), "60");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", "0"),
            ("2023-11-16 18:15:46.6805900", "1700158546680.59"),
            ("2023-11-16 18:15:46.6805900+00:00", "1700158546680.59"),
            ("2024-02-29T12:00:00.5+01:00", "1709204400500"),
            ("2024-02-29T12:00:00-0330", "1709220600000"),
            ("1969-12-31T23:59:59Z", "-1000"),
            ("2000-03-01t00:00Z", "951868800000"),
            ("2000-03-01 00:00:00,250", "951868800250"),
            ("2000-03-01 00:00:00.5 UTC", "951868800500"),
            ("2000-03-01 02:00:00.5 +0200", "951868800500"),
            ("2000-03-01 02:00:00+02", "951868800000"),
            ("2000-03-01 00:00:00.123456789 +0000 UTC", "951868800123.456789"),
            ("01/Mar/2000:01:00:00 +0100", "951868800000"),
            ("[01/Mar/2000:00:00:00.75 -0000]", "951868800750"),
            ("01/Mar/2000:00:00:00", "951868800000"),
            ("2000/03/01 00:00:00", "951868800000"),
            ("Wed, 1 Mar 2000 00:00:00 GMT", "951868800000"),
            ("1 Mar 2000 01:00:00 +0100", "951868800000"),
            ("Wed Mar  1 00:00:00 2000", "951868800000"),
        ] {
            let time = Millis::parse_date(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(written(time, Unit::Milliseconds), expected, "{text}");
        }
        for text in [
            "",
            "2023-11-16",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "12:00:00",
            "a b",
            "2023-01-01T00:00:00+x",
            "23/Foo/2026:10:00:00 +0000",
            "10:00 on Monday",
        ] {
            assert_eq!(Millis::parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_taken_as_it_is_written() {
        let time = |text: &str| Millis::parse(text, Unit::Milliseconds).unwrap();
        assert_eq!(written(time("110").divided_by(1.1).unwrap(), Unit::Milliseconds), "100");
        assert_eq!(written(time("1000").divided_by(3.0).unwrap(), Unit::Milliseconds), "333.333333333");
        assert_eq!(written(time("1000").divided_by(0.25).unwrap(), Unit::Milliseconds), "4000");
        assert_eq!(written(time("-1000").divided_by(2.0).unwrap(), Unit::Milliseconds), "-500");
        assert_eq!(written(time("5").divided_by(1e-7).unwrap(), Unit::Milliseconds), "50000000");
        assert_eq!(
            written(time("1e14").divided_by(1e-9).unwrap(), Unit::Milliseconds),
            format!("1{:023}", 0)
        );
        assert_eq!(time("1e15").divided_by(1e-9), None);
        assert_eq!(time("-9e23").divided_by(1e-9), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in -10_i128.pow(30)..10_i128.pow(30)) {
            let time = Millis(value);
            for unit in [Unit::Seconds, Unit::Milliseconds] {
                prop_assert_eq!(Millis::parse(&written(time, unit), unit), Some(time));
            }
        }

        #[test]
        fn the_nearest_double_is_that_of_the_digits(
            value in prop_oneof![
                -10_i128.pow(33)..10_i128.pow(33),
                (1_753_340_000_000_i128..1_753_350_000_000).prop_map(|ms| ms * ONE),
                (0..1_i128 << 55).prop_map(|value| value - (1 << 54)),
                (0..1_i128 << 62, 0_u32..48).prop_map(|(value, bits)| value << bits),
            ],
        ) {
            let text = written(Millis(value), Unit::Milliseconds);
            prop_assert_eq!(Millis(value).as_f64(), text.parse::<f64>().unwrap(), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            Millis::parse(&text, Unit::Seconds);
            Millis::parse_date(&text);
        }
    }
}
