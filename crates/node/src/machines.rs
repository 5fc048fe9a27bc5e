//! What the writer drives: the machines that share the journal, seen as one.
//!
//! The engine (inbox, writer, committer, held answers) knows this trait only. The node's own is
//! [`crate::joined::Joined`]; tests drive the engine with small ones.

use crate::error::Error;
use base::{BlobAddr, Cause, Cx, JournalOp, Lsn, Ticket, Timestamp};

/// Machines that decide together and share one entry.
pub(crate) trait Machines: Send + 'static {
    /// What can be asked.
    type Ask: Send + 'static;
    /// What is left to attend to when the ask's ops have been applied.
    type FollowUp;
    /// What is journaled.
    type Op: JournalOp;
    /// What is answered.
    type Reply: Send + 'static;
    /// What readers of the log see at release.
    type Publication: Send + 'static;

    /// Read-only: the plan of all machines concerned, or a refusal.
    fn decide(&self, ask: Self::Ask, ticket: Ticket, cx: &Cx<'_>) -> Decision<Self>;

    /// The only mutator of journaled state, live and in recovery.
    fn apply(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        op: &Self::Op,
        blobs: &[BlobAddr],
        effects: &mut Effects<Self>,
    );

    /// The only mutator of volatile state, live only.
    fn attend(
        &mut self,
        follow_up: Self::FollowUp,
        ticket: Ticket,
        cx: &Cx<'_>,
        effects: &mut Effects<Self>,
    );

    /// What was decided is not carried out: there is no room for its entry.
    fn turn_away(&mut self, _follow_up: Self::FollowUp) {}

    /// The caller of a waiting ticket went away.
    fn forget(&mut self, ticket: Ticket);

    /// The next ask that time makes due.
    fn due(&self, now: Timestamp) -> Option<Self::Ask>;

    /// When `due` will next have something to say.
    fn next_due(&self) -> Option<Timestamp>;

    /// Once, after replay and before the first ask.
    fn resume(&mut self, now: Timestamp);

    /// Panics if an invariant does not hold.
    fn check(&self);

    /// What must be asked when nobody takes `reply`, so that what it hands out is not lost.
    fn returned(reply: Self::Reply) -> Vec<Self::Ask>;
}

/// What follows from ops and asks, to be held until it is durable.
pub(crate) struct Effects<M: Machines + ?Sized> {
    /// Answers to tickets.
    pub(crate) replies: Vec<(Ticket, Result<M::Reply, Error>)>,
    /// What readers of the log will see.
    pub(crate) publications: Vec<M::Publication>,
}

impl<M: Machines + ?Sized> Default for Effects<M> {
    fn default() -> Effects<M> {
        Effects { replies: Vec::new(), publications: Vec::new() }
    }
}

/// What the machines say to an ask.
pub(crate) struct Decision<M: Machines + ?Sized> {
    /// To be journaled as one entry. Empty for refusals and reads.
    pub(crate) ops: Vec<M::Op>,
    /// What brought the entry about.
    pub(crate) cause: Cause,
    /// `None` if a later effect answers.
    pub(crate) answer: Option<Result<M::Reply, Error>>,
    /// To attend to after the ops. `None` for refusals.
    pub(crate) follow_up: Option<M::FollowUp>,
    /// Whether the entry may use the room that is kept for it when the disk is full.
    pub(crate) room: Room,
}

/// Which room of the journal an entry may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Room {
    /// What is there for everyone.
    #[default]
    Common,
    /// Also what is kept for entries that free room or let work end.
    Emergency,
}

impl<M: Machines + ?Sized> Decision<M> {
    /// Nothing changes; this is the answer.
    pub(crate) fn refuse(error: Error) -> Decision<M> {
        Decision {
            ops: Vec::new(),
            cause: Cause::Request,
            answer: Some(Err(error)),
            follow_up: None,
            room: Room::Common,
        }
    }
}
