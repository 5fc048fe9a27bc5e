//! Opens a node: replays the journal, starts the writer, the committer, the publishers and the
//! routes; and stops them again.

use crate::ask::{Ask, Reply};
use crate::committer::{self, OnFailure};
use crate::handle::Handle;
use crate::held::Held;
use crate::inbox::{Bounds, Inbox};
use crate::joined::Joined;
use crate::journal_port::{Append, Commit, Port};
use crate::published::{PublishedLog, Reads};
use crate::revival::{Revival, Revived};
use crate::route_pump::RoutePump;
use crate::supervision::keep_alive;
use crate::writer::Writer;
use crate::{Clock, CrashPoint, SystemClock, SystemEntropy, publisher};
use base::{Entropy, Lsn};
use bridge::Route;
use bridge::pump::run_route;
use journal::{Committer, Disk, RealDisk};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::task::JoinSet;

/// Bounds of the node itself. The machines and the journal have their own.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Produces that wait for the writer. When they are more, producers' sockets are not read.
    pub produce_inbox_bytes: usize,
    /// All other requests that wait for the writer. When they are more, they are refused.
    pub other_inbox_bytes: usize,
    /// Requests under way, long polls included. When they are more, they are refused.
    pub requests_count: usize,
    /// Bytes that may wait for the disk before produces are no longer taken. At most half of the
    /// journal's own limit, at which it would make the writer wait.
    pub unsynced_bytes: usize,
    /// Bytes appended last that are kept in memory for readers.
    pub hot_tail_bytes: usize,
    /// Tasks of the queue `mainstay` that are served at the same time.
    pub publishers_count: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            produce_inbox_bytes: 32 << 20,
            other_inbox_bytes: 32 << 20,
            requests_count: 65_536,
            unsynced_bytes: 32 << 20,
            hot_tail_bytes: 32 << 20,
            publishers_count: 32,
        }
    }
}

/// What a node is made of. All but the routes have defaults.
pub struct NodeOptions {
    /// Routes to serve.
    pub routes: Vec<Arc<Route>>,
    /// Bounds of the node.
    pub limits: Limits,
    /// Settings of the facts.
    pub topics: topics::Config,
    /// Bounds of the intent.
    pub workflows: workflows::Limits,
    /// Bounds of the routes.
    pub pumps: bridge::pump::Limits,
    /// Bounds of the journal.
    pub journal: journal::Options,
    /// The writer's time.
    pub clock: Box<dyn Clock>,
    /// The writer's random numbers.
    pub entropy: Box<dyn Entropy + Send>,
    /// Where a test wants the node to die.
    pub crash_point: Option<CrashPoint>,
    /// What happens when the node cannot go on; production ends the process.
    pub on_failure: OnFailure,
    /// Check all invariants after every request: for tests, it is slow.
    pub paranoid: bool,
}

impl Default for NodeOptions {
    fn default() -> NodeOptions {
        NodeOptions {
            routes: Vec::new(),
            limits: Limits::default(),
            topics: topics::Config::default(),
            workflows: workflows::Limits::default(),
            pumps: bridge::pump::Limits::default(),
            journal: journal::Options::default(),
            clock: Box::new(SystemClock::new()),
            entropy: Box::new(SystemEntropy::new()),
            crash_point: None,
            on_failure: committer::abort_process(),
            paranoid: false,
        }
    }
}

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be opened or replayed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The journal was restored or forked by a release that can do that.
    #[error("the journal has history generation {found}; this release knows only 0")]
    Generation {
        /// What the journal says.
        found: u32,
    },
    /// The journal has entries, but the first is not a birth.
    #[error("the journal's first entry does not say which cluster it belongs to")]
    NotBorn,
    /// The first entry cannot be written.
    #[error("the first entry cannot be written: {0}")]
    FirstEntry(String),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A node on a directory.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Opens the node in `data_directory`, which is made if it is missing. Must be called within a
    /// tokio runtime; blocks until the journal is replayed.
    pub fn open(
        data_directory: &Path,
        options: NodeOptions,
    ) -> Result<(Handle, NodeGuard), OpenError> {
        Node::open_on(RealDisk::open(data_directory)?, options)
    }

    /// The same on any disk.
    pub fn open_on<D: Disk>(
        disk: D,
        options: NodeOptions,
    ) -> Result<(Handle, NodeGuard), OpenError> {
        let on_failure = Arc::clone(&options.on_failure);
        let Engine { writer, committer, handle, tasks } =
            Engine::start(disk, options, Reads::OffThread)?;
        let inbox = Arc::clone(&writer.inbox);
        let threads = start_threads(writer, committer, on_failure)?;
        let log = handle.log().clone();
        Ok((handle, NodeGuard { inbox, log, tasks, threads }))
    }
}

/// All parts of a node, with nobody yet who gives the writer and the committer their turns.
pub(crate) struct Engine<D: Disk> {
    pub(crate) writer: Writer<Joined, Port>,
    pub(crate) committer: Committer<D>,
    pub(crate) handle: Handle,
    pub(crate) tasks: JoinSet<()>,
}

impl<D: Disk> Engine<D> {
    pub(crate) fn start(
        disk: D,
        options: NodeOptions,
        reads: Reads,
    ) -> Result<Engine<D>, OpenError> {
        let started = Instant::now();
        let NodeOptions { topics, workflows, journal, mut clock, entropy, limits, .. } = options;
        let log = PublishedLog::new(limits.hot_tail_bytes, reads);
        let revival = Revival { topics, workflows, journal, log: log.clone() };
        let revived = revival.run(disk, &mut *clock, &*entropy)?;
        let Revived { joined, born, appender, committer, last, boot_epoch, generation } = revived;

        tell_routes(&joined);
        let inbox = Arc::new(Inbox::new(Bounds {
            produce_bytes: limits.produce_inbox_bytes,
            other_bytes: limits.other_inbox_bytes,
            requests: limits.requests_count,
        }));
        let last_released = options.crash_point.map_or(Lsn(u64::MAX), CrashPoint::last_released);
        let held = Held::new(appender.durable(), Box::new(log.clone()), last_released);
        let handle = Handle::new(Arc::clone(&inbox), log, born.cluster_id, generation);
        let writer = Writer {
            machines: joined,
            journal: appender,
            clock,
            entropy,
            inbox,
            held: Arc::new(held),
            waiting: HashMap::new(),
            due_after: None,
            unsynced_bytes_max: limits.unsynced_bytes,
            crash_point: options.crash_point,
            paranoid: options.paranoid,
        };
        let tasks = start_tasks(&handle, options.routes, options.pumps, limits.publishers_count);
        let start_ms = started.elapsed().as_millis();
        tracing::info!(%last, boot_epoch, cluster_id = %born.cluster_id, start_ms, "node is open");
        Ok(Engine { writer, committer, handle, tasks })
    }
}

/// What each route has done so far, ignored records included.
fn tell_routes(joined: &Joined) {
    for (route, counters) in joined.bridge.counters() {
        tracing::info!(
            route,
            delivered = counters.delivered,
            ignored = counters.ignored,
            dead_lettered = counters.dead_lettered,
            "route until now"
        );
    }
}

fn start_threads<J: Append>(
    writer: Writer<Joined, J>,
    commit: impl Commit,
    on_failure: OnFailure,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let (held, inbox) = (Arc::clone(&writer.held), Arc::clone(&writer.inbox));
    let on_writer_failure = Arc::clone(&on_failure);
    let committer = spawn("committer", &inbox.clone(), on_failure.clone(), move || {
        committer::run(commit, &held, &inbox, &on_failure);
    })?;
    let inbox = Arc::clone(&writer.inbox);
    let writer = spawn("writer", &inbox, on_writer_failure, move || writer.run())?;
    Ok(vec![writer, committer])
}

/// A panic in one of the two threads leaves a state that nobody may see.
fn spawn(
    name: &'static str,
    inbox: &Arc<Inbox<Ask, Reply>>,
    on_failure: OnFailure,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let inbox = Arc::clone(inbox);
    let body = move || {
        if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            inbox.close();
            on_failure(&format!("the {name} has panicked"));
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(OpenError::Thread)
}

fn start_tasks(
    handle: &Handle,
    routes: Vec<Arc<Route>>,
    limits: bridge::pump::Limits,
    publishers_count: usize,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..publishers_count {
        let handle = handle.clone();
        tasks.spawn(keep_alive("publisher", move || publisher::run(handle.clone())));
    }
    let seed = handle.cluster_id().as_u64_pair().0;
    let cluster = handle.kafka_cluster_id().into();
    let settings = Arc::new(bridge::pump::Settings { cluster, limits, seed });
    let pump = Arc::new(RoutePump(handle.clone()));
    for route in routes {
        let name = format!("route {}", route.name);
        let (pump, settings) = (Arc::clone(&pump), Arc::clone(&settings));
        tasks.spawn(keep_alive(name, move || {
            let (source, target) = (Arc::clone(&pump), Arc::clone(&pump));
            run_route(Arc::clone(&route), source, target, Arc::clone(&settings))
        }));
    }
    tasks
}

/// Keeps the node running. Dropping it stops the node cleanly: no more requests are taken, what is
/// held is answered once it is on disk, the threads end.
pub struct NodeGuard {
    inbox: Arc<Inbox<Ask, Reply>>,
    log: PublishedLog,
    tasks: JoinSet<()>,
    threads: Vec<JoinHandle<()>>,
}

impl NodeGuard {
    /// Stops the node and waits until it has stopped, without blocking the runtime.
    pub async fn stop(mut self) {
        self.inbox.close();
        self.tasks.shutdown().await;
        // A runtime that shuts down cancels this; dropping the guard then does the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for NodeGuard {
    fn drop(&mut self) {
        self.inbox.close();
        self.tasks.abort_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the node has panicked");
            }
        }
        self.log.close();
    }
}
