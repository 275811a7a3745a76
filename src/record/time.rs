//! Arrival times, exactly: decimal digits never go through a binary fraction.

use jiff::Timestamp;

/// What the numbers of a time field count, or how its texts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds, as in traces.
    #[default]
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Texts such as `2026-11-24T12:00:00.5Z`.
    Rfc3339,
}

impl TimeUnit {
    /// Nanoseconds as a power of ten.
    fn power(self) -> i64 {
        match self {
            Self::Seconds => 9,
            Self::Milliseconds => 6,
            Self::Microseconds => 3,
            Self::Nanoseconds | Self::Rfc3339 => 0,
        }
    }
}

/// A point in time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i128);

impl Time {
    /// A number of nanoseconds.
    pub fn from_nanoseconds(n: i128) -> Self {
        Self(n)
    }

    /// Reads `text`, a number or (for RFC 3339) a date. What is finer than a nanosecond is cut off.
    ///
    /// # Errors
    /// When it is no such time, or further off than a trace can be.
    pub fn parse(text: &str, unit: TimeUnit) -> Result<Self, String> {
        if unit == TimeUnit::Rfc3339 {
            let time: Timestamp =
                text.parse().map_err(|_| format!("\"{text}\" is not a time such as 2026-11-24T12:00:00Z"))?;
            return Ok(Self(time.as_nanosecond()));
        }
        decimal(text, unit.power())
            .filter(|n| n.unsigned_abs() < 1 << 100)
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is not a plausible time in numbers"))
    }

    /// The time since `first`.
    #[must_use]
    pub fn since(self, first: Self) -> Self {
        Self(self.0 - first.0)
    }

    /// Appends the time in milliseconds with as many decimals as it has.
    pub fn write_milliseconds(self, out: &mut Vec<u8>) {
        let (sign, n) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let mut text = format!("{sign}{}.{:06}", n / 1_000_000, n % 1_000_000);
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// A decimal number times ten to the power of `power`, without its fraction.
fn decimal(text: &str, power: i64) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Of the digits, so many stand before the point of the result.
    let kept = (whole.len() as i64).checked_add(exponent)?.checked_add(power)?;
    let mut value: i128 = 0;
    for digit in digits().take(usize::try_from(kept).unwrap_or(0)) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let missing = kept.saturating_sub((whole.len() + fraction.len()) as i64).max(0);
    if value != 0 {
        value = value.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str, unit: TimeUnit) -> String {
        let mut out = Vec::new();
        Time::parse(text, unit).unwrap().write_milliseconds(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn units_move_the_point_and_nothing_else() {
        use TimeUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
        for (text, unit, expected) in [
            ("0", Seconds, "0"),
            ("1711929600.123", Seconds, "1711929600123"),
            ("1711929600.1234567899", Seconds, "1711929600123.456789"),
            ("61.114", Seconds, "61114"),
            ("0.1", Milliseconds, "0.1"),
            ("-0.5", Milliseconds, "-0.5"),
            ("1e3", Milliseconds, "1000"),
            ("1.5E-3", Seconds, "1.5"),
            ("12", Microseconds, "0.012"),
            ("1753340000123456789", Nanoseconds, "1753340000123.456789"),
            ("0e999", Seconds, "0"),
            ("1e-999", Seconds, "0"),
        ] {
            assert_eq!(milliseconds(text, unit), expected, "{text} {unit:?}");
        }
    }

    #[test]
    fn dates_are_read_with_their_zone() {
        let unit = TimeUnit::Rfc3339;
        assert_eq!(milliseconds("1970-01-01T00:00:01.5Z", unit), "1500");
        assert_eq!(milliseconds("1970-01-01T01:00:00.000000001+01:00", unit), "0.000001");
        assert_eq!(milliseconds("2026-11-24 12:00:00Z", unit), "1795521600000");
        for bad in ["", "yesterday", "2026-11-24", "2026-11-24T12:00:00", "2026-13-24T12:00:00Z"] {
            assert!(Time::parse(bad, unit).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in ["", "-", ".", ".5", "1e", "x", "1x", "1e99", "1e9999999999999999999", "0x1", "1,5"] {
            assert!(Time::parse(bad, TimeUnit::Seconds).is_err(), "{bad}");
        }
    }
}
