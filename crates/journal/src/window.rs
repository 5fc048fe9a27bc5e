//! Reads a file front to back in large pieces, handing out slices without copying.

use crate::disk::read_full;
use crate::{DiskFile, Error};
use bytes::Bytes;

/// Read at once, unless more is asked for.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

pub(crate) struct Window<'a, F> {
    file: &'a F,
    path: &'a str,
    length: u64,
    start: u64,
    bytes: Bytes,
}

impl<'a, F: DiskFile> Window<'a, F> {
    pub(crate) fn new(file: &'a F, path: &'a str) -> Result<Window<'a, F>, Error> {
        let length = file.len().map_err(Error::io("measure", path))?;
        Ok(Window { file, path, length, start: 0, bytes: Bytes::new() })
    }

    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    /// Length of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Up to `count` bytes at `position`; fewer only at the end of the file. The caller has
    /// checked `count` against what a segment can hold.
    pub(crate) fn get(&mut self, position: u64, count: usize) -> Result<Bytes, Error> {
        let left = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = count.min(left);
        if position < self.start || position + count as u64 > self.start + self.bytes.len() as u64 {
            let mut bytes = vec![0; count.max(WINDOW_BYTES.min(left))];
            let read =
                read_full(self.file, &mut bytes, position).map_err(Error::io("read", self.path))?;
            bytes.truncate(read);
            self.bytes = bytes.into();
            self.start = position;
        }
        let from = (position - self.start) as usize;
        Ok(self.bytes.slice(from..(from + count).min(self.bytes.len())))
    }
}
