//! Temporal clients: thousands of polls that wait for nothing, and callers that start and signal with
//! large arguments, as fast as they are answered.

use anyhow::Result;
use temporalio_client::tonic::{Code, Status};
use tokio::task::JoinSet;

use super::Surprises;
use crate::client::World;
use crate::temporal::Front;

/// Connections for polls, and polls on each.
const CONNECTIONS: usize = 8;
const POLLS: usize = 500;
/// Callers on one connection more.
const CALLERS: u64 = 64;
/// What a signal carries.
const ARGUMENT_BYTES: usize = 200_000;
/// A run that has had so many signals is followed by another.
const SIGNALS: u64 = 50;
/// Nobody works for this queue.
const QUEUE: &str = "flood-polls";
const NOBODY: &str = "flood-nobody";

pub(super) async fn run(world: &World, surprises: &Surprises) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let front = Front::connect(world.addresses.temporal).await?;
        for _ in 0..POLLS {
            clients.spawn(poll(front.clone(), surprises.clone()));
        }
    }
    let front = Front::connect(world.addresses.temporal).await?;
    for number in 0..CALLERS {
        let name = format!("flood-{}-{number}", world.process);
        clients.spawn(call(front.clone(), name, surprises.clone()));
    }
    while clients.join_next().await.is_some() {}
    Ok(())
}

async fn poll(mut front: Front, surprises: Surprises) {
    loop {
        if let Err(status) = front.poll(QUEUE).await {
            judge("a poll", &status, &surprises);
            tokio::task::yield_now().await;
        }
    }
}

async fn call(mut front: Front, name: String, surprises: Surprises) {
    let argument = "x".repeat(ARGUMENT_BYTES);
    for run in 0_u64.. {
        let workflow_id = format!("{name}-{run}");
        if let Err(status) = front.begin(NOBODY, &workflow_id).await {
            judge("a start", &status, &surprises);
            continue;
        }
        for signal in 0..SIGNALS {
            let request_id = format!("{workflow_id}-{signal}");
            let sent = front.try_signal(&workflow_id, &request_id, "flood", &argument).await;
            if let Err(status) = sent {
                judge("a signal", &status, &surprises);
            }
        }
    }
}

/// Whether an overloaded node may say this.
fn judge(what: &str, status: &Status, surprises: &Surprises) {
    match status.code() {
        // The latter is the client's own.
        Code::ResourceExhausted | Code::DeadlineExceeded => {}
        _ => surprises.add(format!("{what}: {status}")),
    }
}
