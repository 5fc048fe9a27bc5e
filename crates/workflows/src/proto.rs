//! Short names for Temporal's messages, and the few conversions every file needs.

use base::Timestamp;
use std::time::Duration;

pub(crate) use temporalio_protos::temporal::api::command::v1 as command;
pub(crate) use temporalio_protos::temporal::api::common::v1 as common;
pub(crate) use temporalio_protos::temporal::api::enums::v1 as enums;
pub(crate) use temporalio_protos::temporal::api::failure::v1 as failure;
pub(crate) use temporalio_protos::temporal::api::history::v1 as history;
pub(crate) use temporalio_protos::temporal::api::history::v1::HistoryEvent;
pub(crate) use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
pub(crate) use temporalio_protos::temporal::api::query::v1 as query;
pub(crate) use temporalio_protos::temporal::api::taskqueue::v1 as taskqueue;
pub(crate) use temporalio_protos::temporal::api::workflow::v1 as workflow;
pub(crate) use temporalio_protos::temporal::api::workflowservice::v1 as service;

/// The longest duration, some 292 years: longer ones mean this, as in Temporal.
const DURATION_MAX_NANOS: u64 = i64::MAX as u64;

/// A protobuf duration, if it is set and positive. SDKs send zero for "unset".
pub(crate) fn positive(d: Option<&prost_types::Duration>) -> Option<Duration> {
    let d = d?;
    let nanos = i128::from(d.seconds) * 1_000_000_000 + i128::from(d.nanos);
    let nanos = u64::try_from(nanos.max(0)).unwrap_or(u64::MAX).min(DURATION_MAX_NANOS);
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// Protobuf's form of a duration.
pub(crate) fn duration(d: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(d.subsec_nanos()).unwrap_or(0),
    }
}

/// Protobuf's form of a time.
pub(crate) fn timestamp(t: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = t.seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

/// The time of a protobuf timestamp.
pub(crate) fn time_of(t: Option<&prost_types::Timestamp>) -> Timestamp {
    t.map_or(Timestamp(0), |t| Timestamp::from_seconds_and_nanos(t.seconds, t.nanos))
}

/// A normal task queue of this name.
pub(crate) fn normal_queue(name: &str) -> taskqueue::TaskQueue {
    taskqueue::TaskQueue {
        name: name.to_owned(),
        kind: enums::TaskQueueKind::Normal as i32,
        normal_name: String::new(),
    }
}
