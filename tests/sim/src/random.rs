//! Choices drawn from a seed. Streams of different names are independent of each other, so that
//! one more draw in one place does not change everything elsewhere.

use base::{Entropy, SeededEntropy};
use std::time::Duration;

/// A stream of choices.
#[derive(Debug)]
pub struct Random(SeededEntropy);

impl Random {
    /// The stream of this name, of this seed.
    pub fn new(seed: u64, name: &str) -> Random {
        // FNV-1a: any fixed mixing will do.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        Random(SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash))
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// So many milliseconds, both bounds included.
    pub fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// A fresh seed.
    pub fn seed(&self) -> u64 {
        self.0.next_u64()
    }
}
