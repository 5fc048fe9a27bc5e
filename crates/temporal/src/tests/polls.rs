//! Polls and queries: what waits, what ends the wait, and what happens to a task then.

use super::fake::{Answer, Event, Fake, Running, SERVICE, history, ids};
use crate::options::Options;
use base::RunId;
use bytes::Bytes;
use node::Error;
use prost::Message;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::history::v1::History;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::sync::mpsc;
use tonic::{Code, Request, Status};
use workflows::{ActivityTask, Ask, HistorySlice, Reply, TaskToken, WorkflowTask};

fn on_queue(name: &str) -> PollWorkflowTaskQueueRequest {
    PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: Some(TaskQueue { name: name.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// A task with many fields set, so that a field lost in the twin shows.
fn task(history: HistorySlice, previous_started_event_id: i64) -> WorkflowTask {
    let query = WorkflowQuery { query_type: "state".into(), ..Default::default() };
    let response = PollWorkflowTaskQueueResponse {
        task_token: vec![1, 2, 3],
        workflow_execution: Some(WorkflowExecution {
            workflow_id: "w".into(),
            run_id: history.run_id.to_string(),
        }),
        previous_started_event_id,
        started_event_id: history.next_event_id - 1,
        attempt: 2,
        backlog_count_hint: 9,
        scheduled_time: Some(prost_types::Timestamp { seconds: 8, nanos: 7 }),
        queries: [("q".to_owned(), query)].into(),
        poller_group_id: "g".into(),
        ..Default::default()
    };
    WorkflowTask { response, history, token: Some(TaskToken(Bytes::from_static(&[1, 2, 3]))) }
}

#[tokio::test]
async fn a_task_arrives_with_its_history_as_temporals_own_message() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let mut slice = fake.slice(&[3, 1, 2], 10);
    slice.transient = history(7..9, 10);
    let sent = task(slice, 0);
    let want = PollWorkflowTaskQueueResponse {
        history: Some(History::decode(history(1..9, 10)).unwrap()),
        ..sent.response.clone()
    };
    let fake = fake.with(move |ask| match ask {
        Ask::PollWorkflowTaskQueue(_) => Answer::Reply(Reply::WorkflowTask(Box::new(sent.clone()))),
        Ask::StartWorkflowExecution(_) => Answer::Reply(Reply::StartWorkflowExecution(
            Box::new(StartWorkflowExecutionResponse { started: true, ..Default::default() }),
            Some(Box::new(sent.clone())),
        )),
        Ask::RespondWorkflowTaskCompleted(_) => Answer::Reply(Reply::RespondWorkflowTaskCompleted(
            Box::new(RespondWorkflowTaskCompletedResponse {
                reset_history_event_id: 4,
                activity_tasks: vec![PollActivityTaskQueueResponse::default()],
                ..Default::default()
            }),
            Some(Box::new(sent.clone())),
        )),
        _ => Answer::Never,
    });
    let running = Running::start(fake, Options::default()).await;
    let client = running.client.clone();
    let polled: PollWorkflowTaskQueueResponse =
        client.call("PollWorkflowTaskQueue", on_queue("q")).await.unwrap();
    assert_eq!(polled, want);
    let started: StartWorkflowExecutionResponse =
        client.call("StartWorkflowExecution", ()).await.unwrap();
    assert_eq!((started.started, started.eager_workflow_task), (true, Some(want.clone())));
    let completed: RespondWorkflowTaskCompletedResponse =
        client.call("RespondWorkflowTaskCompleted", ()).await.unwrap();
    assert_eq!((completed.reset_history_event_id, completed.activity_tasks.len()), (4, 1));
    assert_eq!(completed.workflow_task, Some(want));
    running.stop().await;
    while let Some(event) = events.recv().await {
        assert!(matches!(event, Event::Asked(_)), "all were delivered: {event:?}");
    }
}

#[tokio::test]
async fn a_sticky_task_starts_after_what_the_worker_has_seen() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let mut slice = fake.slice(&[3, 4, 2], 10);
    slice.batches.remove(0);
    let whole = task(slice.clone(), 3);
    let within_a_batch = task(slice.clone(), 5);
    slice.batches.clear();
    let query_only = task(slice, 9);
    for (sent, want) in [
        (whole, (4..10).collect::<Vec<_>>()),
        (within_a_batch, (6..10).collect()),
        (query_only, vec![]),
    ] {
        let reply = Reply::WorkflowTask(Box::new(sent));
        let fake = fake.clone().with(move |_| Answer::Reply(reply.clone()));
        let running = Running::start(fake, Options::default()).await;
        let polled: PollWorkflowTaskQueueResponse =
            running.client.call("PollWorkflowTaskQueue", on_queue("q")).await.unwrap();
        assert_eq!(ids(polled.history.as_ref()), want);
        assert!(polled.next_page_token.is_empty());
        running.stop().await;
    }
}

#[tokio::test]
async fn polls_without_a_task_are_answered_empty() {
    let (fake, _events) = Fake::new(|ask| match ask {
        Ask::PollActivityTaskQueue(_) => Answer::Reply(Reply::EmptyPoll),
        _ => Answer::Never,
    });
    // The margin eats the whole wait.
    let options = Options { task_poll_max: Duration::from_secs(1), ..Options::default() };
    let running = Running::start(fake, options).await;
    let empty: PollWorkflowTaskQueueResponse =
        running.client.call("PollWorkflowTaskQueue", on_queue("q")).await.unwrap();
    assert_eq!(empty, PollWorkflowTaskQueueResponse::default());
    let empty: PollActivityTaskQueueResponse =
        running.client.call("PollActivityTaskQueue", ()).await.unwrap();
    assert_eq!(empty, PollActivityTaskQueueResponse::default());
    running.stop().await;
}

#[tokio::test]
async fn an_activity_task_arrives_as_it_is() {
    let response = PollActivityTaskQueueResponse { activity_id: "7".into(), ..Default::default() };
    let token = TaskToken(Bytes::from_static(b"t"));
    let reply = Reply::ActivityTask(Box::new(ActivityTask { response: response.clone(), token }));
    let (fake, _events) = Fake::new(move |_| Answer::Reply(reply.clone()));
    let running = Running::start(fake, Options::default()).await;
    let polled: PollActivityTaskQueueResponse =
        running.client.call("PollActivityTaskQueue", ()).await.unwrap();
    assert_eq!(polled, response);
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_forgotten() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let running = Running::start(fake, Options::default()).await;
    let client = running.client.clone();
    let poll = tokio::spawn(async move {
        client
            .call::<_, PollWorkflowTaskQueueResponse>("PollWorkflowTaskQueue", on_queue("q"))
            .await
    });
    assert!(matches!(next(&mut events).await, Event::Asked(Ask::PollWorkflowTaskQueue(_))));
    poll.abort();
    assert!(matches!(next(&mut events).await, Event::Forgotten));
    running.stop().await;
}

#[tokio::test]
async fn waiting_polls_are_answered_empty_when_the_server_stops() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let running = Running::start(fake, Options::default()).await;
    let client = running.client.clone();
    let poll = tokio::spawn(async move {
        client
            .call::<_, PollWorkflowTaskQueueResponse>("PollWorkflowTaskQueue", on_queue("q"))
            .await
    });
    let client = running.client.clone();
    let query =
        tokio::spawn(
            async move { client.call::<_, QueryWorkflowResponse>("QueryWorkflow", ()).await },
        );
    next(&mut events).await;
    next(&mut events).await;
    let began = tokio::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(poll.await.unwrap().unwrap(), PollWorkflowTaskQueueResponse::default());
    assert_eq!(query.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_task_that_cannot_be_delivered_is_given_back() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let mut slice = fake.slice(&[3], 10);
    slice.run_id = RunId(base::Uuid::nil());
    slice.batches[0].address.segment = 99;
    let sent = task(slice, 0);
    let fake = fake.with(move |ask| match ask {
        Ask::PollWorkflowTaskQueue(_) => Answer::Reply(Reply::WorkflowTask(Box::new(sent.clone()))),
        _ => Answer::Reply(Reply::Done),
    });
    let running = Running::start(fake, Options::default()).await;
    let polled: Result<PollWorkflowTaskQueueResponse, Status> =
        running.client.call("PollWorkflowTaskQueue", on_queue("q")).await;
    assert_eq!(polled.unwrap_err().code(), Code::DataLoss);
    next(&mut events).await;
    match next(&mut events).await {
        Event::GivenBack(Reply::WorkflowTask(task)) => {
            assert_eq!(task.response.task_token, [1, 2, 3]);
        }
        other => panic!("{other:?}"),
    }
    running.stop().await;
}

#[tokio::test]
async fn a_query_that_no_worker_answers_ends_at_its_deadline() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let options = Options { query_default: Duration::from_millis(10), ..Options::default() };
    let running = Running::start(fake.clone(), options).await;
    let query: Result<QueryWorkflowResponse, Status> =
        running.client.call("QueryWorkflow", ()).await;
    assert_eq!(query.unwrap_err().code(), Code::DeadlineExceeded);
    running.stop().await;
    let running = Running::start(fake, Options::default()).await;
    let mut request = Request::new(());
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let query = running.client.send::<_, ()>(SERVICE, "QueryWorkflow", request, false).await;
    assert_eq!(query.unwrap_err().code(), Code::DeadlineExceeded);
    running.stop().await;
}

#[tokio::test]
async fn polls_that_would_spin_or_take_what_is_the_nodes_are_refused() {
    let (fake, _events) = Fake::new(|_| Answer::Fail(Error::Stopping));
    let running = Running::start(fake, Options::default()).await;
    for method in ["PollWorkflowTaskQueue", "PollActivityTaskQueue"] {
        // Both requests have namespace and task queue in the same fields.
        let sent: Result<(), Status> = running.client.call(method, on_queue("mainstay")).await;
        let status = sent.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("reserved"), "{status:?}");
        let mut request = Request::new(on_queue("q"));
        request.metadata_mut().insert("grpc-timeout", "1S".parse().unwrap());
        let sent = running.client.send::<_, ()>(SERVICE, method, request, false).await;
        let status = sent.unwrap_err();
        assert_eq!(status.message(), "context timeout is too short");
        // A node that stops answers polls empty, so that workers do not complain.
        let () = running.client.call(method, on_queue("q")).await.unwrap();
    }
    running.stop().await;
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    events.recv().await.expect("the node is there")
}
