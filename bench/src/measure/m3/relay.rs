//! The prototypes: a request is handed on, written, synced and answered, by one of three sets of
//! threads. What they hand on is as small as it can be; what they wait with is what is compared.

use super::super::files::{Aligned, BLOCK_BYTES};
use super::stage::Marks;
use anyhow::{Context, Result, anyhow};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// No group has more entries; whole blocks are written.
const GROUP_ENTRIES_MAX: usize = 1024;

/// Which thread does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A writer and a committer, as in the node.
    Threads,
    /// Callers do the writer's work under its lock; there is a committer.
    Combined,
    /// The first caller commits for all who come meanwhile; there is no thread.
    Led,
}

/// A prototype. Ends its threads when dropped.
pub(crate) struct Relay {
    ends: Ends,
    stops: Arc<Stops>,
    threads: Vec<JoinHandle<()>>,
}

struct Stops {
    to_writer: Stop,
    to_committer: Stop,
    /// The machines, in flat combining.
    writer: Mutex<()>,
    /// Somebody leads.
    led: AtomicBool,
    log: Mutex<Log>,
}

/// A request, and who waits for its answer.
struct Request {
    marks: Marks,
    answer: oneshot::Sender<Marks>,
}

impl Relay {
    /// Starts its threads. Entries go round and round in `room_bytes` of `file`.
    pub(crate) fn start(
        file: File,
        entry_bytes: usize,
        room_bytes: u64,
        ends: Ends,
        spin: Duration,
    ) -> Result<Relay> {
        let log = Log {
            file,
            group: Aligned::noise(GROUP_ENTRIES_MAX * entry_bytes),
            entry_bytes,
            room_bytes,
            position: 0,
        };
        let stops = Arc::new(Stops {
            to_writer: Stop::new(spin),
            to_committer: Stop::new(spin),
            writer: Mutex::new(()),
            led: AtomicBool::new(false),
            log: Mutex::new(log),
        });
        let mut relay = Relay { ends, stops, threads: Vec::new() };
        if ends == Ends::Threads {
            relay.spawn("relay-writer", |stops| {
                while let Some(requests) = stops.to_writer.take_all() {
                    stops.decide(requests);
                }
                stops.to_committer.close();
            })?;
        }
        if ends != Ends::Led {
            relay.spawn("relay-committer", |stops| {
                while let Some(requests) = stops.to_committer.take_all() {
                    stops.commit(requests);
                }
            })?;
        }
        Ok(relay)
    }

    fn spawn(&mut self, name: &str, run: fn(&Stops)) -> Result<()> {
        let stops = Arc::clone(&self.stops);
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&stops))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&self) -> Result<Marks> {
        let (answer, answered) = oneshot::channel();
        let request = Request { marks: Marks::asked_now(), answer };
        match self.ends {
            Ends::Threads => self.stops.to_writer.push([request]),
            Ends::Combined => {
                let _writing = locked(&self.stops.writer);
                self.stops.decide([request]);
            }
            Ends::Led => {
                self.stops.to_committer.push([request]);
                self.stops.lead();
            }
        }
        let mut marks = answered.await.context("a prototype has failed")?;
        marks.answered = Instant::now();
        Ok(marks)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        match self.ends {
            Ends::Threads => self.stops.to_writer.close(),
            Ends::Combined | Ends::Led => self.stops.to_committer.close(),
        }
        for thread in self.threads.drain(..) {
            if let Err(_panic) = thread.join() {
                crate::cli::say("m3: a thread of a prototype has panicked\n");
            }
        }
    }
}

impl Stops {
    /// The writer's work.
    fn decide(&self, requests: impl IntoIterator<Item = Request>) {
        let now = Instant::now();
        self.to_committer.push(requests.into_iter().map(|mut request| {
            request.marks.with_writer = Some(now);
            request
        }));
    }

    /// The committer's work. Requests that cannot be written get no answer.
    fn commit(&self, requests: VecDeque<Request>) {
        match locked(&self.log).write(requests.len()) {
            Ok(times) => requests.into_iter().for_each(|Request { marks, answer }| {
                let Marks { write_begin, sync_begin, sync_end, .. } = times;
                // Who went away does not want it.
                let _ = answer.send(Marks { write_begin, sync_begin, sync_end, ..marks });
            }),
            Err(error) => crate::cli::say(&format!("m3: {error:#}\n")),
        }
    }

    /// Commits for all who have come, unless somebody else does it already.
    fn lead(&self) {
        while self.to_committer.has_some() && !self.led.swap(true, Ordering::AcqRel) {
            tokio::task::block_in_place(|| {
                while let Some(requests) = self.to_committer.take_now() {
                    self.commit(requests);
                }
            });
            self.led.store(false, Ordering::Release);
        }
    }
}

/// Where requests wait for a thread.
struct Stop {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Tells a spinning thread, without the lock, that there is something.
    filled: AtomicBool,
    spin: Duration,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    sleeping: bool,
    closed: bool,
}

impl Stop {
    fn new(spin: Duration) -> Stop {
        let (waiting, wake) = (Mutex::default(), Condvar::new());
        Stop { waiting, wake, filled: AtomicBool::new(false), spin }
    }

    fn push(&self, requests: impl IntoIterator<Item = Request>) {
        let mut waiting = locked(&self.waiting);
        waiting.requests.extend(requests);
        self.rouse(waiting);
    }

    fn close(&self) {
        let mut waiting = locked(&self.waiting);
        waiting.closed = true;
        self.rouse(waiting);
    }

    fn rouse(&self, waiting: MutexGuard<'_, Waiting>) {
        self.filled.store(true, Ordering::Release);
        let sleeping = waiting.sleeping;
        drop(waiting);
        if sleeping {
            self.wake.notify_one();
        }
    }

    fn has_some(&self) -> bool {
        !locked(&self.waiting).requests.is_empty()
    }

    fn take_now(&self) -> Option<VecDeque<Request>> {
        let requests = std::mem::take(&mut locked(&self.waiting).requests);
        (!requests.is_empty()).then_some(requests)
    }

    /// Waits for requests: spins at first, then sleeps. `None` once it is closed and empty.
    fn take_all(&self) -> Option<VecDeque<Request>> {
        let begin = Instant::now();
        while !self.filled.load(Ordering::Acquire) && begin.elapsed() < self.spin {
            std::hint::spin_loop();
        }
        let mut waiting = locked(&self.waiting);
        loop {
            if !waiting.requests.is_empty() {
                self.filled.store(false, Ordering::Release);
                return Some(std::mem::take(&mut waiting.requests));
            }
            if waiting.closed {
                return None;
            }
            waiting.sleeping = true;
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.sleeping = false;
        }
    }
}

/// The file, and where the next group goes.
struct Log {
    file: File,
    entry_bytes: usize,
    /// The largest group.
    group: Aligned,
    room_bytes: u64,
    position: u64,
}

impl Log {
    fn write(&mut self, entries: usize) -> Result<Marks> {
        let bytes = (entries * self.entry_bytes).next_multiple_of(BLOCK_BYTES);
        let group = self.group.get(..bytes).ok_or_else(|| anyhow!("too many entries at once"))?;
        if self.position + bytes as u64 > self.room_bytes {
            self.position = 0;
        }
        let mut marks = Marks::asked_now();
        marks.write(&self.file, group, self.position)?;
        self.position += bytes as u64;
        Ok(marks)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
