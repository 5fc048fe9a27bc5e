//! Producing: one producer, one partition, `acks=all`, as fast as it goes.
//!
//! The long row is a steady state, with everything that has to be written behind; a burst is what a
//! warm connection takes after a pause, before the disk has to catch up.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;

use super::sender::Sender;
use super::{Job, KAFKA, Row, kafka};
use crate::measured::Measured;

/// 3 M records of 1 KiB.
pub(crate) const PRODUCE_1K: Row = Row {
    name: "produce-1k",
    what: "3 M records of 1 KiB, acks=all, one producer, one partition",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(300),
    routes: "",
    drive: Some(|job| steady(job, 1_024, 3_000_000).boxed()),
};

/// 500,000 records of 1 KiB, several times.
pub(crate) const PRODUCE_1K_BURST: Row = Row {
    name: "produce-1k-burst",
    what: "500,000 records of 1 KiB at once, on a warm connection; the middle one of 7, and the best",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(300),
    routes: "",
    drive: Some(|job| bursts(job).boxed()),
};

/// 10 M records of 100 bytes.
pub(crate) const PRODUCE_100: Row = Row {
    name: "produce-100",
    what: "10 M records of 100 bytes, acks=all, one producer, one partition",
    unit: "record",
    needs: KAFKA,
    limit: Duration::from_secs(300),
    routes: "",
    drive: Some(|job| steady(job, 100, 10_000_000).boxed()),
};

/// Records before the window: connections stand, code is compiled, files are open.
const WARM_RECORDS: u64 = 300_000;
const BURST_RECORDS: u64 = 500_000;
const BURSTS: usize = 7;
/// Between two bursts: what the last one left to write in the background is written.
const BURST_PAUSE: Duration = Duration::from_secs(1);

async fn steady(job: &Job, record_bytes: usize, usual: u64) -> Result<Vec<Measured>> {
    let topic = kafka::create_topic(job).await?;
    let job = job.clone();
    blocking(move || {
        let sender = Sender::open(&job, &topic, record_bytes)?;
        let count = job.options.count(usual);
        sender.send(WARM_RECORDS.min(count))?;
        let window = job.window();
        sender.send(count)?;
        Ok(vec![job.measured("", count, window.close())])
    })
    .await
}

async fn bursts(job: &Job) -> Result<Vec<Measured>> {
    let topic = kafka::create_topic(job).await?;
    let job = job.clone();
    let (job, sender) = blocking(move || {
        let sender = Sender::open(&job, &topic, 1_024)?;
        sender.send(WARM_RECORDS.min(job.options.count(BURST_RECORDS)))?;
        Ok((job, std::sync::Arc::new(sender)))
    })
    .await?;
    let mut bursts = Vec::new();
    for _ in 0..BURSTS {
        tokio::time::sleep(BURST_PAUSE).await;
        let (job, sender) = (job.clone(), std::sync::Arc::clone(&sender));
        bursts.push(blocking(move || burst(&job, &sender)).await?);
    }
    bursts.sort_by_key(|burst| burst.wall);
    let middle = bursts[BURSTS / 2].clone();
    let best = Measured { variant: "best".to_owned(), ..bursts.swap_remove(0) };
    Ok(vec![middle, best])
}

fn burst(job: &Job, sender: &Sender) -> Result<Measured> {
    let count = job.options.count(BURST_RECORDS);
    let window = job.window();
    sender.send(count)?;
    Ok(job.measured("", count, window.close()))
}

/// Runs what waits for the client library on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the client's thread")?
}
