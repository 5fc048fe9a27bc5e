//! The node's Temporal front as the official client reaches it: one call, one request, no repetition
//! behind our back, and what may be believed of an answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use checker::{Answer, Outcome, PendingActivity, Refusal, Status as RunStatus};
use prost_types::Timestamp;
use temporalio_client::callback_based::CallbackBasedGrpcService;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::{Code, Request, Status};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, RetryOptions, Url,
};
use temporalio_common::protos::temporal::api::command::v1 as command;
use temporalio_common::protos::temporal::api::common::v1 as common;
use temporalio_common::protos::temporal::api::enums::v1::{CommandType, WorkflowExecutionStatus};
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;

/// The namespace of all runs.
pub(crate) const NAMESPACE: &str = "default";
/// The task queue of the SDK's workers.
pub(crate) const QUEUE: &str = "torture";
/// Nothing takes longer unless the node is down.
const CALL_MAX: Duration = Duration::from_secs(5);
/// How long a node that is just being restarted is waited for.
const CONNECT_ATTEMPTS: u32 = 600;
const CONNECT_PACE: Duration = Duration::from_millis(50);
/// For a task that is held back on purpose.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events of one page of a history.
const PAGE: i32 = 500;

/// A connection to the node; waits for one that is not up yet.
async fn connect(
    address: SocketAddr,
    through: Option<CallbackBasedGrpcService>,
) -> Result<Connection> {
    let target = Url::parse(&format!("http://{address}"))?;
    let mut pace = tokio::time::interval(CONNECT_PACE);
    let mut attempt = 1;
    loop {
        pace.tick().await;
        let options = ConnectionOptions::new(target.clone())
            .identity(format!("torture-{}", std::process::id()))
            .grpc_compression(GrpcCompression::None)
            .retry_options(RetryOptions::no_retries())
            .dns_load_balancing(None)
            .maybe_service_override(through.clone())
            .build();
        match Connection::connect(options).await {
            Ok(connection) => return Ok(connection),
            Err(error) if attempt == CONNECT_ATTEMPTS => return Err(error).context("the node"),
            Err(_) => attempt += 1,
        }
    }
}

/// A client for the SDK's workers, which repeat what failed.
pub(crate) async fn worker_client(
    address: SocketAddr,
    through: CallbackBasedGrpcService,
) -> Result<Client> {
    let mut connection = connect(address, Some(through)).await?;
    *connection.retry_options_mut() = RetryOptions::default();
    Client::new(connection, ClientOptions::new(NAMESPACE).build()).context("the client")
}

/// The calls that a run makes.
#[derive(Clone)]
pub(crate) struct Front(Box<dyn WorkflowService>);

impl Front {
    /// Over a connection of its own.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Front> {
        Ok(Front(connect(address, None).await?.workflow_service()))
    }

    /// Starts a workflow.
    pub(crate) async fn start(
        &mut self,
        workflow_type: &str,
        workflow_id: &str,
        request_id: &str,
        input: &impl serde::Serialize,
    ) -> Outcome {
        let request = service::StartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: workflow_id.to_owned(),
            workflow_type: Some(common::WorkflowType { name: workflow_type.to_owned() }),
            task_queue: Some(task_queue(QUEUE)),
            input: Some(payloads(input)),
            workflow_task_timeout: Duration::from_secs(3).try_into().ok(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        match within(self.0.start_workflow_execution(Request::new(request))).await {
            // A run that another request started is refused: this one is ours.
            Ok(seen) => Outcome::Ok(Answer::Started { run_id: seen.run_id, started: true }),
            Err(status) => failed(&status),
        }
    }

    /// Starts a workflow for whoever polls `queue`; answers its run.
    pub(crate) async fn begin(&mut self, queue: &str, workflow_id: &str) -> Result<String, Status> {
        let request = service::StartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: workflow_id.to_owned(),
            workflow_type: Some(common::WorkflowType { name: "Director".to_owned() }),
            task_queue: Some(task_queue(queue)),
            workflow_task_timeout: PATIENCE.try_into().ok(),
            request_id: workflow_id.to_owned(),
            ..Default::default()
        };
        let answer = within(self.0.start_workflow_execution(Request::new(request))).await?;
        Ok(answer.run_id)
    }

    /// Polls once; answers the token of a workflow task, empty if there was none.
    pub(crate) async fn poll(&mut self, queue: &str) -> Result<Vec<u8>, Status> {
        let request = service::PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(task_queue(queue)),
            identity: "director".to_owned(),
            ..Default::default()
        };
        let answer = within(self.0.poll_workflow_task_queue(Request::new(request))).await?;
        Ok(answer.task_token)
    }

    /// Completes a workflow task, and the workflow with it.
    pub(crate) async fn complete(&mut self, task_token: Vec<u8>) -> Result<(), Status> {
        let attributes = command::CompleteWorkflowExecutionCommandAttributes { result: None };
        let end = command::Command {
            command_type: CommandType::CompleteWorkflowExecution as i32,
            attributes: Some(
                command::command::Attributes::CompleteWorkflowExecutionCommandAttributes(
                    attributes,
                ),
            ),
            ..Default::default()
        };
        let request = service::RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.to_owned(),
            task_token,
            commands: vec![end],
            identity: "director".to_owned(),
            ..Default::default()
        };
        within(self.0.respond_workflow_task_completed(Request::new(request))).await.map(drop)
    }

    /// Signals a workflow.
    pub(crate) async fn signal(
        &mut self,
        workflow_id: &str,
        request_id: &str,
        name: &str,
        input: &impl serde::Serialize,
    ) -> Outcome {
        match self.try_signal(workflow_id, request_id, name, input).await {
            Ok(()) => Outcome::Ok(Answer::Done),
            Err(status) => failed(&status),
        }
    }

    /// The same, with the error as it is.
    pub(crate) async fn try_signal(
        &mut self,
        workflow_id: &str,
        request_id: &str,
        name: &str,
        input: &impl serde::Serialize,
    ) -> Result<(), Status> {
        let request = service::SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(workflow_id, None)),
            signal_name: name.to_owned(),
            input: Some(payloads(input)),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        within(self.0.signal_workflow_execution(Request::new(request))).await.map(drop)
    }

    /// Looks at a run.
    pub(crate) async fn describe(
        &mut self,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Answer, Status> {
        let request = service::DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            execution: Some(execution(workflow_id, run_id)),
        };
        let seen = within(self.0.describe_workflow_execution(Request::new(request))).await?;
        let info = seen.workflow_execution_info.unwrap_or_default();
        let activities = seen.pending_activities.into_iter().map(|it| PendingActivity {
            activity_id: it.activity_id,
            attempt: it.attempt as u32,
            next_at_us: it.next_attempt_schedule_time.as_ref().map(micros),
        });
        Ok(Answer::Described {
            run_id: info.execution.unwrap_or_default().run_id,
            status: run_status(info.status),
            workflow_task: seen.pending_workflow_task.map(|it| it.attempt as u32),
            activities: activities.collect(),
        })
    }

    /// The whole history of a run, page by page.
    pub(crate) async fn history(
        &mut self,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<Vec<HistoryEvent>, Status> {
        let (mut events, mut next_page_token) = (Vec::new(), Vec::new());
        loop {
            let request = service::GetWorkflowExecutionHistoryRequest {
                namespace: NAMESPACE.to_owned(),
                execution: Some(execution(workflow_id, Some(run_id))),
                maximum_page_size: PAGE,
                next_page_token,
                ..Default::default()
            };
            let page = self.0.get_workflow_execution_history(Request::new(request));
            let page = within(page).await?;
            events.extend(page.history.unwrap_or_default().events);
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(events);
            }
        }
    }
}

/// What an error says about the request: most errors leave a doubt.
pub(crate) fn failed(status: &Status) -> Outcome {
    match status.code() {
        Code::NotFound => Outcome::Fail(Refusal::NotFound),
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::Unimplemented => Outcome::Fail(Refusal::Other(status.to_string())),
        _ => Outcome::Unknown(status.to_string()),
    }
}

/// Bounds a call by time; nobody knows what became of one that took longer.
async fn within<T>(
    call: impl Future<Output = Result<temporalio_client::tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(answer) => answer.map(temporalio_client::tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

fn execution(workflow_id: &str, run_id: Option<&str>) -> common::WorkflowExecution {
    let run_id = run_id.unwrap_or_default().to_owned();
    common::WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id }
}

fn task_queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.to_owned(), ..TaskQueue::default() }
}

fn payloads(value: &impl serde::Serialize) -> common::Payloads {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    // Plain structs of strings and numbers always have a JSON form.
    let data = serde_json::to_vec(value).unwrap_or_default();
    let payload = common::Payload { metadata, data, ..common::Payload::default() };
    common::Payloads { payloads: vec![payload] }
}

/// Microseconds since 1970.
pub(crate) fn micros(time: &Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}

fn run_status(status: i32) -> RunStatus {
    match WorkflowExecutionStatus::try_from(status) {
        Ok(WorkflowExecutionStatus::Completed) => RunStatus::Completed,
        Ok(WorkflowExecutionStatus::Failed) => RunStatus::Failed,
        Ok(WorkflowExecutionStatus::Canceled) => RunStatus::Canceled,
        Ok(WorkflowExecutionStatus::Terminated) => RunStatus::Terminated,
        Ok(WorkflowExecutionStatus::ContinuedAsNew) => RunStatus::ContinuedAsNew,
        Ok(WorkflowExecutionStatus::TimedOut) => RunStatus::TimedOut,
        _ => RunStatus::Running,
    }
}
