//! The published log with batches and bytes of the test's own.

use super::*;
use base::Uuid;
use std::time::Duration;

struct Disk;

impl ReadBlob for Disk {
    fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        Ok(Bytes::from(format!("disk {}", address.position)))
    }
}

const TOPIC: TopicId = TopicId(Uuid::from_u128(1));
const PARTITION: PartitionId = PartitionId { topic: TOPIC, index: 1 };

fn log() -> PublishedLog {
    let log = PublishedLog::new(1_000, Reads::OffThread);
    log.read_from(Arc::new(Disk));
    let created =
        Publication::TopicCreated { name: "orders".into(), id: TOPIC, partition_count: 2 };
    log.publish(Vec::new(), vec![created]);
    log
}

fn batch(base_offset: i64, count: i64, max_timestamp_ms: i64, length: u32) -> BatchRef {
    let position = u32::try_from(base_offset).unwrap();
    BatchRef {
        partition: PARTITION,
        base_offset,
        last_offset: base_offset + count - 1,
        max_timestamp_ms,
        address: BlobAddr { segment: 0, position, length, crc: 0 },
    }
}

fn publish(log: &PublishedLog, batch: BatchRef) {
    log.publish(Vec::new(), vec![Publication::Batch(batch)]);
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn batches_are_found_by_offset_and_by_time() {
    let log = log();
    assert_eq!(log.high_watermark(PARTITION), Some(0));
    assert_eq!(log.high_watermark(PartitionId { index: 2, ..PARTITION }), None);
    for (base_offset, timestamp) in [(0, 100), (10, 300), (20, 200), (30, 400)] {
        publish(&log, batch(base_offset, 10, timestamp, 50));
    }
    assert_eq!(log.high_watermark(PARTITION), Some(40));
    assert_eq!(log.log_start_offset(PARTITION), Some(0));
    let from = |offset, max_bytes| -> Vec<i64> {
        let found = log.batches_from(PARTITION, offset, max_bytes).unwrap();
        found.iter().map(|batch| batch.base_offset).collect()
    };
    assert_eq!(from(0, 1_000), [0, 10, 20, 30]);
    assert_eq!(from(15, 100), [10, 20]);
    assert_eq!(from(39, 1), [30], "the first batch is given whatever its size");
    assert!(from(40, 1_000).is_empty());
    let at =
        |timestamp| log.batch_for_timestamp(PARTITION, timestamp).map(|batch| batch.base_offset);
    assert_eq!(
        (at(0), at(101), at(250), at(301), at(401)),
        (Some(0), Some(10), Some(10), Some(30), None)
    );
    assert_eq!(log.batch_with_max_timestamp(PARTITION).unwrap().base_offset, 30);
}

#[tokio::test]
async fn recent_bytes_come_from_memory_and_others_from_disk() {
    let log = log();
    let batch_in_memory = batch(0, 1, 0, 3);
    log.publish(
        vec![(batch_in_memory.address, Bytes::from_static(b"hot"))],
        vec![Publication::Batch(batch_in_memory)],
    );
    assert_eq!(log.read(batch_in_memory).await.unwrap(), "hot");
    let batch_on_disk = batch(7, 1, 0, 3);
    assert_eq!(log.read(batch_on_disk).await.unwrap(), "disk 7");
    let both = [batch_on_disk.address, batch_in_memory.address];
    assert_eq!(log.read_blobs(&both).await.unwrap(), ["disk 7", "hot"]);
    assert_eq!(log.read_blobs(&both[1..]).await.unwrap(), ["hot"]);
    log.close();
    assert_eq!(log.read(batch_on_disk).await, Err(Error::Stopping));
}

#[tokio::test]
async fn a_fetch_waits_for_its_bytes_and_leaves_nothing_behind() {
    let log = log();
    publish(&log, batch(0, 1, 0, 40));
    // What is there already counts.
    log.wait_for_bytes(&[(PARTITION, 0)], 40, soon()).await;
    let other = PartitionId { index: 0, ..PARTITION };
    let positions = [(other, 0), (PARTITION, 1)];
    let mut waiting = Box::pin(log.wait_for_bytes(&positions, 100, soon()));
    assert!(!is_ready(waiting.as_mut()));
    publish(&log, batch(1, 1, 0, 60));
    assert!(!is_ready(waiting.as_mut()));
    publish(&log, BatchRef { partition: other, ..batch(0, 1, 0, 40) });
    assert!(is_ready(waiting.as_mut()));
    drop(waiting);
    log.wait_for_bytes(&[(PARTITION, 2)], 1, Instant::now()).await;
    let waiters = log.with_partition(PARTITION, |found| found.waiters.count());
    assert_eq!(waiters, Some(0));
}

#[tokio::test]
async fn deletion_and_missing_partitions_wake() {
    let log = log();
    let missing = PartitionId { index: 9, ..PARTITION };
    log.wait_for_bytes(&[(missing, 0)], 1, soon()).await;
    let fetches: Vec<_> = (0..1_000)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.wait_for_bytes(&[(PARTITION, 0)], 1, soon()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let deleted = Publication::TopicDeleted { name: "orders".into(), id: TOPIC };
    log.publish(Vec::new(), vec![deleted]);
    for fetch in fetches {
        fetch.await.unwrap();
    }
    assert_eq!(log.topic("orders"), None);
    assert_eq!(log.high_watermark(PARTITION), None);
}

#[tokio::test]
async fn a_missing_topic_is_waited_for() {
    let log = log();
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.wait_for_topic("later").await }
    });
    tokio::task::yield_now().await;
    let id = TopicId(Uuid::from_u128(2));
    let created = Publication::TopicCreated { name: "later".into(), id, partition_count: 3 };
    log.publish(Vec::new(), vec![created]);
    let topic = waiting.await.unwrap();
    assert_eq!(topic, PublishedTopic { name: "later".into(), id, partition_count: 3 });
    assert_eq!(log.topic_by_id(id), Some(topic.clone()));
    assert_eq!(log.topics().len(), 2);
}

fn is_ready<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.poll(&mut context).is_ready()
}
