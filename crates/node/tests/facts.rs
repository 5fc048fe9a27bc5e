//! The facts through a whole node: what is answered is on disk, can be read, and is there again
//! after a restart.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use base::{PartitionId, Timestamp};
use journal::testing::{Loss, SimDisk};
use node::{Error, ManualClock, Node, NodeOptions, OpenError};
use std::time::Duration;
use support::{create_topic, open, options, produce, read_topic};
use tokio::time::Instant;
use topics::ask::{OffsetFetch, OffsetFetchGroup};
use topics::{Ask, ErrorCode, Reply};

#[tokio::test]
async fn acknowledged_records_survive_a_power_cut() {
    let disk = SimDisk::new(1);
    let (handle, guard) = open(&disk, options());
    let cluster_id = handle.cluster_id();
    assert_eq!(handle.kafka_cluster_id().len(), 22);
    assert_eq!(handle.generation(), 0);
    assert!(matches!(
        produce(&handle, "t", &[("k", "v")]).await,
        Ok(Err(error)) if error.code == ErrorCode::UnknownTopicOrPartition
    ));
    create_topic(&handle, "t", 2).await.unwrap();
    let topic = handle.log().topic("t").expect("published before its creation was answered");
    let partition = PartitionId { topic: topic.id, index: 0 };
    for round in 0..10 {
        let place = produce(&handle, "t", &[("a", "1"), ("b", "2")]).await.unwrap().unwrap();
        assert_eq!((place.partition, place.base_offset), (partition, round * 2));
        let high_watermark = handle.log().high_watermark(partition);
        assert_eq!(high_watermark, Some(round * 2 + 2), "published before it was answered");
    }
    let disk = disk.crash(Loss::Everything, 7);
    guard.stop().await;
    assert_eq!(produce(&handle, "t", &[("a", "1")]).await.unwrap_err(), Error::Stopping);

    let (handle, guard) = open(&disk, options());
    assert_eq!(handle.cluster_id(), cluster_id);
    let records = read_topic(&handle, "t").await;
    assert_eq!(records.len(), 20);
    assert!(records.iter().map(|record| record.offset).eq(0..20));
    let place = produce(&handle, "t", &[("c", "3")]).await.unwrap().unwrap();
    assert_eq!(place.base_offset, 20, "an offset names one record for ever");
    guard.stop().await;
}

#[tokio::test]
async fn a_fetch_is_woken_by_a_produce() {
    let disk = SimDisk::new(2);
    let (handle, guard) = open(&disk, options());
    create_topic(&handle, "t", 1).await.unwrap();
    let topic = handle.log().topic("t").unwrap().id;
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move {
            let deadline = Instant::now() + Duration::from_secs(60);
            let positions = [(PartitionId { topic, index: 0 }, 0)];
            handle.log().wait_for_bytes(&positions, 1, deadline).await;
            read_topic(&handle, "t").await.len()
        }
    });
    tokio::task::yield_now().await;
    produce(&handle, "t", &[("a", "1")]).await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
    guard.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let disk = SimDisk::new(3);
    let (handle, guard) = open(&disk, options());
    create_topic(&handle, "t", 1).await.unwrap();
    disk.set_room_bytes(Some(0));
    let value = "x".repeat(100_000);
    let mut written = 0;
    let refused = loop {
        match produce(&handle, "t", &[("k", &value)]).await {
            Ok(place) => {
                place.unwrap();
                written += 1;
                assert!(written < 100, "the disk is full at some time");
            }
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::Full);
    assert_eq!(read_topic(&handle, "t").await.len(), written, "reads go on");
    disk.set_room_bytes(None);
    let place = produce(&handle, "t", &[("k", &value)]).await.unwrap().unwrap();
    assert_eq!(place.base_offset, written as i64, "what was refused has left no trace");
    assert_eq!(read_topic(&handle, "t").await.len(), written + 1);
    let too_large = "x".repeat(300_000);
    let refused = produce(&handle, "t", &[("k", &too_large)]).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    guard.stop().await;
}

#[tokio::test]
async fn a_route_is_seen_as_a_group_and_cannot_be_moved() {
    let disk = SimDisk::new(4);
    let routes = vec![support::route().into()];
    let (handle, guard) = open(&disk, NodeOptions { routes, ..options() });
    create_topic(&handle, "orders", 2).await.unwrap();
    produce(&handle, "orders", &[("o-1", "{}"), ("o-2", "no json")]).await.unwrap().unwrap();
    // The first record starts a workflow, the second is a dead letter.
    handle.log().wait_for_topic("orders.dead-letter").await;
    let group = "mainstay-route-orders".to_owned();
    let fetch =
        OffsetFetch { groups: vec![OffsetFetchGroup { group: group.clone(), topics: None }] };
    let offset = loop {
        match handle.topics(Ask::OffsetFetch(fetch.clone())).await.unwrap() {
            Reply::OffsetFetch(reply) => {
                let offset = reply.groups[0].topics[0].1[0].offset;
                if offset == 2 {
                    break offset;
                }
                tokio::task::yield_now().await;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(offset, 2);
    let dead = read_topic(&handle, "orders.dead-letter").await;
    assert_eq!(dead[0].key, support::bytes("o-2"));
    assert_eq!(dead[0].value, support::bytes("no json"));
    let list = topics::ask::ListGroups { states: vec![], types: vec![] };
    let Reply::ListGroups(groups) = handle.topics(Ask::ListGroups(list)).await.unwrap() else {
        panic!("no list")
    };
    assert!(groups.iter().any(|listed| listed.group == group));
    let describe = topics::ask::DescribeGroups { groups: vec![group.clone()] };
    match handle.topics(Ask::DescribeGroups(describe)).await.unwrap() {
        Reply::DescribeGroups(groups) => assert_eq!(groups[0].state, "Stable"),
        other => panic!("{other:?}"),
    }
    let partitions = vec![topics::ask::OffsetCommitPartition {
        partition: 0,
        offset: 0,
        leader_epoch: -1,
        metadata: String::new(),
    }];
    let commit = topics::ask::OffsetCommit {
        group,
        generation: -1,
        member: String::new(),
        instance: None,
        topics: vec![topics::ask::OffsetCommitTopic { name: "orders".into(), partitions }],
    };
    match handle.topics(Ask::OffsetCommit(commit)).await.unwrap() {
        Reply::OffsetCommit(results) => {
            assert_eq!(results[0].partitions[0].1, ErrorCode::GroupAuthorizationFailed);
        }
        other => panic!("{other:?}"),
    }
    guard.stop().await;
}

#[tokio::test]
async fn a_directory_belongs_to_one_node_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let (first, guard) = Node::open(directory.path(), options()).unwrap();
    create_topic(&first, "t", 1).await.unwrap();
    let second = Node::open(directory.path(), options());
    assert!(matches!(second, Err(OpenError::Journal(journal::Error::Locked { .. }))));
    // The old handle still exists, and is of no harm.
    guard.stop().await;
    let (second, guard) = Node::open(directory.path(), options()).unwrap();
    assert_eq!(second.log().topics(), first.log().topics());
    assert_eq!(second.cluster_id(), first.cluster_id());
    guard.stop().await;
}

#[tokio::test]
async fn time_never_goes_back_over_a_restart() {
    let disk = SimDisk::new(6);
    let (late, early) = (Timestamp(9_000_000), Timestamp(5_000_000));
    let clock = Box::new(ManualClock::new(late));
    let (handle, guard) = open(&disk, NodeOptions { clock, ..options() });
    create_topic(&handle, "t", 1).await.unwrap();
    guard.stop().await;
    // The wall clock was set back while the node was down.
    let clock = ManualClock::new(early);
    let behind = Box::new(clock.clone());
    let (_, guard) = open(&disk.restart(), NodeOptions { clock: behind, ..options() });
    assert_eq!(clock.time(), late, "time goes on where the journal ends");
    guard.stop().await;
}

/// Producers append while the power goes; what they were told is true afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_power_goes_nothing_acknowledged_is_lost() {
    for (seed, loss) in (0..40).zip(Loss::ALL.into_iter().cycle()) {
        let disk = SimDisk::new(seed);
        let (handle, guard) = open(&disk, NodeOptions { paranoid: false, ..options() });
        create_topic(&handle, "t", 1).await.unwrap();
        let (acknowledge, mut acknowledged) = tokio::sync::mpsc::channel(1_000);
        for producer in 0..4 {
            let (handle, acknowledge) = (handle.clone(), acknowledge.clone());
            tokio::spawn(async move {
                for round in 0.. {
                    let value = format!("{producer}-{round}");
                    let Ok(place) = produce(&handle, "t", &[("k", &value)]).await else { return };
                    let offset = place.unwrap().base_offset;
                    if acknowledge.send((offset, value)).await.is_err() {
                        return;
                    }
                }
            });
        }
        drop(acknowledge);
        let mut told = Vec::new();
        while told.len() < 20 + seed as usize * 3 {
            told.push(acknowledged.recv().await.unwrap());
        }
        let after = disk.crash(loss, seed);
        drop(acknowledged);
        guard.stop().await;

        let (handle, guard) = open(&after, options());
        let records = read_topic(&handle, "t").await;
        assert!(records.iter().map(|record| record.offset).eq(0..records.len() as i64));
        for (offset, value) in told {
            let record = records.get(usize::try_from(offset).unwrap());
            let found = record.and_then(|record| record.value.as_deref());
            let gone = "an acknowledged record is gone";
            assert_eq!(found, Some(value.as_bytes()), "{gone}: {seed} {loss:?}");
        }
        produce(&handle, "t", &[("k", "after")]).await.unwrap().unwrap();
        guard.stop().await;
    }
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("node/facts");
}
