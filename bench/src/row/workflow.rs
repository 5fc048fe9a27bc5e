//! A workflow of three activities, one after the other: many at once for throughput, one at a time for
//! latency. The client starts it, waits for its end, and starts the next.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use futures::future::BoxFuture;
use temporalio_client::{Client, WorkflowGetResultOptions, WorkflowStartOptions};

use super::{Job, Row, closed_loop};
use crate::measured::Measured;
use crate::peer::Port;
use crate::worker::restate;
use crate::worker::rpc::{self, Rpc, Start};
use crate::worker::script::{Order, STEPS, Steps};
use crate::worker::sdk;
use crate::worker::thin::{POLLERS, Worker};

/// Workflows under way in the throughput rows.
pub(crate) const CONCURRENCY: usize = 50;
/// Two variants, each with its warm-up and its last units.
const LIMIT: Duration = Duration::from_secs(90);

/// Restate has one worker only; it stands beside both of Temporal's.
const EITHER: &[&[Port]] = &[&[Port::Temporal], &[Port::Restate]];

/// Throughput, with the worker that costs nearly nothing.
pub(crate) const WORKFLOW_THIN: Row = Row {
    name: "workflow-thin",
    what: "workflows of 3 activities, 50 at once, worker without an SDK",
    unit: "workflow",
    needs: EITHER,
    limit: LIMIT,
    routes: "",
    drive: Some(drive_thin),
};

/// Latency, with the same worker.
pub(crate) const WORKFLOW_THIN_ONE: Row = Row {
    name: "workflow-thin-one",
    what: "workflows of 3 activities, one at a time, worker without an SDK",
    unit: "workflow",
    needs: EITHER,
    limit: LIMIT,
    routes: "",
    drive: Some(drive_thin_one),
};

/// Throughput, with the official worker.
pub(crate) const WORKFLOW_SDK: Row = Row {
    name: "workflow-sdk",
    what: "workflows of 3 activities, 50 at once, the official SDK's worker and client",
    unit: "workflow",
    needs: EITHER,
    limit: LIMIT,
    routes: "",
    drive: Some(drive_sdk),
};

/// Latency, with the same.
pub(crate) const WORKFLOW_SDK_ONE: Row = Row {
    name: "workflow-sdk-one",
    what: "workflows of 3 activities, one at a time, the official SDK's worker and client",
    unit: "workflow",
    needs: EITHER,
    limit: LIMIT,
    routes: "",
    drive: Some(drive_sdk_one),
};

fn drive_sdk(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    async {
        if job.addresses.restate.is_some() {
            return durable_steps(job, CONCURRENCY).await;
        }
        official(job, CONCURRENCY).await
    }
    .boxed()
}

fn drive_sdk_one(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    async {
        if job.addresses.restate.is_some() {
            return durable_steps(job, 1).await;
        }
        official(job, 1).await
    }
    .boxed()
}

/// Restate's equivalent.
async fn durable_steps(job: &Job, concurrency: usize) -> Result<Vec<Measured>> {
    let addresses = &job.addresses;
    let admin = addresses.restate_admin.as_deref().context("this row needs --restate-admin")?;
    let worker = restate::Worker::start(admin).await?;
    let ingress = addresses.restate.as_deref().context("this row needs --restate")?;
    let callers = Arc::new(restate::Callers::new(ingress)?);
    let concurrency = job.options.concurrency.unwrap_or(concurrency);
    let measured = closed_loop::measure(job, "", concurrency, move |number| {
        let callers = Arc::clone(&callers);
        async move { callers.run(&Order::numbered(number)).await }
    });
    let measured = measured.await?;
    drop(worker);
    Ok(vec![measured])
}

async fn official(job: &Job, concurrency: usize) -> Result<Vec<Measured>> {
    let queue = format!("bench-{}-sdk", std::process::id());
    let client = sdk::connect(job.temporal()?).await?;
    let options = sdk::options(&queue, job.options.pollers)?;
    let worker = sdk::Worker::start(job.temporal()?, options).await?;
    let concurrency = job.options.concurrency.unwrap_or(concurrency);
    let queue = Arc::<str>::from(queue);
    let measured = closed_loop::measure(job, "", concurrency, move |number| {
        execute(client.clone(), Arc::clone(&queue), number)
    });
    Ok(vec![worker.serve(measured).await?])
}

async fn execute(client: Client, queue: Arc<str>, number: u64) -> Result<()> {
    let options = WorkflowStartOptions::new(queue.as_ref(), format!("{queue}-{number}")).build();
    let started = client.start_workflow(sdk::Steps::run, Order::numbered(number), options);
    let handle = Box::pin(started).await?;
    Box::pin(handle.get_result(WorkflowGetResultOptions::default())).await?;
    Ok(())
}

fn drive_thin(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    async {
        if job.addresses.restate.is_some() {
            return durable_steps(job, CONCURRENCY).await;
        }
        let eager = thin(job, CONCURRENCY, true).await?;
        Ok(vec![eager, thin(job, CONCURRENCY, false).await?])
    }
    .boxed()
}

fn drive_thin_one(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    async {
        if job.addresses.restate.is_some() {
            return durable_steps(job, 1).await;
        }
        Ok(vec![thin(job, 1, true).await?])
    }
    .boxed()
}

/// SDKs ask for eager activities by default; without them each is one more poll.
async fn thin(job: &Job, concurrency: usize, eager: bool) -> Result<Measured> {
    let variant = if eager { "" } else { "not eager" };
    let queue = format!("bench-{}-{eager}", std::process::id());
    let rpc = Rpc::connect(job.temporal()?).await?;
    let pollers = job.options.pollers.unwrap_or(POLLERS);
    let worker = Rpc::connect(job.temporal()?).await?;
    let worker = Worker::start(worker, &queue, pollers, Steps { eager });
    let concurrency = job.options.concurrency.unwrap_or(concurrency);
    let (queue, each) = (Arc::<str>::from(queue), rpc.clone());
    let measured = closed_loop::measure(job, variant, concurrency, move |number| {
        run(each.clone(), Arc::clone(&queue), number)
    })
    .await;
    rpc.tell_repeated();
    match worker.end().await {
        Some(trouble) => bail!("the worker: {trouble}"),
        None => measured,
    }
}

async fn run(rpc: Rpc, queue: Arc<str>, number: u64) -> Result<()> {
    let workflow_id = format!("{queue}-{number}");
    let start = Start {
        workflow_id: &workflow_id,
        workflow_type: STEPS,
        queue: &queue,
        input: rpc::json(&Order::numbered(number)),
    };
    let run_id = rpc.start(start).await?;
    rpc.completed(&workflow_id, &run_id).await
}
