//! Answers and publications that wait until what they depend on is on disk.
//!
//! Invariants: nothing leaves before `durable >= after`; everything leaves in the order in which
//! it was decided; the publications of an entry leave before its answers, so that who is told of
//! an offset can fetch it.
//!
//! Two threads release: the committer after each group, and the writer when what it has just held
//! waits for nothing (a read on an idle node). Whoever comes second leaves the work to the first,
//! which looks again before it ends: order is kept without a lock around the delivery.

use crate::error::Error;
use crate::inbox::Slot;
use base::planted::{self, Bug};
use base::{BlobAddr, Lsn};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What may leave once `after` is durable.
pub(crate) struct Release<R, P> {
    /// The journal's tip when it was decided, including its own entry.
    pub(crate) after: Lsn,
    /// Bytes of its own entry; 0 if it has none.
    pub(crate) entry_bytes: usize,
    /// The entry's blobs, for readers who come at once.
    pub(crate) blobs: Vec<(BlobAddr, Bytes)>,
    /// What readers of the log see from now on.
    pub(crate) publications: Vec<P>,
    /// What callers get.
    pub(crate) answers: Vec<Answer<R>>,
}

/// An answer, and where it goes.
pub(crate) type Answer<R> = (Box<dyn Slot<R>>, Result<R, Error>);

/// The published side: takes what has become durable, in order.
pub(crate) trait Published<P>: Send + Sync {
    /// New bytes, and what they mean.
    fn publish(&self, blobs: Vec<(BlobAddr, Bytes)>, publications: Vec<P>);
}

/// The queue between the writer and the committer.
pub(crate) struct Held<R, P> {
    state: Mutex<State<R, P>>,
    published: Box<dyn Published<P>>,
    /// Bytes appended and not yet synced: the writer's measure of how far the disk is behind.
    unsynced_bytes: AtomicUsize,
    /// Never release what comes after this, however durable: a crash point of a test.
    last_released: Lsn,
}

struct State<R, P> {
    waiting: VecDeque<Release<R, P>>,
    /// Empty, and as large as the last group: so that no queue has to grow from nothing again.
    spare: VecDeque<Release<R, P>>,
    durable: Lsn,
    releasing: bool,
}

impl<R, P> Held<R, P> {
    /// Nothing is held; everything up to `durable` is on disk.
    pub(crate) fn new(
        durable: Lsn,
        published: Box<dyn Published<P>>,
        last_released: Lsn,
    ) -> Held<R, P> {
        let (waiting, spare) = Default::default();
        let state = State { waiting, spare, durable, releasing: false };
        Held {
            state: Mutex::new(state),
            published,
            unsynced_bytes: AtomicUsize::new(0),
            last_released,
        }
    }

    /// Holds `release`, behind all that is held already.
    pub(crate) fn hold(&self, mut release: Release<R, P>) {
        // Planted: readers need not wait, only producers.
        if planted::is(Bug::ReadBeforeDurable) {
            let (blobs, publications) = (&mut release.blobs, &mut release.publications);
            self.published.publish(std::mem::take(blobs), std::mem::take(publications));
        }
        self.unsynced_bytes.fetch_add(release.entry_bytes, Ordering::Relaxed);
        self.lock().waiting.push_back(release);
    }

    /// Bytes that wait for the disk.
    pub(crate) fn unsynced_bytes(&self) -> usize {
        self.unsynced_bytes.load(Ordering::Relaxed)
    }

    /// Everything up to `durable` is on disk: lets go of what waited for it.
    pub(crate) fn release(&self, durable: Lsn) {
        let mut state = self.lock();
        state.durable = state.durable.max(durable.min(self.last_released));
        if state.releasing {
            return;
        }
        state.releasing = true;
        loop {
            let mut ready = state.take_ready();
            if ready.is_empty() {
                state.releasing = false;
                return;
            }
            drop(state);
            ready.drain(..).for_each(|release| self.let_go(release));
            state = self.lock();
            state.spare = ready;
        }
    }

    fn let_go(&self, release: Release<R, P>) {
        self.unsynced_bytes.fetch_sub(release.entry_bytes, Ordering::Relaxed);
        // Planted: producers first.
        let mut release = release;
        if planted::is(Bug::AnswerBeforePublication) {
            for (slot, answer) in std::mem::take(&mut release.answers) {
                slot.answer(answer);
            }
        }
        if !release.blobs.is_empty() || !release.publications.is_empty() {
            self.published.publish(release.blobs, release.publications);
        }
        for (slot, answer) in release.answers {
            slot.answer(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R, P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R, P> State<R, P> {
    fn take_ready(&mut self) -> VecDeque<Release<R, P>> {
        let count = self.waiting.partition_point(|release| release.after <= self.durable);
        if count == self.waiting.len() {
            let spare = std::mem::take(&mut self.spare);
            return std::mem::replace(&mut self.waiting, spare);
        }
        self.waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What has left, in order.
    #[derive(Clone, Default)]
    struct Left(Arc<Mutex<Vec<String>>>);

    impl Left {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Published<u64> for Left {
        fn publish(&self, _: Vec<(BlobAddr, Bytes)>, publications: Vec<u64>) {
            publications.into_iter().for_each(|it| self.note(format!("published {it}")));
        }
    }

    impl Slot<u64> for Left {
        fn abandoned(&self) -> bool {
            false
        }

        fn answer(self: Box<Self>, answer: Result<u64, Error>) {
            self.note(format!("answered {}", answer.unwrap()));
        }
    }

    #[test]
    fn who_is_told_of_a_record_can_read_it() {
        let left = Left::default();
        let held = Held::new(Lsn(0), Box::new(left.clone()), Lsn(u64::MAX));
        for number in 1..=2 {
            held.hold(Release {
                after: Lsn(number),
                entry_bytes: 1,
                blobs: Vec::new(),
                publications: vec![number],
                answers: vec![(Box::new(left.clone()), Ok(number))],
            });
        }
        held.release(Lsn(1));
        held.release(Lsn(2));
        let wanted = ["published 1", "answered 1", "published 2", "answered 2"];
        assert_eq!(*left.0.lock().unwrap(), wanted, "readers come first");
    }
}
