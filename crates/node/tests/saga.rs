//! One saga through a whole node, which dies after every single entry of it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use base::Lsn;
use journal::testing::{Loss, SimDisk};
use node::{CrashPoint, Error, Handle, LastWords, NodeOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{
    activity_worker, count, create_topic, history_at_close, open, options, produce, read_topic,
    saga, workflow_worker,
};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one life of the node came to.
enum Life {
    Finished(Vec<HistoryEvent>),
    Died,
}

fn with_route(crash_point: Option<CrashPoint>) -> NodeOptions {
    NodeOptions { routes: vec![support::route().into()], crash_point, ..options() }
}

/// The producer: it does again what it does not know to be done.
async fn produce_orders(handle: &Handle) -> Result<(), Error> {
    if handle.log().topic("orders").is_none() {
        create_topic(handle, "orders", 1).await?;
    }
    if read_topic(handle, "orders").await.is_empty() {
        produce(handle, "orders", &[("o-1", "1"), ("o-1", "2")]).await?.unwrap();
    }
    Ok(())
}

async fn finish(handle: &Handle) -> Result<Vec<HistoryEvent>, Error> {
    produce_orders(handle).await?;
    // The route starts the workflow; the published record says that it is there.
    let mut changes = handle.log().topic_changes();
    while handle.log().topic("order-events").is_none() {
        tokio::select! {
            _ = changes.changed() => {}
            () = handle.stopped() => return Err(Error::Stopping),
        }
    }
    history_at_close(handle, "o-1").await
}

/// Runs a node with all its clients until the saga has ended or the node has died.
async fn live(
    disk: &SimDisk,
    crash_point: Option<CrashPoint>,
    effects: &mut BTreeSet<String>,
) -> Life {
    let (handle, guard) = open(disk, with_route(crash_point));
    let (done, mut effects_done) = mpsc::channel(100);
    let mut workers = JoinSet::new();
    workers.spawn(workflow_worker(handle.clone(), saga));
    workers.spawn(activity_worker(handle.clone(), done));
    let outcome = finish(&handle).await;
    if let Ok(history) = &outcome {
        check(&handle, history).await;
    }
    guard.stop().await;
    workers.join_all().await;
    while let Some(effect) = effects_done.recv().await {
        effects.insert(effect);
    }
    match outcome {
        Ok(history) => Life::Finished(history),
        Err(Error::Stopping) => Life::Died,
        Err(error) => panic!("{error}"),
    }
}

async fn check(handle: &Handle, history: &[HistoryEvent]) {
    let published = read_topic(handle, "order-events").await;
    assert_eq!(published.len(), 1, "published exactly once");
    assert_eq!(published[0].value, support::bytes(r#"{"signals":2}"#));
    let signals =
        count(history, |a| matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(_)));
    assert_eq!(signals, 2, "each record exactly once");
    let timeouts = count(history, |a| {
        matches!(
            a,
            Attributes::WorkflowTaskTimedOutEventAttributes(_)
                | Attributes::ActivityTaskTimedOutEventAttributes(_)
        )
    });
    assert_eq!(timeouts, 0, "no task was lost");
    let result = history.iter().rev().find_map(|event| match event.attributes.as_ref()? {
        Attributes::ActivityTaskCompletedEventAttributes(a) => a.result.as_ref(),
        _ => None,
    });
    let place: serde_json::Value =
        serde_json::from_slice(&result.unwrap().payloads[0].data).unwrap();
    assert_eq!(place["topic"], "order-events");
    assert_eq!(place["offset"], 0);
    let partition = place["partition"].as_i64().unwrap();
    let by_key = base::hash::partition_of_key(b"o-1", 4);
    assert_eq!(partition, i64::from(by_key));
}

#[tokio::test]
async fn the_node_dies_after_every_entry_of_a_saga() {
    for last_words in [LastWords::Released, LastWords::Withheld] {
        let mut after = Lsn(2);
        loop {
            let disk = SimDisk::new(after.0);
            let mut effects = BTreeSet::new();
            let crash_point = CrashPoint { after, last_words };
            let first = live(&disk, Some(crash_point), &mut effects).await;
            if let Life::Finished(_) = first {
                break;
            }
            let loss = Loss::ALL[after.0 as usize % Loss::ALL.len()];
            let disk = disk.crash(loss, after.0);
            let life = live(&disk, None, &mut effects);
            let Ok(Life::Finished(history)) = tokio::time::timeout(PATIENCE, life).await else {
                panic!("the saga does not end after a crash at {after}, {last_words:?}")
            };
            // What was replayed is what was lived.
            let (handle, guard) = open(&disk.restart(), options());
            assert_eq!(history_at_close(&handle, "o-1").await.unwrap(), history);
            check(&handle, &history).await;
            guard.stop().await;
            assert_eq!(effects.len(), 1);
            after = after.next();
        }
        assert!(after.0 > 10, "the saga has more entries than {after}");
    }
}
