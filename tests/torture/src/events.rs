//! A history as the judge wants it: what matters of each event, by names of the judge's own.

use checker::{Emit, Event, Kind, Place, RunEnd, Status};
use prost_types::Duration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use temporalio_common::protos::temporal::api::common::v1::{Header, Payloads};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::history::v1::{
    ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes, HistoryEvent,
    WorkflowExecutionSignaledEventAttributes, WorkflowExecutionStartedEventAttributes,
};

use crate::temporal::micros;

/// The activity that the node itself carries out.
pub(crate) const PUBLISH: &str = "mainstay.publish";
/// The header field in which the coordinates of a routed record travel.
const RECORD: &str = "mainstay-record";

/// Translates a history.
pub(crate) fn translate(events: Vec<HistoryEvent>) -> Vec<Event> {
    events.into_iter().map(event).collect()
}

fn event(event: HistoryEvent) -> Event {
    let at_us = event.event_time.as_ref().map(micros).unwrap_or_default();
    let name = event.event_type().as_str_name().to_owned();
    let kind = match event.attributes {
        Some(attributes) => kind(attributes).unwrap_or(Kind::Other(name)),
        None => Kind::Other(name),
    };
    Event { id: event.event_id, at_us, kind, digest: None }
}

fn kind(attributes: Attributes) -> Option<Kind> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowExecutionStartedEventAttributes(it) => started(it),
        A::WorkflowExecutionSignaledEventAttributes(it) => signaled(it),
        A::ActivityTaskScheduledEventAttributes(it) => activity(it),
        A::ActivityTaskCompletedEventAttributes(it) => activity_completed(it),
        A::TimerStartedEventAttributes(it) => Kind::TimerStarted {
            timer_id: it.timer_id,
            duration_ms: millis(it.start_to_fire_timeout.as_ref()).unwrap_or_default(),
        },
        A::TimerFiredEventAttributes(it) => Kind::TimerFired { started: it.started_event_id },
        A::TimerCanceledEventAttributes(it) => Kind::TimerCanceled { started: it.started_event_id },
        A::ActivityTaskStartedEventAttributes(it) => {
            Kind::ActivityStarted { scheduled: it.scheduled_event_id, attempt: it.attempt as u32 }
        }
        A::ActivityTaskFailedEventAttributes(it) => {
            Kind::ActivityFailed { scheduled: it.scheduled_event_id }
        }
        A::ActivityTaskTimedOutEventAttributes(it) => {
            Kind::ActivityTimedOut { scheduled: it.scheduled_event_id }
        }
        A::ActivityTaskCancelRequestedEventAttributes(it) => {
            Kind::ActivityCancelRequested { scheduled: it.scheduled_event_id }
        }
        A::ActivityTaskCanceledEventAttributes(it) => {
            Kind::ActivityCanceled { scheduled: it.scheduled_event_id }
        }
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => Kind::CancelRequested,
        other => return workflow_task(&other).or_else(|| closed(other)),
    })
}

fn workflow_task(attributes: &Attributes) -> Option<Kind> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowTaskScheduledEventAttributes(it) => {
            Kind::WorkflowTaskScheduled { attempt: it.attempt as u32 }
        }
        A::WorkflowTaskStartedEventAttributes(it) => {
            Kind::WorkflowTaskStarted { scheduled: it.scheduled_event_id }
        }
        A::WorkflowTaskCompletedEventAttributes(it) => Kind::WorkflowTaskCompleted {
            scheduled: it.scheduled_event_id,
            started: it.started_event_id,
        },
        A::WorkflowTaskFailedEventAttributes(it) => Kind::WorkflowTaskFailed {
            scheduled: it.scheduled_event_id,
            started: it.started_event_id,
        },
        A::WorkflowTaskTimedOutEventAttributes(it) => Kind::WorkflowTaskTimedOut {
            scheduled: it.scheduled_event_id,
            started: it.started_event_id,
        },
        _ => return None,
    })
}

fn closed(attributes: Attributes) -> Option<Kind> {
    use Attributes as A;
    let (status, next) = match attributes {
        A::WorkflowExecutionCompletedEventAttributes(it) => {
            (Status::Completed, it.new_execution_run_id)
        }
        A::WorkflowExecutionFailedEventAttributes(it) => (Status::Failed, it.new_execution_run_id),
        A::WorkflowExecutionTimedOutEventAttributes(it) => {
            (Status::TimedOut, it.new_execution_run_id)
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(it) => {
            (Status::ContinuedAsNew, it.new_execution_run_id)
        }
        A::WorkflowExecutionCanceledEventAttributes(_) => (Status::Canceled, String::new()),
        A::WorkflowExecutionTerminatedEventAttributes(_) => (Status::Terminated, String::new()),
        _ => return None,
    };
    let next_run_id = Some(next).filter(|next| !next.is_empty());
    Some(Kind::Closed(RunEnd { status, next_run_id }))
}

fn started(it: WorkflowExecutionStartedEventAttributes) -> Kind {
    Kind::Started {
        workflow_type: it.workflow_type.unwrap_or_default().name,
        value: value_id(it.input.as_ref()),
        record: record(it.header.as_ref()),
        continued_from: Some(it.continued_execution_run_id).filter(|run| !run.is_empty()),
        backoff_ms: millis(it.first_workflow_task_backoff.as_ref()).unwrap_or_default(),
    }
}

fn signaled(it: WorkflowExecutionSignaledEventAttributes) -> Kind {
    Kind::Signaled {
        name: it.signal_name,
        value: value_id(it.input.as_ref()),
        record: record(it.header.as_ref()),
    }
}

fn activity(it: ActivityTaskScheduledEventAttributes) -> Kind {
    let is_publish = it.activity_type.is_some_and(|kind| kind.name == PUBLISH);
    let limits = [&it.start_to_close_timeout, &it.heartbeat_timeout];
    Kind::ActivityScheduled {
        activity_id: it.activity_id,
        emit: if is_publish { emit(it.input.as_ref()) } else { None },
        attempt_ms: limits.into_iter().filter_map(|it| millis(it.as_ref())).min(),
        maximum_attempts: it.retry_policy.map_or(0, |policy| policy.maximum_attempts as u32),
    }
}

fn activity_completed(it: ActivityTaskCompletedEventAttributes) -> Kind {
    Kind::ActivityCompleted {
        scheduled: it.scheduled_event_id,
        value: value_id(it.result.as_ref()),
        record: read(it.result.as_ref()).map(|it: Coordinates| it.place()),
    }
}

/// A record's coordinates as the node writes them.
#[derive(Deserialize)]
struct Coordinates {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Coordinates {
    fn place(self) -> Place {
        Place { topic: self.topic, partition: self.partition, offset: self.offset }
    }
}

fn record(header: Option<&Header>) -> Option<Place> {
    let payload = header?.fields.get(RECORD)?;
    serde_json::from_slice(&payload.data).ok().map(|it: Coordinates| it.place())
}

fn emit(input: Option<&Payloads>) -> Option<Emit> {
    #[derive(Deserialize)]
    struct Publish {
        topic: String,
        key: Option<String>,
        value: Value,
    }
    let publish: Publish = read(input)?;
    Some(Emit { topic: publish.topic, key: publish.key, value: publish.value.value })
}

#[derive(Deserialize)]
struct Value {
    value: u64,
}

/// The id that the first payload carries.
pub(crate) fn value_id(payloads: Option<&Payloads>) -> Option<u64> {
    read(payloads).map(|value: Value| value.value)
}

/// The first payload, if it is of this form.
fn read<T: DeserializeOwned>(payloads: Option<&Payloads>) -> Option<T> {
    serde_json::from_slice(&payloads?.payloads.first()?.data).ok()
}

/// Nothing, for a time limit of nothing.
fn millis(duration: Option<&Duration>) -> Option<i64> {
    let millis = duration.map(|it| it.seconds * 1_000 + i64::from(it.nanos) / 1_000_000);
    millis.filter(|millis| *millis > 0)
}
