//! The intent: namespaces, executions, timers, activities and task matching, as a pure machine.
//!
//! Invariants: every change of an execution is an op, most of them history events; the same
//! `apply` runs live and in recovery; nothing here does I/O, knows the time by itself, or knows
//! topics. The vocabulary is Temporal's own messages.

pub mod ask;

pub use ask::{
    ActivityTask, Ask, Effect, EventBatch, HistoryAsk, HistorySlice, Refusal, Reply, TaskToken,
    WorkflowTask,
};
