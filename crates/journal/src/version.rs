//! The `VERSION` file: says that a journal was born in this directory, and in which format.
//!
//! It is written last at birth: after the first segment's name and its boot frame are durable. So
//! where it is, segment 1 is and begins with a valid frame; if not, files were lost, and the
//! journal must not start empty as if nothing had ever been there. Without it nothing is known: a
//! birth was interrupted, or the file was lost, and it is made again.

use crate::disk::read_full;
use crate::{Disk, DiskFile, Error};
use base::planted::{self, Bug};
use std::io::IoSlice;

pub(crate) const NAME: &str = "VERSION";
pub(crate) const TEMPORARY: &str = "VERSION.preparing";
const TEXT: &str = "unstable 1\n";
/// More of it is not read: it is another file.
const READ_BYTES_MAX: usize = 64;

/// Refuses a directory of another format. The file is known to be there.
pub(crate) fn check<D: Disk>(disk: &D) -> Result<(), Error> {
    let path = disk.describe(NAME);
    let file = disk.open(NAME).map_err(Error::io("open", &path))?;
    let mut bytes = [0; READ_BYTES_MAX];
    let count = read_full(&file, &mut bytes, 0).map_err(Error::io("read", &path))?;
    let found = bytes.get(..count).unwrap_or(&bytes);
    if found == TEXT.as_bytes() {
        return Ok(());
    }
    Err(Error::Version {
        directory: disk.describe("").trim_end_matches('/').into(),
        found: String::from_utf8_lossy(found).trim().into(),
        known: TEXT.trim(),
    })
}

/// Says durably that the journal is born.
pub(crate) fn record<D: Disk>(disk: &D) -> Result<(), Error> {
    let path = disk.describe(NAME);
    let file = disk.create(TEMPORARY).map_err(Error::io("create", &path))?;
    file.write_all_at(&mut [IoSlice::new(TEXT.as_bytes())], 0)
        .map_err(Error::io("write to", &path))?;
    file.sync_data().map_err(Error::io("sync", &path))?;
    disk.rename(TEMPORARY, NAME).map_err(Error::io("rename", &path))?;
    // Planted: the segment's name would be synced along with this one.
    let skipped = planted::is(Bug::SkipDirectoryFsync);
    if let Err(error) = if skipped { Ok(()) } else { disk.sync_dir() } {
        // The name may look durable to the next start, and not be: it goes, and is made again.
        drop(disk.remove(NAME));
        return Err(Error::io("sync the directory of", &path)(error));
    }
    Ok(())
}
