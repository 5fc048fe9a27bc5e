//! What passes between a worker of the SDK and the node: every task that is handed out and every
//! answer, noted as it passes. The SDK is as it is; only its requests go through here.
//!
//! Invariant: bytes are forwarded as they are, once; what fails is the SDK's to repeat.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes};
use checker::{ActivityEnd, Answer, Call, OpId, Outcome, WorkflowTaskEnd};
use prost::Message;
use temporalio_client::callback_based::{
    CallbackBasedGrpcService, GrpcRequest, GrpcSuccessResponse,
};
use temporalio_client::tonic::client::Grpc;
use temporalio_client::tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use temporalio_client::tonic::codegen::http::uri::PathAndQuery;
use temporalio_client::tonic::metadata::MetadataMap;
use temporalio_client::tonic::transport::{Channel, Endpoint};
use temporalio_client::tonic::{Extensions, Request, Status};
use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;

use crate::book::Book;
use crate::events;
use crate::temporal::{QUEUE, failed};

/// A history may be larger than a library's default.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The way to the node for one worker process.
pub(crate) fn service(address: SocketAddr, book: Arc<Book>) -> Result<CallbackBasedGrpcService> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let wire = Arc::new(Wire { channel, book, tasks: Mutex::default() });
    Ok(CallbackBasedGrpcService {
        callback: Arc::new(move |request| {
            let wire = Arc::clone(&wire);
            Box::pin(async move { wire.pass(request).await })
        }),
    })
}

struct Wire {
    channel: Channel,
    book: Arc<Book>,
    /// Tasks that this process was given, by their tokens.
    tasks: Mutex<HashMap<Vec<u8>, Task>>,
}

/// Polls that go with the answer to a workflow task.
#[derive(Default)]
struct More {
    workflow_task: Option<OpId>,
    activity_tasks: Vec<OpId>,
}

/// What an answer to a task says about it.
#[derive(Clone)]
struct Task {
    run_id: String,
    /// Of a workflow task.
    started: i64,
    /// Of an activity.
    activity_id: String,
    attempt: u32,
}

impl Wire {
    async fn pass(&self, request: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
        let call = self.call(&request.rpc, &request.proto);
        let op = call.map(|call| self.book.invoke(call));
        let more = self.ask_for_more(&request.rpc, &request.proto);
        let rpc = request.rpc.clone();
        let answer = self.forward(request).await;
        if let Some(op) = op {
            self.note(op, &rpc, &answer);
        }
        self.note_more(more, &answer);
        answer
    }

    async fn forward(&self, request: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
        let path = format!("/{}/{}", request.service, request.rpc);
        let path: PathAndQuery =
            path.parse().map_err(|_| Status::internal(format!("no path: {path}")))?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let metadata = MetadataMap::from_headers(request.headers);
        let request = Request::from_parts(metadata, Extensions::default(), request.proto);
        let (metadata, proto, _) = grpc.unary(request, path, AsIs).await?.into_parts();
        Ok(GrpcSuccessResponse { headers: metadata.into_headers(), proto: proto.to_vec() })
    }

    /// The call in the judge's words, if it is one that he knows.
    fn call(&self, rpc: &str, proto: &Bytes) -> Option<Call> {
        let queue = QUEUE.to_owned();
        match rpc {
            "PollWorkflowTaskQueue" => Some(Call::PollWorkflowTask { queue }),
            "PollActivityTaskQueue" => Some(Call::PollActivityTask { queue }),
            "RespondWorkflowTaskCompleted" => {
                let it = read::<service::RespondWorkflowTaskCompletedRequest>(proto)?;
                self.end_workflow_task(&it.task_token, WorkflowTaskEnd::Completed)
            }
            "RespondWorkflowTaskFailed" => {
                let it = read::<service::RespondWorkflowTaskFailedRequest>(proto)?;
                self.end_workflow_task(&it.task_token, WorkflowTaskEnd::Failed)
            }
            "RespondActivityTaskCompleted" => {
                let it = read::<service::RespondActivityTaskCompletedRequest>(proto)?;
                let value = events::value_id(it.result.as_ref());
                self.end_activity_task(&it.task_token, ActivityEnd::Completed(value))
            }
            "RespondActivityTaskFailed" => {
                let it = read::<service::RespondActivityTaskFailedRequest>(proto)?;
                let info = it.failure.and_then(|failure| failure.failure_info);
                let for_good = matches!(info, Some(FailureInfo::ApplicationFailureInfo(info)) if info.non_retryable);
                let end = if for_good { ActivityEnd::FailedForGood } else { ActivityEnd::Failed };
                self.end_activity_task(&it.task_token, end)
            }
            _ => None,
        }
    }

    fn end_workflow_task(&self, token: &[u8], end: WorkflowTaskEnd) -> Option<Call> {
        let Task { run_id, started, attempt, .. } = self.task(token)?;
        Some(Call::EndWorkflowTask { run_id, started, attempt, end })
    }

    fn end_activity_task(&self, token: &[u8], end: ActivityEnd) -> Option<Call> {
        let Task { run_id, activity_id, attempt, .. } = self.task(token)?;
        Some(Call::EndActivityTask { run_id, activity_id, attempt, end })
    }

    fn task(&self, token: &[u8]) -> Option<Task> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn took(&self, token: Vec<u8>, task: Task) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(token, task);
    }

    /// What became of it.
    fn note(&self, op: OpId, rpc: &str, answer: &Result<GrpcSuccessResponse, Status>) {
        let proto = match answer {
            Ok(answer) => answer.proto.as_slice(),
            Err(status) => return self.book.settle(op, failed(status)),
        };
        let result = match rpc {
            "PollWorkflowTaskQueue" => read(proto).map(|task| self.workflow_task(task)),
            "PollActivityTaskQueue" => read(proto).map(|task| self.activity_task(task)),
            _ => Some(Answer::Done),
        };
        let unread = || Outcome::Unknown("an answer that cannot be read".to_owned());
        self.book.settle(op, result.map_or_else(unread, Outcome::Ok));
    }

    /// The answer to a workflow task may bring other tasks: it is a poll for each of those. The node
    /// may hand them out from now on, whenever this process gets to read the answer.
    fn ask_for_more(&self, rpc: &str, proto: &Bytes) -> More {
        let mut more = More::default();
        if rpc != "RespondWorkflowTaskCompleted" {
            return more;
        }
        let Some(it) = read::<service::RespondWorkflowTaskCompletedRequest>(proto) else {
            return more;
        };
        let queue = || QUEUE.to_owned();
        // The node may hand out the run's next task whether or not it was asked for.
        more.workflow_task = Some(self.book.invoke(Call::PollWorkflowTask { queue: queue() }));
        let eager = it.commands.iter().filter(|command| match &command.attributes {
            Some(Attributes::ScheduleActivityTaskCommandAttributes(it)) => {
                it.request_eager_execution
            }
            _ => false,
        });
        let poll = |_| self.book.invoke(Call::PollActivityTask { queue: queue() });
        more.activity_tasks = eager.map(poll).collect();
        more
    }

    /// What came of these polls.
    fn note_more(&self, more: More, answer: &Result<GrpcSuccessResponse, Status>) {
        let (mut workflow_task, mut activity_tasks) = (None, Vec::new());
        match answer {
            Err(status) => {
                let polls = more.workflow_task.into_iter().chain(more.activity_tasks);
                return polls.for_each(|op| self.book.settle(op, failed(status)));
            }
            Ok(answer) if more.workflow_task.is_some() => {
                let it = read::<service::RespondWorkflowTaskCompletedResponse>(&answer.proto);
                let it = it.unwrap_or_default();
                (workflow_task, activity_tasks) = (it.workflow_task, it.activity_tasks);
            }
            Ok(_) => {}
        }
        if let Some(op) = more.workflow_task {
            let task = workflow_task.map(|task| self.workflow_task(task));
            self.book.settle(op, Outcome::Ok(task.unwrap_or(Answer::Nothing)));
        }
        let mut activity_tasks = activity_tasks.into_iter();
        for op in more.activity_tasks {
            let task = activity_tasks.next().map(|task| self.activity_task(task));
            self.book.settle(op, Outcome::Ok(task.unwrap_or(Answer::Nothing)));
        }
    }

    fn workflow_task(&self, it: service::PollWorkflowTaskQueueResponse) -> Answer {
        if it.task_token.is_empty() {
            return Answer::Nothing;
        }
        let (attempt, started) = (it.attempt as u32, it.started_event_id);
        let execution = it.workflow_execution.unwrap_or_default();
        let mut events = events::translate(it.history.unwrap_or_default().events);
        let scheduled = events.iter().rev().find_map(|event| match event.kind {
            checker::Kind::WorkflowTaskStarted { scheduled } => Some(scheduled),
            _ => None,
        });
        let scheduled = scheduled.unwrap_or(started - 1);
        if attempt > 1 {
            // Its own two events are only promised.
            events.retain(|event| event.id < scheduled);
        }
        let run_id = execution.run_id;
        let task = Task { run_id: run_id.clone(), started, activity_id: String::new(), attempt };
        self.took(it.task_token, task);
        let workflow_id = execution.workflow_id;
        Answer::WorkflowTask { workflow_id, run_id, scheduled, started, attempt, events }
    }

    fn activity_task(&self, it: service::PollActivityTaskQueueResponse) -> Answer {
        if it.task_token.is_empty() {
            return Answer::Nothing;
        }
        let (attempt, activity_id) = (it.attempt as u32, it.activity_id);
        let execution = it.workflow_execution.unwrap_or_default();
        let run_id = execution.run_id;
        let task =
            Task { run_id: run_id.clone(), started: 0, activity_id: activity_id.clone(), attempt };
        self.took(it.task_token, task);
        Answer::ActivityTask { workflow_id: execution.workflow_id, run_id, activity_id, attempt }
    }
}

fn read<T: Message + Default>(proto: &[u8]) -> Option<T> {
    T::decode(proto).ok()
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = AsIs;
    type Decoder = AsIs;

    fn encoder(&mut self) -> AsIs {
        AsIs
    }

    fn decoder(&mut self) -> AsIs {
        AsIs
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
