//! Published records and their activities, and tasks that change hands.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use journal::testing::SimDisk;
use node::{Error, Handle};
use support::{
    QUEUE, activity, complete, history_at_close, open, options, poll, queue, task_events,
    workflow_worker,
};
use temporalio_protos::temporal::api::command::v1::FailWorkflowExecutionCommandAttributes;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tokio::task::JoinSet;
use workflows::{Ask, Refusal, Reply};

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
