//! Signal-with-start onto workflows that no worker takes: the first for an id starts it, all others
//! signal it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::workflow::CONCURRENCY;
use super::{Job, Row, TEMPORAL, closed_loop};
use crate::measured::Measured;
use crate::worker::rpc::{self, Rpc, Signal, Start};
use crate::worker::script::{DELIVER, MAILBOX};

/// Ids, taken in turn.
const WORKFLOWS: u64 = 1_000;
/// The real server refuses more signals to one run than 10,000: then come other ids.
const SIGNALS_PER_WORKFLOW: u64 = 1_000;

/// Signals to workflows that may have to be started.
pub(crate) const SIGNAL_WITH_START: Row = Row {
    name: "signal-with-start",
    what: "signal-with-start, 50 at once, 1,000 ids in turn, no worker",
    unit: "signal",
    needs: TEMPORAL,
    limit: Duration::from_secs(60),
    routes: "",
    drive: Some(drive),
};

fn drive(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    signals(job).boxed()
}

async fn signals(job: &Job) -> Result<Vec<Measured>> {
    let rpc = Rpc::connect(job.temporal()?).await?;
    let queue = Arc::<str>::from(format!("bench-{}-nobody", std::process::id()));
    let concurrency = job.options.concurrency.unwrap_or(CONCURRENCY);
    let each = rpc.clone();
    let measured = closed_loop::measure(job, "", concurrency, move |number| {
        signal(each.clone(), Arc::clone(&queue), number)
    });
    let measured = measured.await?;
    rpc.tell_repeated();
    Ok(vec![measured])
}

async fn signal(rpc: Rpc, queue: Arc<str>, number: u64) -> Result<()> {
    let lap = number / (WORKFLOWS * SIGNALS_PER_WORKFLOW);
    let workflow_id = format!("{queue}-{lap}-{}", number % WORKFLOWS);
    let start = Start {
        workflow_id: &workflow_id,
        workflow_type: MAILBOX,
        queue: &queue,
        input: rpc::json(&0),
    };
    let signal = Signal {
        name: DELIVER,
        input: rpc::json(&number),
        request_id: format!("{queue}-signal-{number}"),
    };
    rpc.signal_with_start(start, signal).await?;
    Ok(())
}
