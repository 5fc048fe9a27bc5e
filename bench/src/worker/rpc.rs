//! Temporal's gRPC as it is: the generated client over one channel, with the deadlines that servers
//! ask for, and what is refused for the moment repeated, as the SDKs do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use temporalio_client::tonic::transport::{Channel, Endpoint};
use temporalio_client::tonic::{Code, Request, Response, Status};
use temporalio_common::protos::temporal::api::common::v1::{
    Payload, Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::{EventType, HistoryEventFilterType};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;

use service::workflow_service_client::WorkflowServiceClient;

use crate::cli;

/// The namespace of all rows.
pub(crate) const NAMESPACE: &str = "default";
/// What a workflow task may take: the default of servers and SDKs.
const TASK_TIMEOUT: Duration = Duration::from_secs(10);
/// What a call may take, and one that waits: the SDKs' own numbers.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(10);
pub(crate) const LONG_POLL_MAX: Duration = Duration::from_secs(70);
/// The pause before a call is repeated doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// How long a server that has just been started is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The generated client.
pub(crate) type Client = WorkflowServiceClient<Channel>;

/// Calls over one channel.
#[derive(Clone)]
pub(crate) struct Rpc {
    /// The generated client.
    pub(crate) client: Client,
    /// How often a call was refused for the moment and repeated.
    repeated: Arc<AtomicU64>,
}

impl Rpc {
    /// A channel of its own.
    pub(crate) async fn connect(address: &str) -> Result<Rpc> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let connected = endpoint.connect_timeout(CONNECT_MAX).connect().await;
        let channel = connected.with_context(|| format!("Temporal's gRPC at {address}"))?;
        let client = Client::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Rpc { client, repeated: Arc::default() })
    }

    /// Makes a call, and repeats it while it is refused for the moment.
    pub(crate) async fn call<Q, A, C, F>(
        &self,
        request: Q,
        limit: Duration,
        call: C,
    ) -> Result<A, Status>
    where
        Q: Clone,
        C: Fn(Client, Request<Q>) -> F,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut timed = Request::new(request.clone());
            timed.set_timeout(limit);
            match Box::pin(call(self.client.clone(), timed)).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if for_the_moment(&status) && pause < LAST_PAUSE => {
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(status) => return Err(status),
            }
        }
    }

    /// Says how many calls were repeated, if any were: a figure with many of them shows a limit of
    /// the server's configuration.
    pub(crate) fn tell_repeated(&self) {
        let repeated = self.repeated.load(Ordering::Relaxed);
        if repeated > 0 {
            cli::say(&format!(
                "bench: {repeated} calls were refused for the moment and repeated\n"
            ));
        }
    }

    /// Starts a workflow; answers its run.
    pub(crate) async fn start(&self, start: Start<'_>) -> Result<String, Status> {
        let request = service::StartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: start.workflow_id.to_owned(),
            workflow_type: Some(WorkflowType { name: start.workflow_type.to_owned() }),
            task_queue: Some(queue(start.queue)),
            input: Some(start.input),
            workflow_task_timeout: TASK_TIMEOUT.try_into().ok(),
            identity: identity(),
            request_id: start.workflow_id.to_owned(),
            ..Default::default()
        };
        let call = |mut client: Client, request| async move {
            client.start_workflow_execution(request).await
        };
        Ok(self.call(request, CALL_MAX, call).await?.run_id)
    }

    /// Signals a workflow, which is started if it does not run.
    pub(crate) async fn signal_with_start(
        &self,
        start: Start<'_>,
        signal: Signal<'_>,
    ) -> Result<(), Status> {
        let request = service::SignalWithStartWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_id: start.workflow_id.to_owned(),
            workflow_type: Some(WorkflowType { name: start.workflow_type.to_owned() }),
            task_queue: Some(queue(start.queue)),
            input: Some(start.input),
            workflow_task_timeout: TASK_TIMEOUT.try_into().ok(),
            identity: identity(),
            request_id: signal.request_id,
            signal_name: signal.name.to_owned(),
            signal_input: Some(signal.input),
            ..Default::default()
        };
        let call = |mut client: Client, request| async move {
            client.signal_with_start_workflow_execution(request).await
        };
        self.call(request, CALL_MAX, call).await.map(drop)
    }

    /// Signals the workflow that runs.
    pub(crate) async fn signal(&self, workflow_id: &str, signal: Signal<'_>) -> Result<(), Status> {
        let request = service::SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            workflow_execution: Some(execution(workflow_id, "")),
            signal_name: signal.name.to_owned(),
            input: Some(signal.input),
            identity: identity(),
            request_id: signal.request_id,
            ..Default::default()
        };
        let call = |mut client: Client, request| async move {
            client.signal_workflow_execution(request).await
        };
        self.call(request, CALL_MAX, call).await.map(drop)
    }

    /// Waits until a run has closed; anything but completion is an error.
    pub(crate) async fn completed(&self, workflow_id: &str, run_id: &str) -> Result<()> {
        let mut next_page_token = Vec::new();
        loop {
            let request = service::GetWorkflowExecutionHistoryRequest {
                namespace: NAMESPACE.to_owned(),
                execution: Some(execution(workflow_id, run_id)),
                next_page_token: std::mem::take(&mut next_page_token),
                wait_new_event: true,
                history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
                skip_archival: true,
                ..Default::default()
            };
            let call = |mut client: Client, request| async move {
                client.get_workflow_execution_history(request).await
            };
            let seen = self.call(request, LONG_POLL_MAX, call).await?;
            match seen.history.unwrap_or_default().events.last().map(|event| event.event_type()) {
                Some(EventType::WorkflowExecutionCompleted) => return Ok(()),
                Some(other) => bail!("{workflow_id} ended with {}", other.as_str_name()),
                // The wait was over before the workflow was.
                None => next_page_token = seen.next_page_token,
            }
        }
    }
}

/// What a start says.
pub(crate) struct Start<'a> {
    /// New for each start; also the request's id.
    pub(crate) workflow_id: &'a str,
    /// What the worker knows it by.
    pub(crate) workflow_type: &'static str,
    /// Where its tasks go.
    pub(crate) queue: &'a str,
    /// Its arguments.
    pub(crate) input: Payloads,
}

/// What a signal says.
pub(crate) struct Signal<'a> {
    /// What the workflow knows it by.
    pub(crate) name: &'a str,
    /// Its arguments.
    pub(crate) input: Payloads,
    /// New for each signal.
    pub(crate) request_id: String,
}

/// An ordinary task queue.
pub(crate) fn queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.to_owned(), ..Default::default() }
}

/// One JSON argument.
pub(crate) fn json(value: &impl serde::Serialize) -> Payloads {
    let metadata = HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]);
    // Plain structs of strings and numbers always have a JSON form.
    let data = serde_json::to_vec(value).unwrap_or_default();
    Payloads { payloads: vec![Payload { metadata, data, ..Payload::default() }] }
}

/// Who calls.
pub(crate) fn identity() -> String {
    format!("bench-{}", std::process::id())
}

/// A run, or the current one where `run_id` is empty.
pub(crate) fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() }
}

fn for_the_moment(status: &Status) -> bool {
    matches!(status.code(), Code::ResourceExhausted | Code::Unavailable)
}
