//! A saved numbering: which block has which number, so that later runs continue it.
//!
//! The file is a few lines of text that say what the numbering belongs to, an empty line, the keys of
//! all blocks in the order of their numbers (12 bytes each), and a checksum. It is replaced as a
//! whole or not at all. A lock file beside it keeps two runs from giving the same number twice.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::chain::BlockKey;
use super::table::KeyTable;
use crate::error::{Error, Invalid, Result};
use crate::io::{Lock, Output};

/// First line of the file. The number rises with any change to what follows.
const MAGIC: &str = "kvtrace block numbers, version 2";

/// Bytes of a key.
const KEY: usize = 12;

/// What a numbering belongs to: runs that differ in any of these number different blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateHeader {
    /// Tokens per block.
    pub block_size: usize,
    /// The tokenizer's identity.
    pub tokenizer: String,
    /// The chat template's identity.
    pub template: String,
    /// A hash of the salt, or nothing; the salt itself is secret.
    pub salt: String,
    /// Whether what records have beside the tokens to key blocks by, as a model's name, is ignored.
    pub ignores_keys: bool,
}

impl StateHeader {
    fn fields(&self) -> [(&'static str, String); 5] {
        [
            ("block size", self.block_size.to_string()),
            ("tokenizer", self.tokenizer.clone()),
            ("chat template", Some(&*self.template).filter(|t| !t.is_empty()).unwrap_or("none").to_owned()),
            ("salt", self.salt.clone()),
            ("keys of records", if self.ignores_keys { "ignored" } else { "used" }.to_owned()),
        ]
    }

    /// The lines before the first blank one, in a file of so many blocks.
    fn head(&self, blocks: usize) -> String {
        let fields = self.fields().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{MAGIC}\n{}blocks: {blocks}", fields.concat())
    }

    /// Writes the file of a numbering, each part given to `each`.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn write<E>(
        &self,
        table: &KeyTable<BlockKey>,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut part = self.head(table.len()).into_bytes();
        part.extend_from_slice(b"\n\n");
        each(&part)?;
        let mut sum = 0;
        for keys in table.keys().chunks(4096) {
            part.clear();
            part.extend(keys.iter().flatten().flat_map(|word| word.to_le_bytes()));
            sum = add(sum, &part);
            each(&part)?;
        }
        each(&sum.to_le_bytes())
    }

    /// The numbering of a file with these bytes, if it belongs to what this header says.
    ///
    /// # Errors
    /// When the file is damaged, from another version, or belongs to something else.
    pub fn read(&self, bytes: &[u8]) -> Result<KeyTable<BlockKey>, Invalid> {
        parse(bytes, self)
    }
}

/// A state file in use by this run.
pub(crate) struct StateFile {
    path: PathBuf,
    header: StateHeader,
    /// Held until the end.
    _lock: Lock,
}

impl StateFile {
    /// Locks `path` and loads its numbering, which is empty if the file does not exist.
    ///
    /// # Errors
    /// When another run holds the lock, when the file is damaged or from another version, or when its
    /// numbering belongs to something else than `header` says.
    pub(crate) fn open(path: &Path, header: StateHeader) -> Result<(Self, KeyTable<BlockKey>)> {
        let lock = Lock::beside(path)?;
        let name = path.display().to_string();
        let table = match std::fs::read(path) {
            Ok(bytes) => {
                parse(&bytes, &header).map_err(|reason| Error::Failed(format!("{name}: {reason}")))?
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => KeyTable::default(),
            Err(e) => return Err(Error::io(name, e)),
        };
        Ok((Self { path: path.to_owned(), header, _lock: lock }, table))
    }

    /// Replaces the file with `table`.
    ///
    /// # Errors
    /// When it cannot be written; the old file is then unchanged.
    pub(crate) fn save(&self, table: &KeyTable<BlockKey>) -> Result<()> {
        let mut output = Output::create(Some(&self.path))?;
        self.header.write(table, |part| {
            output.buffer().extend_from_slice(part);
            output.end_record()
        })?;
        output.finish()
    }
}

/// The checksum of what came before and `bytes`.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    sum.rotate_left(1) ^ xxh3_64(bytes)
}

fn parse(bytes: &[u8], header: &StateHeader) -> Result<KeyTable<BlockKey>, Invalid> {
    let other = || Invalid::malformed("not a file of block numbers (`state`)");
    let end = bytes.windows(2).take(4096).position(|pair| pair == b"\n\n").ok_or_else(other)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| other())?;
    let mut lines = head.lines();
    let magic = lines.next().unwrap_or_default();
    if magic != MAGIC {
        let same_kind = magic.split(", version").next() == MAGIC.split(", version").next();
        let version = || Invalid::malformed(format!("this is \"{magic}\", expected \"{MAGIC}\""));
        return Err(if same_kind { version() } else { other() });
    }
    for (name, value) in header.fields() {
        let found = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        match found {
            Some(found) if found == value => {}
            Some(found) if name == "salt" => {
                let state = if found.is_empty() { "without a salt" } else { "with another salt" };
                return Err(Invalid::conflict(format!("its numbers were given {state} (`salt`)")));
            }
            Some(found) if name == "keys of records" => {
                return Err(Invalid::conflict(format!(
                    "its numbers were given with the keys of records {found}, such as model and LoRA (`ignore_keys`)"
                )));
            }
            Some(found) => {
                let message = format!("its numbers were given with {name} {found}, this run has {value}");
                return Err(Invalid::conflict(message));
            }
            None => return Err(other()),
        }
    }
    let blocks = lines.next().and_then(|line| line.strip_prefix("blocks: ")?.parse::<u32>().ok());
    let blocks = blocks.ok_or_else(other)? as usize;
    let body = &bytes[end + 2..];
    let damaged = || Invalid::malformed("damaged: its length or checksum does not fit");
    // No checksum covers these lines, so they must be exactly what would be written.
    if head != header.head(blocks) {
        return Err(damaged());
    }
    let (keys, sum) = body.split_last_chunk::<8>().ok_or_else(damaged)?;
    let expected = keys.chunks(4096 * KEY).fold(0, add);
    if keys.len() != blocks * KEY || u64::from_le_bytes(*sum) != expected {
        return Err(damaged());
    }
    let mut table = KeyTable::default();
    table.reserve(blocks);
    for key in keys.chunks_exact(KEY) {
        let word = |i: usize| u32::from_le_bytes([key[i], key[i + 1], key[i + 2], key[i + 3]]);
        let key = [word(0), word(4), word(8)];
        if table.get(key).is_some() {
            return Err(Invalid::malformed("damaged: a block has two numbers"));
        }
        table.insert_new(key);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> StateHeader {
        StateHeader {
            block_size: 16,
            tokenizer: "t".into(),
            template: "c".into(),
            salt: String::new(),
            ignores_keys: false,
        }
    }

    fn table(keys: u32) -> KeyTable<BlockKey> {
        let mut table = KeyTable::default();
        (0..keys).for_each(|i| table.insert_new([i, i.wrapping_mul(0x9e37_79b9), !i]));
        table
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        for keys in [0, 1, 5000] {
            let (file, _) = StateFile::open(&path, header()).unwrap();
            file.save(&table(keys)).unwrap();
            drop(file);
            let (_, loaded) = StateFile::open(&path, header()).unwrap();
            assert_eq!(loaded.keys(), table(keys).keys());
            assert!((0..keys).all(|i| loaded.get(loaded.keys()[i as usize]) == Some(i)));
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        StateFile::open(&path, header()).unwrap().0.save(&table(100)).unwrap();
        let good = std::fs::read(&path).unwrap();
        assert!(parse(&good, &header()).is_ok());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(parse(&bad, &header()).is_err(), "byte {at}");
            assert!(parse(&good[..at], &header()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_block_with_two_numbers_is_refused() {
        let mut table = table(9);
        table.insert_new(table.keys()[4]);
        let mut bytes = Vec::new();
        let written: Result<()> = header().write(&table, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        written.unwrap();
        assert_eq!(header().read(&bytes).err().unwrap().message, "damaged: a block has two numbers");
    }

    #[test]
    fn two_runs_cannot_use_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let first = StateFile::open(&path, header()).unwrap();
        let error = StateFile::open(&path, header()).err().unwrap().to_string();
        assert!(error.ends_with("ids: in use by another run"), "{error}");
        drop(first);
        assert!(StateFile::open(&path, header()).is_ok());
    }
}
