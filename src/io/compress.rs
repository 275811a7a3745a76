//! Compresses what is written, by other threads if there may be some.
//!
//! Data are compressed in parts, which wait in order until they are written. Parts of gzip are compressed each by
//! itself, with the end of the part before as a dictionary, and make one stream: several threads may do that, and
//! readers find nothing unusual. A stream of Zstandard can only be made by one. The bytes do not depend on the threads.

use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Crc, FlushCompress, Status};

use crate::io::workers::Workers;

/// Bytes of a part.
const PART: usize = 512 << 10;

/// As far as a match of gzip reaches back.
const WINDOW: usize = 32 << 10;

/// What every stream of gzip begins with: the method, no flags, no time, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A compressed format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// gzip, written at level 6.
    Gzip,
    /// Zstandard, written at level 3.
    Zstd,
}

impl Compression {
    /// What the name of a file says: `.gz` or `.zst` at its end.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Data to be compressed.
#[derive(Default)]
struct Part {
    /// Behind the end of the part before.
    bytes: Vec<u8>,
    /// Where that ends.
    start: usize,
    is_last: bool,
}

/// A part of the stream, and the checksum of what it was made of if it is gzip.
struct Done {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Compresses one part after the other.
enum Compressor {
    Gzip,
    /// Until its last part.
    Zstd(Option<Box<zrip::FrameEncoder<Collected>>>, Collected),
}

/// Collects what an encoder writes.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

/// Who compresses.
enum By {
    This(Compressor),
    Others(Workers<Part, io::Result<Done>>),
}

/// A compressed stream on its way to `sink`.
pub(super) struct Compressing<W> {
    sink: W,
    /// What is gathered.
    part: Part,
    /// The checksum of all parts that have been written, if the format has one here.
    crc: Option<Crc>,
    by: By,
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Compressor {
    fn new(format: Compression) -> io::Result<Self> {
        Ok(match format {
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => {
                let collected = Collected::default();
                let encoder = zrip::FrameEncoder::new(collected.clone(), 3).map_err(io::Error::other)?;
                Self::Zstd(Some(Box::new(encoder)), collected)
            }
        })
    }

    fn compress(&mut self, part: &Part) -> io::Result<Done> {
        let (window, bytes) = part.bytes.split_at(part.start);
        match self {
            Self::Gzip => {
                let mut crc = Crc::new();
                crc.update(bytes);
                Ok(Done { bytes: deflated(window, bytes, part.is_last)?, crc })
            }
            Self::Zstd(encoder, collected) => {
                encoder.as_mut().map_or(Ok(()), |encoder| encoder.write_all(bytes))?;
                if let Some(encoder) = encoder.take_if(|_| part.is_last) {
                    encoder.finish()?;
                }
                let bytes = mem::take(&mut *collected.0.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(Done { bytes, crc: Crc::new() })
            }
        }
    }
}

/// What becomes of `bytes`, which follow a `window`: whole bytes, behind which another part can follow unless this is
/// the last.
fn deflated(window: &[u8], mut bytes: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    // One that is reset still knows what it compressed before, and may find other matches.
    let mut deflate = Compress::new(flate2::Compression::default(), false);
    if !window.is_empty() {
        deflate.set_dictionary(window)?;
    }
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::new();
    loop {
        out.reserve(bytes.len() / 2 + (4 << 10));
        let before = deflate.total_in();
        let status = deflate.compress_vec(bytes, &mut out, flush)?;
        bytes = &bytes[(deflate.total_in() - before) as usize..];
        // A flush that leaves room is over.
        let is_flushed = bytes.is_empty() && out.len() < out.capacity();
        if status == Status::StreamEnd || (is_flushed && !is_last) {
            return Ok(out);
        }
    }
}

impl<W: Write> Compressing<W> {
    /// Compresses by this thread, or, if there are to be more than one `jobs`, by others.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(super) fn new(sink: W, format: Compression, jobs: usize) -> io::Result<Self> {
        let threads = if format == Compression::Gzip { jobs } else { 1 };
        let by = if jobs > 1 {
            const FAILURE: &str = "the library that compresses the output failed";
            By::Others(Workers::start("compress", threads, FAILURE, || {
                let mut compressor = Compressor::new(format)?;
                Ok(move |part: Part| compressor.compress(&part))
            })?)
        } else {
            By::This(Compressor::new(format)?)
        };
        let crc = (format == Compression::Gzip).then(Crc::new);
        Ok(Self { sink, part: Part::default(), crc, by })
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = &mut self.part;
            let room = PART - (part.bytes.len() - part.start);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            part.bytes.extend_from_slice(now);
            if now.len() == room {
                self.end_part()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes the end of the stream.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.part.is_last = true;
        self.end_part()?;
        if let Some(crc) = &self.crc {
            self.sink.write_all(&crc.sum().to_le_bytes())?;
            self.sink.write_all(&crc.amount().to_le_bytes())?;
        }
        Ok(self.sink)
    }

    fn end_part(&mut self) -> io::Result<()> {
        let Part { bytes, is_last, .. } = &self.part;
        let (window, is_last) = (bytes[bytes.len().saturating_sub(WINDOW)..].to_vec(), *is_last);
        let next = Part { start: window.len(), bytes: window, is_last };
        let part = mem::replace(&mut self.part, next);
        let workers = match &mut self.by {
            By::This(compressor) => {
                let done = compressor.compress(&part)?;
                return self.put(&done);
            }
            By::Others(workers) => workers,
        };
        workers.send(part)?;
        while let By::Others(workers) = &mut self.by
            && let Some(done) = workers.take(is_last)
        {
            self.put(&done??)?;
        }
        Ok(())
    }

    fn put(&mut self, done: &Done) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            if crc.amount() == 0 {
                self.sink.write_all(&HEADER)?;
            }
            crc.combine(&done.crc);
        }
        self.sink.write_all(&done.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn compressed(text: &[u8], format: Compression, jobs: usize) -> Vec<u8> {
        let mut writer = Compressing::new(Vec::new(), format, jobs).unwrap();
        let mut rest = text;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fastrand::usize(1..2 * PART).min(rest.len()));
            writer.write_all(now).unwrap();
            rest = later;
        }
        writer.finish().unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_one_thread_and_make_one_stream() {
        for len in [0, 1, PART - 1, PART, PART + 1, 5 * PART + 77] {
            let bytes = (0..len).map(|i| if i % 7 < 3 { fastrand::u8(..) } else { b'a' });
            let text: Vec<u8> = bytes.collect();
            for format in [Compression::Gzip, Compression::Zstd] {
                let [one, two, five] = [1, 2, 5].map(|jobs| compressed(&text, format, jobs));
                assert!(one == two && one == five);
                let mut read = Vec::new();
                if format == Compression::Gzip {
                    let mut decoder = flate2::bufread::GzDecoder::new(&one[..]);
                    decoder.read_to_end(&mut read).unwrap();
                    assert!(decoder.into_inner().is_empty());
                } else {
                    zrip::FrameDecoder::new(&one[..]).read_to_end(&mut read).unwrap();
                }
                assert!(read == text);
            }
        }
    }

    #[test]
    fn parts_take_no_more_room_than_one_stream() {
        let mut rng = fastrand::Rng::with_seed(2);
        let lines = (0..200_000).map(|i| format!("{{\"id\": {}}}\n", i + rng.u32(..99)));
        let text: String = lines.collect();
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        whole.write_all(text.as_bytes()).unwrap();
        let (parts, whole) =
            (compressed(text.as_bytes(), Compression::Gzip, 1).len(), whole.finish().unwrap().len());
        assert!(parts < whole + whole / 100, "{parts} {whole}");
    }
}
