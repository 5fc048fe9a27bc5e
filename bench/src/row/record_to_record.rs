//! A record that causes a workflow that causes a record: produced to one topic, consumed from another.
//! Many at once for throughput, one at a time for latency; each record is a workflow of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset};
use tokio::sync::oneshot;

use super::{Job, Row, closed_loop, kafka};
use crate::measured::Measured;
use crate::peer::{OURS, Port};
use crate::worker::forward::{self, Errand, Fact};
use crate::worker::sdk;

/// Where records are produced and consumed; the route names them too.
const FROM: &str = "forward-from";
const TO: &str = "forward-to";
/// Records under way in the throughput row.
const CONCURRENCY: usize = 50;
/// How long one record may take, and the first one: groups have to form.
const ARRIVAL_MAX: Duration = Duration::from_secs(20);
const FIRST_ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// How often the reader looks whether it is still wanted.
const READ_PAUSE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(150);
const NEEDS: &[&[Port]] = &[&[Port::Kafka, Port::Temporal]];
/// As `Errand` says it to the workflow.
const ROUTES: &str = r#"[[route]]
name = "forward"
topics = ["forward-from"]
workflow_type = "Forward"
task_queue = "bench-forward"
signal = "fact"
input = [{ queue = "mainstay", topic = "forward-to" }]
"#;

/// Throughput.
pub(crate) const RECORD_TO_RECORD: Row = Row {
    name: "record-to-record",
    what: "record -> workflow -> activity -> record, 50 at once, official SDK's worker",
    unit: "record",
    needs: NEEDS,
    limit: LIMIT,
    routes: ROUTES,
    drive: Some(drive),
};

/// Latency.
pub(crate) const RECORD_TO_RECORD_ONE: Row = Row {
    name: "record-to-record-one",
    what: "record -> workflow -> activity -> record, one at a time, official SDK's worker",
    unit: "record",
    needs: NEEDS,
    limit: LIMIT,
    routes: ROUTES,
    drive: Some(drive_one),
};

fn drive(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    forwarded(job, CONCURRENCY).boxed()
}

fn drive_one(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    forwarded(job, 1).boxed()
}

async fn forwarded(job: &Job, concurrency: usize) -> Result<Vec<Measured>> {
    kafka::ensure_topic(job, FROM, 1).await?;
    kafka::ensure_topic(job, TO, 1).await?;
    // Whoever is not Mainstay needs a bridge, and an activity that publishes.
    let by_hand = job.peer != OURS;
    let producer: Option<FutureProducer> = by_hand
        .then(|| kafka::latency_producer(job)?.create().context("a producer"))
        .transpose()?;
    let worker = sdk::Worker::start(job.temporal()?, forward::options(producer)?).await?;
    let work = measure(job, job.options.concurrency.unwrap_or(concurrency));
    if !by_hand {
        return worker.serve(work).await;
    }
    let errand = Errand { queue: forward::QUEUE.to_owned(), topic: TO.to_owned() };
    let client = sdk::connect(job.temporal()?).await?;
    let bridge = forward::bridge(kafka::group_consumer(job, FROM)?, FROM, client, errand);
    let bridged = async {
        tokio::select! {
            measured = work => measured,
            ended = bridge => Err(ended.err().unwrap_or_else(|| anyhow!("the bridge ended"))),
        }
    };
    worker.serve(bridged).await
}

async fn measure(job: &Job, concurrency: usize) -> Result<Vec<Measured>> {
    let ends = Arc::new(Ends {
        producer: kafka::latency_producer(job)?.create().context("a producer")?,
        name: format!("bench-{}", std::process::id()),
        waiting: Mutex::default(),
        over: AtomicBool::new(false),
    });
    let consumer = kafka::consumer(job, TO, Offset::Beginning)?;
    let reader = Arc::clone(&ends);
    let reads = std::thread::spawn(move || reader.read(&consumer));
    Arc::clone(&ends).forward("first".to_owned(), FIRST_ARRIVAL_MAX).await?;
    let each = Arc::clone(&ends);
    let measured = closed_loop::measure(job, "", concurrency, move |number| {
        Arc::clone(&each).forward(number.to_string(), ARRIVAL_MAX)
    })
    .await;
    ends.over.store(true, Ordering::Relaxed);
    ensure!(reads.join().is_ok(), "the reader panicked");
    Ok(vec![measured?])
}

/// The two ends of the way, in one process.
struct Ends {
    producer: FutureProducer,
    /// Apart from other runs against the same peer.
    name: String,
    /// Who waits for a record, by its key.
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
    over: AtomicBool,
}

impl Ends {
    /// Produces a record and waits until the other one has come.
    async fn forward(self: Arc<Self>, number: String, limit: Duration) -> Result<()> {
        let key = format!("{}-{number}", self.name);
        let (tell, told) = oneshot::channel();
        self.waiting().insert(key.clone(), tell);
        let fact = Fact { key: key.clone(), text: "x".repeat(100) };
        let value = serde_json::to_vec(&fact)?;
        let record = FutureRecord::to(FROM).key(&key).payload(&value);
        let sent = self.producer.send_result(record).map_err(|(error, _)| error);
        let acknowledged = sent.context("send a record")?.await.context("the producer")?;
        acknowledged.map_err(|(error, _)| error).context("produce a record")?;
        let arrived = tokio::time::timeout(limit, told).await;
        arrived.with_context(|| format!("{key} has not come within {limit:?}"))??;
        Ok(())
    }

    fn read(&self, consumer: &BaseConsumer) {
        while !self.over.load(Ordering::Relaxed) {
            // What could not be read is missed by whoever waits for it.
            let Some(Ok(record)) = consumer.poll(READ_PAUSE) else { continue };
            let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
            if let Some(tell) = key.and_then(|key| self.waiting().remove(key)) {
                // It may have been given up.
                let _ = tell.send(());
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_says_what_the_bridge_says() {
        for said in [FROM, TO, forward::QUEUE] {
            assert!(ROUTES.contains(&format!("\"{said}\"")), "{said}");
        }
    }
}
