//! A history as Temporal's clients get it, in the judge's words.

use checker::{Emit, Event, Kind, Place, RunEnd, Status};
use prost::Message;
use serde_json::Value;
use temporalio_protos::temporal::api::common::v1::{Header, Payload, Payloads};
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes as A;
use temporalio_protos::temporal::api::history::v1::{
    ActivityTaskScheduledEventAttributes, HistoryEvent, WorkflowExecutionStartedEventAttributes,
};

/// The name of the activity that publishes.
pub const PUBLISH: &str = "mainstay.publish";

/// The judge's word for an event.
pub fn translated(event: &HistoryEvent) -> Event {
    let at_us = micros(event.event_time.as_ref());
    let digest = Some(checker::digest(&event.encode_to_vec()));
    Event { id: event.event_id, at_us, kind: kind(event), digest }
}

/// All of them.
pub fn all_translated(events: &[HistoryEvent]) -> Vec<Event> {
    events.iter().map(translated).collect()
}

/// The same without what is only promised: the events of a workflow task that is tried again are
/// shown at the end of a history, and are written when the task is done.
pub fn lasting(events: &[HistoryEvent]) -> &[HistoryEvent] {
    let is_retry = |event: &HistoryEvent| matches!(&event.attributes, Some(A::WorkflowTaskScheduledEventAttributes(it)) if it.attempt > 1);
    let count = events.len();
    match (1..=2).find(|back| count >= *back && is_retry(&events[count - back])) {
        Some(back) => &events[..count - back],
        None => events,
    }
}

fn kind(event: &HistoryEvent) -> Kind {
    let Some(attributes) = &event.attributes else { return other(event) };
    match attributes {
        A::WorkflowExecutionStartedEventAttributes(it) => started(it),
        A::WorkflowTaskScheduledEventAttributes(it) => {
            Kind::WorkflowTaskScheduled { attempt: it.attempt.unsigned_abs() }
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
        A::WorkflowExecutionSignaledEventAttributes(it) => Kind::Signaled {
            name: it.signal_name.clone(),
            value: id_in(it.input.as_ref()),
            record: record_of(it.header.as_ref()),
        },
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => Kind::CancelRequested,
        _ => timer(attributes)
            .or_else(|| activity(attributes))
            .or_else(|| end(attributes))
            .unwrap_or_else(|| other(event)),
    }
}

fn started(it: &WorkflowExecutionStartedEventAttributes) -> Kind {
    let continued = &it.continued_execution_run_id;
    Kind::Started {
        workflow_type: it.workflow_type.as_ref().map(|t| t.name.clone()).unwrap_or_default(),
        value: id_in(it.input.as_ref()),
        record: None,
        continued_from: Some(continued.clone()).filter(|run| !run.is_empty()),
        backoff_ms: millis(it.first_workflow_task_backoff.as_ref()),
    }
}

fn timer(attributes: &A) -> Option<Kind> {
    Some(match attributes {
        A::TimerStartedEventAttributes(it) => Kind::TimerStarted {
            timer_id: it.timer_id.clone(),
            duration_ms: millis(it.start_to_fire_timeout.as_ref()),
        },
        A::TimerFiredEventAttributes(it) => Kind::TimerFired { started: it.started_event_id },
        A::TimerCanceledEventAttributes(it) => Kind::TimerCanceled { started: it.started_event_id },
        _ => return None,
    })
}

fn activity(attributes: &A) -> Option<Kind> {
    Some(match attributes {
        A::ActivityTaskScheduledEventAttributes(it) => Kind::ActivityScheduled {
            activity_id: it.activity_id.clone(),
            emit: emit(it),
            attempt_ms: attempt_ms(it),
            maximum_attempts: it
                .retry_policy
                .as_ref()
                .map_or(0, |policy| policy.maximum_attempts.unsigned_abs()),
        },
        A::ActivityTaskStartedEventAttributes(it) => Kind::ActivityStarted {
            scheduled: it.scheduled_event_id,
            attempt: it.attempt.unsigned_abs(),
        },
        A::ActivityTaskCompletedEventAttributes(it) => Kind::ActivityCompleted {
            scheduled: it.scheduled_event_id,
            value: id_in(it.result.as_ref()),
            record: it.result.as_ref().and_then(|it| it.payloads.first()).and_then(place_in),
        },
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
        _ => return None,
    })
}

fn end(attributes: &A) -> Option<Kind> {
    let (status, next) = match attributes {
        A::WorkflowExecutionCompletedEventAttributes(it) => {
            (Status::Completed, it.new_execution_run_id.as_str())
        }
        A::WorkflowExecutionFailedEventAttributes(it) => {
            (Status::Failed, it.new_execution_run_id.as_str())
        }
        A::WorkflowExecutionTimedOutEventAttributes(it) => {
            (Status::TimedOut, it.new_execution_run_id.as_str())
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(it) => {
            (Status::ContinuedAsNew, it.new_execution_run_id.as_str())
        }
        A::WorkflowExecutionTerminatedEventAttributes(_) => (Status::Terminated, ""),
        A::WorkflowExecutionCanceledEventAttributes(_) => (Status::Canceled, ""),
        _ => return None,
    };
    let next_run_id = Some(next.to_owned()).filter(|next| !next.is_empty());
    Some(Kind::Closed(RunEnd { status, next_run_id }))
}

fn other(event: &HistoryEvent) -> Kind {
    Kind::Other(
        EventType::try_from(event.event_type).map_or("unknown", |it| it.as_str_name()).to_owned(),
    )
}

fn emit(it: &ActivityTaskScheduledEventAttributes) -> Option<Emit> {
    it.activity_type.as_ref().filter(|it| it.name == PUBLISH)?;
    let argument = json(it.input.as_ref()?.payloads.first()?)?;
    let text = |name: &str| argument.get(name)?.as_str().map(str::to_owned);
    let value = argument.get("value")?.get("id")?.as_u64()?;
    Some(Emit { topic: text("topic")?, key: text("key"), value })
}

/// The shortest time-out of an attempt.
fn attempt_ms(it: &ActivityTaskScheduledEventAttributes) -> Option<i64> {
    let timeouts = [it.start_to_close_timeout.as_ref(), it.heartbeat_timeout.as_ref()];
    timeouts.into_iter().map(millis).filter(|ms| *ms > 0).min()
}

/// The `id` in the JSON object that is the only payload.
pub fn id_in(payloads: Option<&Payloads>) -> Option<u64> {
    json(payloads?.payloads.first()?)?.get("id")?.as_u64()
}

/// The JSON in a payload.
pub fn json(payload: &Payload) -> Option<Value> {
    serde_json::from_slice(&payload.data).ok()
}

fn record_of(header: Option<&Header>) -> Option<Place> {
    place_in(header?.fields.get("mainstay-record")?)
}

fn place_in(payload: &Payload) -> Option<Place> {
    let it = json(payload)?;
    Some(Place {
        topic: it.get("topic")?.as_str()?.to_owned(),
        partition: i32::try_from(it.get("partition")?.as_i64()?).ok()?,
        offset: it.get("offset")?.as_i64()?,
    })
}

fn micros(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000)
}

fn millis(duration: Option<&prost_types::Duration>) -> i64 {
    duration.map_or(0, |it| it.seconds * 1_000 + i64::from(it.nanos) / 1_000_000)
}
