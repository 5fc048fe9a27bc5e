//! One change of one run, decided on a copy of its state.
//!
//! Events and values are applied to the copy as they are decided, so that each command sees what
//! the one before it did. `finish` settles the workflow task (flush the buffer, schedule, start if
//! a poller waits) and pushes the ops. Nothing is changed if the transaction is dropped.

use crate::matching::{Planner, QueueKey};
use crate::op::{
    ActivitySet, ActivityState, Buffered, Events, Op, RunCreated, Sticky, StickySet,
    WorkflowTaskSet, WorkflowTaskState,
};
use crate::proto::{Attributes, HistoryEvent, common, enums, history, timestamp};
use crate::run::RunState;
use base::{RunId, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Whose work it is when the server itself ends something.
pub(crate) const SERVER_IDENTITY: &str = "history-service";

pub(crate) struct Transaction<'p, 'a, 'e> {
    pub(crate) planner: &'p mut Planner<'a, 'e>,
    pub(crate) run: RunState,
    /// A workflow task is due, unless one is pending.
    pub(crate) wants_task: bool,
    /// Attempt of the next task, if it is a retry of one that failed.
    pub(crate) next_attempt: i32,
    /// Carried over heartbeating tasks; 0 for none.
    pub(crate) original_scheduled_at: i64,
    /// Start the next task at once, for the worker with this identity.
    pub(crate) inline: Option<String>,
    created: Option<RunCreated>,
    task_before: Option<WorkflowTaskState>,
    sticky_before: Option<Sticky>,
    /// The task that failed last wanted to close the run over events it had not seen.
    pub(crate) close_attempted: bool,
    /// A task is due even while the first one waits for a start delay or a retry's backoff.
    pub(crate) ends_backoff: bool,
    events: Vec<HistoryEvent>,
    /// Positions in `events` of those that were buffered by earlier entries.
    flushed: Vec<usize>,
    /// Came from outside while a task is with a worker: their ids follow when it ends.
    buffered: Vec<HistoryEvent>,
    /// Came from outside while none is: their ids follow at the end of this change.
    fresh: Vec<HistoryEvent>,
    dirty: BTreeSet<i64>,
    /// Activities that became ready here.
    ready: Vec<i64>,
}

impl<'p, 'a, 'e> Transaction<'p, 'a, 'e> {
    /// Begins a change of an existing run.
    pub(crate) fn begin(planner: &'p mut Planner<'a, 'e>, run: &RunState) -> Self {
        Transaction {
            planner,
            wants_task: false,
            next_attempt: 1,
            original_scheduled_at: 0,
            inline: None,
            created: None,
            task_before: run.task.clone(),
            sticky_before: run.sticky.clone(),
            run: run.clone(),
            close_attempted: false,
            ends_backoff: false,
            events: Vec::new(),
            flushed: Vec::new(),
            buffered: Vec::new(),
            fresh: Vec::new(),
            dirty: BTreeSet::new(),
            ready: Vec::new(),
        }
    }

    /// Begins the life of a new run.
    pub(crate) fn create(
        planner: &'p mut Planner<'a, 'e>,
        created: RunCreated,
        run: RunState,
    ) -> Self {
        let mut transaction = Transaction::begin(planner, &run);
        transaction.created = Some(created);
        transaction
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.planner.cx.now
    }

    /// Adds an event that has its place at once: made by a command, or about the workflow task,
    /// the start or the close. Returns its id.
    pub(crate) fn event(&mut self, attributes: Attributes) -> i64 {
        let event = self.make(attributes);
        self.push(event)
    }

    /// Like [`Transaction::event`], with the fields that a command or request passes on.
    pub(crate) fn event_like(&mut self, attributes: Attributes, like: HistoryEvent) -> i64 {
        let made = self.make(attributes);
        self.push(HistoryEvent {
            user_metadata: like.user_metadata,
            links: like.links,
            event_group_markers: like.event_group_markers,
            ..made
        })
    }

    /// Adds an event that came from outside. It has its effect at once, but its place only when
    /// no workflow task is with a worker, and behind the events of this task's commands.
    pub(crate) fn happen(&mut self, attributes: Attributes) {
        let event = self.make(attributes);
        self.happen_so(event);
    }

    /// Like [`Transaction::happen`], with the links of the request.
    pub(crate) fn happen_linked(&mut self, attributes: Attributes, links: &[common::Link]) {
        let event = HistoryEvent { links: links.to_vec(), ..self.make(attributes) };
        self.happen_so(event);
    }

    fn happen_so(&mut self, event: HistoryEvent) {
        self.wants_task = true;
        if self.run.task_started() {
            self.run.buffer_event(&event);
            self.buffered.push(event);
        } else {
            self.run.take_effect(&event);
            self.fresh.push(event);
        }
    }

    /// Ends the run from outside: a task that is with a worker fails, what has waited for it goes
    /// on record, and then the run is closed.
    pub(crate) fn close_by_force(&mut self, close: Attributes) {
        self.fail_task_by_force();
        self.flush();
        self.event(close);
    }

    /// Closes an activity: its STARTED event, if it was started, and the close event, which learns
    /// the id of the former when it gets its own.
    pub(crate) fn close_activity(&mut self, scheduled_event_id: i64, close: Attributes) {
        let Some(activity) = self.run.activities.get(&scheduled_event_id) else { return };
        if activity.is_started() {
            let started = history::ActivityTaskStartedEventAttributes {
                scheduled_event_id,
                identity: activity.state.identity.clone(),
                request_id: activity.state.request_id.clone(),
                attempt: activity.state.attempt,
                last_failure: activity.state.last_failure.clone(),
                ..Default::default()
            };
            let started_at = crate::op::at(activity.state.started_at);
            let event = self.make(Attributes::ActivityTaskStartedEventAttributes(started));
            // The event tells when the attempt really began.
            self.happen_so(HistoryEvent { event_time: Some(timestamp(started_at)), ..event });
        }
        self.happen(close);
        self.dirty.remove(&scheduled_event_id);
    }

    /// Replaces the state of an activity's attempt.
    pub(crate) fn set_activity(&mut self, scheduled_event_id: i64, state: ActivityState) {
        let Some(activity) = self.run.activities.get_mut(&scheduled_event_id) else { return };
        activity.state = Arc::new(state);
        self.dirty.insert(scheduled_event_id);
    }

    /// The activity can be polled from now on; a waiting poller gets it in this very entry.
    pub(crate) fn activity_ready(&mut self, scheduled_event_id: i64) {
        self.ready.push(scheduled_event_id);
    }

    /// Starts an activity's attempt for a worker.
    pub(crate) fn start_activity(&mut self, scheduled_event_id: i64, identity: &str) {
        let Some(activity) = self.run.activities.get(&scheduled_event_id) else { return };
        let state = ActivityState {
            started_at: self.now().0,
            backing_off: false,
            identity: identity.to_owned(),
            request_id: self.planner.cx.uuid().to_string(),
            ..ActivityState::clone(&activity.state)
        };
        self.set_activity(scheduled_event_id, state);
    }

    /// The event happened at another time than now.
    pub(crate) fn retime(&mut self, id: i64, time: Option<prost_types::Timestamp>) {
        if let Some(event) = self.events.iter_mut().rev().find(|event| event.event_id == id) {
            event.event_time = time;
        }
    }

    fn make(&self, attributes: Attributes) -> HistoryEvent {
        HistoryEvent {
            event_time: Some(timestamp(self.now())),
            event_type: event_type(&attributes) as i32,
            task_id: self.now().0,
            attributes: Some(attributes),
            ..HistoryEvent::default()
        }
    }

    fn push(&mut self, mut event: HistoryEvent) -> i64 {
        event.event_id = self.run.next_event_id;
        self.run.apply_event(&event, false);
        let id = event.event_id;
        self.events.push(event);
        id
    }

    /// Pushes the ops of this change.
    pub(crate) fn finish(mut self) -> RunId {
        if self.run.is_running() {
            self.limit_history();
        }
        if self.run.is_running() {
            self.settle_task();
            self.start_ready_activities();
        }
        let id = self.run.id;
        self.emit();
        id
    }

    /// A history at its limit ends the run, as on the real server.
    fn limit_history(&mut self) {
        let limits = self.planner.limits;
        if self.run.next_event_id > limits.history_event_count {
            self.terminate("Workflow history count exceeds limit.");
        } else if self.run.history_size_bytes > limits.history_bytes {
            self.terminate("Workflow history size exceeds limit.");
        }
    }

    /// The server itself ends the run.
    pub(crate) fn terminate(&mut self, reason: &str) {
        self.close_by_force(Attributes::WorkflowExecutionTerminatedEventAttributes(
            history::WorkflowExecutionTerminatedEventAttributes {
                reason: reason.into(),
                identity: SERVER_IDENTITY.into(),
                ..Default::default()
            },
        ));
    }

    fn settle_task(&mut self) {
        self.limit_buffer();
        if self.run.task_started() {
            return;
        }
        let flushed = self.flush();
        let untouched = self.run.task.is_some() && self.run.task == self.task_before;
        match &self.run.task {
            None if self.wants_task && !self.waits_for_backoff() => {
                let attempt = if flushed { 1 } else { self.next_attempt };
                self.schedule_task(attempt);
            }
            Some(task) if untouched && task.attempt > 1 && !self.events.is_empty() => {
                // Something happened meanwhile: the transient task becomes a normal one.
                self.close_attempted = task.close_attempted;
                self.run.task = None;
                self.schedule_task(1);
            }
            _ => {}
        }
        self.start_task_if_polled();
    }

    /// What waits for the task goes on record in one entry when the task ends, and an entry has a
    /// limit. Signals are refused before that. Results and timers cannot be: the task ends here,
    /// as on the real server.
    fn limit_buffer(&mut self) {
        let limits = self.planner.limits;
        let full = self.run.buffered.len() > limits.buffered_events_count
            || self.run.buffered_bytes > limits.buffered_bytes;
        let only_signals = self.buffered.iter().all(is_signal);
        if full && !only_signals && self.run.task_started() {
            self.fail_task_by_force();
            self.run.sticky = None;
            self.wants_task = true;
        }
    }

    /// A task that was pending already cannot be the one that waits.
    fn waits_for_backoff(&self) -> bool {
        !self.ends_backoff && self.task_before.is_none() && self.run.in_backoff(self.now())
    }

    /// Gives the waiting events their ids: in order of arrival, but closes of activities last.
    fn flush(&mut self) -> bool {
        let mut waiting = self.run.take_buffered();
        waiting.truncate(waiting.len() - self.buffered.len().min(waiting.len()));
        let fresh = std::mem::take(&mut self.buffered).into_iter().chain(self.fresh.drain(..));
        let waiting = waiting.into_iter().map(|event| (Arc::unwrap_or_clone(event), true));
        let all = waiting.chain(fresh.map(|event| (event, false)));
        let (closes, others): (Vec<_>, Vec<_>) =
            all.partition(|(event, _)| closes_activity(event).is_some());
        if closes.is_empty() && others.is_empty() {
            return false;
        }
        let mut started = HashMap::new();
        for (mut event, buffered) in others.into_iter().chain(closes) {
            event.event_id = self.run.next_event_id;
            if let Some(Attributes::ActivityTaskStartedEventAttributes(a)) = &event.attributes {
                started.insert(a.scheduled_event_id, event.event_id);
            }
            wire_started(&mut event, &started);
            self.run.apply_event(&event, true);
            if buffered {
                self.flushed.push(self.events.len());
            }
            self.events.push(event);
        }
        self.wants_task = true;
        true
    }

    fn start_ready_activities(&mut self) {
        for scheduled_event_id in std::mem::take(&mut self.ready) {
            let Some(activity) = self.run.activities.get(&scheduled_event_id) else { continue };
            if activity.is_started() {
                continue;
            }
            let key = QueueKey::activity(self.run.key.namespace, activity.queue());
            let matching = self.planner.matching;
            if let Some(poller) = self.planner.used.next(matching, &key) {
                self.start_activity(scheduled_event_id, &poller.identity);
            }
        }
    }

    fn emit(self) {
        let run = self.run;
        let plan = &mut *self.planner.plan;
        let id = run.id.into();
        if let Some(created) = self.created {
            plan.push(Op::RunCreated(created));
        }
        if !self.events.is_empty() {
            let events = Events { run: run.id, events: self.events, flushed: self.flushed };
            plan.push(Op::Events(events));
        }
        if run.is_running() && !self.buffered.is_empty() {
            plan.push(Op::Buffered(Buffered { run: id, events: self.buffered }));
        }
        for scheduled_event_id in self.dirty {
            if let Some(activity) = run.activities.get(&scheduled_event_id) {
                let state = ActivityState::clone(&activity.state);
                plan.push(Op::ActivitySet(ActivitySet { run: id, scheduled_event_id, state }));
            }
        }
        if run.is_running() && run.sticky != self.sticky_before {
            plan.push(Op::StickySet(StickySet { run: id, sticky: run.sticky }));
        }
        if run.status == enums::WorkflowExecutionStatus::Running && run.task != self.task_before {
            plan.push(Op::WorkflowTaskSet(WorkflowTaskSet { run: id, task: run.task }));
        }
    }
}

/// Whether an event is a signal.
pub(crate) fn is_signal(event: &HistoryEvent) -> bool {
    matches!(event.attributes, Some(Attributes::WorkflowExecutionSignaledEventAttributes(_)))
}

/// The activity that an event closes.
fn closes_activity(event: &HistoryEvent) -> Option<i64> {
    match event.attributes.as_ref()? {
        Attributes::ActivityTaskCompletedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskFailedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskTimedOutEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskCanceledEventAttributes(a) => Some(a.scheduled_event_id),
        _ => None,
    }
}

/// A close event that was buffered learns the id of its STARTED event.
fn wire_started(event: &mut HistoryEvent, started: &HashMap<i64, i64>) {
    let Some(id) = closes_activity(event).and_then(|scheduled| started.get(&scheduled)) else {
        return;
    };
    match event.attributes.as_mut() {
        Some(Attributes::ActivityTaskCompletedEventAttributes(a)) => a.started_event_id = *id,
        Some(Attributes::ActivityTaskFailedEventAttributes(a)) => a.started_event_id = *id,
        Some(Attributes::ActivityTaskTimedOutEventAttributes(a)) => a.started_event_id = *id,
        Some(Attributes::ActivityTaskCanceledEventAttributes(a)) => a.started_event_id = *id,
        _ => {}
    }
}

/// The event type of attributes; only those that this machine writes.
fn event_type(attributes: &Attributes) -> enums::EventType {
    use Attributes as A;
    use enums::EventType as T;
    match attributes {
        A::WorkflowExecutionStartedEventAttributes(_) => T::WorkflowExecutionStarted,
        A::WorkflowExecutionCompletedEventAttributes(_) => T::WorkflowExecutionCompleted,
        A::WorkflowExecutionFailedEventAttributes(_) => T::WorkflowExecutionFailed,
        A::WorkflowExecutionTimedOutEventAttributes(_) => T::WorkflowExecutionTimedOut,
        A::WorkflowExecutionCanceledEventAttributes(_) => T::WorkflowExecutionCanceled,
        A::WorkflowExecutionTerminatedEventAttributes(_) => T::WorkflowExecutionTerminated,
        A::WorkflowExecutionContinuedAsNewEventAttributes(_) => T::WorkflowExecutionContinuedAsNew,
        A::WorkflowExecutionSignaledEventAttributes(_) => T::WorkflowExecutionSignaled,
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => {
            T::WorkflowExecutionCancelRequested
        }
        A::WorkflowTaskScheduledEventAttributes(_) => T::WorkflowTaskScheduled,
        A::WorkflowTaskStartedEventAttributes(_) => T::WorkflowTaskStarted,
        A::WorkflowTaskCompletedEventAttributes(_) => T::WorkflowTaskCompleted,
        A::WorkflowTaskTimedOutEventAttributes(_) => T::WorkflowTaskTimedOut,
        A::WorkflowTaskFailedEventAttributes(_) => T::WorkflowTaskFailed,
        A::ActivityTaskScheduledEventAttributes(_) => T::ActivityTaskScheduled,
        A::ActivityTaskStartedEventAttributes(_) => T::ActivityTaskStarted,
        A::ActivityTaskCompletedEventAttributes(_) => T::ActivityTaskCompleted,
        A::ActivityTaskFailedEventAttributes(_) => T::ActivityTaskFailed,
        A::ActivityTaskTimedOutEventAttributes(_) => T::ActivityTaskTimedOut,
        A::ActivityTaskCancelRequestedEventAttributes(_) => T::ActivityTaskCancelRequested,
        A::ActivityTaskCanceledEventAttributes(_) => T::ActivityTaskCanceled,
        A::TimerStartedEventAttributes(_) => T::TimerStarted,
        A::TimerFiredEventAttributes(_) => T::TimerFired,
        A::TimerCanceledEventAttributes(_) => T::TimerCanceled,
        A::MarkerRecordedEventAttributes(_) => T::MarkerRecorded,
        A::UpsertWorkflowSearchAttributesEventAttributes(_) => T::UpsertWorkflowSearchAttributes,
        A::WorkflowPropertiesModifiedEventAttributes(_) => T::WorkflowPropertiesModified,
        _ => T::Unspecified,
    }
}
