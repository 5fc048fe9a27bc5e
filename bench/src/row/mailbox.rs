//! Mailboxes: workflows that live for ever, take signals and count them, and continue as new after
//! some hundreds. The figure is how many signals they have handled, not how many were sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::workflow::CONCURRENCY;
use super::{Job, Row, TEMPORAL, closed_loop};
use crate::measured::Measured;
use crate::worker::rpc::{self, Rpc, Signal, Start};
use crate::worker::script::{DELIVER, MAILBOX, Mailbox, Tally};
use crate::worker::sdk;
use crate::worker::thin::{POLLERS, Worker};

/// How many there are.
const MAILBOXES: u64 = 20;
/// Signals that may wait to be handled: the senders must not run away from the worker.
const BACKLOG: u64 = 2_000;
/// How often a sender looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(1);
/// More signals than a window ever sees.
const SIGNALS_MAX: u64 = 64 << 20;

/// With the worker that costs nearly nothing.
pub(crate) const MAILBOX_THIN: Row = Row {
    name: "mailbox-thin",
    what: "signals handled by 20 mailboxes, 50 sent at once, worker without an SDK",
    unit: "signal",
    needs: TEMPORAL,
    limit: Duration::from_secs(90),
    routes: "",
    drive: Some(drive_thin),
};

/// With the official worker.
pub(crate) const MAILBOX_SDK: Row = Row {
    name: "mailbox-sdk",
    what: "signals handled by 20 mailboxes, 50 sent at once, the official SDK's worker",
    unit: "signal",
    needs: TEMPORAL,
    limit: Duration::from_secs(90),
    routes: "",
    drive: Some(drive_sdk),
};

fn drive_sdk(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    official(job).boxed()
}

async fn official(job: &Job) -> Result<Vec<Measured>> {
    let queue = format!("bench-{}-mailboxes", std::process::id());
    let tally = Arc::new(Tally::new(SIGNALS_MAX));
    sdk::count_in(Arc::clone(&tally))?;
    let options = sdk::options(&queue, job.options.pollers)?;
    let worker = sdk::Worker::start(job.temporal()?, options).await?;
    Ok(vec![worker.serve(deliver(job, &queue, &tally)).await?])
}

fn drive_thin(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    thin(job).boxed()
}

async fn thin(job: &Job) -> Result<Vec<Measured>> {
    let queue = format!("bench-{}-mailboxes", std::process::id());
    let tally = Arc::new(Tally::new(SIGNALS_MAX));
    let pollers = job.options.pollers.unwrap_or(POLLERS);
    let script = Mailbox { tally: Arc::clone(&tally) };
    let worker = Worker::start(Rpc::connect(job.temporal()?).await?, &queue, pollers, script);
    let measured = deliver(job, &queue, &tally).await;
    match worker.end().await {
        Some(trouble) => bail!("the worker: {trouble}"),
        None => Ok(vec![measured?]),
    }
}

/// Starts the mailboxes, and sends signals to them in turn. In the end every one has been handled.
async fn deliver(job: &Job, queue: &str, tally: &Arc<Tally>) -> Result<Measured> {
    let rpc = Rpc::connect(job.temporal()?).await?;
    for number in 0..MAILBOXES {
        let workflow_id = &mailbox(queue, number);
        let input = rpc::json(&0);
        rpc.start(Start { workflow_id, workflow_type: MAILBOX, queue, input }).await?;
    }
    let sender = Arc::new(Sender {
        rpc,
        queue: queue.to_owned(),
        sent: AtomicU64::new(0),
        tally: Arc::clone(tally),
    });
    let concurrency = job.options.concurrency.unwrap_or(CONCURRENCY);
    let (each, all) = (Arc::clone(&sender), Arc::clone(tally));
    let unit = move |number| Arc::clone(&each).send(number);
    let measured = closed_loop::measure_effect(job, concurrency, unit, move || all.count()).await?;
    sender.drained().await?;
    sender.rpc.tell_repeated();
    Ok(measured)
}

struct Sender {
    rpc: Rpc,
    queue: String,
    sent: AtomicU64,
    tally: Arc<Tally>,
}

impl Sender {
    async fn send(self: Arc<Self>, number: u64) -> Result<()> {
        while self.waiting() > BACKLOG {
            tokio::time::sleep(PAUSE).await;
        }
        let signal = Signal {
            name: DELIVER,
            input: rpc::json(&number),
            request_id: format!("{}-signal-{number}", self.queue),
        };
        self.rpc.signal(&mailbox(&self.queue, number % MAILBOXES), signal).await?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A signal may be handled before its sender hears of it.
    fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.tally.count())
    }

    async fn drained(&self) -> Result<()> {
        let until = Instant::now() + closed_loop::GRACE;
        while self.waiting() > 0 && Instant::now() < until {
            tokio::time::sleep(PAUSE).await;
        }
        let sent = self.sent.load(Ordering::Relaxed);
        ensure!(self.waiting() == 0, "{} of {sent} signals were not handled", self.waiting());
        Ok(())
    }
}

fn mailbox(queue: &str, number: u64) -> String {
    format!("{queue}-{number}")
}
