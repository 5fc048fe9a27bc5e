//! The director's own requests: one at a time, so that each answer can be judged on the spot. Sends
//! and starts are in the histories like those of any client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use checker::{Answer, Call, Delivery, OpId, Outcome, Refusal, digest};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::book::Book;
use crate::client::starters::{JOB, Plan};
use crate::kafka::{self, LOG};
use crate::node::Addresses;
use crate::read;
use crate::temporal::Front;

/// Its name as a producer and as a group.
const NAME: &str = "director";
/// The partition that it writes to and reads.
const PARTITION: i32 = 0;
/// Ids that it gives out.
const FIRST: u64 = 1 << 32;
/// A request that takes longer is a finding.
const CALL_MAX: Duration = Duration::from_secs(20);

/// See the module's page.
pub(crate) struct Probe {
    kafka: SocketAddr,
    book: Arc<Book>,
    front: Front,
    producer: FutureProducer,
    admin: AdminClient<DefaultClientContext>,
    group: Arc<BaseConsumer>,
    next: u64,
}

impl Probe {
    /// Connects to a node that is up.
    pub(crate) async fn connect(addresses: Addresses, book: Arc<Book>) -> Result<Probe> {
        Ok(Probe {
            kafka: addresses.kafka,
            book,
            front: Front::connect(addresses.temporal).await?,
            producer: once(addresses.kafka).create()?,
            admin: kafka::config(addresses.kafka).create()?,
            group: Arc::new(kafka::config(addresses.kafka).set("group.id", NAME).create()?),
            next: FIRST,
        })
    }

    /// The Temporal front, for requests that nobody notes.
    pub(crate) fn front(&mut self) -> &mut Front {
        &mut self.front
    }

    /// Sends a record, once.
    pub(crate) async fn send(&mut self) -> Outcome {
        self.next += 1;
        let (value, key) = (format!("{{\"value\":{}}}", self.next), NAME.to_owned());
        let op = self.book.invoke(Call::Send {
            producer: NAME.to_owned(),
            delivery: Delivery::Once,
            topic: LOG.to_owned(),
            partition: Some(PARTITION),
            key: Some(key.clone()),
            value: self.next,
            digest: digest(value.as_bytes()),
            repeats: None,
        });
        let record = FutureRecord::to(LOG).partition(PARTITION).key(&key).payload(&value);
        let result = match self.producer.send(record, CALL_MAX).await {
            Ok(at) => {
                Outcome::Ok(Answer::Sent { partition: at.partition, offset: Some(at.offset) })
            }
            // It was sent once, and this says that it was not written.
            Err((error, _)) if error == STORAGE => Outcome::Fail(Refusal::Other(error.to_string())),
            Err((error, _)) => Outcome::Unknown(error.to_string()),
        };
        self.settle(op, result)
    }

    /// Starts a job that ends by itself.
    pub(crate) async fn start(&mut self) -> Outcome {
        self.next += 1;
        let (workflow_id, request_id) =
            (format!("job-{}", self.next), format!("start-{}", self.next));
        let (job, value) = (self.next, Some(self.next));
        let plan = Plan { value, job, rounds: 1, timer_ms: 1, ..Plan::default() };
        let op = self.book.invoke(Call::Start {
            workflow_id: workflow_id.clone(),
            request_id: request_id.clone(),
            value: self.next,
        });
        let result = self.front.start(JOB, &workflow_id, &request_id, &plan).await;
        self.settle(op, result)
    }

    fn settle(&self, op: OpId, result: Outcome) -> Outcome {
        self.book.settle(op, result.clone());
        result
    }

    /// Reads a partition from its first record to its last.
    pub(crate) async fn read(&self) -> Result<()> {
        let kafka = self.kafka;
        tokio::task::spawn_blocking(move || read::partition(kafka, LOG, PARTITION)).await?
    }

    /// Commits an offset, and asks for it.
    pub(crate) async fn commit(&self, offset: i64) -> Result<()> {
        let group = Arc::clone(&self.group);
        tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(LOG, PARTITION, Offset::Offset(offset))?;
            group.commit(&list, CommitMode::Sync).context("an offset commit")?;
            let seen = group.committed_offsets(list, CALL_MAX)?;
            let seen = crate::client::committed_offset(&seen);
            ensure!(seen == Some(offset), "offset {offset} was committed, {seen:?} is there");
            Ok(())
        })
        .await?
    }

    /// Makes a topic.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = self.admin.create_topics([&topic], &options()).await?;
        made.into_iter()
            .next()
            .context("an answer")?
            .map(drop)
            .map_err(|(name, code)| anyhow::anyhow!("CreateTopics {name}: {code}"))
    }

    /// Deletes a topic.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<()> {
        let deleted = self.admin.delete_topics(&[name], &options()).await?;
        deleted
            .into_iter()
            .next()
            .context("an answer")?
            .map(drop)
            .map_err(|(name, code)| anyhow::anyhow!("DeleteTopics {name}: {code}"))
    }

    /// Fills `topic` until even a small record is refused for want of room; answers how many bytes
    /// were taken.
    pub(crate) async fn fill(&self, topic: &str, sizes_bytes: &[usize]) -> Result<usize> {
        let mut taken = 0;
        for size in sizes_bytes {
            let payload = vec![b'x'; *size];
            loop {
                let record = FutureRecord::<(), _>::to(topic).partition(0).payload(&payload);
                match self.producer.send(record, CALL_MAX).await {
                    Ok(_) => taken += size,
                    Err((error, _)) if error == STORAGE => break,
                    Err((error, _)) => bail!("after {taken} bytes: {error}"),
                }
            }
        }
        Ok(taken)
    }
}

/// KAFKA_STORAGE_ERROR.
const STORAGE: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::KafkaStorageError);

/// A producer that sends a record once.
fn once(kafka: SocketAddr) -> ClientConfig {
    let mut config = kafka::config(kafka);
    config.set("retries", "0").set("linger.ms", "0").set("message.timeout.ms", "15000");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL_MAX))
}
