//! A file that other threads read, and look at, before the turn of its lines comes.
//!
//! One thread at a time reads: chunks that end with a line. All of them look at chunks, the first that nobody has
//! looked at first, and so does the thread that takes the lines rather than wait. So the work is shared, whatever
//! the shares of its parts are. A look changes nothing in what is read: it only finds out early what is found out
//! anyway, and keeps it beside the chunk.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use memchr::memrchr;

use crate::error::guarded;

/// Size of a chunk.
const CHUNK: usize = 256 << 10;

/// Chunks that may be in memory, besides the one that is in use.
const MOST_CHUNKS: usize = 8;

/// Threads that can have something to do while one takes the lines: it takes longer than a third of their work.
const MOST_THREADS: usize = 3;

/// What is found out about lines before their turn.
pub(crate) trait Preview: Any + Send {
    /// Looks at lines, in place of those before. The first may lack its beginning, and the last its end.
    fn look(&mut self, text: &[u8]);
}

/// Makes previews that have seen nothing.
pub(crate) type NewPreview = Box<dyn Fn() -> Box<dyn Preview> + Send + Sync>;

/// Bytes, and what has been found out about them.
pub(super) struct Chunk {
    /// The bytes are those up to `end`.
    pub(super) bytes: Vec<u8>,
    pub(super) end: usize,
    pub(super) preview: Box<dyn Preview>,
}

/// What there is of the input at one place.
enum Slot {
    /// Nobody has looked at it.
    New(Chunk),
    /// Somebody looks at it.
    Looking,
    Ready(Chunk),
    /// No chunk follows, or cannot be read.
    Last(io::Result<()>),
}

/// What the threads read.
struct Reading {
    from: Box<dyn Read + Send>,
    /// The beginning of a line behind the last chunk.
    rest: Vec<u8>,
    /// Whether a chunk may wait until it is full: its bytes need not be asked for by a person at a terminal.
    fills: bool,
}

struct State {
    slots: VecDeque<Slot>,
    /// How many slots have been taken.
    taken: usize,
    /// Chunks to be used again.
    spare: Vec<Chunk>,
    /// `None` while somebody reads, and after the last chunk.
    reading: Option<Reading>,
    /// Whether nobody wants more.
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    new: NewPreview,
    /// There may be something to do.
    work: Condvar,
    /// There may be something to take.
    ready: Condvar,
}

/// The chunks of an input in order.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    /// Whether reading never waits.
    fills: bool,
}

impl Reading {
    /// The next chunk; false if there is none.
    fn read(&mut self, chunk: &mut Chunk) -> io::Result<bool> {
        // A line may have been much longer than others are.
        chunk.bytes.truncate(CHUNK);
        chunk.bytes.shrink_to(2 * CHUNK);
        chunk.bytes.resize(CHUNK.max(2 * self.rest.len()), 0);
        chunk.bytes[..self.rest.len()].copy_from_slice(&self.rest);
        chunk.end = self.rest.len();
        self.rest.clear();
        loop {
            let n = self.from.read(&mut chunk.bytes[chunk.end..])?;
            chunk.end += n;
            if n == 0 || !self.fills || chunk.bytes.len() - chunk.end < CHUNK / 4 {
                break;
            }
        }
        // A line that is longer than a chunk goes on in the next one.
        if let Some(newline) = memrchr(b'\n', &chunk.bytes[..chunk.end]) {
            self.rest.extend_from_slice(&chunk.bytes[newline + 1..chunk.end]);
            chunk.end = newline + 1;
        }
        Ok(chunk.end > 0)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the first chunk that nobody has looked at, if there is one.
    fn look<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, MutexGuard<'a, State>> {
        let Some(index) = state.slots.iter().position(|slot| matches!(slot, Slot::New(_))) else {
            return Err(state);
        };
        let Slot::New(mut chunk) = std::mem::replace(&mut state.slots[index], Slot::Looking) else {
            return Err(state);
        };
        let number = state.taken + index;
        drop(state);
        // Whoever takes the chunk meets the same failure where it counts.
        if guarded(|| chunk.preview.look(&chunk.bytes[..chunk.end])).is_none() {
            chunk.preview = (self.new)();
        }
        let mut state = self.lock();
        let index = number - state.taken;
        // There is none once nobody wants more.
        if let Some(slot) = state.slots.get_mut(index) {
            *slot = Slot::Ready(chunk);
        }
        self.ready.notify_one();
        Ok(state)
    }

    /// Reads the next chunk, if nobody else does and there is room for it.
    fn read<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, MutexGuard<'a, State>> {
        if state.slots.len() >= MOST_CHUNKS {
            return Err(state);
        }
        let Some(mut reading) = state.reading.take() else { return Err(state) };
        let spare = state.spare.pop();
        drop(state);
        let mut chunk = spare.unwrap_or_else(|| Chunk { bytes: Vec::new(), end: 0, preview: (self.new)() });
        let failed = || Err(io::Error::other("the library that reads this input failed"));
        let read = guarded(|| reading.read(&mut chunk)).unwrap_or_else(failed);
        let mut state = self.lock();
        if let Ok(true) = read {
            state.slots.push_back(Slot::New(chunk));
            state.reading = Some(reading);
        } else {
            state.slots.push_back(Slot::Last(read.map(drop)));
        }
        self.work.notify_one();
        self.ready.notify_one();
        Ok(state)
    }

    /// A thread's life.
    fn serve(&self) {
        let mut state = self.lock();
        while !state.is_closed {
            // Reading comes first: without chunks there is nothing to look at for the others.
            state = match self.read(state).or_else(|state| self.look(state)) {
                Ok(state) => state,
                Err(state) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Ahead {
    /// Begins to read `from` with so many threads beside this one, or as many as are of use.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(super) fn start(
        from: Box<dyn Read + Send>,
        fills: bool,
        threads: usize,
        new: NewPreview,
    ) -> io::Result<Self> {
        let reading = Some(Reading { from, rest: Vec::new(), fills });
        let state = State { slots: VecDeque::new(), taken: 0, spare: Vec::new(), reading, is_closed: false };
        let (work, ready) = (Condvar::new(), Condvar::new());
        let shared = Shared { state: Mutex::new(state), new, work, ready };
        let ahead = Self { shared: Arc::new(shared), fills };
        for _ in 0..threads.min(MOST_THREADS) {
            let shared = Arc::clone(&ahead.shared);
            let thread = thread::Builder::new().name("ahead".into()).stack_size(256 << 10);
            thread.spawn(move || shared.serve())?;
        }
        Ok(ahead)
    }

    /// The next chunk in place of one that is not needed any more; `None` at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn next(&mut self, used: Option<Chunk>) -> io::Result<Option<Chunk>> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.spare.extend(used);
        loop {
            state = match state.slots.front() {
                // Who takes a chunk that nobody has looked at does not need the look.
                Some(Slot::New(_) | Slot::Ready(_) | Slot::Last(_)) => break,
                // Work is better than to wait, as long as the work has an end.
                _ => match shared
                    .look(state)
                    .or_else(|state| if self.fills { shared.read(state) } else { Err(state) })
                {
                    Ok(state) => state,
                    Err(state) => shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                },
            };
        }
        // The end stays where it is.
        if let Some(Slot::Last(end)) = state.slots.front_mut() {
            return std::mem::replace(end, Ok(())).map(|()| None);
        }
        state.taken += 1;
        let slot = state.slots.pop_front();
        // To wake a thread takes time, so that it is given much to do at once.
        if state.slots.len() <= MOST_CHUNKS / 2 {
            shared.work.notify_all();
        }
        drop(state);
        Ok(match slot {
            Some(Slot::New(mut chunk)) => {
                chunk.preview.look(&[]);
                Some(chunk)
            }
            Some(Slot::Ready(chunk)) => Some(chunk),
            _ => None,
        })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        (state.slots, state.spare) = Default::default();
        self.shared.work.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a text in parts of any size.
    struct Parts(Vec<u8>, usize);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = fastrand::usize(1..3 * CHUNK).min(buffer.len()).min(self.0.len() - self.1);
            buffer[..n].copy_from_slice(&self.0[self.1..][..n]);
            self.1 += n;
            Ok(n)
        }
    }

    /// Keeps what it was shown.
    #[derive(Default)]
    struct Shown(Vec<u8>);

    impl Preview for Shown {
        fn look(&mut self, text: &[u8]) {
            assert!(!text.starts_with(b"planted"));
            text.clone_into(&mut self.0);
        }
    }

    fn read(text: &str, threads: usize) -> (Vec<u8>, usize) {
        let from = Parts(text.as_bytes().to_vec(), 0);
        let new = || -> Box<dyn Preview> { Box::new(Shown::default()) };
        let mut ahead = Ahead::start(Box::new(from), fastrand::bool(), threads, Box::new(new)).unwrap();
        let (mut read, mut looks, mut used) = (Vec::new(), 0, None);
        while let Some(chunk) = ahead.next(used).unwrap() {
            let bytes = &chunk.bytes[..chunk.end];
            assert!(bytes.len() <= 3 * CHUNK);
            let shown = (&*chunk.preview as &dyn Any).downcast_ref::<Shown>().unwrap();
            assert!(shown.0.is_empty() || shown.0 == bytes);
            looks += usize::from(!shown.0.is_empty());
            // A line goes on in the next chunk only where it is longer than one.
            assert!(bytes.ends_with(b"\n") || bytes.len() > CHUNK / 2 || !bytes.contains(&b'\n'));
            read.extend_from_slice(bytes);
            used = Some(chunk);
            if looks < 3 {
                thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        assert!(ahead.next(None).unwrap().is_none());
        (read, looks)
    }

    #[test]
    fn chunks_are_the_text_in_order_however_it_comes() {
        for threads in [1, 2, 5] {
            let mut text = String::new();
            while text.len() < 20 * CHUNK {
                let most = if fastrand::u32(0..500) == 0 { 2 * CHUNK } else { 400 };
                text += &"x".repeat(fastrand::usize(..most));
                text += "\n";
            }
            text += "the end";
            let (read, looks) = self::read(&text, threads);
            assert!(read == text.as_bytes());
            assert!(looks >= 3);
        }
        assert_eq!(self::read("", 1), (Vec::new(), 0));
    }

    #[test]
    fn a_panic_of_a_look_leaves_the_chunk() {
        let text = "planted\n".repeat(CHUNK / 2);
        assert!(self::read(&text, 2).0 == text.as_bytes());
    }
}
