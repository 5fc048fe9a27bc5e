//! Temporal's dev server, as its CLI starts it, with its store in memory or in a file (SQLite); and what
//! it has in common with the server on PostgreSQL.
//!
//! The rate limits that refuse or delay a client's calls are raised out of the way; all else is as it
//! comes. One of these defaults shows in every latency: a server reads each of its task queues at most
//! twenty times a second and shard, and the dev server has one shard. The kinds called `unpaced` are
//! without it. What it refuses: to touch the user's own settings of the CLI, which looks for them at home.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use tokio::process::Command;

use super::process::{Process, without_variables};
use super::ready::{self, Probe};
use super::{Kind, Peer, Port, Start, namespace, ports};
use crate::anchors;
use crate::row::Addresses;

/// Nothing survives its end.
pub(crate) const MEMORY: Kind = Kind {
    name: "temporal-memory",
    what: "Temporal's dev server (CLI 1.5.1, server 1.29.1), SQLite in memory: not durable",
    offers: &[Port::Temporal],
    usual: true,
    start: |options| dev_server("temporal-memory", options, false, Pace::Default).boxed(),
};
/// The same without its pace.
pub(crate) const MEMORY_UNPACED: Kind = Kind {
    name: "temporal-memory-unpaced",
    what: "the same, its task queues read as often as there is something to read",
    offers: &[Port::Temporal],
    usual: false,
    start: |options| dev_server("temporal-memory-unpaced", options, false, Pace::Raised).boxed(),
};
/// Its database is a file.
pub(crate) const FILE: Kind = Kind {
    name: "temporal-file",
    what: "temporal-memory in a file, with SQLite's defaults (rollback journal, synchronous=FULL)",
    offers: &[Port::Temporal],
    usual: true,
    start: |options| dev_server("temporal-file", options, true, Pace::Default).boxed(),
};

/// Rates that a server allows by itself, per instance: below what is measured here.
const LIMITS: [&str; 12] = [
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "frontend.namespaceCount",
    "frontend.persistenceMaxQPS",
    "history.rps",
    "history.persistenceMaxQPS",
    "matching.rps",
    "matching.persistenceMaxQPS",
    "worker.persistenceMaxQPS",
    "system.visibilityPersistenceMaxReadQPS",
    "system.visibilityPersistenceMaxWriteQPS",
];
/// How often a shard reads each of its task queues in a second: twenty by default.
const PACES: [&str; 4] = [
    "history.transferProcessorMaxPollRPS",
    "history.timerProcessorMaxPollRPS",
    "history.visibilityProcessorMaxPollRPS",
    "history.outboundProcessorMaxPollRPS",
];
/// Out of the way.
pub(super) const LIMIT: u32 = 1_000_000;

/// How long a start may take.
pub(super) const READY_MAX: Duration = Duration::from_secs(90);

/// What becomes of a server's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As it comes.
    Default,
    /// Out of the way like the other limits.
    Raised,
}

impl Pace {
    /// The settings that get [`LIMIT`].
    pub(super) fn raised(self) -> Vec<&'static str> {
        let paces = if self == Pace::Raised { &PACES[..] } else { &[] };
        LIMITS.iter().chain(paces).copied().collect()
    }
}

async fn dev_server(name: &str, options: &Start, file: bool, pace: Pace) -> Result<Peer> {
    let directory = options.directory(name)?;
    let here = directory.path();
    let [front] = ports::free()?;
    let mut command = at_home(Command::new(anchors::temporal::cli()?), here);
    command
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"])
        .args(["--port", &front.port().to_string()]);
    for key in pace.raised() {
        command.args(["--dynamic-config-value", &format!("{key}={LIMIT}")]);
    }
    if file {
        command.arg("--db-filename").arg(here.join("temporal.db"));
    }
    let front = front.to_string();
    let mut process = Process::spawn(name, command, &here.join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(&front)).await?;
    namespace::usable(&mut process, &front).await?;
    Ok(Peer {
        name: name.to_owned(),
        addresses: Addresses { temporal: Some(front), ..Addresses::default() },
        cold_start: process.began.elapsed(),
        processes: vec![process],
        directories: vec![directory],
    })
}

/// Where it looks for settings, and writes one, there is nothing but this run.
pub(super) fn at_home(mut command: Command, here: &Path) -> Command {
    without_variables(&mut command, "TEMPORAL_");
    command
        .env("HOME", here)
        .env("XDG_CONFIG_HOME", here)
        .env("TEMPORAL_VERSION_CHECK_DISABLED", "1")
        .current_dir(here);
    command
}
