//! The last reads of a run: every partition from its first record, every committed offset. And
//! whether a run is at rest, which is seen by clients' means too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use checker::{Answer, Call, Outcome, Partition, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::book::Book;
use crate::client::{committed_offset, record};
use crate::kafka::{self, FACTS, GROUPS, LOG, OUTCOMES, TOPICS};

const CALL_MAX: Duration = Duration::from_secs(10);
const READ_MAX: Duration = Duration::from_secs(60);
/// How often it is looked again whether there is rest.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the groups have read what there is; answers what they have not.
pub(crate) async fn rest(kafka: SocketAddr, until: Instant) -> Result<Vec<String>> {
    let groups = GROUPS.map(|group| (group.to_owned(), vec![LOG, OUTCOMES]));
    // A route is a group like any other.
    let groups = groups.into_iter().chain([(format!("mainstay-route-{FACTS}"), vec![FACTS])]);
    let watchers: Result<Vec<_>> = groups.map(|(g, t)| watcher(kafka, g, t)).collect();
    let watchers = Arc::new(watchers?);
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let seen = Arc::clone(&watchers);
        let lag = tokio::task::spawn_blocking(move || lag(&seen)).await?;
        if lag.is_empty() || Instant::now() > until {
            return Ok(lag);
        }
    }
}

/// A consumer that only looks, its group, and the group's topics.
type Watcher = (String, Vec<&'static str>, BaseConsumer);

fn watcher(kafka: SocketAddr, group: String, topics: Vec<&'static str>) -> Result<Watcher> {
    let consumer = kafka::config(kafka).set("group.id", &group).create()?;
    Ok((group, topics, consumer))
}

/// What is not read yet, in words.
fn lag(watchers: &[Watcher]) -> Vec<String> {
    let mut lag = Vec::new();
    for (group, topics, consumer) in watchers {
        for (topic, count) in TOPICS.iter().filter(|(topic, _)| topics.contains(topic)) {
            match behind(consumer, topic, *count) {
                Ok(0) => {}
                Ok(records) => lag.push(format!("{group} is {records} records behind in {topic}")),
                Err(error) => lag.push(format!("{group} in {topic}: {error}")),
            }
        }
    }
    lag
}

fn behind(consumer: &BaseConsumer, topic: &str, count: i32) -> Result<i64, KafkaError> {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, count - 1);
    let committed = consumer.committed_offsets(partitions, CALL_MAX)?;
    let mut behind = 0;
    for place in committed.elements() {
        let (low, high) = consumer.fetch_watermarks(topic, place.partition(), CALL_MAX)?;
        behind += high - place.offset().to_raw().map_or(low, |offset| offset.max(low));
    }
    Ok(behind)
}

/// Reads everything into the history.
pub(crate) async fn everything(kafka: SocketAddr, book: Arc<Book>) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        for (topic, count) in TOPICS {
            for partition in 0..count {
                let partition = Partition { topic: topic.to_owned(), partition };
                read_log(kafka, &book, partition)?;
            }
        }
        GROUPS.iter().try_for_each(|group| read_committed(kafka, &book, group))
    })
    .await?
}

/// Reads a partition from its first record to its last, for no history: whether it can be read.
pub(crate) fn partition(kafka: SocketAddr, topic: &str, partition: i32) -> Result<()> {
    let consumer = last_reader(kafka)?;
    let (start, end) = consumer.fetch_watermarks(topic, partition, CALL_MAX)?;
    read_records(&consumer, topic, partition, start, end).map(drop)
}

fn last_reader(kafka: SocketAddr) -> Result<BaseConsumer> {
    let mut config = kafka::config(kafka);
    config
        .set("group.id", "final")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50");
    Ok(config.create()?)
}

fn read_log(kafka: SocketAddr, book: &Book, partition: Partition) -> Result<()> {
    let consumer = last_reader(kafka)?;
    let (topic, number) = (partition.topic.clone(), partition.partition);
    let op = book.invoke(Call::EndOffset(partition.clone()));
    let (start, end) = consumer.fetch_watermarks(&topic, number, CALL_MAX)?;
    book.settle(op, Outcome::Ok(Answer::Offset(end)));
    let op = book.invoke(Call::ReadLog(partition));
    let records = read_records(&consumer, &topic, number, start, end);
    let records = records.with_context(|| format!("{topic}-{number} from {start} to {end}"))?;
    book.settle(op, Outcome::Ok(Answer::Log { start, end, records }));
    Ok(())
}

fn read_records(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    start: i64,
    end: i64,
) -> Result<Vec<Record>> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(start))?;
    consumer.assign(&assignment)?;
    let (mut records, mut position) = (Vec::new(), start);
    let until = Instant::now() + READ_MAX;
    while position < end {
        match consumer.poll(LOOK) {
            Some(Ok(message)) => {
                position = message.offset() + 1;
                records.push(record(&message));
            }
            Some(Err(error)) if Instant::now() > until => bail!(error),
            None if Instant::now() > until => bail!("nothing comes after {position}"),
            Some(Err(_)) | None => {}
        }
    }
    Ok(records)
}

fn read_committed(kafka: SocketAddr, book: &Book, group: &str) -> Result<()> {
    let consumer: BaseConsumer = kafka::config(kafka).set("group.id", group).create()?;
    for (topic, count) in TOPICS.iter().filter(|(topic, _)| [LOG, OUTCOMES].contains(topic)) {
        for partition in 0..*count {
            let asked = Partition { topic: (*topic).to_owned(), partition };
            let group = group.to_owned();
            let op = book.invoke(Call::FetchCommitted { group, partition: asked });
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, partition);
            let list = consumer.committed_offsets(list, CALL_MAX)?;
            book.settle(op, Outcome::Ok(Answer::Committed(committed_offset(&list))));
        }
    }
    Ok(())
}
