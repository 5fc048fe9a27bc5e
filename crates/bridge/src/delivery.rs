//! One record's way to its workflow or to the dead letters, with all that the node needs to do
//! it in one entry together with the cursor.

use crate::route::Route;
use crate::{Header, machine};
use base::{Cause, PartitionId};
use bytes::Bytes;
use std::sync::Arc;
use temporalio_protos::temporal::api::workflowservice::v1 as service;

/// What to do, for which record.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// On whose behalf.
    pub route: Arc<Route>,
    /// The source topic's name.
    pub topic: Arc<str>,
    /// The source partition.
    pub partition: PartitionId,
    /// First offset that this delivery settles: the one after the record before it. Offsets
    /// need not be dense, so each record settles the gap before itself.
    pub first: i64,
    /// The record's own offset (for a whole batch, the last one's), the last that is settled.
    pub last: i64,
    /// What to do.
    pub action: Action,
}

/// What to do with a record.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the first three are Temporal's requests of the same name")]
pub enum Action {
    SignalWithStart(Box<service::SignalWithStartWorkflowExecutionRequest>),
    Start(Box<service::StartWorkflowExecutionRequest>),
    Signal(Box<service::SignalWorkflowExecutionRequest>),
    /// Append a record to the dead-letter topic.
    DeadLetter(DeadLetter),
}

/// A record for a dead-letter topic: the bytes of the one it stands for, and why it is here.
/// Not bound by max.message.bytes; the topic is made if it is missing. The target chooses the
/// partition as a producer would (murmur2 of the key; without a key any).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// `<topic>.dead-letter`.
    pub topic: String,
    /// The original's.
    pub timestamp_ms: i64,
    /// The original's.
    pub key: Option<Bytes>,
    /// The original's.
    pub value: Option<Bytes>,
    /// The original's, followed by `mainstay.route`, `.reason`, `.topic`, `.partition`, `.offset`.
    pub headers: Vec<Header>,
    /// The reason, also in the headers.
    pub reason: String,
}

/// What has become of a record. Journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Signalled or started.
    Delivered,
    /// Its workflow has closed, and the route ignores that.
    Ignored,
    /// Written to the dead letters.
    DeadLettered,
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and durable.
    Settled(Fate),
    /// It was done before, by an earlier life of the pump. Nothing was changed.
    AlreadyDone,
}

impl Delivery {
    /// The bridge's part of the entry. The other part is `action`, unless it was refused and
    /// [`crate::refusal::judge`] says that the record is settled without it.
    pub fn progress(&self, fate: Fate) -> machine::Ask {
        machine::Ask::Progress(machine::Progress {
            route: self.route.name.clone(),
            partition: self.partition,
            first: self.first,
            last: self.last,
            fate,
        })
    }

    /// What `action` comes to when nobody refuses it.
    pub fn fate(&self) -> Fate {
        match self.action {
            Action::DeadLetter(_) => Fate::DeadLettered,
            Action::SignalWithStart(_) | Action::Start(_) | Action::Signal(_) => Fate::Delivered,
        }
    }

    /// For the entry's frame.
    pub fn cause(&self) -> Cause {
        Cause::Record(self.partition, self.last)
    }
}
