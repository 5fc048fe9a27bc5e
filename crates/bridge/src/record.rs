//! The records of a batch, decoded whole.

use crate::RawBatch;
use topics::{Record, Records};

/// All records of a batch, or why it cannot be decoded. One bad record spoils the batch: what
/// stands beside it cannot be trusted to be what the producer meant.
pub(crate) fn decode(batch: &RawBatch, limit_bytes: usize) -> Result<Vec<Record>, String> {
    Records::open(&batch.bytes, batch.base_offset, limit_bytes)
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())
}
