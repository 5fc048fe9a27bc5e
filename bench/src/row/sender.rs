//! One producer that sends as fast as the peer takes records, and counts the acknowledged ones.
//!
//! It does as little for a record as the client library allows: the same payload each time (the
//! library copies it), no key, reports counted in batches by the thread that sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::util::Timeout;

use super::Job;
use super::kafka::{PARTITION, throughput_producer};

/// Records between two looks at what was acknowledged.
const SENT_PER_LOOK: u64 = 1_024;
/// How long to wait for acknowledgements where the queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// How long without any acknowledgement is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

/// See the module's page.
pub(crate) struct Sender {
    producer: BaseProducer<Reports>,
    topic: String,
    payload: Vec<u8>,
}

/// What came back.
#[derive(Default)]
struct Reports {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        let count = if report.is_ok() { &self.delivered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sender {
    /// A producer of records of so many bytes.
    pub(crate) fn open(job: &Job, topic: &str, record_bytes: usize) -> Result<Sender> {
        let config = throughput_producer(job)?;
        let producer = config.create_with_context(Reports::default()).context("a producer")?;
        // Not all the same byte, although nothing is compressed.
        let payload = (0..record_bytes).map(|at| (at * 31 % 251) as u8).collect();
        Ok(Sender { producer, topic: topic.to_owned(), payload })
    }

    /// Sends `count` records and returns when all are acknowledged.
    pub(crate) fn send(&self, count: u64) -> Result<()> {
        let before = self.delivered();
        for sent in 0..count {
            self.enqueue()?;
            if sent % SENT_PER_LOOK == 0 {
                self.look();
            }
        }
        self.wait_for(before + count)
    }

    fn enqueue(&self) -> Result<()> {
        loop {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(&self.topic).partition(PARTITION).payload(&self.payload);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.pause()
                }
                Err((error, _)) => return Err(error).context("send a record"),
            }
        }
    }

    fn wait_for(&self, count: u64) -> Result<()> {
        let (mut seen, mut since) = (0, Instant::now());
        while self.delivered() < count {
            self.pause();
            self.check()?;
            if self.delivered() > seen {
                (seen, since) = (self.delivered(), Instant::now());
            } else if since.elapsed() > STALL_MAX {
                bail!("no acknowledgement for {STALL_MAX:?}, after {seen} of {count}");
            }
        }
        self.check()
    }

    /// Waits a little, and takes what was acknowledged meanwhile.
    fn pause(&self) {
        // The library's own waiting spins through the last millisecond of its time.
        std::thread::park_timeout(FULL_PAUSE);
        while self.look() {}
    }

    /// Takes one batch of reports, if there is one.
    fn look(&self) -> bool {
        let before = self.delivered();
        self.producer.poll(Timeout::After(Duration::ZERO));
        self.delivered() > before
    }

    fn check(&self) -> Result<()> {
        let failed = self.producer.context().failed.load(Ordering::Relaxed);
        ensure!(failed == 0, "{failed} records were not acknowledged");
        Ok(())
    }

    fn delivered(&self) -> u64 {
        self.producer.context().delivered.load(Ordering::Relaxed)
    }
}
