//! One frame header, encoded and decoded. The bytes are drawn in [`crate::format`].
//!
//! Refuses: a header whose CRC, kind, cause or lengths are not right. Whether a right header is
//! in its right turn is for [`crate::replay`] to say.

use base::hash::{crc32c, crc32c_append};
use base::{Cause, Lsn, PartitionId, TopicId, Uuid};
use bytes::{Buf, BufMut};

/// Size of a frame header.
pub(crate) const HEADER_BYTES: u32 = 80;
/// Frames begin at multiples of this, so that a scan need not look at every byte.
pub(crate) const FRAME_ALIGN: u32 = 8;
/// One line of the blob table.
pub(crate) const TABLE_LINE_BYTES: u32 = 8;

const CAUSE_BYTES: usize = 28;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Entry,
    Seal,
    Boot,
    Close,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Entry => 1,
            Kind::Seal => 2,
            Kind::Boot => 3,
            Kind::Close => 4,
        }
    }

    fn of(code: u8) -> Option<Kind> {
        [Kind::Entry, Kind::Seal, Kind::Boot, Kind::Close].into_iter().find(|k| k.code() == code)
    }
}

/// Where a frame lies. Part of the CRCs' seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) segment: u32,
    pub(crate) position: u32,
}

impl Place {
    fn seed(self, generation: u32) -> u32 {
        let mut bytes = [0u8; 20];
        let mut out = &mut bytes[..];
        out.put_u64_le(self.salt);
        out.put_u32_le(self.segment);
        out.put_u32_le(generation);
        out.put_u32_le(self.position);
        crc32c(&bytes)
    }

    /// CRC of what stands before the blobs.
    pub(crate) fn payload_crc(self, generation: u32, table: &[u8], meta: &[u8]) -> u32 {
        crc32c_append(crc32c_append(self.seed(generation), table), meta)
    }
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
    pub(crate) kind: Kind,
    pub(crate) cause: Cause,
    pub(crate) lsn: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) boot_epoch: u32,
    pub(crate) generation: u32,
    pub(crate) synced: u32,
    pub(crate) meta_bytes: u32,
    pub(crate) blob_count: u32,
}

impl Header {
    /// The header of a frame without payload.
    pub(crate) fn bare(kind: Kind, lsn: Lsn, epochs: Epochs, synced: u32) -> Header {
        Header {
            length: 0,
            payload_crc: 0,
            kind,
            cause: Cause::Request,
            lsn,
            durable: lsn,
            boot_epoch: epochs.boot_epoch,
            generation: epochs.generation,
            synced,
            meta_bytes: 0,
            blob_count: 0,
        }
    }

    /// Length of the blob table.
    pub(crate) fn table_bytes(&self) -> u64 {
        u64::from(self.blob_count) * u64::from(TABLE_LINE_BYTES)
    }

    pub(crate) fn encode(&self, place: Place) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0u8; HEADER_BYTES as usize];
        let mut out = &mut bytes[4..];
        out.put_u32_le(self.length);
        out.put_u32_le(self.payload_crc);
        out.put_u8(self.kind.code());
        out.put_u8(cause_code(&self.cause));
        out.put_u16_le(0);
        out.put_u64_le(self.lsn.0);
        out.put_u64_le(self.durable.0);
        out.put_u32_le(self.boot_epoch);
        out.put_u32_le(self.generation);
        out.put_u32_le(self.synced);
        out.put_u32_le(self.meta_bytes);
        out.put_u32_le(self.blob_count);
        out.put_slice(&cause_bytes(&self.cause));
        let crc = crc32c_append(place.seed(self.generation), &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at `place`, if `bytes` begin with a valid one.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES as usize] = bytes.first_chunk()?;
        // Cheap tests first: a scan asks this of every eighth byte.
        let kind = Kind::of(bytes[12])?;
        if bytes[14] != 0 || bytes[15] != 0 {
            return None;
        }
        let header = Header::fields(bytes, kind)?;
        let crc = crc32c_append(place.seed(header.generation), &bytes[4..]);
        (bytes[..4] == crc.to_le_bytes() && header.lengths_agree()).then_some(header)
    }

    fn fields(bytes: &[u8; HEADER_BYTES as usize], kind: Kind) -> Option<Header> {
        let mut rest = &bytes[4..];
        let (length, payload_crc) = (rest.get_u32_le(), rest.get_u32_le());
        rest.advance(1);
        let cause_code = rest.get_u8();
        rest.advance(2);
        Some(Header {
            length,
            payload_crc,
            kind,
            lsn: Lsn(rest.get_u64_le()),
            durable: Lsn(rest.get_u64_le()),
            boot_epoch: rest.get_u32_le(),
            generation: rest.get_u32_le(),
            synced: rest.get_u32_le(),
            meta_bytes: rest.get_u32_le(),
            blob_count: rest.get_u32_le(),
            cause: decode_cause(cause_code, rest)?,
        })
    }

    fn lengths_agree(&self) -> bool {
        let before_blobs = self.table_bytes() + u64::from(self.meta_bytes);
        match self.kind {
            Kind::Entry => before_blobs <= u64::from(self.length),
            Kind::Seal | Kind::Boot | Kind::Close => before_blobs == 0 && self.length == 0,
        }
    }
}

/// What every frame of one run has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epochs {
    pub(crate) boot_epoch: u32,
    pub(crate) generation: u32,
}

fn cause_code(cause: &Cause) -> u8 {
    match cause {
        Cause::Request => 0,
        Cause::Record(..) => 1,
        Cause::Entry(_) => 2,
    }
}

fn cause_bytes(cause: &Cause) -> [u8; CAUSE_BYTES] {
    let mut bytes = [0u8; CAUSE_BYTES];
    let mut out = &mut bytes[..];
    match cause {
        Cause::Request => {}
        Cause::Record(partition, offset) => {
            out.put_slice(partition.topic.0.as_bytes());
            out.put_i32_le(partition.index);
            out.put_i64_le(*offset);
        }
        Cause::Entry(lsn) => out.put_u64_le(lsn.0),
    }
    bytes
}

/// `rest` is the last field of a header, so it has `CAUSE_BYTES` bytes.
fn decode_cause(code: u8, mut rest: &[u8]) -> Option<Cause> {
    match code {
        0 => Some(Cause::Request),
        1 => {
            let topic = TopicId(Uuid::from_bytes(*rest.first_chunk()?));
            rest.advance(16);
            let index = rest.get_i32_le();
            Some(Cause::Record(PartitionId { topic, index }, rest.get_i64_le()))
        }
        2 => Some(Cause::Entry(Lsn(rest.get_u64_le()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { salt: 7, segment: 3, position: 4096 }
    }

    fn header(cause: Cause) -> Header {
        Header {
            length: 300,
            payload_crc: 0xdead_beef,
            kind: Kind::Entry,
            cause,
            lsn: Lsn(12),
            durable: Lsn(9),
            boot_epoch: 2,
            generation: 1,
            synced: 4096,
            meta_bytes: 10,
            blob_count: 2,
        }
    }

    #[test]
    fn a_header_survives_the_round_trip_in_its_own_place_only() {
        let partition = PartitionId { topic: TopicId(Uuid::from_u128(99)), index: 4 };
        for cause in [Cause::Request, Cause::Record(partition, -1), Cause::Entry(Lsn(11))] {
            let bytes = header(cause).encode(place());
            assert_eq!(Header::decode(&bytes, place()), Some(header(cause)));
            assert_eq!(Header::decode(&bytes, Place { salt: 8, ..place() }), None);
            assert_eq!(Header::decode(&bytes, Place { segment: 4, ..place() }), None);
            assert_eq!(Header::decode(&bytes, Place { position: 4104, ..place() }), None);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let bytes = header(Cause::Request).encode(place());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, place()), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..79], place()), None);
        assert_eq!(Header::decode(&[0; 80], place()), None);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let mut bad = header(Cause::Request);
        bad.blob_count = u32::MAX;
        assert_eq!(Header::decode(&bad.encode(place()), place()), None);
    }
}
