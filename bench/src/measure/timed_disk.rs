//! A real disk that notes when the journal's own thread wrote and synced, so that what a group costs
//! can be told apart from what the disk costs.
//!
//! Files that were created here are the ones frames go to; the same files opened once more are the
//! preparer's and the readers', and are not timed. So the journal must be a new one.

use bytes::Bytes;
use journal::{Disk, DiskFile, RealDisk, RealFile};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What has been noted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) writes: u64,
    pub(crate) write: Duration,
    pub(crate) syncs: u64,
    pub(crate) sync: Duration,
    /// Of the last group.
    pub(crate) last: Option<Last>,
}

/// The last group: when its write began, when its sync began and when that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) write_begin: Instant,
    pub(crate) sync_begin: Instant,
    pub(crate) sync_end: Instant,
}

/// The notes of one disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Times>>);

impl Notes {
    /// What has been noted until now.
    pub(crate) fn times(&self) -> Times {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The disk.
pub(crate) struct TimedDisk {
    disk: RealDisk,
    notes: Notes,
}

impl TimedDisk {
    /// Times `disk`.
    pub(crate) fn new(disk: RealDisk) -> (TimedDisk, Notes) {
        let notes = Notes::default();
        (TimedDisk { disk, notes: notes.clone() }, notes)
    }
}

/// A file of a [`TimedDisk`].
pub(crate) struct TimedFile {
    file: RealFile,
    notes: Option<Notes>,
}

impl Disk for TimedDisk {
    type File = TimedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<TimedFile> {
        Ok(TimedFile { file: self.disk.create(name)?, notes: Some(self.notes.clone()) })
    }

    fn open(&self, name: &str) -> io::Result<TimedFile> {
        Ok(TimedFile { file: self.disk.open(name)?, notes: None })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn salt(&self) -> u64 {
        self.disk.salt()
    }

    fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
}

impl DiskFile for TimedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(into, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file.write_at(slices, position)
    }

    fn block_bytes(&self) -> u32 {
        self.file.block_bytes()
    }

    fn write_frames_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let begin = Instant::now();
        self.file.write_frames_at(slices, position)?;
        if let Some(notes) = &self.notes {
            let end = Instant::now();
            let mut times = notes.lock();
            times.writes += 1;
            times.write += end - begin;
            times.last = Some(Last { write_begin: begin, sync_begin: end, sync_end: end });
        }
        Ok(())
    }

    fn write_zeros_at(&self, from: u64, to: u64) -> io::Result<()> {
        self.file.write_zeros_at(from, to)
    }

    fn read_bytes_at(&self, position: u64, length: usize) -> io::Result<Bytes> {
        self.file.read_bytes_at(position, length)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let begin = Instant::now();
        self.file.sync_data()?;
        if let Some(notes) = &self.notes {
            let end = Instant::now();
            let mut times = notes.lock();
            times.syncs += 1;
            times.sync += end - begin;
            if let Some(last) = &mut times.last {
                (last.sync_begin, last.sync_end) = (begin, end);
            }
        }
        Ok(())
    }
}
