//! The writer's end: gives each entry its LSN and its place, and queues it. Touches no disk, except
//! that `reserve` makes the next segment itself when the preparer has not got there in time.
//!
//! The second half of a segment may be used by ordinary entries only once the next segment is
//! ready. So when the disk is full, half a segment is left for what frees room again.

use crate::format::{HEADER_BYTES, padded};
use crate::frame::TABLE_LINE_BYTES;
use crate::options::ENTRY_OVERHEAD_BYTES;
use crate::queue::{Pending, Queue, Shared, Tail, locked};
use crate::segments::Provide;
use crate::{Error, Options};
use base::planted::{self, Bug};
use base::{Blob, BlobAddr, Cause, Lsn};
use std::sync::{Arc, PoisonError};

/// One journal entry: what happened, as bytes.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What brought it about.
    pub cause: Cause,
    /// The small part: encoded ops.
    pub meta: Vec<u8>,
    /// The large parts, found again by their addresses.
    pub blobs: Vec<Blob>,
}

/// Why there is no room for an entry. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The entry is too large, and always will be.
    #[error("an entry of {bytes} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Bytes asked for.
        bytes: usize,
        /// `entry_bytes_max`.
        max: usize,
    },
    /// The disk has no room for another segment.
    #[error("the disk is full: {reason}")]
    Disk {
        /// What the system said.
        reason: String,
    },
    /// Too much waits for the committer. [`Appender::wait_for_backlog`], then ask again.
    #[error("{bytes} bytes wait to be written")]
    Backlog {
        /// How much waits.
        bytes: usize,
    },
    /// The committer has failed or is gone.
    #[error("the journal has stopped")]
    Stopped,
}

/// The writer's end of the journal. Closes it when dropped; what was appended is still committed.
pub struct Appender {
    shared: Arc<Shared>,
    segments: Arc<dyn Provide>,
    options: Options,
    tip: Lsn,
}

impl Appender {
    pub(crate) fn new(
        shared: Arc<Shared>,
        segments: Arc<dyn Provide>,
        options: Options,
        tip: Lsn,
    ) -> Appender {
        Appender { shared, segments, options, tip }
    }

    /// Makes sure that one entry with up to `bytes` of meta and blobs can be appended.
    pub fn reserve(&self, bytes: usize) -> Result<(), Full> {
        // Planted: room is room.
        if planted::is(Bug::NoRoomKeptForEmergencies) {
            return self.reserve_emergency(bytes);
        }
        self.reserve_below(bytes, |tail| tail.capacity / 2)
    }

    /// The same for an entry that frees room or lets work end: it may use the room that is kept
    /// free of other entries when the disk is full.
    pub fn reserve_emergency(&self, bytes: usize) -> Result<(), Full> {
        self.reserve_below(bytes, |tail| tail.capacity - crate::format::END_BYTES)
    }

    /// Appends an entry. It is durable once [`Appender::durable`] has reached its LSN; until then
    /// its blobs must not be read.
    ///
    /// Precondition: `reserve` has granted at least this many bytes since the last `append`. If not
    /// and there is no room, the journal fails: the committer's next call returns an error, and
    /// this entry and all after it never become durable.
    pub fn append(&mut self, entry: Entry) -> (Lsn, Vec<BlobAddr>) {
        let bytes = frame_bytes(&entry);
        let mut queue = locked(&self.shared.queue);
        self.tip = self.tip.next();
        let Some(frame_bytes) =
            self.place(&mut queue, padded(bytes)).and(u32::try_from(bytes).ok())
        else {
            queue.fail(Error::Unreserved { lsn: self.tip });
            drop(queue);
            self.shared.queued.notify_all();
            return (self.tip, Vec::new());
        };
        let Tail { segment, position, .. } = queue.tail;
        let addresses = addresses(&entry, segment, position);
        queue.tail.position += padded(bytes) as u32;
        queue.backlog_bytes += frame_bytes as usize;
        queue.sealed = false;
        queue.pending.push_back(Pending { lsn: self.tip, segment, position, frame_bytes, entry });
        drop(queue);
        self.shared.queued.notify_one();
        (self.tip, addresses)
    }

    /// LSN of the last entry appended.
    pub fn tip(&self) -> Lsn {
        self.tip
    }

    /// LSN of the last entry that is on disk, and all before it.
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    /// Bytes appended and not yet durable.
    pub fn backlog_bytes(&self) -> usize {
        locked(&self.shared.queue).backlog_bytes
    }

    /// Blocks until at most half of `backlog_bytes_max` waits for the committer, or the journal
    /// has stopped.
    pub fn wait_for_backlog(&self) {
        let mut queue = locked(&self.shared.queue);
        while queue.backlog_bytes > self.options.backlog_bytes_max / 2 && !queue.stopped {
            queue = self.shared.relieved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn reserve_below(&self, bytes: usize, limit: impl Fn(&Tail) -> u32) -> Result<(), Full> {
        let max = self.options.entry_bytes_max;
        if bytes > max {
            return Err(Full::TooLarge { bytes, max });
        }
        let tail = {
            let queue = locked(&self.shared.queue);
            if queue.stopped {
                return Err(Full::Stopped);
            }
            if queue.backlog_bytes > self.options.backlog_bytes_max {
                return Err(Full::Backlog { bytes: queue.backlog_bytes });
            }
            queue.tail
        };
        let end = u64::from(tail.position) + (bytes + ENTRY_OVERHEAD_BYTES) as u64;
        if end <= u64::from(limit(&tail)) || self.segments.prepared_through() > tail.segment {
            return Ok(());
        }
        self.segments
            .provide(tail.segment + 1)
            .map_err(|error| Full::Disk { reason: error.to_string() })
    }

    /// Moves the tail to a segment where the frame fits.
    fn place(&self, queue: &mut Queue, padded_bytes: u64) -> Option<()> {
        if !queue.tail.fits(padded_bytes) {
            if self.segments.prepared_through() <= queue.tail.segment {
                self.segments.provide(queue.tail.segment + 1).ok()?;
            }
            let next = queue.tail.following(self.options.segment_bytes);
            if !next.fits(padded_bytes) {
                return None;
            }
            queue.tail = next;
        }
        Some(())
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        locked(&self.shared.queue).closed = true;
        self.shared.queued.notify_all();
    }
}

/// Length of an entry's frame without padding.
fn frame_bytes(entry: &Entry) -> u64 {
    let blobs: u64 = entry.blobs.iter().map(|blob| blob.bytes().len() as u64).sum();
    let table = entry.blobs.len() as u64 * u64::from(TABLE_LINE_BYTES);
    u64::from(HEADER_BYTES) + table + entry.meta.len() as u64 + blobs
}

/// Where the blobs of a frame at `position` will be. The frame is known to fit in a segment.
fn addresses(entry: &Entry, segment: u32, position: u32) -> Vec<BlobAddr> {
    let table = entry.blobs.len() as u32 * TABLE_LINE_BYTES;
    let mut position = position + HEADER_BYTES + table + entry.meta.len() as u32;
    let mut addresses = Vec::with_capacity(entry.blobs.len());
    for blob in &entry.blobs {
        let length = blob.bytes().len() as u32;
        addresses.push(BlobAddr { segment, position, length, crc: blob.crc() });
        position += length;
    }
    addresses
}
