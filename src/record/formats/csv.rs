//! Traces as tables of comma-separated values, with the names of the columns in the first line. Where that has
//! semicolons or tabs between names, so have the other lines.
//!
//! Fields are read as in RFC 4180; blank lines within a quoted field are lost. Columns that have no part
//! in a record stay as fields of the same name, numbers as numbers. Our own table has the columns
//! `timestamp` (ms), `input_length`, `output_length` and `hash_ids` (separated by blanks, or `[]` for a list
//! without any: an empty field says nothing of blocks); if the first request has them, `output_hash_ids` too.

use std::borrow::Cow;

use super::base::{DecodeLine, DecodedLines, FileFacts};
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
    session: Option<&'static str>,
    /// Those that it cannot do without.
    needed: &'static [&'static str],
}

/// Our own table.
pub(super) const OWN: TableColumns = TableColumns {
    ids: Some("hash_ids"),
    output_ids: Some("output_hash_ids"),
    ..TableColumns::of_lengths(&["timestamp", "input_length"], Unit::Milliseconds, "output_length")
};

/// Azure's traces of LLM inference, 2023 and 2024 (github.com/Azure/AzurePublicDataset): dates have seven
/// decimals, in 2024 a zone too.
pub(super) const AZURE: TableColumns = TableColumns {
    clock: TimeForm::Date,
    ..TableColumns::of_lengths(&["TIMESTAMP", "ContextTokens"], Unit::Seconds, "GeneratedTokens")
};

/// `BurstGPT` (github.com/HPMLL/BurstGPT). A failed request has 0 response tokens; it stays, as its prompt
/// was sent. Newer files have the session.
pub(super) const BURSTGPT: TableColumns = TableColumns {
    session: Some("Session ID"),
    ..TableColumns::of_lengths(&["Timestamp", "Request tokens"], Unit::Seconds, "Response tokens")
};

/// The simulator Vidur (github.com/microsoft/vidur, its trace request generators). Tables for its length
/// generator have no times.
pub(super) const VIDUR: TableColumns = TableColumns {
    needed: &["num_prefill_tokens", "num_decode_tokens"],
    ..TableColumns::of_lengths(&["arrived_at", "num_prefill_tokens"], Unit::Seconds, "num_decode_tokens")
};

/// Appends the first line of our own table, perhaps with a column for the ids of answers.
pub(super) fn write_names(has_output_ids: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"timestamp,input_length,output_length,hash_ids");
    out.extend_from_slice(if has_output_ids { b",output_hash_ids\n" } else { b"\n" });
}

/// A list of ids that is empty.
const NO_IDS: &str = "[]";

/// The longest record that goes over several lines, in bytes. Beyond this, a quote that was never meant to begin
/// a field is more likely.
const LONGEST_RECORD: usize = 1 << 20;

/// A record whose quoted fields may go over several lines.
#[derive(Clone, Default)]
struct OpenRecord {
    /// What stands between cells, once the first line has told.
    separator: Option<char>,
    /// What has been read of it.
    text: String,
    /// How many lines that is.
    lines: usize,
}

impl OpenRecord {
    /// The cells of the record that ends with `line`; `None` if it does not end there.
    fn cells<'l>(
        &mut self,
        line: &'l str,
        out: &mut DecodedLines,
    ) -> Result<Option<Vec<Cow<'l, str>>>, Invalid> {
        let begun = self.lines > 0;
        let separator = *self.separator.get_or_insert_with(|| separator(line));
        let found = if begun {
            self.text.push('\n');
            self.text.push_str(line);
            // Without a quote the field goes on.
            let found = line.contains('"').then(|| cells(&self.text, separator)).flatten();
            found.map(|cells| cells.into_iter().map(|cell| Cow::Owned(cell.into_owned())).collect())
        } else {
            cells(line, separator)
        };
        if found.is_some() {
            *self = Self { separator: self.separator, ..Self::default() };
            return Ok(found);
        }
        if !begun {
            self.text.push_str(line);
        }
        self.lines += 1;
        let unfinished = || Invalid::malformed("a quoted field without its end");
        if self.text.len() > LONGEST_RECORD {
            *self = Self { separator: self.separator, ..Self::default() };
            return Err(unfinished());
        }
        out.set_unfinished(unfinished());
        Ok(None)
    }
}

fn write_list(ids: Option<&[u64]>, out: &mut Vec<u8>) {
    match ids {
        Some([]) => out.extend_from_slice(NO_IDS.as_bytes()),
        ids => join_ids(ids.into_iter().flatten().copied(), b" ", out),
    }
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
    write_list(request.ids.as_deref(), out);
    if has_output_ids {
        out.push(b',');
        write_list(request.output_ids.as_deref(), out);
    }
    out.push(b'\n');
}

/// The names of the columns, if a table begins with this line.
pub(super) fn column_names(line: &[u8]) -> Vec<String> {
    let cells = text_of(line).ok().and_then(|line| cells(line, separator(line)));
    cells.unwrap_or_default().into_iter().map(Cow::into_owned).collect()
}

/// Whether a line may be the first of a table.
pub(in crate::record) fn is_header(line: &[u8]) -> bool {
    are_names(&column_names(line))
}

/// Whether these may be the names of columns.
fn are_names(cells: &[impl AsRef<str>]) -> bool {
    let is_name = |name: &str| {
        let is_part = |c: char| c.is_alphanumeric() || "_-. ()/:@#".contains(c);
        name.trim().starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_part)
    };
    cells.len() > 1 && cells.iter().all(|cell| is_name(cell.as_ref()))
}

/// What stands between the names in the first line: a comma, unless only semicolons or tabs make them names.
fn separator(line: &str) -> char {
    let makes_names = |separator: &char| cells(line, *separator).is_some_and(|cells| are_names(&cells));
    [',', ';', '\t'].into_iter().find(makes_names).unwrap_or(',')
}

/// Gives columns the names that count.
fn rename(names: &mut [String], columns: &[(String, String)]) -> Result<(), Invalid> {
    let all = names.join(", ");
    for (name, found) in columns {
        let place = names.iter_mut().find(|known| known.trim() == found);
        let missing = || {
            let message = format!("no column \"{found}\" (from `columns`), but {all}");
            Invalid::new(InvalidKind::MissingField, message)
        };
        name.clone_into(place.ok_or_else(missing)?);
    }
    Ok(())
}

/// A line of a table.
pub(super) struct Row<'a> {
    names: &'a [String],
    values: &'a [Cow<'a, str>],
}

impl<'a> Row<'a> {
    /// The value in a column, unless it is empty or there is no such column.
    pub(super) fn get(&self, wanted: &str) -> Option<&'a str> {
        let index = self.names.iter().position(|name| name == wanted)?;
        Some(self.values[index].trim()).filter(|value| !value.is_empty())
    }

    fn cells(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().map(Cow::as_ref))
    }
}

/// A decoder of the lines of a table, which must have the columns `needed`.
pub(super) fn decoder(
    needed: &'static [&'static str],
    columns: Vec<(String, String)>,
    mut row: impl FnMut(&Row, &mut DecodedLines) -> Result<(), Invalid> + Clone + Send + Sync + 'static,
) -> DecodeLine {
    // The names of the first line of the file.
    let (mut names, mut file) = (Vec::new(), None);
    let mut record = OpenRecord::default();
    Box::new(move |line, out| {
        if file.replace(out.file()) != Some(out.file()) {
            names.clear();
            record = OpenRecord::default();
        }
        let Some(values) = record.cells(text_of(line)?, out)? else { return Ok(()) };
        if names.is_empty() {
            let mut found: Vec<_> = values.into_iter().map(Cow::into_owned).collect();
            rename(&mut found, &columns)?;
            if let Some(wanted) = missing(needed, &found) {
                let found = found.join(", ");
                let message = format!(
                    "expected the names of the columns, among them \"{wanted}\", found {found}: `columns` of \
                     trace-cat says which it is ({wanted}=NAME)"
                );
                return Err(Invalid::new(InvalidKind::MissingField, message));
            }
            names = found;
            return Ok(());
        }
        if values.len() != names.len() {
            let (found, expected) = (values.len(), names.len());
            let message = format!("expected {expected} fields as in the first line, found {found}");
            return Err(Invalid::malformed(message));
        }
        row(&Row { names: &names, values: &values }, out)
    })
}

/// Whether a table begins with a line that names the columns `needed`.
pub(super) fn has_columns(line: &[u8], needed: &[&str]) -> bool {
    missing(needed, &column_names(line)).is_none()
}

fn missing<'n>(needed: &[&'n str], names: &[String]) -> Option<&'n str> {
    needed.iter().find(|wanted| !names.iter().any(|name| name == *wanted)).copied()
}

impl TableColumns {
    /// A table of lengths, without ids of blocks.
    const fn of_lengths(needed: &'static [&'static str; 2], unit: Unit, output: &'static str) -> Self {
        let [time, input] = *needed;
        Self {
            time,
            clock: TimeForm::Number(unit),
            input,
            output,
            ids: None,
            output_ids: None,
            session: None,
            needed,
        }
    }

    /// A decoder for one file.
    pub(super) fn decoder(&'static self, file: &FileFacts) -> DecodeLine {
        // The first time says whether the table has dates.
        let mut clock = None;
        let named = !file.columns.is_empty();
        let needed = if named { std::slice::from_ref(&self.input) } else { self.needed };
        decoder(needed, file.columns.clone(), move |row, out| self.row(row, &mut clock, out))
    }

    /// Adds the request of a line with these values.
    fn row(&self, row: &Row, clock: &mut Option<TimeForm>, out: &mut DecodedLines) -> Result<(), Invalid> {
        let Self { time, input, output, ids, output_ids, session, .. } = self;
        let input_length = row.get(input).ok_or_else(|| Invalid::value(format!("{input}: no value")))?;
        let list = |column: Option<&'static str>| -> Result<Option<_>, Invalid> {
            let Some(name) = column else { return Ok(None) };
            Ok(row.get(name).map(|text| id_list(name, text)).transpose()?.map(Into::into))
        };
        let used = [Some(*time), Some(*input), Some(*output), *ids, *output_ids, *session];
        let rest = row.cells().filter(|(name, _)| !used.contains(&Some(*name)));
        let rest: Vec<(&str, Cow<'_, str>)> = rest.map(|(name, value)| (name, json(value))).collect();
        let request = TraceLine {
            time: row.get(time).map(|text| self.time(text, clock, out)).transpose()?,
            input_length: whole_tokens(input, input_length)?,
            output_length: row.get(output).map(|text| whole_tokens(output, text)).transpose()?,
            ids: list(*ids)?,
            output_ids: list(*output_ids)?,
            session: session.and_then(|session| row.get(session)),
            rest: rest.iter().map(|(name, value)| (*name, value.as_ref())).collect(),
            ..TraceLine::default()
        };
        out.push_numbered(&request);
        Ok(())
    }

    /// Whether a table has the columns that this one cannot do without.
    pub(super) fn fit(&self, names: &[String]) -> bool {
        missing(self.needed, names).is_none()
    }

    fn time(
        &self,
        text: &str,
        clock: &mut Option<TimeForm>,
        out: &mut DecodedLines,
    ) -> Result<Millis, Invalid> {
        let is_first = clock.is_none();
        let is_date = || Millis::parse_date(text).is_some();
        let form = *clock.get_or_insert_with(|| if is_date() { TimeForm::Date } else { self.clock });
        if form == TimeForm::Date {
            out.set_clock_times();
        }
        let what = match form {
            TimeForm::Number(_) if is_first => "a number, or a date such as 2024-05-10 12:00:00,",
            TimeForm::Number(_) => "a number",
            TimeForm::Date => "a date and time",
        };
        form.parse(text).map_err(|_| expected(self.time, what, text))
    }
}

fn id_list(name: &str, text: &str) -> Result<Vec<u64>, Invalid> {
    if text == NO_IDS {
        return Ok(Vec::new());
    }
    let id = |id: &str| id.parse().map_err(|_| expected(name, "64-bit integers", id));
    text.split_ascii_whitespace().map(id).collect()
}

/// A value as JSON: a number if it is written as one, else a string.
fn json(text: &str) -> Cow<'_, str> {
    let is_number = text.len() < 40 && serde_json::from_str::<serde_json::Number>(text).is_ok();
    if is_number { text.into() } else { serde_json::Value::from(text).to_string().into() }
}

/// The cells of a line; `None` if a quoted one does not end.
fn cells(line: &str, separator: char) -> Option<Vec<Cow<'_, str>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = Cow::Borrowed("");
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let (part, after) = rest.split_once('"')?;
                field += part;
                rest = after;
                match rest.strip_prefix('"') {
                    Some(after) => {
                        field += "\"";
                        rest = after;
                    }
                    None => break,
                }
            }
        }
        let (part, after) =
            rest.split_once(separator).map_or((rest, None), |(part, after)| (part, Some(after)));
        field += part;
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
        assert_eq!(cells("a,b c,,\"d,\"\"e\"", ',').unwrap(), ["a", "b c", "", "d,\"e"]);
        assert_eq!(cells("a;b,c;\"d;\"", ';').unwrap(), ["a", "b,c", "d;"]);
        assert_eq!(cells("", ',').unwrap(), [""]);
        assert_eq!(cells("a,", ',').unwrap(), ["a", ""]);
        assert_eq!(cells("\"a", ','), None);
        for (line, found) in
            [("a,b", ','), ("a;b", ';'), ("a\tb c", '\t'), ("a", ','), ("a;b,c", ','), ("{;}", ',')]
        {
            assert_eq!(separator(line), found, "{line}");
        }
    }

    #[test]
    fn values_stay_numbers_or_become_strings() {
        assert_eq!(json("1.50"), "1.50");
        assert_eq!(json("007"), "\"007\"");
        assert_eq!(json("Chat \"GPT\""), "\"Chat \\\"GPT\\\"\"");
    }
}
