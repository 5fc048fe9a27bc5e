//! Reads and writes of a file that go past the page cache (O_DIRECT).
//!
//! The journal writes each byte once and, while it is young, serves it from memory. Cached pages
//! would be made, filled and thrown away for nothing: copying into new ones is the largest part of
//! what a commit costs, and it takes the memory from others. The price is that whole blocks are
//! written. So the last, partly filled block of a write stays in memory and is written again, the
//! same bytes and more, by the next one: as the page cache would.

use crate::queue::locked;
use bytes::Bytes;
use rustix::fs::{AtFlags, OFlags, StatxFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

/// What all file systems we know of are content with.
pub(crate) const BLOCK_BYTES: u32 = 4096;
const BLOCK: usize = BLOCK_BYTES as usize;
/// So much is gathered before it is written; one write of 1 MiB keeps a disk busy.
const STAGED_BYTES: usize = 1 << 20;

static ZEROS: Zeros = Zeros([0; 256 << 10]);

#[repr(align(4096))]
struct Zeros([u8; 256 << 10]);

/// One opening of a file, for whole blocks.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: File,
    staging: Mutex<Staging>,
}

/// What is about to be written, and what of it will be written again.
#[derive(Debug, Default)]
struct Staging {
    /// Empty until something is written.
    block: Aligned,
    /// Where the last write ended; the block it ended in stands at the beginning of `block`.
    end: Option<u64>,
}

impl DirectFile {
    /// `None` if the file system has no such thing.
    pub(crate) fn open(path: &Path) -> Option<DirectFile> {
        let flags = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
        takes_blocks(&file).then(|| DirectFile { file, staging: Mutex::default() })
    }

    /// Writes all of `slices`, one after the other, and zeros from there to the end of the block.
    pub(crate) fn write_all(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut staging = locked(&self.staging);
        let mut filled = self.begin(&mut staging, position)?;
        let mut block_position = position - filled as u64;
        let mut end = position;
        let staged = staging.block.as_mut();
        for mut rest in slices.iter().map(|slice| &**slice) {
            end += rest.len() as u64;
            while !rest.is_empty() {
                let count = rest.len().min(STAGED_BYTES - filled);
                let (now, later) = rest.split_at(count);
                staged[filled..filled + count].copy_from_slice(now);
                filled += count;
                rest = later;
                if filled == STAGED_BYTES {
                    self.write_blocks(staged, block_position)?;
                    block_position += STAGED_BYTES as u64;
                    filled = 0;
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK);
        staged[filled..whole].fill(0);
        self.write_blocks(&staged[..whole], block_position)?;
        staged.copy_within(filled - filled % BLOCK..filled, 0);
        staging.end = Some(end);
        Ok(())
    }

    /// Writes zeros at `from..to`, from the first block boundary on.
    pub(crate) fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let mut from = from.next_multiple_of(BLOCK_BYTES.into());
        let to = to.next_multiple_of(BLOCK_BYTES.into());
        while from < to {
            let left = usize::try_from(to - from).unwrap_or(usize::MAX);
            let count = left.min(ZEROS.0.len());
            self.write_blocks(&ZEROS.0[..count], from)?;
            from += count as u64;
        }
        Ok(())
    }

    /// Reads `length` bytes, or to the end of the file.
    pub(crate) fn read(&self, position: u64, length: usize) -> io::Result<Bytes> {
        let skipped = (position % u64::from(BLOCK_BYTES)) as usize;
        let mut blocks = Aligned::new((skipped + length).next_multiple_of(BLOCK));
        let found = self.read_blocks(blocks.as_mut(), position - skipped as u64)?;
        Ok(blocks.into_bytes(skipped..found.clamp(skipped, skipped + length)))
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes the part of the first block that stands before `position` be in the staging. Says how
    /// long that part is.
    fn begin(&self, staging: &mut Staging, position: u64) -> io::Result<usize> {
        if staging.block.as_mut().is_empty() {
            staging.block = Aligned::new(STAGED_BYTES);
        }
        let before = (position % u64::from(BLOCK_BYTES)) as usize;
        // Whatever goes wrong from here on, what is staged is not what is in the file.
        let end = staging.end.take();
        if before > 0 && end != Some(position) {
            let block = &mut staging.block.as_mut()[..BLOCK];
            block.fill(0);
            self.read_blocks(block, position - before as u64)?;
        }
        Ok(before)
    }

    /// Reads whole blocks, or to the end of the file; says how many bytes.
    fn read_blocks(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], position + done as u64) {
                // In the middle of a block only the end of the file ends a read.
                Ok(count) if !count.is_multiple_of(BLOCK) => return Ok(done + count),
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_blocks(&self, mut blocks: &[u8], mut position: u64) -> io::Result<()> {
        while !blocks.is_empty() {
            match self.file.write_at(blocks, position) {
                // What is written in part is written again from its block's beginning.
                Ok(count) if count < BLOCK => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let whole = count - count % BLOCK;
                    position += whole as u64;
                    blocks = &blocks[whole..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether the file system takes blocks of our size. Systems that cannot tell (before Linux 6.1) do.
fn takes_blocks(file: &File) -> bool {
    let asked = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
    let Ok(told) = asked else { return true };
    let aligns = |align: u32| align > 0 && BLOCK_BYTES.is_multiple_of(align);
    told.stx_mask & StatxFlags::DIOALIGN.bits() == 0
        || (aligns(told.stx_dio_mem_align) && aligns(told.stx_dio_offset_align))
}

/// Bytes that begin at a multiple of the block size in memory.
#[derive(Debug, Default)]
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        let bytes = vec![0; length + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Aligned { bytes, start, length }
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }

    fn into_bytes(self, range: std::ops::Range<usize>) -> Bytes {
        Bytes::from(self.bytes).slice(self.start + range.start..self.start + range.end)
    }
}
