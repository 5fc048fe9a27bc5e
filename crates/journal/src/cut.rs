//! Makes the end of the journal certain before anything is served: what is torn goes, what was
//! read stays.

use crate::disk::{read_full, write_zeros};
use crate::segment::file_name;
use crate::window::WINDOW_BYTES;
use crate::{Disk, DiskFile, Error};
use base::Lsn;
use std::io::IoSlice;

/// A range of a segment's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) segment: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Writes the bytes of `range` once more and syncs them. They were read, but it is not known that
/// they are on disk: after a failed fsync the system may go on to serve pages that were never
/// written.
pub(crate) fn rewrite<D: Disk>(disk: &D, range: Range) -> Result<(), Error> {
    let name = file_name(range.segment);
    let path = disk.describe(&name);
    let file = disk.open(&name).map_err(Error::io("open", &path))?;
    let mut from = range.from;
    while from < range.to {
        let mut bytes = vec![0; (range.to - from).min(WINDOW_BYTES as u64) as usize];
        let count = read_full(&file, &mut bytes, from).map_err(Error::io("read", &path))?;
        if count == 0 {
            // Only padding can be missing: the file ends where its last frame does.
            break;
        }
        bytes.truncate(count);
        file.write_all_at(&mut [IoSlice::new(&bytes)], from)
            .map_err(Error::io("write to", &path))?;
        from += count as u64;
    }
    file.sync_data().map_err(Error::io("sync", &path))
}

/// Overwrites `range` with zeros and syncs them, before the first frame of the new boot epoch is
/// written: otherwise frames of the torn group could follow it and look alive.
pub(crate) fn clear<D: Disk>(disk: &D, range: Range, last: Lsn) -> Result<(), Error> {
    let name = file_name(range.segment);
    let path = disk.describe(&name);
    tracing::warn!(
        file = path,
        from = range.from,
        to = range.to,
        %last,
        "cutting a torn, unacknowledged tail"
    );
    let file = disk.open(&name).map_err(Error::io("open", &path))?;
    write_zeros(&file, range.from, range.to).map_err(Error::io("write to", &path))?;
    file.sync_data().map_err(Error::io("sync", &path))
}
