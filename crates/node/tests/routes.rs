//! Routed records and their workflows: a record's position and what it causes are one entry.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use base::Lsn;
use bridge::Route;
use bridge::route::Spec;
use journal::testing::{Loss, SimDisk};
use node::{CrashPoint, Error, Handle, LastWords, NodeOptions};
use std::time::Duration;
use support::{
    QUEUE, complete, create_topic, events, history_at_close, open, options, poll, produce,
    read_topic, workflow_worker,
};
use temporalio_protos::temporal::api::command::v1::CompleteWorkflowExecutionCommandAttributes;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::task::JoinSet;
use workflows::{Ask, HistoryAsk, Reply};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// The route's position in its topic, as its group shows it.
async fn position(handle: &Handle, route: &str) -> Result<Option<i64>, Error> {
    let group = format!("mainstay-route-{route}");
    let topics = Some(vec![(route.to_owned(), vec![0])]);
    let fetch = topics::ask::OffsetFetchGroup { group, topics };
    let fetch = topics::ask::OffsetFetch { groups: vec![fetch] };
    match handle.topics(topics::Ask::OffsetFetch(fetch)).await? {
        topics::Reply::OffsetFetch(reply) => {
            let offset = reply.groups[0].topics[0].1[0].offset;
            Ok((offset >= 0).then_some(offset))
        }
        other => panic!("{other:?}"),
    }
}

async fn wait_for_position(handle: &Handle, route: &str, offset: i64) -> Result<(), Error> {
    let reached = async {
        while position(handle, route).await? < Some(offset) {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.unwrap_or_else(|_| panic!("{route} does not get to {offset}"))
}

/// What the signals of a workflow carry, in the order of its history.
async fn signals(handle: &Handle, workflow_id: &str) -> Vec<String> {
    let ask = HistoryAsk {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        run_id: None,
        wait_for_event: None,
        wait_for_close: false,
        include_transient: false,
    };
    let ask = Ask::GetWorkflowExecutionHistory(Box::new(ask));
    let slice = match handle.workflows(ask).await.map(node::Delivered::take) {
        Ok(Reply::GetWorkflowExecutionHistory(slice)) => slice,
        Ok(other) => panic!("{other:?}"),
        Err(_) => return Vec::new(),
    };
    let events = events(handle, &slice).await.unwrap();
    let input = |event: &HistoryEvent| match event.attributes.as_ref()? {
        Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => {
            let payloads = &signaled.input.as_ref()?.payloads;
            Some(String::from_utf8_lossy(&payloads.first()?.data).into_owned())
        }
        _ => None,
    };
    events.iter().filter_map(input).collect()
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
        wait_for_position(&handle, name, 1).await.unwrap();
        let first = history_at_close(&handle, name).await.unwrap();
        produce(&handle, name, &[(name, "2")]).await.unwrap().unwrap();
        wait_for_position(&handle, name, 2).await.unwrap();
        let second = history_at_close(&handle, name).await.unwrap();
        assert_eq!(first != second, name == "start", "only \"start\" starts again");
        let dead = read_topic(&handle, &format!("{name}.dead-letter")).await;
        let wanted = usize::from(name == "dead-letter");
        assert_eq!(dead.len(), wanted, "what is not delivered is a dead letter, if asked for");
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
    wait_for_position(&handle, "t", 2).await.unwrap();
    let topics = topics::ask::TopicSelection::Names(vec!["t".into()]);
    let delete = topics::ask::DeleteTopics { topics };
    handle.topics(topics::Ask::DeleteTopics(delete)).await.unwrap();
    assert_eq!(position(&handle, "t").await, Ok(None));
    create_topic(&handle, "t", 1).await.unwrap();
    produce(&handle, "t", &[("w", "3")]).await.unwrap().unwrap();
    wait_for_position(&handle, "t", 1).await.unwrap();
    assert_eq!(signals(&handle, "w").await.len(), 3, "one signal a record");
    guard.stop().await;
}

/// One life of a node with one route and one producer, which sends what it does not know to be
/// there. Says whether everything was done before the node died.
async fn live(handle: &Handle) -> Result<(), Error> {
    if handle.log().topic("t").is_none() {
        create_topic(handle, "t", 1).await?;
    }
    if read_topic(handle, "t").await.is_empty() {
        produce(handle, "t", &[("w", "1"), ("w", "2")]).await?.unwrap();
    }
    wait_for_position(handle, "t", 2).await
}

#[tokio::test]
async fn a_record_that_is_done_has_had_its_effect_whenever_the_node_dies() {
    for last_words in [LastWords::Released, LastWords::Withheld] {
        let mut after = Lsn(2);
        loop {
            let disk = SimDisk::new(after.0);
            let routes = || vec![route("t", "start").into()];
            let crash_point = Some(CrashPoint { after, last_words });
            let dies = NodeOptions { crash_point, routes: routes(), ..options() };
            let (handle, guard) = open(&disk, dies);
            let finished = live(&handle).await.is_ok();
            guard.stop().await;
            if finished {
                break;
            }
            let disk = disk.crash(Loss::Everything, 0);
            let (handle, guard) = open(&disk, NodeOptions { routes: routes(), ..options() });
            live(&handle).await.unwrap();
            let signals = signals(&handle, "w").await;
            let once = "each record is delivered once and none is lost, after a crash at";
            assert_eq!(signals, ["1", "2"], "{once} {after}, {last_words:?}");
            guard.stop().await;
            after = after.next();
        }
        assert!(after.0 >= 6, "a topic, a batch, a binding and two records: {after}");
    }
}

/// A worker holds its task while its workflow's buffer of signals is full.
#[tokio::test]
async fn a_full_mailbox_stops_its_own_lane_only_and_loses_nothing() {
    let disk = SimDisk::new(6);
    let workflows = workflows::Limits { buffered_events_count: 3, ..workflows::Limits::default() };
    let routes = vec![route("t", "start").into()];
    let (handle, guard) = open(&disk, NodeOptions { routes, workflows, ..options() });
    create_topic(&handle, "t", 1).await.unwrap();
    produce(&handle, "t", &[("full", "0")]).await.unwrap().unwrap();
    let task = poll(&handle).await;
    for value in 1..=8 {
        produce(&handle, "t", &[("full", &value.to_string())]).await.unwrap().unwrap();
    }
    produce(&handle, "t", &[("other", "1"), ("other", "2")]).await.unwrap().unwrap();
    let flows = async {
        while signals(&handle, "other").await != ["1", "2"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, flows).await.expect("others do not wait for a full mailbox");
    wait_for_position(&handle, "t", 4).await.unwrap();
    let held = position(&handle, "t").await;
    assert_eq!(held, Ok(Some(4)), "what a full mailbox refuses is not done");

    complete(&handle, &task).await.unwrap();
    let mut workers = JoinSet::new();
    workers.spawn(workflow_worker(handle.clone(), |_| Vec::new()));
    wait_for_position(&handle, "t", 11).await.unwrap();
    let wanted: Vec<String> = (0..=8).map(|value| value.to_string()).collect();
    // The last ones may be in the buffer until the worker's task ends.
    let on_record = async {
        while signals(&handle, "full").await.len() < wanted.len() {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, on_record).await;
    assert_eq!(signals(&handle, "full").await, wanted, "what a full mailbox refuses is not done");
    guard.stop().await;
    workers.join_all().await;
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("node/routes");
}
