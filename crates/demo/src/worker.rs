//! The worker: an ordinary `temporalio-sdk` worker with the saga, the mailbox and their activities.
//! It runs in a process of its own, so that the demo may kill it like any machine's power switch.

use std::net::SocketAddr;
use std::time::Duration;

use temporalio_sdk::runtime::{PollerBehavior, RuntimeOptions};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::activities::Steps;
use crate::client;
use crate::customer::Customer;
use crate::error::Error;
use crate::ledger;
use crate::records::TASK_QUEUE;
use crate::saga::OrderSaga;

/// Concurrent polls for each kind of task: a poll is a round trip to the disk, so that with few of
/// them the worker mostly waits.
const POLLERS: usize = 32;
/// Sagas kept in memory: more than are ever in flight.
const CACHED_WORKFLOWS: usize = 5_000;
/// A task on the queue of a worker that was killed goes to the others after this.
const STICKY_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the worker's world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The node's Temporal front.
    pub(crate) temporal: SocketAddr,
    /// The demo's ledger.
    pub(crate) ledger: SocketAddr,
}

/// Works until it is killed, or until the demo is gone.
pub(crate) async fn run(addresses: Addresses) -> Result<(), Error> {
    let mut lifeline = TcpStream::connect(addresses.ledger).await.map_err(Error::Ledger)?;
    let ledger = ledger::Client::connect(addresses.ledger).await.map_err(Error::Ledger)?;
    let client = client::connect(addresses.temporal).await?;
    let runtime = RuntimeOptions::builder()
        .heartbeat_interval(None)
        .build()
        .map_err(Error::temporal)
        .and_then(|options| Runtime::from_current_tokio(options).map_err(Error::temporal))?;
    let options = WorkerOptions::new(TASK_QUEUE)
        .max_cached_workflows(CACHED_WORKFLOWS)
        .sticky_queue_schedule_to_start_timeout(STICKY_TIMEOUT)
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .register_workflow::<OrderSaga>()
        .map_err(Error::temporal)?
        .register_workflow::<Customer>()
        .map_err(Error::temporal)?
        .register_activities(Steps::new(ledger))
        .build();
    let mut worker = Worker::new(&runtime, client, options).map_err(Error::temporal)?;
    tokio::select! {
        ended = worker.run() => ended.map_err(Error::temporal),
        // The ledger never says anything here: its connection ends when the demo does.
        _ = lifeline.read_u8() => Ok(()),
    }
}
