//! From the journal to machines that can be asked: replay, and the first entry of an empty journal.

use crate::clock::Clock;
use crate::entry;
use crate::held::Published;
use crate::joined::Joined;
use crate::journal_port::{Append, Commit, Port};
use crate::machines::{Effects, Machines, Room};
use crate::node::OpenError;
use crate::op::{Born, Op};
use crate::published::PublishedLog;
use base::planted::{self, Bug};
use base::{Cause, Cx, Entropy, Lsn, Timestamp};
use bridge::Bridge;
use journal::{Committer, Disk, Opened, Replayed};
use std::sync::Arc;
use topics::Topics;
use workflows::Workflows;

/// What is needed to bring a node back to life.
pub(crate) struct Revival {
    pub(crate) topics: topics::Config,
    pub(crate) workflows: workflows::Limits,
    pub(crate) journal: journal::Options,
    /// Filled by the replay: everything replayed is durable.
    pub(crate) log: PublishedLog,
}

/// A node that is ready to be asked.
pub(crate) struct Revived<D: Disk> {
    pub(crate) joined: Joined,
    pub(crate) born: Born,
    pub(crate) appender: Port,
    pub(crate) committer: Committer<D>,
    /// The last entry.
    pub(crate) last: Lsn,
    pub(crate) boot_epoch: u32,
    pub(crate) generation: u32,
}

impl Revival {
    pub(crate) fn run<D: Disk>(
        self,
        disk: D,
        clock: &mut dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Revived<D>, OpenError> {
        let mut replay = Replay {
            joined: Joined {
                topics: Topics::new(self.topics),
                workflows: Workflows::new(self.workflows, 0),
                bridge: Bridge::default(),
                born: None,
                round_robin: 0,
            },
            last_at: Timestamp(0),
            log: self.log.clone(),
        };
        let mut entry = |entry: Replayed<'_>| replay.entry(&entry).map_err(Into::into);
        let opened = journal::open(disk, self.journal, &mut entry)?;
        let Opened { appender, mut committer, reader, generation, boot_epoch, last } = opened;
        let mut appender = Port::new(appender);
        if generation != 0 {
            return Err(OpenError::Generation { found: generation });
        }
        self.log.read_from(Arc::new(reader));
        // Planted: the wall clock knows best.
        let last_at = replay.last_at;
        let goes_back = planted::is(Bug::TimeGoesBackAfterRestart);
        clock.start(if goes_back { Timestamp(0) } else { last_at });
        let mut joined = replay.joined;
        if last == Lsn(0) {
            let cx = Cx { now: clock.now(), entropy };
            give_birth(&mut joined, &mut appender, &mut committer, &cx)?;
        }
        joined.resume(clock.now());
        let born = joined.born.clone().ok_or(OpenError::NotBorn)?;
        Ok(Revived { joined, born, appender, committer, last, boot_epoch, generation })
    }
}

/// Carries out the journal's entries once more.
struct Replay {
    joined: Joined,
    last_at: Timestamp,
    log: PublishedLog,
}

impl Replay {
    fn entry(&mut self, entry: &Replayed<'_>) -> Result<(), base::OpError> {
        let decoded = entry::decode::<Op>(entry.meta, entry.blobs)?;
        let mut effects = Effects::default();
        let mut rest = entry.addresses;
        for (op, blob_count) in &decoded.ops {
            let (own, others) = rest.split_at(*blob_count);
            self.joined.apply(entry.lsn, decoded.at, op, own, &mut effects);
            rest = others;
        }
        self.last_at = self.last_at.max(decoded.at);
        self.log.publish(Vec::new(), effects.publications);
        Ok(())
    }
}

/// Writes the first entry and syncs it: nobody may learn the cluster's id before.
fn give_birth(
    joined: &mut Joined,
    journal: &mut impl Append,
    commit: &mut impl Commit,
    cx: &Cx<'_>,
) -> Result<(), OpenError> {
    let ops = Joined::birth(cx);
    let encoded = entry::encode(cx.now, &ops);
    journal
        .reserve(encoded.meta.len(), &encoded.blobs, Room::Common)
        .map_err(|error| OpenError::FirstEntry(error.to_string()))?;
    let (meta, blobs) = (encoded.meta.clone(), encoded.blobs.clone());
    let (lsn, addresses) = journal.append(Cause::Request, meta, blobs);
    let mut effects = Effects::default();
    for (op, own) in ops.iter().zip(encoded.split(&addresses)) {
        joined.apply(lsn, cx.now, op, own, &mut effects);
    }
    while journal.durable() < lsn {
        commit.run_group().map_err(OpenError::FirstEntry)?;
    }
    Ok(())
}
