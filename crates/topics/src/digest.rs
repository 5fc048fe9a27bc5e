//! One number for a state, to compare a replayed machine with a live one.

use std::fmt::{self, Debug, Write};

/// FNV-1a over the state's `Debug` form, which is deterministic for ordered collections.
pub(crate) fn digest(state: &impl Debug) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Writing into a hash cannot fail.
    let _ = write!(hash, "{state:?}");
    hash.0
}

struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
