//! Words that every crate shares: ids, time, randomness, checksums and the shape of a machine.
//!
//! Invariants: nothing here does I/O, looks at a clock or draws a random number by itself; all
//! of that comes in through [`Cx`]. Nothing here knows Kafka or Temporal. The one exception is
//! never in a shipped binary: with the feature `planted`, an environment variable is read.

mod blob;
mod cx;
pub mod hash;
mod ids;
mod machine;
pub mod planted;
mod time;

pub use blob::{Blob, BlobAddr};
pub use cx::{Cx, Entropy, SeededEntropy};
pub use ids::{Lsn, PartitionId, RunId, Ticket, TopicId};
pub use machine::{Cause, JournalOp, Machine, OpError, OpKind, Verdict};
pub use time::Timestamp;
pub use uuid::Uuid;
