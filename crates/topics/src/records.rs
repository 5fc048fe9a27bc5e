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
#[derive(Clone, Debug)]
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
        let mut rest = Cursor(&self.area);
        let bytes = rest.record()?;
        let after = self.area.len() - rest.0.len();
        let parts = Parts::read(bytes, self.next)?;
        let owned = |slice: Option<&[u8]>| slice.map(|it| self.area.slice_ref(it));
        let timestamp_ms = if self.header.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            self.header.base_timestamp_ms.wrapping_add(parts.timestamp_delta)
        };
        let (mut headers, mut left) = (Vec::new(), parts.headers);
        for _ in 0..parts.header_count {
            let (key, value) = left.header()?;
            headers.push((key.to_owned(), owned(value)));
        }
        left.end()?;
        let offset = self.base_offset.saturating_add(i64::from(self.next));
        let (key, value) = (owned(parts.key), owned(parts.value));
        self.area.advance(after);
        Ok(Record { offset, timestamp_ms, key, value, headers })
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.header.record_count {
            let left_over = self.area.len();
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
pub(crate) fn check_plain(area: &[u8], count: i32) -> Result<(), (i32, Error)> {
    let mut rest = Cursor(area);
    for index in 0..count {
        check_record(&mut rest, index).map_err(|error| (index, error))?;
    }
    rest.end().map_err(|error| (count - 1, error))
}

fn check_record(rest: &mut Cursor<'_>, index: i32) -> Result<(), Error> {
    let parts = Parts::read(rest.record()?, index)?;
    let mut headers = parts.headers;
    for _ in 0..parts.header_count {
        headers.header()?;
    }
    headers.end()
}

/// One record, as far as it can be read without allocating.
struct Parts<'a> {
    timestamp_delta: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// At most as many as the bytes could hold.
    header_count: usize,
    headers: Cursor<'a>,
}

impl<'a> Parts<'a> {
    fn read(mut record: Cursor<'a>, index: i32) -> Result<Parts<'a>, Error> {
        record.byte("the attributes")?;
        let timestamp_delta = record.varlong()?;
        let (got, want) = (record.varint()?, i64::from(index));
        if got != want {
            return Err(Error::OffsetDelta { got, want });
        }
        let key = record.nullable("the key")?;
        let value = record.nullable("the value")?;
        let header_count = record.header_count()?;
        Ok(Parts { timestamp_delta, key, value, header_count, headers: record })
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// The next record's own bytes.
    fn record(&mut self) -> Result<Cursor<'a>, Error> {
        self.nullable("a record")?.map(Cursor).ok_or(Error::Negative("a record"))
    }

    fn header(&mut self) -> Result<(&'a str, Option<&'a [u8]>), Error> {
        let key = self.nullable("a header key")?.ok_or(Error::Negative("a header key"))?;
        let key = std::str::from_utf8(key).map_err(|_| Error::HeaderKey)?;
        Ok((key, self.nullable("a header value")?))
    }

    /// A header takes two bytes at least.
    fn header_count(&mut self) -> Result<usize, Error> {
        let negative = |_| Error::Negative("the header list");
        let count = usize::try_from(self.varint()?).map_err(negative)?;
        if count > self.0.len() / 2 {
            return Err(Error::Truncated("the header list"));
        }
        Ok(count)
    }

    /// Bytes after their length; `None` for a length of -1.
    fn nullable(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, Error> {
        let announced = self.varint()?;
        if announced == -1 {
            return Ok(None);
        }
        let bytes = usize::try_from(announced).map_err(|_| Error::Negative(what))?;
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Error::Truncated(what))?;
        self.0 = rest;
        Ok(Some(taken))
    }

    /// A zigzag number of at most 32 bits.
    fn varint(&mut self) -> Result<i64, Error> {
        let value = self.varlong()?;
        i32::try_from(value).map(i64::from).map_err(|_| Error::Varint)
    }

    /// A zigzag number of at most 64 bits.
    fn varlong(&mut self) -> Result<i64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte("a number")?;
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

    fn byte(&mut self, what: &'static str) -> Result<u8, Error> {
        let (byte, rest) = self.0.split_first().ok_or(Error::Truncated(what))?;
        self.0 = rest;
        Ok(*byte)
    }

    fn end(&self) -> Result<(), Error> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(Error::LeftOver(left)),
        }
    }
}
