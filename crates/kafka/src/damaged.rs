//! Batches that could not be read when their answer had begun.
//!
//! An answer that has begun cannot be shortened, so its connection is closed. Here the batch is
//! remembered, so that the next fetch ends before it, and one that begins at it is told: a client
//! gets what is still good and then an error, not the same broken answer for ever.

use base::BlobAddr;
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};
use topics::{BatchRef, ErrorCode};

/// Addresses remembered. More than one is rare, so many mean that the disk is gone.
const ADDRESSES_COUNT_MAX: usize = 10_000;

/// The batches known to be damaged, shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct Damaged(Mutex<HashSet<BlobAddr>>);

impl Damaged {
    /// Remembers a batch.
    pub(crate) fn remember(&self, batch: &BatchRef) {
        let mut damaged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < ADDRESSES_COUNT_MAX {
            damaged.insert(batch.address);
        }
    }

    /// Ends `batches` before the first damaged one; KAFKA_STORAGE_ERROR if that is the first.
    pub(crate) fn cut(&self, batches: &mut Vec<BatchRef>) -> Result<(), ErrorCode> {
        let damaged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.is_empty() {
            return Ok(());
        }
        match batches.iter().position(|batch| damaged.contains(&batch.address)) {
            None => Ok(()),
            Some(0) => Err(ErrorCode::KafkaStorageError),
            Some(first) => {
                batches.truncate(first);
                Ok(())
            }
        }
    }
}
