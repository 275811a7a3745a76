//! Traces as tables of comma-separated values, with the names of the columns in the first line.
//!
//! Fields are read as in RFC 4180, but a quoted field must end in its line. Columns that have no part
//! in a record stay as fields of the same name, numbers as numbers. Our own table has the columns
//! `timestamp` (ms), `input_length`, `output_length` and `hash_ids` (separated by blanks); if the first
//! request has them, `output_hash_ids` too.

use super::base::{DecodeLine, DecodedLines};
use crate::error::{Invalid, InvalidKind};
use crate::record::json::{expected, text_of, whole_tokens};
use crate::record::line::{TraceLine, join_ids};
use crate::record::time::{Millis, TimeForm, Unit};

/// The columns of a format by the names in the first line.
pub(super) struct TableColumns {
    time: &'static str,
    /// How the table writes times.
    clock: TimeForm,
    input: &'static str,
    output: &'static str,
    ids: Option<&'static str>,
    output_ids: Option<&'static str>,
}

/// Our own table.
pub(super) const OWN: TableColumns = TableColumns {
    ids: Some("hash_ids"),
    output_ids: Some("output_hash_ids"),
    ..TableColumns::of_lengths("timestamp", Unit::Milliseconds, "input_length", "output_length")
};

/// Azure's traces of LLM inference, 2023 and 2024 (github.com/Azure/AzurePublicDataset): dates have seven
/// decimals, in 2024 a zone too.
pub(super) const AZURE: TableColumns = TableColumns {
    clock: TimeForm::Date,
    ..TableColumns::of_lengths("TIMESTAMP", Unit::Seconds, "ContextTokens", "GeneratedTokens")
};

/// `BurstGPT` (github.com/HPMLL/BurstGPT). A failed request has 0 response tokens; it stays, as its prompt
/// was sent.
pub(super) const BURSTGPT: TableColumns =
    TableColumns::of_lengths("Timestamp", Unit::Seconds, "Request tokens", "Response tokens");

/// The simulator Vidur (github.com/microsoft/vidur, its trace request generators).
pub(super) const VIDUR: TableColumns =
    TableColumns::of_lengths("arrived_at", Unit::Seconds, "num_prefill_tokens", "num_decode_tokens");

/// Appends the first line of our own table, perhaps with a column for the ids of answers.
pub(super) fn write_names(has_output_ids: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"timestamp,input_length,output_length,hash_ids");
    out.extend_from_slice(if has_output_ids { b",output_hash_ids\n" } else { b"\n" });
}

/// Appends a line of our own table.
pub(super) fn write(request: &TraceLine, has_output_ids: bool, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    if let Some(time) = request.time {
        time.write(Unit::Milliseconds, out);
    }
    out.push(b',');
    out.extend_from_slice(number.format(request.input_length).as_bytes());
    out.push(b',');
    if let Some(length) = request.output_length {
        out.extend_from_slice(number.format(length).as_bytes());
    }
    out.push(b',');
    join_ids(request.ids.iter().flat_map(|ids| ids.iter().copied()), b" ", out);
    if has_output_ids {
        out.push(b',');
        join_ids(request.output_ids.iter().flat_map(|ids| ids.iter().copied()), b" ", out);
    }
    out.push(b'\n');
}

/// The names of the columns, if a table begins with this line.
pub(super) fn column_names(line: &[u8]) -> Vec<String> {
    text_of(line).ok().and_then(cells).unwrap_or_default()
}

impl TableColumns {
    /// A table of lengths, without ids of blocks.
    const fn of_lengths(time: &'static str, unit: Unit, input: &'static str, output: &'static str) -> Self {
        Self { time, clock: TimeForm::Number(unit), input, output, ids: None, output_ids: None }
    }

    /// A decoder for one file.
    pub(super) fn decoder(&'static self) -> DecodeLine {
        // The names of the first line.
        let mut names = Vec::new();
        Box::new(move |line, out| {
            let values = cells(text_of(line)?);
            let values = values.ok_or_else(|| Invalid::malformed("a quoted field without its end"))?;
            if !names.is_empty() {
                return self.row(&names, &values, out);
            }
            if let Some(wanted) = self.missing(&values) {
                let message = format!("expected the names of the columns, among them \"{wanted}\"");
                return Err(Invalid::new(InvalidKind::MissingField, message));
            }
            names = values;
            Ok(())
        })
    }

    /// Adds the request of a line with these values.
    fn row(&self, names: &[String], values: &[String], out: &mut DecodedLines) -> Result<(), Invalid> {
        if values.len() != names.len() {
            let (found, expected) = (values.len(), names.len());
            let message = format!("expected {expected} fields as in the first line, found {found}");
            return Err(Invalid::malformed(message));
        }
        let value = |wanted: &str| {
            let index = names.iter().position(|name| name == wanted)?;
            Some(values[index].trim()).filter(|value| !value.is_empty())
        };
        let Self { time, input, output, ids, output_ids, .. } = self;
        let input_length = value(input).ok_or_else(|| Invalid::value(format!("{input}: no value")))?;
        let list = |column: Option<&'static str>| -> Result<Option<_>, Invalid> {
            let Some(name) = column else { return Ok(None) };
            Ok(value(name).map(|text| id_list(name, text)).transpose()?.map(Into::into))
        };
        let used = [Some(*time), Some(*input), Some(*output), *ids, *output_ids];
        let cells = names.iter().zip(values).map(|(name, value)| (name.as_str(), value));
        let rest = cells.filter(|(name, _)| !used.contains(&Some(*name)));
        let rest: Vec<(&str, String)> = rest.map(|(name, value)| (name, json(value))).collect();
        let request = TraceLine {
            time: value(time).map(|text| self.time(text)).transpose()?,
            input_length: whole_tokens(input, input_length)?,
            output_length: value(output).map(|text| whole_tokens(output, text)).transpose()?,
            ids: list(*ids)?,
            output_ids: list(*output_ids)?,
            rest: rest.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            ..TraceLine::default()
        };
        out.push_numbered(&request);
        Ok(())
    }

    /// Whether a table has the columns that this one cannot do without.
    pub(super) fn fit(&self, names: &[String]) -> bool {
        self.missing(names).is_none()
    }

    fn missing(&self, names: &[String]) -> Option<&'static str> {
        [self.input, self.time].into_iter().find(|wanted| !names.iter().any(|name| name == wanted))
    }

    fn time(&self, text: &str) -> Result<Millis, Invalid> {
        let what = match self.clock {
            TimeForm::Number(_) => "a number",
            TimeForm::Date => "a date and time",
        };
        self.clock.parse(text).map_err(|_| expected(self.time, what, text))
    }
}

fn id_list(name: &str, text: &str) -> Result<Vec<u64>, Invalid> {
    let id = |id: &str| id.parse().map_err(|_| expected(name, "64-bit integers", id));
    text.split_ascii_whitespace().map(id).collect()
}

/// A value as JSON: a number if it is written as one, else a string.
fn json(text: &str) -> String {
    let is_number = text.len() < 40 && serde_json::from_str::<serde_json::Number>(text).is_ok();
    if is_number { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The cells of a line; `None` if a quoted one does not end.
fn cells(line: &str) -> Option<Vec<String>> {
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
        assert_eq!(cells("a,b c,,\"d,\"\"e\"").unwrap(), ["a", "b c", "", "d,\"e"]);
        assert_eq!(cells("").unwrap(), [""]);
        assert_eq!(cells("a,").unwrap(), ["a", ""]);
        assert_eq!(cells("\"a"), None);
    }

    #[test]
    fn values_stay_numbers_or_become_strings() {
        assert_eq!(json("1.50"), "1.50");
        assert_eq!(json("007"), "\"007\"");
        assert_eq!(json("Chat \"GPT\""), "\"Chat \\\"GPT\\\"\"");
    }
}
