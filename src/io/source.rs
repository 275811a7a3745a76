//! One input as a stream of plain bytes: a file or standard input, decompressed where needed.
//!
//! Decompression often takes longer than processing the result, so a separate thread decompresses ahead of
//! the reader.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use crate::error::{Error, Result, guarded};
use crate::io::ahead::{Ahead, Chunk, NewPreview};
use crate::io::compress::Compression;
use crate::io::{signals, standard};

/// Size of a read from the system. Larger reads were not faster; smaller ones need more system calls.
pub(super) const READ_SIZE: usize = 256 << 10;

/// Size of the chunks that are decompressed ahead. A few of them are in memory for each open file.
const CHUNK: usize = 64 << 10;

/// A file or standard input, before and after decompression.
pub(super) struct Source {
    pub(super) name: String,
    reader: Box<dyn Read + Send>,
    /// Whether nobody waits for its first bytes before there are more.
    regular: bool,
    /// The threads that read it, if that has begun.
    ahead: Option<Ahead>,
}

impl Source {
    /// Opens `path` (`-` is standard input) and looks at its first bytes for a compressed format.
    ///
    /// `consumed` counts the bytes read from the system, before decompression.
    pub(super) fn open(path: &Path, consumed: &Arc<AtomicU64>) -> Result<Self> {
        let name = path.display().to_string();
        let opened = if path.as_os_str() == "-" {
            standard::check_input().and_then(|()| io::stdin().as_fd().try_clone_to_owned()).map(File::from)
        } else {
            File::open(path)
        };
        let file = opened.map_err(|e| Error::io(&name, e))?;
        let regular = file.metadata().is_ok_and(|m| m.is_file());
        let source = Self::new(name, RawReader { file, regular, consumed: Arc::clone(consumed) })?;
        Ok(Self { regular, ..source })
    }

    /// A source of `bytes`, which may be compressed too.
    pub(super) fn in_memory(bytes: Vec<u8>) -> Result<Self> {
        Self::new("-".to_owned(), io::Cursor::new(bytes))
    }

    /// The bytes of `raw`, decompressed in a separate thread if they are compressed.
    fn new(name: String, mut raw: impl Read + Send + 'static) -> Result<Self> {
        let head = read_magic(&mut raw).map_err(|e| lift(&name, e))?;
        if let Some((_, what, how)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
            let how = how.replace("FILE", &name);
            return Err(Error::Failed(format!("{name}: {what}, which is not read; convert it: {how} | ...")));
        }
        let compression = magic().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| format);
        let raw = io::Cursor::new(head).chain(raw);
        let reader: Result<Box<dyn Read + Send>, io::Error> = match compression {
            None => Ok(Box::new(raw)),
            Some(Compression::Gzip) => {
                let buffered = BufReader::with_capacity(READ_SIZE, raw);
                ReadAhead::start(GzipMembers::new(buffered))
            }
            Some(Compression::Zstd) => {
                let buffered = BufReader::with_capacity(READ_SIZE, raw);
                zstd_decoder(buffered).and_then(ReadAhead::start)
            }
        };
        let reader = reader.map_err(|e| Error::io(&name, e))?;
        Ok(Self { name, reader, regular: false, ahead: None })
    }

    /// From now on, so many threads read ahead and look at what they read. Then [`Source::next_chunk`] takes
    /// the place of [`Source::read`].
    pub(super) fn read_ahead(&mut self, threads: usize, new: impl FnOnce() -> NewPreview) -> Result<()> {
        if self.ahead.is_none() {
            let reader = mem::replace(&mut self.reader, Box::new(io::empty()));
            let ahead = Ahead::start(reader, self.regular, threads, new()).map_err(|_| Error::no_thread())?;
            self.ahead = Some(ahead);
        }
        Ok(())
    }

    /// Whether threads read it.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// The next bytes that threads have read, in place of those that are not needed any more.
    pub(super) fn next_chunk(&mut self, used: Option<Chunk>) -> Result<Option<Chunk>> {
        self.ahead.as_mut().map_or(Ok(None), |ahead| ahead.next(used)).map_err(|e| lift(&self.name, e))
    }

    /// Reads once; 0 means the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reader.read(buffer).map_err(|e| lift(&self.name, e))
    }
}

/// All bytes of a file that is needed as a whole, such as a tokenizer. A device may have no end, so there is a
/// limit that no such file reaches.
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 28;
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MOST} bytes")));
    }
    Ok(bytes)
}

/// The first bytes by which compressed formats are recognised.
const MAGIC: [(&[u8], Compression); 2] =
    [(&[0x1f, 0x8b], Compression::Gzip), (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd)];

/// What frames of Zstandard begin with that are to be skipped, as pzstd writes one first: 0x50 to 0x5f.
static SKIPPABLE: [[u8; 4]; 16] = {
    let mut all = [[0x50, 0x2a, 0x4d, 0x18]; 16];
    let mut i = 0;
    while i < all.len() {
        all[i][0] |= i as u8;
        i += 1;
    }
    all
};

/// What compressed formats begin with.
fn magic() -> impl Iterator<Item = (&'static [u8], Compression)> {
    MAGIC.into_iter().chain(SKIPPABLE.iter().map(|magic| (&magic[..], Compression::Zstd)))
}

/// The members of a gzip file one after the other. Zeros at its end are the padding of tapes and block devices,
/// which gzip passes over too.
struct GzipMembers<R: BufRead> {
    /// `None` at the end.
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    fn new(raw: R) -> Self {
        Self { member: Some(flate2::bufread::GzDecoder::new(raw)) }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(mut raw) = self.member.take().map(flate2::bufread::GzDecoder::into_inner) else { break };
            let padded = skip_zeros(&mut raw)?;
            if raw.fill_buf()?.is_empty() {
                break;
            }
            if padded {
                let text = "bytes that are no gzip data behind the padding";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.member = Some(flate2::bufread::GzDecoder::new(raw));
        }
        Ok(0)
    }
}

/// Passes over zeros; whether there were any.
fn skip_zeros(raw: &mut impl BufRead) -> io::Result<bool> {
    let mut found = false;
    loop {
        let bytes = raw.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(found);
        }
        found = true;
        raw.consume(zeros);
    }
}

/// The first bytes of files that other programs make readable: what they are, and how.
const FOREIGN: [(&[u8], &str, &str); 6] = [
    (b"PAR1", "a Parquet file", "duckdb -c \"COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT json)\""),
    (
        b"ARROW1",
        "an Arrow file",
        "duckdb -c \"INSTALL nanoarrow FROM community; LOAD nanoarrow; \
         COPY (FROM read_arrow('FILE')) TO '/dev/stdout' (FORMAT json)\"",
    ),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "compressed by xz", "xz -dc FILE"),
    (b"BZh", "compressed by bzip2", "bzip2 -dc FILE"),
    (b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
    (&[0x04, 0x22, 0x4d, 0x18], "compressed by lz4", "lz4 -dc FILE"),
];

/// Decodes Zstandard by safe Rust, which needs no C compiler to build.
#[cfg(not(feature = "zstd-c"))]
#[allow(clippy::unnecessary_wraps, reason = "the C library can fail here")]
fn zstd_decoder(raw: impl BufRead + Send + 'static) -> io::Result<impl Read + Send + 'static> {
    Ok(zrip::FrameDecoder::new(raw))
}

/// Decodes Zstandard by the C library, which is nearly twice as fast.
#[cfg(feature = "zstd-c")]
fn zstd_decoder(raw: impl BufRead + Send + 'static) -> io::Result<impl Read + Send + 'static> {
    zstd::stream::read::Decoder::with_buffer(raw)
}

/// Reads only while the bytes may still be the start of a known magic number: a pipe that has delivered one
/// short line must not have to deliver more before that line is processed.
fn read_magic(raw: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(8);
    let known = || magic().map(|(magic, _)| magic).chain(FOREIGN.iter().map(|(magic, ..)| *magic));
    while known().any(|magic| head.len() < magic.len() && magic.starts_with(&head)) {
        let mut byte = [0];
        match raw.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => head.push(byte[0]),
            Err(e) => return Err(e),
        }
    }
    Ok(head)
}

/// Reads from the system. While it waits for anything but a regular file, a signal ends the wait.
struct RawReader {
    file: File,
    regular: bool,
    consumed: Arc<AtomicU64>,
}

impl Read for RawReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Some decoders fail after an interrupted read, so interruptions are handled here.
        let n = loop {
            if self.regular {
                signals::check_elsewhere().map_err(io::Error::other)?;
            } else {
                signals::wait_readable(self.file.as_fd()).map_err(io::Error::other)?;
            }
            match self.file.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.consumed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Chunks that a separate thread has decompressed; used ones go back to it to be filled again.
struct ReadAhead {
    full: Receiver<io::Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    /// How many bytes of the chunk have been read.
    given: usize,
}

impl ReadAhead {
    /// Starts a thread that reads `decoder`.
    fn start(mut decoder: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let (chunks, full) = sync_channel(2);
        let (used, empty) = channel::<Vec<u8>>();
        let read = move || {
            loop {
                let mut chunk = empty.try_recv().unwrap_or_default();
                chunk.resize(CHUNK, 0);
                let failed = || Err(io::Error::other("the library that decompresses this input failed"));
                let read = guarded(|| decoder.read(&mut chunk)).unwrap_or_else(failed).map(|n| {
                    chunk.truncate(n);
                    chunk
                });
                let over = read.as_ref().map_or(true, Vec::is_empty);
                if chunks.send(read).is_err() || over {
                    return;
                }
            }
        };
        thread::Builder::new().name("decompress".into()).stack_size(256 << 10).spawn(read)?;
        Ok(Box::new(Self { full, used, chunk: Vec::new(), given: 0 }))
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.chunk.len() {
            // After the end the thread is gone.
            let Ok(next) = self.full.recv() else { return Ok(0) };
            self.used.send(mem::replace(&mut self.chunk, next?)).ok();
            self.given = 0;
        }
        let mut rest = &self.chunk[self.given..];
        let n = rest.read(buffer)?;
        self.given += n;
        Ok(n)
    }
}

/// Our own error out of the `io::Error` that carried it through a decoder or a buffer.
#[allow(clippy::redundant_closure_for_method_calls, reason = "the method's full path is unreadable")]
pub(crate) fn lift(name: &str, error: io::Error) -> Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        let inner = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
        let own = inner.map_or(Error::Failed("unknown input error".into()), |boxed| *boxed);
        if matches!(own, Error::Signal(_)) {
            signals::acknowledge();
        }
        return own;
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let text = "compressed data end too early (truncated file?)";
        return Error::io(name, io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Error::io(name, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder that fails after its first bytes.
    struct Fails(bool);

    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.0, "planted");
            self.0 = true;
            buffer[0] = b'a';
            Ok(1)
        }
    }

    #[test]
    fn a_panic_of_a_decoder_is_an_error_and_no_end_of_the_input() {
        let mut read = Vec::new();
        let error = ReadAhead::start(Fails(false)).unwrap().read_to_end(&mut read).unwrap_err();
        assert_eq!(error.to_string(), "the library that decompresses this input failed");
        assert_eq!(read, b"a");
    }
}
