//! The writer's thread: the only owner of the machines.
//!
//! For each request: decide (read-only), reserve, append, apply, attend, hold. Space is reserved
//! between deciding and appending: a decision changes nothing, and its entry's exact size is known
//! by then, so that reads go on when the disk is full and what is refused has left no trace.

use crate::entry;
use crate::error::Error;
use crate::held::{Answer, Held, Release};
use crate::inbox::{Inbox, Principal, Request, Slot, Work};
use crate::journal_port::Append;
use crate::machines::{Decision, Effects, Machines};
use crate::{Clock, CrashPoint};
use base::planted::{self, Bug};
use base::{BlobAddr, Cx, Entropy, Lsn, Ticket, Timestamp};
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// That many asks of time are served before the inbox is looked at again.
const DUE_IN_A_ROW: usize = 64;

/// How long time's asks wait when the disk is full.
const FULL_RETRY: Duration = Duration::from_millis(200);

/// The shortest wait for something due: a machine that names a time and then has nothing to say
/// must not make the writer spin.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A piece of work is done.
    Worked,
    /// There was none.
    Idle,
}

/// Everything the thread owns.
pub(crate) struct Writer<M: Machines, J: Append> {
    pub(crate) machines: M,
    pub(crate) journal: J,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) entropy: Box<dyn Entropy + Send>,
    pub(crate) inbox: Arc<Inbox<M::Ask, M::Reply>>,
    pub(crate) held: Arc<Held<M::Reply, M::Publication>>,
    /// Who waits for an effect.
    pub(crate) waiting: HashMap<Ticket, Box<dyn Slot<M::Reply>>>,
    /// Set while the disk is too full for what time asks.
    pub(crate) due_after: Option<Timestamp>,
    /// Bytes that may wait for the disk before produces are no longer taken.
    pub(crate) unsynced_bytes_max: usize,
    /// Where a test wants the node to die.
    pub(crate) crash_point: Option<CrashPoint>,
    /// Check all invariants after every entry: for tests.
    pub(crate) paranoid: bool,
}

impl<M: Machines, J: Append> Writer<M, J> {
    /// Runs until the inbox is closed.
    pub(crate) fn run(mut self) {
        while self.turn(None).is_continue() {}
        self.inbox.close();
    }

    /// Does what time asks for, and then one piece of work; waits for it as long as nothing is
    /// due, but not longer than `patience`.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> ControlFlow<(), Turn> {
        let now = self.clock.now();
        let wait = self.serve_due(now)?;
        let wait = [wait, patience].into_iter().flatten().min();
        let takes_produces = || self.held.unsynced_bytes() < self.unsynced_bytes_max;
        match self.inbox.next(wait, takes_produces) {
            Work::Request(request) => self.serve(request)?,
            Work::Posted(ask) => self.carry_out(ask, self.inbox.ticket(), None).1?,
            Work::Forget(ticket) => {
                if self.waiting.remove(&ticket).is_some() {
                    self.machines.forget(ticket);
                }
            }
            Work::Nothing => return ControlFlow::Continue(Turn::Idle),
            Work::Closed => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(Turn::Worked)
    }

    fn serve(&mut self, request: Request<M::Ask, M::Reply>) -> ControlFlow<()> {
        let Request { ask, ticket, principal, slot, room } = request;
        if slot.abandoned() {
            return ControlFlow::Continue(());
        }
        // Authorization comes here; until it exists everyone may do everything.
        let (Principal::Anonymous | Principal::Node) = principal;
        // Before the answer can leave: whoever has it may ask again at once and must find the room
        // that it had.
        drop(room);
        self.carry_out(ask, ticket, Some(slot)).1
    }

    /// Serves what time asks for. Says how long to wait for the inbox then.
    fn serve_due(&mut self, now: Timestamp) -> ControlFlow<(), Option<Duration>> {
        if let Some(after) = self.due_after {
            if now < after {
                return ControlFlow::Continue(Some(after.since(now).max(WAIT_MIN)));
            }
            self.due_after = None;
        }
        for _ in 0..DUE_IN_A_ROW {
            let Some(ask) = self.machines.due(now) else {
                let wait = self.machines.next_due().map(|due| due.since(now).max(WAIT_MIN));
                return ControlFlow::Continue(wait);
            };
            let (outcome, flow) = self.carry_out(ask, self.inbox.ticket(), None);
            flow?;
            if let Err(error) = outcome {
                tracing::error!(%error, "what time asks for cannot be done now");
                self.due_after = Some(now.after(FULL_RETRY));
                return ControlFlow::Continue(Some(FULL_RETRY));
            }
        }
        ControlFlow::Continue(Some(Duration::ZERO))
    }

    fn carry_out(
        &mut self,
        ask: M::Ask,
        ticket: Ticket,
        slot: Option<Box<dyn Slot<M::Reply>>>,
    ) -> (Result<(), Error>, ControlFlow<()>) {
        let cx = Cx { now: self.clock.now(), entropy: &*self.entropy };
        let decision = self.machines.decide(ask, ticket, &cx);
        let mut effects = Effects::default();
        let Appended { entry_bytes, blobs, lsn } =
            match append(&mut self.machines, &mut self.journal, &decision, &cx, &mut effects) {
                Ok(appended) => appended,
                Err(error) => {
                    if let Some(follow_up) = decision.follow_up {
                        self.machines.turn_away(follow_up);
                    }
                    let answer = slot.map(|slot| (slot, Err(error.clone())));
                    self.hold(0, Vec::new(), answer, effects);
                    return (Err(error), ControlFlow::Continue(()));
                }
            };
        let answer = match (decision.answer, slot) {
            (Some(answer), Some(slot)) => Some((slot, answer)),
            (None, Some(slot)) => {
                self.waiting.insert(ticket, slot);
                None
            }
            (Some(Ok(reply)), None) => {
                self.give_back(reply);
                None
            }
            (_, None) => None,
        };
        if let Some(follow_up) = decision.follow_up {
            self.machines.attend(follow_up, ticket, &cx, &mut effects);
        }
        if self.paranoid {
            self.machines.check();
        }
        self.hold(entry_bytes, blobs, answer, effects);
        (Ok(()), self.crash_here(lsn))
    }

    fn hold(
        &mut self,
        entry_bytes: usize,
        blobs: Vec<(BlobAddr, Bytes)>,
        mut answer: Option<Answer<M::Reply>>,
        effects: Effects<M>,
    ) {
        // Planted: a refusal changes nothing, so it need not wait.
        if planted::is(Bug::RefusalSentBeforeItsCauseIsDurable)
            && let Some((slot, refusal)) = answer.take_if(|(_, answer)| answer.is_err())
        {
            slot.answer(refusal);
        }
        let mut answers: Vec<Answer<M::Reply>> = answer.into_iter().collect();
        for (ticket, answer) in effects.replies {
            match (self.waiting.remove(&ticket), answer) {
                (Some(slot), answer) => answers.push((slot, answer)),
                (None, Ok(reply)) => self.give_back(reply),
                (None, Err(_)) => {}
            }
        }
        let publications = effects.publications;
        if entry_bytes == 0 && answers.is_empty() && publications.is_empty() {
            return;
        }
        let after = self.journal.tip();
        self.held.hold(Release { after, entry_bytes, blobs, publications, answers });
        let durable = self.journal.durable();
        if durable >= after {
            self.held.release(durable);
        }
    }

    fn give_back(&self, reply: M::Reply) {
        M::returned(reply).into_iter().for_each(|ask| self.inbox.post(ask));
    }

    fn crash_here(&self, lsn: Option<Lsn>) -> ControlFlow<()> {
        match (lsn, self.crash_point) {
            (Some(lsn), Some(point)) if lsn >= point.after => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// What an ask has put into the journal.
#[derive(Default)]
struct Appended {
    entry_bytes: usize,
    blobs: Vec<(BlobAddr, Bytes)>,
    lsn: Option<Lsn>,
}

/// Appends and applies the ops of a decision as one entry.
fn append<M: Machines, J: Append>(
    machines: &mut M,
    journal: &mut J,
    decision: &Decision<M>,
    cx: &Cx<'_>,
    effects: &mut Effects<M>,
) -> Result<Appended, Error> {
    if decision.ops.is_empty() {
        return Ok(Appended::default());
    }
    let mut encoded = entry::encode(cx.now, &decision.ops);
    let reserved = journal.reserve(encoded.meta.len(), &encoded.blobs, decision.room);
    // Planted: the decision stands, whether there is room for it or not.
    if planted::is(Bug::FullDiskRefusalAfterApply) && reserved.is_err() {
        let nowhere = BlobAddr { segment: 0, position: 0, length: 0, crc: 0 };
        let addresses = vec![nowhere; encoded.blobs.len()];
        for (op, own) in decision.ops.iter().zip(encoded.split(&addresses)) {
            machines.apply(journal.tip(), cx.now, op, own, &mut Effects::default());
        }
    }
    reserved?;
    let entry_bytes = encoded.size_bytes();
    let meta = std::mem::take(&mut encoded.meta);
    let blobs = std::mem::take(&mut encoded.blobs);
    let bytes: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
    let (lsn, addresses) = journal.append(decision.cause, meta, blobs);
    for (op, own) in decision.ops.iter().zip(encoded.split(&addresses)) {
        machines.apply(lsn, cx.now, op, own, effects);
    }
    Ok(Appended { entry_bytes, blobs: addresses.into_iter().zip(bytes).collect(), lsn: Some(lsn) })
}

#[cfg(test)]
mod tests;
