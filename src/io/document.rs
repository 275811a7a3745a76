//! JSON documents that are no lines: a list of records, or records that go over several lines.
//!
//! A list begins with `[` and an object in it; a record over several lines begins with a line that cannot be
//! all of it, since it ends with `{`, `[` or a comma. Records are found by their brackets; whether they are
//! valid is for their reader to say. Line breaks within a record become blanks, which is what they mean.

use memchr::memchr3;

/// What may stand before a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds the records of a document, wherever its text is cut.
pub(super) struct Document {
    /// The line that has been reached, and the one in which the record began.
    line: u64,
    record_line: u64,
    is_inside: bool,
    in_list: bool,
    /// How many brackets of the record are open.
    depth: u32,
    text: Text,
}

/// Whether a place is in a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// How an input begins.
pub(super) enum Beginning {
    Lines,
    Document(Document),
    /// It takes more of it to tell.
    Unknown,
}

impl Beginning {
    /// How `text` begins.
    pub(super) fn of(text: &[u8]) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start();
        let is_document = match text.first() {
            Some(b'[') => match text[1..].trim_ascii_start().first() {
                None => return Self::Unknown,
                Some(first) => *first == b'{',
            },
            Some(b'{') => {
                let end = memchr::memchr(b'\n', text).unwrap_or(0);
                matches!(text[..end].trim_ascii_end().last(), Some(b'{' | b'[' | b','))
            }
            _ => false,
        };
        if is_document { Self::Document(Document::new()) } else { Self::Lines }
    }
}

impl Document {
    fn new() -> Self {
        Self { line: 1, record_line: 1, is_inside: false, in_list: false, depth: 0, text: Text::Outside }
    }

    /// Whether a record has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// The line in which the record began, from 1.
    pub(super) fn record_line(&self) -> u64 {
        self.record_line
    }

    /// The line that has been reached, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Whether the list of records has not ended; says so once.
    pub(super) fn ends_early(&mut self) -> bool {
        std::mem::take(&mut self.in_list)
    }

    /// Passes what stands between records from `at` on; where the next one begins, if it is there.
    pub(super) fn begin(&mut self, text: &[u8], at: usize) -> Option<usize> {
        for (offset, &byte) in text[at..].iter().enumerate() {
            match byte {
                b'\n' => self.line += 1,
                b'[' if !self.in_list => self.in_list = true,
                b']' => self.in_list = false,
                b',' | b' ' | b'\r' | b'\t' => {}
                _ => {
                    self.is_inside = true;
                    self.record_line = self.line;
                    return Some(at + offset);
                }
            }
        }
        None
    }

    /// Passes a record from `at` on; where it ends, if it does.
    pub(super) fn end(&mut self, text: &mut [u8], mut at: usize) -> Option<usize> {
        if !self.is_inside {
            return None;
        }
        while at < text.len() {
            if self.text != Text::Outside {
                at = self.pass_string(text, at);
                continue;
            }
            match text[at] {
                b'"' => self.text = Text::Inside,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'\n' => {
                    self.line += 1;
                    text[at] = b' ';
                }
                b'\r' => text[at] = b' ',
                _ => {}
            }
            // A record that is no object, which is an error, ends with its line or the next comma.
            let ends = self.depth == 0 && matches!(text[at], b'}' | b']' | b',' | b' ');
            at += 1;
            if ends {
                self.is_inside = false;
                return Some(at);
            }
        }
        None
    }

    /// Ends the record wherever it is.
    pub(super) fn abandon(&mut self) {
        (self.is_inside, self.text, self.depth) = (false, Text::Outside, 0);
    }

    fn pass_string(&mut self, text: &[u8], at: usize) -> usize {
        if self.text == Text::Escaped {
            self.text = Text::Inside;
            self.line += u64::from(text[at] == b'\n');
            return at + 1;
        }
        let Some(offset) = memchr3(b'"', b'\\', b'\n', &text[at..]) else { return text.len() };
        match text[at + offset] {
            b'\\' => self.text = Text::Escaped,
            b'"' => self.text = Text::Outside,
            // It makes the record bad; those after it have their lines.
            _ => self.line += 1,
        }
        at + offset + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a document that comes in pieces of `size`, each with its line.
    fn records(document: &str, size: usize) -> Vec<(String, u64)> {
        let Beginning::Document(mut found) = Beginning::of(document.as_bytes()) else { panic!("{document}") };
        let mut text = Vec::new();
        let (mut at, mut start) = (0, 0);
        let mut records = Vec::new();
        for piece in document.as_bytes().chunks(size) {
            text.extend_from_slice(piece);
            while at < text.len() {
                if !found.is_inside() {
                    let Some(begins) = found.begin(&text, at) else {
                        at = text.len();
                        break;
                    };
                    (at, start) = (begins, begins);
                }
                match found.end(&mut text, at) {
                    Some(end) => {
                        at = end;
                        let record = std::str::from_utf8(&text[start..end]).unwrap();
                        records.push((record.to_owned(), found.record_line()));
                    }
                    None => at = text.len(),
                }
            }
        }
        records
    }

    #[test]
    fn records_are_found_wherever_the_text_is_cut() {
        let one = r#"{"a": "}\"]", "b": [1, {"c": "\\"}]}"#;
        let list = format!("[\n{one},\n  {one} , {one}]\n");
        let pretty = "{\n  \"a\": [\n    1\n  ]\n}\n{\r\n}\n";
        for size in [1, 2, 3, 7, 1000] {
            let expected = [(one.to_owned(), 2), (one.to_owned(), 3), (one.to_owned(), 3)];
            assert_eq!(records(&list, size), expected, "{size}");
            let found = records(pretty, size);
            assert_eq!(found.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [1, 6], "{size}");
            assert!(found.iter().all(|(record, _)| !record.contains('\n')), "{found:?}");
        }
    }

    #[test]
    fn lines_are_no_document() {
        for text in ["{\"a\": 1}\n", "{\"a\": 1", "[1.5, [{}], 0]\n", "a,b\n1,2\n", "", "{\"a\": {}\n{}"] {
            assert!(matches!(Beginning::of(text.as_bytes()), Beginning::Lines), "{text}");
        }
        assert!(matches!(Beginning::of(b" [\n"), Beginning::Unknown));
    }

    #[test]
    fn a_line_end_in_a_text_moves_no_record_after_it() {
        let document = "[{\"a\": \"x\ny\\\n\"},\n{\"b\": 1}]\n";
        for size in [1, 2, 7, 100] {
            let lines: Vec<u64> = records(document, size).into_iter().map(|(_, line)| line).collect();
            assert_eq!(lines, [1, 4], "{size}");
        }
    }
}
