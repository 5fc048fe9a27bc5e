//! One run of a workflow: its state, and what each event does to it.
//!
//! Invariants: event ids are dense from 1; a started workflow task holds back (buffers) every
//! event that did not come from it; a closed run has no pending task, activity, timer or buffer.

use crate::op::{ActivityState, Sticky, WorkflowTaskState};
use crate::proto::{Attributes, HistoryEvent, common, enums, history, positive, time_of};
use base::{RunId, Timestamp, Uuid};
use enums::WorkflowExecutionStatus as Status;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Which workflow id in which namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ExecutionKey {
    pub(crate) namespace: Uuid,
    pub(crate) workflow_id: Arc<str>,
}

/// The state of a run that is rebuilt from the journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunState {
    pub(crate) id: RunId,
    pub(crate) key: ExecutionKey,
    pub(crate) create_request_id: Arc<str>,
    /// Attributes of the STARTED event.
    pub(crate) started: Arc<history::WorkflowExecutionStartedEventAttributes>,
    /// An event that holds nothing but what the start passed on (user metadata).
    pub(crate) user_metadata: Option<Arc<HistoryEvent>>,
    pub(crate) start_time: Timestamp,
    pub(crate) close_time: Option<Timestamp>,
    pub(crate) status: Status,
    pub(crate) next_event_id: i64,
    pub(crate) history_size_bytes: u64,
    pub(crate) first_task_at: Timestamp,
    pub(crate) task: Option<WorkflowTaskState>,
    /// STARTED id of the last completed workflow task; 0 for none.
    pub(crate) previous_started_event_id: i64,
    pub(crate) sticky: Option<Sticky>,
    pub(crate) activities: BTreeMap<i64, Activity>,
    pub(crate) timers: BTreeMap<Arc<str>, Timer>,
    pub(crate) buffered: Vec<Arc<HistoryEvent>>,
    pub(crate) buffered_bytes: usize,
    pub(crate) signal_count: u64,
    pub(crate) cancel_requested: bool,
    pub(crate) last_failed_task: Option<FailedTask>,
    pub(crate) memo: Arc<BTreeMap<String, common::Payload>>,
    pub(crate) search_attributes: Arc<BTreeMap<String, common::Payload>>,
    /// The run that follows this one, if it was continued.
    pub(crate) new_run: Option<RunId>,
}

/// A pending activity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activity {
    pub(crate) scheduled: Arc<history::ActivityTaskScheduledEventAttributes>,
    pub(crate) state: Arc<ActivityState>,
}

/// A pending user timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timer {
    pub(crate) started_event_id: i64,
    pub(crate) fires_at: Timestamp,
}

/// The last workflow task that failed in history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedTask {
    pub(crate) scheduled_event_id: i64,
    pub(crate) message: String,
}

impl RunState {
    /// A run that has no event yet.
    pub(crate) fn new(id: RunId, key: ExecutionKey, request_id: &str, first: Timestamp) -> Self {
        RunState {
            id,
            key,
            create_request_id: request_id.into(),
            started: Arc::default(),
            user_metadata: None,
            start_time: Timestamp(0),
            close_time: None,
            status: Status::Running,
            next_event_id: 1,
            history_size_bytes: 0,
            first_task_at: first,
            task: None,
            previous_started_event_id: 0,
            sticky: None,
            activities: BTreeMap::new(),
            timers: BTreeMap::new(),
            buffered: Vec::new(),
            buffered_bytes: 0,
            signal_count: 0,
            cancel_requested: false,
            last_failed_task: None,
            memo: Arc::default(),
            search_attributes: Arc::default(),
            new_run: None,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// Whether a workflow task is with a worker.
    pub(crate) fn task_started(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.started_event_id != 0)
    }

    /// Whether a worker is about to try once more to close the run: nothing new should come in.
    pub(crate) fn is_closing(&self) -> bool {
        let task = self.task.as_ref().filter(|task| task.started_event_id != 0);
        task.is_some_and(|task| task.close_attempted)
    }

    /// Whether the first workflow task waits for a start delay or a retry's backoff.
    pub(crate) fn in_backoff(&self, now: Timestamp) -> bool {
        self.previous_started_event_id == 0 && self.task.is_none() && now < self.first_task_at
    }

    pub(crate) fn task_queue(&self) -> &str {
        self.started.task_queue.as_ref().map_or("", |queue| queue.name.as_str())
    }

    pub(crate) fn workflow_type(&self) -> &str {
        self.started.workflow_type.as_ref().map_or("", |kind| kind.name.as_str())
    }

    pub(crate) fn execution(&self) -> common::WorkflowExecution {
        common::WorkflowExecution {
            workflow_id: self.key.workflow_id.to_string(),
            run_id: self.id.to_string(),
        }
    }

    /// When the chain of runs expires.
    pub(crate) fn execution_deadline(&self) -> Timestamp {
        match &self.started.workflow_execution_expiration_time {
            Some(time) if time.seconds > 0 => time_of(Some(time)),
            _ => Timestamp::NEVER,
        }
    }

    /// When this run expires. Counts from the first task, as Temporal does.
    pub(crate) fn run_deadline(&self) -> Timestamp {
        match positive(self.started.workflow_run_timeout.as_ref()) {
            Some(timeout) => self.start_time.max(self.first_task_at).after(timeout),
            None => Timestamp::NEVER,
        }
    }

    pub(crate) fn default_task_timeout(&self) -> Option<Duration> {
        positive(self.started.workflow_task_timeout.as_ref())
    }

    pub(crate) fn activity_by_id(&self, activity_id: &str) -> Option<i64> {
        self.activities
            .iter()
            .find(|(_, activity)| activity.scheduled.activity_id == activity_id)
            .map(|(scheduled_event_id, _)| *scheduled_event_id)
    }

    /// Carries out an event that has its id. `flushed` ones have had their effect when they were
    /// buffered.
    pub(crate) fn apply_event(&mut self, event: &HistoryEvent, flushed: bool) {
        assert_eq!(event.event_id, self.next_event_id, "event ids are dense");
        self.next_event_id += 1;
        if !flushed {
            self.take_effect(event);
        }
    }

    /// Carries out an event that waits for its id.
    pub(crate) fn buffer_event(&mut self, event: &HistoryEvent) {
        self.take_effect(event);
        self.buffered_bytes += event.encoded_len();
        self.buffered.push(Arc::new(event.clone()));
    }

    /// The buffer is empty from now on.
    pub(crate) fn take_buffered(&mut self) -> Vec<Arc<HistoryEvent>> {
        self.buffered_bytes = 0;
        std::mem::take(&mut self.buffered)
    }

    /// What an event does, wherever it gets its place.
    pub(crate) fn take_effect(&mut self, event: &HistoryEvent) {
        let Some(attributes) = &event.attributes else { return };
        let at = time_of(event.event_time.as_ref());
        match attributes {
            Attributes::WorkflowExecutionStartedEventAttributes(a) => self.on_started(event, a, at),
            Attributes::WorkflowTaskCompletedEventAttributes(a) => {
                self.previous_started_event_id = a.started_event_id;
            }
            Attributes::WorkflowTaskFailedEventAttributes(a) => self.on_task_failed(a),
            Attributes::ActivityTaskScheduledEventAttributes(a) => {
                self.activities.insert(event.event_id, Activity::scheduled(a, at));
            }
            Attributes::ActivityTaskCancelRequestedEventAttributes(a) => {
                if let Some(activity) = self.activities.get_mut(&a.scheduled_event_id) {
                    let state = Arc::make_mut(&mut activity.state);
                    state.cancel_requested_event_id = event.event_id;
                }
            }
            Attributes::ActivityTaskCompletedEventAttributes(a) => {
                self.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskFailedEventAttributes(a) => {
                self.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskTimedOutEventAttributes(a) => {
                self.activities.remove(&a.scheduled_event_id);
            }
            Attributes::ActivityTaskCanceledEventAttributes(a) => {
                self.activities.remove(&a.scheduled_event_id);
            }
            Attributes::TimerStartedEventAttributes(a) => self.on_timer_started(event, a, at),
            Attributes::TimerFiredEventAttributes(a) => {
                self.timers.remove(a.timer_id.as_str());
            }
            Attributes::TimerCanceledEventAttributes(a) => self.on_timer_canceled(a),
            Attributes::WorkflowExecutionSignaledEventAttributes(_) => self.signal_count += 1,
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => {
                self.cancel_requested = true;
            }
            Attributes::UpsertWorkflowSearchAttributesEventAttributes(a) => {
                let fields = a.search_attributes.as_ref().map(|s| &s.indexed_fields);
                merge(&mut self.search_attributes, fields);
            }
            Attributes::WorkflowPropertiesModifiedEventAttributes(a) => {
                merge(&mut self.memo, a.upserted_memo.as_ref().map(|memo| &memo.fields));
            }
            _ => self.on_close_event(attributes, at),
        }
    }

    fn on_started(
        &mut self,
        event: &HistoryEvent,
        a: &history::WorkflowExecutionStartedEventAttributes,
        at: Timestamp,
    ) {
        self.started = Arc::new(a.clone());
        self.start_time = at;
        if event.user_metadata.is_some() {
            let only = HistoryEvent {
                user_metadata: event.user_metadata.clone(),
                ..HistoryEvent::default()
            };
            self.user_metadata = Some(Arc::new(only));
        }
        merge(&mut self.memo, a.memo.as_ref().map(|memo| &memo.fields));
        let fields = a.search_attributes.as_ref().map(|s| &s.indexed_fields);
        merge(&mut self.search_attributes, fields);
    }

    fn on_task_failed(&mut self, a: &history::WorkflowTaskFailedEventAttributes) {
        self.last_failed_task = Some(FailedTask {
            scheduled_event_id: a.scheduled_event_id,
            message: a.failure.as_ref().map_or(String::new(), |f| f.message.clone()),
        });
    }

    fn on_timer_started(
        &mut self,
        event: &HistoryEvent,
        a: &history::TimerStartedEventAttributes,
        at: Timestamp,
    ) {
        let timeout = positive(a.start_to_fire_timeout.as_ref()).unwrap_or_default();
        let timer = Timer { started_event_id: event.event_id, fires_at: at.after(timeout) };
        self.timers.insert(a.timer_id.as_str().into(), timer);
    }

    /// A timer that has fired into the buffer can still be cancelled: then it never fired.
    fn on_timer_canceled(&mut self, a: &history::TimerCanceledEventAttributes) {
        self.timers.remove(a.timer_id.as_str());
        self.buffered.retain(|event| !fires_timer(event, &a.timer_id));
        self.buffered_bytes = self.buffered.iter().map(|event| event.encoded_len()).sum();
    }

    /// Planted: a timer counts as pending as long as its firing has no event id.
    pub(crate) fn arm_buffered_timers(&mut self) {
        for event in &self.buffered {
            if let Some(Attributes::TimerFiredEventAttributes(fired)) = &event.attributes {
                let fires_at = time_of(event.event_time.as_ref());
                let timer = Timer { started_event_id: fired.started_event_id, fires_at };
                self.timers.insert(fired.timer_id.as_str().into(), timer);
            }
        }
    }

    /// Panics if nothing will ever bring the run to its first worker.
    pub(crate) fn check_progress(&self) {
        let began = self.previous_started_event_id != 0 || self.task.is_some();
        let will_begin = self.first_task_at.0 != 0;
        assert!(!self.is_running() || began || will_begin, "run {} waits for nothing", self.id);
    }

    /// A closed run keeps what Describe shows, not what only its worker or its successor needed.
    pub(crate) fn shed(&mut self) {
        let started = Arc::make_mut(&mut self.started);
        started.input = None;
        started.header = None;
        started.continued_failure = None;
        started.last_completion_result = None;
        started.memo = None;
        started.search_attributes = None;
    }

    fn on_close_event(&mut self, attributes: &Attributes, at: Timestamp) {
        let (status, new_run) = match attributes {
            Attributes::WorkflowExecutionCompletedEventAttributes(_) => (Status::Completed, ""),
            Attributes::WorkflowExecutionFailedEventAttributes(a) => {
                (Status::Failed, a.new_execution_run_id.as_str())
            }
            Attributes::WorkflowExecutionTimedOutEventAttributes(a) => {
                (Status::TimedOut, a.new_execution_run_id.as_str())
            }
            Attributes::WorkflowExecutionCanceledEventAttributes(_) => (Status::Canceled, ""),
            Attributes::WorkflowExecutionTerminatedEventAttributes(_) => (Status::Terminated, ""),
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
                (Status::ContinuedAsNew, a.new_execution_run_id.as_str())
            }
            _ => return,
        };
        self.status = status;
        self.close_time = Some(at);
        self.new_run = new_run.parse().ok().map(RunId);
        self.task = None;
        self.sticky = None;
        self.activities.clear();
        self.timers.clear();
        self.take_buffered();
    }
}

impl Activity {
    fn scheduled(a: &history::ActivityTaskScheduledEventAttributes, at: Timestamp) -> Activity {
        let state = ActivityState {
            attempt: 1,
            scheduled_at: at.0,
            first_scheduled_at: at.0,
            ..ActivityState::default()
        };
        Activity { scheduled: Arc::new(a.clone()), state: Arc::new(state) }
    }

    pub(crate) fn queue(&self) -> &str {
        self.scheduled.task_queue.as_ref().map_or("", |queue| queue.name.as_str())
    }

    pub(crate) fn is_started(&self) -> bool {
        self.state.started_at != 0
    }

    /// With one attempt only, the worker relies on it that nobody else gets the task. (The node
    /// itself does not: its work and its answer are one entry.)
    pub(crate) fn runs_at_most_once(&self) -> bool {
        let policy = self.scheduled.retry_policy.as_ref();
        policy.is_some_and(|policy| policy.maximum_attempts == 1)
            && self.queue() != crate::matching::RESERVED_QUEUE
    }
}

/// Whether the event is the firing of this timer.
pub(crate) fn fires_timer(event: &HistoryEvent, timer_id: &str) -> bool {
    matches!(&event.attributes,
        Some(Attributes::TimerFiredEventAttributes(fired)) if fired.timer_id == timer_id)
}

/// Merges payloads; an empty or null one removes its field, as SDKs mean it.
fn merge(
    into: &mut Arc<BTreeMap<String, common::Payload>>,
    fields: Option<&std::collections::HashMap<String, common::Payload>>,
) {
    let Some(fields) = fields else { return };
    let into = Arc::make_mut(into);
    for (name, payload) in fields {
        if removes(payload) {
            into.remove(name);
        } else {
            into.insert(name.clone(), payload.clone());
        }
    }
}

fn removes(payload: &common::Payload) -> bool {
    let encoding = payload.metadata.get("encoding").map(Vec::as_slice);
    encoding == Some(b"binary/null") || (payload.data.is_empty() && encoding.is_none())
}
