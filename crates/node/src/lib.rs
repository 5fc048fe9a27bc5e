//! The writer and the committer: owns the machines, joins them in one entry, serves reads.
//!
//! Invariants: one thread owns all machines, and there is no lock around them; nothing leaves
//! (answers, refusals, reads, wake-ups, tasks, published batches) before all it depends on is on
//! disk; a request that concerns several machines is one entry or none; every queue is bounded.

#[allow(dead_code)]
mod caller;
mod clock;
#[allow(dead_code)]
mod committer;
mod crash_point;
mod entropy;
#[allow(dead_code)]
mod entry;
mod error;
mod fetch_waiter;
#[allow(dead_code)]
mod held;
mod hot_tail;
#[allow(dead_code)]
mod inbox;
#[allow(dead_code)]
mod journal_port;
#[allow(dead_code)]
mod machines;
#[allow(dead_code)]
mod published;
mod published_partition;
#[allow(dead_code)]
mod writer;

pub use clock::{Clock, ManualClock, SystemClock};
pub use crash_point::{CrashPoint, LastWords};
pub use entropy::SystemEntropy;
pub use error::Error;
pub use inbox::Principal;
pub use published::{PublishedLog, PublishedTopic};
