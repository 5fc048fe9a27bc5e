//! One workflow from its start to its result, over gRPC and on a real node.

use super::fake::{Running, ids};
use crate::options::Options;
use temporalio_protos::temporal::api::command::v1::command::Attributes;
use temporalio_protos::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes,
};
use temporalio_protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_protos::temporal::api::enums::v1::{CommandType, EventType, HistoryEventFilterType};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Status};

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: "q".into(), ..Default::default() })
}

fn history_of(run_id: &str) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: run_id.into() }),
        ..Default::default()
    }
}

fn start() -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: "w".into(),
        workflow_type: Some(WorkflowType { name: "t".into() }),
        task_queue: queue(),
        request_id: "r".into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_runs_from_its_start_to_its_result() {
    let directory = tempfile::tempdir().unwrap();
    let (node, guard) = node::Node::open(directory.path(), node::NodeOptions::default()).unwrap();
    let running = Running::start(node, Options::default()).await;
    let client = running.client.clone();

    let started: StartWorkflowExecutionResponse =
        client.call("StartWorkflowExecution", start()).await.unwrap();
    let poll = PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue(),
        ..Default::default()
    };
    let task: PollWorkflowTaskQueueResponse =
        client.call("PollWorkflowTaskQueue", poll).await.unwrap();
    assert_eq!(ids(task.history.as_ref()), [1, 2, 3]);
    assert_eq!((task.started_event_id, task.attempt), (3, 1));

    let command = Command {
        command_type: CommandType::CompleteWorkflowExecution.into(),
        attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
            CompleteWorkflowExecutionCommandAttributes::default(),
        )),
        ..Default::default()
    };
    let complete = RespondWorkflowTaskCompletedRequest {
        namespace: "default".into(),
        task_token: task.task_token,
        commands: vec![command],
        ..Default::default()
    };
    let _: RespondWorkflowTaskCompletedResponse =
        client.call("RespondWorkflowTaskCompleted", complete.clone()).await.unwrap();
    let again: Result<RespondWorkflowTaskCompletedResponse, Status> =
        client.call("RespondWorkflowTaskCompleted", complete).await;
    assert_eq!(again.unwrap_err().code(), Code::NotFound, "the task is done");

    let all: GetWorkflowExecutionHistoryResponse =
        client.call("GetWorkflowExecutionHistory", history_of("")).await.unwrap();
    assert_eq!(ids(all.history.as_ref()), [1, 2, 3, 4, 5]);
    let close = GetWorkflowExecutionHistoryRequest {
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..history_of(&started.run_id)
    };
    let close: GetWorkflowExecutionHistoryResponse =
        client.call("GetWorkflowExecutionHistory", close).await.unwrap();
    let event = &close.history.unwrap().events[0];
    assert_eq!(event.event_type(), EventType::WorkflowExecutionCompleted);
    running.stop().await;
    guard.stop().await;
}
