//! The facts: topics, partitions, producers' windows, and consumer groups, as a pure machine.
//!
//! Invariants: offsets of a partition are dense and never reused; a group's committed offsets and
//! stable generation are journaled, heartbeats are not; nothing here does I/O, knows the time by
//! itself, or knows workflows.

pub mod ask;
mod batch;
mod error_code;

pub use ask::{Ask, Effect, Reply};
pub use batch::{BatchHeader, BatchRef};
pub use error_code::ErrorCode;
