//! The calls: which there are, and what each does.

use super::codec::Raw;
use super::events::put_bytes;
use super::matching::{Matching, Polled};
use super::run::{Run, of_token, token};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use temporalio_common::protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_common::protos::temporal::api::namespace::v1::NamespaceInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

use service::get_system_info_response::Capabilities;

const PREFIX: &str = "/temporal.api.workflowservice.v1.WorkflowService/";
/// A poll that has waited for this long gets an empty answer.
const POLL_MAX: Duration = Duration::from_secs(60);
/// Field 1 of `GetWorkflowExecutionHistoryResponse`, `history`.
const HISTORY_KEY: u8 = 1 << 3 | 2;

/// The whole server.
#[derive(Clone, Default)]
pub(crate) struct Service(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    runs: Vec<Run>,
    by_run_id: HashMap<String, usize>,
    workflow_tasks: Matching,
    activity_tasks: Matching,
}

type Answer = Result<Bytes, Status>;

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let call = Call { service: self.clone(), method };
        async move {
            let mut grpc = Grpc::new(Raw).accept_compressed(CompressionEncoding::Gzip);
            Ok(grpc.unary(call, request).await)
        }
        .boxed()
    }
}

struct Call {
    service: Service,
    method: String,
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (service, method) = (self.service.clone(), std::mem::take(&mut self.method));
        async move { Ok(Response::new(service.answer(&method, request.into_inner()).await?)) }
            .boxed()
    }
}

impl Service {
    async fn answer(&self, method: &str, request: Bytes) -> Answer {
        match method {
            "StartWorkflowExecution" => self.start(read(request)?),
            "PollWorkflowTaskQueue" => {
                let request: service::PollWorkflowTaskQueueRequest = read(request)?;
                let queue = request.task_queue.unwrap_or_default().name;
                let polled = self.lock().workflow_tasks.poll(&queue);
                wait(polled).await
            }
            "PollActivityTaskQueue" => {
                let request: service::PollActivityTaskQueueRequest = read(request)?;
                let queue = request.task_queue.unwrap_or_default().name;
                let polled = self.lock().activity_tasks.poll(&queue);
                wait(polled).await
            }
            "RespondWorkflowTaskCompleted" => self.workflow_task_completed(read(request)?),
            "RespondActivityTaskCompleted" => self.activity_task_completed(read(request)?),
            "GetWorkflowExecutionHistory" => self.history(read(request)?).await,
            "GetSystemInfo" => Ok(system_info()),
            "DescribeNamespace" => Ok(namespace(read(request)?)),
            "ShutdownWorker" => Ok(Bytes::new()),
            _ => Err(Status::unimplemented(format!("{method} is not part of the floor"))),
        }
    }

    fn start(&self, request: service::StartWorkflowExecutionRequest) -> Answer {
        let mut state = self.lock();
        let number = state.runs.len();
        let run_id = format!("00000000-0000-4000-8000-{number:012x}");
        let mut run = Run::start(request, run_id.clone());
        let (queue, task) = run.next_task(token(number as u64, 0));
        state.by_run_id.insert(run_id.clone(), number);
        state.runs.push(run);
        state.workflow_tasks.offer(&queue, task);
        let response =
            service::StartWorkflowExecutionResponse { run_id, started: true, ..Default::default() };
        Ok(response.encode_to_vec().into())
    }

    fn workflow_task_completed(
        &self,
        request: service::RespondWorkflowTaskCompletedRequest,
    ) -> Answer {
        let mut state = self.lock();
        let State { runs, activity_tasks, .. } = &mut *state;
        let (number, _) = of_token(&request.task_token).ok_or_else(unknown_task)?;
        let run = runs.get_mut(number as usize).ok_or_else(unknown_task)?;
        let sticky = request.sticky_attributes.and_then(|it| it.worker_task_queue);
        run.sticky = sticky.map(|queue| queue.name);
        run.task_completed(request.identity);
        let mut response = service::RespondWorkflowTaskCompletedResponse::default();
        for command in request.commands {
            match command.attributes {
                Some(Do::ScheduleActivityTaskCommandAttributes(wanted)) => {
                    let eager = wanted.request_eager_execution;
                    let queue = wanted.task_queue.clone().unwrap_or_default().name;
                    let task = run.schedule(number, &request.namespace, wanted);
                    match eager {
                        true => response.activity_tasks.push(task),
                        false => activity_tasks.offer(&queue, task.encode_to_vec().into()),
                    }
                }
                Some(Do::CompleteWorkflowExecutionCommandAttributes(it)) => run.complete(it.result),
                other => {
                    let text = format!("{other:?} is not part of the floor");
                    return Err(Status::invalid_argument(text));
                }
            }
        }
        Ok(response.encode_to_vec().into())
    }

    fn activity_task_completed(
        &self,
        request: service::RespondActivityTaskCompletedRequest,
    ) -> Answer {
        let mut state = self.lock();
        let State { runs, workflow_tasks, .. } = &mut *state;
        let (number, scheduled_id) = of_token(&request.task_token).ok_or_else(unknown_task)?;
        let run = runs.get_mut(number as usize).ok_or_else(unknown_task)?;
        run.activity_completed(scheduled_id, request.result, request.identity);
        let (queue, task) = run.next_task(token(number, 0));
        workflow_tasks.offer(&queue, task);
        Ok(Bytes::new())
    }

    /// The event with which a run closes for who waits; all events for a worker that was not
    /// quick enough to remember the run.
    async fn history(&self, request: service::GetWorkflowExecutionHistoryRequest) -> Answer {
        let waits = {
            let mut state = self.lock();
            let run_id = request.execution.unwrap_or_default().run_id;
            let number = state.by_run_id.get(&run_id).copied();
            let run = number.and_then(|number| state.runs.get_mut(number));
            let run = run.ok_or_else(|| Status::not_found("no such run"))?;
            if !request.wait_new_event {
                return Ok(history(&run.events()));
            }
            match &run.closed {
                Some(closed) => return Ok(history(closed)),
                None => {
                    let (sender, receiver) = oneshot::channel();
                    run.waiting.push(sender);
                    receiver
                }
            }
        };
        let closed = tokio::time::timeout(POLL_MAX, waits).await;
        Ok(closed.ok().and_then(Result::ok).map_or_else(Bytes::new, |closed| history(&closed)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait(polled: Polled) -> Answer {
    match polled {
        Polled::Task(task) => Ok(task),
        // An empty answer: the worker polls again.
        Polled::Later(task) => Ok(tokio::time::timeout(POLL_MAX, task)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default()),
    }
}

fn history(events: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(events.len() + 8);
    put_bytes(&mut bytes, HISTORY_KEY, events);
    bytes.freeze()
}

fn system_info() -> Bytes {
    let capabilities = Capabilities {
        signal_and_query_header: true,
        internal_error_differentiation: true,
        activity_failure_include_heartbeat: true,
        encoded_failure_attributes: true,
        upsert_memo: true,
        sdk_metadata: true,
        ..Default::default()
    };
    let info = service::GetSystemInfoResponse {
        server_version: "1.31.2".to_owned(),
        capabilities: Some(capabilities),
    };
    info.encode_to_vec().into()
}

fn namespace(request: service::DescribeNamespaceRequest) -> Bytes {
    let info = NamespaceInfo { name: request.namespace, ..Default::default() };
    let response =
        service::DescribeNamespaceResponse { namespace_info: Some(info), ..Default::default() };
    response.encode_to_vec().into()
}

fn read<M: Message + Default>(request: Bytes) -> Result<M, Status> {
    M::decode(request).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn unknown_task() -> Status {
    Status::not_found("no such task")
}
