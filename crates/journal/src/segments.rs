//! The segments that are being written to or stand ready, and the making of new ones.
//!
//! A new segment is allocated, gets its header, is synced, renamed, and its directory synced,
//! before anything may be placed in it. If that fails nothing is lost: the journal is full until
//! it succeeds.

use crate::disk;
use crate::queue::locked;
use crate::segment::{self, Segment, SegmentHeader};
use crate::{Disk, DiskFile, Error};
use base::planted::{self, Bug};
use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// What the appender needs of [`Segments`], whatever the disk.
pub(crate) trait Provide: Send + Sync {
    /// The last segment that is ready to be written to.
    fn prepared_through(&self) -> u32;
    /// Makes `number` ready, if it is not.
    fn provide(&self, number: u32) -> Result<(), Error>;
}

pub(crate) struct Segments<D: Disk> {
    disk: Arc<D>,
    salt: u64,
    capacity: u32,
    /// Held while a segment is being made.
    making: Mutex<()>,
    live: Mutex<BTreeMap<u32, Arc<Segment<D::File>>>>,
    prepared_through: AtomicU32,
}

impl<D: Disk> Segments<D> {
    /// New segments get `capacity`. Nothing is ready yet; the first one made is number 1.
    pub(crate) fn new(disk: Arc<D>, salt: u64, capacity: u32) -> Segments<D> {
        Segments {
            disk,
            salt,
            capacity,
            making: Mutex::new(()),
            live: Mutex::default(),
            prepared_through: AtomicU32::new(0),
        }
    }

    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }

    pub(crate) fn get(&self, number: u32) -> Result<Arc<Segment<D::File>>, Error> {
        let found = locked(&self.live).get(&number).cloned();
        found
            .ok_or_else(|| Error::Missing { file: self.disk.describe(&segment::file_name(number)) })
    }

    /// Closes the files of segments before `number`.
    pub(crate) fn forget_before(&self, number: u32) {
        let mut live = locked(&self.live);
        *live = live.split_off(&number);
    }

    /// The next segment to be taken over or made is `number`.
    pub(crate) fn start_at(&self, number: u32) {
        self.prepared_through.store(number - 1, Ordering::Release);
    }

    /// Takes over a segment found at start. Called in ascending order.
    pub(crate) fn adopt(&self, header: SegmentHeader) -> Result<Arc<Segment<D::File>>, Error> {
        let name = segment::file_name(header.number);
        let path = self.disk.describe(&name);
        let file = self.disk.open(&name).map_err(Error::io("open", &path))?;
        if let Err(error) = file.allocate(u64::from(header.capacity))
            && error.kind() != ErrorKind::Unsupported
        {
            // A full node must be able to start, so that it can be emptied.
            tracing::warn!(file = path, %error, "no room could be kept for the rest of the segment");
        }
        self.admit(header, path, file)
    }

    fn admit(
        &self,
        header: SegmentHeader,
        path: String,
        file: D::File,
    ) -> Result<Arc<Segment<D::File>>, Error> {
        let filler =
            self.disk.open(&segment::file_name(header.number)).map_err(Error::io("open", &path))?;
        let made = Arc::new(Segment::new(header, path, file, filler)?);
        locked(&self.live).insert(header.number, Arc::clone(&made));
        self.prepared_through.store(header.number, Ordering::Release);
        Ok(made)
    }

    fn make(&self, number: u32) -> Result<(), Error> {
        let temporary = segment::preparing_name(number);
        let path = self.disk.describe(&temporary);
        self.check_room(&path)?;
        match self.make_named(number, &temporary, &path) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Best effort: what stays behind is removed by the next attempt or start.
                drop(self.disk.remove(&temporary));
                Err(error)
            }
        }
    }

    /// Spares a full disk the making and removing of a file at every refused request.
    fn check_room(&self, path: &str) -> Result<(), Error> {
        let free = self.disk.free_bytes().map_err(Error::io("measure the room for", path))?;
        if free < u64::from(self.capacity) {
            return Err(Error::io("make room for", path)(ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    fn make_named(&self, number: u32, temporary: &str, path: &str) -> Result<(), Error> {
        let header = SegmentHeader { number, capacity: self.capacity, salt: self.salt };
        let file = match self.disk.create(temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.disk.remove(temporary).map_err(Error::io("remove", path))?;
                self.disk.create(temporary)
            }
            made => made,
        }
        .map_err(Error::io("create", path))?;
        match file.allocate(u64::from(self.capacity)) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                // No promise of room without writing: then write.
                disk::write_zeros(&file, 0, u64::from(self.capacity))
            }
            done => done,
        }
        .map_err(Error::io("allocate", path))?;
        file.write_all_at(&mut [IoSlice::new(&header.encode())], 0)
            .map_err(Error::io("write to", path))?;
        file.sync_data().map_err(Error::io("sync", path))?;
        let name = segment::file_name(number);
        self.disk.rename(temporary, &name).map_err(Error::io("rename", path))?;
        // Planted: the file is synced, is it not?
        let skipped = planted::is(Bug::SkipDirectoryFsync);
        if let Err(error) = if skipped { Ok(()) } else { self.disk.sync_dir() } {
            // The name may look durable to the next start and its next sync, and not be: it goes.
            drop(self.disk.remove(&name));
            return Err(Error::io("sync the directory of", path)(error));
        }
        self.admit(header, self.disk.describe(&name), file).map(drop)
    }
}

impl<D: Disk> Provide for Segments<D> {
    fn prepared_through(&self) -> u32 {
        self.prepared_through.load(Ordering::Acquire)
    }

    fn provide(&self, number: u32) -> Result<(), Error> {
        let _making = locked(&self.making);
        while self.prepared_through() < number {
            self.make(self.prepared_through() + 1)?;
        }
        Ok(())
    }
}
