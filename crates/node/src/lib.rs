//! The writer and the committer: owns the machines, joins them in one entry, serves reads.
//!
//! Invariants: one thread owns all machines, and there is no lock around them; nothing leaves
//! (answers, refusals, reads, wake-ups, tasks, published batches) before all it depends on is on
//! disk; a request that concerns several machines is one entry or none; every queue is bounded.

mod ask;
mod ask_size;
mod caller;
mod clock;
mod cold_reads;
mod committer;
mod crash_point;
mod entropy;
mod entry;
mod error;
mod fetch_waiter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group_view;
mod handle;
mod held;
mod hot_tail;
mod inbox;
mod join;
mod joined;
mod journal_port;
mod machines;
mod node;
mod op;
mod publish_argument;
mod published;
mod published_partition;
mod publisher;
mod revival;
mod route_pump;
#[cfg(feature = "simulated")]
mod stepped;
mod supervision;
mod writer;

pub use clock::{Clock, ManualClock, SteeredClock, SystemClock};
pub use committer::OnFailure;
pub use crash_point::{CrashPoint, LastWords};
pub use entropy::SystemEntropy;
pub use error::Error;
pub use handle::{Delivered, Handle, PendingTopics};
pub use inbox::Principal;
pub use node::{Limits, Node, NodeGuard, NodeOptions, OpenError};
pub use published::{PublishedLog, PublishedTopic};
#[cfg(feature = "simulated")]
pub use stepped::{Rebuilt, SteppedNode};

#[cfg(test)]
mod gate {
    #[test]
    fn planted_bugs_are_caught() {
        planted::gate("node");
    }
}
