//! The shape of a machine: decide, (append), apply, attend.
//!
//! * `decide` reads the state and makes a plan: ops to journal, and an answer or a refusal. It
//!   changes nothing, so several machines can be asked before any op of a common entry is applied.
//! * The node appends the ops as one entry and calls `apply` for each. `apply` is the only mutator
//!   of journaled state, and the same code runs live and in recovery.
//! * `attend` comes after `apply`, live only. It is the only mutator of volatile state: pollers,
//!   sessions, join barriers, queries in flight. It may answer tickets by effects.
//!
//! Every answer and every effect is held by the node until the entry, and all it depends on, is
//! durable.

use crate::{Blob, BlobAddr, Cx, Lsn, PartitionId, Ticket, Timestamp};
use bytes::Bytes;

/// What an op is, on disk: a kind that is never reused, and the version of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpKind {
    /// `topics` 1..=99, `workflows` 100..=199, `bridge` 200..=299, `node` 300..=399.
    pub kind: u16,
    /// Version of the body's meaning, from 1.
    pub version: u8,
}

/// Why an op of the journal cannot be understood. Refuses to open the journal.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// Written by a newer release.
    #[error("unknown op kind {0:?}; the journal was written by a newer release")]
    UnknownKind(OpKind),
    /// The body is not what the kind says.
    #[error("op body of kind {kind:?} cannot be decoded: {reason}")]
    Malformed {
        /// The op's kind.
        kind: OpKind,
        /// What is wrong.
        reason: String,
    },
}

/// An op that can be journaled.
pub trait JournalOp: Sized {
    /// Appends the body to `body` and the large bytes to `blobs`.
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind;
    /// The reverse. `blobs` are this op's own, in the order in which `encode` pushed them.
    fn decode(kind: OpKind, body: &[u8], blobs: &[Bytes]) -> Result<Self, OpError>;
}

/// What a machine says to an ask.
#[derive(Debug)]
pub enum Verdict<Y, R> {
    /// Go on with the plan. `Some` is the answer; with `None` a later effect answers the ticket
    /// (at once in `attend`, or after a wait).
    Go(Option<Y>),
    /// Nothing is changed. The refusal is an answer, and is held like one.
    Refuse(R),
}

/// A deterministic state machine without I/O.
pub trait Machine {
    /// What can be asked.
    type Ask;
    /// What is journaled.
    type Op: JournalOp;
    /// What is answered.
    type Reply;
    /// What is answered when nothing is changed.
    type Refusal;
    /// What the node does once the entry is durable.
    type Effect;

    /// Read-only. Pushes the ops of the plan in order.
    fn decide(
        &self,
        ask: &Self::Ask,
        ticket: Ticket,
        cx: &Cx<'_>,
        plan: &mut Vec<Self::Op>,
    ) -> Verdict<Self::Reply, Self::Refusal>;

    /// Carries out one op. `blobs` are the addresses of this op's own blobs.
    fn apply(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        op: &Self::Op,
        blobs: &[BlobAddr],
        effects: &mut Vec<Self::Effect>,
    );

    /// Carries out what is not journaled, after the ask's ops have been applied.
    fn attend(
        &mut self,
        ask: Self::Ask,
        ticket: Ticket,
        cx: &Cx<'_>,
        effects: &mut Vec<Self::Effect>,
    );

    /// The caller of this ticket went away while it waited.
    fn forget(&mut self, ticket: Ticket);

    /// The next ask that time makes due at `now`, if any. The node asks until there is none.
    fn due(&self, now: Timestamp) -> Option<Self::Ask>;

    /// When `due` will next have something to say.
    fn next_due(&self) -> Option<Timestamp>;

    /// Once, after replay and before the first ask: rebuilds what is derived and not journaled.
    fn resume(&mut self, now: Timestamp);

    /// Panics if an invariant does not hold. Called by tests after every entry.
    fn check(&self);
}

/// What brought an entry about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// A client's request, or time.
    #[default]
    Request,
    /// A record of the log.
    Record(PartitionId, i64),
    /// An earlier entry.
    Entry(Lsn),
}
