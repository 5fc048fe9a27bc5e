//! Turns a group of entries into one vectored write.
//!
//! Headers, tables, meta and padding are laid out in one arena; large blobs stay where they are and
//! are pointed to.

use crate::format::{HEADER_BYTES, padded};
use crate::frame::{Epochs, Header, Kind, Place};
use crate::queue::Pending;
use base::Lsn;
use std::io::IoSlice;
use std::ops::Range;

/// Blobs up to this size are copied: cheaper than one more slice for the kernel to walk.
const BLOB_COPY_BYTES_MAX: usize = 1024;
/// An arena that has grown above this is given back after its group.
const ARENA_KEPT_BYTES_MAX: usize = 1 << 20;

enum Part {
    Arena(Range<usize>),
    Blob { entry: usize, blob: usize },
}

/// What all frames of a group have in common.
#[derive(Clone, Copy)]
pub(crate) struct GroupFacts {
    pub(crate) salt: u64,
    pub(crate) segment: u32,
    /// Where the group begins: all before it is synced.
    pub(crate) start: u32,
    pub(crate) durable: Lsn,
    pub(crate) epochs: Epochs,
}

impl GroupFacts {
    fn place(&self, position: u32) -> Place {
        Place { salt: self.salt, segment: self.segment, position }
    }
}

#[derive(Default)]
pub(crate) struct GroupBuffer {
    arena: Vec<u8>,
    parts: Vec<Part>,
}

impl GroupBuffer {
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.arena.clear();
        self.arena.shrink_to(ARENA_KEPT_BYTES_MAX);
    }

    /// Adds the frame of entry number `index` of the group.
    pub(crate) fn push_entry(&mut self, index: usize, pending: &Pending, facts: &GroupFacts) {
        let entry = &pending.entry;
        let mut table = Vec::with_capacity(entry.blobs.len() * 8);
        for blob in &entry.blobs {
            table.extend_from_slice(&(blob.bytes().len() as u32).to_le_bytes());
            table.extend_from_slice(&blob.crc().to_le_bytes());
        }
        let place = facts.place(pending.position);
        let header = Header {
            length: pending.frame_bytes - HEADER_BYTES,
            payload_crc: place.payload_crc(facts.epochs.generation, &table, &entry.meta),
            kind: Kind::Entry,
            cause: entry.cause,
            lsn: pending.lsn,
            durable: facts.durable,
            boot_epoch: facts.epochs.boot_epoch,
            generation: facts.epochs.generation,
            synced: facts.start,
            meta_bytes: entry.meta.len() as u32,
            blob_count: entry.blobs.len() as u32,
        };
        self.copy(&header.encode(place));
        self.copy(&table);
        self.copy(&entry.meta);
        for (number, blob) in entry.blobs.iter().enumerate() {
            if blob.bytes().len() <= BLOB_COPY_BYTES_MAX {
                self.copy(blob.bytes());
            } else {
                self.parts.push(Part::Blob { entry: index, blob: number });
            }
        }
        let frame_bytes = u64::from(pending.frame_bytes);
        let padding = (padded(frame_bytes) - frame_bytes) as usize;
        self.copy(&[0; 8][..padding]);
    }

    /// Adds a frame that is no entry.
    pub(crate) fn push_bare(&mut self, kind: Kind, lsn: Lsn, position: u32, facts: &GroupFacts) {
        let mut header = Header::bare(kind, lsn, facts.epochs, facts.start);
        header.durable = facts.durable;
        self.copy(&header.encode(facts.place(position)));
    }

    /// The group as slices to write one after the other.
    pub(crate) fn slices<'a>(&'a self, group: &'a [Pending]) -> Vec<IoSlice<'a>> {
        let slice = |part: &'a Part| match part {
            Part::Arena(range) => IoSlice::new(&self.arena[range.clone()]),
            Part::Blob { entry, blob } => IoSlice::new(group[*entry].entry.blobs[*blob].bytes()),
        };
        self.parts.iter().map(slice).collect()
    }

    fn copy(&mut self, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        let end = self.arena.len();
        match self.parts.last_mut() {
            Some(Part::Arena(range)) => range.end = end,
            _ => self.parts.push(Part::Arena(start..end)),
        }
    }
}
