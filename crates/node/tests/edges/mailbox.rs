//! An execution at one of its limits while its route keeps flowing: other lanes go on, its own
//! records are parked (so many and no more), the route's position holds, and nothing is lost or
//! changes places when the mailbox drains, whatever the node lives through meanwhile.

use crate::asks::{self, ask, poll_on};
use crate::support::{self, QUEUE, count, create_topic, events, options};
use base::RunId;
use journal::testing::{Loss, SimDisk};
use node::{Error, Handle, Node, NodeGuard, NodeOptions};
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::time::Instant;
use topics::BatchBuilder;
use topics::ask::{
    OffsetFetch, OffsetFetchGroup, Origin, PartitionAppend, Produce, ProducerIdAndEpoch,
};
use workflows::{Ask, HistoryAsk, Refusal, Reply};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Signals that one run takes.
const SIGNALS: usize = 5;
/// Signals that wait for one started workflow task.
const BUFFERED: usize = 3;

fn open(disk: &SimDisk, parked_count: usize) -> (Handle, NodeGuard) {
    let options = NodeOptions {
        routes: vec![support::route().into()],
        workflows: workflows::Limits {
            signals_per_run_count: SIGNALS as u64,
            buffered_events_count: BUFFERED,
            ..Default::default()
        },
        pumps: bridge::pump::Limits {
            parked_count,
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(4),
            ..Default::default()
        },
        ..options()
    };
    Node::open_on(disk.clone(), options).unwrap()
}

/// One record for each key, numbered from `first`.
async fn produce(handle: &Handle, partition: i32, first: usize, keys: &[&str]) {
    let mut batch = BatchBuilder::new();
    for (key, number) in keys.iter().zip(first..) {
        batch.push(1_000, Some(key.as_bytes()), Some(number.to_string().as_bytes()), &[]);
    }
    let (header, batch) = batch.build().unwrap();
    let append = PartitionAppend { topic: "orders".into(), partition, header, batch };
    let produce = Produce { partitions: vec![append], origin: Origin::Client };
    handle.topics(topics::Ask::Produce(produce)).await.unwrap();
}

/// The route's position in partition 0.
async fn position(handle: &Handle) -> i64 {
    let group = "mainstay-route-orders".to_owned();
    let topics = Some(vec![("orders".to_owned(), vec![0])]);
    let fetch = OffsetFetch { groups: vec![OffsetFetchGroup { group, topics }] };
    match handle.topics(topics::Ask::OffsetFetch(fetch)).await.unwrap() {
        topics::Reply::OffsetFetch(reply) => reply.groups[0].topics[0].1[0].offset,
        other => panic!("{other:?}"),
    }
}

async fn history(handle: &Handle, id: &str, run: Option<RunId>) -> Option<Vec<HistoryEvent>> {
    let ask = HistoryAsk {
        namespace: "default".into(),
        workflow_id: id.into(),
        run_id: run,
        wait_for_event: None,
        wait_for_close: false,
        include_transient: false,
    };
    match asks::ask(handle, Ask::GetWorkflowExecutionHistory(Box::new(ask))).await {
        Ok(Reply::GetWorkflowExecutionHistory(slice)) => {
            Some(events(handle, &slice).await.unwrap())
        }
        Err(Error::Workflows(Refusal::NotFound(_))) => None,
        other => panic!("{other:?}"),
    }
}

/// The numbers of the records that the current run has got.
async fn got(handle: &Handle, id: &str) -> Vec<usize> {
    history(handle, id, None).await.map_or(vec![], |history| numbers(&history))
}

fn numbers(history: &[HistoryEvent]) -> Vec<usize> {
    let number = |event: &HistoryEvent| match event.attributes.as_ref()? {
        Attributes::WorkflowExecutionSignaledEventAttributes(a) => {
            let data = &a.input.as_ref()?.payloads[0].data;
            std::str::from_utf8(data).ok()?.parse().ok()
        }
        _ => None,
    };
    history.iter().filter_map(number).collect()
}

async fn wait_until_got(handle: &Handle, id: &str, numbers: &[usize]) {
    let deadline = Instant::now() + PATIENCE;
    while got(handle, id).await != numbers {
        assert!(Instant::now() < deadline, "{id} never gets {numbers:?}");
        tokio::task::yield_now().await;
    }
}

async fn wait_for_position(handle: &Handle, offset: i64) {
    let deadline = Instant::now() + PATIENCE;
    while position(handle).await != offset {
        assert!(Instant::now() < deadline, "the route never gets to {offset}");
        tokio::task::yield_now().await;
    }
}

/// Runs that have been closed, and what they had got.
#[derive(Default)]
struct Drained(Vec<usize>);

/// How a full mailbox is emptied.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Drain {
    ContinueAsNew,
    Terminate,
}

impl Drained {
    /// Ends the run that is full; the next one takes what is parked.
    async fn drain(&mut self, handle: &Handle, how: Drain) {
        let full = history(handle, "full", None).await.unwrap();
        let run_id = match ask(handle, asks::describe("full")).await.unwrap() {
            Reply::DescribeWorkflowExecution(reply) => {
                reply.workflow_execution_info.unwrap().execution.unwrap().run_id
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers(&full).len(), SIGNALS, "{how:?}");
        match how {
            Drain::Terminate => {
                ask(handle, asks::terminate("full")).await.unwrap();
            }
            Drain::ContinueAsNew => {
                let again = command::ContinueAsNewWorkflowExecutionCommandAttributes::default();
                let again = vec![Do::ContinueAsNewWorkflowExecutionCommandAttributes(again)];
                loop {
                    let task = asks::workflow_task(handle, poll_on(QUEUE)).await;
                    let of = &task.response.workflow_execution.as_ref().unwrap().run_id;
                    let full = *of == run_id;
                    let commands = if full { again.clone() } else { vec![] };
                    ask(handle, asks::complete(&task, commands, None)).await.unwrap();
                    if full {
                        break;
                    }
                }
            }
        }
        let run = RunId(run_id.parse().unwrap());
        self.0.extend(numbers(&history(handle, "full", Some(run)).await.unwrap()));
    }
}

/// The node dies and comes back.
async fn restart(
    disk: &SimDisk,
    guard: NodeGuard,
    loss: Loss,
    parked_count: usize,
) -> (SimDisk, Handle, NodeGuard) {
    let disk = disk.crash(loss, 7);
    guard.stop().await;
    let (handle, guard) = open(&disk, parked_count);
    (disk, handle, guard)
}

#[tokio::test]
async fn other_lanes_go_on_while_a_mailbox_is_full() {
    for drain in [Drain::ContinueAsNew, Drain::Terminate] {
        let disk = SimDisk::new(1);
        let (handle, guard) = open(&disk, 100);
        create_topic(&handle, "orders", 1).await.unwrap();
        // Record 4n+0 is for the full one.
        let keys: Vec<&str> = (0..48)
            .map(|number| match number % 4 {
                0 => "full",
                1 => ["a", "b", "c", "d", "e"][number / 10],
                2 => ["f", "g", "h", "i", "j"][number / 10],
                _ => ["k", "l", "m", "n", "o"][number / 10],
            })
            .collect();
        let of =
            |key: &str| -> Vec<usize> { (0..48).filter(|number| keys[*number] == key).collect() };
        produce(&handle, 0, 0, &keys).await;
        let (mut disk, mut handle, mut guard) = (disk, handle, guard);
        for loss in [None, Some(Loss::Everything), Some(Loss::Sectors)] {
            if let Some(loss) = loss {
                (disk, handle, guard) = restart(&disk, guard, loss, 100).await;
            }
            for key in keys.iter().filter(|key| **key != "full") {
                wait_until_got(&handle, key, &of(key)).await;
            }
            wait_until_got(&handle, "full", &of("full")[..SIGNALS]).await;
            wait_for_position(&handle, of("full")[SIGNALS] as i64).await;
        }
        let mut drained = Drained::default();
        for (round, loss) in [Loss::Everything, Loss::Writes].into_iter().enumerate() {
            drained.drain(&handle, drain).await;
            // The next ones come at once, in order; the rest still waits.
            let from = SIGNALS * (round + 1);
            let next = &of("full")[from..(from + SIGNALS).min(12)];
            wait_until_got(&handle, "full", next).await;
            (disk, handle, guard) = restart(&disk, guard, loss, 100).await;
            wait_until_got(&handle, "full", next).await;
        }
        wait_for_position(&handle, 48).await;
        drained.0.extend(got(&handle, "full").await);
        assert_eq!(drained.0, of("full"), "{drain:?}: each once and in order");
        for key in keys.iter().filter(|key| **key != "full") {
            assert_eq!(got(&handle, key).await, of(key), "{drain:?}");
        }
        guard.stop().await;
    }
}

#[tokio::test]
async fn so_many_are_parked_and_no_more() {
    const PARKED: usize = 4;
    let disk = SimDisk::new(2);
    let (handle, guard) = open(&disk, PARKED);
    create_topic(&handle, "orders", 2).await.unwrap();
    let keys = [&["full"; 12][..], &["late"]].concat();
    produce(&handle, 0, 0, &keys).await;
    wait_until_got(&handle, "full", &[0, 1, 2, 3, 4]).await;
    let (mut disk, mut handle, mut guard) = (disk, handle, guard);
    for number in 0..3 {
        // The other partition knows nothing of this.
        let other = ["x", "y", "z"][number];
        produce(&handle, 1, number, &[other]).await;
        wait_until_got(&handle, other, &[number]).await;
        assert!(got(&handle, "late").await.is_empty(), "the partition waits");
        assert_eq!(position(&handle).await, SIGNALS as i64);
        (disk, handle, guard) = restart(&disk, guard, Loss::Everything, PARKED).await;
    }
    let mut drained = Drained::default();
    drained.drain(&handle, Drain::Terminate).await;
    wait_until_got(&handle, "full", &[5, 6, 7, 8, 9]).await;
    // Two are left of it: there is room for what comes behind.
    wait_until_got(&handle, "late", &[12]).await;
    wait_for_position(&handle, 10).await;
    drained.drain(&handle, Drain::Terminate).await;
    wait_until_got(&handle, "full", &[10, 11]).await;
    wait_for_position(&handle, 13).await;
    guard.stop().await;
}

/// The other limit: what waits for a started workflow task.
#[tokio::test]
async fn a_slow_worker_makes_its_lane_wait() {
    for restarted in [false, true] {
        let disk = SimDisk::new(3);
        let (handle, guard) = open(&disk, 100);
        create_topic(&handle, "orders", 1).await.unwrap();
        produce(&handle, 0, 0, &["full"]).await;
        let slow = asks::workflow_task(&handle, poll_on(QUEUE)).await;
        produce(&handle, 0, 1, &["full", "full", "full", "full", "other"]).await;
        wait_until_got(&handle, "other", &[5]).await;
        wait_for_position(&handle, 4).await;
        let (_disk, handle, guard) = match restarted {
            true => restart(&disk, guard, Loss::Everything, 100).await,
            false => (disk, handle, guard),
        };
        wait_for_position(&handle, 4).await;
        assert_eq!(got(&handle, "full").await, [0], "the others are buffered or parked");
        ask(&handle, asks::complete(&slow, vec![], None)).await.unwrap();
        wait_until_got(&handle, "full", &[0, 1, 2, 3, 4]).await;
        wait_for_position(&handle, 6).await;
        guard.stop().await;
    }
}

/// By a producer that asks again, before a crash and after it.
#[tokio::test]
async fn a_record_sent_twice_is_one_signal() {
    let disk = SimDisk::new(4);
    let (handle, guard) = open(&disk, 100);
    create_topic(&handle, "orders", 1).await.unwrap();
    let current = ProducerIdAndEpoch { id: -1, epoch: -1 };
    let init = topics::ask::InitProducerId { transactional_id: None, current };
    let producer = match handle.topics(topics::Ask::InitProducerId(init)).await.unwrap() {
        topics::Reply::InitProducerId(producer) => producer,
        other => panic!("{other:?}"),
    };
    let mut batch = BatchBuilder::new();
    batch.push(1_000, Some(b"w"), Some(b"7"), &[]);
    let (mut header, batch) = batch.build().unwrap();
    (header.producer_id, header.producer_epoch, header.base_sequence) =
        (producer.id, producer.epoch, 0);
    let append = PartitionAppend { topic: "orders".into(), partition: 0, header, batch };
    let send = || {
        let partitions = vec![append.clone()];
        topics::Ask::Produce(Produce { partitions, origin: Origin::Client })
    };
    handle.topics(send()).await.unwrap();
    handle.topics(send()).await.unwrap();
    wait_until_got(&handle, "w", &[7]).await;
    let (_disk, handle, guard) = restart(&disk, guard, Loss::Everything, 100).await;
    handle.topics(send()).await.unwrap();
    produce(&handle, 0, 8, &["w"]).await;
    wait_until_got(&handle, "w", &[7, 8]).await;
    let history = history(&handle, "w", None).await.unwrap();
    let signals =
        count(&history, |a| matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(_)));
    assert_eq!(signals, 2);
    guard.stop().await;
}
