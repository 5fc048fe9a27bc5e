//! A node without threads: a simulation gives the writer and the committer their turns, in any
//! order it likes, on one thread, and so decides everything that a scheduler would.
//!
//! Invariants: the writer and the committer are the ones of production; nothing happens between
//! two turns but the node's tasks (routes, publishers), which the caller's runtime runs. Dropping
//! it is a crash: what is held is never answered.

use crate::handle::Handle;
use crate::joined::Joined;
use crate::journal_port::{Append, Port};
use crate::machines::Machines;
use crate::node::{Engine, NodeOptions, OpenError};
use crate::published::{PublishedLog, Reads};
use crate::revival::{Revival, Revived};
use crate::writer::{Turn, Writer};
use base::{Entropy, Lsn, SeededEntropy};
use journal::{Committer, Disk, Group};
use std::time::Duration;
use tokio::task::JoinSet;

/// A node that does nothing by itself.
pub struct SteppedNode<D: Disk> {
    writer: Writer<Joined, Port>,
    committer: Committer<D>,
    tasks: JoinSet<()>,
    handle: Handle,
}

impl<D: Disk> SteppedNode<D> {
    /// Opens the node. Within a tokio runtime; use [`journal::Preparation::Inline`].
    pub fn open(disk: D, options: NodeOptions) -> Result<SteppedNode<D>, OpenError> {
        let Engine { writer, committer, handle, tasks } =
            Engine::start(disk, options, Reads::InPlace)?;
        Ok(SteppedNode { writer, committer, tasks, handle })
    }

    /// How to talk to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// One turn of the writer. `false`: there was nothing to do.
    pub fn turn(&mut self) -> bool {
        let turn = self.writer.turn(Some(Duration::ZERO));
        !matches!(turn, std::ops::ControlFlow::Continue(Turn::Idle))
    }

    /// How long it is until time has something to ask.
    pub fn due_within(&mut self) -> Option<Duration> {
        let due = self.writer.due_after.or_else(|| self.writer.machines.next_due())?;
        Some(due.since(self.writer.clock.now()))
    }

    /// Waits until something was put into the inbox.
    pub async fn news(&self) {
        self.writer.inbox.news().await;
    }

    /// The last entry decided, and the last one on disk.
    pub fn tip_and_durable(&self) -> (Lsn, Lsn) {
        (self.writer.journal.tip(), self.writer.journal.durable())
    }

    /// Writes and syncs one group. `false`: there was nothing to write. After an error the node
    /// must be dropped: a failed sync is never retried.
    pub fn commit(&mut self) -> Result<bool, journal::Error> {
        Ok(matches!(self.committer.try_group()?, Some(Group::Committed { .. })))
    }

    /// What the committer does when it has been idle for a while.
    pub fn seal(&mut self) -> Result<(), journal::Error> {
        self.committer.seal().map(drop)
    }

    /// Lets go of what waited for what is on disk now.
    pub fn release(&mut self) {
        self.writer.held.release(self.committer.durable());
        self.writer.inbox.poke_if_throttled();
    }

    /// Ends the node's own tasks, as a crash does: they must not see it go.
    pub async fn end_tasks(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Whether these facts and this intent are those that the live machines hold.
    pub fn is_same_as(&self, rebuilt: &Rebuilt) -> bool {
        self.writer.machines.same_facts(&rebuilt.0)
    }

    /// Panics if an invariant of the machines does not hold.
    pub fn check(&self) {
        self.writer.machines.check();
    }
}

/// What a journal rebuilds to.
pub struct Rebuilt(Joined);

impl Rebuilt {
    /// Replays the journal on `disk`, which should be a copy: opening writes to it.
    pub fn replay<D: Disk>(disk: D, options: NodeOptions) -> Result<Rebuilt, OpenError> {
        let NodeOptions { topics, workflows, journal, mut clock, limits, .. } = options;
        let log = PublishedLog::new(limits.hot_tail_bytes, Reads::InPlace);
        let revival = Revival { topics, workflows, journal, log };
        let entropy: Box<dyn Entropy> = Box::new(SeededEntropy::new(0));
        let Revived { joined, .. } = revival.run(disk, &mut *clock, &*entropy)?;
        Ok(Rebuilt(joined))
    }
}
