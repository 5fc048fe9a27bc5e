//! Temporal's responses as their twins, whose history is bytes.
//!
//! Each conversion names every field, so that a field which the API gains stops the build.

#![allow(deprecated, reason = "what the machine sets is handed on, deprecated or not")]

pub(crate) use crate::generated::mainstay::twins::*;

use bytes::Bytes;
use temporalio_protos::temporal::api::workflowservice::v1 as service;

impl PollWorkflowTaskQueueResponse {
    /// The task `response` with this history in the place of its own.
    pub(crate) fn new(
        response: service::PollWorkflowTaskQueueResponse,
        history: Bytes,
        next_page_token: Vec<u8>,
    ) -> PollWorkflowTaskQueueResponse {
        let service::PollWorkflowTaskQueueResponse {
            task_token,
            workflow_execution,
            workflow_type,
            previous_started_event_id,
            started_event_id,
            attempt,
            backlog_count_hint,
            history: _,
            next_page_token: _,
            query,
            workflow_execution_task_queue,
            scheduled_time,
            started_time,
            queries,
            messages,
            poller_scaling_decision,
            poller_group_id,
            poller_group_infos,
            poller_groups_info,
        } = response;
        PollWorkflowTaskQueueResponse {
            task_token,
            workflow_execution,
            workflow_type,
            previous_started_event_id,
            started_event_id,
            attempt,
            backlog_count_hint,
            history: Some(history),
            next_page_token,
            query,
            workflow_execution_task_queue,
            scheduled_time,
            started_time,
            queries,
            messages,
            poller_scaling_decision,
            poller_group_id,
            poller_group_infos,
            poller_groups_info,
        }
    }
}

impl StartWorkflowExecutionResponse {
    /// `response` with this task in the place of its own.
    pub(crate) fn new(
        response: service::StartWorkflowExecutionResponse,
        eager_workflow_task: Option<PollWorkflowTaskQueueResponse>,
    ) -> StartWorkflowExecutionResponse {
        let service::StartWorkflowExecutionResponse {
            run_id,
            first_execution_run_id,
            started,
            status,
            eager_workflow_task: _,
            link,
        } = response;
        StartWorkflowExecutionResponse {
            run_id,
            first_execution_run_id,
            started,
            status,
            eager_workflow_task,
            link,
        }
    }
}

impl RespondWorkflowTaskCompletedResponse {
    /// `response` with this task in the place of its own.
    pub(crate) fn new(
        response: service::RespondWorkflowTaskCompletedResponse,
        workflow_task: Option<PollWorkflowTaskQueueResponse>,
    ) -> RespondWorkflowTaskCompletedResponse {
        let service::RespondWorkflowTaskCompletedResponse {
            workflow_task: _,
            activity_tasks,
            reset_history_event_id,
        } = response;
        RespondWorkflowTaskCompletedResponse {
            workflow_task,
            activity_tasks,
            reset_history_event_id,
        }
    }
}

impl GetWorkflowExecutionHistoryResponse {
    /// A page of a history.
    pub(crate) fn page(
        history: Bytes,
        next_page_token: Vec<u8>,
    ) -> GetWorkflowExecutionHistoryResponse {
        GetWorkflowExecutionHistoryResponse {
            history: Some(history),
            raw_history: Vec::new(),
            next_page_token,
            archived: false,
        }
    }
}
