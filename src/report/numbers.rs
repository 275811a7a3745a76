//! Numbers as people read them: rounded, never cut, with commas between thousands.

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
pub(crate) fn grouped(value: u128) -> String {
    separated(&value.to_string())
}

/// Digits with commas between thousands.
fn separated(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
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

/// A number with six significant digits, or two decimals where that is more, without zeros at the end:
/// `12,035.06`, `342.619`, `0.384258`.
pub(super) fn rounded(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let places = match magnitude {
        6.. => 0,
        5 => 1,
        4 => 2,
        _ => (5 - magnitude).clamp(0, 12) as usize,
    };
    let text = format!("{:.places$}", value.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let sign = if value < 0.0 && text.contains(|c| ('1'..='9').contains(&c)) { "-" } else { "" };
    format!("{sign}{}{}{rest}", separated(whole), if rest.is_empty() { "" } else { "." })
}

/// A number of bytes in the binary unit that fits: `1.67 TiB`.
pub(super) fn bytes(value: u128) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut size, mut unit) = (value as f64, 0);
    // What rounds to a thousand and more of a unit reads better in the next one.
    while size >= 999.5 && unit + 1 < units.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{} {}", digits(size), units[unit])
}

/// A number of floating point operations: `1.234e15`.
pub(super) fn flops(value: u128) -> String {
    format!("{:.3e}", value as f64)
}

/// A moment of the trace: a date if its clock counts from 1970, else seconds.
pub(super) fn moment(ms: f64) -> String {
    // Before 2001, a time is taken for a span.
    let dated =
        (1e12..1e14).contains(&ms).then(|| jiff::Timestamp::from_millisecond(ms as i64).ok()).flatten();
    dated.map_or_else(
        || format!("{} s", rounded(ms / 1000.0)),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn numbers_are_rounded_and_not_cut() {
        for (value, text) in [
            (12_035.061_341_534_369, "12,035.06"),
            (85_400.39, "85,400.39"),
            (85_400.399, "85,400.4"),
            (342.618_901, "342.619"),
            (999.999_96, "1,000"),
            (0.384_258_087, "0.384258"),
            (0.000_123_456_789, "0.000123457"),
            (126_195.0, "126,195"),
            (144_793_823.4, "144,793,823"),
            (0.0, "0"),
            (-1_234.5, "-1,234.5"),
            (-1e-300, "0"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let texts = [0, 999, 1000, 1 << 20, 64 << 30, 1000 << 30, 11 << 40, u128::MAX].map(bytes);
        let expected = ["0 B", "999 B", "0.977 KiB", "1 MiB", "64 GiB", "0.977 TiB", "11 TiB"];
        assert_eq!(texts[..7], expected);
        assert!(texts[7].ends_with(" EiB"));
    }
}
