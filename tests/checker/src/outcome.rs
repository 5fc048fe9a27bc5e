//! What clients are told, and what they may believe of it.

use serde::{Deserialize, Serialize};

use crate::{Event, Record};

/// What became of a request, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused: it was definitely not done and never will be. An error that leaves the
    /// slightest doubt is `Unknown`.
    Fail(Refusal),
    /// It may have been done, or may be done later: time-out, broken connection, ambiguous error.
    Unknown(String),
}

/// Why something was definitely not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A run with this workflow id is there.
    AlreadyStarted {
        /// Which.
        run_id: String,
    },
    /// No such thing, or it is over.
    NotFound,
    /// Anything else, in the server's words.
    Other(String),
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// It is done; there is nothing more to say.
    Done,
    /// There was nothing.
    Nothing,
    /// The record is in the log.
    Sent {
        /// In this partition.
        partition: i32,
        /// At this offset; none if the server said only that it is there (an old duplicate).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
    },
    /// These records, for each partition in the order in which they came.
    Records(Vec<Record>),
    /// A partition after the end, or a part of it.
    Log {
        /// The log's start offset.
        start: i64,
        /// The high watermark.
        end: i64,
        /// What was read.
        records: Vec<Record>,
    },
    /// An offset.
    Offset(i64),
    /// A committed offset, if there is one.
    Committed(Option<i64>),
    /// A run.
    Started {
        /// Its id.
        run_id: String,
        /// Whether this request (or one that it repeats) started it.
        started: bool,
    },
    /// How a run is.
    Described {
        /// Its id.
        run_id: String,
        /// Its status.
        status: Status,
        /// Attempt of the workflow task that is pending, if one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow_task: Option<u32>,
        /// Activities that are pending.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        activities: Vec<PendingActivity>,
    },
    /// A history from its first event.
    History {
        /// The run.
        run_id: String,
        /// Its events as far as they were read. Events that are only promised (a transient
        /// workflow task) are left out.
        events: Vec<Event>,
    },
    /// A workflow task.
    WorkflowTask {
        /// The workflow.
        workflow_id: String,
        /// The run.
        run_id: String,
        /// Id of the event that scheduled it.
        scheduled: i64,
        /// Id of the event that started it.
        started: i64,
        /// The attempt.
        attempt: u32,
        /// The history that came with it, whole or its last part, without promised events.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Event>,
    },
    /// An activity task.
    ActivityTask {
        /// The workflow.
        workflow_id: String,
        /// The run.
        run_id: String,
        /// The activity.
        activity_id: String,
        /// The attempt.
        attempt: u32,
    },
}

/// An activity that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingActivity {
    /// The activity.
    pub activity_id: String,
    /// Its attempt.
    pub attempt: u32,
    /// When the next attempt may begin, if it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at_us: Option<i64>,
}

/// Status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Open.
    Running,
    /// Closed in one of these ways.
    Completed,
    /// Failed.
    Failed,
    /// Canceled.
    Canceled,
    /// Terminated.
    Terminated,
    /// Followed by another run.
    ContinuedAsNew,
    /// Timed out.
    TimedOut,
}
