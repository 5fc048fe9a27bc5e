//! Producing one record at a time: how long until it is acknowledged.
//!
//! The next record is sent from where the last one's report arrives, so that no second thread of the
//! client has to wake up in between.

use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::FutureExt;
use hdrhistogram::Histogram;
use rdkafka::ClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::produce::blocking;
use super::{Job, KAFKA, Row, kafka};
use crate::measured::{Latency, Measured};

/// 10,000 records of 1 KiB.
pub(crate) const PRODUCE_ONE: Row = Row {
    name: "produce-one",
    what: "10,000 records of 1 KiB, acks=all, one in flight",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(120),
    routes: "",
    drive: Some(|job| one_at_a_time(job).boxed()),
};

const RECORDS: u64 = 10_000;
const WARM_RECORDS: u64 = 3_000;
const RECORD_BYTES: usize = 1_024;
/// How long a look at the reports lasts; the last one ends that much after the last report at most, and
/// the library spins through the last millisecond of each.
const POLL: Duration = Duration::from_millis(50);
/// How long without an acknowledgement is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

async fn one_at_a_time(job: &Job) -> Result<Vec<Measured>> {
    let topic = kafka::create_topic(job).await?;
    let job = job.clone();
    blocking(move || {
        let chain = Chain { topic, ..Chain::default() };
        let config = kafka::latency_producer(&job)?;
        let producer: BaseProducer<Chain> = config.create_with_context(chain)?;
        let producer = std::sync::Arc::new(producer);
        let weak = std::sync::Arc::downgrade(&producer);
        ensure!(producer.context().producer.set(weak).is_ok(), "a producer is set once");
        let count = job.options.count(RECORDS);
        run(&producer, WARM_RECORDS.min(count))?;
        let window = job.window();
        let latency = run(&producer, count)?;
        let used = window.close();
        Ok(vec![Measured { latency: Some(latency), ..job.measured("", count, used) }])
    })
    .await
}

/// Sends so many records, each when the one before it is acknowledged.
fn run(producer: &BaseProducer<Chain>, count: u64) -> Result<Latency> {
    let chain = producer.context();
    chain.begin(count, producer)?;
    let (mut seen, mut since) = (count, Instant::now());
    while chain.left() > 0 {
        producer.poll(POLL);
        if chain.left() < seen {
            (seen, since) = (chain.left(), Instant::now());
        }
        ensure!(since.elapsed() < STALL_MAX, "no acknowledgement for {STALL_MAX:?}");
    }
    chain.end()
}

/// Sends a record whenever one is acknowledged.
#[derive(Default)]
struct Chain {
    topic: String,
    producer: OnceLock<Weak<BaseProducer<Chain>>>,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    left: u64,
    sent: Option<Instant>,
    /// Microseconds.
    histogram: Option<Histogram<u64>>,
    error: Option<String>,
}

impl ClientContext for Chain {}

impl ProducerContext for Chain {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        let now = Instant::now();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = report.as_ref().map(drop).map_err(|(error, _)| error.to_string());
        let next = acknowledged.and_then(|()| links.acknowledged(now));
        let sent = match (next, self.producer.get().and_then(Weak::upgrade)) {
            (Ok(true), Some(producer)) => self.send(&mut links, &producer),
            (next, _) => next.map(drop),
        };
        if let Err(error) = sent {
            links.left = 0;
            links.error = Some(error);
        }
    }
}

impl Chain {
    fn begin(&self, count: u64, producer: &BaseProducer<Chain>) -> Result<()> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.left = count;
        links.histogram = Some(Histogram::new(3).context("a histogram")?);
        self.send(&mut links, producer).map_err(anyhow::Error::msg)
    }

    fn send(&self, links: &mut Links, producer: &BaseProducer<Chain>) -> Result<(), String> {
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(&self.topic).partition(kafka::PARTITION).payload(&[7; RECORD_BYTES]);
        links.sent = Some(Instant::now());
        producer.send(record).map_err(|(error, _)| error.to_string())
    }

    fn left(&self) -> u64 {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).left
    }

    fn end(&self) -> Result<Latency> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = links.error.take() {
            bail!("a record was not acknowledged: {error}");
        }
        Ok(Latency::of(&links.histogram.take().context("a histogram")?))
    }
}

impl Links {
    /// Whether there is another one to send.
    fn acknowledged(&mut self, now: Instant) -> Result<bool, String> {
        let took = self.sent.take().map_or(Duration::ZERO, |sent| now - sent);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.histogram {
            histogram.record(micros).map_err(|error| error.to_string())?;
        }
        self.left = self.left.saturating_sub(1);
        Ok(self.left > 0)
    }
}
