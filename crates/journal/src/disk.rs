//! What the journal needs of a disk. [`crate::RealDisk`] is one; the simulated one loses on purpose
//! what was not synced.
//!
//! The promises a disk makes are the weak ones of POSIX: a write is durable after `sync_data` of
//! its file, a name after `sync_dir`; before that each may be there, be missing, or (writes) be
//! torn at 512 bytes.

use bytes::Bytes;
use std::io::{self, IoSlice};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// So many zeros are one write.
const ZEROED_BYTES: usize = 1 << 20;

/// A directory of flat files.
pub trait Disk: Send + Sync + 'static {
    /// Its files.
    type File: DiskFile;

    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file that does not exist yet.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name; replaces what has that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be allocated.
    fn free_bytes(&self) -> io::Result<u64>;
    /// A number nobody outside can guess, for a newborn journal.
    fn salt(&self) -> u64;
    /// What to call this file in a message to a human: its path.
    fn describe(&self, name: &str) -> String;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether there is no byte in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at most `into.len()` bytes; fewer at the end of the file, or as the system likes.
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes `slices`, one after the other, or as much of them as the system likes; says how many
    /// bytes. Nothing is written only if there is no room.
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize>;
    /// Writes all of `slices`, one after the other. Goes on after a short write; after an error
    /// it is not known what is there.
    fn write_all_at(&self, mut slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        // Empty slices at the front would make a write of nothing look like a full disk.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.write_at(slices, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    position += count as u64;
                    IoSlice::advance_slices(&mut slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
    /// Frames and zeros are written in whole blocks of so many bytes.
    fn block_bytes(&self) -> u32 {
        1
    }
    /// Like `write_all_at`, for bytes behind which there is nothing yet: afterwards there may be
    /// zeros from their end to that of the block.
    fn write_frames_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.write_all_at(slices, position)
    }
    /// Writes zeros at `from..to`, where there is nothing yet. May begin and end where the next
    /// block does.
    fn write_zeros_at(&self, from: u64, to: u64) -> io::Result<()> {
        write_zeros(self, from, to)
    }
    /// Reads `length` bytes, or to the end of the file.
    fn read_bytes_at(&self, position: u64, length: usize) -> io::Result<Bytes> {
        read_bytes(self, position, length)
    }
    /// Makes sure that the first `bytes` bytes can be written without running out of room. Leaves
    /// the length alone.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// Reads `into.len()` bytes, or to the end of the file; says how many.
pub(crate) fn read_full<F: DiskFile + ?Sized>(
    file: &F,
    into: &mut [u8],
    from: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

pub(crate) fn read_bytes<F: DiskFile + ?Sized>(
    file: &F,
    position: u64,
    length: usize,
) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    let count = read_full(file, &mut bytes, position)?;
    bytes.truncate(count);
    Ok(bytes.into())
}

/// Writes zeros at `from..to`.
pub(crate) fn write_zeros<F: DiskFile + ?Sized>(
    file: &F,
    mut from: u64,
    to: u64,
) -> io::Result<()> {
    while from < to {
        let left = usize::try_from(to - from).unwrap_or(usize::MAX);
        let count = left.min(ZEROED_BYTES);
        let mut slices = Vec::with_capacity(count.div_ceil(ZEROS.len()));
        for start in (0..count).step_by(ZEROS.len()) {
            slices.push(IoSlice::new(&ZEROS[..ZEROS.len().min(count - start)]));
        }
        file.write_all_at(&mut slices, from)?;
        from += count as u64;
    }
    Ok(())
}
