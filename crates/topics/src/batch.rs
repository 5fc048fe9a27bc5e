//! Kafka's record batch v2: the header, checked, and where a batch lies in the log.

use base::{BlobAddr, PartitionId};

/// The fields of a v2 batch header that decide anything (`reference`: KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Attributes: codec in bits 0-2, timestamp type 3, transactional 4, control 5.
    pub attributes: i16,
    /// Offset of the last record relative to the first.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, ms.
    pub base_timestamp_ms: i64,
    /// Largest timestamp, ms.
    pub max_timestamp_ms: i64,
    /// -1 if not idempotent.
    pub producer_id: i64,
    /// -1 if not idempotent.
    pub producer_epoch: i16,
    /// -1 if not idempotent.
    pub base_sequence: i32,
    /// Records.
    pub record_count: i32,
}

/// A batch that has its place in the log and can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRef {
    /// Where it belongs.
    pub partition: PartitionId,
    /// Offset of its first record. The stored bytes carry what the producer sent (0); the base
    /// offset and leader epoch are patched in when the batch is served.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Largest timestamp, ms.
    pub max_timestamp_ms: i64,
    /// The bytes.
    pub address: BlobAddr,
}
