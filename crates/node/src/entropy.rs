//! Random numbers for production, seeded by the operating system.
//!
//! Drawn in `decide` only and journaled as outcomes, so replay never draws any.

use base::Entropy;
use std::cell::RefCell;

/// Numbers from the operating system, fetched a page at a time.
#[derive(Debug)]
pub struct SystemEntropy(RefCell<Pool>);

#[derive(Debug)]
struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

/// One call of the operating system for 64 numbers.
const POOL_BYTES: usize = 512;

impl SystemEntropy {
    /// An empty pool; the first number fills it.
    pub fn new() -> SystemEntropy {
        SystemEntropy(RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }))
    }
}

impl Default for SystemEntropy {
    fn default() -> SystemEntropy {
        SystemEntropy::new()
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the operating system has no random numbers: ids would collide, so the node must not go on.
    #[allow(clippy::expect_used, reason = "without random numbers there are no ids")]
    fn next_u64(&self) -> u64 {
        let mut pool = self.0.borrow_mut();
        if pool.used == POOL_BYTES {
            getrandom::fill(&mut pool.bytes).expect("the operating system gives random numbers");
            pool.used = 0;
        }
        let mut number = [0; 8];
        let used = pool.used;
        number.copy_from_slice(&pool.bytes[used..used + 8]);
        pool.bytes[used..used + 8].fill(0);
        pool.used += 8;
        u64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_do_not_repeat() {
        let entropy = SystemEntropy::new();
        let drawn: HashSet<u64> = (0..1_000).map(|_| entropy.next_u64()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
