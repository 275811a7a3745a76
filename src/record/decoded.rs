//! Lines of other formats that have been decoded before their turn.

use std::any::Any;
use std::ops::Range;

use memchr::memchr;

use crate::io::{NewPreview, Preview};
use crate::record::formats::{DecodeLine, DecodedLines};

/// What a decoder makes of lines, where that depends on nothing that other lines change.
pub(super) struct Decoded {
    decoder: DecodeLine,
    /// The requests of all lines.
    requests: DecodedLines,
    lines: Vec<Line>,
    /// The first line that has not been taken.
    next: usize,
}

/// A line of the text.
struct Line {
    /// Where it begins.
    start: usize,
    length: usize,
    /// Which requests it holds.
    requests: Range<usize>,
}

/// Bytes of requests after which no more lines of a text are looked at. The shortest rows of a table take seven times as
/// much as they are long.
const MOST: usize = 2 << 20;

impl Preview for Decoded {
    fn look(&mut self, text: &[u8]) {
        self.lines.clear();
        self.next = 0;
        self.requests.clear_requests();
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &text[start..])
            && self.requests.bytes() < MOST
        {
            let line = &text[start..start + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // A blank line is none.
            let is_blank = line.iter().all(u8::is_ascii_whitespace);
            if !is_blank && let Some(requests) = self.requests.add(&mut self.decoder, line) {
                self.lines.push(Line { start, length, requests });
            }
            start += length + 1;
        }
    }
}

impl Decoded {
    /// Makes previews of lines behind those that this `decoder` has decoded, with this outcome.
    pub(super) fn previews(decoder: &DecodeLine, outcome: &DecodedLines) -> NewPreview {
        let (decoder, outcome) = (decoder.clone(), outcome.further_down());
        Box::new(move || {
            let (decoder, requests) = (decoder.clone(), outcome.further_down());
            Box::new(Self { decoder, requests, lines: Vec::new(), next: 0 })
        })
    }

    /// Gives the requests of the line at `start`, and the length of the line.
    pub(super) fn take(&mut self, start: usize, requests: &mut DecodedLines) -> Option<usize> {
        while self.lines.get(self.next)?.start < start {
            self.next += 1;
        }
        let line = self.lines.get(self.next).filter(|line| line.start == start)?;
        self.next += 1;
        requests.copy(&self.requests, line.requests.clone());
        Some(line.length)
    }

    /// The one that a reader asked for.
    pub(super) fn of(preview: &mut dyn Preview) -> Option<&mut Self> {
        let preview: &mut dyn Any = preview;
        preview.downcast_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::formats::{FileFacts, Format};

    #[test]
    fn lines_with_nothing_else_to_say_are_decoded() {
        let file = FileFacts {
            name: "t".into(),
            index: 0,
            block_size: None,
            session_memory: 0,
            keep: Vec::new(),
            columns: Vec::new(),
            named_ids: false,
            is_found_out: true,
        };
        let mut decoder = Format::Csv.spec().decoder(&file).unwrap();
        let mut outcome = DecodedLines::default();
        decoder(b"timestamp,input_length,output_length,note", &mut outcome).unwrap();
        decoder(b"0,1,2,first", &mut outcome).unwrap();
        let mut preview = Decoded::previews(&decoder, &outcome)();
        for _ in 0..2 {
            let lines =
                ["1,2,3,a", "", "wrong", "2,3,4,\"b", "3,4,5,c\"", "4,5,6,d\r", "2024-01-01,6,7,e", "5,6,7"];
            preview.look(lines.join("\n").as_bytes());
            let mut start = 0;
            for (i, line) in lines.into_iter().enumerate() {
                let length = Decoded::of(&mut *preview).unwrap().take(start, &mut outcome);
                // The last one may not be complete.
                assert_eq!(length, [0, 5].contains(&i).then_some(line.len()), "{line}");
                if length.is_some() {
                    let place = outcome.take().unwrap();
                    assert!(
                        outcome
                            .line(place.text)
                            .starts_with(format!("{{\"timestamp\": {}, ", &line[..1]).as_bytes())
                    );
                    assert!(outcome.take().is_none());
                }
                start += line.len() + 1;
            }
        }
    }
}
