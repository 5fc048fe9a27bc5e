//! What the machine journals. Kinds and tags are never reused.
//!
//! Most of what happens to a run is its history events. Beside them stand whole values that are
//! outcomes of a decision and are replaced when they change: the pending workflow task, the
//! attempt of an activity, the sticky queue. `apply` never computes such a value, so a newer
//! release replays an older journal to the same state.
//!
//! | kind | op | body | blobs |
//! |---|---|---|---|
//! | 100 | NamespaceRegistered | [`NamespaceRegistered`] | |
//! | 101 | RunCreated | [`RunCreated`] | |
//! | 102 | Events | [`EventsBody`] | one per event batch, wire form of `History` |
//! | 103 | Buffered | [`Buffered`] | |
//! | 104 | WorkflowTaskSet | [`WorkflowTaskSet`] | |
//! | 105 | ActivitySet | [`ActivitySet`] | |
//! | 106 | StickySet | [`StickySet`] | |
//! | 107 | RequestSeen | [`RequestSeen`] | |

use crate::proto::{HistoryEvent, common, failure, history};
use base::{Blob, JournalOp, OpError, OpKind, RunId, Timestamp, Uuid};
use bytes::Bytes;
use prost::Message;
use std::ops::Range;

/// A UUID on disk.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Id {
    /// The first eight bytes.
    #[prost(fixed64, tag = "1")]
    pub high: u64,
    /// The last eight bytes.
    #[prost(fixed64, tag = "2")]
    pub low: u64,
}

impl From<Uuid> for Id {
    fn from(id: Uuid) -> Id {
        let (high, low) = id.as_u64_pair();
        Id { high, low }
    }
}

impl From<RunId> for Id {
    fn from(id: RunId) -> Id {
        id.0.into()
    }
}

impl Id {
    /// The UUID.
    pub fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.high, self.low)
    }

    /// The UUID as a run id.
    pub fn run(self) -> RunId {
        RunId(self.uuid())
    }
}

/// One op.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "see the table above")]
#[allow(clippy::large_enum_variant, reason = "ops are short-lived; boxing each would cost more")]
pub enum Op {
    NamespaceRegistered(NamespaceRegistered),
    RunCreated(RunCreated),
    Events(Events),
    Buffered(Buffered),
    WorkflowTaskSet(WorkflowTaskSet),
    ActivitySet(ActivitySet),
    StickySet(StickySet),
    RequestSeen(RequestSeen),
}

/// A namespace exists from now on.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "fields of RegisterNamespaceRequest")]
pub struct NamespaceRegistered {
    #[prost(message, required, tag = "1")]
    pub id: Id,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, tag = "4")]
    pub owner_email: String,
    #[prost(int64, tag = "5")]
    pub retention_seconds: i64,
    #[prost(btree_map = "string, string", tag = "6")]
    pub data: std::collections::BTreeMap<String, String>,
}

/// A run exists from now on and is the current one of its workflow id. Its first event follows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunCreated {
    /// The run.
    #[prost(message, required, tag = "1")]
    pub run: Id,
    /// Its namespace.
    #[prost(message, required, tag = "2")]
    pub namespace: Id,
    /// Its workflow id.
    #[prost(string, tag = "3")]
    pub workflow_id: String,
    /// Request id of the start; empty for a run that continues another.
    #[prost(string, tag = "4")]
    pub request_id: String,
    /// No workflow task before this time (microseconds); 0 for none.
    #[prost(int64, tag = "5")]
    pub first_task_at: i64,
}

/// Events with their ids, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// The run.
    pub run: RunId,
    /// The events.
    pub events: Vec<HistoryEvent>,
    /// Positions of those that come out of the buffer, rising: they have had their effect.
    pub flushed: Vec<usize>,
}

/// The body of [`Events`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct EventsBody {
    #[prost(message, required, tag = "1")]
    run: Id,
    #[prost(uint32, repeated, tag = "2")]
    flushed: Vec<u32>,
}

/// Events without ids: a workflow task is running, they follow when it ends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Buffered {
    /// The run.
    #[prost(message, required, tag = "1")]
    pub run: Id,
    /// The events.
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<HistoryEvent>,
}

/// The pending workflow task is this one, or none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowTaskSet {
    /// The run.
    #[prost(message, required, tag = "1")]
    pub run: Id,
    /// The task.
    #[prost(message, optional, tag = "2")]
    pub task: Option<WorkflowTaskState>,
}

/// A pending workflow task.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowTaskState {
    /// Id of its SCHEDULED event; for a transient task the id that event would have.
    #[prost(int64, tag = "1")]
    pub scheduled_event_id: i64,
    /// Id of its STARTED event; 0 until it is started.
    #[prost(int64, tag = "2")]
    pub started_event_id: i64,
    /// From 1. Above 1 the task is transient: its events are not in history.
    #[prost(int32, tag = "3")]
    pub attempt: i32,
    /// The sticky queue it was scheduled on, if it was.
    #[prost(string, optional, tag = "4")]
    pub sticky_queue: Option<String>,
    /// When it was scheduled (microseconds).
    #[prost(int64, tag = "5")]
    pub scheduled_at: i64,
    /// When it was started (microseconds).
    #[prost(int64, tag = "6")]
    pub started_at: i64,
    /// When the first of a row of heartbeating tasks was scheduled (microseconds).
    #[prost(int64, tag = "7")]
    pub original_scheduled_at: i64,
    /// Start-to-close timeout (microseconds).
    #[prost(int64, tag = "8")]
    pub start_to_close: i64,
    /// When it goes back to the normal queue, if it is sticky (microseconds); 0 for never.
    #[prost(int64, tag = "9")]
    pub schedule_to_start_deadline: i64,
    /// Who polled it.
    #[prost(string, tag = "10")]
    pub identity: String,
    /// Drawn when it was started.
    #[prost(string, tag = "11")]
    pub request_id: String,
    /// History size when it was started.
    #[prost(int64, tag = "12")]
    pub history_size_bytes: i64,
    /// Whether the worker was told to continue as new, and why.
    #[prost(int32, repeated, tag = "13")]
    pub suggest_continue_as_new_reasons: Vec<i32>,
    /// The task before wanted to close the run over events it had not seen: signals wait.
    #[prost(bool, tag = "14")]
    pub close_attempted: bool,
}

/// The attempt of an activity is this one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ActivitySet {
    /// The run.
    #[prost(message, required, tag = "1")]
    pub run: Id,
    /// The activity.
    #[prost(int64, tag = "2")]
    pub scheduled_event_id: i64,
    /// Its attempt.
    #[prost(message, required, tag = "3")]
    pub state: ActivityState,
}

/// The attempt of an activity.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ActivityState {
    /// From 1.
    #[prost(int32, tag = "1")]
    pub attempt: i32,
    /// When this attempt became ready, or will (microseconds).
    #[prost(int64, tag = "2")]
    pub scheduled_at: i64,
    /// When this attempt was started (microseconds); 0 until it is.
    #[prost(int64, tag = "3")]
    pub started_at: i64,
    /// Waiting for its retry at `scheduled_at`.
    #[prost(bool, tag = "4")]
    pub backing_off: bool,
    /// When the first attempt was scheduled (microseconds).
    #[prost(int64, tag = "5")]
    pub first_scheduled_at: i64,
    /// Who polled this attempt.
    #[prost(string, tag = "6")]
    pub identity: String,
    /// Drawn when this attempt was started.
    #[prost(string, tag = "7")]
    pub request_id: String,
    /// Last heartbeat (microseconds); 0 for none in this attempt.
    #[prost(int64, tag = "8")]
    pub last_heartbeat_at: i64,
    /// Details of the last heartbeat; they survive retries.
    #[prost(message, optional, tag = "9")]
    pub heartbeat_details: Option<common::Payloads>,
    /// Why the previous attempt failed.
    #[prost(message, optional, tag = "10")]
    pub last_failure: Option<failure::Failure>,
    /// Who worked on the previous attempt.
    #[prost(string, tag = "11")]
    pub last_worker_identity: String,
    /// Id of the ACTIVITY_TASK_CANCEL_REQUESTED event; 0 for none.
    #[prost(int64, tag = "12")]
    pub cancel_requested_event_id: i64,
    /// When the previous attempt ended (microseconds); 0 for none.
    #[prost(int64, tag = "13")]
    pub last_attempt_ended_at: i64,
}

/// The run's workflow tasks go to this worker's own queue, or to the normal one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StickySet {
    /// The run.
    #[prost(message, required, tag = "1")]
    pub run: Id,
    /// The queue.
    #[prost(message, optional, tag = "2")]
    pub sticky: Option<Sticky>,
}

/// A sticky queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sticky {
    /// Its name.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// How long a task may wait there (microseconds).
    #[prost(int64, tag = "2")]
    pub schedule_to_start: i64,
}

/// A signal with this request id has been carried out for this workflow id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestSeen {
    /// Namespace.
    #[prost(message, required, tag = "1")]
    pub namespace: Id,
    /// Workflow id.
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// Hash of the request id.
    #[prost(message, required, tag = "3")]
    pub request: Id,
}

/// Cuts events into batches, so that each started workflow task ends a batch: a sticky poll's
/// history then begins at the beginning of one.
pub(crate) fn split_batches(events: &[HistoryEvent]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let mut from = 0;
    for (index, event) in events.iter().enumerate() {
        let ends = event.event_type == crate::proto::enums::EventType::WorkflowTaskStarted as i32;
        if ends || index + 1 == events.len() {
            batches.push(from..index + 1);
            from = index + 1;
        }
    }
    batches
}

/// The wire form of a `History` that holds these events.
pub(crate) fn encode_events(events: &[HistoryEvent]) -> Bytes {
    let mut bytes = Vec::new();
    for event in events {
        prost::encoding::message::encode(1, event, &mut bytes);
    }
    bytes.into()
}

impl Events {
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) {
        for batch in split_batches(&self.events) {
            blobs.push(Blob::new(encode_events(self.events.get(batch).unwrap_or_default())));
        }
        let wire = EventsBody {
            run: self.run.into(),
            flushed: self.flushed.iter().map(|at| u32::try_from(*at).unwrap_or(u32::MAX)).collect(),
        };
        append(body, &wire);
    }

    fn decode(body: &[u8], blobs: &[Bytes]) -> Result<Events, prost::DecodeError> {
        let wire = EventsBody::decode(body)?;
        let mut events = Vec::new();
        for blob in blobs {
            events.extend(history::History::decode(blob.clone())?.events);
        }
        let flushed = wire.flushed.iter().map(|at| *at as usize).collect();
        Ok(Events { run: wire.run.run(), events, flushed })
    }
}

/// Writing into a `Vec` cannot run out of room.
fn append(body: &mut Vec<u8>, message: &impl Message) {
    message.encode_raw(body);
}

impl JournalOp for Op {
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind {
        let kind = match self {
            Op::NamespaceRegistered(op) => (append(body, op), 100).1,
            Op::RunCreated(op) => (append(body, op), 101).1,
            Op::Events(op) => (op.encode(body, blobs), 102).1,
            Op::Buffered(op) => (append(body, op), 103).1,
            Op::WorkflowTaskSet(op) => (append(body, op), 104).1,
            Op::ActivitySet(op) => (append(body, op), 105).1,
            Op::StickySet(op) => (append(body, op), 106).1,
            Op::RequestSeen(op) => (append(body, op), 107).1,
        };
        OpKind { kind, version: 1 }
    }

    fn decode(kind: OpKind, body: &[u8], blobs: &[Bytes]) -> Result<Op, OpError> {
        if kind.version != 1 {
            return Err(OpError::UnknownKind(kind));
        }
        let op = match kind.kind {
            100 => NamespaceRegistered::decode(body).map(Op::NamespaceRegistered),
            101 => RunCreated::decode(body).map(Op::RunCreated),
            102 => Events::decode(body, blobs).map(Op::Events),
            103 => Buffered::decode(body).map(Op::Buffered),
            104 => WorkflowTaskSet::decode(body).map(Op::WorkflowTaskSet),
            105 => ActivitySet::decode(body).map(Op::ActivitySet),
            106 => StickySet::decode(body).map(Op::StickySet),
            107 => RequestSeen::decode(body).map(Op::RequestSeen),
            _ => return Err(OpError::UnknownKind(kind)),
        };
        op.map_err(|error| OpError::Malformed { kind, reason: error.to_string() })
    }
}

/// The time of a field in microseconds.
pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp(micros)
}

#[cfg(test)]
mod tests;
