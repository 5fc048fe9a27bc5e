//! Reads blobs back by address. Every read is checked: what does not match its CRC is not served.

use crate::queue::locked;
use crate::{Disk, DiskFile, Error, segment};
use base::BlobAddr;
use base::hash::crc32c;
use base::planted::{self, Bug};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Reads blobs. Cheap to clone; may be used by many threads at once.
///
/// Only blobs of durable entries may be asked for: before that the bytes may not be there yet.
pub struct Reader<D: Disk> {
    inner: Arc<Inner<D>>,
}

struct Inner<D: Disk> {
    disk: Arc<D>,
    blob_bytes_max: usize,
    open_files_max: usize,
    /// Segment files opened for reading, the most recently used last.
    open: Mutex<VecDeque<(u32, Arc<D::File>)>>,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Reader<D> {
        Reader { inner: Arc::clone(&self.inner) }
    }
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(disk: Arc<D>, blob_bytes_max: usize, open_files_max: usize) -> Reader<D> {
        let open = Mutex::default();
        Reader { inner: Arc::new(Inner { disk, blob_bytes_max, open_files_max, open }) }
    }

    /// The blob at `address`. Blocks on the disk.
    pub fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        let name = self.inner.disk.describe(&segment::file_name(address.segment));
        let damaged = |reason: &str| Error::Damaged {
            file: name.clone(),
            offset: address.position.into(),
            reason: reason.into(),
        };
        let length = address.length as usize;
        if length > self.inner.blob_bytes_max {
            return Err(damaged("the blob address is longer than any entry"));
        }
        let file = self.inner.file(address.segment, &name)?;
        let bytes = file
            .read_bytes_at(address.position.into(), length)
            .map_err(Error::io("read", &name))?;
        if bytes.len() < length {
            return Err(damaged("the file ends inside a blob"));
        }
        // Planted: the disk has checksums of its own.
        if crc32c(&bytes) != address.crc && !planted::is(Bug::DamagedBytesServed) {
            return Err(damaged("the blob's CRC does not match"));
        }
        Ok(bytes)
    }
}

impl<D: Disk> Inner<D> {
    fn file(&self, number: u32, path: &str) -> Result<Arc<D::File>, Error> {
        let mut open = locked(&self.open);
        let found = open.iter().position(|(open_number, _)| *open_number == number);
        if let Some(entry) = found.and_then(|index| open.remove(index)) {
            let file = Arc::clone(&entry.1);
            open.push_back(entry);
            return Ok(file);
        }
        let file = self.disk.open(&segment::file_name(number));
        let file = Arc::new(file.map_err(Error::io("open", path))?);
        if open.len() >= self.open_files_max {
            open.pop_front();
        }
        open.push_back((number, Arc::clone(&file)));
        Ok(file)
    }
}
