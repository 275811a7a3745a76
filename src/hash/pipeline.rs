//! Reader, workers, writer.
//!
//! The calling thread reads lines and hands them out in batches; each batch carries the sender of its
//! reply, and the writer gets the receivers in the order of the batches. So the order of the output
//! is that of the input whoever is quicker, and no more is in flight than the two queues hold.

use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::decision::Decision;
use super::hashed::Hashed;
use super::options::HashOptions;
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::io::{Input, Status, signals};

/// Bytes of lines in a batch.
const BATCH: usize = 256 << 10;

/// Time that the writer has to finish after a signal.
const PATIENCE: Duration = Duration::from_secs(2);

/// What becomes of the requests, in the order of the input.
pub(super) trait Sink: Send {
    /// Nothing follows for a while.
    ///
    /// # Errors
    /// Those of writing.
    fn flush(&mut self) -> Result<()>;

    /// Takes the requests of a batch up to the first that it refuses; `from` is the first to take.
    ///
    /// # Errors
    /// Why that request is refused.
    fn write(&mut self, batch: &Batch, hashed: &Hashed, from: usize) -> Result<(), Refusal>;
}

/// Why a request is refused.
pub(super) enum Refusal {
    /// Its record is bad: this line of the batch, and why.
    Record(usize, String),
    /// The run is over.
    Run(Error),
}

/// Lines of one file, without their ends.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    pub(super) file: String,
}

pub(super) struct Line {
    range: Range<usize>,
    pub(super) number: u64,
    /// The same over all files.
    pub(super) total: u64,
}

impl Batch {
    fn push(&mut self, input: &Input) {
        let (file, number) = input.place();
        if self.lines.is_empty() {
            file.clone_into(&mut self.file);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(input.line());
        self.lines.push(Line { range: start..self.bytes.len(), number, total: input.lines_read() });
    }

    /// A line and its bytes.
    pub(super) fn line(&self, index: usize) -> (&Line, &[u8]) {
        let line = &self.lines[index];
        (line, &self.bytes[line.range.clone()])
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH
    }

    fn error(&self, line: usize, message: String) -> Error {
        Error::Data { file: self.file.clone(), line: self.lines[line].number, message }
    }
}

/// A batch and what became of it.
type Done = (Batch, Hashed);

/// A batch and where its result goes.
struct Job {
    number: u64,
    batch: Batch,
    reply: SyncSender<Done>,
}

/// How a run ended.
pub(super) struct Ended<S> {
    /// The writer, with all that was written.
    pub(super) writer: S,
    /// Success, or why the run is over.
    pub(super) result: Result<()>,
}

/// Bad records that were skipped: how many, and the first with its line over all files.
#[derive(Default)]
struct Skipped {
    count: u64,
    first: Option<(u64, Error)>,
}

/// Hashes all prompts of `input` with `workers` threads beside this one, and hands them to `writer`.
///
/// `idle` runs before every read from the system.
pub(super) fn hash_lines<S: Sink>(
    input: &mut Input,
    options: &HashOptions,
    workers: usize,
    writer: S,
    idle: impl FnMut(Status) -> Result<()>,
) -> Ended<S> {
    let skip = input.skips_invalid();
    let (jobs, jobs_out) = sync_channel::<Job>(workers);
    let (order, order_out) = sync_channel::<Receiver<Done>>(2 * workers + 1);
    let jobs_out = Mutex::new(jobs_out);
    let (report, ended) = sync_channel(1);
    let (hand, handed) = sync_channel(1);
    let decision = Arc::new(Decision::default());
    thread::scope(|scope| {
        // Dropped with what else the threads wait for, however this ends.
        let hand = hand;
        let writing = thread::Builder::new().spawn_scoped(scope, move || {
            let Ok(mut writer) = handed.recv() else { return };
            let mut skipped = Skipped::default();
            let result = write(&mut writer, &order_out, skip, &mut skipped);
            if result.is_err() {
                signals::stop_reading();
            }
            // The receiver waits for this.
            report.send((writer, skipped, result)).ok();
        });
        let worker = || work(|| Worker::new(options, workers, decision.clone()), &jobs_out, &decision, skip);
        let working = (0..workers).all(|_| thread::Builder::new().spawn_scoped(scope, worker).is_ok());
        if !working || writing.is_err() {
            return Ended { writer, result: Err(Error::no_thread()) };
        }
        // The thread waits for it.
        hand.send(writer).ok();
        let read = read(input, &jobs, &order, idle);
        drop((jobs, order));
        let (writer, skipped, written) = wait(&ended, &read);
        input.count_skipped(skipped.count, skipped.first);
        // What the writer found comes first: it is earlier in the input, or the cause of the other.
        Ended { writer, result: written.and(read) }
    })
}

/// The writer's report. After a signal it is not waited for without end: its reader may be stuck.
fn wait<S>(ended: &Receiver<(S, Skipped, Result<()>)>, read: &Result<()>) -> (S, Skipped, Result<()>) {
    let stuck = || -> ! { signals::give_up() };
    if matches!(read, Err(Error::Signal(_))) {
        return match ended.recv_timeout(PATIENCE) {
            Ok(report) => report,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => stuck(),
        };
    }
    loop {
        match ended.recv_timeout(PATIENCE) {
            Ok(report) => return report,
            // The input has ended, and a signal finds nobody else to notice it.
            Err(RecvTimeoutError::Timeout) if !matches!(signals::check(), Err(Error::Signal(_))) => {}
            Err(_) => stuck(),
        }
    }
}

/// Hands out the lines; ends without an error of its own when nobody takes them any more.
fn read(
    input: &mut Input,
    jobs: &SyncSender<Job>,
    order: &SyncSender<Receiver<Done>>,
    mut idle: impl FnMut(Status) -> Result<()>,
) -> Result<()> {
    let mut batch = Batch::default();
    let mut number = 0;
    let mut send = |batch: &mut Batch| -> Result<()> {
        if batch.lines.is_empty() {
            return Ok(());
        }
        let (reply, result) = sync_channel(1);
        let job = Job { number, batch: std::mem::take(batch), reply };
        number += 1;
        let sent = order.send(result).is_ok() && jobs.send(job).is_ok();
        if sent { Ok(()) } else { Err(Error::ClosedPipe) }
    };
    loop {
        let file = input.file_index();
        let more = input.advance(|status| {
            idle(status)?;
            send(&mut batch)
        });
        match more {
            Ok(true) => {
                if input.file_index() != file || batch.is_full() {
                    send(&mut batch)?;
                }
                batch.push(input);
            }
            Ok(false) => return send(&mut batch),
            Err(error) => {
                // The lines before a bad one come first.
                send(&mut batch)?;
                return Err(error);
            }
        }
    }
}

/// A worker's life. Its memory is made with its first job: a short input does not need all workers.
fn work(new: impl FnOnce() -> Worker, jobs: &Mutex<Receiver<Job>>, decision: &Decision, skip: bool) {
    let mut new = Some(new);
    let mut worker = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { number, batch, reply }) = job else { return };
        if let Some(new) = new.take() {
            worker = Some(new());
        }
        let Some(worker) = &mut worker else { return };
        let mut hashed = Hashed::default();
        worker.begin(number);
        for (index, line) in batch.lines.iter().enumerate() {
            worker.line(index, &batch.bytes[line.range.clone()], &mut hashed);
            if !skip && !hashed.rejected.is_empty() {
                break;
            }
        }
        decision.done(number);
        if reply.send((batch, hashed)).is_err() {
            // The run is over. Who waits to hand out one more job must not wait for ever.
            let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while next().is_ok() {}
            return;
        }
    }
}

/// Writes the batches in order; flushes whenever the next one is not there yet.
fn write(
    writer: &mut impl Sink,
    order: &Receiver<Receiver<Done>>,
    skip: bool,
    skipped: &mut Skipped,
) -> Result<()> {
    loop {
        let next = match order.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                writer.flush()?;
                let Ok(next) = order.recv() else { return Ok(()) };
                next
            }
        };
        // A batch without a reply is one whose worker has ended with the run.
        let Ok((batch, hashed)) = next.recv() else { return Ok(()) };
        write_batch(writer, &batch, &hashed, skip, skipped)?;
    }
}

fn write_batch(
    writer: &mut impl Sink,
    batch: &Batch,
    hashed: &Hashed,
    skip: bool,
    skipped: &mut Skipped,
) -> Result<()> {
    let mut refuse = |line: usize, message: String| {
        let error = batch.error(line, message);
        if !skip {
            return Err(error);
        }
        skipped.count += 1;
        let total = batch.lines[line].total;
        if skipped.first.as_ref().is_none_or(|&(first, _)| total < first) {
            skipped.first = Some((total, error));
        }
        Ok(())
    };
    let mut from = 0;
    while let Err(refusal) = writer.write(batch, hashed, from) {
        match refusal {
            Refusal::Run(error) => return Err(error),
            Refusal::Record(line, message) => {
                refuse(line, message)?;
                from = hashed.requests.partition_point(|request| request.line <= line);
            }
        }
    }
    hashed.rejected.iter().try_for_each(|(line, message)| refuse(*line, message.clone()))
}
