//! The journal's limits, each with a name, a unit and a default.

use crate::format::{END_BYTES, FRAMES_START};
use crate::{Error, frame};
use std::time::Duration;

/// Room beside the entry's own bytes that `reserve` counts: a header, and a table of 500 blobs.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 4096;

/// Who prepares segments ahead of need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// A thread of the journal. For real nodes.
    Background,
    /// The committer, after a group. For simulations: every disk call has its fixed turn.
    Inline,
}

/// The journal's limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a segment. Default 64 MiB.
    pub segment_bytes: u32,
    /// A group takes no further entry once it has this many bytes. Default 4 MiB.
    pub group_bytes_max: usize,
    /// Meta and blobs of one entry. Default 20 MiB: a request frame of 16 MiB, and slack.
    pub entry_bytes_max: usize,
    /// Bytes appended and not yet durable, above which `reserve` refuses. Default 64 MiB.
    pub backlog_bytes_max: usize,
    /// A seal frame is written after this long without an entry. Default 20 ms.
    pub idle_seal: Duration,
    /// Zeros are kept this far ahead of the write position. Default 4 MiB.
    pub prepare_ahead_bytes: u32,
    /// Segment files a [`crate::Reader`] keeps open. Default 64.
    pub open_files_max: usize,
    /// Who prepares segments. Default [`Preparation::Background`].
    pub preparation: Preparation,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 64 << 20,
            group_bytes_max: 4 << 20,
            entry_bytes_max: 20 << 20,
            backlog_bytes_max: 64 << 20,
            idle_seal: Duration::from_millis(20),
            prepare_ahead_bytes: 4 << 20,
            open_files_max: 64,
            preparation: Preparation::Background,
        }
    }
}

impl Options {
    /// Refuses limits that cannot work together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |option, reason: &str| Err(Error::Options { option, reason: reason.into() });
        if !self.segment_bytes.is_multiple_of(frame::FRAME_ALIGN) {
            return wrong("segment_bytes", "must be a multiple of 8");
        }
        let usable =
            u64::from(self.segment_bytes).saturating_sub((FRAMES_START + END_BYTES).into());
        let largest = self.entry_bytes_max.saturating_add(ENTRY_OVERHEAD_BYTES);
        if u64::try_from(largest).unwrap_or(u64::MAX) > usable {
            return wrong("entry_bytes_max", "the largest entry must fit in an empty segment");
        }
        if self.open_files_max == 0 {
            return wrong("open_files_max", "must be at least 1");
        }
        Ok(())
    }
}
