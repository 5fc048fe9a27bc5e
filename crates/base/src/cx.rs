//! What a decision may know beside the state: the time, and random numbers drawn from outside.

use crate::Timestamp;
use std::cell::Cell;
use uuid::Uuid;

/// A source of random numbers. The node's is seeded by the operating system, a simulation's by
/// its seed. Numbers are drawn in `decide` and journaled, never drawn again in `apply`.
pub trait Entropy {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}

/// The surroundings of one decision.
pub struct Cx<'a> {
    /// The writer's time. Never before the last entry's.
    pub now: Timestamp,
    /// Where random numbers come from.
    pub entropy: &'a dyn Entropy,
}

impl Cx<'_> {
    /// A fresh version 4 UUID.
    pub fn uuid(&self) -> Uuid {
        let (high, low) = (self.entropy.next_u64(), self.entropy.next_u64());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
            .into_uuid()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable, for tests and simulation only.
#[derive(Debug)]
pub struct SeededEntropy(Cell<u64>);

impl SeededEntropy {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy(Cell::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
