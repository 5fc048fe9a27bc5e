//! A disk that forgets: its writes and syncs do nothing. What remains is what a broker does itself.
//!
//! Refuses to read: what was written is gone. A node on it serves only what is still in memory.

use journal::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk: names and lengths.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullDisk {
    files: Arc<Mutex<BTreeMap<String, NullFile>>>,
}

/// A file of it: a length.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullFile {
    length: Arc<AtomicU64>,
}

impl NullDisk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, NullFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for NullDisk {
    type File = NullFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<NullFile> {
        let file = NullFile::default();
        match self.lock().insert(name.to_owned(), file.clone()) {
            None => Ok(file),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn open(&self, name: &str) -> io::Result<NullFile> {
        self.lock().get(name).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.lock();
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn salt(&self) -> u64 {
        1
    }

    fn describe(&self, name: &str) -> String {
        format!("nowhere/{name}")
    }
}

impl DiskFile for NullFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length.load(Ordering::Relaxed))
    }

    fn read_at(&self, _into: &mut [u8], _position: u64) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let count: usize = slices.iter().map(|slice| slice.len()).sum();
        self.length.fetch_max(position + count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
