//! The records of a batch: checked as a whole first, then read one by one.

use crate::RawBatch;
use topics::{Record, Records};

/// Bit mask of the codec in a batch's attributes, and where they lie (batch format v2).
const CODEC_MASK: u8 = 0x07;
const ATTRIBUTES_LOW_BYTE: usize = 22;

/// Opens a batch and looks at each of its records. One bad record spoils the batch: what stands
/// beside it cannot be trusted to be what the producer meant.
///
/// The records are not kept: many small ones take far more memory than the bytes they come from.
pub(crate) fn open(batch: &RawBatch, limit_bytes: usize) -> Result<Records, String> {
    #[cfg(test)]
    opened::count_one();
    let open = || {
        let records = Records::open(&batch.bytes, batch.base_offset, limit_bytes)?;
        records.clone().try_for_each(|record| record.map(drop))?;
        Ok(records)
    };
    open().map_err(|error: topics::records::Error| error.to_string())
}

/// The next record of a batch that has been opened, and so has no bad ones.
pub(crate) fn next(records: &mut Records) -> Option<Record> {
    records.next()?.ok()
}

/// Whether opening the batch takes memory of its own.
pub(crate) fn is_compressed(batch: &RawBatch) -> bool {
    batch.bytes.get(ATTRIBUTES_LOW_BYTE).is_some_and(|attributes| attributes & CODEC_MASK != 0)
}

/// How often the tests of this thread have opened a batch.
#[cfg(test)]
pub(crate) mod opened {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_one() {
        COUNT.set(COUNT.get() + 1);
    }

    pub(crate) fn count() -> usize {
        COUNT.get()
    }
}
