//! Sagas through a whole node, which dies after every single entry of one, and at any moment of
//! many.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use base::{Entropy, Lsn, SeededEntropy};
use journal::testing::{Fault, Loss, SimDisk};
use node::{CrashPoint, Error, Handle, LastWords, Node, NodeOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
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

type History = Vec<HistoryEvent>;

/// What one life of the node came to.
enum Life {
    Finished(Vec<History>),
    Died,
}

fn with_route() -> NodeOptions {
    NodeOptions { routes: vec![support::route().into()], ..options() }
}

/// The producer: it does again what it does not know to be done.
async fn produce_orders(handle: &Handle, orders: &[String]) -> Result<(), Error> {
    if handle.log().topic("orders").is_none() {
        create_topic(handle, "orders", 1).await?;
    }
    let mut there = Vec::new();
    there.extend(read_topic(handle, "orders").await.into_iter().filter_map(|record| record.key));
    for order in orders.iter().filter(|order| !there.iter().any(|key| key == order.as_bytes())) {
        produce(handle, "orders", &[(order, "1"), (order, "2")]).await?.unwrap();
    }
    Ok(())
}

async fn finish(handle: &Handle, orders: &[String]) -> Result<Vec<History>, Error> {
    produce_orders(handle, orders).await?;
    // The routes start the workflows; the published records say that they were there.
    let mut changes = handle.log().topic_changes();
    while handle.log().topic("order-events").is_none() {
        tokio::select! {
            _ = changes.changed() => {}
            () = handle.stopped() => return Err(Error::Stopping),
        }
    }
    let mut published = 0;
    while published < orders.len() {
        published = read_topic(handle, "order-events").await.len();
        if tokio::time::timeout(Duration::from_millis(1), handle.stopped()).await.is_ok() {
            return Err(Error::Stopping);
        }
    }
    let mut histories = Vec::new();
    for order in orders {
        histories.push(history_at_close(handle, order).await?);
    }
    Ok(histories)
}

/// Runs a node with all its clients until the saga has ended or the node has died.
async fn live(
    disk: &SimDisk,
    orders: &[String],
    options: NodeOptions,
    effects: &mut BTreeSet<String>,
) -> Life {
    let Ok((handle, guard)) = Node::open_on(disk.clone(), options) else { return Life::Died };
    let (done, mut effects_done) = mpsc::channel(100);
    let mut workers = JoinSet::new();
    workers.spawn(workflow_worker(handle.clone(), saga));
    workers.spawn(activity_worker(handle.clone(), done));
    let outcome = finish(&handle, orders).await;
    if let Ok(histories) = &outcome {
        check(&handle, orders, histories).await;
    }
    guard.stop().await;
    workers.join_all().await;
    while let Some(effect) = effects_done.recv().await {
        effects.insert(effect);
    }
    match outcome {
        Ok(histories) => Life::Finished(histories),
        Err(Error::Stopping) => Life::Died,
        Err(error) => panic!("{error}"),
    }
}

async fn check(handle: &Handle, orders: &[String], histories: &[History]) {
    let published = read_topic(handle, "order-events").await;
    assert_eq!(published.len(), orders.len(), "each published exactly once");
    for (order, history) in orders.iter().zip(histories) {
        let of_order = |record: &&topics::Record| record.key.as_deref() == Some(order.as_bytes());
        let record = published.iter().find(of_order).expect("published under its key");
        assert_eq!(record.value, support::bytes(r#"{"signals":2}"#));
        check_history(history);
        let place = place_of_publication(history);
        assert_eq!(place["topic"], "order-events");
        assert_eq!(place["offset"], record.offset);
        let by_key = base::hash::partition_of_key(order.as_bytes(), 4);
        assert_eq!(place["partition"], by_key);
    }
}

fn check_history(history: &[HistoryEvent]) {
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
}

fn place_of_publication(history: &[HistoryEvent]) -> serde_json::Value {
    let result = history.iter().rev().find_map(|event| match event.attributes.as_ref()? {
        Attributes::ActivityTaskCompletedEventAttributes(a) => a.result.as_ref(),
        _ => None,
    });
    serde_json::from_slice(&result.unwrap().payloads[0].data).unwrap()
}

fn orders(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("o-{number}")).collect()
}

#[tokio::test]
async fn the_node_dies_after_every_entry_of_a_saga() {
    let orders = orders(1);
    for last_words in [LastWords::Released, LastWords::Withheld] {
        let mut after = Lsn(2);
        loop {
            let disk = SimDisk::new(after.0);
            let mut effects = BTreeSet::new();
            let crash_point = Some(CrashPoint { after, last_words });
            let options = NodeOptions { crash_point, ..with_route() };
            let first = live(&disk, &orders, options, &mut effects).await;
            if let Life::Finished(_) = first {
                break;
            }
            let loss = Loss::ALL[after.0 as usize % Loss::ALL.len()];
            let disk = disk.crash(loss, after.0);
            let life = live(&disk, &orders, with_route(), &mut effects);
            let Ok(Life::Finished(histories)) = tokio::time::timeout(PATIENCE, life).await else {
                panic!("the saga does not end after a crash at {after}, {last_words:?}")
            };
            // What was replayed is what was lived.
            let (handle, guard) = open(&disk.restart(), support::options());
            assert_eq!(history_at_close(&handle, "o-1").await.unwrap(), histories[0]);
            check(&handle, &orders, &histories).await;
            guard.stop().await;
            assert_eq!(effects.len(), 1);
            after = after.next();
        }
        assert!(after.0 > 10, "the saga has more entries than {after}");
    }
}

/// Of many sagas, and of a disk whose power goes at a call of its own choice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sagas_survive_a_power_cut_at_any_moment() {
    let orders = orders(8);
    for (seed, loss) in (0..12).zip(Loss::ALL.into_iter().cycle()) {
        let mut disk = SimDisk::new(seed);
        let mut effects = BTreeSet::new();
        let entropy = SeededEntropy::new(seed);
        for _ in 0..3 {
            let call = 20 + entropy.next_u64() % 150;
            disk.fail_at(call, Fault::Stop);
            let options = NodeOptions { on_failure: Arc::new(|_| {}), ..with_route() };
            live(&disk, &orders, options, &mut effects).await;
            disk = disk.crash(loss, seed);
        }
        let life =
            tokio::time::timeout(PATIENCE, live(&disk, &orders, with_route(), &mut effects)).await;
        assert!(matches!(life, Ok(Life::Finished(_))), "{seed} {loss:?}");
    }
}
