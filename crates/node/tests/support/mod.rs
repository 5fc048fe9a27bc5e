//! A node on a simulated disk, a small saga, and clients that only use the node's handle.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use base::PartitionId;
use bridge::Route;
use bridge::route::Spec;
use bytes::Bytes;
use journal::testing::SimDisk;
use journal::{Options, Preparation};
use node::{Error, Handle, Node, NodeGuard, NodeOptions};
use prost::Message;
use std::sync::Arc;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::CommandType;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use temporalio_protos::temporal::api::{
    command::v1 as command, command::v1::command::Attributes as Do,
};
use topics::ask::{Origin, PartitionAppend, Produce, ProduceError};
use topics::{BatchBuilder, Record, Records};
use workflows::{Ask, HistoryAsk, HistorySlice, Reply, WorkflowTask};

pub(crate) const QUEUE: &str = "orders";

/// A journal small enough to be made anew hundreds of times.
pub(crate) fn options() -> NodeOptions {
    NodeOptions {
        journal: Options {
            segment_bytes: 1 << 20,
            entry_bytes_max: 256 << 10,
            prepare_ahead_bytes: 64 << 10,
            preparation: Preparation::Inline,
            ..Options::default()
        },
        on_failure: Arc::new(|reason| panic!("the node has failed: {reason}")),
        paranoid: true,
        ..NodeOptions::default()
    }
}

pub(crate) fn open(disk: &SimDisk, options: NodeOptions) -> (Handle, NodeGuard) {
    Node::open_on(disk.clone(), options).unwrap()
}

/// Topic `orders` to workflow `OrderSaga`.
pub(crate) fn route() -> Route {
    Route::new(Spec {
        name: Some("orders".into()),
        topics: Some(vec!["orders".into()]),
        workflow_type: Some("OrderSaga".into()),
        task_queue: Some(QUEUE.into()),
        signal: Some("order".into()),
        ..Spec::default()
    })
    .unwrap()
}

pub(crate) type Place = Result<topics::ask::Appended, ProduceError>;

/// Appends records with these keys and values to partition 0, as one batch.
pub(crate) async fn produce(
    handle: &Handle,
    topic: &str,
    records: &[(&str, &str)],
) -> Result<Place, Error> {
    let mut batch = BatchBuilder::new();
    for (key, value) in records {
        batch.push(1_000, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    let (header, batch) = batch.build().unwrap();
    let append = PartitionAppend { topic: topic.into(), partition: 0, header, batch };
    let produce = Produce { partitions: vec![append], origin: Origin::Client };
    match handle.topics(topics::Ask::Produce(produce)).await? {
        topics::Reply::Produce(mut places) => Ok(places.remove(0)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn create_topic(
    handle: &Handle,
    name: &str,
    partition_count: i32,
) -> Result<(), Error> {
    let topic = topics::ask::NewTopic {
        name: name.into(),
        partition_count,
        replication_factor: 1,
        assignments: vec![],
        configs: vec![],
    };
    let create = topics::ask::CreateTopics { topics: vec![topic], validate_only: false };
    handle.topics(topics::Ask::CreateTopics(create)).await.map(drop)
}

/// Everything that can be read of a topic.
pub(crate) async fn read_topic(handle: &Handle, name: &str) -> Vec<Record> {
    let Some(topic) = handle.log().topic(name) else { return vec![] };
    let mut records = Vec::new();
    for index in 0..topic.partition_count {
        let partition = PartitionId { topic: topic.id, index };
        for batch in handle.log().batches_from(partition, 0, usize::MAX).unwrap() {
            let bytes = handle.log().read(batch).await.unwrap();
            let decoded = Records::open(&bytes, batch.base_offset, 1 << 20).unwrap();
            records.extend(decoded.map(Result::unwrap));
        }
    }
    records
}

pub(crate) fn json(value: serde_json::Value) -> common::Payload {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    common::Payload { metadata, data: value.to_string().into_bytes(), ..Default::default() }
}

pub(crate) fn payloads(payloads: Vec<common::Payload>) -> Option<common::Payloads> {
    Some(common::Payloads { payloads })
}

pub(crate) fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue { name: name.into(), ..Default::default() })
}

/// The events of a slice.
pub(crate) async fn events(
    handle: &Handle,
    slice: &HistorySlice,
) -> Result<Vec<HistoryEvent>, Error> {
    let addresses: Vec<_> = slice.batches.iter().map(|batch| batch.address).collect();
    let mut events = Vec::new();
    for bytes in handle.read_all(&addresses).await? {
        events.extend(History::decode(bytes).unwrap().events);
    }
    events.extend(History::decode(slice.transient.clone()).unwrap().events);
    Ok(events)
}

/// The whole history of a workflow once it has closed.
pub(crate) async fn history_at_close(
    handle: &Handle,
    workflow_id: &str,
) -> Result<Vec<HistoryEvent>, Error> {
    let ask = HistoryAsk {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        run_id: None,
        wait_for_event: Some(1),
        wait_for_close: true,
        include_transient: false,
    };
    loop {
        let ask = Ask::GetWorkflowExecutionHistory(Box::new(ask.clone()));
        match handle.workflows(ask).await?.take() {
            Reply::GetWorkflowExecutionHistory(slice) if slice.closed => {
                return events(handle, &slice).await;
            }
            Reply::GetWorkflowExecutionHistory(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Polls for a workflow task.
pub(crate) async fn poll(handle: &Handle) -> Box<WorkflowTask> {
    let poll = service::PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue(QUEUE),
        ..Default::default()
    };
    match handle.workflows(Ask::PollWorkflowTaskQueue(Box::new(poll))).await.unwrap().take() {
        Reply::WorkflowTask(task) => task,
        other => panic!("{other:?}"),
    }
}

/// Completes a workflow task without commands.
pub(crate) async fn complete(handle: &Handle, task: &WorkflowTask) -> Result<(), Error> {
    let request = service::RespondWorkflowTaskCompletedRequest {
        task_token: task.response.task_token.clone(),
        namespace: "default".into(),
        ..Default::default()
    };
    let ask = Ask::RespondWorkflowTaskCompleted(Box::new(request));
    handle.workflows(ask).await.map(|answer| drop(answer.take()))
}

/// A worker for workflow tasks, until the node stops. It caches nothing.
pub(crate) async fn workflow_worker(handle: Handle, decide: fn(&[HistoryEvent]) -> Vec<Do>) {
    loop {
        let poll = service::PollWorkflowTaskQueueRequest {
            namespace: "default".into(),
            task_queue: queue(QUEUE),
            identity: "worker".into(),
            ..Default::default()
        };
        let ask = Ask::PollWorkflowTaskQueue(Box::new(poll));
        let Some(answer) = unless_stopping(handle.workflows(ask).await) else { return };
        let Reply::WorkflowTask(task) = answer.take() else { continue };
        let Some(events) = unless_stopping(task_events(&handle, &task).await) else { return };
        let commands = decide(&events);
        let complete = service::RespondWorkflowTaskCompletedRequest {
            task_token: task.response.task_token.clone(),
            commands: commands.into_iter().map(as_command).collect(),
            identity: "worker".into(),
            namespace: "default".into(),
            ..Default::default()
        };
        let ask = Ask::RespondWorkflowTaskCompleted(Box::new(complete));
        match handle.workflows(ask).await {
            // A new event came in while the task ran and the machine asked for another look.
            Err(Error::Workflows(_)) => {}
            other => {
                if unless_stopping(other).is_none() {
                    return;
                }
            }
        }
    }
}

pub(crate) async fn task_events(
    handle: &Handle,
    task: &WorkflowTask,
) -> Result<Vec<HistoryEvent>, Error> {
    events(handle, &task.history).await
}

/// A worker for activities on `QUEUE`, until the node stops; tells `done` what it does.
pub(crate) async fn activity_worker(handle: Handle, done: tokio::sync::mpsc::Sender<String>) {
    loop {
        let poll = service::PollActivityTaskQueueRequest {
            namespace: "default".into(),
            task_queue: queue(QUEUE),
            identity: "worker".into(),
            ..Default::default()
        };
        let ask = Ask::PollActivityTaskQueue(Box::new(poll));
        let Some(answer) = unless_stopping(handle.workflows(ask).await) else { return };
        let Reply::ActivityTask(task) = answer.take() else { continue };
        done.send(task.response.activity_id.clone()).await.unwrap();
        let complete = service::RespondActivityTaskCompletedRequest {
            task_token: task.response.task_token.clone(),
            result: payloads(vec![json("done".into())]),
            identity: "worker".into(),
            namespace: "default".into(),
            ..Default::default()
        };
        let ask = Ask::RespondActivityTaskCompleted(Box::new(complete));
        if unless_stopping(handle.workflows(ask).await).is_none() {
            return;
        }
    }
}

fn unless_stopping<T>(answer: Result<T, Error>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(Error::Stopping) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn as_command(attributes: Do) -> command::Command {
    let command_type = match &attributes {
        Do::ScheduleActivityTaskCommandAttributes(_) => CommandType::ScheduleActivityTask,
        Do::StartTimerCommandAttributes(_) => CommandType::StartTimer,
        Do::CompleteWorkflowExecutionCommandAttributes(_) => CommandType::CompleteWorkflowExecution,
        Do::FailWorkflowExecutionCommandAttributes(_) => CommandType::FailWorkflowExecution,
        Do::ContinueAsNewWorkflowExecutionCommandAttributes(_) => {
            CommandType::ContinueAsNewWorkflowExecution
        }
        other => panic!("{other:?}"),
    };
    command::Command {
        command_type: command_type.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}

pub(crate) fn activity(id: &str, r#type: &str, task_queue: &str, input: serde_json::Value) -> Do {
    Do::ScheduleActivityTaskCommandAttributes(command::ScheduleActivityTaskCommandAttributes {
        activity_id: id.into(),
        activity_type: Some(common::ActivityType { name: r#type.into() }),
        task_queue: queue(task_queue),
        input: payloads(vec![json(input)]),
        start_to_close_timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    })
}

/// Waits for two signals, reserves, waits for a timer, publishes, and ends.
pub(crate) fn saga(events: &[HistoryEvent]) -> Vec<Do> {
    let has = |wanted: fn(&Attributes) -> bool| {
        events.iter().filter_map(|event| event.attributes.as_ref()).filter(|a| wanted(a)).count()
    };
    let signals = has(|a| matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(_)));
    let scheduled = has(|a| matches!(a, Attributes::ActivityTaskScheduledEventAttributes(_)));
    let completed = has(|a| matches!(a, Attributes::ActivityTaskCompletedEventAttributes(_)));
    let timers = has(|a| matches!(a, Attributes::TimerStartedEventAttributes(_)));
    let fired = has(|a| matches!(a, Attributes::TimerFiredEventAttributes(_)));
    match (scheduled, completed, timers, fired) {
        (0, ..) if signals >= 2 => vec![activity("reserve", "reserve", QUEUE, 1.into())],
        (1, 1, 0, _) => {
            let timeout = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
            vec![Do::StartTimerCommandAttributes(command::StartTimerCommandAttributes {
                timer_id: "pause".into(),
                start_to_fire_timeout: timeout,
            })]
        }
        (1, 1, 1, 1) => {
            let argument = serde_json::json!({
                "topic": "order-events",
                "key": workflow_id(events),
                "value": {"signals": signals},
            });
            vec![activity("publish", "mainstay.publish", "mainstay", argument)]
        }
        (2, 2, ..) => {
            let complete = command::CompleteWorkflowExecutionCommandAttributes { result: None };
            vec![Do::CompleteWorkflowExecutionCommandAttributes(complete)]
        }
        _ => vec![],
    }
}

fn workflow_id(events: &[HistoryEvent]) -> &str {
    match events[0].attributes.as_ref().unwrap() {
        Attributes::WorkflowExecutionStartedEventAttributes(started) => &started.workflow_id,
        other => panic!("a history begins with {other:?}"),
    }
}

pub(crate) fn count(events: &[HistoryEvent], wanted: fn(&Attributes) -> bool) -> usize {
    events.iter().filter_map(|event| event.attributes.as_ref()).filter(|a| wanted(a)).count()
}

pub(crate) fn bytes(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}
