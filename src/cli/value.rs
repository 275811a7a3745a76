//! The value of an option, and the ways to read it.
//!
//! Numbers are read exactly, digit by digit: a size that went through a float would be silently
//! off by a few bytes, and `1.5` blocks would become 1.

use crate::record::MAX_BLOCK_SIZE;
use std::ffi::OsString;
use std::path::PathBuf;

use super::choice::{Choice, names};
use super::suggest::closest;

/// The largest number of threads that may be asked for.
const MAX_THREADS: u64 = 1024;

/// The value of an option as the user wrote it. The errors of all methods say what was found and what was
/// expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value(OsString);

impl Value {
    /// A value as it came from the command line.
    pub fn new(raw: impl Into<OsString>) -> Self {
        Self(raw.into())
    }

    /// The value as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        self.0.to_str().ok_or_else(|| format!("'{}' is not valid UTF-8 text", self.0.display()))
    }

    /// The value as an owned text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn string(&self) -> Result<String, String> {
        self.text().map(str::to_owned)
    }

    /// The value as the name of a file, which may be any bytes.
    ///
    /// # Errors
    /// Never; it returns a `Result` like the other methods.
    pub fn file(&self) -> Result<PathBuf, String> {
        Ok(PathBuf::from(&self.0))
    }

    /// The name of a file that is written in addition to the output, so it cannot be standard output.
    ///
    /// # Errors
    /// For `-`.
    pub fn own_file(&self) -> Result<PathBuf, String> {
        let path = self.file()?;
        if path.as_os_str() == "-" {
            return Err("standard output is for the records; expected the name of a file".into());
        }
        Ok(path)
    }

    /// A whole number: `1000`, `1e6`, `1.5k`, `64Ki`. Units are k, M, G, T (powers of 1000) and
    /// Ki, Mi, Gi, Ti (powers of 1024).
    ///
    /// # Errors
    /// When it is not a number, not a whole one, or above `u64::MAX`.
    pub fn count(&self) -> Result<u64, String> {
        scaled(self.text()?).map_err(|fault| self.explain(fault, &COUNT))
    }

    /// A number of bytes: a [count](Self::count), with an optional `B` at its end (`64GiB`).
    ///
    /// # Errors
    /// As for a count.
    pub fn size(&self) -> Result<u64, String> {
        let text = self.text()?;
        scaled(text.strip_suffix('B').unwrap_or(text)).map_err(|fault| self.explain(fault, &SIZE))
    }

    /// A [count](Self::count) above zero.
    ///
    /// # Errors
    /// As for a count, and for zero.
    pub fn positive(&self) -> Result<u64, String> {
        self.above_zero(self.count()?)
    }

    /// A [count](Self::count) above zero of things in memory; more than the address space holds is no
    /// limit.
    ///
    /// # Errors
    /// As for a count, and for zero.
    pub fn positive_number(&self) -> Result<usize, String> {
        self.positive().map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// A number of threads.
    ///
    /// # Errors
    /// As for a count, for zero, and above what any machine has.
    pub fn threads(&self) -> Result<usize, String> {
        let threads = self.positive()?;
        if threads > MAX_THREADS {
            return Err(format!("{threads} threads are too many; expected at most {MAX_THREADS}"));
        }
        Ok(threads as usize)
    }

    /// A [size](Self::size) above zero.
    ///
    /// # Errors
    /// As for a size, and for zero.
    pub fn positive_size(&self) -> Result<u64, String> {
        self.above_zero(self.size()?)
    }

    /// A [size](Self::size) above zero of something in memory; more than the address space holds is no
    /// limit.
    ///
    /// # Errors
    /// As for a size, and for zero.
    pub fn bytes(&self) -> Result<usize, String> {
        self.positive_size().map(|size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A salt: any text that is not empty.
    ///
    /// # Errors
    /// When it is empty or not UTF-8.
    pub fn salt(&self) -> Result<String, String> {
        match self.text()? {
            "" => Err("an empty text is no salt".into()),
            salt => Ok(salt.to_owned()),
        }
    }

    /// A memory limit that is large enough for a filter.
    ///
    /// # Errors
    /// As for a size, and below 48 MiB.
    pub fn memory(&self) -> Result<u64, String> {
        let size = self.size()?;
        if size < 48 << 20 {
            return Err(format!("{size} bytes are too few; expected 48Mi or more"));
        }
        Ok(size)
    }

    /// A finite decimal number: `0.5`, `-3`, `1e-4`.
    ///
    /// # Errors
    /// When it is not a number, is infinite or is too large for a double.
    pub fn number(&self) -> Result<f64, String> {
        match self.text()?.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!(
                "'{}' is not a finite number; expected one such as 2, 0.5 or 1e-4",
                self.0.display()
            )),
        }
    }

    /// A share from 0 to 1, as `0.9` or `90%`.
    ///
    /// # Errors
    /// When it is not a number, or not between 0 and 1.
    pub fn share(&self) -> Result<f64, String> {
        let text = self.text()?;
        let percent = text.strip_suffix('%').map(Self::new);
        let share = match percent {
            Some(percent) => percent.number().map(|number| number / 100.0),
            None => self.number(),
        };
        share
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| format!("'{text}' is not a share; expected a number such as 90% or 0.9"))
    }

    /// A number by which times or rates are multiplied: above zero, and such that no clock overflows.
    ///
    /// # Errors
    /// When it is not a number, or not between 10^-9 and 10^9.
    pub fn pace(&self) -> Result<f64, String> {
        let number = self.number()?;
        let plausible = (1e-9..=1e9).contains(&number);
        plausible
            .then_some(number)
            .ok_or_else(|| format!("'{}' is not between 1e-9 and 1e9", self.0.display()))
    }

    /// A duration in milliseconds: `250ms`, `90s`, `1h30m`, `2d`. Units go from large to small, each at most
    /// once. A number without one could mean anything, unless it is zero.
    ///
    /// # Errors
    /// When it is not a duration, not a whole number of milliseconds, or above `u64::MAX` of them.
    pub fn duration_ms(&self) -> Result<u64, String> {
        let text = self.text()?;
        match Decimal::scan(text) {
            Ok((Decimal { digits: 0, .. }, "")) => Ok(0),
            Ok((_, "")) => Err(format!("'{text}' has no unit; expected such as {text}s or {text}ms")),
            _ => duration(text).map_err(|fault| self.explain(fault, &DURATION)),
        }
    }

    /// A number of requests above zero: `10000req`, `10kreq`. A number alone could mean seconds.
    ///
    /// # Errors
    /// When it has no `req` at its end, and as for a count above zero.
    pub fn requests(&self) -> Result<u64, String> {
        let text = self.text()?;
        match text.strip_suffix("req") {
            Some(number) => Self::new(number).positive(),
            None => Err(match self.positive() {
                Ok(_) => format!("'{text}' has no unit; expected {text}req for a number of requests"),
                Err(_) => format!("'{text}' is not a number of requests; expected such as 1000req"),
            }),
        }
    }

    /// What one of the names of `T` stands for.
    ///
    /// # Errors
    /// When it is none of them; the closest one is suggested.
    pub fn pick<T: Choice>(&self) -> Result<T, String> {
        let text = self.text()?;
        if let Some((_, meaning)) = T::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*meaning);
        }
        let names = names::<T>();
        let hint = match closest(text, names.iter().copied()) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        Err(format!("'{text}' is not one of {}{hint}", names.join(", ")))
    }

    /// The same as [`Value::pick`], or the first name if the value is empty.
    ///
    /// # Errors
    /// As for a choice.
    pub fn pick_or_first<T: Choice>(&self) -> Result<T, String> {
        match T::NAMES.first() {
            Some(&(_, first)) if self.0.is_empty() => Ok(first),
            _ => self.pick(),
        }
    }

    /// Tokens per block.
    ///
    /// # Errors
    /// When it is zero or too large.
    pub fn block_size(&self) -> Result<u64, String> {
        let size = self.positive()?;
        if size > MAX_BLOCK_SIZE {
            return Err(format!("'{size}' is more than the largest block, {MAX_BLOCK_SIZE} tokens"));
        }
        Ok(size)
    }

    /// Adds values separated by commas, each read by `item`, to those of the same option before it:
    /// `value.add_to(&mut counts, Value::count)`.
    ///
    /// # Errors
    /// When an item is empty, and the errors of `item`.
    pub fn add_to<T>(
        &self,
        list: &mut Vec<T>,
        item: impl Fn(&Self) -> Result<T, String>,
    ) -> Result<(), String> {
        let text = self.text()?;
        for part in text.split(',') {
            match part.trim() {
                "" => return Err(format!("'{text}' has an empty item; expected values separated by commas")),
                part => list.push(item(&Self::new(part))?),
            }
        }
        Ok(())
    }

    /// The same, except that values that are already in the list are not added again.
    ///
    /// # Errors
    /// As for [`Value::add_to`].
    pub fn add_new_to<T: PartialEq>(
        &self,
        list: &mut Vec<T>,
        item: impl Fn(&Self) -> Result<T, String>,
    ) -> Result<(), String> {
        let mut values = Vec::new();
        self.add_to(&mut values, item)?;
        for value in values {
            if !list.contains(&value) {
                list.push(value);
            }
        }
        Ok(())
    }

    fn above_zero(&self, number: u64) -> Result<u64, String> {
        if number == 0 {
            return Err(format!("'{}' is not allowed; expected a number above zero", self.0.display()));
        }
        Ok(number)
    }

    fn explain(&self, fault: Fault, kind: &Kind) -> String {
        let found = self.0.display();
        let Kind { name, whole, such_as } = kind;
        match fault {
            Fault::Malformed => format!("'{found}' is not a {name}; expected {such_as}"),
            Fault::Fraction => format!("'{found}' is not {whole}; expected {such_as}"),
            Fault::TooLarge => format!("'{found}' is too large; expected at most {}", u64::MAX),
        }
    }
}

/// How the error messages describe one kind of number.
struct Kind {
    name: &'static str,
    whole: &'static str,
    such_as: &'static str,
}

const COUNT: Kind =
    Kind { name: "count", whole: "a whole number", such_as: "a whole number such as 1000, 64k or 1e6" };

const SIZE: Kind = Kind {
    name: "size",
    whole: "a whole number of bytes",
    such_as: "a number of bytes such as 1000000, 64M or 64MiB",
};

const DURATION: Kind = Kind {
    name: "duration",
    whole: "a whole number of milliseconds",
    such_as: "one such as 250ms, 90s or 1h30m",
};

/// Why a text is not the number that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Malformed,
    Fraction,
    TooLarge,
}

/// A number with an optional unit.
fn scaled(text: &str) -> Result<u64, Fault> {
    let (number, unit) = Decimal::scan(text)?;
    let unit = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" | "ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(Fault::Malformed),
    };
    number.times(unit)
}

/// Milliseconds in numbers with units of time.
fn duration(text: &str) -> Result<u64, Fault> {
    let (mut rest, mut total, mut above) = (text, 0_u64, u64::MAX);
    loop {
        let (number, tail) = Decimal::scan(rest)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" | "min" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(Fault::Malformed),
        };
        if unit >= above {
            return Err(Fault::Malformed);
        }
        total = total.checked_add(number.times(unit)?).ok_or(Fault::TooLarge)?;
        if tail.is_empty() {
            return Ok(total);
        }
        (rest, above) = (tail, unit);
    }
}

/// A number exactly as written: `digits` times ten to the power of `scale`.
struct Decimal {
    digits: u128,
    scale: i64,
}

impl Decimal {
    /// The number at the start of `text`, and what follows it.
    fn scan(text: &str) -> Result<(Self, &str), Fault> {
        let (whole, rest) = split_digits(text);
        if whole.is_empty() {
            return Err(Fault::Malformed);
        }
        let (fraction, rest) = match rest.strip_prefix('.').map(split_digits) {
            Some(("", _)) => return Err(Fault::Malformed),
            Some(split) => split,
            None => ("", rest),
        };
        let (exponent, rest) = split_exponent(rest);
        let fraction = fraction.trim_end_matches('0');
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .try_fold(0_u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
            .ok_or(Fault::TooLarge)?;
        let scale = exponent - i64::try_from(fraction.len()).map_err(|_| Fault::TooLarge)?;
        Ok((Self { digits, scale }, rest))
    }

    /// The number times `unit`, if that is whole and fits.
    fn times(&self, unit: u64) -> Result<u64, Fault> {
        if self.digits == 0 {
            return Ok(0);
        }
        let product = self.digits.checked_mul(u128::from(unit)).ok_or(Fault::TooLarge)?;
        let power =
            u32::try_from(self.scale.unsigned_abs()).ok().and_then(|scale| 10_u128.checked_pow(scale));
        let exact = match power {
            Some(power) if self.scale >= 0 => product.checked_mul(power).ok_or(Fault::TooLarge)?,
            Some(power) if product % power == 0 => product / power,
            None if self.scale >= 0 => return Err(Fault::TooLarge),
            // A power of more than 128 bits cannot divide a product of fewer.
            Some(_) | None => return Err(Fault::Fraction),
        };
        u64::try_from(exact).map_err(|_| Fault::TooLarge)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The power of ten in `e6`, `E+6` or `e-6` at the start of `text`, or 0; and what follows it.
fn split_exponent(text: &str) -> (i64, &str) {
    let Some(signed) = text.strip_prefix(['e', 'E']) else {
        return (0, text);
    };
    let negative = signed.starts_with('-');
    let (digits, rest) = split_digits(signed.strip_prefix(['+', '-']).unwrap_or(signed));
    if digits.is_empty() {
        return (0, text);
    }
    // An exponent that does not fit is out of every range anyway.
    let power = digits.parse::<u32>().map_or(i64::from(u32::MAX), i64::from);
    (if negative { -power } else { power }, rest)
}

#[cfg(test)]
mod tests {
    use super::super::choice::NamedValues;
    use super::*;

    fn count(text: &str) -> Result<u64, String> {
        Value::new(text).count()
    }

    fn size(text: &str) -> Result<u64, String> {
        Value::new(text).size()
    }

    fn duration_ms(text: &str) -> Result<u64, String> {
        Value::new(text).duration_ms()
    }

    #[test]
    fn counts_take_units_and_exponents() {
        for (text, expected) in [
            ("0", 0),
            ("007", 7),
            ("1000", 1000),
            ("1e6", 1_000_000),
            ("1E+6", 1_000_000),
            ("2.5e3", 2500),
            ("1000e-3", 1),
            ("1k", 1000),
            ("1K", 1000),
            ("1M", 1_000_000),
            ("1G", 1_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1Ki", 1024),
            ("1Mi", 1 << 20),
            ("1Gi", 1 << 30),
            ("1Ti", 1 << 40),
            ("1.5k", 1500),
            ("1.0", 1),
            ("0.5Ki", 512),
            ("1e3k", 1_000_000),
            ("0e99999999999999999999", 0),
            ("1.50000000000000000000000000000000000000000000000k", 1500),
        ] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_largest_count_fits_and_the_next_does_not() {
        assert_eq!(count("18446744073709551615"), Ok(u64::MAX));
        for text in [
            "18446744073709551616",
            "18446744073709551616Ki",
            "1e20",
            "1e4294967296",
            "1e999999999999999999999",
            "17179869184Gi",
            "999999999999999999999999999999999999999999",
        ] {
            let error = count(text).unwrap_err();
            assert_eq!(error, format!("'{text}' is too large; expected at most 18446744073709551615"));
        }
    }

    #[test]
    fn fractions_are_no_counts() {
        for text in ["1.5", "0.0001k", "1e-3", "1e-999999999999", "0.1Ki"] {
            let error = count(text).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "'{text}' is not a whole number; \
                     expected a whole number such as 1000, 64k or 1e6"
                )
            );
        }
    }

    #[test]
    fn other_text_is_no_count() {
        for text in [
            "", "-1", "+1", " 1", "1 ", "1.", ".5k", "k", "1e", "1x", "1kk", "1KiB", "1m", "0x10", "1_000",
            "1,000", "nan", "١",
        ] {
            let error = count(text).unwrap_err();
            assert!(error.starts_with(&format!("'{text}' is not a count")), "{error}");
        }
    }

    #[test]
    fn sizes_end_in_b_or_not() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("64B"), Ok(64));
        assert_eq!(size("64k"), Ok(64_000));
        assert_eq!(size("64kB"), Ok(64_000));
        assert_eq!(size("64Ki"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        for text in ["B", "1BB", "1iB", "1Bi", "1b"] {
            assert!(size(text).unwrap_err().contains("is not a size"), "{text}");
        }
        assert!(
            size("0.5").unwrap_err().contains("a whole number of bytes; expected a number of bytes such as")
        );
    }

    #[test]
    fn zero_is_not_positive() {
        assert_eq!(Value::new("1").positive(), Ok(1));
        assert_eq!(Value::new("1B").positive_size(), Ok(1));
        for value in ["0", "0k", "0.0"].map(Value::new) {
            assert!(value.positive().unwrap_err().contains("above zero"));
            assert!(value.positive_size().unwrap_err().contains("above zero"));
        }
    }

    #[test]
    fn numbers_are_finite() {
        for (text, expected) in [("2", 2.0), ("-0.5", -0.5), (".5", 0.5), ("1e-4", 1e-4)] {
            let number = Value::new(text).number().unwrap();
            assert!((number - expected).abs() < f64::EPSILON, "{text}");
        }
        for text in ["", "inf", "-inf", "NaN", "1e999", "1k", "0,5", "x"] {
            let error = Value::new(text).number().unwrap_err();
            assert!(error.contains("is not a finite number"), "{error}");
        }
    }

    #[test]
    fn shares_are_numbers_or_percent() {
        for (text, expected) in
            [("0", 0.0), ("0.5", 0.5), ("50%", 0.5), ("100%", 1.0), ("1", 1.0), ("0%", 0.0)]
        {
            let share = Value::new(text).share().unwrap();
            assert!((share - expected).abs() < f64::EPSILON, "{text}");
        }
        for text in ["", "%", "101%", "1.5", "-1%", "nan", "50 %", "5k"] {
            let error = Value::new(text).share().unwrap_err();
            assert!(error.starts_with(&format!("'{text}' is not a share")), "{error}");
        }
    }

    #[test]
    fn paces_are_plausible() {
        assert_eq!(Value::new("1e-9").pace(), Ok(1e-9));
        assert_eq!(Value::new("2").pace(), Ok(2.0));
        for text in ["0", "-1", "1e-30", "1e-300", "1e10"] {
            assert!(Value::new(text).pace().unwrap_err().contains("is not between 1e-9 and 1e9"), "{text}");
        }
    }

    #[test]
    fn durations_add_their_units() {
        for (text, expected) in [
            ("0", 0),
            ("0.0", 0),
            ("1e3ms", 1000),
            ("250ms", 250),
            ("90s", 90_000),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(duration_ms(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_one_that_it_may_have() {
        for text in ["300", "1.5", "1e3"] {
            let error = duration_ms(text).unwrap_err();
            assert_eq!(error, format!("'{text}' has no unit; expected such as {text}s or {text}ms"));
        }
        let requests = |text: &str| Value::new(text).requests();
        assert_eq!((requests("60req"), requests("1kreq")), (Ok(60), Ok(1000)));
        assert!(requests("60").unwrap_err().contains("expected 60req"));
        for text in ["req", "0req", "1.5req", "60s", "x"] {
            assert!(requests(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_duration() {
        for text in ["", "s", "-1s", "1h30", "30m1h", "1s1s", "1m1min", "1 s", "1w", "10k", "1S", "1h 30m"] {
            let error = duration_ms(text).unwrap_err();
            assert!(error.contains("is not a duration; expected"), "{error}");
        }
        assert!(duration_ms("0.5ms").unwrap_err().contains("is not a whole number of milliseconds"));
        for text in ["18446744073709551615s", "1d18446744073709551615ms"] {
            assert!(duration_ms(text).unwrap_err().contains("is too large"));
        }
    }

    impl Choice for u8 {
        const NAMES: NamedValues<Self> = &[("table", 1), ("json", 2), ("csv", 3)];
    }

    #[test]
    fn a_wrong_choice_names_all_and_suggests_one() {
        let pick = |text: &str| Value::new(text).pick::<u8>();
        assert_eq!(pick("json"), Ok(2));
        assert_eq!(pick("jsn").unwrap_err(), "'jsn' is not one of table, json, csv; did you mean json?");
        assert_eq!(pick("xml").unwrap_err(), "'xml' is not one of table, json, csv");
        assert!(pick("JSON").is_err() && pick("").is_err());
        assert_eq!((Value::new("").pick_or_first(), Value::new("csv").pick_or_first()), (Ok(1), Ok(3)));
    }

    #[test]
    fn lists_split_at_commas_and_add_up() {
        let list = |texts: &[&str]| {
            let mut counts = Vec::new();
            texts
                .iter()
                .try_for_each(|text| Value::new(text).add_to(&mut counts, Value::count))
                .map(|()| counts)
        };
        assert_eq!(list(&["1k,2"]), Ok(vec![1000, 2]));
        assert_eq!(list(&["1, 2", "2"]), Ok(vec![1, 2, 2]));
        assert_eq!(list(&["7"]), Ok(vec![7]));
        for text in ["", ",", "1,,2", "1,"] {
            let error = list(&[text]).unwrap_err();
            assert!(error.contains("has an empty item"), "{error}");
        }
        let error = list(&["1,x"]).unwrap_err();
        assert!(error.starts_with("'x' is not a count"), "{error}");
        let mut counts = vec![1, 2];
        Value::new("2,3,3").add_new_to(&mut counts, Value::count).unwrap();
        assert_eq!(counts, [1, 2, 3]);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_may_be_any_bytes_but_a_text_may_not() {
        use std::os::unix::ffi::OsStringExt;
        let value = Value::new(OsString::from_vec(b"a\xff".to_vec()));
        assert_eq!(value.file().unwrap().as_os_str(), value.0);
        assert!(value.text().unwrap_err().contains("is not valid UTF-8"));
        assert!(value.count().unwrap_err().contains("is not valid UTF-8"));
    }
}
