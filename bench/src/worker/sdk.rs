//! The official worker, `temporalio-sdk`, with its own defaults, and its client: the same workflows as
//! the thin worker's.
//!
//! It lives in a thread of its own, as its futures do not move between threads, and uses the runtime
//! of this process for all else, as under `#[tokio::main]`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::{PollerBehavior, RuntimeOptions};
use temporalio_sdk::{
    ActivityOptions, ContinueAsNewOptions, Runtime, SyncWorkflowContext, WorkerOptions,
    WorkflowContext, WorkflowResult,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::worker::rpc::{NAMESPACE, identity};
use crate::worker::script::{ATTEMPT_TIMEOUT, Order, SIGNALS_PER_RUN, Tally};

/// How long a worker may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(10);

/// A worker at work; it ends when it is dropped.
pub(crate) struct Worker {
    _stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<()>>,
}

/// What mailboxes have handled: workflows have no other way to tell.
static TALLY: OnceLock<Arc<Tally>> = OnceLock::new();

/// A client over a channel of its own.
pub(crate) async fn connect(address: &str) -> Result<Client> {
    let target = Url::parse(&format!("http://{address}"))?;
    let options = ConnectionOptions::new(target).identity(identity()).build();
    let connection = Connection::connect(options).await;
    let connection = connection.with_context(|| format!("Temporal's gRPC at {address}"))?;
    Client::new(connection, ClientOptions::new(NAMESPACE).build()).context("the client")
}

impl Worker {
    /// Begins to work.
    pub(crate) async fn start(address: &str, options: WorkerOptions) -> Result<Worker> {
        let client = connect(address).await?;
        let runtime = Handle::current();
        let (begun, begins) = oneshot::channel();
        let (_stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let work = work(client, options, begun, stopped);
            // Nobody listens when the row is over.
            let _ = end.send(runtime.block_on(work));
        });
        let worker = Worker { _stop, ended };
        match tokio::time::timeout(BEGIN_MAX, begins).await.context("the worker did not begin")? {
            Ok(()) => Ok(worker),
            Err(_) => Err(worker.trouble().await),
        }
    }

    /// Does `work` while the worker works; fails when that ends.
    pub(crate) async fn serve<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            trouble = self.trouble() => Err(trouble),
        }
    }

    /// Waits for it to end, which it never does by itself if all is well.
    async fn trouble(self) -> anyhow::Error {
        match self.ended.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => anyhow!("the worker ended"),
            Err(_) => anyhow!("the worker panicked"),
        }
    }
}

/// A worker for the workflows of this module on `queue`, with so many polls of each kind or the
/// SDK's own number.
pub(crate) fn options(queue: &str, pollers: Option<usize>) -> Result<WorkerOptions> {
    Ok(WorkerOptions::new(queue)
        .maybe_workflow_task_poller_behavior(pollers.map(PollerBehavior::SimpleMaximum))
        .maybe_activity_task_poller_behavior(pollers.map(PollerBehavior::SimpleMaximum))
        .register_workflow::<Steps>()
        .context("the workflow Steps")?
        .register_workflow::<Mailbox>()
        .context("the workflow Mailbox")?
        .register_activities(Activities)
        .build())
}

/// Where mailboxes count from now on; only once in a process.
pub(crate) fn count_in(tally: Arc<Tally>) -> Result<()> {
    TALLY.set(tally).map_err(|_| anyhow!("mailboxes count elsewhere already"))
}

async fn work(
    client: Client,
    options: WorkerOptions,
    begun: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let runtime = RuntimeOptions::builder().heartbeat_interval(None).build();
    let runtime = runtime.map_err(|error| anyhow!("{error}"))?;
    let runtime = Runtime::from_current_tokio(runtime).map_err(|error| anyhow!("{error}"))?;
    let worker = temporalio_sdk::Worker::new(&runtime, client, options);
    let mut worker = worker.map_err(|error| anyhow!("the worker: {error}"))?;
    // Nobody listens when the row is over.
    let _ = begun.send(());
    tokio::select! {
        ended = worker.run() => ended.map_err(|error| anyhow!("the worker: {error}")),
        _ = stopped => Ok(()),
    }
}

/// The workflow of three activities.
#[workflow]
#[derive(Default)]
pub(crate) struct Steps {}

#[workflow_methods]
impl Steps {
    #[run]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        order: Order,
    ) -> WorkflowResult<Order> {
        let order = ctx.execute_activity(Activities::reserve, order, attempt()).await?;
        let order = ctx.execute_activity(Activities::charge, order, attempt()).await?;
        Ok(ctx.execute_activity(Activities::ship, order, attempt()).await?)
    }
}

fn attempt() -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT).build()
}

/// Its activities: they answer what they were given.
pub(crate) struct Activities;

#[activities]
impl Activities {
    #[activity]
    pub(crate) async fn reserve(
        self: Arc<Self>,
        _ctx: ActivityContext,
        order: Order,
    ) -> Result<Order, ActivityError> {
        Ok(order)
    }

    #[activity]
    pub(crate) async fn charge(
        self: Arc<Self>,
        _ctx: ActivityContext,
        order: Order,
    ) -> Result<Order, ActivityError> {
        Ok(order)
    }

    #[activity]
    pub(crate) async fn ship(
        self: Arc<Self>,
        _ctx: ActivityContext,
        order: Order,
    ) -> Result<Order, ActivityError> {
        Ok(order)
    }
}

/// The workflow that counts signals, and continues as new after some hundreds.
#[workflow]
#[derive(Default)]
pub(crate) struct Mailbox {
    seen: u64,
}

#[workflow_methods]
impl Mailbox {
    /// It is given how many signals earlier runs have seen.
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, before: u64) -> WorkflowResult<()> {
        ctx.wait_condition(|mailbox| mailbox.seen >= SIGNALS_PER_RUN).await?;
        let seen = before + ctx.state(|mailbox| mailbox.seen);
        Err(match ctx.continue_as_new(seen, ContinueAsNewOptions::default()) {
            Ok(never) => match never {},
            Err(termination) => termination,
        })
    }

    #[signal(name = "deliver")]
    pub(crate) fn deliver(&mut self, _ctx: &mut SyncWorkflowContext<Self>, number: u64) {
        self.seen += 1;
        if let Some(tally) = TALLY.get() {
            tally.handled(number);
        }
    }
}
