//! Starting workflows that no worker takes: one durable change each, nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::workflow::CONCURRENCY;
use super::{Job, Row, TEMPORAL, closed_loop};
use crate::measured::Measured;
use crate::worker::rpc::{self, Rpc, Start};
use crate::worker::script::STEPS;

/// New workflows, each with an id of its own.
pub(crate) const START: Row = Row {
    name: "start",
    what: "workflows started, 50 at once, no worker",
    unit: "start",
    needs: TEMPORAL,
    limit: Duration::from_secs(60),
    routes: "",
    drive: Some(drive),
};

fn drive(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    starts(job).boxed()
}

async fn starts(job: &Job) -> Result<Vec<Measured>> {
    let rpc = Rpc::connect(job.temporal()?).await?;
    let queue = Arc::<str>::from(format!("bench-{}-nobody", std::process::id()));
    let concurrency = job.options.concurrency.unwrap_or(CONCURRENCY);
    let each = rpc.clone();
    let measured = closed_loop::measure(job, "", concurrency, move |number| {
        start(each.clone(), Arc::clone(&queue), number)
    });
    let measured = measured.await?;
    rpc.tell_repeated();
    Ok(vec![measured])
}

async fn start(rpc: Rpc, queue: Arc<str>, number: u64) -> Result<()> {
    let workflow_id = format!("{queue}-{number}");
    let start = Start {
        workflow_id: &workflow_id,
        workflow_type: STEPS,
        queue: &queue,
        input: rpc::json(&number),
    };
    rpc.start(start).await?;
    Ok(())
}
