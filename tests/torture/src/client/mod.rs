//! The client processes: each does one kind of work against the node, writes its history, outlives
//! the node's deaths, and ends when its standard input does.

mod flood;
mod producers;
mod readers;
pub(crate) mod starters;
mod watcher;
mod wire;
mod worker;
mod workflows;

pub(crate) use flood::TOPIC as FLOOD;
pub(crate) use readers::record;
pub(crate) use watcher::committed_offset;

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use crate::book::Book;
use crate::node::Addresses;

/// What a client process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Sends records.
    Producers,
    /// Reads records in consumer groups.
    Readers,
    /// Starts workflows and signals them.
    Starters,
    /// Carries out workflows and activities.
    Worker,
    /// Sends far too much.
    FloodSends,
    /// Asks for all that there is, and reads nothing.
    FloodReads,
    /// Polls, starts and signals far too much.
    FloodCalls,
}

impl Role {
    /// The processes of a whole run: 32 producers, 8 readers, 140 jobs, and who carries them out.
    pub(crate) const CAST: [Role; 8] = [
        Role::Producers,
        Role::Producers,
        Role::Readers,
        Role::Readers,
        Role::Starters,
        Role::Starters,
        Role::Worker,
        Role::Worker,
    ];

    /// Whether it only makes trouble.
    pub(crate) fn is_flood(self) -> bool {
        matches!(self, Role::FloodSends | Role::FloodReads | Role::FloodCalls)
    }

    /// Whether it makes work for the others.
    pub(crate) fn begins_work(self) -> bool {
        matches!(self, Role::Producers | Role::Starters)
    }
}

/// How a client process is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// What it does
    pub(crate) role: Role,
    /// Its number in the histories
    #[arg(long)]
    pub(crate) process: u32,
    /// Where its history goes
    #[arg(long)]
    pub(crate) histories: PathBuf,
    /// The node's Kafka front
    #[arg(long)]
    pub(crate) kafka: SocketAddr,
    /// The node's Temporal front
    #[arg(long)]
    pub(crate) temporal: SocketAddr,
    /// Decides what is random
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What every part of a client process works with.
#[derive(Clone)]
pub(crate) struct World {
    /// The process's number.
    pub(crate) process: u32,
    /// Its history.
    pub(crate) book: Arc<Book>,
    /// The node.
    pub(crate) addresses: Addresses,
    /// Decides what is random.
    pub(crate) seed: u64,
    /// True when no new work is to be begun.
    pub(crate) stop: watch::Receiver<bool>,
}

impl World {
    /// Whether no new work is to be begun.
    pub(crate) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Works until the standard input ends, then brings to an end what was begun.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (ended, stop) = watch::channel(false);
    let world = World {
        process: options.process,
        book: Arc::new(Book::create(&options.histories, options.process)?),
        addresses: Addresses { kafka: options.kafka, temporal: options.temporal },
        seed: options.seed,
        stop,
    };
    // A thread that waits for input for ever is left behind when the process ends.
    tokio::task::spawn_blocking(move || {
        // Whoever started this process says nothing: only the end counts.
        let _ = std::io::stdin().read(&mut [0]);
        ended.send_replace(true);
    });
    match options.role {
        Role::Producers => producers::run(world).await,
        Role::Readers => readers::run(world).await,
        Role::Starters => starters::run(world).await,
        Role::Worker => worker::run(world).await,
        flood => flood::run(flood, world).await,
    }
}
