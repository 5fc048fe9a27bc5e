//! The life of a workflow task: scheduled, started, completed, failed or timed out.
//!
//! From the second attempt on a task is transient: its events are not written, only promised
//! (ids `next_event_id` and the one after), and appear in history when it completes.

use crate::limits::Limits;
use crate::matching::QueueKey;
use crate::op::{Sticky, WorkflowTaskState, at};
use crate::proto::{
    Attributes, HistoryEvent, enums, failure, history, normal_queue, service, taskqueue, timestamp,
};
use crate::run::RunState;
use crate::transaction::{SERVER_IDENTITY, Transaction};
use base::Timestamp;
use enums::{SuggestContinueAsNewReason, TimeoutType, WorkflowTaskFailedCause};
use std::time::Duration;

/// Why a workflow task fails.
#[derive(Clone, Debug)]
pub(crate) struct TaskFailure {
    pub(crate) cause: WorkflowTaskFailedCause,
    pub(crate) failure: Option<failure::Failure>,
    pub(crate) identity: String,
}

impl Transaction<'_, '_, '_> {
    /// Schedules a workflow task, on the sticky queue if that is alive.
    pub(crate) fn schedule_task(&mut self, attempt: i32) {
        let now = self.now();
        let sticky = self.run.sticky.clone().filter(|sticky| self.is_alive(sticky));
        let base = self.run.default_task_timeout();
        let start_to_close = task_timeout(base, attempt, self.planner.limits);
        let scheduled_event_id = if attempt == 1 {
            self.event(scheduled_event(&self.run, sticky.as_ref(), start_to_close, 1))
        } else {
            self.run.next_event_id
        };
        let original = match self.original_scheduled_at {
            0 => now.0,
            original => original,
        };
        self.run.task = Some(WorkflowTaskState {
            scheduled_event_id,
            attempt,
            scheduled_at: now.0,
            original_scheduled_at: original,
            start_to_close: i64::try_from(start_to_close.as_micros()).unwrap_or(i64::MAX),
            schedule_to_start_deadline: sticky
                .as_ref()
                .map_or(0, |sticky| now.0.saturating_add(sticky.schedule_to_start)),
            sticky_queue: sticky.map(|sticky| sticky.queue),
            close_attempted: self.close_attempted,
            ..WorkflowTaskState::default()
        });
    }

    fn is_alive(&self, sticky: &Sticky) -> bool {
        if self.inline.is_some() {
            return true;
        }
        let key = QueueKey::workflow(self.run.key.namespace, &sticky.queue);
        let ttl = self.planner.limits.sticky_poller_ttl;
        let since = Timestamp(self.now().0 - i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
        self.planner.matching.is_polled(&key, since)
    }

    /// Starts the pending task in this very entry, if somebody can have it at once.
    pub(crate) fn start_task_if_polled(&mut self) {
        let Some(task) = &self.run.task else { return };
        if task.started_event_id != 0 {
            return;
        }
        if let Some(identity) = self.inline.take() {
            self.start_task(&identity);
            return;
        }
        let name = task.sticky_queue.clone().unwrap_or_else(|| self.run.task_queue().to_owned());
        let key = QueueKey::workflow(self.run.key.namespace, &name);
        let matching = self.planner.matching;
        if let Some(poller) = self.planner.used.next(matching, &key) {
            self.start_task(&poller.identity);
        }
    }

    /// Starts the pending task for a worker.
    pub(crate) fn start_task(&mut self, identity: &str) {
        let Some(mut task) = self.run.task.take() else { return };
        task.started_at = self.now().0;
        task.identity = identity.to_owned();
        task.request_id = self.planner.cx.uuid().to_string();
        task.history_size_bytes = i64::try_from(self.run.history_size_bytes).unwrap_or(i64::MAX);
        task.suggest_continue_as_new_reasons = self.reasons_to_continue_as_new();
        task.schedule_to_start_deadline = 0;
        if task.sticky_queue.is_none() {
            self.run.sticky = None;
        }
        if task.attempt == 1 {
            task.started_event_id = self.event(started_event(&task));
        } else {
            // Nothing else can take these ids: events are buffered while the task is started.
            task.scheduled_event_id = self.run.next_event_id;
            task.started_event_id = task.scheduled_event_id + 1;
        }
        self.run.task = Some(task);
    }

    fn reasons_to_continue_as_new(&self) -> Vec<i32> {
        let limits = self.planner.limits;
        let mut reasons = Vec::new();
        if self.run.history_size_bytes >= limits.suggest_continue_as_new_bytes {
            reasons.push(SuggestContinueAsNewReason::HistorySizeTooLarge as i32);
        }
        if self.run.next_event_id > limits.suggest_continue_as_new_event_count {
            reasons.push(SuggestContinueAsNewReason::TooManyHistoryEvents as i32);
        }
        reasons
    }

    /// Ends the started task as completed. Returns the id of the COMPLETED event.
    pub(crate) fn complete_task(
        &mut self,
        request: &service::RespondWorkflowTaskCompletedRequest,
    ) -> i64 {
        let Some(task) = self.run.task.take() else { return 0 };
        if task.attempt > 1 {
            self.write_transient(&task);
        }
        self.event(Attributes::WorkflowTaskCompletedEventAttributes(
            history::WorkflowTaskCompletedEventAttributes {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: task.started_event_id,
                identity: request.identity.clone(),
                binary_checksum: request.binary_checksum.clone(),
                worker_version: request.worker_version_stamp.clone(),
                sdk_metadata: request.sdk_metadata.clone(),
                metering_metadata: request.metering_metadata,
                ..Default::default()
            },
        ))
    }

    /// The promised events of a transient task become real, with the times they had.
    fn write_transient(&mut self, task: &WorkflowTaskState) {
        for event in transient_events(&self.run, task) {
            let id = self.event_like(
                event.attributes.unwrap_or_else(|| started_event(task)),
                HistoryEvent::default(),
            );
            self.retime(id, event.event_time);
        }
    }

    /// Ends the started task as failed; a new attempt follows.
    pub(crate) fn fail_task(&mut self, why: TaskFailure) {
        let Some(task) = self.run.task.take() else { return };
        self.close_attempted = why.cause == WorkflowTaskFailedCause::UnhandledCommand;
        self.record_failure(&task, why);
        self.retry_task(&task);
    }

    /// The run is about to be closed from outside: no new attempt follows.
    pub(crate) fn fail_task_by_force(&mut self) {
        let Some(task) = self.run.task.take().filter(|task| task.started_event_id != 0) else {
            return;
        };
        let cause = WorkflowTaskFailedCause::ForceCloseCommand;
        let identity = SERVER_IDENTITY.to_owned();
        self.record_failure(&task, TaskFailure { cause, failure: None, identity });
    }

    /// A transient task leaves no trace in history.
    fn record_failure(&mut self, task: &WorkflowTaskState, why: TaskFailure) {
        if task.attempt > 1 {
            return;
        }
        self.event(Attributes::WorkflowTaskFailedEventAttributes(
            history::WorkflowTaskFailedEventAttributes {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: task.started_event_id,
                cause: why.cause as i32,
                failure: why.failure,
                identity: why.identity,
                ..Default::default()
            },
        ));
    }

    /// The started task was not completed in time, or a sticky one was not started in time.
    pub(crate) fn time_out_task(&mut self) {
        let Some(task) = self.run.task.take() else { return };
        let started = task.started_event_id != 0;
        let kind = if started { TimeoutType::StartToClose } else { TimeoutType::ScheduleToStart };
        if task.attempt == 1 {
            self.event(Attributes::WorkflowTaskTimedOutEventAttributes(
                history::WorkflowTaskTimedOutEventAttributes {
                    scheduled_event_id: task.scheduled_event_id,
                    started_event_id: task.started_event_id,
                    timeout_type: kind as i32,
                },
            ));
        }
        if started {
            self.retry_task(&task);
        } else {
            self.run.sticky = None;
            self.wants_task = true;
        }
    }

    /// A sticky worker that fails only loses its stickiness; a normal one raises the attempt.
    fn retry_task(&mut self, task: &WorkflowTaskState) {
        let was_sticky = self.run.sticky.take().is_some();
        self.next_attempt = if was_sticky { task.attempt } else { task.attempt.saturating_add(1) };
        self.wants_task = true;
    }
}

/// Grows after the third attempt: default + 5 s * 2^n, up to ten minutes.
fn task_timeout(base: Option<Duration>, attempt: i32, limits: &Limits) -> Duration {
    let base = base.unwrap_or(limits.workflow_task_timeout);
    if attempt <= 3 {
        return base;
    }
    let doublings = u32::try_from(attempt - 3).unwrap_or(0).min(10);
    (base + Duration::from_secs(5) * 2u32.pow(doublings)).min(Duration::from_secs(600))
}

fn scheduled_event(
    run: &RunState,
    sticky: Option<&Sticky>,
    start_to_close: Duration,
    attempt: i32,
) -> Attributes {
    let task_queue = match sticky {
        Some(sticky) => taskqueue::TaskQueue {
            name: sticky.queue.clone(),
            kind: enums::TaskQueueKind::Sticky as i32,
            normal_name: run.task_queue().to_owned(),
        },
        None => normal_queue(run.task_queue()),
    };
    Attributes::WorkflowTaskScheduledEventAttributes(
        history::WorkflowTaskScheduledEventAttributes {
            task_queue: Some(task_queue),
            start_to_close_timeout: Some(crate::proto::duration(start_to_close)),
            attempt,
        },
    )
}

fn started_event(task: &WorkflowTaskState) -> Attributes {
    Attributes::WorkflowTaskStartedEventAttributes(history::WorkflowTaskStartedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        identity: task.identity.clone(),
        request_id: task.request_id.clone(),
        suggest_continue_as_new: !task.suggest_continue_as_new_reasons.is_empty(),
        suggest_continue_as_new_reasons: task.suggest_continue_as_new_reasons.clone(),
        history_size_bytes: task.history_size_bytes,
        ..Default::default()
    })
}

/// The two events that a started transient task promises.
pub(crate) fn transient_events(run: &RunState, task: &WorkflowTaskState) -> Vec<HistoryEvent> {
    let micros = u64::try_from(task.start_to_close).unwrap_or(0);
    let scheduled = scheduled_event(run, None, Duration::from_micros(micros), task.attempt);
    let make = |event_id, time: i64, kind: enums::EventType, attributes| HistoryEvent {
        event_id,
        event_time: Some(timestamp(at(time))),
        event_type: kind as i32,
        task_id: time,
        attributes: Some(attributes),
        ..HistoryEvent::default()
    };
    vec![
        make(
            task.scheduled_event_id,
            task.scheduled_at,
            enums::EventType::WorkflowTaskScheduled,
            scheduled,
        ),
        make(
            task.started_event_id,
            task.started_at,
            enums::EventType::WorkflowTaskStarted,
            started_event(task),
        ),
    ]
}

/// A failure that the server itself reports.
pub(crate) fn server_failure(message: &str) -> failure::Failure {
    failure::Failure {
        message: message.to_owned(),
        source: "Server".into(),
        failure_info: Some(failure::failure::FailureInfo::ServerFailureInfo(
            failure::ServerFailureInfo { non_retryable: true },
        )),
        ..failure::Failure::default()
    }
}

/// When the pending task times out.
pub(crate) fn deadline(task: &WorkflowTaskState) -> Timestamp {
    if task.started_event_id != 0 {
        return Timestamp(task.started_at.saturating_add(task.start_to_close));
    }
    match task.schedule_to_start_deadline {
        0 => Timestamp::NEVER,
        deadline => Timestamp(deadline),
    }
}
