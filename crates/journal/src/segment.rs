//! One segment file: its name, its header, and who may write where.
//!
//! Two threads write to a segment: the committer its frames, the preparer zeros ahead of them.
//! Zeros never go below `filled`; frames raise `filled` before they are written, and wait while
//! zeros are being written where they would go. So zeros can never overwrite a frame.

use crate::format::FRAMES_START;
use crate::queue::locked;
use crate::{DiskFile, Error};
use base::hash::crc32c;
use base::planted::{self, Bug};
use bytes::{Buf, BufMut};
use std::io::IoSlice;
use std::sync::{Condvar, Mutex, PoisonError};

/// The preparer writes and syncs this much at a time, so that a commit never waits long for it.
pub(crate) const FILL_SLICE_BYTES: u32 = 1 << 20;

const HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"MAINSTAY";
const FORMAT: u32 = 1;
const SUFFIX: &str = ".segment";

/// Suffix of a file that is not a segment yet.
pub(crate) const PREPARING_SUFFIX: &str = ".preparing";

/// Name of a segment's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// Its name before it has a header.
pub(crate) fn preparing_name(number: u32) -> String {
    format!("{number:010}{PREPARING_SUFFIX}")
}

/// The segment number in a file name, if it is one of ours.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u32,
    pub(crate) capacity: u32,
    pub(crate) salt: u64,
}

impl SegmentHeader {
    /// The header with its padding: all that stands before the first frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRAMES_START as usize);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(FORMAT);
        bytes.put_u32_le(self.number);
        bytes.put_u32_le(self.capacity);
        bytes.put_u64_le(self.salt);
        bytes.put_u32_le(crc32c(&bytes));
        bytes.resize(FRAMES_START as usize, 0);
        bytes
    }

    /// The reverse; says what is wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, &'static str> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or("the file is too short")?;
        let (mut fields, mut crc) = bytes.split_at(HEADER_BYTES - 4);
        if crc.get_u32_le() != crc32c(fields) {
            return Err("the segment header's CRC does not match");
        }
        let magic = fields.copy_to_bytes(8);
        if magic != MAGIC[..] || fields.get_u32_le() != FORMAT {
            return Err("this is no segment of a format this release knows");
        }
        let number = fields.get_u32_le();
        let capacity = fields.get_u32_le();
        Ok(SegmentHeader { number, capacity, salt: fields.get_u64_le() })
    }
}

/// A segment that is, or will be, written to.
pub(crate) struct Segment<F> {
    pub(crate) number: u32,
    pub(crate) capacity: u32,
    path: String,
    file: F,
    /// The preparer's own opening of the same file. Linux reports a failed write-back once per
    /// opening: on a shared one the preparer's sync could swallow the committer's error.
    filler: F,
    filled: Mutex<Filled>,
    /// The preparer has written its zeros.
    zeroed: Condvar,
}

struct Filled {
    /// Up to where the file has been written. Whole blocks, or the file's length.
    up_to: u32,
    /// Zeros are being written from there on.
    zeroing: bool,
}

impl<F: DiskFile> Segment<F> {
    pub(crate) fn new(
        header: SegmentHeader,
        path: String,
        file: F,
        filler: F,
    ) -> Result<Segment<F>, Error> {
        let length = file.len().map_err(Error::io("measure", &path))?;
        let up_to = u32::try_from(length).unwrap_or(u32::MAX);
        Ok(Segment {
            number: header.number,
            capacity: header.capacity,
            path,
            file,
            filler,
            filled: Mutex::new(Filled { up_to, zeroing: false }),
            zeroed: Condvar::new(),
        })
    }

    /// Writes frames at `position..end`.
    pub(crate) fn write(
        &self,
        slices: &mut [IoSlice<'_>],
        position: u32,
        end: u32,
    ) -> Result<(), Error> {
        assert!(end <= self.capacity, "frames end behind their segment");
        {
            let mut filled = locked(&self.filled);
            while filled.zeroing && end > filled.up_to {
                filled = self.zeroed.wait(filled).unwrap_or_else(PoisonError::into_inner);
            }
            filled.up_to = filled.up_to.max(end.next_multiple_of(self.file.block_bytes()));
        }
        self.file
            .write_frames_at(slices, u64::from(position))
            .map_err(Error::io("write to", &self.path))
    }

    /// Makes all frames written so far durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let synced = self.file.sync_data();
        // Planted: it may have been a hiccup.
        let retried = synced.is_err() && planted::is(Bug::RetryFailedFsync);
        let synced = if retried { self.file.sync_data() } else { synced };
        synced.map_err(Error::io("sync", &self.path))
    }

    /// Up to where the file has been written.
    pub(crate) fn filled(&self) -> u32 {
        locked(&self.filled).up_to
    }

    /// Writes and syncs the next slice of zeros.
    pub(crate) fn fill(&self) -> Result<(), Error> {
        let (from, to) = {
            let mut filled = locked(&self.filled);
            filled.zeroing = true;
            let to = filled.up_to.saturating_add(FILL_SLICE_BYTES).min(self.capacity);
            (filled.up_to, to)
        };
        let written = self.filler.write_zeros_at(u64::from(from), u64::from(to));
        {
            let mut filled = locked(&self.filled);
            filled.zeroing = false;
            if written.is_ok() {
                filled.up_to = filled.up_to.max(to);
            }
        }
        self.zeroed.notify_all();
        written.map_err(Error::io("fill", &self.path))?;
        self.filler.sync_data().map_err(Error::io("sync", &self.path))
    }
}
