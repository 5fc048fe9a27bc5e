//! Makes sure that a Temporal server can be worked with: its namespace `default` is there and a
//! workflow can be started in it. A server answers its first call seconds before that.
//! It measures nothing, and refuses a server that is not there in time.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::{Code, Request, Status};
use temporalio_client::{Connection, ConnectionOptions, GrpcCompression, RetryOptions, Url};
use temporalio_common::protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;

use super::process::Process;

/// The namespace of all rows.
const NAMESPACE: &str = "default";
/// The workflow that shows that workflows can be started; no worker ever sees it.
const PROBE: &str = "bench-probe";
/// The server looks for new namespaces every few seconds.
const READY_MAX: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
const CALL_MAX: Duration = Duration::from_secs(5);
/// The shortest that a server accepts.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Registers the namespace if it is not there.
pub(super) async fn registered(process: &mut Process, address: &str) -> Result<()> {
    until(process, address, |front| register(front).boxed()).await
}

/// Waits until a workflow can be started in it.
pub(super) async fn usable(process: &mut Process, address: &str) -> Result<()> {
    until(process, address, |front| start_and_end(front).boxed()).await
}

/// Tries until it has worked once.
async fn until(
    process: &mut Process,
    address: &str,
    attempt: impl Fn(&mut dyn WorkflowService) -> BoxFuture<'_, Result<(), Status>>,
) -> Result<()> {
    let connection = Connection::connect(
        ConnectionOptions::new(Url::parse(&format!("http://{address}"))?)
            .identity("bench")
            .grpc_compression(GrpcCompression::None)
            .retry_options(RetryOptions::no_retries())
            .build(),
    );
    let mut front = connection.await?.workflow_service();
    let mut last = String::new();
    while process.began.elapsed() < READY_MAX {
        process.check()?;
        let tried = tokio::time::timeout(CALL_MAX, attempt(&mut *front)).await;
        match tried {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(status)) => last = status.to_string(),
            Err(_) => last = format!("no answer within {CALL_MAX:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    ensure!(false, "the namespace is not usable: {last}; its log:\n{}", process.log_tail());
    Ok(())
}

async fn start_and_end(front: &mut dyn WorkflowService) -> Result<(), Status> {
    let start = service::StartWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_id: PROBE.to_owned(),
        workflow_type: Some(WorkflowType { name: PROBE.to_owned() }),
        task_queue: Some(TaskQueue { name: PROBE.to_owned(), ..TaskQueue::default() }),
        request_id: PROBE.to_owned(),
        ..Default::default()
    };
    accept(front.start_workflow_execution(Request::new(start)).await, Code::AlreadyExists)?;
    let end = service::TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: PROBE.to_owned(),
            run_id: String::new(),
        }),
        ..Default::default()
    };
    accept(front.terminate_workflow_execution(Request::new(end)).await, Code::NotFound)
}

async fn register(front: &mut dyn WorkflowService) -> Result<(), Status> {
    let describe =
        service::DescribeNamespaceRequest { namespace: NAMESPACE.to_owned(), ..Default::default() };
    match front.describe_namespace(Request::new(describe)).await {
        Err(status) if status.code() == Code::NotFound => {}
        other => return accept(other, Code::Ok),
    }
    let register = service::RegisterNamespaceRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution_retention_period: RETENTION.try_into().ok(),
        ..Default::default()
    };
    accept(front.register_namespace(Request::new(register)).await, Code::AlreadyExists)
}

/// An attempt that was given up may have been carried out after all.
fn accept<T>(answer: Result<T, Status>, also: Code) -> Result<(), Status> {
    match answer {
        Err(status) if status.code() != also => Err(status),
        _ => Ok(()),
    }
}
