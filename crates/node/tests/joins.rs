//! What concerns two machines is one entry: published records and their activities, routed
//! records and their workflows.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use bridge::Route;
use bridge::route::Spec;
use journal::testing::SimDisk;
use node::{Error, Handle, NodeOptions};
use support::{
    QUEUE, activity, count, create_topic, events, history_at_close, open, options, produce, queue,
    read_topic, task_events, workflow_worker,
};
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::command::v1::{
    CompleteWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
};
use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tokio::task::JoinSet;
use workflows::{Ask, HistoryAsk, Refusal, Reply, WorkflowTask};

async fn start(handle: &Handle, workflow_id: &str) {
    let request = service::StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "Test".into() }),
        task_queue: queue(QUEUE),
        request_id: workflow_id.into(),
        ..Default::default()
    };
    let ask = Ask::StartWorkflowExecution(Box::new(request));
    assert!(matches!(
        handle.workflows(ask).await.unwrap().take(),
        Reply::StartWorkflowExecution(..)
    ));
}

async fn poll(handle: &Handle) -> Box<WorkflowTask> {
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

async fn complete(handle: &Handle, task: &WorkflowTask) -> Result<(), Error> {
    let request = service::RespondWorkflowTaskCompletedRequest {
        task_token: task.response.task_token.clone(),
        namespace: "default".into(),
        ..Default::default()
    };
    let ask = Ask::RespondWorkflowTaskCompleted(Box::new(request));
    handle.workflows(ask).await.map(|answer| drop(answer.take()))
}

/// Asks for one bad publication after the other; then fails with what the last one failed with.
fn bad_publications(history: &[HistoryEvent]) -> Vec<Do> {
    let failures: Vec<_> = history
        .iter()
        .filter_map(|event| match event.attributes.as_ref()? {
            Attributes::ActivityTaskFailedEventAttributes(failed) => failed.failure.clone(),
            _ => None,
        })
        .collect();
    let publish = |id: &str, input| vec![activity(id, "mainstay.publish", "mainstay", input)];
    match failures.len() {
        0 => publish("unknown field", serde_json::json!({"topic": "t", "value": 1, "kye": 1})),
        1 => publish("bad topic", serde_json::json!({"topic": "no/name", "value": 1})),
        2 => vec![activity("unknown", "mainstay.subscribe", "mainstay", 1.into())],
        _ => {
            let failure = failures.into_iter().next_back();
            let fail = FailWorkflowExecutionCommandAttributes { failure };
            vec![Do::FailWorkflowExecutionCommandAttributes(fail)]
        }
    }
}

#[tokio::test]
async fn what_cannot_be_published_fails_once_and_says_why() {
    let disk = SimDisk::new(1);
    let (handle, guard) = open(&disk, options());
    let mut workers = JoinSet::new();
    workers.spawn(workflow_worker(handle.clone(), bad_publications));
    start(&handle, "w").await;
    let history = history_at_close(&handle, "w").await.unwrap();
    let failures: Vec<_> = history
        .iter()
        .filter_map(|event| match event.attributes.as_ref()? {
            Attributes::ActivityTaskFailedEventAttributes(failed) => failed.failure.as_ref(),
            _ => None,
        })
        .collect();
    let wanted = [
        ("InvalidPublishArgument", "unknown field `kye`"),
        ("RecordRefused", "InvalidTopic"),
        ("UnknownActivityType", "mainstay.subscribe"),
    ];
    assert_eq!(failures.len(), wanted.len());
    for (failure, (r#type, reason)) in failures.into_iter().zip(wanted) {
        assert!(failure.message.contains(reason), "{}", failure.message);
        match failure.failure_info.as_ref().unwrap() {
            FailureInfo::ApplicationFailureInfo(info) => {
                assert_eq!((info.r#type.as_str(), info.non_retryable), (r#type, true));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(handle.log().topics(), [], "nothing was published");
    guard.stop().await;
    workers.join_all().await;
}

#[tokio::test]
async fn a_worker_that_was_busy_during_a_restart_completes_normally() {
    let disk = SimDisk::new(2);
    let (handle, guard) = open(&disk, options());
    start(&handle, "w").await;
    let task = poll(&handle).await;
    guard.stop().await;
    assert_eq!(complete(&handle, &task).await, Err(Error::Stopping));

    let (handle, guard) = open(&disk.restart(), options());
    // Another worker gets the same task: nobody can know that the first one still has it.
    let again = poll(&handle).await;
    assert_eq!(again.response.task_token, task.response.task_token);
    assert_eq!(task_events(&handle, &again).await.unwrap().len(), 3);
    complete(&handle, &task).await.unwrap();
    let late = complete(&handle, &again).await;
    assert!(matches!(late, Err(Error::Workflows(Refusal::NotFound(_)))), "{late:?}");
    guard.stop().await;
}

#[tokio::test]
async fn a_task_whose_poller_went_away_is_not_lost() {
    let disk = SimDisk::new(3);
    let (handle, guard) = open(&disk, options());
    start(&handle, "w").await;
    let poll_ask = service::PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue(QUEUE),
        ..Default::default()
    };
    let poll_ask = Ask::PollWorkflowTaskQueue(Box::new(poll_ask));
    // Answered, and dropped before it is taken.
    drop(handle.workflows(poll_ask.clone()).await.unwrap());
    let task = poll(&handle).await;
    assert_eq!(task.response.attempt, 1);
    complete(&handle, &task).await.unwrap();
    // A poll that ends without a task leaves no poller behind: the next signal's task is not
    // handed to it.
    let short = std::time::Duration::from_millis(1);
    assert!(handle.workflows_within(poll_ask, short).await.unwrap().is_none());
    let signal = service::SignalWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_execution: Some(temporalio_protos::temporal::api::common::v1::WorkflowExecution {
            workflow_id: "w".into(),
            run_id: String::new(),
        }),
        signal_name: "s".into(),
        ..Default::default()
    };
    let signal = Ask::SignalWorkflowExecution(Box::new(signal));
    handle.workflows(signal).await.unwrap();
    let task = poll(&handle).await;
    complete(&handle, &task).await.unwrap();
    guard.stop().await;
}

fn route(name: &str, on_closed: &str) -> Route {
    Route::new(Spec {
        name: Some(name.into()),
        topics: Some(vec![name.into()]),
        workflow_type: Some("Test".into()),
        task_queue: Some(QUEUE.into()),
        signal: Some("s".into()),
        on_closed: Some(on_closed.into()),
        ..Spec::default()
    })
    .unwrap()
}

/// Ends at once.
fn end(_: &[HistoryEvent]) -> Vec<Do> {
    let complete = CompleteWorkflowExecutionCommandAttributes { result: None };
    vec![Do::CompleteWorkflowExecutionCommandAttributes(complete)]
}

async fn position(handle: &Handle, route: &str) -> Option<i64> {
    let group = format!("mainstay-route-{route}");
    let topics = Some(vec![(route.to_owned(), vec![0])]);
    let fetch = topics::ask::OffsetFetchGroup { group, topics };
    let fetch = topics::ask::OffsetFetch { groups: vec![fetch] };
    match handle.topics(topics::Ask::OffsetFetch(fetch)).await.unwrap() {
        topics::Reply::OffsetFetch(reply) => {
            let offset = reply.groups[0].topics[0].1[0].offset;
            (offset >= 0).then_some(offset)
        }
        other => panic!("{other:?}"),
    }
}

async fn wait_for_position(handle: &Handle, route: &str, offset: i64) {
    while position(handle, route).await != Some(offset) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_closed_workflow_is_what_the_route_says() {
    let disk = SimDisk::new(4);
    let names = ["start", "ignore", "dead-letter"];
    let routes = names.iter().map(|name| route(name, name).into()).collect();
    let (handle, guard) = open(&disk, NodeOptions { routes, ..options() });
    let mut workers = JoinSet::new();
    workers.spawn(workflow_worker(handle.clone(), end));
    for name in names {
        create_topic(&handle, name, 1).await.unwrap();
        produce(&handle, name, &[(name, "1")]).await.unwrap().unwrap();
        wait_for_position(&handle, name, 1).await;
        let first = history_at_close(&handle, name).await.unwrap();
        produce(&handle, name, &[(name, "2")]).await.unwrap().unwrap();
        wait_for_position(&handle, name, 2).await;
        let second = history_at_close(&handle, name).await.unwrap();
        assert_eq!(first != second, name == "start", "only \"start\" starts again");
        let dead = read_topic(&handle, &format!("{name}.dead-letter")).await;
        assert_eq!(dead.len(), usize::from(name == "dead-letter"));
    }
    guard.stop().await;
    workers.join_all().await;
}

#[tokio::test]
async fn a_recreated_topic_inherits_no_position() {
    let disk = SimDisk::new(5);
    let routes = vec![route("t", "start").into()];
    let (handle, guard) = open(&disk, NodeOptions { routes, ..options() });
    create_topic(&handle, "t", 1).await.unwrap();
    produce(&handle, "t", &[("w", "1"), ("w", "2")]).await.unwrap().unwrap();
    wait_for_position(&handle, "t", 2).await;
    let topics = topics::ask::TopicSelection::Names(vec!["t".into()]);
    let delete = topics::ask::DeleteTopics { topics };
    handle.topics(topics::Ask::DeleteTopics(delete)).await.unwrap();
    assert_eq!(position(&handle, "t").await, None);
    create_topic(&handle, "t", 1).await.unwrap();
    produce(&handle, "t", &[("w", "3")]).await.unwrap().unwrap();
    wait_for_position(&handle, "t", 1).await;
    let ask = HistoryAsk {
        namespace: "default".into(),
        workflow_id: "w".into(),
        run_id: None,
        wait_for_event: None,
        wait_for_close: false,
        include_transient: false,
    };
    let ask = Ask::GetWorkflowExecutionHistory(Box::new(ask));
    let Reply::GetWorkflowExecutionHistory(slice) = handle.workflows(ask).await.unwrap().take()
    else {
        panic!("no history")
    };
    let signals = count(&events(&handle, &slice).await.unwrap(), |a| {
        matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(_))
    });
    assert_eq!(signals, 3);
    guard.stop().await;
}
