//! A value that many wait for, who are woken in the order in which they came: tokio's `watch`
//! wakes in an order of its own, which no seed decides.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A value and those who wait for it. Clones share it.
#[derive(Debug)]
pub struct Bell<T>(Arc<(Mutex<T>, Notify)>);

impl<T> Clone for Bell<T> {
    fn clone(&self) -> Bell<T> {
        Bell(Arc::clone(&self.0))
    }
}

impl<T: Copy> Bell<T> {
    /// With a first value.
    pub fn new(value: T) -> Bell<T> {
        Bell(Arc::new((Mutex::new(value), Notify::new())))
    }

    /// The value now.
    pub fn get(&self) -> T {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it.
    pub fn set(&self, value: T) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        self.0.1.notify_waiters();
    }

    /// Waits until it is as wanted.
    pub async fn until(&self, wanted: impl Fn(T) -> bool) {
        loop {
            let changed = self.0.1.notified();
            if wanted(self.get()) {
                return;
            }
            changed.await;
        }
    }
}
