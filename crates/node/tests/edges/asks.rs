//! Requests in few words, and questions that are sent without waiting for their answers.

use crate::support::{QUEUE, as_command, queue};
use node::{Error, Handle};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::taskqueue::v1::StickyExecutionAttributes;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use topics::ask::{
    OffsetCommit, OffsetCommitPartition, OffsetCommitTopic, Origin, PartitionAppend, Produce,
    ProducerIdAndEpoch,
};
use workflows::{ActivityTask, Ask, HistoryAsk, Reply, WorkflowTask};

const NAMESPACE: &str = "default";

fn namespace() -> String {
    NAMESPACE.to_owned()
}

fn execution(workflow_id: &str) -> Option<common::WorkflowExecution> {
    Some(common::WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() })
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub(crate) fn millis(millis: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 })
}

pub(crate) fn start_request(
    workflow_id: &str,
    request_id: &str,
) -> service::StartWorkflowExecutionRequest {
    service::StartWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(common::WorkflowType { name: "Test".into() }),
        task_queue: queue(QUEUE),
        request_id: request_id.into(),
        ..Default::default()
    }
}

pub(crate) fn start(workflow_id: &str, request_id: &str) -> Ask {
    Ask::StartWorkflowExecution(Box::new(start_request(workflow_id, request_id)))
}

pub(crate) fn start_on(task_queue: &str, workflow_id: &str, request_id: &str) -> Ask {
    let task_queue = queue(task_queue);
    let request = start_request(workflow_id, request_id);
    Ask::StartWorkflowExecution(Box::new(service::StartWorkflowExecutionRequest {
        task_queue,
        ..request
    }))
}

pub(crate) fn signal(workflow_id: &str, request_id: &str) -> Ask {
    Ask::SignalWorkflowExecution(Box::new(service::SignalWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: execution(workflow_id),
        signal_name: "signal".into(),
        request_id: request_id.into(),
        ..Default::default()
    }))
}

pub(crate) fn cancel(workflow_id: &str) -> Ask {
    Ask::RequestCancelWorkflowExecution(Box::new(service::RequestCancelWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: execution(workflow_id),
        ..Default::default()
    }))
}

pub(crate) fn terminate(workflow_id: &str) -> Ask {
    Ask::TerminateWorkflowExecution(Box::new(service::TerminateWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: execution(workflow_id),
        ..Default::default()
    }))
}

pub(crate) fn describe(workflow_id: &str) -> Ask {
    Ask::DescribeWorkflowExecution(Box::new(service::DescribeWorkflowExecutionRequest {
        namespace: namespace(),
        execution: execution(workflow_id),
    }))
}

pub(crate) fn history(workflow_id: &str, wait_for_event: Option<i64>) -> Ask {
    Ask::GetWorkflowExecutionHistory(Box::new(HistoryAsk {
        namespace: namespace(),
        workflow_id: workflow_id.into(),
        run_id: None,
        wait_for_event,
        wait_for_close: false,
        include_transient: false,
    }))
}

pub(crate) fn query(workflow_id: &str) -> Ask {
    Ask::QueryWorkflow(Box::new(service::QueryWorkflowRequest {
        namespace: namespace(),
        execution: execution(workflow_id),
        query: Some(WorkflowQuery { query_type: "q".into(), ..Default::default() }),
        ..Default::default()
    }))
}

pub(crate) fn answer(task: &WorkflowTask) -> Ask {
    Ask::RespondQueryTaskCompleted(Box::new(service::RespondQueryTaskCompletedRequest {
        task_token: task.response.task_token.clone(),
        namespace: namespace(),
        ..Default::default()
    }))
}

pub(crate) fn poll_on(task_queue: &str) -> Ask {
    Ask::PollWorkflowTaskQueue(Box::new(service::PollWorkflowTaskQueueRequest {
        namespace: namespace(),
        task_queue: queue(task_queue),
        identity: "worker".into(),
        ..Default::default()
    }))
}

pub(crate) fn poll_activity() -> Ask {
    Ask::PollActivityTaskQueue(Box::new(service::PollActivityTaskQueueRequest {
        namespace: namespace(),
        task_queue: queue(QUEUE),
        identity: "worker".into(),
        ..Default::default()
    }))
}

/// Completes a task; with `sticky` the next one shall come there.
pub(crate) fn complete(task: &WorkflowTask, commands: Vec<Do>, sticky: Option<&str>) -> Ask {
    let sticky_attributes = sticky.map(|name| StickyExecutionAttributes {
        worker_task_queue: queue(name),
        schedule_to_start_timeout: seconds(5),
    });
    Ask::RespondWorkflowTaskCompleted(Box::new(service::RespondWorkflowTaskCompletedRequest {
        task_token: task.response.task_token.clone(),
        commands: commands.into_iter().map(as_command).collect(),
        identity: "worker".into(),
        namespace: namespace(),
        sticky_attributes,
        ..Default::default()
    }))
}

pub(crate) fn complete_activity(task: &ActivityTask) -> Ask {
    Ask::RespondActivityTaskCompleted(Box::new(service::RespondActivityTaskCompletedRequest {
        task_token: task.response.task_token.clone(),
        namespace: namespace(),
        ..Default::default()
    }))
}

pub(crate) fn fail_activity(task: &ActivityTask) -> Ask {
    Ask::RespondActivityTaskFailed(Box::new(service::RespondActivityTaskFailedRequest {
        task_token: task.response.task_token.clone(),
        namespace: namespace(),
        ..Default::default()
    }))
}

pub(crate) fn heartbeat(task: &ActivityTask) -> Ask {
    Ask::RecordActivityTaskHeartbeat(Box::new(service::RecordActivityTaskHeartbeatRequest {
        task_token: task.response.task_token.clone(),
        namespace: namespace(),
        ..Default::default()
    }))
}

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the intent and takes the answer.
pub(crate) async fn ask(handle: &Handle, ask: Ask) -> Result<Reply, Error> {
    let about = format!("{ask:?}");
    match tokio::time::timeout(PATIENCE, handle.workflows(ask)).await {
        Ok(answer) => answer.map(node::Delivered::take),
        Err(_) => panic!("no answer to {about:.500}"),
    }
}

pub(crate) async fn workflow_task(handle: &Handle, poll: Ask) -> WorkflowTask {
    match ask(handle, poll).await.unwrap() {
        Reply::WorkflowTask(task) => *task,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn activity_task(handle: &Handle) -> ActivityTask {
    match ask(handle, poll_activity()).await.unwrap() {
        Reply::ActivityTask(task) => *task,
        other => panic!("{other:?}"),
    }
}

/// One record for partition 0, as an idempotent producer sends it.
pub(crate) fn produce(topic: &str, producer: ProducerIdAndEpoch, sequence: i32) -> topics::Ask {
    let mut batch = topics::BatchBuilder::new();
    batch.push(1_000, None, Some(b"value"), &[]);
    let (mut header, batch) = batch.build().unwrap();
    header.producer_id = producer.id;
    header.producer_epoch = producer.epoch;
    header.base_sequence = if producer.id < 0 { -1 } else { sequence };
    let append = PartitionAppend { topic: topic.into(), partition: 0, header, batch };
    topics::Ask::Produce(Produce { partitions: vec![append], origin: Origin::Client })
}

/// For nodes of which [`others_decided`] is asked. There are no publishers: they would poll in
/// between, and many who wait for room make tokio's semaphore look full for a moment.
pub(crate) fn small_queues() -> node::Limits {
    node::Limits {
        other_inbox_bytes: 64 << 10,
        produce_inbox_bytes: 64 << 10,
        publishers_count: 0,
        ..node::Limits::default()
    }
}

/// Waits until all that was sent before, produces aside, has been decided: what is larger than
/// the whole queue gets its place when the queue is empty. For nodes with a small queue.
pub(crate) async fn others_decided(handle: &Handle) {
    let partition = OffsetCommitPartition {
        partition: 0,
        offset: 0,
        leader_epoch: -1,
        metadata: "x".repeat(128 << 10),
    };
    let commit = topics::Ask::OffsetCommit(OffsetCommit {
        group: "nobody".into(),
        generation: -1,
        member: String::new(),
        instance: None,
        topics: vec![OffsetCommitTopic { name: "none".into(), partitions: vec![partition] }],
    });
    // The second one has its place when the first one has been decided; and so on.
    for _ in 0..2 {
        drop(handle.send_topics(commit.clone()).await.unwrap());
    }
    let groups = topics::ask::ListGroups { states: vec![], types: vec![] };
    drop(handle.send_topics(topics::Ask::ListGroups(groups)).await.unwrap());
}

/// A question on its way, and what it is about.
pub(crate) struct Asked<T> {
    pub(crate) about: String,
    future: Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>,
    answer: Option<Result<T, Error>>,
}

impl<T> Asked<T> {
    /// Polled once: the question has its place in the queue.
    pub(crate) fn new(
        about: impl Into<String>,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Asked<T> {
        let future = Box::pin(tokio::task::unconstrained(future));
        let mut asked = Asked { about: about.into(), future, answer: None };
        asked.look();
        asked
    }

    fn look(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.future.as_mut().poll(&mut context)
        {
            self.answer = Some(answer);
        }
    }

    /// Panics if there is an answer.
    #[track_caller]
    pub(crate) fn assert_waits(&mut self) {
        self.look();
        assert!(self.answer.is_none(), "{} was answered too early", self.about);
    }

    pub(crate) async fn answer(self) -> Result<T, Error> {
        match self.answer {
            Some(answer) => answer,
            None => self.future.await,
        }
    }
}

/// Sends a question to the intent.
pub(crate) fn send(handle: &Handle, about: &str, question: Ask) -> Asked<Reply> {
    let handle = handle.clone();
    Asked::new(about, async move { ask(&handle, question).await })
}

/// Sends a question to the facts.
pub(crate) fn send_topics(handle: &Handle, about: &str, ask: topics::Ask) -> Asked<topics::Reply> {
    let handle = handle.clone();
    Asked::new(about, async move { handle.topics(ask).await })
}
