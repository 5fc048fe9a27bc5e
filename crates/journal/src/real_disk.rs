//! A directory of a real file system, locked against a second process.
//!
//! Refuses: a directory another process has open.

use crate::direct::{BLOCK_BYTES, DirectFile};
use crate::disk::{read_bytes, write_zeros};
use crate::{Disk, DiskFile, Error};
use bytes::Bytes;
use rustix::fs::FallocateFlags;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Name of the file that is locked. What is in it does not matter.
pub(crate) const LOCK: &str = "LOCK";

/// Smaller reads are worth what the system reads and keeps with them: their neighbours come next.
const DIRECT_READ_BYTES_MIN: usize = 128 << 10;

/// A locked directory.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl RealDisk {
    /// Makes the directory if need be, and locks it.
    pub fn open(directory: impl AsRef<Path>) -> Result<RealDisk, Error> {
        let directory = directory.as_ref().to_path_buf();
        let name = directory.display().to_string();
        create_durably(&directory).map_err(Error::io("create directory", &name))?;
        let lock = lock(&directory)?;
        Ok(RealDisk { directory, _lock: lock })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Makes a directory and its parents; each new name is synced in its parent.
fn create_durably(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_durably(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        made => made?,
    }
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let name = path.display().to_string();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Locked { directory: directory.display().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &name)(error)),
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for found in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours; changed it is not, either.
            names.push(found?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.create_new(true);
        RealFile::open(&mut options, &self.path(name))
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        RealFile::open(&mut OpenOptions::new(), &self.path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn salt(&self) -> u64 {
        // The standard library seeds this from the operating system.
        RandomState::new().build_hasher().finish()
    }

    fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// A file of a [`RealDisk`]. Frames and large blobs bypass the page cache where the file system
/// lets them.
#[derive(Debug)]
pub struct RealFile {
    cached: File,
    direct: Option<DirectFile>,
}

impl RealFile {
    fn open(options: &mut OpenOptions, path: &Path) -> io::Result<RealFile> {
        let cached = options.read(true).write(true).open(path)?;
        Ok(RealFile { cached, direct: DirectFile::open(path) })
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.cached.read_at(into, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.cached, slices, position)?)
    }

    fn block_bytes(&self) -> u32 {
        self.direct.as_ref().map_or(1, |_| BLOCK_BYTES)
    }

    fn write_frames_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => direct.write_all(slices, position),
            None => self.write_all_at(slices, position),
        }
    }

    fn write_zeros_at(&self, from: u64, to: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => direct.write_zeros(from, to),
            None => write_zeros(self, from, to),
        }
    }

    fn read_bytes_at(&self, position: u64, length: usize) -> io::Result<Bytes> {
        match &self.direct {
            Some(direct) if length >= DIRECT_READ_BYTES_MIN => direct.read(position, length),
            _ => read_bytes(self, position, length),
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.cached, FallocateFlags::KEEP_SIZE, 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // One opening only: each reports a failed write-back once, and for whatever was written to
        // the file since it was opened.
        match &self.direct {
            Some(direct) => direct.sync_data(),
            None => self.cached.sync_data(),
        }
    }
}
