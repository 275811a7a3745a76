//! Traces as tables of comma-separated values, with the names of the columns in the first line.
//!
//! Fields are read as in RFC 4180, but a quoted field must end in its line. Columns that have no part
//! in a record stay as fields of the same name, numbers as numbers. Our own table has the columns
//! `timestamp` (ms), `input_length`, `output_length` and `hash_ids` (separated by blanks).

use super::target::TargetRow;
use super::{Decode, Format, Invalid, Row, Rows, azure, burstgpt, invalid, is_from_zero, vidur};
use crate::error::InvalidKind;
use crate::record::time::{Millis, Unit};
use crate::record::{MAX_LENGTH, text_of};

/// The columns of a format by the names in the first line.
pub(super) struct Columns {
    pub(super) time: &'static str,
    pub(super) clock: Clock,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    pub(super) ids: Option<&'static str>,
}

/// How a table writes times.
pub(super) enum Clock {
    Number(Unit),
    Date,
}

pub(super) const COLUMNS: Columns = Columns {
    time: "timestamp",
    clock: Clock::Number(Unit::Milliseconds),
    input: "input_length",
    output: "output_length",
    ids: Some("hash_ids"),
};

/// The first line of our own table.
pub(super) const NAMES: &[u8] = b"timestamp,input_length,output_length,hash_ids\n";

/// Appends a line of our own table.
pub(super) fn write(row: &TargetRow, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    if let Some(time) = row.time {
        time.write(Unit::Milliseconds, out);
    }
    out.push(b',');
    out.extend_from_slice(number.format(row.input_length).as_bytes());
    out.push(b',');
    if let Some(length) = row.output_length {
        out.extend_from_slice(number.format(length).as_bytes());
    }
    out.push(b',');
    for (i, &id) in row.ids.unwrap_or_default().iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(number.format(id).as_bytes());
    }
    out.push(b'\n');
}

/// The format that a line of names belongs to.
pub(super) fn detect(line: &[u8]) -> Option<Format> {
    let names = fields(text_of(line).ok()?)?;
    let tables = [
        (Format::Burstgpt, &burstgpt::COLUMNS),
        (Format::Azure, &azure::COLUMNS),
        (Format::Vidur, &vidur::COLUMNS),
        (Format::Csv, &COLUMNS),
    ];
    let fits = |columns: &Columns| [columns.time, columns.input].iter().all(|n| names.iter().any(|m| m == n));
    tables.into_iter().find(|(_, columns)| fits(columns)).map(|(format, _)| format)
}

pub(super) struct Decoder {
    columns: &'static Columns,
    /// The names of the first line.
    names: Vec<String>,
}

impl Decoder {
    pub(super) fn new(columns: &'static Columns) -> Self {
        Self { columns, names: Vec::new() }
    }

    fn start(&mut self, names: Vec<String>) -> Result<(), Invalid> {
        for wanted in [self.columns.input, self.columns.time] {
            if !names.iter().any(|name| name == wanted) {
                let message = format!("expected the names of the columns, among them \"{wanted}\"");
                return Err(Invalid::new(InvalidKind::MissingField, message));
            }
        }
        self.names = names;
        Ok(())
    }
}

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let malformed = |message: String| Invalid::malformed(message);
        let text = text_of(line)?;
        let values = fields(text).ok_or_else(|| malformed("a quoted field without its end".into()))?;
        if self.names.is_empty() {
            return self.start(values);
        }
        if values.len() != self.names.len() {
            let (found, expected) = (values.len(), self.names.len());
            return Err(malformed(format!("expected {expected} fields as in the first line, found {found}")));
        }
        let value = |wanted: &str| {
            let index = self.names.iter().position(|name| name == wanted)?;
            Some(values[index].trim()).filter(|value| !value.is_empty())
        };
        let Columns { time, clock, input, output, ids } = self.columns;
        let input_length = value(input).ok_or_else(|| invalid(format!("{input}: no value")))?;
        let ids = ids.and_then(value).map(id_list).transpose()?;
        let used = [Some(*time), Some(*input), Some(*output), self.columns.ids];
        let rest: Vec<(&str, String)> = self
            .names
            .iter()
            .zip(&values)
            .filter(|(name, _)| !used.contains(&Some(name.as_str())))
            .map(|(name, value)| (name.as_str(), json(value)))
            .collect();
        rows.push(&Row {
            timestamp: value(time).map(|text| clock.read(time, text)).transpose()?,
            input_length: length(input, input_length)?,
            output_length: value(output).map(|text| length(output, text)).transpose()?,
            from_zero: ids.as_deref().is_some_and(is_from_zero),
            ids,
            rest: rest.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            ..Row::default()
        });
        Ok(())
    }
}

impl Clock {
    fn read(&self, name: &str, text: &str) -> Result<Millis, Invalid> {
        let (time, expected) = match self {
            Self::Number(unit) => (Millis::parse(text, *unit), "a number"),
            Self::Date => (Millis::parse_date(text), "a date and time"),
        };
        time.ok_or_else(|| invalid(format!("{name}: expected {expected}, found {text}")))
    }
}

/// A number of tokens; `52.0` too, as tables with gaps are written.
fn length(name: &str, text: &str) -> Result<u64, Invalid> {
    let whole = text.split_once('.').map_or(
        text,
        |(whole, rest)| {
            if rest.bytes().all(|b| b == b'0') { whole } else { text }
        },
    );
    let number = whole.parse().ok().filter(|&n| n <= MAX_LENGTH);
    number.ok_or_else(|| invalid(format!("{name}: expected a whole number of tokens, found {text}")))
}

fn id_list(text: &str) -> Result<Vec<u64>, Invalid> {
    let id =
        |id: &str| id.parse().map_err(|_| invalid(format!("hash_ids: expected 64-bit integers, found {id}")));
    text.split_ascii_whitespace().map(id).collect()
}

/// A value as JSON: a number if it is written as one, else a string.
fn json(text: &str) -> String {
    let is_number = text.len() < 40 && serde_json::from_str::<serde_json::Number>(text).is_ok();
    if is_number { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The fields of a line; `None` if a quoted one does not end.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let (part, after) = rest.split_once('"')?;
                field.push_str(part);
                rest = after;
                match rest.strip_prefix('"') {
                    Some(after) => {
                        field.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
        }
        let (part, after) = rest.split_once(',').map_or((rest, None), |(part, after)| (part, Some(after)));
        field.push_str(part);
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_as_in_rfc_4180() {
        assert_eq!(fields("a,b c,,\"d,\"\"e\"").unwrap(), ["a", "b c", "", "d,\"e"]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
        assert_eq!(fields("\"a"), None);
    }

    #[test]
    fn values_stay_numbers_or_become_strings() {
        assert_eq!(json("1.50"), "1.50");
        assert_eq!(json("007"), "\"007\"");
        assert_eq!(json("Chat \"GPT\""), "\"Chat \\\"GPT\\\"\"");
    }
}
