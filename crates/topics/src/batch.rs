//! Kafka's record batch v2: the header, checked, and where a batch lies in the log.
//!
//! ```text
//! offset length
//!      0      8 base offset            rewritten when served, outside the CRC
//!      8      4 batch length           bytes after this field
//!     12      4 partition leader epoch rewritten when served, outside the CRC
//!     16      1 magic                  2
//!     17      4 CRC-32C                of the bytes 21..end
//!     21      2 attributes             codec 0-2, timestamp type 3, transactional 4, control 5
//!     23      4 last offset delta
//!     27      8 base timestamp, ms
//!     35      8 max timestamp, ms
//!     43      8 producer id
//!     51      2 producer epoch
//!     53      4 base sequence
//!     57      4 record count
//!     61        records, compressed as one area
//! ```
//!
//! Refused: anything but exactly one batch, other magics, a wrong CRC, counts that do not agree,
//! control and transactional batches, and records of an uncompressed batch that do not fill it.

use crate::{ErrorCode, records};
use base::{BlobAddr, PartitionId, hash};
use bytes::{Buf, Bytes};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Where the CRC's cover begins.
pub(crate) const CRC_COVER_START: usize = 21;
/// Bytes before those that `batch length` counts.
pub(crate) const LENGTH_PREFIX_BYTES: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// Why bytes are not a batch that may be appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("{got} bytes are too few for a record batch")]
    TooShort { got: usize },
    #[error("magic {got} is not supported, only record batches v2 are")]
    Magic { got: u8 },
    #[error("the batch announces {announced} bytes, but {got} are there; exactly one is expected")]
    Length { announced: i64, got: usize },
    #[error("the CRC is {got:#010x}, the batch says {announced:#010x}")]
    Crc { announced: u32, got: u32 },
    #[error("codec {got} is unknown")]
    Codec { got: i16 },
    #[error("{count} records do not agree with a last offset delta of {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    #[error("clients may not write control batches")]
    Control,
    #[error("transactions are not supported")]
    Transactional,
    #[error("producer id {id}, epoch {epoch} and base sequence {sequence} do not agree")]
    Producer { id: i64, epoch: i16, sequence: i32 },
    #[error("record {index}: {source}")]
    Record { index: i32, source: records::Error },
}

impl Error {
    /// What Kafka answers.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::TooShort { .. } | Error::Crc { .. } => ErrorCode::CorruptMessage,
            Error::Codec { .. } => ErrorCode::UnsupportedCompressionType,
            Error::Transactional => ErrorCode::TransactionalIdAuthorizationFailed,
            Error::Magic { .. }
            | Error::Length { .. }
            | Error::Count { .. }
            | Error::Control
            | Error::Producer { .. }
            | Error::Record { .. } => ErrorCode::InvalidRecord,
        }
    }
}

/// How the records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the codecs' own names")]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

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

impl BatchHeader {
    /// The header of the one batch that `batch` must be, after every check a client's batch has
    /// to pass. Reads all bytes once for the CRC, and an uncompressed batch's records once more.
    pub fn parse(batch: &Bytes) -> Result<BatchHeader, Error> {
        let header = BatchHeader::parse_frame(batch)?;
        header.check_fields()?;
        if header.codec() == Some(Codec::None) {
            records::check_plain(&batch[HEADER_BYTES..], header.record_count)
                .map_err(|(index, source)| Error::Record { index, source })?;
        }
        Ok(header)
    }

    /// Length, magic and CRC only: what must hold for any batch of the log.
    pub(crate) fn parse_frame(batch: &Bytes) -> Result<BatchHeader, Error> {
        let got = batch.len();
        // The magic stands at the same place in every format, so an old one is named as such.
        if let Some(&magic) = batch.get(MAGIC_AT)
            && magic != 2
        {
            return Err(Error::Magic { got: magic });
        }
        if got < HEADER_BYTES {
            return Err(Error::TooShort { got });
        }
        let announced = i64::from(batch.slice(8..LENGTH_PREFIX_BYTES).get_i32());
        if usize::try_from(announced).ok() != Some(got - LENGTH_PREFIX_BYTES) {
            return Err(Error::Length { announced, got: got - LENGTH_PREFIX_BYTES });
        }
        let announced = batch.slice(CRC_AT..CRC_COVER_START).get_u32();
        let computed = hash::crc32c(&batch[CRC_COVER_START..]);
        if announced != computed {
            return Err(Error::Crc { announced, got: computed });
        }
        Ok(BatchHeader::read(batch.slice(CRC_COVER_START..HEADER_BYTES)))
    }

    fn read(mut fields: Bytes) -> BatchHeader {
        BatchHeader {
            attributes: fields.get_i16(),
            last_offset_delta: fields.get_i32(),
            base_timestamp_ms: fields.get_i64(),
            max_timestamp_ms: fields.get_i64(),
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            base_sequence: fields.get_i32(),
            record_count: fields.get_i32(),
        }
    }

    fn check_fields(&self) -> Result<(), Error> {
        let (count, last_offset_delta) = (self.record_count, self.last_offset_delta);
        if count <= 0 || last_offset_delta < 0 || count - 1 != last_offset_delta {
            return Err(Error::Count { count, last_offset_delta });
        }
        if self.attributes & CONTROL_BIT != 0 {
            return Err(Error::Control);
        }
        if self.attributes & TRANSACTIONAL_BIT != 0 {
            return Err(Error::Transactional);
        }
        if self.codec().is_none() {
            return Err(Error::Codec { got: self.attributes & CODEC_MASK });
        }
        let (id, epoch, sequence) = (self.producer_id, self.producer_epoch, self.base_sequence);
        if id < -1 || (id >= 0 && (epoch < 0 || sequence < 0)) {
            return Err(Error::Producer { id, epoch, sequence });
        }
        Ok(())
    }

    /// `None` if the number is not a codec.
    pub fn codec(&self) -> Option<Codec> {
        match self.attributes & CODEC_MASK {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whether every record has the batch's max timestamp instead of its own.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch takes part in the producer's window.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record; wraps from 2^31-1 to 0 as Kafka's does.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// Writes into a stored batch what a reader must find there. Outside the batch's CRC.
pub fn place(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    if batch.len() >= HEADER_BYTES {
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        batch[LENGTH_PREFIX_BYTES..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
    }
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
