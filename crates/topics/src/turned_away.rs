//! Producers whose first batch was turned away (the disk was full) after it had been decided.
//!
//! A producer that a partition does not know may begin with any sequence, because it may have been
//! forgotten. So without this the second batch, which is on its way already, would be taken when
//! there is room again, and the first one, when it is sent again, would be out of order for ever.
//! Volatile: a restart breaks the connections, and whoever connects anew begins with its first.

use crate::BatchHeader;
use std::collections::BTreeSet;

/// That many are remembered; beyond it others are judged as if nothing had been turned away, so that
/// producers who never come back do not shut the door for those who do.
const COUNT_MAX: usize = 10_000;

/// Topic name, partition, producer id.
type Key = (String, i32, i64);

/// Whose first batch must come before any other.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(BTreeSet<Key>);

impl TurnedAway {
    /// A batch was turned away.
    pub(crate) fn note(&mut self, topic: &str, partition: i32, header: &BatchHeader) {
        if !is_first(header) {
            return;
        }
        if self.0.len() >= COUNT_MAX {
            self.0.pop_first();
        }
        self.0.insert((topic.to_owned(), partition, header.producer_id));
    }

    /// A topic was deleted; another one of its name owes nothing to anybody.
    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// A batch got its place.
    pub(crate) fn placed(&mut self, topic: &str, partition: i32, header: &BatchHeader) {
        if !self.0.is_empty() && is_first(header) {
            self.0.remove(&(topic.to_owned(), partition, header.producer_id));
        }
    }

    /// Whether the producer's first batch must come before this one.
    pub(crate) fn misses_first(&self, topic: &str, partition: i32, header: &BatchHeader) -> bool {
        !self.0.is_empty()
            && header.is_idempotent()
            && !is_first(header)
            && self.0.contains(&(topic.to_owned(), partition, header.producer_id))
    }
}

fn is_first(header: &BatchHeader) -> bool {
    header.is_idempotent() && header.base_sequence == 0
}
