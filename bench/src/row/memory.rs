//! How much memory a peer has when it has nothing to do: started, answered its first questions, left alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{ANYTHING, Job, Row};
use crate::measured::Measured;

/// How long it is left alone first.
const IDLE: Duration = Duration::from_secs(10);

/// Resident memory of all processes of an idle peer.
pub(crate) const IDLE_MEMORY: Row = Row {
    name: "idle-memory",
    what: "resident memory of all its processes, started and left alone",
    unit: "",
    needs: ANYTHING,
    limit: Duration::from_secs(60),
    routes: "",
    drive: Some(drive),
};

fn drive(job: &Job) -> BoxFuture<'_, Result<Vec<Measured>>> {
    idle(job).boxed()
}

/// Its processor time is that of doing nothing, over the whole window.
async fn idle(job: &Job) -> Result<Vec<Measured>> {
    ensure!(!job.server.pids.is_empty(), "this row needs --pids");
    tokio::time::sleep(job.options.time(IDLE)).await;
    let window = job.window();
    tokio::time::sleep(job.options.time(IDLE)).await;
    let resident = job.server.resident_bytes();
    let measured = job.measured("", 0, window.close());
    Ok(vec![Measured { server_peak_bytes: resident, ..measured }])
}
