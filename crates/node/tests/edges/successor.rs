//! The first task of a run that follows another: by continue-as-new, at once or with a backoff,
//! and by the workflow's retry policy. The node dies after every entry of the chain; each run is
//! worked on once, not before its time, and signals that had not been seen move on.

use crate::asks::{self, ask, millis};
use crate::support::{self, QUEUE, activity, count, events, options};
use base::{Lsn, RunId, Timestamp};
use journal::testing::{Loss, SimDisk};
use node::{CrashPoint, Error, Handle, LastWords, Node, NodeOptions};
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::common::v1::RetryPolicy;
use temporalio_protos::temporal::api::enums::v1::EventType as T;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::task::JoinSet;
use workflows::{Ask, HistoryAsk, Reply, WorkflowTask};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the third run and the fourth wait for their first task.
const BACKOFF_MS: i32 = 4;

/// The chain: a run that is continued at once, one that is continued later, one that fails, and
/// one that ends.
const RUNS: usize = 4;

fn started(history: &[HistoryEvent]) -> &WorkflowExecutionStartedEventAttributes {
    match history[0].attributes.as_ref().unwrap() {
        Attributes::WorkflowExecutionStartedEventAttributes(started) => started,
        other => panic!("a history begins with {other:?}"),
    }
}

/// The how manieth run of the chain this is, as its input says.
fn number(history: &[HistoryEvent]) -> usize {
    let started = started(history);
    let input = started.input.as_ref().map_or(1, |input| input.payloads[0].data[0] - b'0');
    usize::from(input) + usize::from(started.attempt > 1)
}

/// What the workflow does: an activity first, so that each run has more than one task.
fn commands(history: &[HistoryEvent]) -> Vec<Do> {
    let done = |a: &Attributes| matches!(a, Attributes::ActivityTaskCompletedEventAttributes(_));
    if count(history, |a| matches!(a, Attributes::ActivityTaskScheduledEventAttributes(_))) == 0 {
        return vec![activity("a", "a", QUEUE, 1.into())];
    }
    if count(history, done) == 0 {
        return vec![];
    }
    let run = number(history);
    let next = |backoff| command::ContinueAsNewWorkflowExecutionCommandAttributes {
        input: support::payloads(vec![support::json((run + 1).into())]),
        backoff_start_interval: backoff,
        retry_policy: policy(),
        ..Default::default()
    };
    vec![match run {
        1 => Do::ContinueAsNewWorkflowExecutionCommandAttributes(next(None)),
        2 => Do::ContinueAsNewWorkflowExecutionCommandAttributes(next(millis(BACKOFF_MS))),
        3 => {
            let failure = Some(Failure { message: "boom".into(), ..Default::default() });
            let fail = command::FailWorkflowExecutionCommandAttributes { failure };
            Do::FailWorkflowExecutionCommandAttributes(fail)
        }
        _ => {
            let complete = command::CompleteWorkflowExecutionCommandAttributes { result: None };
            Do::CompleteWorkflowExecutionCommandAttributes(complete)
        }
    }]
}

fn policy() -> Option<RetryPolicy> {
    Some(RetryPolicy {
        initial_interval: millis(BACKOFF_MS),
        maximum_attempts: 2,
        ..Default::default()
    })
}

async fn history_of(handle: &Handle, run_id: Option<RunId>) -> Result<Vec<HistoryEvent>, Error> {
    let ask = HistoryAsk {
        namespace: "default".into(),
        workflow_id: "w".into(),
        run_id,
        wait_for_event: None,
        wait_for_close: false,
        include_transient: false,
    };
    match asks::ask(handle, Ask::GetWorkflowExecutionHistory(Box::new(ask))).await? {
        Reply::GetWorkflowExecutionHistory(slice) => events(handle, &slice).await,
        other => panic!("{other:?}"),
    }
}

/// A worker that polls one queue and asks for its next tasks on the sticky one, if there is one.
async fn worker(handle: Handle, poll: Ask, sticky: Option<&'static str>) {
    while let Ok(reply) = ask(&handle, poll.clone()).await {
        let Reply::WorkflowTask(task) = reply else { continue };
        if work(&handle, &task, sticky).await == Err(Error::Stopping) {
            return;
        }
    }
}

async fn work(handle: &Handle, task: &WorkflowTask, sticky: Option<&str>) -> Result<(), Error> {
    let run_id = &task.response.workflow_execution.as_ref().unwrap().run_id;
    let run = RunId(run_id.parse().unwrap());
    let history = history_of(handle, Some(run)).await?;
    let commands = commands(&history);
    if matches!(commands.as_slice(), [Do::ContinueAsNewWorkflowExecutionCommandAttributes(_)]) {
        // Two that this run will not see any more. Whoever sends them again does it by their id.
        for signal in ["x", "y"] {
            let request_id = format!("{signal}{}", number(&history));
            ask(handle, asks::signal("w", &request_id)).await?;
        }
    }
    ask(handle, asks::complete(task, commands, sticky)).await.map(drop)
}

/// Waits for the end of the chain. Gives the histories of all runs.
async fn chain(handle: &Handle) -> Result<Vec<Vec<HistoryEvent>>, Error> {
    let mut request = asks::start_request("w", "start");
    request.retry_policy = policy();
    ask(handle, Ask::StartWorkflowExecution(Box::new(request))).await?;
    let (mut histories, mut next) = (Vec::new(), None);
    let first = started(&history_of(handle, None).await?).first_execution_run_id.clone();
    let mut run = RunId(first.parse().unwrap());
    while histories.len() < RUNS {
        let wait = HistoryAsk {
            namespace: "default".into(),
            workflow_id: "w".into(),
            run_id: Some(run),
            wait_for_event: Some(1),
            wait_for_close: true,
            include_transient: false,
        };
        ask(handle, Ask::GetWorkflowExecutionHistory(Box::new(wait))).await?;
        let history = history_of(handle, Some(run)).await?;
        next.clone_from(&successor(&history));
        histories.push(history);
        match next.as_ref() {
            Some(id) => run = RunId(id.parse().unwrap()),
            None => break,
        }
    }
    Ok(histories)
}

fn successor(history: &[HistoryEvent]) -> Option<String> {
    let id = match history.last()?.attributes.as_ref()? {
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => &a.new_execution_run_id,
        Attributes::WorkflowExecutionFailedEventAttributes(a) => &a.new_execution_run_id,
        _ => return None,
    };
    (!id.is_empty()).then(|| id.clone())
}

fn time(event: &HistoryEvent) -> Timestamp {
    let time = event.event_time.as_ref().unwrap();
    Timestamp::from_seconds_and_nanos(time.seconds, time.nanos)
}

fn check(histories: &[Vec<HistoryEvent>], context: &str) {
    assert_eq!(histories.len(), RUNS, "{context}");
    for (history, run) in histories.iter().zip(1..) {
        let kinds: Vec<T> = history.iter().map(HistoryEvent::event_type).collect();
        assert_eq!(number(history), run, "{context}");
        let signals: Vec<&str> = history.iter().filter_map(signal).collect();
        let moved: &[&str] = [&[][..], &["x1", "y1"], &["x2", "y2"], &[]][run - 1];
        assert_eq!(signals, moved, "{context}: run {run}: {kinds:?}");
        // The first task is there once, behind what moved here, and none is lost.
        let first = 1 + signals.len();
        let tasks = [T::WorkflowTaskScheduled, T::WorkflowTaskStarted, T::WorkflowTaskCompleted];
        assert_eq!(kinds[first..first + 3], tasks, "{context}: run {run}: {kinds:?}");
        let lost = [T::WorkflowTaskTimedOut, T::WorkflowTaskFailed, T::ActivityTaskTimedOut];
        assert!(!kinds.iter().any(|kind| lost.contains(kind)), "{context}: {kinds:?}");
        let backoff =
            if run > 2 { Duration::from_millis(BACKOFF_MS as u64) } else { Duration::ZERO };
        let waited = time(&history[first]).since(time(&history[0]));
        assert!(waited >= backoff, "{context}: run {run} begins after {waited:?}");
    }
}

fn signal(event: &HistoryEvent) -> Option<&str> {
    match event.attributes.as_ref()? {
        Attributes::WorkflowExecutionSignaledEventAttributes(a) => Some(&a.request_id),
        _ => None,
    }
}

/// One life of the node; nothing if it died.
async fn live(
    disk: &SimDisk,
    options: NodeOptions,
    sticky: Option<&'static str>,
) -> Option<Vec<Vec<HistoryEvent>>> {
    let (handle, guard) = Node::open_on(disk.clone(), options).ok()?;
    let mut workers = JoinSet::new();
    workers.spawn(worker(handle.clone(), asks::poll_on(QUEUE), sticky));
    if let Some(name) = sticky {
        workers.spawn(worker(handle.clone(), asks::poll_on(name), sticky));
    }
    let (done, mut effects) = tokio::sync::mpsc::channel(100);
    workers.spawn(support::activity_worker(handle.clone(), done));
    let histories = chain(&handle).await;
    guard.stop().await;
    workers.join_all().await;
    while effects.recv().await.is_some() {}
    match histories {
        Ok(histories) => Some(histories),
        Err(Error::Stopping) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn die_after_every_entry(sticky: Option<&'static str>) {
    for last_words in [LastWords::Released, LastWords::Withheld] {
        let mut after = Lsn(2);
        loop {
            let context = format!("{sticky:?} after {after}, {last_words:?}");
            let disk = SimDisk::new(after.0);
            let crash_point = Some(CrashPoint { after, last_words });
            let first = live(&disk, NodeOptions { crash_point, ..options() }, sticky).await;
            if let Some(histories) = first {
                check(&histories, &context);
                break;
            }
            let disk = disk.crash(Loss::ALL[after.0 as usize % Loss::ALL.len()], after.0);
            let second = tokio::time::timeout(PATIENCE, live(&disk, options(), sticky)).await;
            let Ok(Some(histories)) = second else { panic!("{context}: the chain does not end") };
            check(&histories, &context);
            after = after.next();
        }
        assert!(after.0 > 20, "the chain has more entries than {after}");
    }
}

#[tokio::test]
async fn the_first_task_of_a_successor_is_never_lost() {
    die_after_every_entry(None).await;
}

#[tokio::test]
async fn nor_is_it_behind_a_sticky_worker() {
    die_after_every_entry(Some("sticky")).await;
}
