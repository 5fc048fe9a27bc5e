//! Reads the records out of a batch, compressed or not.
//!
//! Invariants: what a batch unfolds to is bounded by the caller's limit before it is allocated;
//! counts and lengths are never trusted before the bytes are there; keys, values and header
//! values are slices of one buffer. Refused: varints that overflow, records that overlap or leave
//! bytes over, offsets that are not dense, header keys that are not UTF-8.

use crate::batch::{self, BatchHeader, Codec, HEADER_BYTES};
use crate::decompress;
use bytes::{Buf, Bytes};

/// Why records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("the batch is damaged: {0}")]
    Batch(Box<batch::Error>),
    #[error("cannot decompress: {0}")]
    Decompress(#[from] decompress::Error),
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    #[error("a variable-length number is too long")]
    Varint,
    #[error("the length of {0} is negative")]
    Negative(&'static str),
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    #[error("offset delta {got}, {want} expected")]
    OffsetDelta { got: i64, want: i64 },
    #[error("a header key is not UTF-8")]
    HeaderKey,
    #[error("codec {0} is unknown")]
    Codec(i16),
}

/// One record, as the producer meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// `None` is not empty.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In order; keys may repeat.
    pub headers: Vec<Header>,
}

/// A header of a record: its key, and a value that may be null.
pub type Header = (String, Option<Bytes>);

/// The records of one batch, in order. Ends after the first error.
#[derive(Debug)]
pub struct Records {
    area: Bytes,
    header: BatchHeader,
    base_offset: i64,
    next: i32,
}

impl Records {
    /// Opens a batch of the log. `base_offset` is where the batch lies, whatever its bytes say;
    /// `limit_bytes` bounds what the records may unfold to.
    pub fn open(batch: &Bytes, base_offset: i64, limit_bytes: usize) -> Result<Records, Error> {
        let header =
            BatchHeader::parse_frame(batch).map_err(|error| Error::Batch(Box::new(error)))?;
        let codec = header.codec().ok_or(Error::Codec(header.attributes))?;
        let area = batch.slice(HEADER_BYTES..);
        let area = match codec {
            Codec::None => area,
            codec => decompress::decompress(codec, &area, limit_bytes)?,
        };
        Ok(Records { area, header, base_offset, next: 0 })
    }

    fn read_next(&mut self) -> Result<Record, Error> {
        let record = RecordBytes::take(&mut self.area, self.next)?;
        let timestamp_ms = if self.header.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            self.header.base_timestamp_ms.wrapping_add(record.timestamp_delta)
        };
        let mut rest = record.rest;
        let key = nullable(&mut rest, "the key")?;
        let value = nullable(&mut rest, "the value")?;
        let headers = read_headers(&mut rest)?;
        if rest.has_remaining() {
            return Err(Error::LeftOver(rest.remaining()));
        }
        let offset = self.base_offset.saturating_add(i64::from(self.next));
        Ok(Record { offset, timestamp_ms, key, value, headers })
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.header.record_count {
            let left_over = self.area.remaining();
            self.area.clear();
            return (left_over > 0).then_some(Err(Error::LeftOver(left_over)));
        }
        let record = self.read_next();
        self.next += 1;
        if record.is_err() {
            self.next = self.header.record_count;
            self.area.clear();
        }
        Some(record)
    }
}

/// Checks the records of an uncompressed batch without building them. Gives the index of the
/// record at fault.
pub(crate) fn check_plain(mut area: Bytes, count: i32) -> Result<(), (i32, Error)> {
    for index in 0..count {
        check_record(&mut area, index).map_err(|error| (index, error))?;
    }
    match area.remaining() {
        0 => Ok(()),
        left => Err((count - 1, Error::LeftOver(left))),
    }
}

fn check_record(area: &mut Bytes, index: i32) -> Result<(), Error> {
    let mut rest = RecordBytes::take(area, index)?.rest;
    skip_nullable(&mut rest, "the key")?;
    skip_nullable(&mut rest, "the value")?;
    let headers = header_count(&mut rest)?;
    for _ in 0..headers {
        let key_bytes =
            length(&mut rest, "a header key")?.ok_or(Error::Negative("a header key"))?;
        if std::str::from_utf8(&rest[..key_bytes]).is_err() {
            return Err(Error::HeaderKey);
        }
        rest.advance(key_bytes);
        skip_nullable(&mut rest, "a header value")?;
    }
    match rest.remaining() {
        0 => Ok(()),
        left => Err(Error::LeftOver(left)),
    }
}

/// A record's own bytes, with what comes before the key taken off.
struct RecordBytes {
    timestamp_delta: i64,
    rest: Bytes,
}

impl RecordBytes {
    fn take(area: &mut Bytes, index: i32) -> Result<RecordBytes, Error> {
        let bytes = length(area, "a record")?.ok_or(Error::Negative("a record"))?;
        let mut rest = area.split_to(bytes);
        if !rest.has_remaining() {
            return Err(Error::Truncated("the attributes"));
        }
        rest.advance(1);
        let timestamp_delta = varlong(&mut rest)?;
        let (got, want) = (varint(&mut rest)?, i64::from(index));
        if got != want {
            return Err(Error::OffsetDelta { got, want });
        }
        Ok(RecordBytes { timestamp_delta, rest })
    }
}

fn read_headers(rest: &mut Bytes) -> Result<Vec<Header>, Error> {
    let count = header_count(rest)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = nullable(rest, "a header key")?.ok_or(Error::Negative("a header key"))?;
        let key = std::str::from_utf8(&key).map_err(|_| Error::HeaderKey)?.to_owned();
        headers.push((key, nullable(rest, "a header value")?));
    }
    Ok(headers)
}

/// The number of headers, at most as many as the bytes could hold (two bytes each).
fn header_count(rest: &mut Bytes) -> Result<usize, Error> {
    let count = usize::try_from(varint(rest)?).map_err(|_| Error::Negative("the header list"))?;
    if count > rest.remaining() / 2 {
        return Err(Error::Truncated("the header list"));
    }
    Ok(count)
}

fn nullable(rest: &mut Bytes, what: &'static str) -> Result<Option<Bytes>, Error> {
    Ok(length(rest, what)?.map(|bytes| rest.split_to(bytes)))
}

fn skip_nullable(rest: &mut Bytes, what: &'static str) -> Result<(), Error> {
    if let Some(bytes) = length(rest, what)? {
        rest.advance(bytes);
    }
    Ok(())
}

/// A length whose bytes are there; `None` for -1.
fn length(rest: &mut Bytes, what: &'static str) -> Result<Option<usize>, Error> {
    match varint(rest)? {
        -1 => Ok(None),
        announced => {
            let bytes = usize::try_from(announced).map_err(|_| Error::Negative(what))?;
            if bytes > rest.remaining() {
                return Err(Error::Truncated(what));
            }
            Ok(Some(bytes))
        }
    }
}

/// A zigzag varint of at most 32 bits.
fn varint(rest: &mut Bytes) -> Result<i64, Error> {
    let value = varlong(rest)?;
    if i32::try_from(value).is_err() {
        return Err(Error::Varint);
    }
    Ok(value)
}

/// A zigzag varint of at most 64 bits.
fn varlong(rest: &mut Bytes) -> Result<i64, Error> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        if !rest.has_remaining() {
            return Err(Error::Truncated("a number"));
        }
        let byte = rest.get_u8();
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Error::Varint);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(Error::Varint)
}
