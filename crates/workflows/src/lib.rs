//! The intent: namespaces, executions, timers, activities and task matching, as a pure machine.
//!
//! Invariants: every change of an execution is an op, most of them history events; the same
//! `apply` runs live and in recovery; nothing here does I/O, knows the time by itself, or knows
//! topics. The vocabulary is Temporal's own messages.

#![allow(deprecated, reason = "older SDKs still write and read these fields")]

pub mod ask;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod limits;
pub mod op;

mod activity;
mod activity_task;
mod command;
mod complete;
mod control;
mod describe;
mod expire;
mod history_wait;
mod machine;
mod matching;
mod namespace;
mod poll;
mod proto;
mod query;
mod request_ids;
mod run;
mod signal;
mod start;
mod successor;
mod token;
mod transaction;
mod workflow_task;

pub use ask::{
    ActivityTask, Ask, Effect, EventBatch, HistoryAsk, HistorySlice, Refusal, Reply, TaskToken,
    WorkflowTask,
};
pub use limits::Limits;
pub use machine::Workflows;
pub use matching::RESERVED_QUEUE;
pub use op::Op;
