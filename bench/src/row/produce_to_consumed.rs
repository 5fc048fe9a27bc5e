//! From the call that sends a record to the call that returns it: a consumer waits for it.
//!
//! Two figures: one record at a time, the next one sent when the last one was consumed; and an open
//! loop, where records are sent at fixed times, whether or not the last one has arrived. There a
//! record's time begins when it was due, so that a peer which stands still is not spared.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use hdrhistogram::Histogram;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::util::Timeout;
use rdkafka::{Message, Offset};

use super::produce::blocking;
use super::{Job, KAFKA, Row, kafka};
use crate::measured::{Latency, Measured};

/// 5,000 records one by one, then 500 a second for ten seconds.
pub(crate) const PRODUCE_TO_CONSUMED: Row = Row {
    name: "produce-to-consumed",
    what: "5,000 records of 1 KiB to a waiting consumer, one at a time; and 500 a second",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(120),
    routes: "",
    drive: Some(|job| to_consumed(job).boxed()),
};

const RECORDS: u64 = 5_000;
const WARM_RECORDS: u64 = 2_000;
const RECORD_BYTES: usize = 1_024;
const OPEN_LOOP: Duration = Duration::from_secs(10);
const OPEN_LOOP_PER_SECOND: u32 = 500;
/// How long without the next record is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

async fn to_consumed(job: &Job) -> Result<Vec<Measured>> {
    let topic = kafka::create_topic(job).await?;
    let job = job.clone();
    blocking(move || {
        let consumer = kafka::consumer(&job, &topic, Offset::Beginning)?;
        let pair = Pair { producer: kafka::latency_producer(&job)?.create()?, topic, consumer };
        let count = job.options.count(RECORDS);
        pair.one_by_one(WARM_RECORDS.min(count))?;
        let window = job.window();
        let latency = pair.one_by_one(count)?;
        let closed = Measured { latency, ..job.measured("", count, window.close()) };
        let time = job.options.time(OPEN_LOOP);
        let count = time.as_secs().max(1) * u64::from(OPEN_LOOP_PER_SECOND);
        let window = job.window();
        let latency = pair.at_fixed_times(count)?;
        let open = Measured { latency, ..job.measured("500 a second", count, window.close()) };
        Ok(vec![closed, open])
    })
    .await
}

/// Who sends and who reads, in one process, so that one clock measures.
struct Pair {
    producer: BaseProducer,
    consumer: BaseConsumer,
    topic: String,
}

impl Pair {
    fn one_by_one(&self, count: u64) -> Result<Option<Latency>> {
        let mut histogram = Histogram::new(3).context("a histogram")?;
        for number in 0..count {
            let sent = Instant::now();
            self.send(number)?;
            receive(&self.consumer, number)?;
            histogram.record(micros(sent.elapsed()))?;
        }
        Ok(Some(Latency::of(&histogram)))
    }

    /// The consumer has a thread of its own; this one sends when it is time.
    fn at_fixed_times(&self, count: u64) -> Result<Option<Latency>> {
        let begin = Instant::now();
        let due = move |number: u64| begin + Duration::from_secs(number) / OPEN_LOOP_PER_SECOND;
        let histogram = std::thread::scope(|scope| {
            // Gone when the reader has ended, however it ended.
            let (reads, reader) = sync_channel::<()>(0);
            let read = scope.spawn(move || -> Result<Histogram<u64>> {
                let _reads = reads;
                let mut histogram = Histogram::new(3).context("a histogram")?;
                for number in 0..count {
                    receive(&self.consumer, number)?;
                    histogram.record(micros(due(number).elapsed()))?;
                }
                Ok(histogram)
            });
            let sent = (0..count).try_for_each(|number| {
                ensure!(wait(&reader, due(number)), "nobody reads any more");
                self.send(number)
            });
            let read = read.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
            // Why nobody reads is said by the reader.
            let histogram = read?;
            sent.map(|()| histogram)
        })?;
        Ok(Some(Latency::of(&histogram)))
    }

    fn send(&self, number: u64) -> Result<()> {
        let mut payload = [7; RECORD_BYTES];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(&self.topic).partition(kafka::PARTITION).payload(&payload);
        self.producer.send(record).map_err(|(error, _)| error).context("send a record")?;
        // Takes the reports of records before this one off the queue.
        self.producer.poll(Timeout::After(Duration::ZERO));
        Ok(())
    }
}

/// Waits for a time; false if the reader has ended.
fn wait(reader: &Receiver<()>, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    reader.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
}

/// Waits for the record with this number.
fn receive(consumer: &BaseConsumer, number: u64) -> Result<()> {
    let record = consumer.poll(STALL_MAX).context("no record came")?.context("a record")?;
    let head = record.payload().and_then(|payload| payload.first_chunk());
    let got = head.map(|head| u64::from_be_bytes(*head));
    ensure!(got == Some(number), "record {got:?} came where {number} was expected");
    Ok(())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
