//! The worker: an ordinary worker of the official SDK. Its tasks and answers are noted as they pass,
//! and what its activities do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use checker::Line;
use serde::{Deserialize, Serialize};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::{PollerBehavior, RuntimeOptions};
use temporalio_sdk::{ApplicationFailure, Runtime, Worker, WorkerOptions};

use super::workflows::{Job, Mailbox};
use super::{World, wire};
use crate::book::{Book, now_us};
use crate::temporal::{self, QUEUE};

/// Starts of a worker that finds no node.
const STARTS_MAX: u32 = 20;
const POLLERS: usize = 8;
/// Runs kept in memory: fewer than are open, so that many tasks need the whole history.
const CACHED: usize = 60;
/// A task on the queue of a worker that was killed goes to the others after this.
const STICKY_MAX: Duration = Duration::from_secs(1);
/// Ids of results are apart from all others.
const RESULTS: u64 = 1 << 60;
/// One activity in so many fails at its first attempt.
const FLAKY_ONCE_IN: u64 = 5;

/// Works until it is stopped. A worker that finds no node when it begins gives up: it is started
/// again, as a supervisor would.
pub(crate) async fn run(world: World) -> Result<()> {
    let mut starts = 1;
    while let Err(error) = work(&world).await {
        crate::cli::say(&format!("worker {}, start {starts}: {error:#}\n", world.process));
        starts += 1;
        if world.stopped() || starts > STARTS_MAX {
            return Err(error);
        }
    }
    Ok(())
}

async fn work(world: &World) -> Result<()> {
    let wire = wire::service(world.addresses.temporal, Arc::clone(&world.book))?;
    let client = temporal::worker_client(world.addresses.temporal, wire).await?;
    let options = RuntimeOptions::builder().heartbeat_interval(None).build();
    let options = options.map_err(|error| anyhow!("{error}"))?;
    let runtime = Runtime::from_current_tokio(options).map_err(|error| anyhow!("{error}"))?;
    let work =
        Work { book: Arc::clone(&world.book), process: world.process, done: AtomicU64::new(0) };
    let options = WorkerOptions::new(QUEUE)
        .max_cached_workflows(CACHED)
        .sticky_queue_schedule_to_start_timeout(STICKY_MAX)
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .register_workflow::<Job>()
        .context("the workflow Job")?
        .register_workflow::<Mailbox>()
        .context("the workflow Mailbox")?
        .register_activities(work)
        .build();
    let worker = Worker::new(&runtime, client, options);
    let mut worker = worker.map_err(|error| anyhow!("the worker: {error}"))?;
    let mut stop = world.stop.clone();
    tokio::select! {
        ended = worker.run() => ended.map_err(|error| anyhow!("the worker: {error}")),
        // Whatever it still holds is for the next worker. Not the SDK's own way to end: with more runs
        // than fit into its cache that panics now and then ("Extra buffered run").
        _ = stop.wait_for(|stop| *stop) => std::process::exit(0),
    }
}

/// The activities.
pub(crate) struct Work {
    book: Arc<Book>,
    process: u32,
    done: AtomicU64,
}

/// What an activity answers: no two answers are the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    value: u64,
}

#[activities]
impl Work {
    /// Does something outside, which is to say: writes it down.
    #[activity]
    pub(crate) async fn work(
        self: Arc<Self>,
        ctx: ActivityContext,
        id: u64,
    ) -> Result<Done, ActivityError> {
        let info = ctx.info();
        let run_id = info.workflow_run_id.clone().unwrap_or_default();
        let (activity_id, attempt) = (info.activity_id.clone(), info.attempt);
        self.book.put(Line::Effect {
            at_us: now_us(),
            process: self.process,
            run_id,
            activity_id,
            attempt,
        });
        let fails = attempt == 1 && id.is_multiple_of(FLAKY_ONCE_IN);
        if fails {
            return Err(ActivityError::application(ApplicationFailure::new("not this time")));
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        Ok(Done { value: RESULTS | u64::from(self.process) << 32 | done })
    }
}
