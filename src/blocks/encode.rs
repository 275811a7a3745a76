//! Python objects as bytes: the two encodings that vLLM hashes.
//!
//! A block is the tuple `(parent, (token, ...), extra)` of bytes, integers, and `None` or a tuple of
//! texts and tuples of texts. Only what these shapes need is implemented; both encodings
//! determine every byte of them.

/// What is hashed with a block beside its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Text(String),
    /// Two or three texts.
    Tuple(Vec<String>),
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
            Extra::Tuple(texts) => {
                cbor_head(4, texts.len() as u64, out);
                texts.iter().for_each(|text| put_cbor_text(text, out));
            }
        }
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

/// Pickle, protocol 5, of a text.
pub(super) fn pickle_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    framed(&mut out, |out| put_pickle_text(text, out));
    out
}

/// Appends the pickle of a block.
pub(super) fn pickle_block(parent: &[u8], tokens: &[u32], extras: &[Extra], out: &mut Vec<u8>) {
    framed(out, |out| {
        // A digest has 16 or 32 bytes.
        out.extend([b'C', parent.len() as u8]);
        out.extend_from_slice(parent);
        out.push(MEMO);
        match tokens.len() {
            0 => out.push(b')'),
            n @ 1..=3 => {
                tokens.iter().for_each(|&token| put_pickle_number(token, out));
                out.extend([0x84 + n as u8, MEMO]);
            }
            _ => {
                out.push(b'(');
                tokens.iter().for_each(|&token| put_pickle_number(token, out));
                out.extend([b't', MEMO]);
            }
        }
        if extras.is_empty() {
            out.push(b'N');
        } else {
            for extra in extras {
                match extra {
                    Extra::Text(text) => put_pickle_text(text, out),
                    Extra::Tuple(texts) => {
                        texts.iter().for_each(|text| put_pickle_text(text, out));
                        out.extend([0x84 + texts.len() as u8, MEMO]);
                    }
                }
            }
            // There are one or two.
            out.extend([0x84 + extras.len() as u8, MEMO]);
        }
        out.extend([0x87, MEMO]);
    });
}

/// Protocol, frame and end around what `body` writes.
fn framed(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([0x80, 5, 0x95]);
    let at = out.len();
    out.extend([0; 8]);
    body(out);
    out.push(b'.');
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
}

fn put_pickle_text(text: &str, out: &mut Vec<u8>) {
    match u8::try_from(text.len()) {
        Ok(length) => out.extend([0x8c, length]),
        Err(_) => {
            out.push(b'X');
            out.extend((text.len() as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
    out.push(MEMO);
}

fn put_pickle_number(number: u32, out: &mut Vec<u8>) {
    match number {
        0..0x100 => out.extend([b'K', number as u8]),
        0x100..0x1_0000 => {
            out.push(b'M');
            out.extend((number as u16).to_le_bytes());
        }
        0x1_0000..0x8000_0000 => {
            out.push(b'J');
            out.extend(number.to_le_bytes());
        }
        // A number of more than 31 bits is pickled as a long one, with a byte for its sign.
        _ => {
            out.extend([0x8a, 5]);
            out.extend(number.to_le_bytes());
            out.push(0);
        }
    }
}

/// Most tokens of a block whose pickle fits in one frame, at up to seven bytes a token.
pub(crate) const MAX_PICKLED: usize = (FRAME - 1024) / 7;
