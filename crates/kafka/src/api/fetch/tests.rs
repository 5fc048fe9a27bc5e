//! What a fetch answers, by limits, offsets, epochs and time.

use super::*;
use crate::{
    fake::Fake,
    options::{Advertised, Limits},
    support::batch,
};
use base::Blob;
use std::sync::Arc;
use tokio::sync::Semaphore;
use topics::{
    Ask, BatchHeader,
    ask::{Origin, PartitionAppend, Produce},
};

async fn append(fake: &Fake, partition: i32, bytes: Bytes) -> usize {
    let header = BatchHeader::parse(&bytes).unwrap();
    let length = bytes.len();
    let topic = "a".to_owned();
    let append = PartitionAppend { topic, partition, header, batch: Blob::new(bytes) };
    let produce = Produce { partitions: vec![append], origin: Origin::Client };
    fake.topics(Ask::Produce(produce)).await.unwrap();
    length
}

fn request(max_bytes: usize, partitions: &[(i32, i64, usize)]) -> Request {
    let partition = |(index, fetch_offset, max_bytes): &(i32, i64, usize)| RequestPartition {
        index: *index,
        current_leader_epoch: -1,
        fetch_offset: *fetch_offset,
        max_bytes: *max_bytes as i32,
    };
    let partitions = partitions.iter().map(partition).collect();
    Request {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: max_bytes as i32,
        is_read_committed: false,
        session_epoch: NO_SESSION,
        topics: vec![RequestTopic { name: "a".to_owned(), id: TopicId(Uuid::nil()), partitions }],
    }
}

async fn answer(fake: &Fake, version: i16, request: Request) -> Response {
    let advertised = Advertised { host: String::new(), port: 0 };
    let limits = Limits { fetch_batches_count_max: 3, ..Limits::default() };
    let peer = crate::api::Peer {
        address: [127, 0, 0, 1].into(),
        advertised,
        limits,
        lookups: Arc::new(Semaphore::new(1)),
        damaged: Arc::default(),
    };
    let is_placed = crate::api::IsPlaced::default();
    let client = Client { id: String::new(), peer: peer.into(), frame_bytes: 0, is_placed };
    Fetch::answer(fake, &client, version, request).await.unwrap()
}

fn counts(response: &Response) -> Vec<usize> {
    response.topics[0].partitions.iter().map(|partition| partition.batches.len()).collect()
}

fn codes(response: &Response) -> Vec<i16> {
    response.topics[0].partitions.iter().map(|partition| partition.error.code()).collect()
}

#[tokio::test]
async fn limits_hold_but_the_first_batch_comes_whole() {
    let fake = Fake::new(&["a"]);
    let length = append(&fake, 0, batch(1, &["x"])).await;
    for partition in [0, 1, 1] {
        append(&fake, partition, batch(1, &["y"])).await;
    }
    for (max_bytes, first, second, expected) in [
        (1 << 20, 1 << 20, 1 << 20, [2, 1]),
        (length * 2, 1 << 20, 1 << 20, [2, 0]),
        (length * 2, length, 1 << 20, [1, 1]),
        (length * 2 - 1, length, 1 << 20, [1, 0]),
        (0, 1 << 20, 1 << 20, [1, 0]),
        (1 << 20, 0, 0, [1, 0]),
        (1 << 20, 0, length, [1, 1]),
    ] {
        let request = request(max_bytes, &[(0, 0, first), (1, 0, second)]);
        let response = answer(&fake, 12, request).await;
        assert_eq!(counts(&response), expected, "{max_bytes} {first} {second}");
    }
    // An empty partition does not use up the privilege of the first batch.
    let response = answer(&fake, 12, request(1, &[(0, 2, 1), (1, 0, 1)])).await;
    assert_eq!(counts(&response), [0, 1]);
}

#[tokio::test]
async fn offsets_epochs_and_names_are_checked() {
    let fake = Fake::new(&["a"]);
    append(&fake, 0, batch(1, &["x", "y"])).await;
    let wanted = [(0, -1, 9), (0, 3, 9), (0, 2, 9), (0, 0, 9), (2, 0, 9), (-1, 0, 9)];
    let response = answer(&fake, 12, request(1 << 20, &wanted)).await;
    assert_eq!(codes(&response), [1, 1, 0, 0, 3, 3]);
    let out_of_range = &response.topics[0].partitions[0];
    assert_eq!((out_of_range.high_watermark, out_of_range.log_start_offset), (-1, -1));
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75), (i32::MAX, 75)] {
        let mut request = request(1 << 20, &[(0, 0, 9)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(codes(&answer(&fake, 12, request).await), [code]);
    }
    let mut elsewhere = request(1 << 20, &[(0, 0, 9)]);
    elsewhere.topics[0].name = "b".to_owned();
    assert_eq!(codes(&answer(&fake, 12, elsewhere.clone()).await), [3]);
    assert_eq!(codes(&answer(&fake, 13, elsewhere).await), [100]);
}

#[tokio::test]
async fn sessions_are_refused() {
    let fake = Fake::new(&["a"]);
    for (epoch, code) in [(-1, 0), (0, 0), (1, 70)] {
        let mut request = request(1 << 20, &[(0, 0, 9)]);
        request.session_epoch = epoch;
        let response = answer(&fake, 12, request).await;
        assert_eq!(response.error.code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_for_min_bytes_but_not_longer_than_asked_and_not_with_an_error() {
    let fake = Fake::new(&["a"]);
    let length = append(&fake, 0, batch(1, &["x"])).await;
    for (min_bytes, offset, waited_ms) in
        [(1, 0, 0), (length, 0, 0), (length + 1, 0, 700), (0, 1, 0), (1, 1, 700), (1, 99, 0)]
    {
        let mut request = request(1 << 20, &[(0, offset, 1 << 20)]);
        request.max_wait_ms = 700;
        request.min_bytes = min_bytes as i32;
        let begun = Instant::now();
        answer(&fake, 12, request).await;
        let waited = begun.elapsed().as_millis();
        assert_eq!(waited, waited_ms, "{min_bytes} {offset}");
    }
}

#[tokio::test]
async fn batches_of_one_response_are_counted() {
    let fake = Fake::new(&["a"]);
    for _ in 0..5 {
        append(&fake, 0, batch(1, &["x"])).await;
        append(&fake, 1, batch(1, &["x"])).await;
    }
    let response = answer(&fake, 12, request(1 << 20, &[(0, 3, 1 << 20), (1, 0, 1 << 20)])).await;
    assert_eq!(counts(&response), [2, 1]);
    let response = answer(&fake, 12, request(1 << 20, &[(0, 0, 1 << 20), (1, 0, 1 << 20)])).await;
    assert_eq!(counts(&response), [3, 0]);
}

#[tokio::test]
async fn zstd_is_kept_from_clients_that_do_not_know_it() {
    let fake = Fake::new(&["a"]);
    append(&fake, 0, batch(1, &["x"])).await;
    append(&fake, 0, zstd(batch(1, &["y"]))).await;
    append(&fake, 1, zstd(batch(1, &["y"]))).await;
    let wanted = [(0, 0, 1 << 20), (1, 0, 1 << 20)];
    let old = answer(&fake, 9, request(1 << 20, &wanted)).await;
    assert_eq!((counts(&old), codes(&old)), (vec![1, 0], vec![0, 76]));
    let new = answer(&fake, 10, request(1 << 20, &wanted)).await;
    assert_eq!((counts(&new), codes(&new)), (vec![2, 1], vec![0, 0]));
}

/// Says that it is zstd. Nobody here looks further.
fn zstd(batch: Bytes) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[CODEC_AT] |= 4;
    let crc = base::hash::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}
