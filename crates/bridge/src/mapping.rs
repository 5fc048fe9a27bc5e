//! From a record and a route to a delivery.
//!
//! Invariants: a value's bytes are never changed; the same record gives the same delivery at
//! every try. A record that cannot be mapped becomes a dead letter, never nothing.

mod coordinates;

use crate::delivery::{Action, DeadLetter, Delivery};
use crate::request_id::{Identity, request_id};
use crate::route::{
    Argument, DEAD_LETTER_SUFFIX, Mode, OnClosed, Route, StartOptions, ValueEncoding,
};
use crate::template::{Place, Unrenderable};
use crate::{Header, Record};
use base::PartitionId;
use bytes::Bytes;
use coordinates::{Coordinates, RecordArgument};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::{TaskQueueKind, WorkflowIdReusePolicy};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1 as service;

/// Name of the header field that carries a record's coordinates.
pub const RECORD_HEADER: &str = "mainstay-record";

/// Why a record cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum Unmappable {
    #[error(transparent)]
    NoWorkflowId(#[from] Unrenderable),
    #[error("the record's value is not one JSON document: {reason}")]
    NotJson { reason: String },
    #[error("the batch cannot be decoded: {reason}")]
    Undecodable { reason: String },
}

/// Maps the records of one topic for one route.
#[derive(Clone, Debug)]
pub struct Mapper {
    route: Arc<Route>,
    topic: Arc<str>,
    cluster: Arc<str>,
}

impl Mapper {
    /// `cluster` is the id of the cluster that holds the topic.
    pub fn new(route: Arc<Route>, topic: Arc<str>, cluster: Arc<str>) -> Mapper {
        Mapper { route, topic, cluster }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The workflow that `record` is for: its lane.
    pub fn workflow_id(&self, partition: i32, record: &Record) -> Result<String, Unmappable> {
        let place = Place { topic: &self.topic, partition };
        Ok(self.route.workflow_id.render(place, record)?)
    }

    /// The delivery of `record`, which settles the offsets from `first` to its own.
    pub fn map(
        &self,
        partition: PartitionId,
        first: i64,
        record: &Record,
    ) -> Result<Delivery, Unmappable> {
        let action = self.action(partition, record)?;
        Ok(self.delivery(partition, (first, record.offset), action))
    }

    /// The dead letter for `record`.
    pub fn dead_letter(
        &self,
        partition: PartitionId,
        first: i64,
        record: &Record,
        reason: &str,
    ) -> Delivery {
        let action = self.dead_letter_action(partition.index, record, reason);
        self.delivery(partition, (first, record.offset), action)
    }

    /// The dead letter for a whole batch that cannot be decoded: its value is the batch as
    /// stored, its offset header is the batch's first offset.
    pub fn dead_batch(
        &self,
        partition: PartitionId,
        (first, base, last): (i64, i64, i64),
        batch: &Bytes,
        reason: &str,
    ) -> Delivery {
        let stand_in = Record {
            offset: base,
            timestamp_ms: -1,
            key: None,
            value: Some(batch.clone()),
            headers: vec![header("mainstay.last-offset", last.to_string())],
        };
        let action = self.dead_letter_action(partition.index, &stand_in, reason);
        self.delivery(partition, (first, last), action)
    }

    fn delivery(
        &self,
        partition: PartitionId,
        (first, last): (i64, i64),
        action: Action,
    ) -> Delivery {
        let (route, topic) = (Arc::clone(&self.route), Arc::clone(&self.topic));
        Delivery { route, topic, partition, first, last, action }
    }

    fn dead_letter_action(&self, partition: i32, record: &Record, reason: &str) -> Action {
        let mut headers = record.headers.clone();
        headers.extend([
            header("mainstay.route", self.route.name.clone()),
            header("mainstay.reason", reason.to_owned()),
            header("mainstay.topic", self.topic.to_string()),
            header("mainstay.partition", partition.to_string()),
            header("mainstay.offset", record.offset.to_string()),
        ]);
        Action::DeadLetter(DeadLetter {
            topic: format!("{}{DEAD_LETTER_SUFFIX}", self.topic),
            timestamp_ms: record.timestamp_ms,
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
            reason: reason.to_owned(),
        })
    }

    fn action(&self, partition: PartitionId, record: &Record) -> Result<Action, Unmappable> {
        let coordinates = Coordinates::of(&self.topic, partition.index, record);
        let call = Call {
            route: &self.route,
            workflow_id: self.workflow_id(partition.index, record)?,
            request_id: request_id(&Identity {
                route: &self.route.name,
                cluster: &self.cluster,
                topic: partition.topic,
                partition: partition.index,
                offset: record.offset,
                replay_generation: 0,
            }),
            argument: self.argument(&coordinates, record)?,
            header: common::Header {
                fields: HashMap::from([(RECORD_HEADER.to_owned(), json(coordinates.to_json()))]),
            },
        };
        Ok(match &self.route.mode {
            Mode::SignalWithStart(start, signal) => call.signal_with_start(start, signal),
            Mode::Start(start) => call.start(start),
            Mode::Signal(signal) => call.signal(signal),
        })
    }

    fn argument(
        &self,
        coordinates: &Coordinates<'_>,
        record: &Record,
    ) -> Result<common::Payload, Unmappable> {
        let encoding = self.route.value;
        if let (ValueEncoding::Json, Some(value)) = (encoding, &record.value) {
            check_json(value).map_err(|reason| Unmappable::NotJson { reason })?;
        }
        let value = record.value.as_deref();
        match self.route.argument {
            Argument::Value => Ok(match (value, encoding) {
                (None, _) => payload("binary/null", Vec::new()),
                (Some(value), ValueEncoding::Json) => json(value.to_vec()),
                (Some(value), ValueEncoding::Bytes) => payload("binary/plain", value.to_vec()),
            }),
            Argument::Record => RecordArgument::new(coordinates, encoding, value)
                .map(|argument| json(argument.to_json()))
                .map_err(|reason| Unmappable::NotJson { reason }),
        }
    }
}

/// What the three kinds of request have in common.
struct Call<'a> {
    route: &'a Route,
    workflow_id: String,
    request_id: String,
    argument: common::Payload,
    header: common::Header,
}

impl Call<'_> {
    fn signal_with_start(self, start: &StartOptions, signal: &str) -> Action {
        let policy = self.reuse_policy();
        Action::SignalWithStart(Box::new(service::SignalWithStartWorkflowExecutionRequest {
            namespace: self.route.namespace.clone(),
            workflow_id: self.workflow_id,
            workflow_type: Some(workflow_type(start)),
            task_queue: Some(task_queue(start)),
            input: input(start, None),
            workflow_execution_timeout: start.execution_timeout.map(proto_duration),
            workflow_run_timeout: start.run_timeout.map(proto_duration),
            workflow_task_timeout: start.task_timeout.map(proto_duration),
            identity: self.route.group(),
            request_id: self.request_id,
            workflow_id_reuse_policy: policy,
            signal_name: signal.to_owned(),
            signal_input: Some(common::Payloads { payloads: vec![self.argument] }),
            // One field for both: the start's event and the signal's carry it.
            header: Some(self.header),
            ..Default::default()
        }))
    }

    fn start(self, start: &StartOptions) -> Action {
        let policy = self.reuse_policy();
        Action::Start(Box::new(service::StartWorkflowExecutionRequest {
            namespace: self.route.namespace.clone(),
            workflow_id: self.workflow_id,
            workflow_type: Some(workflow_type(start)),
            task_queue: Some(task_queue(start)),
            input: input(start, Some(self.argument)),
            workflow_execution_timeout: start.execution_timeout.map(proto_duration),
            workflow_run_timeout: start.run_timeout.map(proto_duration),
            workflow_task_timeout: start.task_timeout.map(proto_duration),
            identity: self.route.group(),
            request_id: self.request_id,
            workflow_id_reuse_policy: policy,
            header: Some(self.header),
            ..Default::default()
        }))
    }

    fn signal(self, signal: &str) -> Action {
        Action::Signal(Box::new(service::SignalWorkflowExecutionRequest {
            namespace: self.route.namespace.clone(),
            workflow_execution: Some(common::WorkflowExecution {
                workflow_id: self.workflow_id,
                run_id: String::new(),
            }),
            signal_name: signal.to_owned(),
            input: Some(common::Payloads { payloads: vec![self.argument] }),
            identity: self.route.group(),
            request_id: self.request_id,
            header: Some(self.header),
            ..Default::default()
        }))
    }

    fn reuse_policy(&self) -> i32 {
        match self.route.on_closed {
            OnClosed::Start => WorkflowIdReusePolicy::AllowDuplicate,
            OnClosed::Ignore | OnClosed::DeadLetter => WorkflowIdReusePolicy::RejectDuplicate,
        }
        .into()
    }
}

/// Checks that `bytes` are exactly one JSON document. Reads it without building it, so depth and
/// number ranges are no matter.
pub fn check_json(bytes: &[u8]) -> Result<(), String> {
    // The parser skips over strings without looking at their encoding.
    std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn input(start: &StartOptions, last: Option<common::Payload>) -> Option<common::Payloads> {
    let literals = start.input.iter().map(|text| json(text.clone().into_bytes()));
    let payloads: Vec<_> = literals.chain(last).collect();
    (!payloads.is_empty()).then_some(common::Payloads { payloads })
}

fn workflow_type(start: &StartOptions) -> common::WorkflowType {
    common::WorkflowType { name: start.workflow_type.clone() }
}

fn task_queue(start: &StartOptions) -> TaskQueue {
    TaskQueue {
        name: start.task_queue.clone(),
        kind: TaskQueueKind::Normal.into(),
        normal_name: String::new(),
    }
}

fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

fn json(data: Vec<u8>) -> common::Payload {
    payload("json/plain", data)
}

fn payload(encoding: &str, data: Vec<u8>) -> common::Payload {
    common::Payload {
        metadata: HashMap::from([("encoding".to_owned(), encoding.as_bytes().to_vec())]),
        data,
        ..Default::default()
    }
}

fn header(name: &str, value: String) -> Header {
    (name.to_owned(), Some(value.into()))
}

#[cfg(test)]
mod tests;
