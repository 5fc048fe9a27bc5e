//! Large blobs that were read from disk a moment ago, or are being read.
//!
//! Who reads a partition from its beginning asks for one batch after the other. What comes next is
//! read while the last answer is on its way, and whoever asks for a blob that is being read waits
//! for that read. One budget; the oldest leave first.

use base::BlobAddr;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// A blob, once it has been read.
pub(crate) type Cell = Arc<OnceCell<Bytes>>;

/// A first-in first-out cache of blobs, and of the reads under way.
pub(crate) struct ColdReads {
    state: Mutex<State>,
    budget_bytes: usize,
}

#[derive(Default)]
struct State {
    cells: HashMap<BlobAddr, Cell>,
    oldest_first: VecDeque<BlobAddr>,
    size_bytes: usize,
}

impl ColdReads {
    pub(crate) fn new(budget_bytes: usize) -> ColdReads {
        ColdReads { state: Mutex::default(), budget_bytes }
    }

    /// The blob's place, and whether it is new here: then somebody has to read it.
    pub(crate) fn cell(&self, address: BlobAddr) -> (Cell, bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = state.cells.get(&address) {
            return (Arc::clone(cell), false);
        }
        let cell = Cell::default();
        state.cells.insert(address, Arc::clone(&cell));
        state.oldest_first.push_back(address);
        state.size_bytes += address.length as usize;
        // Who holds a cell that leaves keeps it; the newest stays whatever its size.
        while state.size_bytes > self.budget_bytes && state.oldest_first.len() > 1 {
            if let Some(oldest) = state.oldest_first.pop_front() {
                state.cells.remove(&oldest);
                state.size_bytes -= oldest.length as usize;
            }
        }
        (cell, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(position: u32, length: u32) -> BlobAddr {
        BlobAddr { segment: 0, position, length, crc: 0 }
    }

    #[test]
    fn the_oldest_leave_when_the_budget_is_used_up() {
        let reads = ColdReads::new(250);
        let (first, is_new) = reads.cell(address(0, 100));
        assert!(is_new);
        assert!(!reads.cell(address(0, 100)).1, "it is being read already");
        first.set(Bytes::from_static(b"read")).unwrap();
        assert_eq!(reads.cell(address(0, 100)).0.get(), first.get());
        reads.cell(address(1, 100));
        reads.cell(address(2, 100));
        assert!(!reads.cell(address(2, 100)).1 && !reads.cell(address(1, 100)).1);
        assert!(reads.cell(address(0, 100)).1, "the oldest has left");
        assert!(reads.cell(address(3, 1_000)).1);
        assert!(!reads.cell(address(3, 1_000)).1, "larger than the budget, and the only one");
        assert!(reads.cell(address(2, 100)).1);
    }
}
