//! The requests that wait for the work of others: polls for tasks, and queries.

use crate::backend::{Answer, Backend};
use crate::deadline;
use crate::delivery::FirstPage;
use crate::front::{Front, Waited, mismatch};
use crate::status;
use crate::twins::PollWorkflowTaskQueueResponse;
use node::Error;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest,
    QueryWorkflowRequest, QueryWorkflowResponse,
};
use tonic::{Request, Status};
use workflows::{Ask, Reply};

/// The task queue whose activities the node carries out itself, in every namespace.
const RESERVED_TASK_QUEUE: &str = "mainstay";

/// PollWorkflowTaskQueue. Empty when there was nothing to do.
pub(crate) async fn workflow_task<B: Backend>(
    front: &Front<B>,
    request: Request<PollWorkflowTaskQueueRequest>,
) -> Result<PollWorkflowTaskQueueResponse, Status> {
    let within = deadline::of_poll(request.metadata(), front.options.task_poll_max)?;
    let request = request.into_inner();
    refuse_reserved(request.task_queue.as_ref())?;
    let namespace = request.namespace.clone();
    let ask = Ask::PollWorkflowTaskQueue(Box::new(request));
    let Some(answer) = front.ask_within(ask, within).await?.answer() else {
        return Ok(PollWorkflowTaskQueueResponse::default());
    };
    let page = match answer.reply() {
        Reply::EmptyPoll => return Ok(PollWorkflowTaskQueueResponse::default()),
        Reply::WorkflowTask(task) => FirstPage::read(front, &namespace, task).await?,
        other => return Err(mismatch(other)),
    };
    match answer.take() {
        Reply::WorkflowTask(task) => Ok(page.of(*task)),
        other => Err(mismatch(&other)),
    }
}

/// PollActivityTaskQueue. Empty when there was nothing to do.
pub(crate) async fn activity_task<B: Backend>(
    front: &Front<B>,
    request: Request<PollActivityTaskQueueRequest>,
) -> Result<PollActivityTaskQueueResponse, Status> {
    let within = deadline::of_poll(request.metadata(), front.options.task_poll_max)?;
    let request = request.into_inner();
    refuse_reserved(request.task_queue.as_ref())?;
    let ask = Ask::PollActivityTaskQueue(Box::new(request));
    match front.ask_within(ask, within).await?.answer().map(Answer::take) {
        None | Some(Reply::EmptyPoll) => Ok(PollActivityTaskQueueResponse::default()),
        Some(Reply::ActivityTask(task)) => Ok(task.response),
        Some(other) => Err(mismatch(&other)),
    }
}

/// QueryWorkflow. A worker has to answer it in time.
pub(crate) async fn query<B: Backend>(
    front: &Front<B>,
    request: Request<QueryWorkflowRequest>,
) -> Result<QueryWorkflowResponse, Status> {
    let (default, max) = (front.options.query_default, front.options.query_max);
    let within = deadline::of_request(request.metadata(), default, max)?;
    let ask = Ask::QueryWorkflow(Box::new(request.into_inner()));
    match front.ask_within(ask, within).await? {
        Waited::Answer(answer) => match answer.take() {
            Reply::QueryWorkflow(response) => Ok(*response),
            other => Err(mismatch(&other)),
        },
        Waited::TimeOver => Err(Status::deadline_exceeded("no worker answered the query in time")),
        Waited::Stopping => Err(status::of(Error::Stopping)),
    }
}

fn refuse_reserved(queue: Option<&TaskQueue>) -> Result<(), Status> {
    match queue {
        Some(queue) if queue.name == RESERVED_TASK_QUEUE => Err(Status::invalid_argument(
            "task queue \"mainstay\" is reserved: the server itself carries out its activities",
        )),
        _ => Ok(()),
    }
}
