//! History events, as far as they matter to the judge.

use serde::{Deserialize, Serialize};

use crate::{Place, Status};

/// One event of a run's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id: 1, 2, 3, ...
    pub id: i64,
    /// Its time, as the server wrote it.
    pub at_us: i64,
    /// What happened.
    pub kind: Kind,
    /// [`crate::digest`] of the event's bytes, if the client has them: any change is seen then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u64>,
}

/// What an event says. Ids of other events are those of the same run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The first event.
    Started {
        /// The workflow's type.
        workflow_type: String,
        /// The id inside the input, if it carries one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u64>,
        /// The record that a route started it for, if one did (mode `Start`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<Place>,
        /// The run that this one continues (also as a retry).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continued_from: Option<String>,
        /// How long the first workflow task is held back.
        #[serde(default, skip_serializing_if = "is_zero")]
        backoff_ms: i64,
    },
    /// A workflow task is ready.
    WorkflowTaskScheduled {
        /// Its attempt.
        attempt: u32,
    },
    /// A worker has it.
    WorkflowTaskStarted {
        /// The event that scheduled it.
        scheduled: i64,
    },
    /// The worker answered.
    WorkflowTaskCompleted {
        /// The event that scheduled it.
        scheduled: i64,
        /// The event that started it.
        started: i64,
    },
    /// The worker could not, or its answer was not accepted.
    WorkflowTaskFailed {
        /// The event that scheduled it.
        scheduled: i64,
        /// The event that started it.
        started: i64,
    },
    /// Nobody answered.
    WorkflowTaskTimedOut {
        /// The event that scheduled it.
        scheduled: i64,
        /// The event that started it; 0 if nobody took it.
        started: i64,
    },
    /// A signal arrived.
    Signaled {
        /// Its name.
        name: String,
        /// The id inside its input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u64>,
        /// The record that a route sent it for, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<Place>,
    },
    /// A timer runs.
    TimerStarted {
        /// Its id.
        timer_id: String,
        /// How long.
        duration_ms: i64,
    },
    /// A timer fired.
    TimerFired {
        /// The event that started it.
        started: i64,
    },
    /// A timer was canceled.
    TimerCanceled {
        /// The event that started it.
        started: i64,
    },
    /// An activity is ordered.
    ActivityScheduled {
        /// The activity.
        activity_id: String,
        /// The record that it is to publish, if it is of the type `mainstay.publish`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emit: Option<Emit>,
        /// The shortest time after which an attempt that a worker has may be given up
        /// (start-to-close or heartbeat time-out); none if not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt_ms: Option<i64>,
        /// The most attempts; 0 for no limit.
        #[serde(default, skip_serializing_if = "is_zero_attempts")]
        maximum_attempts: u32,
    },
    /// The attempt that ended it was started.
    ActivityStarted {
        /// The event that scheduled it.
        scheduled: i64,
        /// The attempt.
        attempt: u32,
    },
    /// A worker did it.
    ActivityCompleted {
        /// The event that scheduled it.
        scheduled: i64,
        /// The id inside the result, if it carries one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u64>,
        /// Where the published record is, if it published one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<Place>,
    },
    /// It failed for good.
    ActivityFailed {
        /// The event that scheduled it.
        scheduled: i64,
    },
    /// It took too long.
    ActivityTimedOut {
        /// The event that scheduled it.
        scheduled: i64,
    },
    /// It is asked to cancel itself.
    ActivityCancelRequested {
        /// The event that scheduled it.
        scheduled: i64,
    },
    /// It canceled itself.
    ActivityCanceled {
        /// The event that scheduled it.
        scheduled: i64,
    },
    /// The workflow is asked to cancel itself.
    CancelRequested,
    /// The last event.
    Closed(RunEnd),
    /// An event that does not matter here, by the name of its type.
    Other(String),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The status it ended with.
    pub status: Status,
    /// The run that follows it (continue-as-new, retry).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_id: Option<String>,
}

/// A record that a workflow publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emit {
    /// To this topic.
    pub topic: String,
    /// With this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id inside its value: unique in the run.
    pub value: u64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_zero_attempts(number: &u32) -> bool {
    *number == 0
}
