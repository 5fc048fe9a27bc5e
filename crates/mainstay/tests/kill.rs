//! The real binary and an ordinary Kafka client: `kill -9` under load loses nothing acknowledged.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

const RECORDS: usize = 6_000;
const KILLS: usize = 6;
const KEYS: usize = 50;
const TOPIC: &str = "killed";
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells which record was acknowledged, and where it is.
struct Acknowledged(SyncSender<(usize, i32, i64)>);

impl rdkafka::ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        // Idempotent and patient: nothing may fail, whatever happens to the node.
        let message = result.as_ref().unwrap_or_else(|(error, _)| panic!("{number}: {error}"));
        self.0.send((*number, message.partition(), message.offset())).unwrap();
    }
}

fn serve(data: &Path, kafka: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["serve", "--json", "--temporal", "127.0.0.1:0", "--kafka", kafka, "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with('{'), "the node is not ready: {ready:?}");
    child
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn producer(
    kafka: &str,
    acknowledged: SyncSender<(usize, i32, i64)>,
) -> ThreadedProducer<Acknowledged> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "110000")
        .set("reconnect.backoff.max.ms", "200")
        .set("batch.num.messages", "20")
        .create_with_context(Acknowledged(acknowledged))
        .unwrap()
}

/// Sends everything; the node is killed and started again after every so many acknowledgements.
fn send_under_fire(data: &Path, kafka: &str) -> BTreeMap<usize, (i32, i64)> {
    let (sender, receiver) = sync_channel(RECORDS);
    let mut node = serve(data, kafka);
    let producer = producer(kafka, sender);
    for number in 0..RECORDS {
        let (key, value) = ((number % KEYS).to_string(), number.to_string());
        let record = BaseRecord::with_opaque_to(TOPIC, Box::new(number)).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    let mut acknowledged = BTreeMap::new();
    let mut kills = 0;
    while acknowledged.len() < RECORDS {
        let (number, partition, offset) = receiver.recv_timeout(PATIENCE).unwrap();
        assert!(acknowledged.insert(number, (partition, offset)).is_none());
        if kills < KILLS && acknowledged.len() > (kills + 1) * RECORDS / (KILLS + 2) {
            node.kill().unwrap();
            node.wait().unwrap();
            node = serve(data, kafka);
            kills += 1;
        }
    }
    assert_eq!(kills, KILLS);
    producer.flush(PATIENCE).unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    acknowledged
}

/// Everything in the log, by partition and offset.
fn read_all(kafka: &str) -> BTreeMap<(i32, i64), usize> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "reader")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    let (mut found, mut ended) = (BTreeMap::new(), BTreeSet::new());
    let until = Instant::now() + PATIENCE;
    while ended.len() < 4 {
        assert!(Instant::now() < until, "only {ended:?} ended");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let number = message.payload_view::<str>().unwrap().unwrap().parse().unwrap();
                found.insert((message.partition(), message.offset()), number);
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    found
}

#[test]
fn every_acknowledged_record_is_there_once_and_in_order() {
    let data = tempfile::tempdir().unwrap();
    let kafka = free_address();
    let acknowledged = send_under_fire(data.path(), &kafka);
    let mut node = serve(data.path(), &kafka);
    let found = read_all(&kafka);
    node.kill().unwrap();
    node.wait().unwrap();

    assert_eq!(found.len(), RECORDS, "as many as were sent: nothing doubled");
    for (number, place) in &acknowledged {
        assert_eq!(found.get(place), Some(number), "record {number} is where it was acknowledged");
    }
    let mut last = BTreeMap::new();
    for number in found.values() {
        let before = last.insert(number % KEYS, *number);
        assert!(before.is_none_or(|before| before < *number), "key {} in order", number % KEYS);
    }
}
