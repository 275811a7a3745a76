//! Items of an input, read by the thread that uses them or by one ahead of it.
//!
//! The thread ahead hands over batches, in order, and gets them back to fill again; so no more than a
//! few are in flight. A batch ends where the next read might wait, so that nothing that has arrived
//! is kept back.

use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::io::{Input, Status, signals};

/// Most items in a batch.
const BATCH: usize = 256;

/// Batches that may wait to be used.
const WAITING: usize = 2;

/// Time to take notice of a signal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the items of an input.
pub trait Reader: Send + 'static {
    /// What is read. Its memory is used again.
    type Item: Default + Send + 'static;

    /// Reads the next item into `item`; false after the last. `idle` as for [`Input::advance`].
    ///
    /// # Errors
    /// What is wrong with the item, and those of [`Input::advance`].
    fn read(&mut self, item: &mut Self::Item, idle: impl FnMut(Status) -> Result<()>) -> Result<bool>;

    /// The lines beneath.
    fn input(&self) -> &Input;
}

/// The items of a reader.
pub enum Stream<R: Reader> {
    /// Read by the thread that uses them: the reader, and the current item.
    Here(R, R::Item),
    /// Read by a thread ahead.
    Ahead(Box<Ahead<R>>),
}

/// The end of a queue of batches.
pub struct Ahead<R: Reader> {
    full: Receiver<Batch<R::Item>>,
    /// Dropped when the end has been reached.
    used: Option<Sender<Batch<R::Item>>>,
    /// The batch in use, and how many of its items have been.
    batch: Batch<R::Item>,
    done: usize,
    /// What there is before the first.
    none: R::Item,
    thread: Option<JoinHandle<R>>,
    /// The reader, once it has ended.
    reader: Option<R>,
}

/// Items of one file.
struct Batch<T> {
    /// The first `len` of them are of this batch.
    items: Vec<T>,
    len: usize,
    /// The line of each in its file.
    lines: Vec<u64>,
    file: String,
    status: Status,
    /// How the input has ended, if it has.
    ended: Option<Result<()>>,
}

impl<R: Reader> Stream<R> {
    /// The items of `reader`; read by a thread of its own if `ahead`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(reader: R, ahead: bool) -> Result<Self> {
        if !ahead {
            return Ok(Self::Here(reader, R::Item::default()));
        }
        let (batches, full) = sync_channel(WAITING);
        let (used, empty) = channel();
        let thread = thread::Builder::new().spawn(move || read_ahead(reader, &batches, &empty));
        let thread = Some(thread.map_err(|_| Error::no_thread())?);
        let used = Some(used);
        let (batch, none) = (Batch::default(), R::Item::default());
        let ahead = Ahead { full, used, batch, done: 0, none, thread, reader: None };
        Ok(Self::Ahead(Box::new(ahead)))
    }

    /// Goes on to the next item; false after the last.
    ///
    /// # Errors
    /// Those of [`Reader::read`].
    #[inline]
    pub fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        match self {
            Self::Here(reader, item) => reader.read(item, idle),
            Self::Ahead(ahead) => ahead.advance(idle),
        }
    }

    /// The current item; an empty one before the first.
    #[inline]
    pub fn item(&self) -> &R::Item {
        match self {
            Self::Here(_, item) => item,
            Self::Ahead(ahead) => ahead.batch.items.get(ahead.done.wrapping_sub(1)).unwrap_or(&ahead.none),
        }
    }

    /// The error that says `message` of the current item.
    pub fn error(&self, message: impl Into<String>) -> Error {
        match self {
            Self::Here(reader, _) => reader.input().error(message),
            Self::Ahead(ahead) => {
                let Batch { file, lines, .. } = &ahead.batch;
                let line = lines.get(ahead.done.saturating_sub(1)).copied().unwrap_or(0);
                Error::Data { file: file.clone(), line, message: message.into() }
            }
        }
    }

    /// The reader; none while it is ahead.
    pub fn reader(&self) -> Option<&R> {
        match self {
            Self::Here(reader, _) => Some(reader),
            Self::Ahead(ahead) => ahead.reader.as_ref(),
        }
    }
}

impl<R: Reader> Ahead<R> {
    #[inline]
    fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        if self.done == self.batch.len && !self.next_batch(idle)? {
            return Ok(false);
        }
        self.done += 1;
        Ok(true)
    }

    /// Waits for a batch that is not empty; false if there is none to come.
    #[cold]
    #[inline(never)]
    fn next_batch(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        loop {
            if let Some(ended) = self.batch.ended.take() {
                self.used = None;
                self.reader = self.thread.take().and_then(|thread| thread.join().ok());
                return ended.map(|()| false);
            }
            idle(self.batch.status)?;
            let Ok(batch) = self.full.recv() else { return Ok(false) };
            let mut used = mem::replace(&mut self.batch, batch);
            self.done = 0;
            (used.len, used.ended) = (0, None);
            if let Some(queue) = &self.used {
                // At the end there is nobody to take it.
                queue.send(used).ok();
            }
            if self.batch.len > 0 {
                return Ok(true);
            }
        }
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        let status = Status { bytes: 0, lines: 0 };
        Self { items: Vec::new(), len: 0, lines: Vec::new(), file: String::new(), status, ended: None }
    }
}

impl<T: Default> Batch<T> {
    /// Takes the item of the current line of `input`, and leaves a used one.
    fn push(&mut self, item: &mut T, input: &Input) {
        let (file, line) = input.place();
        if self.len == 0 {
            self.lines.clear();
            file.clone_into(&mut self.file);
        }
        if self.len == self.items.len() {
            self.items.push(T::default());
        }
        mem::swap(&mut self.items[self.len], item);
        self.lines.push(line);
        self.len += 1;
    }
}

/// The life of the thread ahead: until the input ends, or nobody wants any more of it.
fn read_ahead<R: Reader>(
    mut reader: R,
    full: &SyncSender<Batch<R::Item>>,
    empty: &Receiver<Batch<R::Item>>,
) -> R {
    let mut item = R::Item::default();
    let mut batch = Batch::default();
    let send = |batch: &mut Batch<R::Item>| {
        let next = empty.try_recv().unwrap_or_default();
        full.send(mem::replace(batch, next)).map_err(|_| Error::ClosedPipe)
    };
    let ended = loop {
        let file = reader.input().file_index();
        let read = reader.read(&mut item, |status| {
            batch.status = status;
            if batch.len > 0 { send(&mut batch) } else { Ok(()) }
        });
        if !matches!(read, Ok(true)) {
            break read.map(drop);
        }
        let complete = batch.len == BATCH || (batch.len > 0 && reader.input().file_index() != file);
        if complete && let Err(error) = send(&mut batch) {
            break Err(error);
        }
        batch.push(&mut item, reader.input());
    };
    let signal = matches!(ended, Err(Error::Signal(_)));
    batch.ended = Some(ended);
    if signal {
        hand_over(batch, full, empty);
    } else {
        send(&mut batch).ok();
    }
    reader
}

/// Hands over the last batch after a signal. Who takes no notice of it in time is stuck, as in
/// writing to a pipe that nobody reads: then the process ends here.
fn hand_over<T>(mut batch: Batch<T>, full: &SyncSender<Batch<T>>, empty: &Receiver<Batch<T>>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(TrySendError::Full(back)) = full.try_send(batch) {
        if Instant::now() > deadline {
            signals::give_up();
        }
        batch = back;
        thread::sleep(Duration::from_millis(10));
    }
    loop {
        match empty.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => signals::give_up(),
        }
    }
}
