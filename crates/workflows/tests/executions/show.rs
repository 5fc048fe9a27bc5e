//! Events, answers and refusals in one line each.

use crate::world::{Answer, EPOCH};
use base::Timestamp;
use std::fmt::Write;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::{
    ContinueAsNewInitiator, EventType, RetryState, WorkflowTaskFailedCause,
};
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes as A;
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceResponse, DescribeWorkflowExecutionResponse,
};
use workflows::{Refusal, Reply};

/// A line under construction: only what is set is shown.
struct Line(String);

impl Line {
    fn add(&mut self, key: &str, value: &str) -> &mut Line {
        if !value.is_empty() {
            _ = write!(self.0, " {key}={value}");
        }
        self
    }

    fn id(&mut self, key: &str, value: i64) -> &mut Line {
        if value != 0 {
            _ = write!(self.0, " {key}={value}");
        }
        self
    }

    fn time(&mut self, key: &str, value: Option<&prost_types::Duration>) -> &mut Line {
        match value.map(proto_span) {
            Some(span) if !span.is_zero() => self.add(key, &short(span)),
            _ => self,
        }
    }

    fn flag(&mut self, name: &str, on: bool) -> &mut Line {
        if on {
            _ = write!(self.0, " {name}");
        }
        self
    }

    fn payloads(&mut self, key: &str, value: Option<&common::Payloads>) -> &mut Line {
        let Some(value) = value else { return self };
        let texts: Vec<_> =
            value.payloads.iter().map(|p| String::from_utf8_lossy(&p.data).into_owned()).collect();
        self.add(key, &texts.join("+"))
    }

    fn failure(&mut self, value: Option<&failure::Failure>) -> &mut Line {
        self.add("failure", &value.map_or(String::new(), describe_failure))
    }

    fn retry(&mut self, state: RetryState) -> &mut Line {
        let name = format!("{state:?}");
        self.add("retry", if state == RetryState::Unspecified { "" } else { &name })
    }
}

/// `10s`, `1.5s`, `2m`.
pub(crate) fn short(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.subsec_millis());
    if millis == 0 && seconds >= 60 && seconds % 60 == 0 {
        return format!("{}m", seconds / 60);
    }
    if millis == 0 { format!("{seconds}s") } else { format!("{}s", span.as_secs_f64()) }
}

fn proto_span(d: &prost_types::Duration) -> Duration {
    let nanos = u32::try_from(d.nanos).expect("not negative");
    Duration::new(u64::try_from(d.seconds).expect("not negative"), nanos)
}

/// The time since the script began.
pub(crate) fn moment(time: &prost_types::Timestamp) -> String {
    let at = Timestamp::from_seconds_and_nanos(time.seconds, time.nanos);
    format!("@{}", short(at.since(EPOCH)))
}

fn describe_failure(failure: &failure::Failure) -> String {
    use failure::failure::FailureInfo as Info;
    let mut text = format!("{:?}", failure.message);
    match &failure.failure_info {
        Some(Info::ApplicationFailureInfo(info)) if !info.r#type.is_empty() => {
            _ = write!(text, "/{}", info.r#type);
        }
        Some(Info::TimeoutFailureInfo(info)) => {
            _ = write!(text, "/{:?}", info.timeout_type());
            if let Some(details) = &info.last_heartbeat_details {
                let data = details.payloads.iter().map(|p| String::from_utf8_lossy(&p.data));
                _ = write!(text, "/details={}", data.collect::<Vec<_>>().join("+"));
            }
        }
        _ => {}
    }
    if let Some(cause) = &failure.cause {
        _ = write!(text, "<-{}", describe_failure(cause));
    }
    text
}

/// The type of an event, without what goes without saying.
pub(crate) fn event_name(event: &HistoryEvent) -> String {
    let kind = EventType::try_from(event.event_type).expect("a known event type");
    assert_ne!(kind, EventType::Unspecified, "an event has a type");
    format!("{kind:?}")
}

/// One event. Buffered ones have no id yet.
pub(crate) fn event(event: &HistoryEvent, now: Timestamp) -> String {
    let id = if event.event_id == 0 { "~".to_owned() } else { event.event_id.to_string() };
    let mut line = Line(format!("{id} {}", event_name(event)));
    match event.attributes.as_ref().expect("attributes") {
        A::WorkflowExecutionStartedEventAttributes(a) => started(&mut line, a),
        A::WorkflowTaskScheduledEventAttributes(a) => {
            let queue = a.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
            line.add("queue", if queue == "q" { "" } else { queue });
            line.id("attempt", if a.attempt == 1 { 0 } else { i64::from(a.attempt) });
            let timeout = a.start_to_close_timeout.as_ref();
            line.time("timeout", timeout.filter(|timeout| timeout.seconds != 10));
        }
        A::WorkflowTaskStartedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).add("by", &a.identity);
            line.flag("suggest-continue-as-new", a.suggest_continue_as_new);
        }
        A::WorkflowTaskCompletedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
        }
        A::WorkflowTaskTimedOutEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            line.add("type", &format!("{:?}", a.timeout_type()));
        }
        A::WorkflowTaskFailedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            let cause = WorkflowTaskFailedCause::try_from(a.cause).expect("a known cause");
            line.add("cause", &format!("{cause:?}")).failure(a.failure.as_ref());
        }
        A::ActivityTaskScheduledEventAttributes(a) => scheduled(&mut line, a),
        A::ActivityTaskStartedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("attempt", i64::from(a.attempt));
            line.failure(a.last_failure.as_ref());
        }
        other => rest(&mut line, other),
    }
    let time = event.event_time.as_ref().expect("a time");
    let at = Timestamp::from_seconds_and_nanos(time.seconds, time.nanos);
    if at != now {
        line.add("at", &moment(time));
    }
    line.0
}

fn started(line: &mut Line, a: &history::WorkflowExecutionStartedEventAttributes) {
    let queue = a.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
    let kind = a.workflow_type.as_ref().map_or("", |kind| kind.name.as_str());
    line.add("queue", if queue == "q" { "" } else { queue });
    line.add("type", if kind == "T" { "" } else { kind });
    line.id("attempt", if a.attempt == 1 { 0 } else { i64::from(a.attempt) });
    line.time("backoff", a.first_workflow_task_backoff.as_ref());
    line.add("continued", &a.continued_execution_run_id);
    let first = &a.first_execution_run_id;
    line.add("first", if *first == a.original_execution_run_id { "" } else { first });
    if a.initiator != 0 {
        let initiator = ContinueAsNewInitiator::try_from(a.initiator).expect("known");
        line.add("initiator", &format!("{initiator:?}"));
    }
    line.payloads("input", a.input.as_ref());
    line.payloads("last", a.last_completion_result.as_ref());
    line.failure(a.continued_failure.as_ref());
    line.time("run-timeout", a.workflow_run_timeout.as_ref());
    let expires = a.workflow_execution_expiration_time.as_ref().map(moment);
    line.add("expires", &expires.unwrap_or_default());
    let mut memo: Vec<_> = a.memo.iter().flat_map(|memo| memo.fields.keys()).cloned().collect();
    memo.sort();
    line.add("memo", &memo.join(","));
    line.flag("eager", a.eager_execution_accepted);
}

fn scheduled(line: &mut Line, a: &history::ActivityTaskScheduledEventAttributes) {
    let queue = a.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
    line.add("id", &a.activity_id).add("queue", if queue == "q" { "" } else { queue });
    line.time("schedule-to-close", a.schedule_to_close_timeout.as_ref());
    line.time("schedule-to-start", a.schedule_to_start_timeout.as_ref());
    line.time("start-to-close", a.start_to_close_timeout.as_ref());
    line.time("heartbeat", a.heartbeat_timeout.as_ref());
    let set = a.schedule_to_close_timeout.is_some() && a.schedule_to_start_timeout.is_some();
    line.flag("UNSET-TIMEOUTS", !set);
    line.flag("NO-POLICY", a.retry_policy.is_none());
}

fn rest(line: &mut Line, attributes: &A) {
    match attributes {
        A::ActivityTaskCompletedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            line.payloads("result", a.result.as_ref());
        }
        A::ActivityTaskFailedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            line.retry(a.retry_state()).failure(a.failure.as_ref());
        }
        A::ActivityTaskTimedOutEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            line.retry(a.retry_state()).failure(a.failure.as_ref());
        }
        A::ActivityTaskCancelRequestedEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id);
        }
        A::ActivityTaskCanceledEventAttributes(a) => {
            line.id("scheduled", a.scheduled_event_id).id("started", a.started_event_id);
            line.id("requested", a.latest_cancel_requested_event_id);
            line.payloads("details", a.details.as_ref());
        }
        A::TimerStartedEventAttributes(a) => {
            line.add("id", &a.timer_id).time("fires-in", a.start_to_fire_timeout.as_ref());
        }
        A::TimerFiredEventAttributes(a) => {
            line.add("id", &a.timer_id).id("started", a.started_event_id);
        }
        A::TimerCanceledEventAttributes(a) => {
            line.add("id", &a.timer_id).id("started", a.started_event_id);
        }
        A::MarkerRecordedEventAttributes(a) => _ = line.add("name", &a.marker_name),
        A::WorkflowExecutionSignaledEventAttributes(a) => {
            line.add("name", &a.signal_name).payloads("input", a.input.as_ref());
        }
        A::WorkflowExecutionCancelRequestedEventAttributes(a) => _ = line.add("cause", &a.cause),
        A::UpsertWorkflowSearchAttributesEventAttributes(a) => {
            let fields = a.search_attributes.iter().flat_map(|s| s.indexed_fields.keys());
            line.add("keys", &fields.cloned().collect::<Vec<_>>().join(","));
        }
        A::WorkflowPropertiesModifiedEventAttributes(a) => {
            let fields = a.upserted_memo.iter().flat_map(|memo| memo.fields.keys());
            line.add("keys", &fields.cloned().collect::<Vec<_>>().join(","));
        }
        close => closing(line, close),
    }
}

fn closing(line: &mut Line, attributes: &A) {
    match attributes {
        A::WorkflowExecutionCompletedEventAttributes(a) => {
            line.payloads("result", a.result.as_ref());
        }
        A::WorkflowExecutionFailedEventAttributes(a) => {
            line.retry(a.retry_state()).add("new", &a.new_execution_run_id);
            line.failure(a.failure.as_ref());
        }
        A::WorkflowExecutionTimedOutEventAttributes(a) => {
            line.retry(a.retry_state()).add("new", &a.new_execution_run_id);
        }
        A::WorkflowExecutionCanceledEventAttributes(a) => {
            line.payloads("details", a.details.as_ref());
        }
        A::WorkflowExecutionTerminatedEventAttributes(a) => {
            line.add("reason", &a.reason.replace(' ', "_"));
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
            line.add("new", &a.new_execution_run_id);
            line.time("backoff", a.backoff_start_interval.as_ref());
        }
        other => panic!("the machine writes no {other:?}"),
    }
}

fn namespace(r: &DescribeNamespaceResponse) -> String {
    let info = r.namespace_info.as_ref().expect("info");
    let retention = r.config.as_ref().and_then(|c| c.workflow_execution_retention_ttl.as_ref());
    let hours = retention.map_or(0, |retention| retention.seconds / 3600);
    format!("{} ({:?}, {hours}h)", info.name, info.state())
}

/// Refusals, and answers that need no names.
pub(crate) fn answer(answer: &Answer) -> String {
    match answer {
        Err(Refusal::ResourceExhausted { message, cause, .. }) => {
            format!("ResourceExhausted {cause:?} {message:?}")
        }
        Err(Refusal::AlreadyStarted { message, start_request_id, run_id }) => {
            format!("AlreadyStarted {run_id} request={start_request_id} {message:?}")
        }
        Err(Refusal::QueryFailed { message, .. }) => format!("QueryFailed {message:?}"),
        Err(refusal) => format!("{refusal:?}"),
        Ok(Reply::StartWorkflowExecution(r, _)) => {
            format!("{} started={} {:?}", r.run_id, r.started, r.status())
        }
        Ok(Reply::SignalWithStartWorkflowExecution(r)) => {
            format!("{} started={}", r.run_id, r.started)
        }
        Ok(Reply::QueryWorkflow(r)) => match &r.query_rejected {
            Some(rejected) => format!("query rejected: {:?}", rejected.status()),
            None => {
                let mut line = Line("answered".into());
                line.payloads("result", r.query_result.as_ref());
                line.0
            }
        },
        Ok(Reply::RecordActivityTaskHeartbeat(r)) => {
            if r.cancel_requested { "ok, cancel requested" } else { "ok" }.into()
        }
        Ok(Reply::EmptyPoll) => "empty".into(),
        Ok(Reply::DescribeNamespace(r)) => namespace(r),
        Ok(Reply::ListNamespaces(r)) => {
            let all = r.namespaces.iter().map(namespace).collect::<Vec<_>>().join(", ");
            let after = String::from_utf8_lossy(&r.next_page_token);
            if after.is_empty() { all } else { format!("{all}, more after {after}") }
        }
        Ok(_) => "ok".into(),
    }
}

/// What Describe says, as far as it is not the same every time.
pub(crate) fn described(r: &DescribeWorkflowExecutionResponse) -> String {
    let info = r.workflow_execution_info.as_ref().expect("info");
    let extended = r.workflow_extended_info.as_ref().expect("extended info");
    let mut text = format!("{:?} events={}", info.status(), info.history_length);
    let times = [
        ("starts", &info.execution_time),
        ("closed", &info.close_time),
        ("run-expires", &extended.run_expiration_time),
        ("expires", &extended.execution_expiration_time),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            _ = write!(text, " {name}={}", moment(time));
        }
    }
    if extended.cancel_requested {
        text.push_str(" cancel-requested");
    }
    let mut memo: Vec<_> = info.memo.iter().flat_map(|memo| memo.fields.keys()).collect();
    let attributes = info.search_attributes.iter().flat_map(|s| s.indexed_fields.keys());
    memo.extend(attributes);
    memo.sort();
    for key in memo {
        _ = write!(text, " has={key}");
    }
    text.push('\n');
    if let Some(task) = &r.pending_workflow_task {
        _ = writeln!(text, "  task {:?} attempt={}", task.state(), task.attempt);
    }
    for activity in &r.pending_activities {
        let (id, state) = (&activity.activity_id, activity.state());
        _ = write!(text, "  activity {id} {state:?} attempt={}", activity.attempt);
        if let Some(failure) = &activity.last_failure {
            _ = write!(text, " last={:?}", failure.message);
        }
        if let Some(next) = &activity.next_attempt_schedule_time {
            _ = write!(text, " next={}", moment(next));
        }
        text.push('\n');
    }
    text
}
