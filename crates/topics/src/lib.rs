//! The facts: topics, partitions, producers' windows, and consumer groups, as a pure machine.
//!
//! Invariants: offsets of a partition are dense and never reused; a group's committed offsets and
//! stable generation are journaled, heartbeats are not; nothing here does I/O, knows the time by
//! itself, or knows workflows.

pub mod ask;
pub mod batch;
pub mod batch_builder;
mod create_topics;
mod decompress;
mod delete_topics;
mod digest;
mod error_code;
mod facts;
mod group;
mod init_producer_id;
pub mod limits;
mod machine;
mod metadata;
pub mod op;
mod planned;
mod produce;
mod producer;
pub mod records;
mod topic;
pub mod topic_config;
mod topic_name;
mod turned_away;

pub use ask::{Ask, Effect, Reply};
pub use batch::{BatchHeader, BatchRef};
pub use batch_builder::BatchBuilder;
pub use decompress::Error as DecompressError;
pub use error_code::ErrorCode;
pub use group::RESERVED_PREFIX;
pub use limits::{Config, Limits};
pub use machine::Topics;
pub use op::Op;
pub use records::{Record, Records};
pub use topic::{Partition, Topic};
