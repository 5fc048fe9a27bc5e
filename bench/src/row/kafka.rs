//! How the Kafka clients of all rows are set up: here and nowhere else, the same for every peer.
//!
//! What is not set is librdkafka's default. No compression, no idempotence: the work is to move and
//! keep bytes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::Job;

/// The one partition of the rows.
pub(crate) const PARTITION: i32 = 0;

const CREATE_MAX: Duration = Duration::from_secs(30);

/// Topics made by this process.
static TOPICS: AtomicU32 = AtomicU32::new(0);

/// For as many records as possible: batches of 1 MB, gathered for 5 ms.
pub(crate) fn throughput_producer(job: &Job) -> Result<ClientConfig> {
    let mut config = client(job)?;
    // Its queue keeps its default of 100,000 records: payloads are copied into it, and a longer queue
    // costs the client twice the time for a record, as its memory is never warm.
    config.set("acks", "all").set("linger.ms", "5").set("batch.size", "1000000");
    Ok(config)
}

/// For one record at a time: nothing is waited for.
pub(crate) fn latency_producer(job: &Job) -> Result<ClientConfig> {
    let mut config = client(job)?;
    config.set("acks", "all").set("linger.ms", "0");
    Ok(config)
}

/// Reads the one partition of `topic` from `offset`: assigned, no group.
pub(crate) fn consumer(job: &Job, topic: &str, offset: Offset) -> Result<BaseConsumer> {
    let mut config = client(job)?;
    // The client asks for a name although nothing is committed under it.
    config.set("group.id", "bench").set("enable.auto.commit", "false");
    // A queue that is full for a moment is not to stop the fetching for a second.
    config.set("queued.min.messages", "1000000").set("fetch.queue.backoff.ms", "5");
    let consumer: BaseConsumer = config.create().context("a consumer")?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, PARTITION, offset)?;
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// A consumer that asks for positions of `group`, and commits none by itself.
pub(crate) fn group_member(job: &Job, group: &str) -> Result<BaseConsumer> {
    let mut config = client(job)?;
    config.set("group.id", group).set("enable.auto.commit", "false");
    config.create().context("a consumer")
}

/// An ordinary consumer in a group, which commits now and then what was stored as done.
pub(crate) fn group_consumer(job: &Job, topic: &str) -> Result<StreamConsumer> {
    let mut config = client(job)?;
    config
        .set("group.id", format!("{topic}-bridge"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false");
    let consumer: StreamConsumer = config.create().context("a consumer")?;
    consumer.subscribe(&[topic]).context("subscribe")?;
    Ok(consumer)
}

/// Makes a topic with one partition, and answers its name.
pub(crate) async fn create_topic(job: &Job) -> Result<String> {
    let number = TOPICS.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{}-{number}", job.row.name, std::process::id());
    ensure_topic(job, &name, 1).await?;
    Ok(name)
}

/// Makes a topic, if it is not there.
pub(crate) async fn ensure_topic(job: &Job, name: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(job)?.create().context("a client")?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options =
        AdminOptions::new().request_timeout(Some(CREATE_MAX)).operation_timeout(Some(CREATE_MAX));
    for created in admin.create_topics([&topic], &options).await.context("create a topic")? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("create the topic {name}: {code}"),
        }
    }
    Ok(())
}

fn client(job: &Job) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", job.kafka()?).set("client.id", "bench").set("log_level", "3");
    Ok(config)
}
