//! What the engine needs of the journal, so that tests can hold a sync back or make it fail.

use crate::error::Error;
use crate::machines::Room;
use base::{Blob, BlobAddr, Cause, Lsn};
use bytes::Bytes;
use journal::{Appender, Committer, Disk, Entry, Full, Group, Reader};

use crate::published::ReadBlob;

/// The writer's end.
pub(crate) trait Append: Send + 'static {
    /// Makes sure that an entry of this size can be appended.
    fn reserve(&mut self, meta_bytes: usize, blobs: &[Blob], room: Room) -> Result<(), Error>;
    /// Appends what has been reserved. Cannot fail.
    fn append(&mut self, cause: Cause, meta: Vec<u8>, blobs: Vec<Blob>) -> (Lsn, Vec<BlobAddr>);
    /// The last entry appended.
    fn tip(&self) -> Lsn;
    /// The last entry on disk.
    fn durable(&self) -> Lsn;
}

/// The committer's end.
pub(crate) trait Commit: Send + 'static {
    /// Waits for entries, writes and syncs them; says what is durable now. `None` when the writer
    /// has gone and everything it appended is on disk.
    fn run_group(&mut self) -> Result<Option<Lsn>, String>;
}

/// A line of the blob table in the entry's frame.
const BLOB_LINE_BYTES: usize = 8;

impl Append for Appender {
    fn reserve(&mut self, meta_bytes: usize, blobs: &[Blob], room: Room) -> Result<(), Error> {
        let blob_bytes: usize = blobs.iter().map(|blob| blob.bytes().len()).sum();
        let bytes = meta_bytes + blob_bytes + blobs.len() * BLOB_LINE_BYTES;
        loop {
            let granted = match room {
                Room::Common => Appender::reserve(self, bytes),
                Room::Emergency => self.reserve_emergency(bytes),
            };
            match granted {
                Ok(()) => return Ok(()),
                // The disk is behind. The writer takes no more produces long before this, so
                // that waiting here, with all requests behind, is the last resort.
                Err(Full::Backlog { .. }) => self.wait_for_backlog(),
                Err(Full::TooLarge { bytes, .. }) => {
                    return Err(Error::TooLarge { size_bytes: bytes });
                }
                Err(Full::Disk { reason }) => {
                    tracing::warn!(reason, "the disk is full");
                    return Err(Error::Full);
                }
                Err(Full::Stopped) => return Err(Error::Stopping),
            }
        }
    }

    fn append(&mut self, cause: Cause, meta: Vec<u8>, blobs: Vec<Blob>) -> (Lsn, Vec<BlobAddr>) {
        Appender::append(self, Entry { cause, meta, blobs })
    }

    fn tip(&self) -> Lsn {
        Appender::tip(self)
    }

    fn durable(&self) -> Lsn {
        Appender::durable(self)
    }
}

impl<D: Disk> Commit for Committer<D> {
    fn run_group(&mut self) -> Result<Option<Lsn>, String> {
        match Committer::run_group(self) {
            Ok(Group::Closed) => Ok(None),
            Ok(Group::Committed { durable, .. }) => Ok(Some(durable)),
            Ok(Group::Sealed) => Ok(Some(self.durable())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl<D: Disk> ReadBlob for Reader<D> {
    fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        Reader::read(self, address).map_err(|error| Error::Read(error.to_string()))
    }
}
