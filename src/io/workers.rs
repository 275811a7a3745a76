//! Threads that do jobs, whose results are taken in the order of the jobs.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::guarded;

/// A few threads, and the jobs that are under way.
pub(crate) struct Workers<J, R> {
    jobs: SyncSender<(J, SyncSender<R>)>,
    /// Where the results of jobs will come from, in order.
    waiting: VecDeque<Receiver<R>>,
    threads: usize,
    /// What is said of a thread that has failed.
    failure: &'static str,
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// So many threads of this name; `new` makes what each of them does with a job. They end with the last job.
    ///
    /// # Errors
    /// Those of `new`, and when the system refuses a thread.
    pub(crate) fn start<W: FnMut(J) -> R + Send + 'static>(
        name: &str,
        threads: usize,
        failure: &'static str,
        mut new: impl FnMut() -> io::Result<W>,
    ) -> io::Result<Self> {
        let (jobs, taken) = sync_channel::<(J, SyncSender<R>)>(threads);
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..threads {
            let (taken, mut work) = (Arc::clone(&taken), new()?);
            let serve = move || {
                let next = || taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((job, reply)) = next() {
                    let Some(result) = guarded(|| work(job)) else { return };
                    reply.send(result).ok();
                }
            };
            thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(serve)?;
        }
        Ok(Self { jobs, waiting: VecDeque::new(), threads, failure })
    }

    /// Hands out a job, which may wait until a thread has time for it.
    ///
    /// # Errors
    /// When all threads have failed.
    pub(crate) fn send(&mut self, job: J) -> io::Result<()> {
        let (reply, result) = sync_channel(1);
        self.waiting.push_back(result);
        self.jobs.send((job, reply)).map_err(|_| io::Error::other(self.failure))
    }

    /// The result of the next job, if more are under way than keep the threads busy, or any is and `all` are wanted.
    pub(crate) fn take(&mut self, all: bool) -> Option<io::Result<R>> {
        let most = if all { 0 } else { self.threads + 1 };
        let next = if self.waiting.len() > most { self.waiting.pop_front() } else { None };
        next.map(|next| next.recv().map_err(|_| io::Error::other(self.failure)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn workers(threads: usize) -> Workers<u64, u64> {
        let work = |job: u64| {
            thread::sleep(Duration::from_micros(job * 7919 % 300));
            assert!(job != 500, "planted");
            2 * job
        };
        Workers::start("test", threads, "they failed", || Ok(work)).unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        for threads in [1, 2, 5] {
            let mut workers = workers(threads);
            let mut results = Vec::new();
            for job in 0..200 {
                workers.send(job).unwrap();
                results.extend(workers.take(false).map(Result::unwrap));
                assert!(job as usize - results.len() <= threads + 1);
            }
            while let Some(result) = workers.take(true) {
                results.push(result.unwrap());
            }
            assert!(results.into_iter().eq((0..200).map(|job| 2 * job)));
        }
    }

    #[test]
    fn a_thread_that_fails_ends_the_work() {
        let mut workers = workers(2);
        let mut failed = None;
        for job in 490..520 {
            failed = failed.or(workers.send(job).err()).or_else(|| workers.take(false)?.err());
        }
        while let Some(result) = workers.take(true) {
            failed = failed.or(result.err());
        }
        assert_eq!(failed.unwrap().to_string(), "they failed");
    }
}
