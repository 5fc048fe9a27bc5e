//! The seam: a route as declared and a record as produced become a request to a workflow; and
//! the argument of `mainstay.publish` becomes a record.

use crate::Fields;
use ::bridge::mapping::Mapper;
use ::bridge::route::Spec;
use ::bridge::{Action, Record, Route};
use base::{PartitionId, TopicId, Uuid};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use temporalio_protos::temporal::api::common::v1::Payload;
use topics::Records;

/// Parts of an input: twelve of the route, four of the record, and headers by twos.
pub(crate) fn route(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let mut optional = || fields.optional().map(text);
    let spec = Spec {
        name: optional(),
        topics: optional().map(|names| names.split(',').map(str::to_owned).collect()),
        mode: optional(),
        workflow_type: optional(),
        task_queue: optional(),
        signal: optional(),
        workflow_id: optional(),
        value: optional(),
        argument: optional(),
        on_closed: optional(),
        input: optional().map(|texts| texts.split('\n').map(str::to_owned).collect()),
        run_timeout: optional(),
        ..Spec::default()
    };
    let topic: Arc<str> = spec.topics.iter().flatten().next().cloned().unwrap_or_default().into();
    let Ok(route) = Route::new(spec) else { return false };
    let record = record(&mut fields);
    let mapper = Mapper::new(Arc::new(route), topic, "cluster".into());
    let partition = PartitionId { topic: TopicId(Uuid::from_u128(1)), index: 3 };
    match mapper.map(partition, record.offset, &record) {
        Ok(delivery) => {
            check(&delivery.action);
            true
        }
        Err(error) => {
            mapper.dead_letter(partition, record.offset, &record, &error.to_string());
            false
        }
    }
}

fn record(fields: &mut Fields<'_>) -> Record {
    let mut number = || {
        let mut bytes = [0; 8];
        let part = fields.part();
        let length = part.len().min(8);
        bytes[..length].copy_from_slice(&part[..length]);
        i64::from_le_bytes(bytes)
    };
    let (offset, timestamp_ms) = (number(), number());
    let key = fields.optional().map(Bytes::copy_from_slice);
    let value = fields.optional().map(Bytes::copy_from_slice);
    let mut headers = Vec::new();
    while !fields.is_empty() {
        let name = fields.text();
        headers.push((name, fields.optional().map(Bytes::copy_from_slice)));
    }
    Record { offset, timestamp_ms, key, value, headers }
}

/// What is asked of the workflow can be put on the wire, and is within the limits for ids.
fn check(action: &Action) {
    let (id, bytes) = match action {
        Action::SignalWithStart(ask) => (ask.workflow_id.as_str(), ask.encode_to_vec()),
        Action::Start(ask) => (ask.workflow_id.as_str(), ask.encode_to_vec()),
        Action::Signal(ask) => {
            let execution = ask.workflow_execution.as_ref();
            (execution.map_or("", |it| it.workflow_id.as_str()), ask.encode_to_vec())
        }
        Action::DeadLetter(_) => return,
    };
    assert!(!id.is_empty() && id.len() <= 1_000, "workflow id {id:?}");
    assert!(!bytes.is_empty());
}

/// Payloads: an encoding and data each. The record that comes of them can be read back.
pub(crate) fn publish(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    let mut payloads = Vec::new();
    while !fields.is_empty() {
        let encoding = fields.part().to_vec();
        let metadata = [("encoding".to_owned(), encoding)].into();
        payloads.push(Payload { metadata, data: fields.part().to_vec(), ..Default::default() });
    }
    let Some(batch) = node::fuzzing::publish(payloads) else { return false };
    let records = Records::open(&batch, 0, batch.len()).expect("the node's own batch");
    assert_eq!(records.filter(|record| record.is_ok()).count(), 1, "the node's own record");
    true
}
