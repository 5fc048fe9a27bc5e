//! One waiting fetch: woken once, when the bytes it wants are there.
//!
//! A fetch of many partitions is one waiter that hangs in each of them; every published batch
//! lowers the number of bytes it still misses. So ten thousand batches wake it once, and a batch
//! costs a fetch nothing but a subtraction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// A fetch that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    missing_bytes: AtomicI64,
    woken: Notify,
}

impl Waiter {
    pub(crate) fn new(min_bytes: u64) -> Waiter {
        let missing = i64::try_from(min_bytes).unwrap_or(i64::MAX);
        Waiter { missing_bytes: AtomicI64::new(missing), woken: Notify::new() }
    }

    /// So many bytes more are there.
    pub(crate) fn gain(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.missing_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before > 0 && before <= bytes {
            self.woken.notify_one();
        }
    }

    /// Something else has happened that the fetch must look at.
    pub(crate) fn wake(&self) {
        self.missing_bytes.store(0, Ordering::Release);
        self.woken.notify_one();
    }

    pub(crate) fn is_satisfied(&self) -> bool {
        self.missing_bytes.load(Ordering::Acquire) <= 0
    }

    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// The waiters of one partition, woken in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiters(BTreeMap<u64, Arc<Waiter>>);

impl Waiters {
    pub(crate) fn insert(&mut self, id: u64, waiter: Arc<Waiter>) {
        self.0.insert(id, waiter);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// A batch of so many bytes was published.
    pub(crate) fn gain(&self, bytes: u64) {
        self.0.values().for_each(|waiter| waiter.gain(bytes));
    }

    pub(crate) fn wake_all(&self) {
        self.0.values().for_each(|waiter| waiter.wake());
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}
