//! Makes an uncompressed record batch v2 from records: for `mainstay.publish` and dead letters.
//!
//! Invariants: timestamps and the order of headers are kept; what is built passes
//! [`BatchHeader::parse`] and reads back as the same records. Refused: a batch without records,
//! and one that would not fit Kafka's 32-bit lengths.

use crate::batch::{BatchHeader, CRC_COVER_START, HEADER_BYTES, LENGTH_PREFIX_BYTES};
use crate::records::Header;
use base::{Blob, hash};
use bytes::{BufMut, Bytes, BytesMut};

/// Why a batch cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No record was pushed.
    #[error("a batch needs a record")]
    Empty,
    /// A length does not fit into 32 bits.
    #[error("the batch would have {bytes} bytes, more than Kafka's format can hold")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
}

/// Collects records.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    area: BytesMut,
    count: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// Without records.
    pub fn new() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// Adds one record after the others.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
            self.max_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let mut record = BytesMut::new();
        record.put_u8(0);
        put_varlong(&mut record, timestamp_ms.wrapping_sub(self.base_timestamp_ms));
        put_varlong(&mut record, i64::from(self.count));
        put_nullable(&mut record, key);
        put_nullable(&mut record, value);
        put_length(&mut record, headers.len());
        for (key, value) in headers {
            put_nullable(&mut record, Some(key.as_bytes()));
            put_nullable(&mut record, value.as_deref());
        }
        put_length(&mut self.area, record.len());
        self.area.extend_from_slice(&record);
        self.count = self.count.saturating_add(1);
    }

    /// The batch, with its header as [`BatchHeader::parse`] would read it.
    pub fn build(self) -> Result<(BatchHeader, Blob), Error> {
        if self.count == 0 {
            return Err(Error::Empty);
        }
        let bytes = HEADER_BYTES + self.area.len();
        let length = i32::try_from(bytes).map_err(|_| Error::TooLarge { bytes })?;
        let header = BatchHeader {
            attributes: 0,
            last_offset_delta: self.count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: self.count,
        };
        Ok((header, Blob::new(encode(&header, length, &self.area))))
    }
}

fn encode(header: &BatchHeader, length: i32, area: &[u8]) -> Bytes {
    let mut cover = BytesMut::with_capacity(HEADER_BYTES - CRC_COVER_START + area.len());
    cover.put_i16(header.attributes);
    cover.put_i32(header.last_offset_delta);
    cover.put_i64(header.base_timestamp_ms);
    cover.put_i64(header.max_timestamp_ms);
    cover.put_i64(header.producer_id);
    cover.put_i16(header.producer_epoch);
    cover.put_i32(header.base_sequence);
    cover.put_i32(header.record_count);
    cover.extend_from_slice(area);
    let mut batch = BytesMut::with_capacity(CRC_COVER_START + cover.len());
    batch.put_i64(0);
    batch.put_i32(length - LENGTH_PREFIX_BYTES as i32);
    batch.put_i32(-1);
    batch.put_u8(2);
    batch.put_u32(hash::crc32c(&cover));
    batch.extend_from_slice(&cover);
    batch.freeze()
}

fn put_nullable(into: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(into, -1),
        Some(bytes) => {
            put_length(into, bytes.len());
            into.extend_from_slice(bytes);
        }
    }
}

/// A length that does not fit is caught by `build`, whose total is then too large as well.
fn put_length(into: &mut BytesMut, length: usize) {
    put_varlong(into, i64::try_from(length).unwrap_or(i64::MAX));
}

fn put_varlong(into: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.put_u8((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    into.put_u8(rest as u8);
}
