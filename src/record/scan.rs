//! The fast path of the trace reader: a line of the common shape, without a library.
//!
//! It accepts a subset of what [`super::general`] accepts and reads it to the same record: an object
//! with unescaped ASCII keys, whole numbers without sign or exponent, timestamps with at most 15
//! digits before the point, a flat list of ids, and unknown fields that are as simple. Anything else, valid or
//! not, is left to the general path. Digits are read eight at a time in one machine word.

use crate::record::trace_record::{MAX_BLOCK_SIZE, MAX_LENGTH, Record};

/// Reads `line` into `record`; false when the line must go to the general path.
pub fn scan(line: &[u8], record: &mut Record) -> bool {
    record.clear();
    let scanner = &mut Scanner::new(line);
    scanner.object(record).is_some() && scanner.at_end()
}

/// Reads the first line of `text` into `record`, and gives its length without the newline behind it;
/// `None` when the line must go to the general path or is not complete.
pub fn scan_line(text: &[u8], record: &mut Record) -> Option<usize> {
    record.hash_ids.clear();
    record.output_hash_ids.clear();
    scan_line_behind(text, record)
}

/// The same where the ids go behind those that are there, also where it gives `None`.
#[inline]
pub(super) fn scan_line_behind(text: &[u8], record: &mut Record) -> Option<usize> {
    record.clear_but_ids();
    let scanner = &mut Scanner::new(text);
    scanner.object(record)?;
    (scanner.peek() == Some(b'\n')).then_some(scanner.at)
}

/// A place in a text, and the simple things that may stand there. Every reader gives `None` for
/// whatever is not exactly that.
pub(crate) struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

/// Keys up to their closing quote, the most common ones first.
static KEYS: [(&[u8], u16); 16] = [
    (b"timestamp\"", TIME),
    (b"input_length\"", INPUT),
    (b"output_length\"", OUTPUT),
    (b"hash_ids\"", IDS),
    (b"output_hash_ids\"", OUTPUT_IDS),
    (b"block_size\"", BLOCK),
    (b"input_tokens\"", INPUT | SYNONYM | OTHER),
    (b"output_tokens\"", OUTPUT | OTHER),
    (b"created_time\"", TIME | OTHER),
    (b"cached_tokens\"", CACHED),
    (b"recorded_input_length\"", RECORDED),
    (b"cache_write_tokens\"", WRITTEN),
    (b"delay\"", DELAY),
    (b"delay_ms\"", DELAY),
    (b"parent_chat_id\"", FOREIGN),
    (b"not_before_ms\"", FOREIGN),
];

/// Keys of formats whose lines would pass for Mooncake's.
pub(crate) const FOREIGN_KEYS: [&[u8]; 2] = [b"parent_chat_id\"", b"not_before_ms\""];

/// Levels of unknown values that are passed.
pub(crate) const DEPTH: u32 = 8;

/// Known fields, as bits of the set that have been seen.
const INPUT: u16 = 1;
const OUTPUT: u16 = 2;
const IDS: u16 = 4;
const TIME: u16 = 8;
const BLOCK: u16 = 16;
const CACHED: u16 = 32;
const RECORDED: u16 = 64;
const OUTPUT_IDS: u16 = 128;
/// A length by a name that others use too: only with ids or a time is it that of a record.
const SYNONYM: u16 = 256;
const WRITTEN: u16 = 4096;
/// Not the name that is written.
const OTHER: u16 = 2048;
const DELAY: u16 = 512;
/// Without a block size, which converted lines have, the line is left to the general path.
const FOREIGN: u16 = 1024;

impl<'a> Scanner<'a> {
    /// The start of a text.
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    /// Whether the text ends here.
    pub(crate) fn at_end(&self) -> bool {
        self.at == self.line.len()
    }

    /// How much has been passed.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Passes `byte` if it stands here; whether it did.
    #[inline]
    pub(crate) fn passes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes `text` if it stands here; whether it did.
    #[inline]
    pub(crate) fn passes_text(&mut self, text: &[u8]) -> bool {
        let found = self.line.get(self.at..).is_some_and(|rest| rest.starts_with(text));
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn object(&mut self, record: &mut Record) -> Option<()> {
        self.spaces();
        self.pass(b'{')?;
        let mut seen = 0;
        loop {
            self.spaces();
            self.pass(b'"')?;
            let field = self.key()?;
            if seen & field & !OTHER != 0 {
                return None;
            }
            seen |= field;
            self.spaces();
            self.pass(b':')?;
            self.spaces();
            let start = self.at;
            match field & !(SYNONYM | OTHER) {
                INPUT => {
                    record.input_length = self.length()?;
                    record.input_span = start..self.at;
                }
                OUTPUT => record.output_length = Some(self.length()?),
                TIME => {
                    record.timestamp = Some(self.timestamp()?);
                    record.time_span = start..self.at;
                }
                BLOCK => {
                    record.block_size = Some(self.integer().filter(|b| (1..=MAX_BLOCK_SIZE).contains(b))?);
                    record.block_size_span = start..self.at;
                }
                CACHED => record.cached_tokens = Some(self.length()?),
                WRITTEN => record.cache_write_tokens = Some(self.length()?),
                RECORDED => record.recorded_input_length = Some(self.length()?),
                IDS => {
                    self.id_list(&mut record.hash_ids)?;
                    record.has_ids = true;
                    record.ids_span = start..self.at;
                }
                OUTPUT_IDS => {
                    self.id_list(&mut record.output_hash_ids)?;
                    record.has_output_ids = true;
                    record.output_ids_span = start..self.at;
                }
                _ => self.pass_value(DEPTH)?,
            }
            self.spaces();
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.spaces();
        record.has_synonyms = seen & OTHER != 0;
        let is_record = seen & SYNONYM == 0 || seen & (IDS | TIME) != 0;
        // A row with a delay in place of a time may hold only a part of its prompt.
        let is_plain = seen & (DELAY | TIME) != DELAY && seen & (FOREIGN | BLOCK) != FOREIGN;
        (seen & INPUT != 0 && is_record && is_plain).then_some(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(crate) fn pass(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// The key after its opening quote: a known field's bit, or 0.
    #[inline]
    fn key(&mut self) -> Option<u16> {
        let rest = self.line.get(self.at..)?;
        for &(name, field) in &KEYS {
            // Most names begin otherwise.
            if rest.first() == name.first() && rest.starts_with(name) {
                self.at += name.len();
                return Some(field);
            }
        }
        self.string()?;
        Some(0)
    }

    /// Passes a plain ASCII string after its opening quote.
    #[inline]
    fn string(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' | 0..0x20 | 0x7f.. => return None,
                _ => {}
            }
        }
    }

    /// Passes the value of an unknown field, if it is a simple one.
    fn scalar(&mut self) -> Option<()> {
        if self.peek()? == b'"' {
            self.at += 1;
            return self.string();
        }
        for word in [&b"null"[..], b"true", b"false"] {
            if self.line[self.at..].starts_with(word) {
                self.at += word.len();
                return Some(());
            }
        }
        self.timestamp().map(drop)
    }

    /// A plausible number of tokens.
    #[inline]
    pub(crate) fn length(&mut self) -> Option<u64> {
        self.integer().filter(|&n| n <= MAX_LENGTH)
    }

    /// A number without sign and exponent, and with at most 15 digits before the point.
    #[inline]
    pub(crate) fn timestamp(&mut self) -> Option<f64> {
        const POWERS: [f64; 16] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        let start = self.at;
        let whole = self.integer()?;
        if self.peek() != Some(b'.') {
            return (self.at - start <= 15).then_some(whole as f64);
        }
        self.at += 1;
        let point = self.at;
        let mut mantissa = whole;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let decimals = self.at - point;
        if decimals == 0 || point - start > 16 {
            return None;
        }
        // Below 10^15 both operands are exact, so the division rounds once, as a parser does.
        if self.at - start <= 16 {
            return Some(mantissa as f64 / POWERS[decimals]);
        }
        std::str::from_utf8(&self.line[start..self.at]).ok()?.parse().ok()
    }

    /// Appends the ids of a flat list.
    #[inline]
    pub(crate) fn id_list(&mut self, ids: &mut Vec<u64>) -> Option<()> {
        self.pass(b'[')?;
        self.spaces();
        if self.passes(b']') {
            return Some(());
        }
        loop {
            let first = self.at;
            let id = self.integer()?;
            ids.push(id);
            // The most common separators first.
            let separator = self.line.get(self.at..self.at + 2);
            if separator == Some(b", ") {
                self.successors::<2>(first, id, ids);
                self.at += 2;
                // More blanks, if any, belong to the same separator.
                self.spaces();
                continue;
            }
            if separator.is_some_and(|two| two[0] == b',' && two[1].is_ascii_digit()) {
                self.successors::<1>(first, id, ids);
                self.at += 1;
                self.spaces();
                continue;
            }
            self.spaces();
            match self.next()? {
                b',' => self.spaces(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Passes the members of an object; `member` gets each key, and passes its value.
    pub(crate) fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.pass(b'{')?;
        self.spaces();
        if self.passes(b'}') {
            return Some(());
        }
        loop {
            self.pass(b'"')?;
            let start = self.at;
            self.string()?;
            let key = std::str::from_utf8(&self.line[start..self.at - 1]).ok()?;
            self.spaces();
            self.pass(b':')?;
            self.spaces();
            member(self, key)?;
            self.spaces();
            match self.next()? {
                b',' => self.spaces(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Passes the elements of a list; `element` passes each one.
    pub(crate) fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.pass(b'[')?;
        self.spaces();
        if self.passes(b']') {
            return Some(());
        }
        loop {
            element(self)?;
            self.spaces();
            match self.next()? {
                b',' => self.spaces(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Passes any value that is plain down to `depth` levels, and gives its text.
    pub(crate) fn value(&mut self, depth: u32) -> Option<&'a str> {
        let start = self.at;
        self.pass_value(depth)?;
        std::str::from_utf8(&self.line[start..self.at]).ok()
    }

    fn pass_value(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'{' if depth > 0 => self.members(|scanner, _| scanner.pass_value(depth - 1)),
            b'[' if depth > 0 => self.elements(|scanner| scanner.pass_value(depth - 1)),
            b'-' => {
                self.at += 1;
                self.timestamp().map(drop)
            }
            _ => self.scalar(),
        }
    }

    /// Reads on while the ids count up by one, as the new blocks of a dense trace do: then the next
    /// text is the last one with one more in its last digit, and one comparison reads it. Starts and
    /// ends at the separator of `GAP` bytes behind an id; `first` is where the digits of that id begin.
    #[inline]
    fn successors<const GAP: usize>(&mut self, first: usize, id: u64, ids: &mut Vec<u64>) {
        let digits = self.at - first;
        let Some(text) = self.line.get(first..).and_then(<[u8]>::first_chunk) else { return };
        // Digits and separator must fit into sixteen bytes.
        if digits > 14 {
            return;
        }
        let step = digits + GAP;
        let last = 8 * (digits - 1);
        let one: u128 = 1 << last;
        let mask = u128::MAX >> (128 - 8 * step);
        let mut expected = u128::from_le_bytes(*text) & mask;
        let stands = |at: usize, expected: u128| {
            let text = self.line.get(at..).and_then(<[u8]>::first_chunk);
            text.is_some_and(|text| u128::from_le_bytes(*text) & mask == expected)
        };
        let (mut at, mut count) = (self.at + GAP, 0);
        // How many steps until the last digit is a nine.
        let mut before_nine = 9 - id % 10;
        loop {
            while before_nine > 0 && stands(at, expected + one) {
                expected += one;
                at += step;
                count += 1;
                before_nine -= 1;
            }
            // Behind the nine the last digit is a zero, and the one before is one more. If that is a nine too, or
            // there is none, the general way goes on from here.
            if before_nine > 0 || digits == 1 || (expected >> (last - 8)) as u8 == b'9' {
                break;
            }
            let behind = expected - 9 * one + (one >> 8);
            if !stands(at, behind) {
                break;
            }
            expected = behind;
            at += step;
            count += 1;
            before_nine = 9;
        }
        self.at = at - GAP;
        // At most as many as the line is long.
        ids.extend(id + 1..id + 1 + count);
    }

    /// An unsigned integer without leading zeros; `None` also above 64 bits.
    #[inline(always)]
    pub(crate) fn integer(&mut self) -> Option<u64> {
        let (mut value, mut digits) = eight_digits(self.word(self.at));
        if digits == 8 {
            loop {
                let (part, n) = eight_digits(self.word(self.at + digits));
                value = value.checked_mul(TENS[n])?.checked_add(part)?;
                digits += n;
                if n < 8 {
                    break;
                }
            }
        }
        let leading_zero = digits > 1 && self.peek() == Some(b'0');
        self.at += digits;
        (digits > 0 && !leading_zero).then_some(value)
    }

    /// Eight bytes from `at`, filled up with spaces at the end of the line.
    #[inline(always)]
    fn word(&self, at: usize) -> [u8; 8] {
        let rest = self.line.get(at..).unwrap_or_default();
        match rest.first_chunk() {
            Some(chunk) => *chunk,
            None => {
                let mut word = [b' '; 8];
                word[..rest.len()].copy_from_slice(rest);
                word
            }
        }
    }
}

/// The digits at the start of eight bytes: their value and their number.
///
/// The bytes are compared and combined in parallel in one word (SWAR): those before the first that
/// is no digit are shifted to the top, as if the number had leading zeros, and three multiplications
/// join neighbours, pairs and quadruples.
#[inline(always)]
fn eight_digits(bytes: [u8; 8]) -> (u64, usize) {
    let digits = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
    // A carry out of a byte that is no digit reaches only later bytes, which are not looked at.
    let other = (digits.wrapping_add(0x0606_0606_0606_0606) | digits) & 0xf0f0_f0f0_f0f0_f0f0;
    let n = other.trailing_zeros() / 8;
    let v = digits.checked_shl(64 - 8 * n).unwrap_or(0);
    let v = v.wrapping_mul(10).wrapping_add(v >> 8) & 0x00ff_00ff_00ff_00ff;
    let v = v.wrapping_mul(100).wrapping_add(v >> 16) & 0x0000_ffff_0000_ffff;
    let v = v.wrapping_mul(10_000).wrapping_add(v >> 32) & 0xffff_ffff;
    (v, n as usize)
}

const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
