//! One partition as its readers see it: where each durable batch lies.

use crate::fetch_waiter::Waiters;
use base::{BlobAddr, PartitionId};
use topics::BatchRef;

/// Batches by offset, and who waits for more.
#[derive(Debug, Default)]
pub(crate) struct PublishedPartition {
    batches: Vec<Placed>,
    pub(crate) waiters: Waiters,
}

/// A batch, without what all batches of the partition share.
#[derive(Clone, Copy, Debug)]
struct Placed {
    base_offset: i64,
    last_offset: i64,
    max_timestamp_ms: i64,
    /// The largest timestamp up to and including this batch: never falls, so it can be searched.
    max_timestamp_so_far_ms: i64,
    /// Bytes of all batches up to and including this one.
    end_bytes: u64,
    address: BlobAddr,
}

impl PublishedPartition {
    /// Adds a batch at the end. One that is there already is not added again.
    pub(crate) fn publish(&mut self, batch: &BatchRef) {
        if batch.base_offset < self.high_watermark() {
            return;
        }
        let last = self.batches.last();
        let so_far = last.map_or(i64::MIN, |last| last.max_timestamp_so_far_ms);
        let bytes = u64::from(batch.address.length);
        let end_bytes = last.map_or(0, |last| last.end_bytes) + bytes;
        self.batches.push(Placed {
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            max_timestamp_ms: batch.max_timestamp_ms,
            max_timestamp_so_far_ms: so_far.max(batch.max_timestamp_ms),
            end_bytes,
            address: batch.address,
        });
        self.waiters.gain(bytes);
    }

    /// Offset after the last readable record.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.batches.last().map_or(0, |last| last.last_offset + 1)
    }

    /// First offset that can be read. Nothing is ever deleted yet, so it is 0.
    pub(crate) fn log_start_offset(&self) -> i64 {
        self.batches.first().map_or(0, |first| first.base_offset)
    }

    /// Bytes of all batches from the one that holds `offset`.
    pub(crate) fn bytes_from(&self, offset: i64) -> u64 {
        let total = self.batches.last().map_or(0, |last| last.end_bytes);
        let first = self.index_of(offset);
        let before = first.checked_sub(1).and_then(|index| self.batches.get(index));
        total - before.map_or(0, |before| before.end_bytes)
    }

    /// The batch that holds `offset` and those after it, up to `max_bytes`, but at least one.
    pub(crate) fn batches_from(
        &self,
        id: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Vec<BatchRef> {
        let mut left = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let mut found = Vec::new();
        for placed in self.batches.get(self.index_of(offset)..).unwrap_or_default() {
            let bytes = u64::from(placed.address.length);
            if bytes > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            found.push(placed.batch(id));
        }
        found
    }

    /// The first batch that may hold a record with this timestamp or a later one.
    pub(crate) fn batch_for_timestamp(
        &self,
        id: PartitionId,
        timestamp_ms: i64,
    ) -> Option<BatchRef> {
        let index =
            self.batches.partition_point(|placed| placed.max_timestamp_so_far_ms < timestamp_ms);
        self.batches.get(index).map(|placed| placed.batch(id))
    }

    /// The first batch that holds the largest timestamp.
    pub(crate) fn batch_with_max_timestamp(&self, id: PartitionId) -> Option<BatchRef> {
        self.batch_for_timestamp(id, self.batches.last()?.max_timestamp_so_far_ms)
    }

    fn index_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|placed| placed.last_offset < offset)
    }
}

impl Placed {
    fn batch(&self, partition: PartitionId) -> BatchRef {
        BatchRef {
            partition,
            base_offset: self.base_offset,
            last_offset: self.last_offset,
            max_timestamp_ms: self.max_timestamp_ms,
            address: self.address,
        }
    }
}
