//! The peers: how each is started in a temporary directory on free ports, and ended.
//!
//! A peer is ended by the ids of its processes, and its directory is removed, however the run ends.

mod kafka;
mod mainstay;
mod namespace;
pub(crate) mod ports;
mod postgres;
pub(crate) mod process;
pub(crate) mod ready;
mod restate;
mod temporal;
mod temporal_server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::BoxFuture;
use tempfile::TempDir;

use crate::row::Addresses;
use crate::usage::Server;
use process::Process;

/// All kinds of peer, Mainstay first.
pub(crate) const KINDS: &[Kind] = &[
    mainstay::MAINSTAY,
    kafka::KAFKA,
    kafka::FLUSH,
    temporal::MEMORY,
    temporal::MEMORY_UNPACED,
    temporal::FILE,
    temporal_server::POSTGRES,
    temporal_server::POSTGRES_UNPACED,
    restate::RESTATE,
];
/// Peers that do together what Mainstay does alone.
pub(crate) const PAIRS: &[&str] = &["kafka+temporal-memory", "kafka+temporal-postgres"];
/// With whom all others are compared.
pub(crate) const OURS: &str = "mainstay";

/// What `statfs` calls a file system that lives in memory.
const TMPFS: i64 = 0x0102_1994;

/// A kind of peer.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// By which it is chosen.
    pub(crate) name: &'static str,
    /// One line: which program, with which settings that matter.
    pub(crate) what: &'static str,
    /// What clients find there.
    pub(crate) offers: &'static [Port],
    /// Whether a run that names no peers has it.
    pub(crate) usual: bool,
    /// Starts one and waits until it answers.
    pub(crate) start: fn(&Start) -> BoxFuture<'_, Result<Peer>>,
}

/// What a client can connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Kafka's protocol.
    Kafka,
    /// Temporal's gRPC.
    Temporal,
    /// A configuration that turns records into signals.
    Routes,
    /// Restate's ingress and administration.
    Restate,
}

/// What a start needs to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// The binary to measure; else the one beside this program.
    pub(crate) mainstay: Option<PathBuf>,
    /// Where temporary directories are made; else where the system makes them.
    pub(crate) work: Option<PathBuf>,
    /// Mainstay's routes, as its configuration file writes them.
    pub(crate) routes: &'static str,
}

impl Start {
    /// A directory for one peer, on a real disk: it is removed when it is dropped.
    pub(crate) fn directory(&self, name: &str) -> Result<TempDir> {
        let work = self.work.clone().unwrap_or_else(std::env::temp_dir);
        let system = rustix::fs::statfs(&work);
        let system = system.with_context(|| format!("the directory {}", work.display()))?;
        ensure!(
            system.f_type != TMPFS,
            "{} is in memory: fsync costs nothing there; name a directory on a disk with --work",
            work.display()
        );
        let made = tempfile::Builder::new().prefix(&format!("bench-{name}-")).tempdir_in(&work);
        made.with_context(|| format!("a directory in {}", work.display()))
    }
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its kind's name.
    pub(crate) name: String,
    /// Where clients find it.
    pub(crate) addresses: Addresses,
    /// From the start of its process to its first answers.
    pub(crate) cold_start: Duration,
    /// Its processes, in the order of their start.
    pub(crate) processes: Vec<Process>,
    /// What it keeps; removed after the processes have ended.
    pub(crate) directories: Vec<TempDir>,
}

impl Peer {
    /// Its processes, for counting.
    pub(crate) fn server(&self) -> Server {
        let pids = self.processes.iter().filter_map(Process::id).collect();
        Server { pids, fsyncs: false }
    }

    /// Fails if a process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Ends its processes, the last one first.
    pub(crate) async fn end(mut self) {
        while let Some(process) = self.processes.pop() {
            process.end().await;
        }
    }

    /// Two peers that do their work together.
    fn with(mut self, other: Peer) -> Peer {
        self.addresses = self.addresses.with(other.addresses);
        self.cold_start += other.cold_start;
        self.processes.extend(other.processes);
        self.directories.extend(other.directories);
        self
    }
}

/// The kinds a name stands for: one, or two with a plus between them.
pub(crate) fn kinds(name: &str) -> Result<Vec<&'static Kind>> {
    let find = |part: &str| KINDS.iter().find(|kind| kind.name == part);
    let found: Option<Vec<_>> = name.split('+').map(find).collect();
    found.with_context(|| format!("there is no peer {name}; `bench list` names all"))
}

/// Starts one peer, or a pair.
pub(crate) async fn start(name: &str, options: &Start) -> Result<Peer> {
    let mut peer: Option<Peer> = None;
    for kind in kinds(name)? {
        let started =
            (kind.start)(options).await.with_context(|| format!("start {}", kind.name))?;
        peer = Some(match peer {
            Some(first) => first.with(started),
            None => started,
        });
    }
    let mut peer = peer.context("a peer has a name")?;
    peer.name = name.to_owned();
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_peer_or_an_error() {
        assert_eq!(kinds("mainstay").unwrap().len(), 1);
        let error = kinds("mainstay+nobody").err().unwrap().to_string();
        assert!(error.contains("mainstay+nobody"), "{error}");
    }

    #[test]
    fn a_directory_in_memory_is_refused() {
        let memory = std::path::Path::new("/dev/shm");
        if rustix::fs::statfs(memory).is_ok_and(|system| system.f_type == TMPFS) {
            let start = Start { work: Some(memory.to_owned()), ..Start::default() };
            assert!(start.directory("x").is_err());
        }
    }
}
