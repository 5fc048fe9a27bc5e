//! One run: its history grows by what a worker of sequential activities does.

use super::events::{Events, now, put_bytes};
use bytes::{Bytes, BytesMut};
use prost::Message;
use temporalio_common::protos::temporal::api::command::v1::ScheduleActivityTaskCommandAttributes;
use temporalio_common::protos::temporal::api::common::v1::{
    Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::history::v1 as history;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;
use tokio::sync::oneshot;

/// Field 8 of `PollWorkflowTaskQueueResponse`, `history`.
const HISTORY_KEY: u8 = 8 << 3 | 2;

/// A run, and who waits for its end.
pub(crate) struct Run {
    execution: WorkflowExecution,
    workflow_type: Option<WorkflowType>,
    /// Where the first task goes, and all if the worker has no sticky queue.
    queue: String,
    pub(crate) sticky: Option<String>,
    events: Events,
    /// The last started workflow task, and the one before.
    started_id: i64,
    previous_started_id: i64,
    completed_id: i64,
    /// The event with which it closed, as a history.
    pub(crate) closed: Option<Bytes>,
    pub(crate) waiting: Vec<oneshot::Sender<Bytes>>,
}

impl Run {
    /// A started run without a task.
    pub(crate) fn start(request: service::StartWorkflowExecutionRequest, run_id: String) -> Run {
        let service::StartWorkflowExecutionRequest {
            workflow_id, workflow_type, task_queue, ..
        } = request;
        let mut events = Events::default();
        let started = history::WorkflowExecutionStartedEventAttributes {
            workflow_type: workflow_type.clone(),
            task_queue: task_queue.clone(),
            input: request.input,
            workflow_task_timeout: request.workflow_task_timeout,
            original_execution_run_id: run_id.clone(),
            first_execution_run_id: run_id.clone(),
            workflow_id: workflow_id.clone(),
            identity: request.identity,
            attempt: 1,
            ..Default::default()
        };
        events.push(
            EventType::WorkflowExecutionStarted,
            Attributes::WorkflowExecutionStartedEventAttributes(started),
        );
        Run {
            execution: WorkflowExecution { workflow_id, run_id },
            workflow_type,
            queue: task_queue.unwrap_or_default().name,
            sticky: None,
            events,
            started_id: 0,
            previous_started_id: 0,
            completed_id: 0,
            closed: None,
            waiting: Vec::new(),
        }
    }

    /// Schedules and starts a workflow task: the queue it is for, and what the poll gets.
    pub(crate) fn next_task(&mut self, token: Vec<u8>) -> (String, Bytes) {
        let queue = self.sticky.clone().unwrap_or_else(|| self.queue.clone());
        let task_queue = Some(TaskQueue { name: queue.clone(), ..Default::default() });
        let scheduled = history::WorkflowTaskScheduledEventAttributes {
            task_queue,
            start_to_close_timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            attempt: 1,
        };
        let scheduled_event_id = self.events.push(
            EventType::WorkflowTaskScheduled,
            Attributes::WorkflowTaskScheduledEventAttributes(scheduled),
        );
        let started = history::WorkflowTaskStartedEventAttributes {
            scheduled_event_id,
            ..Default::default()
        };
        self.previous_started_id = self.started_id;
        self.started_id = self.events.push(
            EventType::WorkflowTaskStarted,
            Attributes::WorkflowTaskStartedEventAttributes(started),
        );
        let response = service::PollWorkflowTaskQueueResponse {
            task_token: token,
            workflow_execution: Some(self.execution.clone()),
            workflow_type: self.workflow_type.clone(),
            previous_started_event_id: self.previous_started_id,
            started_event_id: self.started_id,
            attempt: 1,
            workflow_execution_task_queue: Some(TaskQueue {
                name: self.queue.clone(),
                ..Default::default()
            }),
            scheduled_time: Some(now()),
            started_time: Some(now()),
            ..Default::default()
        };
        let history = self.events.show(self.sticky.is_none());
        let mut bytes = BytesMut::with_capacity(response.encoded_len() + history.len() + 16);
        // There is room in what grows.
        let _ = response.encode(&mut bytes);
        put_bytes(&mut bytes, HISTORY_KEY, &history);
        (queue, bytes.freeze())
    }

    /// What has happened until now.
    pub(crate) fn events(&self) -> Bytes {
        self.events.since(0)
    }

    /// The workflow task was completed.
    pub(crate) fn task_completed(&mut self, identity: String) {
        let completed = history::WorkflowTaskCompletedEventAttributes {
            scheduled_event_id: self.started_id - 1,
            started_event_id: self.started_id,
            identity,
            ..Default::default()
        };
        self.completed_id = self.events.push(
            EventType::WorkflowTaskCompleted,
            Attributes::WorkflowTaskCompletedEventAttributes(completed),
        );
    }

    /// Schedules an activity: what its poll gets.
    pub(crate) fn schedule(
        &mut self,
        number: u64,
        namespace: &str,
        wanted: ScheduleActivityTaskCommandAttributes,
    ) -> service::PollActivityTaskQueueResponse {
        let scheduled_id = self.events.next_id();
        let response = service::PollActivityTaskQueueResponse {
            task_token: token(number, scheduled_id),
            workflow_namespace: namespace.to_owned(),
            workflow_type: self.workflow_type.clone(),
            workflow_execution: Some(self.execution.clone()),
            activity_type: wanted.activity_type.clone(),
            activity_id: wanted.activity_id.clone(),
            input: wanted.input.clone(),
            scheduled_time: Some(now()),
            current_attempt_scheduled_time: Some(now()),
            started_time: Some(now()),
            attempt: 1,
            start_to_close_timeout: wanted.start_to_close_timeout,
            ..Default::default()
        };
        let scheduled = history::ActivityTaskScheduledEventAttributes {
            activity_id: wanted.activity_id,
            activity_type: wanted.activity_type,
            task_queue: wanted.task_queue,
            input: wanted.input,
            start_to_close_timeout: wanted.start_to_close_timeout,
            workflow_task_completed_event_id: self.completed_id,
            ..Default::default()
        };
        self.events.push(
            EventType::ActivityTaskScheduled,
            Attributes::ActivityTaskScheduledEventAttributes(scheduled),
        );
        response
    }

    /// An activity was completed.
    pub(crate) fn activity_completed(
        &mut self,
        scheduled_event_id: i64,
        result: Option<Payloads>,
        identity: String,
    ) {
        let started = history::ActivityTaskStartedEventAttributes {
            scheduled_event_id,
            identity: identity.clone(),
            attempt: 1,
            ..Default::default()
        };
        let started_event_id = self.events.push(
            EventType::ActivityTaskStarted,
            Attributes::ActivityTaskStartedEventAttributes(started),
        );
        let completed = history::ActivityTaskCompletedEventAttributes {
            result,
            scheduled_event_id,
            started_event_id,
            identity,
            ..Default::default()
        };
        self.events.push(
            EventType::ActivityTaskCompleted,
            Attributes::ActivityTaskCompletedEventAttributes(completed),
        );
    }

    /// Closes it, and tells who waited. Its history goes; nobody will ask for it.
    pub(crate) fn complete(&mut self, result: Option<Payloads>) {
        let completed = history::WorkflowExecutionCompletedEventAttributes {
            result,
            workflow_task_completed_event_id: self.completed_id,
            ..Default::default()
        };
        let before = self.events.len();
        self.events.push(
            EventType::WorkflowExecutionCompleted,
            Attributes::WorkflowExecutionCompletedEventAttributes(completed),
        );
        let closed = self.events.since(before);
        self.events = Events::default();
        for waits in self.waiting.drain(..) {
            // Who went away does not want it.
            let _ = waits.send(closed.clone());
        }
        self.closed = Some(closed);
    }
}

/// What stands for a task: the run's number and an event.
pub(crate) fn token(number: u64, event_id: i64) -> Vec<u8> {
    [number.to_be_bytes(), event_id.to_be_bytes()].concat()
}

/// The reverse.
pub(crate) fn of_token(token: &[u8]) -> Option<(u64, i64)> {
    let (number, event_id) = token.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), i64::from_be_bytes(event_id.try_into().ok()?)))
}
