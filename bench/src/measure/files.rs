//! Files whose room is prepared in one of the ways there are, and the bare loop over them: write a
//! group, sync it.

use super::quantiles::Quantiles;
use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::fs::{FallocateFlags, OFlags};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Files are written in such pieces while they are prepared.
const PREPARE_BYTES: usize = 1 << 20;
/// What `O_DIRECT` is content with on all file systems we know of.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// How the room of a file is prepared before groups go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preparation {
    /// Not at all: each group makes the file longer.
    Append,
    /// Allocated, never written.
    Fallocate,
    /// Zeros are written and synced ahead: what the journal does.
    Zeroed,
    /// An old file full of other bytes gets a new name.
    Recycled,
}

impl Preparation {
    /// All of them.
    pub(crate) const ALL: [Preparation; 4] =
        [Preparation::Append, Preparation::Fallocate, Preparation::Zeroed, Preparation::Recycled];

    /// Its word in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Preparation::Append => "append",
            Preparation::Fallocate => "fallocate",
            Preparation::Zeroed => "zeroed",
            Preparation::Recycled => "recycled",
        }
    }

    /// The same, opened for whole blocks.
    pub(crate) fn make_direct(self, path: &Path, bytes: u64) -> Result<File> {
        drop(self.make(path, bytes)?);
        Cache::Direct.open(path).context("this file system has no O_DIRECT")
    }

    /// Makes a new file at `path` with room for `bytes`.
    pub(crate) fn make(self, path: &Path, bytes: u64) -> Result<File> {
        let old = path.with_extension("old");
        let made_at = if self == Preparation::Recycled { &old } else { path };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(made_at)?;
        match self {
            Preparation::Append => {}
            Preparation::Fallocate => {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
            }
            Preparation::Zeroed => fill(&file, &vec![0; PREPARE_BYTES], bytes)?,
            Preparation::Recycled => {
                fill(&file, &noise(PREPARE_BYTES), bytes)?;
                fs::rename(&old, path)?;
            }
        }
        file.sync_all()?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        Ok(file)
    }
}

/// Whether writes go through the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// As files are written usually.
    Cached,
    /// Past it, with `O_DIRECT`: whole blocks only.
    Direct,
}

impl Cache {
    /// Opens a file that is there already.
    pub(crate) fn open(self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        if self == Cache::Direct {
            options.custom_flags(OFlags::DIRECT.bits().cast_signed());
        }
        options.read(true).write(true).open(path)
    }
}

/// Bytes in memory where `O_DIRECT` wants them.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// Noise.
    pub(crate) fn noise(length: usize) -> Aligned {
        let mut bytes = noise(length + BLOCK_BYTES);
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        bytes.truncate(start + length);
        Aligned { bytes, start }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// How long one loop may take, and how much it may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

/// What a loop has done.
pub(crate) struct Looped {
    /// Of a group: its write and its sync.
    pub(crate) groups: Quantiles,
    pub(crate) bytes: u64,
    pub(crate) wall: Duration,
}

/// Writes groups one behind the other, each synced, until the time is over or the room is used.
pub(crate) fn write_groups(file: &File, group: &[u8], bound: Bound) -> Result<Looped> {
    let mut groups = Quantiles::new()?;
    let begin = Instant::now();
    let mut bytes = 0;
    while bytes + group.len() as u64 <= bound.bytes && begin.elapsed() < bound.time {
        let group_begin = Instant::now();
        file.write_all_at(group, bytes).context("cannot write")?;
        file.sync_data().context("cannot sync")?;
        groups.add_since(group_begin);
        bytes += group.len() as u64;
    }
    Ok(Looped { groups, bytes, wall: begin.elapsed() })
}

/// Bytes that no disk can shorten.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// `bytes` as people say it.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn fill(file: &File, piece: &[u8], bytes: u64) -> Result<()> {
    let mut position = 0;
    while position < bytes {
        file.write_all_at(piece, position)?;
        position += piece.len() as u64;
    }
    Ok(())
}
