//! Consuming: one consumer reads what was produced before, from the beginning of its one partition.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use rdkafka::consumer::BaseConsumer;
use rdkafka::{Message, Offset};

use super::produce::blocking;
use super::sender::Sender;
use super::{Job, KAFKA, Row, kafka};
use crate::measured::Measured;

/// 3 M records of 1 KiB.
pub(crate) const CONSUME_1K: Row = Row {
    name: "consume-1k",
    what: "3 M records of 1 KiB from the beginning, one consumer",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(300),
    routes: "",
    drive: Some(|job| consume(job, 1_024, 3_000_000).boxed()),
};

/// 10 M records of 100 bytes.
pub(crate) const CONSUME_100: Row = Row {
    name: "consume-100",
    what: "10 M records of 100 bytes from the beginning, one consumer",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(300),
    routes: "",
    drive: Some(|job| consume(job, 100, 10_000_000).boxed()),
};

/// Records another consumer reads first.
const WARM_RECORDS: u64 = 500_000;
/// How long without any record is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

async fn consume(job: &Job, record_bytes: usize, usual: u64) -> Result<Vec<Measured>> {
    let topic = kafka::create_topic(job).await?;
    let job = job.clone();
    blocking(move || {
        let count = job.options.count(usual);
        Sender::open(&job, &topic, record_bytes)?.send(count)?;
        let warm = kafka::consumer(&job, &topic, Offset::Beginning)?;
        read(&warm, WARM_RECORDS.min(count), record_bytes)?;
        drop(warm);
        let consumer = kafka::consumer(&job, &topic, Offset::Beginning)?;
        // The window begins with the first record: finding the partition is not the work.
        read(&consumer, 1, record_bytes)?;
        let window = job.window();
        read(&consumer, count - 1, record_bytes)?;
        Ok(vec![job.measured("", count - 1, window.close())])
    })
    .await
}

/// Reads so many records, each of which must have its size.
fn read(consumer: &BaseConsumer, count: u64, record_bytes: usize) -> Result<()> {
    let mut since = Instant::now();
    let mut left = count;
    while left > 0 {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else {
            let (read, stall) = (count - left, since.elapsed());
            ensure!(stall < STALL_MAX, "no record for {stall:?}, after {read} of {count}");
            continue;
        };
        let record = record.context("a record")?;
        let got = record.payload_len();
        ensure!(got == record_bytes, "a record of {got} bytes at offset {}", record.offset());
        left -= 1;
        if left.is_multiple_of(1 << 16) {
            since = Instant::now();
        }
    }
    Ok(())
}
