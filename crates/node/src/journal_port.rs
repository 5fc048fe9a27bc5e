//! What the engine needs of the journal, so that tests can hold a sync back or make it fail.

use crate::error::Error;
use crate::machines::Room;
use crate::published::ReadBlob;
use base::{Blob, BlobAddr, Cause, Lsn};
use bytes::Bytes;
use journal::{Appender, Committer, Disk, Entry, Full, Group, Reader};
use std::time::{Duration, Instant};

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
/// Refusals are told once in this time: on a full disk every client tries again and again.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The journal's appender, as the writer has it.
pub(crate) struct Port {
    appender: Appender,
    refusals: Refusals,
}

impl Port {
    pub(crate) fn new(appender: Appender) -> Port {
        Port { appender, refusals: Refusals::default() }
    }
}

impl Append for Port {
    fn reserve(&mut self, meta_bytes: usize, blobs: &[Blob], room: Room) -> Result<(), Error> {
        let blob_bytes: usize = blobs.iter().map(|blob| blob.bytes().len()).sum();
        let bytes = meta_bytes + blob_bytes + blobs.len() * BLOB_LINE_BYTES;
        loop {
            let granted = match room {
                Room::Common => self.appender.reserve(bytes),
                Room::Emergency => self.appender.reserve_emergency(bytes),
            };
            match granted {
                Ok(()) => return Ok(()),
                // The disk is behind. The writer takes no more produces long before this, so
                // that waiting here, with all requests behind, is the last resort.
                Err(Full::Backlog { .. }) => self.appender.wait_for_backlog(),
                Err(Full::TooLarge { bytes, .. }) => {
                    return Err(Error::TooLarge { size_bytes: bytes });
                }
                Err(Full::Disk { reason }) => {
                    if let Some(untold) = self.refusals.tell(Instant::now()) {
                        tracing::warn!(reason, untold, "the disk is full");
                    }
                    return Err(Error::Full);
                }
                Err(Full::Stopped) => return Err(Error::Stopping),
            }
        }
    }

    fn append(&mut self, cause: Cause, meta: Vec<u8>, blobs: Vec<Blob>) -> (Lsn, Vec<BlobAddr>) {
        self.appender.append(Entry { cause, meta, blobs })
    }

    fn tip(&self) -> Lsn {
        self.appender.tip()
    }

    fn durable(&self) -> Lsn {
        self.appender.durable()
    }
}

/// What was refused for want of room, and when it was told last.
#[derive(Default)]
struct Refusals {
    told_at: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Whether one more is told now; if so, how many have not been since the last one.
    fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.told_at.is_some_and(|told_at| now.duration_since(told_at) < TOLD_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_at_once_and_then_once_a_second() {
        let mut refusals = Refusals::default();
        let begin = Instant::now();
        let mut told = Vec::new();
        for tenth in 0..=25 {
            let now = begin + Duration::from_millis(100 * tenth);
            told.extend(refusals.tell(now).map(|untold| (tenth, untold)));
        }
        assert_eq!(told, [(0, 0), (10, 9), (20, 9)]);
    }
}
