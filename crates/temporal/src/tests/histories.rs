//! GetWorkflowExecutionHistory, page by page.

use super::fake::{Answer, Event, Fake, Running, SERVICE, history, ids};
use crate::options::Options;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Request, Status};
use workflows::{Ask, HistorySlice, Reply, WorkflowTask};

type HistoryRequest = GetWorkflowExecutionHistoryRequest;
type HistoryResponse = GetWorkflowExecutionHistoryResponse;

fn request() -> HistoryRequest {
    let execution = WorkflowExecution { workflow_id: "w".into(), ..Default::default() };
    HistoryRequest { namespace: "default".into(), execution: Some(execution), ..Default::default() }
}

async fn get(running: &Running, request: HistoryRequest) -> Result<HistoryResponse, Status> {
    running.client.call("GetWorkflowExecutionHistory", request).await
}

/// A node with one history, which the test may change.
fn with_history(fake: Fake, slice: HistorySlice) -> (Fake, Arc<Mutex<HistorySlice>>) {
    let shared = Arc::new(Mutex::new(slice));
    let slice = Arc::clone(&shared);
    let fake = fake.with(move |ask| {
        let Ask::GetWorkflowExecutionHistory(ask) = ask else { return Answer::Never };
        let mut now = slice.lock().unwrap().clone();
        let has_it = ask.wait_for_event.is_none_or(|id| id < now.next_event_id);
        if !(now.closed || has_it && !ask.wait_for_close) {
            return Answer::Never;
        }
        if !ask.include_transient {
            now.transient.clear();
        }
        Answer::Reply(Reply::GetWorkflowExecutionHistory(Box::new(now)))
    });
    (fake, shared)
}

#[tokio::test]
async fn pages_make_up_the_history_as_it_was_at_the_first() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let slice = fake.slice(&[3, 300, 2, 250, 1], 10);
    let longer = fake.slice(&[3, 300, 2, 250, 1, 5], 10);
    let (fake, shared) = with_history(fake, slice);
    let running = Running::start(fake, Options::default()).await;
    let mut all = Vec::new();
    let mut pages = Vec::new();
    let mut next = request();
    loop {
        let page = get(&running, next.clone()).await.unwrap();
        pages.push(ids(page.history.as_ref()).len());
        all.extend(ids(page.history.as_ref()));
        // Events that come while a client pages belong to its next look.
        *shared.lock().unwrap() = longer.clone();
        if page.next_page_token.is_empty() {
            break;
        }
        next.next_page_token = page.next_page_token;
    }
    assert_eq!(all, (1..557).collect::<Vec<_>>());
    assert_eq!(pages, [3, 256, 46, 251]);
    let small = HistoryRequest { maximum_page_size: 2, ..request() };
    assert_eq!(ids(get(&running, small).await.unwrap().history.as_ref()), [1, 2]);
    running.stop().await;
}

#[tokio::test]
async fn workers_see_the_transient_task_and_people_do_not() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let mut slice = fake.slice(&[3, 2], 10);
    slice.transient = history(6..8, 10);
    let (fake, _) = with_history(fake, slice);
    let running = Running::start(fake, Options::default()).await;
    for (client, want) in [("temporal-rust", 7), ("temporal-cli", 5), ("temporal-ui", 5)] {
        let mut asked = Request::new(request());
        asked.metadata_mut().insert("client-name", client.parse().unwrap());
        let method = "GetWorkflowExecutionHistory";
        let page = running.client.send::<_, HistoryResponse>(SERVICE, method, asked, true).await;
        let page = page.unwrap().into_inner();
        assert_eq!(ids(page.history.as_ref()), (1..=want).collect::<Vec<_>>(), "{client}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_waiting_client_gets_what_is_new_until_the_run_closes() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let first = fake.slice(&[3], 10);
    let mut last = fake.slice(&[3, 2], 10);
    last.closed = true;
    let (fake, shared) = with_history(fake, first);
    // The deadline of one wait is the client's; it is over at once.
    let running = Running::start(fake, Options::default()).await;
    let wait = HistoryRequest { wait_new_event: true, ..request() };
    let page = get(&running, wait.clone()).await.unwrap();
    assert_eq!(ids(page.history.as_ref()), [1, 2, 3]);
    let again = HistoryRequest { next_page_token: page.next_page_token, ..wait };
    let mut impatient = Request::new(again.clone());
    impatient.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let method = "GetWorkflowExecutionHistory";
    let page: HistoryResponse =
        running.client.send(SERVICE, method, impatient, false).await.unwrap().into_inner();
    assert_eq!(ids(page.history.as_ref()), Vec::<i64>::new());
    assert!(!page.next_page_token.is_empty(), "the client is to ask again");
    *shared.lock().unwrap() = last;
    let again = HistoryRequest { next_page_token: page.next_page_token, ..again };
    let page = get(&running, again).await.unwrap();
    assert_eq!(ids(page.history.as_ref()), [4, 5]);
    assert!(page.next_page_token.is_empty(), "the run is closed");
    running.stop().await;
    let mut waited_for = Vec::new();
    while let Some(event) = events.recv().await {
        if let Event::Asked(Ask::GetWorkflowExecutionHistory(ask)) = event {
            waited_for.push(ask.wait_for_event);
        }
    }
    assert_eq!(waited_for, [None, Some(4), Some(4)]);
}

#[tokio::test]
async fn the_close_event_comes_alone_and_only_when_it_is_there() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let open = fake.slice(&[3, 2], 10);
    let mut closed = open.clone();
    closed.closed = true;
    let run_id = open.run_id.to_string();
    let (fake, shared) = with_history(fake, open);
    let options = Options { history_poll_max: Duration::from_millis(20), ..Options::default() };
    let running = Running::start(fake, options).await;
    let close = HistoryRequest {
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..request()
    };
    let page = get(&running, close.clone()).await.unwrap();
    assert_eq!((ids(page.history.as_ref()).len(), page.next_page_token.len()), (0, 0));
    for named in ["", run_id.as_str()] {
        let mut wait = HistoryRequest { wait_new_event: true, ..close.clone() };
        wait.execution.as_mut().unwrap().run_id = named.into();
        let page = get(&running, wait.clone()).await.unwrap();
        assert!(ids(page.history.as_ref()).is_empty() && !page.next_page_token.is_empty());
        wait.next_page_token = page.next_page_token;
        let open = std::mem::replace(&mut *shared.lock().unwrap(), closed.clone());
        let page = get(&running, wait).await.unwrap();
        assert_eq!(ids(page.history.as_ref()), [5]);
        assert!(page.next_page_token.is_empty());
        *shared.lock().unwrap() = open;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_tasks_pages_end_where_it_started_and_carry_what_is_not_in_history() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let longer = fake.slice(&[200, 200, 5], 10);
    let mut slice = fake.slice(&[200, 200], 10);
    slice.transient = history(401..403, 10);
    let execution = WorkflowExecution { workflow_id: "w".into(), run_id: slice.run_id.to_string() };
    let response = PollWorkflowTaskQueueResponse {
        workflow_execution: Some(execution.clone()),
        ..Default::default()
    };
    let task = WorkflowTask { response, history: slice, token: None };
    let fake = fake.with(move |ask| match ask {
        Ask::GetWorkflowExecutionHistory(_) => {
            Answer::Reply(Reply::GetWorkflowExecutionHistory(Box::new(longer.clone())))
        }
        _ => Answer::Reply(Reply::WorkflowTask(Box::new(task.clone()))),
    });
    let running = Running::start(fake, Options::default()).await;
    let poll = PollWorkflowTaskQueueRequest { namespace: "default".into(), ..Default::default() };
    let task: PollWorkflowTaskQueueResponse =
        running.client.call("PollWorkflowTaskQueue", poll).await.unwrap();
    assert_eq!(ids(task.history.as_ref()), (1..201).collect::<Vec<_>>());
    let rest = HistoryRequest {
        execution: Some(execution),
        next_page_token: task.next_page_token,
        ..request()
    };
    let page = get(&running, rest).await.unwrap();
    assert_eq!(ids(page.history.as_ref()), (201..403).collect::<Vec<_>>());
    assert!(page.next_page_token.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn tokens_and_run_ids_are_checked() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let slice = fake.slice(&[300, 300], 10);
    let (fake, _) = with_history(fake, slice);
    let running = Running::start(fake, Options::default()).await;
    let token = get(&running, request()).await.unwrap().next_page_token;
    let of_run =
        |run_id: &str| Some(WorkflowExecution { workflow_id: "w".into(), run_id: run_id.into() });
    let mut damaged = token.clone();
    damaged[5] ^= 1;
    for (bad, want) in [
        (HistoryRequest { next_page_token: damaged, ..request() }, "Invalid NextPageToken."),
        (
            HistoryRequest {
                next_page_token: token.clone(),
                namespace: "other".into(),
                ..request()
            },
            "Invalid NextPageToken.",
        ),
        (
            HistoryRequest {
                next_page_token: token,
                execution: of_run("00000000-0000-0000-0000-000000000001"),
                ..request()
            },
            "RunId in the request does not match the NextPageToken.",
        ),
        (HistoryRequest { execution: of_run("no uuid"), ..request() }, "Invalid RunId."),
    ] {
        let status = get(&running, bad).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, want));
    }
    running.stop().await;
}
