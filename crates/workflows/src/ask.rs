//! What can be asked of the intent, and what is answered: Temporal's own messages, without gRPC.

use base::{BlobAddr, RunId, Ticket};
use bytes::Bytes;
use temporalio_protos::temporal::api::enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope};
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::workflowservice::v1 as service;

/// A request to the machine.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant is Temporal's RPC of the same name")]
pub enum Ask {
    RegisterNamespace(Box<service::RegisterNamespaceRequest>),
    DescribeNamespace(Box<service::DescribeNamespaceRequest>),
    ListNamespaces(Box<service::ListNamespacesRequest>),
    StartWorkflowExecution(Box<service::StartWorkflowExecutionRequest>),
    SignalWithStartWorkflowExecution(Box<service::SignalWithStartWorkflowExecutionRequest>),
    SignalWorkflowExecution(Box<service::SignalWorkflowExecutionRequest>),
    RequestCancelWorkflowExecution(Box<service::RequestCancelWorkflowExecutionRequest>),
    TerminateWorkflowExecution(Box<service::TerminateWorkflowExecutionRequest>),
    DescribeWorkflowExecution(Box<service::DescribeWorkflowExecutionRequest>),
    GetWorkflowExecutionHistory(Box<HistoryAsk>),
    QueryWorkflow(Box<service::QueryWorkflowRequest>),
    PollWorkflowTaskQueue(Box<service::PollWorkflowTaskQueueRequest>),
    RespondWorkflowTaskCompleted(Box<service::RespondWorkflowTaskCompletedRequest>),
    RespondWorkflowTaskFailed(Box<service::RespondWorkflowTaskFailedRequest>),
    RespondQueryTaskCompleted(Box<service::RespondQueryTaskCompletedRequest>),
    PollActivityTaskQueue(Box<service::PollActivityTaskQueueRequest>),
    RecordActivityTaskHeartbeat(Box<service::RecordActivityTaskHeartbeatRequest>),
    RespondActivityTaskCompleted(Box<service::RespondActivityTaskCompletedRequest>),
    RespondActivityTaskFailed(Box<service::RespondActivityTaskFailedRequest>),
    RespondActivityTaskCanceled(Box<service::RespondActivityTaskCanceledRequest>),
    ShutdownWorker(Box<service::ShutdownWorkerRequest>),
    ResetStickyTaskQueue(Box<service::ResetStickyTaskQueueRequest>),
    /// The node itself waits for an activity on the reserved queue `mainstay` of any namespace.
    /// Answered with [`Reply::ActivityTask`].
    PollPublish,
    /// A task was handed out, but its poller was gone before it could take it: it goes, as the
    /// same task with the same token, to the next poller.
    Undelivered(TaskToken),
    /// Time has passed: timers, timeouts and retries may be due.
    Expire,
}

/// A page of history is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryAsk {
    /// Namespace name.
    pub namespace: String,
    /// Workflow id.
    pub workflow_id: String,
    /// `None` for the current run.
    pub run_id: Option<RunId>,
    /// With `Some(n)`: do not answer before an event with an id >= n exists, or the run is closed.
    pub wait_for_event: Option<i64>,
    /// With `wait_for_event`: answer only when the run is closed.
    pub wait_for_close: bool,
    /// Append the transient task's events that are not in history (for workers, not for people).
    pub include_transient: bool,
}

/// The state of a run's history at one moment. The front pages it and reads the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct HistorySlice {
    /// The run it belongs to.
    pub run_id: RunId,
    /// Batches of events in order, without gaps.
    pub batches: Vec<EventBatch>,
    /// Events that are not in history (a transient workflow task), encoded like a batch.
    pub transient: Bytes,
    /// Id after the last event of `batches`.
    pub next_event_id: i64,
    /// Whether the run is closed; then the last event is the close event.
    pub closed: bool,
}

/// Events that were written together. The bytes are the wire form of a `History` message, so a
/// whole history is the batches' bytes one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// Id of the first event.
    pub first_event_id: i64,
    /// Id of the last event.
    pub last_event_id: i64,
    /// Where the bytes are.
    pub address: BlobAddr,
}

/// A workflow task on its way to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowTask {
    /// The answer, with `history` left empty.
    pub response: service::PollWorkflowTaskQueueResponse,
    /// What belongs into `history`. The front takes a first page and makes the page token.
    pub history: HistorySlice,
    /// To give it back with, if it cannot be delivered. `None` for a query task.
    pub token: Option<TaskToken>,
}

/// An activity task on its way to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityTask {
    /// The answer.
    pub response: service::PollActivityTaskQueueResponse,
    /// To give it back with, if it cannot be delivered.
    pub token: TaskToken,
}

/// The bytes of a task token: durable facts only, see `token.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskToken(pub Bytes);

/// An answer of the machine.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant answers the RPC of the same name")]
pub enum Reply {
    RegisterNamespace,
    DescribeNamespace(Box<service::DescribeNamespaceResponse>),
    ListNamespaces(Box<service::ListNamespacesResponse>),
    /// With the first workflow task, if it was started eagerly.
    StartWorkflowExecution(Box<service::StartWorkflowExecutionResponse>, Option<Box<WorkflowTask>>),
    SignalWithStartWorkflowExecution(Box<service::SignalWithStartWorkflowExecutionResponse>),
    SignalWorkflowExecution,
    RequestCancelWorkflowExecution,
    TerminateWorkflowExecution,
    DescribeWorkflowExecution(Box<service::DescribeWorkflowExecutionResponse>),
    GetWorkflowExecutionHistory(Box<HistorySlice>),
    QueryWorkflow(Box<service::QueryWorkflowResponse>),
    /// Answers both poll and, with `query` set, a query task.
    WorkflowTask(Box<WorkflowTask>),
    /// The response's `workflow_task` is left empty; the next task comes beside it.
    RespondWorkflowTaskCompleted(
        Box<service::RespondWorkflowTaskCompletedResponse>,
        Option<Box<WorkflowTask>>,
    ),
    RespondWorkflowTaskFailed,
    RespondQueryTaskCompleted,
    ActivityTask(Box<ActivityTask>),
    RecordActivityTaskHeartbeat(Box<service::RecordActivityTaskHeartbeatResponse>),
    RespondActivityTaskCompleted,
    RespondActivityTaskFailed,
    RespondActivityTaskCanceled,
    ShutdownWorker,
    ResetStickyTaskQueue,
    /// The worker that polled has been shut down: answer the poll empty.
    EmptyPoll,
    /// For the asks of the node itself.
    Done,
}

/// Why an ask is not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// INVALID_ARGUMENT.
    InvalidArgument(String),
    /// NOT_FOUND.
    NotFound(String),
    /// NOT_FOUND: the run is closed.
    WorkflowClosed(String),
    /// INVALID_ARGUMENT: the run has taken all the signals that it may.
    SignalsExhausted(String),
    /// NOT_FOUND with NamespaceNotFoundFailure.
    NamespaceNotFound(String),
    /// ALREADY_EXISTS with NamespaceAlreadyExistsFailure.
    NamespaceAlreadyExists(String),
    /// ALREADY_EXISTS with WorkflowExecutionAlreadyStartedFailure.
    AlreadyStarted {
        /// For people.
        message: String,
        /// Request id of the start that won.
        start_request_id: String,
        /// Its run.
        run_id: String,
    },
    /// RESOURCE_EXHAUSTED with ResourceExhaustedFailure.
    ResourceExhausted {
        /// For people.
        message: String,
        /// Which limit.
        cause: ResourceExhaustedCause,
        /// Whose limit.
        scope: ResourceExhaustedScope,
    },
    /// FAILED_PRECONDITION with WorkflowNotReadyFailure.
    WorkflowNotReady(String),
    /// INVALID_ARGUMENT with QueryFailedFailure.
    QueryFailed {
        /// For people.
        message: String,
        /// What the worker said.
        failure: Option<Box<Failure>>,
    },
    /// UNIMPLEMENTED.
    Unimplemented(String),
}

/// What the node does when the entry is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer a ticket.
    Reply(Ticket, Box<Result<Reply, Refusal>>),
}
