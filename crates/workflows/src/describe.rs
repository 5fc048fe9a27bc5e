//! What a run looks like from outside.

use crate::ask::Reply;
use crate::machine::{Decision, Run, Workflows};
use crate::op::{WorkflowTaskState, at};
use crate::proto::{common, enums, normal_queue, positive, service, timestamp, workflow};
use crate::run::{Activity, RunState};
use base::Timestamp;
use enums::{PendingActivityState, PendingWorkflowTaskState};
use std::collections::BTreeMap;

impl Workflows {
    pub(crate) fn describe(&self, r: &service::DescribeWorkflowExecutionRequest) -> Decision {
        let run = self.find(&r.namespace, r.execution.as_ref())?;
        let state = &run.state;
        let response = service::DescribeWorkflowExecutionResponse {
            execution_config: Some(config(state)),
            workflow_execution_info: Some(info(run)),
            pending_activities: state.activities.values().map(pending_activity).collect(),
            pending_workflow_task: state.task.as_ref().map(pending_task),
            workflow_extended_info: Some(extended(state)),
            ..Default::default()
        };
        Ok(Some(Reply::DescribeWorkflowExecution(Box::new(response))))
    }
}

fn config(state: &RunState) -> workflow::WorkflowExecutionConfig {
    workflow::WorkflowExecutionConfig {
        task_queue: Some(normal_queue(state.task_queue())),
        workflow_execution_timeout: state.started.workflow_execution_timeout,
        workflow_run_timeout: state.started.workflow_run_timeout,
        default_workflow_task_timeout: state.started.workflow_task_timeout,
        user_metadata: state.user_metadata.as_ref().and_then(|event| event.user_metadata.clone()),
    }
}

fn info(run: &Run) -> workflow::WorkflowExecutionInfo {
    let state = &run.state;
    let execution_time = state.start_time.max(state.first_task_at);
    let duration = state.close_time.map(|closed| closed.since(execution_time));
    workflow::WorkflowExecutionInfo {
        execution: Some(state.execution()),
        r#type: Some(common::WorkflowType { name: state.workflow_type().to_owned() }),
        start_time: Some(timestamp(state.start_time)),
        close_time: state.close_time.map(timestamp),
        status: state.status as i32,
        history_length: state.next_event_id - 1,
        execution_time: Some(timestamp(execution_time)),
        memo: Some(common::Memo { fields: fields(&state.memo) }),
        search_attributes: Some(common::SearchAttributes {
            indexed_fields: fields(&state.search_attributes),
        }),
        task_queue: state.task_queue().to_owned(),
        history_size_bytes: i64::try_from(state.history_size_bytes).unwrap_or(i64::MAX),
        execution_duration: duration.map(crate::proto::duration),
        root_execution: state.started.root_workflow_execution.clone(),
        first_run_id: state.started.first_execution_run_id.clone(),
        priority: state.started.priority.clone(),
        ..Default::default()
    }
}

fn fields(
    map: &BTreeMap<String, common::Payload>,
) -> std::collections::HashMap<String, common::Payload> {
    map.iter().map(|(name, payload)| (name.clone(), payload.clone())).collect()
}

fn pending_activity(activity: &Activity) -> workflow::PendingActivityInfo {
    let (a, state) = (&activity.scheduled, &activity.state);
    let phase = if state.cancel_requested_event_id != 0 {
        PendingActivityState::CancelRequested
    } else if activity.is_started() {
        PendingActivityState::Started
    } else {
        PendingActivityState::Scheduled
    };
    let moment = |micros: i64| (micros != 0).then(|| timestamp(at(micros)));
    let expires = positive(a.schedule_to_close_timeout.as_ref())
        .map(|timeout| timestamp(at(state.first_scheduled_at).after(timeout)));
    workflow::PendingActivityInfo {
        activity_id: a.activity_id.clone(),
        activity_type: a.activity_type.clone(),
        state: phase as i32,
        heartbeat_details: state.heartbeat_details.clone(),
        last_heartbeat_time: moment(state.last_heartbeat_at),
        last_started_time: moment(state.started_at),
        attempt: state.attempt,
        maximum_attempts: a.retry_policy.as_ref().map_or(0, |policy| policy.maximum_attempts),
        scheduled_time: moment(state.scheduled_at),
        expiration_time: expires,
        last_failure: state.last_failure.clone(),
        last_worker_identity: match state.identity.as_str() {
            "" => state.last_worker_identity.clone(),
            identity => identity.to_owned(),
        },
        last_attempt_complete_time: moment(state.last_attempt_ended_at),
        next_attempt_schedule_time: state.backing_off.then(|| timestamp(at(state.scheduled_at))),
        priority: a.priority.clone(),
        ..Default::default()
    }
}

fn pending_task(task: &WorkflowTaskState) -> workflow::PendingWorkflowTaskInfo {
    let started = task.started_event_id != 0;
    let state = if started {
        PendingWorkflowTaskState::Started
    } else {
        PendingWorkflowTaskState::Scheduled
    };
    workflow::PendingWorkflowTaskInfo {
        state: state as i32,
        scheduled_time: Some(timestamp(at(task.scheduled_at))),
        original_scheduled_time: Some(timestamp(at(task.original_scheduled_at))),
        started_time: started.then(|| timestamp(at(task.started_at))),
        attempt: task.attempt,
    }
}

fn extended(state: &RunState) -> workflow::WorkflowExecutionExtendedInfo {
    let set = |time: Timestamp| (time != Timestamp::NEVER).then(|| timestamp(time));
    workflow::WorkflowExecutionExtendedInfo {
        execution_expiration_time: set(state.execution_deadline()),
        run_expiration_time: set(state.run_deadline()),
        cancel_requested: state.cancel_requested,
        original_start_time: Some(timestamp(state.start_time)),
        ..Default::default()
    }
}
