//! What clients ask.

use serde::{Deserialize, Serialize};

use crate::{Delivery, OpId, Partition, Place};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Write one record. Answer: `Sent`.
    Send {
        /// The producer's name. (process, producer) is one producer of one life: its sends are
        /// pipelined in the order of their invoke lines.
        producer: String,
        /// What its library may do with it.
        delivery: Delivery,
        /// The topic.
        topic: String,
        /// The partition, if it is chosen before the answer is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<i32>,
        /// The key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The id inside the value.
        value: u64,
        /// Digest of the value's bytes.
        digest: u64,
        /// The request that this one repeats under the same sequence number. Another send of the
        /// same value without it may become another record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeats: Option<OpId>,
    },
    /// Read what comes next. Answer: `Records`.
    Poll {
        /// The consumer's name.
        consumer: String,
        /// Its group, if it is in one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Where it asks to read from, if the client decides that itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        from: Vec<Place>,
    },
    /// Read a partition, or a part of it, after the end of the run. Several of them may cover one
    /// partition. Answer: `Log`.
    ReadLog(Partition),
    /// The high watermark. Answer: `Offset`.
    EndOffset(Partition),
    /// The first offset that can be read. Answer: `Offset`.
    StartOffset(Partition),
    /// Drop all records below the offset. Answer: `Offset`, the new start.
    DeleteRecords(Place),
    /// Commit this offset. Answer: `Done`.
    Commit {
        /// The group.
        group: String,
        /// The offset that is committed (the next to read).
        place: Place,
    },
    /// Ask for the committed offset. Answer: `Committed`.
    FetchCommitted {
        /// The group.
        group: String,
        /// The partition.
        partition: Partition,
    },
    /// Start a workflow. Answer: `Started`.
    Start {
        /// The workflow's id.
        workflow_id: String,
        /// The same in each repetition of one start.
        request_id: String,
        /// The id inside the input: one for each start that is meant, the same in repetitions.
        value: u64,
    },
    /// Signal a workflow. Answer: `Done`.
    Signal {
        /// The workflow's id.
        workflow_id: String,
        /// The same in each repetition of one signal.
        request_id: String,
        /// The signal's name.
        name: String,
        /// The id inside the input: one for each signal that is meant, the same in repetitions.
        value: u64,
    },
    /// Signal a workflow, start it if there is none. Answer: `Started`.
    SignalWithStart {
        /// The workflow's id.
        workflow_id: String,
        /// The same in each repetition.
        request_id: String,
        /// The signal's name.
        name: String,
        /// The id inside the signal's input.
        value: u64,
    },
    /// Ask a workflow to cancel itself. Answer: `Done`.
    RequestCancel {
        /// The workflow's id.
        workflow_id: String,
        /// The same in each repetition.
        request_id: String,
    },
    /// End a workflow. Answer: `Done`.
    Terminate {
        /// The workflow's id.
        workflow_id: String,
    },
    /// Look at a run. Answer: `Described`.
    Describe {
        /// The workflow's id.
        workflow_id: String,
        /// The run; the current one if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Read a run's history from its first event. Answer: `History`.
    History {
        /// The workflow's id.
        workflow_id: String,
        /// The run; the current one if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Wait for a workflow task. Answer: `WorkflowTask` or `Nothing`.
    PollWorkflowTask {
        /// The task queue.
        queue: String,
    },
    /// Answer a workflow task. Answer: `Done`.
    EndWorkflowTask {
        /// The run.
        run_id: String,
        /// Id of the event that started the task.
        started: i64,
        /// The task's attempt.
        attempt: u32,
        /// How.
        end: WorkflowTaskEnd,
    },
    /// Wait for an activity task. Answer: `ActivityTask` or `Nothing`.
    PollActivityTask {
        /// The task queue.
        queue: String,
    },
    /// Answer an activity task. Answer: `Done`.
    EndActivityTask {
        /// The run.
        run_id: String,
        /// The activity.
        activity_id: String,
        /// The attempt.
        attempt: u32,
        /// How.
        end: ActivityEnd,
    },
    /// Say that an activity is alive. Answer: `Done`.
    Heartbeat {
        /// The run.
        run_id: String,
        /// The activity.
        activity_id: String,
        /// The attempt.
        attempt: u32,
    },
}

/// How a worker answers a workflow task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowTaskEnd {
    /// With commands.
    Completed,
    /// It could not.
    Failed,
}

/// How a worker answers an activity task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityEnd {
    /// Done; with the id inside the result, unique for each answer, if it carries one.
    Completed(Option<u64>),
    /// Failed, may be tried again.
    Failed,
    /// Failed for good.
    FailedForGood,
    /// Canceled, as it was asked to be.
    Canceled,
}
