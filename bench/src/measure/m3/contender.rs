//! Who is asked: the node itself, or a prototype.

use super::super::sample_node;
use super::super::timed_disk::{Notes, TimedDisk};
use super::relay::Relay;
use super::stage::Marks;
use anyhow::{Context, Result};
use base::Blob;
use journal::RealDisk;
use node::{Handle, NodeGuard};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use topics::BatchHeader;

/// See the module's page.
pub(crate) enum Contender {
    /// The node, with all that a produce means.
    Node(Box<Produces>),
    /// A prototype.
    Relay(Relay),
}

/// A node, what is produced there, and when its committer did what.
pub(crate) struct Produces {
    handle: Handle,
    batch: (BatchHeader, Blob),
    notes: Notes,
}

impl Contender {
    /// A new node in `directory`.
    pub(crate) async fn node(directory: &Path) -> Result<(Arc<Contender>, NodeGuard)> {
        let (disk, notes) = TimedDisk::new(RealDisk::open(directory)?);
        let (handle, guard) = sample_node::open(disk).await?;
        let produces = Produces { handle, batch: sample_node::batch(0)?, notes };
        Ok((Arc::new(Contender::Node(Box::new(produces))), guard))
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&self) -> Result<Marks> {
        match self {
            Contender::Relay(relay) => relay.ask().await,
            Contender::Node(produces) => produces.ask().await,
        }
    }
}

impl Produces {
    async fn ask(&self) -> Result<Marks> {
        let asked = Instant::now();
        sample_node::produce(&self.handle, &self.batch).await?;
        let answered = Instant::now();
        let last = self.notes.times().last.context("nothing was written")?;
        // With several callers the last group may be a later one than that of this ask.
        let sync_end = last.sync_end.min(answered);
        Ok(Marks {
            asked,
            with_writer: None,
            write_begin: last.write_begin,
            sync_begin: last.sync_begin.min(sync_end).max(last.write_begin.min(sync_end)),
            sync_end,
            answered,
        })
    }
}
