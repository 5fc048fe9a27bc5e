//! The bytes appended last, kept in memory for readers who follow the end of the log.
//!
//! One budget for all partitions and histories. The oldest leave first, whoever they belong to.
//! What is counted is what is pinned: small blobs are copied out of the network buffer they came
//! in; larger ones are kept as slices, and the slices of one frame enter and leave side by side,
//! so that at most one frame is pinned beyond the budget.

use base::BlobAddr;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// Blobs up to this size are copied: a connection's buffer is larger than that.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// What an entry costs beside its bytes: two addresses, a `Bytes`, and the map's slack.
const OVERHEAD_BYTES: usize = 128;

/// A first-in first-out cache of blobs.
#[derive(Debug)]
pub(crate) struct HotTail {
    blobs: HashMap<BlobAddr, Bytes>,
    oldest_first: VecDeque<BlobAddr>,
    size_bytes: usize,
    budget_bytes: usize,
}

impl HotTail {
    pub(crate) fn new(budget_bytes: usize) -> HotTail {
        HotTail {
            blobs: HashMap::new(),
            oldest_first: VecDeque::new(),
            size_bytes: 0,
            budget_bytes,
        }
    }

    pub(crate) fn insert(&mut self, address: BlobAddr, bytes: Bytes) {
        let cost = bytes.len() + OVERHEAD_BYTES;
        if cost > self.budget_bytes {
            return;
        }
        let bytes =
            if bytes.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&bytes) } else { bytes };
        if self.blobs.insert(address, bytes).is_none() {
            self.oldest_first.push_back(address);
            self.size_bytes += cost;
        }
        while self.size_bytes > self.budget_bytes {
            self.evict();
        }
    }

    pub(crate) fn get(&self, address: &BlobAddr) -> Option<Bytes> {
        self.blobs.get(address).cloned()
    }

    fn evict(&mut self) {
        if let Some(oldest) = self.oldest_first.pop_front() {
            self.blobs.remove(&oldest);
            self.size_bytes -= oldest.length as usize + OVERHEAD_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(position: u32, length: usize) -> BlobAddr {
        BlobAddr { segment: 0, position, length: u32::try_from(length).unwrap(), crc: 0 }
    }

    #[test]
    fn the_oldest_leave_when_the_budget_is_used_up() {
        let budget = 3 * (100 + OVERHEAD_BYTES);
        let mut tail = HotTail::new(budget);
        for position in 0..4 {
            tail.insert(address(position, 100), Bytes::from(vec![position as u8; 100]));
        }
        assert_eq!(tail.get(&address(0, 100)), None);
        assert_eq!(tail.get(&address(3, 100)).unwrap()[0], 3);
        assert_eq!(tail.size_bytes, budget);
        tail.insert(address(9, budget), Bytes::from(vec![0; budget]));
        assert_eq!(tail.get(&address(9, budget)), None, "larger than the whole budget");
        assert!(tail.get(&address(3, 100)).is_some());
    }
}
