//! The front over real TCP connections, against a fake node: order, pipelining, hostile bytes.

use super::*;
use crate::{
    backend::Error,
    fake::Fake,
    options::Limits,
    support::{Client, batch, fetch, fetched, frame, name, produce, produced, records},
};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FindCoordinatorRequest,
        HeartbeatRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::{Decodable, StrBytes},
};
use proptest::prelude::*;
use std::task::Poll;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    task::JoinHandle,
    time::Instant,
};

/// A server that stops when it is dropped or told to.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(fake: &Fake, options: Options) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(serve_backend(listener, fake.clone(), options, shutdown));
        Running { address, stop, ended }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

async fn start(topics: &[&str]) -> (Fake, Running) {
    let fake = Fake::new(topics);
    let running = Running::start(&fake, Options::default()).await;
    (fake, running)
}

/// Lets other tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let given_up = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < given_up, "it does not happen");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn records_go_in_and_come_out_with_their_offsets() {
    let (_, server) = start(&["a"]).await;
    let mut client = server.client().await;
    for (version, first) in (3..=11).zip(0i64..) {
        let request = produce("a", -1, &[(1, batch(1, &["x", "y"]))]);
        let outcome = produced(client.ask(version, &request).await);
        assert_eq!((outcome[0].error_code, outcome[0].base_offset), (0, first * 2), "{version}");
    }
    for version in 4..=12 {
        let response = client.ask(version, &fetch("a", 1, 5)).await;
        let partition = fetched(&response);
        assert_eq!((partition.high_watermark, partition.last_stable_offset), (18, 18));
        let found = records(partition);
        // The batch that holds the offset comes whole.
        assert_eq!(found.first(), Some(&(4, "x".to_owned())));
        assert_eq!(found.last(), Some(&(17, "y".to_owned())));
    }
}

#[tokio::test]
async fn topics_are_fetched_by_id_from_version_13() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    client.ask(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    for version in 13..=16 {
        for (id, code, count) in [(fake.id("a").0, 0, 1), (base::Uuid::from_u128(99), 100, 0)] {
            let mut request = fetch("", 0, 0);
            request.topics[0].topic_id = id;
            let response = client.ask(version, &request).await;
            assert_eq!(fetched(&response).error_code, code);
            assert_eq!(records(fetched(&response)).len(), count);
        }
    }
}

#[tokio::test]
async fn produces_are_under_way_together_and_answered_in_order() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    fake.hold();
    for _ in 0..5 {
        client.send(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    }
    client.send(12, &fetch("a", 0, 0)).await;
    client.send(4, &HeartbeatRequest::default()).await;
    // All are asked before the first is answered; what follows waits for its turn.
    until(|| fake.asked().len() == 5).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.asked(), ["Produce"; 5]);
    fake.release(6);
    for expected in 0..5 {
        let (correlation_id, response) = client.receive_numbered::<ProduceRequest>(9).await;
        assert_eq!(correlation_id, expected + 1);
        assert_eq!(produced(response)[0].base_offset, i64::from(expected));
    }
    // The fetch began in its turn: it sees what was produced before it.
    let response = client.receive::<FetchRequest>(12).await;
    assert_eq!(records(fetched(&response)).len(), 5);
    client.receive::<HeartbeatRequest>(4).await;
}

#[tokio::test]
async fn a_fetch_waits_for_bytes_and_not_for_ever() {
    let (fake, server) = start(&["a"]).await;
    let mut reader = server.client().await;
    let mut writer = server.client().await;
    reader.send(12, &fetch("a", 0, 0).with_max_wait_ms(60_000)).await;
    writer.ask(9, &produce("a", -1, &[(1, batch(1, &["elsewhere"]))])).await;
    writer.ask(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    let response = reader.receive::<FetchRequest>(12).await;
    assert_eq!(records(fetched(&response)), [(0, "x".to_owned())]);
    let response = reader.ask(12, &fetch("a", 0, 1).with_max_wait_ms(10)).await;
    assert_eq!(fetched(&response).records.as_deref(), Some(&[][..]));
    assert_eq!(fake.asked(), ["Produce", "Produce"]);
}

#[tokio::test]
async fn acks_0_has_no_response_and_an_error_closes_the_connection() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    client.send(9, &produce("a", 0, &[(0, batch(1, &["x"]))])).await;
    let outcome = produced(client.ask(9, &produce("a", 1, &[(0, batch(1, &["y"]))])).await);
    assert_eq!(outcome[0].base_offset, 1);
    client.send(9, &produce("nowhere", 0, &[(0, batch(1, &["x"]))])).await;
    client.expect_close().await;
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn produces_are_carried_out_when_their_client_has_gone() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    fake.hold();
    for _ in 0..3 {
        client.send(9, &produce("a", 0, &[(0, batch(1, &["x"]))])).await;
    }
    client.send(4, &HeartbeatRequest::default()).await;
    drop(client);
    fake.release(3);
    let partition = base::PartitionId { topic: fake.id("a"), index: 0 };
    until(|| fake.range(partition).unwrap().high_watermark == 3).await;
}

#[tokio::test]
async fn what_is_wrong_with_one_partition_does_not_harm_the_others() {
    let (_, server) = start(&["a"]).await;
    let mut client = server.client().await;
    let mut flipped = batch(1, &["x"]).to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut old = batch(1, &["x"]).to_vec();
    old[16] = 1;
    let two = [batch(1, &["x"]), batch(1, &["y"])].concat();
    for (bad, code) in [
        (Bytes::from(flipped), 2),
        (Bytes::new(), 87),
        (Bytes::from(vec![0; 7]), 2),
        (Bytes::from(two), 87),
        (Bytes::from(old), 87),
    ] {
        let good = batch(1, &["good"]);
        let request = produce("a", -1, &[(0, bad.clone()), (1, good), (7, batch(1, &["x"]))]);
        let outcome = produced(client.ask(9, &request).await);
        let codes: Vec<i16> = outcome.iter().map(|outcome| outcome.error_code).collect();
        assert_eq!(codes, [code, 0, 3], "{bad:?}");
        assert!(outcome[0].error_message.is_some(), "{bad:?}");
        assert_eq!(outcome[0].base_offset, -1);
    }
}

#[tokio::test]
async fn requests_are_refused_as_a_whole_with_a_code_per_partition() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    let request = produce("a", -1, &[(0, batch(1, &["x"]))]);
    let id = Some(StrBytes::from_static_str("t").into());
    let transactional = request.clone().with_transactional_id(id);
    assert_eq!(produced(client.ask(9, &transactional).await)[0].error_code, 53);
    let acks_2 = request.clone().with_acks(2);
    assert_eq!(produced(client.ask(9, &acks_2).await)[0].error_code, 21);
    fake.refuse(Some(Error::Unavailable("the disk is full".to_owned())));
    let outcome = produced(client.ask(9, &request).await);
    assert_eq!(outcome[0].error_code, 56);
    assert_eq!(client.ask(4, &HeartbeatRequest::default()).await.error_code, 15);
    fake.refuse(Some(Error::NoAnswer("the node stops".to_owned())));
    client.send(9, &request).await;
    client.expect_close().await;
}

#[tokio::test]
async fn produce_before_version_3_is_told_that_it_is_too_old() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    let mut frame = BytesMut::new();
    frame.put_i16(0);
    frame.put_i16(2);
    frame.put_i32(77);
    frame.put_i16(-1);
    frame.put_i16(1);
    frame.put_i32(1_000);
    frame.put_i32(1);
    frame.put_slice(b"\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00\x02hi");
    client.stream.write_i32(frame.len() as i32).await.unwrap();
    client.stream.write_all(&frame).await.unwrap();
    let response = client.receive_bytes().await.unwrap();
    let mut expected = BytesMut::new();
    expected.put_i32(77);
    expected.put_slice(b"\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x05\x00\x23");
    expected.put_i64(-1);
    expected.put_i64(-1);
    expected.put_i32(0);
    assert_eq!(response, expected);
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn unknown_versions_of_api_versions_are_answered_in_the_oldest_layout() {
    let (_, server) = start(&[]).await;
    let mut client = server.client().await;
    for version in [5, 99, i16::MAX, -1] {
        let mut frame = BytesMut::new();
        frame.put_i16(18);
        frame.put_i16(version);
        frame.put_i32(5);
        frame.put_slice(b"whatever comes");
        client.stream.write_i32(frame.len() as i32).await.unwrap();
        client.stream.write_all(&frame).await.unwrap();
        let mut response = client.receive_bytes().await.unwrap();
        assert_eq!(bytes::Buf::get_i32(&mut response), 5);
        let response = ApiVersionsResponse::decode(&mut response, 0).unwrap();
        assert_eq!((response.error_code, response.api_keys.len()), (35, 19));
    }
    // The same connection goes on.
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("kafka-test"))
        .with_client_software_version(StrBytes::from_static_str("1.0"));
    for version in 3..=4 {
        assert_eq!(client.ask(version, &request).await.error_code, 0);
    }
    assert_eq!(client.ask(3, &ApiVersionsRequest::default()).await.error_code, 42);
}

#[tokio::test]
async fn the_advertised_address_is_the_dialled_one_unless_one_is_set() {
    let fake = Fake::new(&["a"]);
    let set = Advertised { host: "kafka.example".to_owned(), port: 19092 };
    for advertised in [None, Some(set)] {
        let options = Options { advertised: advertised.clone(), ..Options::default() };
        let server = Running::start(&fake, options).await;
        let mut client = server.client().await;
        let (host, port) = match advertised {
            Some(set) => (set.host, set.port),
            None => ("127.0.0.1".to_owned(), server.address.port()),
        };
        let metadata = client.ask(13, &MetadataRequest::default().with_topics(None)).await;
        let broker = &metadata.brokers[0];
        assert_eq!((broker.host.to_string(), broker.port), (host.clone(), i32::from(port)));
        assert_eq!((*broker.node_id, *metadata.controller_id), (1, 1));
        assert_eq!(metadata.cluster_id.as_deref(), Some("fake"));
        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![StrBytes::from_static_str("g")]);
        let response = client.ask(4, &request).await;
        let found = &response.coordinators[0];
        assert_eq!(
            (found.host.to_string(), found.port, *found.node_id),
            (host, i32::from(port), 1)
        );
        let response = client.ask(4, &request.with_key_type(1)).await;
        assert_eq!(response.coordinators[0].error_code, 53);
    }
}

#[tokio::test]
async fn a_timestamp_is_answered_by_the_record() {
    let (_, server) = start(&["a"]).await;
    let mut client = server.client().await;
    for first in [10_000, 20_000] {
        client.ask(9, &produce("a", -1, &[(0, batch(first, &["0", "1", "2"]))])).await;
    }
    for (asked, timestamp, offset) in [
        (-1, -1, 6),
        (-2, -1, 0),
        (-3, 22_000, 5),
        (0, 10_000, 0),
        (10_001, 11_000, 1),
        (12_001, 20_000, 3),
        (22_000, 22_000, 5),
        (22_001, -1, -1),
    ] {
        let partition =
            ListOffsetsPartition::default().with_timestamp(asked).with_current_leader_epoch(0);
        let topic =
            ListOffsetsTopic::default().with_name(name("a")).with_partitions(vec![partition]);
        let response = client.ask(7, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!((found.error_code, found.timestamp, found.offset), (0, timestamp, offset));
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_an_error_of_its_partition() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    client.ask(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    fake.lose_blobs_from(0);
    let response = client.ask(12, &fetch("a", 0, 0)).await;
    assert_eq!(fetched(&response).error_code, 56);
    assert!(records(fetched(&response)).is_empty());
}

#[tokio::test]
async fn a_batch_that_breaks_an_answer_is_left_out_of_the_next() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    for value in ["x", "y", "z"] {
        client.ask(9, &produce("a", -1, &[(0, batch(1, &[value]))])).await;
    }
    fake.lose_blobs_from(1);
    // The first batch is there, so the answer begins, and cannot go on.
    client.send(12, &fetch("a", 0, 0)).await;
    client.expect_close().await;
    let mut client = server.client().await;
    let response = client.ask(12, &fetch("a", 0, 0)).await;
    assert_eq!(records(fetched(&response)), [(0, "x".to_owned())]);
    let response = client.ask(12, &fetch("a", 0, 1)).await;
    assert_eq!(fetched(&response).error_code, 56);
}

#[tokio::test]
async fn hostile_bytes_close_their_connection_and_no_other() {
    let (_, server) = start(&["a"]).await;
    let mut bystander = server.client().await;
    let claims_elements = |key: i16, version: i16, body: &[u8]| {
        let mut frame = BytesMut::new();
        frame.put_i32(10 + body.len() as i32);
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        frame.put_slice(body);
        frame.to_vec()
    };
    for hostile in [
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0x80, 0, 0, 0],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 3, 0, 18, 0],
        claims_elements(3, 1, &[0x7f, 0xff, 0xff, 0xff]),
        claims_elements(3, 12, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        claims_elements(3, 12, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        claims_elements(0, 3, &[0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
        claims_elements(12, 0, &[0, 200, 1]),
        claims_elements(12, 0, &[0xff, 0xff, 0, 0, 0, 0, 0, 0]),
        claims_elements(12, 0, &[0, 1, 0xff, 0, 0, 0, 0, 0, 0]),
        claims_elements(999, 0, &[]),
        claims_elements(3, 14, &[]),
        claims_elements(1, 3, &[]),
        claims_elements(-1, -1, &[]),
    ] {
        let mut client = server.client().await;
        // It may be closed while we still write.
        let _ = client.stream.write_all(&hostile).await;
        client.expect_close().await;
        let outcome = bystander.ask(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
        assert_eq!(produced(outcome)[0].error_code, 0, "{hostile:?}");
    }
    // Half a frame, and then nothing more.
    let mut client = server.client().await;
    client.stream.write_all(&[0, 0, 1, 0, 0, 18, 0]).await.unwrap();
    client.stream.shutdown().await.unwrap();
    client.expect_close().await;
}

#[test]
fn damaged_requests_never_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let good: Vec<Vec<u8>> = vec![
        frame(1, 9, &produce("a", -1, &[(0, batch(1, &["x"])), (1, batch(1, &["y"]))])).to_vec(),
        frame(1, 12, &fetch("a", 0, 0)).to_vec(),
        frame(1, 15, &fetch("", 0, 0)).to_vec(),
        frame(1, 4, &HeartbeatRequest::default()).to_vec(),
        frame(1, 9, &MetadataRequest::default()).to_vec(),
    ];
    let context = |fake: Fake| {
        let limits = Limits::default();
        let advertised = Advertised { host: String::new(), port: 0 };
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let peer = Arc::new(Peer {
            address,
            advertised,
            limits,
            lookups: Arc::new(Semaphore::new(1)),
            damaged: Arc::default(),
        });
        Arc::new(Context { backend: fake, peer })
    };
    let damage =
        (0..good.len(), prop::collection::vec((0usize..400, any::<u8>()), 1..6), 0..400usize);
    proptest!(ProptestConfig::with_cases(3_000), |((which, flips, cut) in damage)| {
        let mut bytes = good[which][4..].to_vec();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if cut < bytes.len() {
            bytes.truncate(cut);
        }
        runtime.block_on(async {
            let budgets = Budgets::of_connection(
                &ServerBudget::new(&Limits::default()), &Limits::default());
            let mut stream = (bytes.len() as i32).to_be_bytes().to_vec();
            stream.extend_from_slice(&bytes);
            let mut frames =
                crate::frame::FrameReader::new(stream.as_slice(), budgets, &Limits::default());
            let request = frames.next().await.unwrap().unwrap();
            let fake = Fake::new(&["a"]);
            if let Ok(mut pending) = crate::dispatch::begin(&context(fake), request) {
                // Polled once: a fetch may want to wait for ever.
                std::future::poll_fn(|cx| {
                    let _ = pending.answer.as_mut().poll(cx);
                    Poll::Ready(())
                }).await;
            }
        });
    });
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let fake = Fake::new(&["a"]);
    let limits = Limits { requests_in_flight_count_max: 4, ..Limits::default() };
    let server = Running::start(&fake, Options { limits, ..Options::default() }).await;
    let mut client = server.client().await;
    fake.hold();
    for _ in 0..20 {
        client.send(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    }
    // Four wait in the queue, one is being answered.
    until(|| fake.asked().len() == 5).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.asked().len(), 5);
    fake.release(20);
    for expected in 0..20 {
        let outcome = produced(client.receive::<ProduceRequest>(9).await);
        assert_eq!(outcome[0].base_offset, expected);
    }
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_over_all_connections() {
    let fake = Fake::new(&["a"]);
    let limits = Limits {
        request_bytes_max: 1_000,
        connection_in_flight_bytes_max: 1_000,
        in_flight_bytes_max: 1_000,
        ..Limits::default()
    };
    let server = Running::start(&fake, Options { limits, ..Options::default() }).await;
    let large = "x".repeat(600);
    let request = produce("a", -1, &[(0, batch(1, &[&large]))]);
    let (mut first, mut second) = (server.client().await, server.client().await);
    fake.hold();
    first.send(9, &request).await;
    until(|| fake.asked().len() == 1).await;
    second.send(9, &request).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.asked().len(), 1, "there is room for one of them");
    fake.release(2);
    first.receive::<ProduceRequest>(9).await;
    second.receive::<ProduceRequest>(9).await;
}

#[tokio::test]
async fn what_is_read_from_the_log_sees_what_was_produced_before_it() {
    let (fake, server) = start(&["a"]).await;
    let mut client = server.client().await;
    fake.hold();
    client.send(9, &produce("a", 0, &[(0, batch(1, &["x"]))])).await;
    let partition =
        ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(name("a")).with_partitions(vec![partition]);
    client.send(7, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
    until(|| fake.asked().len() == 1).await;
    fake.release(1);
    let response = client.receive::<ListOffsetsRequest>(7).await;
    assert_eq!(response.topics[0].partitions[0].offset, 1);
}

#[tokio::test]
async fn a_slow_reader_holds_no_more_than_it_reads() {
    let (fake, server) = start(&["a"]).await;
    let mut writer = server.client().await;
    let large = batch(1, &["x".repeat(100_000).as_str()]);
    for _ in 0..100 {
        writer.ask(9, &produce("a", -1, &[(0, large.clone())])).await;
    }
    // Through a pipe that holds little, because sockets hold megabytes.
    let (mut client, stream) = tokio::io::duplex(64 << 10);
    let limits = Limits::default();
    let budgets = Budgets::of_connection(&ServerBudget::new(&limits), &limits);
    let advertised = Advertised { host: String::new(), port: 0 };
    let peer = Arc::new(Peer {
        address: [127, 0, 0, 1].into(),
        advertised,
        limits,
        lookups: Arc::new(Semaphore::new(1)),
        damaged: Arc::default(),
    });
    let context = Arc::new(Context { backend: fake.clone(), peer });
    let (_stop, stopped) = watch::channel(false);
    let halves = tokio::io::split(stream);
    let running = tokio::spawn(connection::run(halves, context, budgets, stopped));
    let mut request = fetch("a", 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    for _ in 0..3 {
        client.write_all(&frame(1, 12, &request)).await.unwrap();
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!((1..=2).contains(&fake.reads()), "{}", fake.reads());
    let length = client.read_i32().await.unwrap();
    assert!(length > 10_000_000);
    let mut rest = vec![0; length as usize];
    client.read_exact(&mut rest).await.unwrap();
    drop(client);
    assert!(running.await.unwrap().is_err());
    assert!(fake.reads() < 110, "{}", fake.reads());
}

#[tokio::test(start_paused = true)]
async fn who_holds_much_and_does_not_move_makes_room_for_others() {
    let limits =
        Limits { request_bytes_max: 1 << 20, in_flight_bytes_max: 1 << 20, ..Limits::default() };
    let (server, patience) = (ServerBudget::new(&limits), limits.share_wait_max);
    let budgets = || Budgets::of_connection(&server, &limits);
    let (much, little, ours, busy) = (budgets(), budgets(), budgets(), budgets());
    let _held = (much.share(800 << 10).await, little.share(16 << 10).await);
    let _of_ours = ours.share(100 << 10).await;
    ours.set_waiting_for_us(true);
    let busies = async {
        loop {
            busy.share(20 << 10).await;
            tokio::time::sleep(patience / 2).await;
        }
    };
    // Nobody waits, nobody goes.
    let nobody = tokio::time::timeout(Duration::from_secs(600), much.overstayed()).await;
    assert!(nobody.is_err());
    let other = budgets();
    // Small requests pass whatever large ones do.
    other.share(16 << 10).await;
    let begun = Instant::now();
    tokio::select! {
        _ = other.share(900 << 10) => unreachable!("there is no room"),
        () = busies => unreachable!("it never ends"),
        () = little.overstayed() => unreachable!("a small request harms nobody"),
        () = ours.overstayed() => unreachable!("it waits for the disk"),
        () = busy.overstayed() => unreachable!("it moves"),
        () = much.overstayed() => assert_eq!(begun.elapsed().as_secs(), patience.as_secs()),
    }
}

/// What batches on their way to readers hold together has a bound, and who does not read makes
/// room for who does.
#[tokio::test(start_paused = true)]
async fn readers_that_do_not_read_share_a_bound() {
    let limits = Limits { outgoing_bytes_max: 150 << 10, ..Limits::default() };
    let (server, patience) = (ServerBudget::new(&limits), limits.share_wait_max);
    let budgets = || Budgets::of_connection(&server, &limits);
    let (idle, reading) = (budgets(), budgets());
    let held = idle.outgoing(100 << 10).await;
    assert!(idle.is_unused(), "the connection's own budget has no part in it");
    let begun = Instant::now();
    let waits = reading.outgoing(100 << 10);
    tokio::pin!(waits);
    tokio::select! {
        _ = &mut waits => unreachable!("there is no room"),
        () = idle.overstayed() => assert_eq!(begun.elapsed().as_secs(), patience.as_secs()),
    }
    drop(held);
    waits.await;
    // One batch always passes, however large it is.
    drop(reading.outgoing(1 << 20).await);
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_stop_others() {
    let fake = Fake::new(&["a"]);
    let limits = Limits {
        request_bytes_max: 1 << 20,
        in_flight_bytes_max: 1 << 20,
        share_wait_max: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Running::start(&fake, Options { limits, ..Options::default() }).await;
    // A fetch that waits for ever, and is large.
    let mut hostile = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut honest = server.client().await;
    let mut waits = fetch("a", 0, 0);
    (waits.max_wait_ms, waits.min_bytes) = (i32::MAX, i32::MAX);
    let mut padded = frame(1, 12, &waits);
    let padding = vec![0; 600_000];
    let length = (padded.len() - 4 + padding.len()) as u32;
    padded[..4].copy_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(&padding);
    hostile.write_all(&padded).await.unwrap();
    let large = "x".repeat(600_000);
    let produces = async {
        loop {
            let request = produce("a", -1, &[(0, batch(1, &[&large]))]);
            assert_eq!(produced(honest.ask(9, &request).await)[0].error_code, 0);
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        // A reset is as good as an end.
        _ = hostile.read_to_end(&mut rest) => assert!(rest.is_empty()),
        () = produces => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let fake = Fake::new(&["a"]);
    let limits = Limits { connections_count_max: 2, ..Limits::default() };
    let server = Running::start(&fake, Options { limits, ..Options::default() }).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    for client in [&mut first, &mut second] {
        client.ask(4, &HeartbeatRequest::default()).await;
    }
    server.client().await.expect_close().await;
    drop(first);
    // Its place is free as soon as the server has noticed.
    loop {
        let mut third = server.client().await;
        if third.stream.write_all(&frame(1, 4, &HeartbeatRequest::default())).await.is_ok()
            && third.receive_bytes().await.is_some()
        {
            break;
        }
    }
}

#[tokio::test]
async fn stopping_answers_what_has_begun_and_gives_up_what_waits() {
    let (fake, server) = start(&["a"]).await;
    let (mut writer, mut reader) = (server.client().await, server.client().await);
    fake.hold();
    writer.send(9, &produce("a", -1, &[(0, batch(1, &["x"]))])).await;
    reader.send(12, &fetch("a", 0, 0).with_max_wait_ms(60_000)).await;
    until(|| fake.asked().len() == 1).await;
    let begun = Instant::now();
    server.stop.send(()).unwrap();
    reader.expect_close().await;
    fake.release(1);
    assert_eq!(produced(writer.receive::<ProduceRequest>(9).await)[0].error_code, 0);
    server.ended.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
}
