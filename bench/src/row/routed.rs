//! Records that a route turns into signals, no worker: produced as fast as it goes, until the route's
//! position, which is an ordinary consumer group's, has reached the end.
//!
//! Two figures: 10,000 workflows get all records; and every record starts a workflow of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::produce::blocking;
use super::{Job, Row, kafka};
use crate::measured::Measured;
use crate::peer::Port;

/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// Records of the first figure, and their different keys.
const SAME_KEYS: u64 = 500_000;
const KEYS: u64 = 10_000;
/// Records of the second.
const NEW_KEYS: u64 = 200_000;
/// How often the position is looked up, and how long it may stand still.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
const STALL_MAX: Duration = Duration::from_secs(20);
/// How long a question about it may take.
const ASK_MAX: Duration = Duration::from_secs(10);
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Only who has routes can do it.
pub(crate) const ROUTED: Row = Row {
    name: "routed",
    what: "records routed into workflows, no worker: 500,000 for 10,000; and 200,000 for as many",
    unit: "record",
    needs: &[&[Port::Routes]],
    limit: Duration::from_secs(180),
    routes: r#"[[route]]
name = "same"
topics = ["routed-same"]
workflow_type = "Routed"
task_queue = "bench-nobody"
signal = "fact"

[[route]]
name = "new"
topics = ["routed-new"]
workflow_type = "Routed"
task_queue = "bench-nobody"
signal = "fact"
"#,
    drive: Some(|job| routed(job).boxed()),
};

async fn routed(job: &Job) -> Result<Vec<Measured>> {
    let same = Load { route: "same", records: SAME_KEYS, keys: KEYS };
    let new = Load { route: "new", records: NEW_KEYS, keys: u64::MAX };
    let mut figures = Vec::new();
    for (variant, load) in [("", same), ("new keys", new)] {
        let topic = load.topic();
        kafka::ensure_topic(job, &topic, PARTITIONS).await?;
        let (job, variant) = (job.clone(), variant.to_owned());
        figures.push(blocking(move || load.measure(&job, &variant)).await?);
    }
    Ok(figures)
}

/// What one route gets.
struct Load {
    route: &'static str,
    records: u64,
    keys: u64,
}

impl Load {
    fn topic(&self) -> String {
        format!("routed-{}", self.route)
    }

    fn measure(&self, job: &Job, variant: &str) -> Result<Measured> {
        let count = job.options.count(self.records);
        let position = Position::of(job, self)?;
        let before = position.look()?;
        let failed = Failed::default();
        let config = kafka::throughput_producer(job)?;
        let producer: BaseProducer<Failed> = config.create_with_context(failed.clone())?;
        let window = job.window();
        for number in 0..count {
            self.send(&producer, number)?;
        }
        let mut seen = (before, Instant::now());
        while seen.0 < before + count {
            producer.poll(LOOK_PAUSE);
            ensure!(failed.0.load(Ordering::Relaxed) == 0, "records were not acknowledged");
            let now = position.look()?;
            if now > seen.0 {
                seen = (now, Instant::now());
            }
            let (routed, waited) = (seen.0 - before, seen.1.elapsed());
            ensure!(waited < STALL_MAX, "{routed} of {count} were routed, then none");
        }
        Ok(job.measured(variant, count, window.close()))
    }

    fn send(&self, producer: &BaseProducer<Failed>, number: u64) -> Result<()> {
        let key = format!("{}-{}-{}", self.route, std::process::id(), number % self.keys);
        let value = format!(
            r#"{{"order":"{key}","number":{number},"customer":"customer-{}","amount_cents":1999}}"#,
            number % 100
        );
        let topic = self.topic();
        let mut record = BaseRecord::to(&topic).key(&key).payload(&value);
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    producer.poll(FULL_PAUSE);
                    record = again;
                }
                Err((error, _)) => return Err(error).context("send a record"),
            }
        }
    }
}

/// Where a route is.
struct Position {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Position {
    fn of(job: &Job, load: &Load) -> Result<Position> {
        let group = format!("mainstay-route-{}", load.route);
        let consumer = kafka::group_member(job, &group)?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(&load.topic(), 0, PARTITIONS - 1);
        Ok(Position { consumer, partitions })
    }

    /// Records that have been routed, over all partitions.
    fn look(&self) -> Result<u64> {
        let asked = self.consumer.committed_offsets(self.partitions.clone(), ASK_MAX);
        let mut routed = 0;
        for partition in asked.context("the route's position")?.elements() {
            if let Offset::Offset(offset) = partition.offset() {
                routed += u64::try_from(offset)?;
            }
        }
        Ok(routed)
    }
}

/// Records that were refused.
#[derive(Clone, Default)]
struct Failed(Arc<AtomicU64>);

impl ClientContext for Failed {}

impl ProducerContext for Failed {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        if report.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
