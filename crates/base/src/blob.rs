//! Large bytes that are written once, in the journal, and found again by address.

use bytes::Bytes;

/// Bytes on their way into the journal, with their CRC-32C, which the connection's task has
/// computed so that the writer need not touch them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    bytes: Bytes,
    crc: u32,
}

impl Blob {
    /// Takes `bytes` and computes their CRC-32C.
    pub fn new(bytes: Bytes) -> Blob {
        let crc = crc32c::crc32c(&bytes);
        Blob { bytes, crc }
    }

    /// Takes `bytes` whose CRC-32C is known already, because it was put together from parts.
    pub fn with_crc(bytes: Bytes, crc: u32) -> Blob {
        debug_assert_eq!(crc, crc32c::crc32c(&bytes));
        Blob { bytes, crc }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their CRC-32C.
    pub fn crc(&self) -> u32 {
        self.crc
    }
}

/// Where a blob lies in the journal. The CRC is checked at every read, so that a damaged or
/// recycled block is never served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobAddr {
    /// Segment number.
    pub segment: u32,
    /// Byte position in the segment's file.
    pub position: u32,
    /// Length in bytes.
    pub length: u32,
    /// CRC-32C of the bytes.
    pub crc: u32,
}
