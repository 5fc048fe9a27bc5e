//! What the writer, the committer and the preparer share: the entries on their way, and where the
//! next one goes.
//!
//! Invariant: positions are given out under the queue's lock, in the order in which they are
//! written. A seal takes its position only while the queue is empty.
//!
//! All of it is behind mutexes, and each condition is changed under the mutex its waiters hold. The
//! one value read without is `durable`, which only the committer writes, only upwards, and which is
//! published with release and acquire after the sync. So there is no interleaving here for a model
//! checker to explore that the mutexes do not rule out.

use crate::Error;
use crate::appender::Entry;
use crate::format::{END_BYTES, FRAMES_START, HEADER_BYTES};
use base::Lsn;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: no invariant here spans a panic.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry with its place.
pub(crate) struct Pending {
    pub(crate) lsn: Lsn,
    pub(crate) segment: u32,
    pub(crate) position: u32,
    /// Length of the frame without padding.
    pub(crate) frame_bytes: u32,
    pub(crate) entry: Entry,
}

/// Where the next frame goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) segment: u32,
    pub(crate) position: u32,
    pub(crate) capacity: u32,
}

impl Tail {
    /// Whether a frame of an entry still fits here.
    pub(crate) fn fits(&self, padded_bytes: u64) -> bool {
        u64::from(self.position) + padded_bytes + u64::from(END_BYTES) <= u64::from(self.capacity)
    }

    /// Whether a seal still fits here.
    pub(crate) fn fits_seal(&self) -> bool {
        u64::from(self.position) + u64::from(END_BYTES) <= u64::from(self.capacity)
    }

    /// The beginning of the segment after this one.
    pub(crate) fn following(&self, capacity: u32) -> Tail {
        Tail { segment: self.segment + 1, position: FRAMES_START, capacity }
    }
}

pub(crate) struct Queue {
    pub(crate) pending: VecDeque<Pending>,
    /// Bytes appended and not yet durable.
    pub(crate) backlog_bytes: usize,
    pub(crate) tail: Tail,
    /// The last frame given out was no entry, so there is nothing to prove.
    pub(crate) sealed: bool,
    /// The appender is gone: what is queued is still committed.
    pub(crate) closed: bool,
    /// The committer is gone or has failed: nothing is committed any more.
    pub(crate) stopped: bool,
    /// Why the committer has to stop, until it has said so.
    pub(crate) failure: Option<Error>,
}

impl Queue {
    /// Takes the place of a seal frame.
    pub(crate) fn place_seal(&mut self) -> Option<u32> {
        self.sealed = true;
        if !self.tail.fits_seal() {
            return None;
        }
        let position = self.tail.position;
        self.tail.position += HEADER_BYTES;
        Some(position)
    }
}

/// Orders for the preparing thread.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) look: bool,
    pub(crate) stop: bool,
}

pub(crate) struct Shared {
    pub(crate) queue: Mutex<Queue>,
    /// Something was queued, or the queue was closed or has failed.
    pub(crate) queued: Condvar,
    /// The backlog went down, or the queue stopped.
    pub(crate) relieved: Condvar,
    durable: AtomicU64,
    /// Size of the last group: how the journal is being used.
    pub(crate) group_bytes: AtomicUsize,
    pub(crate) orders: Mutex<Orders>,
    pub(crate) ordered: Condvar,
}

impl Shared {
    pub(crate) fn new(tail: Tail, durable: Lsn) -> Shared {
        let queue = Queue {
            pending: VecDeque::new(),
            backlog_bytes: 0,
            tail,
            sealed: true,
            closed: false,
            stopped: false,
            failure: None,
        };
        Shared {
            queue: Mutex::new(queue),
            queued: Condvar::new(),
            relieved: Condvar::new(),
            durable: AtomicU64::new(durable.0),
            group_bytes: AtomicUsize::new(0),
            orders: Mutex::default(),
            ordered: Condvar::new(),
        }
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn set_durable(&self, lsn: Lsn) {
        self.durable.store(lsn.0, Ordering::Release);
    }

    /// Makes the committer's next call fail with `error`, unless something failed before.
    pub(crate) fn fail(&self, error: Error) {
        locked(&self.queue).fail(error);
        self.queued.notify_all();
        self.relieved.notify_all();
    }

    /// Has the preparing thread look for work, or end.
    pub(crate) fn order(&self, stop: bool) {
        let mut orders = locked(&self.orders);
        orders.look = true;
        orders.stop |= stop;
        self.ordered.notify_all();
    }
}

impl Queue {
    pub(crate) fn fail(&mut self, error: Error) {
        self.stopped = true;
        self.failure.get_or_insert(error);
    }
}
