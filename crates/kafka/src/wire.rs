//! Kafka's primitive types, read and written.
//!
//! A [`Reader`] knows whether its message is in a flexible version, so that an API is written
//! once for all its versions. Invariants: a length or count is checked against the bytes that
//! remain before anything is allocated from it, and a request has a budget of array elements, so
//! that a frame cannot become a multiple of its own size in memory. Strings are at most 32,767
//! bytes, as in Kafka itself, in flexible versions too.

use base::Uuid;
use base::planted::{self, Bug};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use topics::BatchRef;

/// Elements of all arrays of one request together.
const ELEMENTS_COUNT_MAX: usize = 1 << 18;
/// Bytes of one string.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes of one answer, records apart.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Why bytes are not the message they claim to be. Closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The message ends too early, or a length is larger than what is left.
    #[error("the message ends before its fields do")]
    Short,
    /// A length below -1.
    #[error("a negative length")]
    NegativeLength,
    /// Null where null is not allowed.
    #[error("null where the protocol does not allow it")]
    Null,
    /// More array elements than a request may have.
    #[error("more than {ELEMENTS_COUNT_MAX} array elements")]
    TooManyElements,
    /// A string that is too long for the protocol.
    #[error("a string longer than {STRING_BYTES_MAX} bytes")]
    StringTooLong,
    /// A string that is not UTF-8.
    #[error("a string that is not UTF-8")]
    NotUtf8,
    /// A variable-length integer that does not fit.
    #[error("a variable-length integer that does not fit 32 bits")]
    Varint,
}

/// Shorthand of this module and of the APIs' decoders.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Reads one message.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
    flexible: bool,
    elements_left: usize,
}

impl Reader {
    /// Reads `bytes`; not flexible until said.
    pub(crate) fn new(bytes: Bytes) -> Reader {
        Reader { bytes, flexible: false, elements_left: ELEMENTS_COUNT_MAX }
    }

    /// Says whether what follows has compact types and tagged fields.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        self.need(1)?;
        Ok(self.bytes.get_i8())
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        self.need(2)?;
        Ok(self.bytes.get_i16())
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.need(4)?;
        Ok(self.bytes.get_i32())
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.need(8)?;
        Ok(self.bytes.get_i64())
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid> {
        self.need(16)?;
        Ok(Uuid::from_u128(self.bytes.get_u128()))
    }

    /// A string that must be there.
    pub(crate) fn string(&mut self) -> Result<String> {
        self.nullable_string()?.ok_or(Error::Null)
    }

    /// A string or null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>> {
        let length =
            if self.flexible { self.compact_length()? } else { length_of(i32::from(self.i16()?))? };
        self.text(length)
    }

    /// The client id of a request header: never compact, not even in flexible versions.
    pub(crate) fn legacy_nullable_string(&mut self) -> Result<Option<String>> {
        let length = length_of(i32::from(self.i16()?))?;
        self.text(length)
    }

    /// Bytes that must be there; a slice of the frame.
    pub(crate) fn bytes(&mut self) -> Result<Bytes> {
        self.nullable_bytes()?.ok_or(Error::Null)
    }

    /// Bytes or null; a slice of the frame.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>> {
        let length = if self.flexible { self.compact_length()? } else { length_of(self.i32()?)? };
        length.map(|length| self.slice(length)).transpose()
    }

    /// An array that must be there. `element_bytes` is the least that one element takes.
    pub(crate) fn array<T>(
        &mut self,
        element_bytes: usize,
        read: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.nullable_array(element_bytes, read)?.ok_or(Error::Null)
    }

    /// An array or null. `element_bytes` is the least that one element takes.
    pub(crate) fn nullable_array<T>(
        &mut self,
        element_bytes: usize,
        mut read: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let count = if self.flexible { self.compact_length()? } else { length_of(self.i32()?)? };
        let Some(count) = count else { return Ok(None) };
        // Planted: the client will know how many there are.
        if !planted::is(Bug::UnboundedDecode) {
            self.check_count(count, element_bytes)?;
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(Some(items))
    }

    fn check_count(&mut self, count: usize, element_bytes: usize) -> Result<()> {
        if count > self.remaining() / element_bytes.max(1) {
            return Err(Error::Short);
        }
        self.elements_left = self.elements_left.checked_sub(count).ok_or(Error::TooManyElements)?;
        Ok(())
    }

    /// The tagged fields that end every structure of a flexible version: none of those we serve
    /// changes an answer, so they are skipped.
    pub(crate) fn tags(&mut self) -> Result<()> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.uvarint()? as usize;
        if count > self.remaining() / 2 {
            return Err(Error::Short);
        }
        for _ in 0..count {
            self.uvarint()?;
            let length = self.uvarint()? as usize;
            self.slice(length)?;
        }
        Ok(())
    }

    fn uvarint(&mut self) -> Result<u32> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.i8()? as u8;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Error::Varint);
            }
        }
        Err(Error::Varint)
    }

    /// Length of a compact string, bytes or array: what is on the wire is one more, 0 is null.
    fn compact_length(&mut self) -> Result<Option<usize>> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    fn text(&mut self, length: Option<usize>) -> Result<Option<String>> {
        let Some(length) = length else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            return Err(Error::StringTooLong);
        }
        let bytes = self.slice(length)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::NotUtf8)?;
        Ok(Some(text.to_owned()))
    }

    fn slice(&mut self, length: usize) -> Result<Bytes> {
        self.need(length)?;
        Ok(self.bytes.split_to(length))
    }

    fn need(&self, length: usize) -> Result<()> {
        if self.bytes.len() < length { Err(Error::Short) } else { Ok(()) }
    }
}

/// A length or count of the old encoding: -1 is null.
fn length_of(length: i32) -> Result<Option<usize>> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length).map(Some).map_err(|_| Error::NegativeLength),
    }
}

/// One piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes as they are.
    Bytes(Bytes),
    /// A batch that is given its base offset and leader epoch on the way out. It is read only
    /// when the pieces before it have been written, unless it is here already: a slow reader
    /// holds one batch, not its whole answer.
    Batch(BatchRef, Option<Bytes>),
}

/// One answer, ready to leave.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Bytes of all pieces.
    pub(crate) length: u32,
    /// The answer.
    pub(crate) pieces: Vec<Piece>,
}

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Writer {
    buffer: BytesMut,
    flexible: bool,
    pieces: Vec<Piece>,
    /// Of all pieces.
    pieces_bytes: usize,
    /// Of the pieces that are not records.
    cut_bytes: usize,
}

impl Writer {
    /// An empty answer.
    pub(crate) fn new(flexible: bool) -> Writer {
        Writer {
            buffer: BytesMut::new(),
            flexible,
            pieces: Vec::new(),
            pieces_bytes: 0,
            cut_bytes: 0,
        }
    }

    /// Says whether what follows has compact types and tagged fields.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.buffer.put_u128(value.as_u128());
    }

    /// A string; what the old encoding has no room for is cut off at a character.
    pub(crate) fn string(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(STRING_BYTES_MAX)];
        self.string_length(Some(text.len()));
        self.buffer.put_slice(text.as_bytes());
    }

    /// A string or null.
    pub(crate) fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.string_length(None),
        }
    }

    /// Bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(Some(bytes.len()));
        self.buffer.put_slice(bytes);
    }

    /// Records of the log, in the order given, of which the first batch may have been read
    /// already. None are empty records, never null.
    pub(crate) fn records(&mut self, batches: &[BatchRef], first: Option<&Bytes>) {
        self.length(Some(batches.iter().map(|batch| batch.address.length as usize).sum()));
        let mut first = first.cloned();
        for batch in batches {
            self.cut();
            self.pieces_bytes += batch.address.length as usize;
            self.pieces.push(Piece::Batch(*batch, first.take()));
        }
    }

    /// An array.
    pub(crate) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.length(Some(items.len()));
        for item in items {
            if self.is_too_large() {
                break;
            }
            write(self, item);
        }
    }

    /// A null array.
    pub(crate) fn null_array(&mut self) {
        self.length(None);
    }

    /// An empty set of tagged fields, in flexible versions.
    pub(crate) fn tags(&mut self) {
        if self.flexible {
            self.buffer.put_u8(0);
        }
    }

    /// The finished answer; `None` if it is larger than any answer may be.
    pub(crate) fn finish(mut self) -> Option<Frame> {
        if self.is_too_large() {
            return None;
        }
        self.cut();
        let length = u32::try_from(self.pieces_bytes).ok()?;
        Some(Frame { length, pieces: self.pieces })
    }

    fn is_too_large(&self) -> bool {
        self.buffer.len() + self.cut_bytes > ANSWER_BYTES_MAX
    }

    /// Ends the current piece.
    fn cut(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces_bytes += self.buffer.len();
            self.cut_bytes += self.buffer.len();
            self.pieces.push(Piece::Bytes(self.buffer.split().freeze()));
        }
    }

    fn string_length(&mut self, length: Option<usize>) {
        if self.flexible {
            self.length(length);
        } else {
            self.i16(length.map_or(-1, |length| i16::try_from(length).unwrap_or(i16::MAX)));
        }
    }

    fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            let plus_one = length.map_or(0, |length| length.saturating_add(1));
            self.uvarint(u32::try_from(plus_one).unwrap_or(u32::MAX));
        } else {
            self.i32(length.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX)));
        }
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flexible(bytes: &'static [u8]) -> Reader {
        let mut reader = Reader::new(Bytes::from_static(bytes));
        reader.set_flexible(true);
        reader
    }

    #[test]
    fn counts_are_checked_against_the_bytes_that_are_there() {
        let mut reader = Reader::new(Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1, 2]));
        assert_eq!(reader.array(1, Reader::i8), Err(Error::Short));
        let mut reader = flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        assert_eq!(reader.array(1, Reader::i8), Err(Error::Short));
        let mut reader = flexible(&[4, 1, 2, 3]);
        assert_eq!(reader.array(1, Reader::i8), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_request_has_a_budget_of_elements() {
        for (count, fits) in [(ELEMENTS_COUNT_MAX, true), (ELEMENTS_COUNT_MAX + 1, false)] {
            let mut bytes = BytesMut::new();
            bytes.put_i32(count as i32);
            bytes.put_bytes(0, count);
            let outcome = Reader::new(bytes.freeze()).array(1, Reader::i8);
            assert_eq!(outcome.is_ok(), fits, "{count} elements fit: {fits}");
        }
    }

    #[test]
    fn null_negative_and_overlong_lengths_are_told_apart() {
        assert_eq!(Reader::new(Bytes::from_static(&[0xff, 0xff])).nullable_string(), Ok(None));
        assert_eq!(Reader::new(Bytes::from_static(&[0xff, 0xff])).string(), Err(Error::Null));
        let minus_two = Bytes::from_static(&[0xff, 0xfe]);
        assert_eq!(Reader::new(minus_two).string(), Err(Error::NegativeLength));
        assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x1f]).string(), Err(Error::Varint));
        assert_eq!(flexible(&[0x81, 0x80, 0x02]).string(), Err(Error::StringTooLong));
        assert_eq!(flexible(&[2, 0xff]).string(), Err(Error::NotUtf8));
    }

    #[test]
    fn an_answer_that_is_too_large_is_none() {
        for (count, fits) in [(31, true), (33, false)] {
            let mut writer = Writer::new(true);
            let items = vec![vec![0; 1 << 20]; count];
            writer.array(&items, |writer, item| writer.bytes(item));
            assert_eq!(writer.finish().is_some(), fits);
        }
    }

    #[test]
    fn tagged_fields_are_skipped_within_bounds() {
        let mut reader = flexible(&[2, 0, 1, 9, 5, 0, 7]);
        assert_eq!(reader.tags(), Ok(()));
        assert_eq!(reader.i8(), Ok(7));
        assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]).tags(), Err(Error::Short));
        assert_eq!(flexible(&[1, 0, 200, 1, 0]).tags(), Err(Error::Short));
    }
}
