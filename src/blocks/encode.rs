//! Python objects as bytes: the two encodings that vLLM hashes.
//!
//! A block is the tuple `(parent, (token, ...), extra)` of bytes, integers, and `None` or a tuple of
//! texts and tuples of texts and integers. Only what these shapes need is implemented; both encodings
//! determine every byte of them.

/// What is hashed with a block beside its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Text(String),
    /// Two or three items.
    Tuple(Vec<Item>),
}

/// An item of a tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A text of the engine's program, which is the same object wherever it occurs: a pickle refers to it.
    Tag(&'static str),
    Text(String),
    Number(i64),
}

/// CBOR of a text.
pub(super) fn cbor_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_cbor_text(text, &mut out);
    out
}

/// Appends the canonical CBOR of a block.
pub(super) fn cbor_block(parent: &[u8], tokens: &[u32], extras: &[Extra], out: &mut Vec<u8>) {
    cbor_head(4, 3, out);
    cbor_head(2, parent.len() as u64, out);
    out.extend_from_slice(parent);
    cbor_head(4, tokens.len() as u64, out);
    tokens.iter().for_each(|&token| cbor_head(0, token.into(), out));
    if extras.is_empty() {
        out.push(0xf6);
        return;
    }
    cbor_head(4, extras.len() as u64, out);
    for extra in extras {
        match extra {
            Extra::Text(text) => put_cbor_text(text, out),
            Extra::Tuple(items) => {
                cbor_head(4, items.len() as u64, out);
                items.iter().for_each(|item| put_cbor_item(item, out));
            }
        }
    }
}

fn put_cbor_item(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Tag(text) => put_cbor_text(text, out),
        Item::Text(text) => put_cbor_text(text, out),
        // -1 - n, which is all bits of n the other way round.
        Item::Number(number @ ..0) => cbor_head(1, !number as u64, out),
        Item::Number(number) => cbor_head(0, *number as u64, out),
    }
}

fn put_cbor_text(text: &str, out: &mut Vec<u8>) {
    cbor_head(3, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// The first bytes of an item: its kind and its number in the shortest form.
fn cbor_head(kind: u8, number: u64, out: &mut Vec<u8>) {
    let kind = kind << 5;
    match number {
        0..24 => out.push(kind | number as u8),
        24..0x100 => out.extend([kind | 0x18, number as u8]),
        0x100..0x1_0000 => {
            out.push(kind | 0x19);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(kind | 0x1a);
            out.extend((number as u32).to_be_bytes());
        }
        _ => {
            out.push(kind | 0x1b);
            out.extend(number.to_be_bytes());
        }
    }
}

/// `MEMOIZE` follows every object that could occur again.
const MEMO: u8 = 0x94;

/// After so many bytes the pickler begins another frame.
const FRAME: usize = 64 << 10;

/// The shortest frame that has a head.
const SHORTEST_FRAME: usize = 4;

/// Pickle, protocol 5, of a text.
pub(super) fn pickle_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut pickler = Pickler::new(&mut out);
    pickler.text(text);
    pickler.end();
    out
}

/// Appends the pickle of a block.
pub(super) fn pickle_block(parent: &[u8], tokens: &[u32], extras: &[Extra], out: &mut Vec<u8>) {
    let mut pickler = Pickler::new(out);
    // A digest has 16 or 32 bytes.
    pickler.put(&[b'C', parent.len() as u8]);
    pickler.put(parent);
    pickler.memoize();
    pickler.tuple(tokens, |pickler, &token| pickler.number(token.into()));
    if extras.is_empty() {
        pickler.put(b"N");
    } else {
        pickler.tuple(extras, Pickler::extra);
    }
    pickler.put(&[0x87]);
    pickler.memoize();
    pickler.end();
}

/// Writes a pickle as Python's own pickler in C does.
struct Pickler<'o> {
    out: &'o mut Vec<u8>,
    /// Where the frame begins that is being written.
    frame: Option<usize>,
    /// How many objects can be referred to, and which tags are among them.
    memoized: u32,
    tags: Vec<(&'static str, u32)>,
}

impl<'o> Pickler<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        out.extend([0x80, 5]);
        Self { out, frame: None, memoized: 0, tags: Vec::new() }
    }

    /// Writes bytes of the frame, which begins with them if there is none.
    fn put(&mut self, bytes: &[u8]) {
        if self.frame.is_none() {
            self.frame = Some(self.out.len());
            self.out.extend([0x95, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        self.out.extend_from_slice(bytes);
    }

    /// Ends the frame.
    fn close(&mut self) {
        let Some(start) = self.frame.take() else { return };
        let length = self.out.len() - start - 9;
        if length < SHORTEST_FRAME {
            self.out.drain(start..start + 9);
        } else {
            self.out[start + 1..start + 9].copy_from_slice(&(length as u64).to_le_bytes());
        }
    }

    /// What follows is another object: it begins a frame if the one before is full.
    fn object(&mut self) {
        if self.frame.is_some_and(|start| self.out.len() - start - 9 >= FRAME) {
            self.close();
        }
    }

    fn end(mut self) {
        self.put(b".");
        self.close();
    }

    fn memoize(&mut self) {
        self.put(&[MEMO]);
        self.memoized += 1;
    }

    /// A tuple of at least one item.
    fn tuple<T>(&mut self, items: &[T], put: impl Fn(&mut Self, &T)) {
        self.object();
        let few = items.len() <= 3;
        if !few {
            self.put(b"(");
        }
        items.iter().for_each(|item| put(self, item));
        self.put(&[if few { 0x84 + items.len() as u8 } else { b't' }]);
        self.memoize();
    }

    fn extra(&mut self, extra: &Extra) {
        match extra {
            Extra::Text(text) => self.text(text),
            Extra::Tuple(items) => self.tuple(items, Self::item),
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Tag(tag) => match self.tags.iter().find(|(known, _)| known == tag) {
                // Tags stand among the first objects of a block.
                Some(&(_, place)) => {
                    self.object();
                    self.put(&[b'h', place as u8]);
                }
                None => {
                    self.tags.push((tag, self.memoized));
                    self.text(tag);
                }
            },
            Item::Text(text) => self.text(text),
            Item::Number(number) => self.number(*number),
        }
    }

    fn text(&mut self, text: &str) {
        self.object();
        match u8::try_from(text.len()) {
            Ok(length) => self.put(&[0x8c, length]),
            Err(_) if text.len() < FRAME => {
                self.put(b"X");
                self.put(&(text.len() as u32).to_le_bytes());
            }
            Err(_) => {
                // Long texts stand between frames.
                self.close();
                self.out.push(b'X');
                self.out.extend((text.len() as u32).to_le_bytes());
                self.out.extend_from_slice(text.as_bytes());
                return self.memoize();
            }
        }
        self.put(text.as_bytes());
        self.memoize();
    }

    fn number(&mut self, number: i64) {
        self.object();
        if let Ok(number) = u8::try_from(number) {
            return self.put(&[b'K', number]);
        }
        if let Ok(number) = u16::try_from(number) {
            let [low, high] = number.to_le_bytes();
            return self.put(&[b'M', low, high]);
        }
        if let Ok(number) = i32::try_from(number) {
            let [a, b, c, d] = number.to_le_bytes();
            return self.put(&[b'J', a, b, c, d]);
        }
        // As few bytes as hold the number and its sign.
        let length = (72 - (number ^ number >> 63).leading_zeros() as usize) / 8;
        self.put(&[0x8a, length as u8]);
        self.put(&number.to_le_bytes()[..length]);
    }
}
