//! What clients saw during one run: the checker's only input.

use serde::{Deserialize, Serialize};

use crate::plan::{Fact, PlannedOrder};
use crate::records::{OutcomeEvent, RecordId};

/// Everything seen, collected while the run goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What was meant to happen.
    pub(crate) orders: Vec<PlannedOrder>,
    /// One entry for each record handed to the producer.
    pub(crate) deliveries: Vec<Delivery>,
    /// Distinct effects in the order in which they first arrived.
    pub(crate) effects: Vec<Effect>,
    /// Distinct outcome records with their own identity; a consumer may read a record again.
    pub(crate) outcomes: Vec<(RecordId, OutcomeEvent)>,
    /// What Describe said at the end, one for each workflow id that should exist.
    pub(crate) executions: Vec<Execution>,
    /// What the mailboxes said at the end.
    pub(crate) mailboxes: Vec<MailboxSeen>,
    /// What the sagas said while they ran.
    pub(crate) questions: Vec<Question>,
}

/// A record handed to the producer.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Index into the orders.
    pub(crate) order: usize,
    /// Which record of the order.
    pub(crate) fact: Fact,
    /// Where the delivery report says it is, or why it is nowhere.
    pub(crate) landed: Result<RecordId, String>,
}

/// What an activity did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Goods were reserved.
    Reserve,
    /// The customer was charged.
    Charge,
    /// The goods left.
    Ship,
    /// A charge was undone.
    Refund,
    /// A reservation was undone.
    Release,
    /// A mailbox handled records.
    Note,
}

/// An effect an activity reported before it completed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The workflow's first run: with `activity_id` the identity of the effect.
    pub(crate) first_run: String,
    /// The activity's id.
    pub(crate) activity_id: String,
    /// The workflow the activity belongs to.
    pub(crate) workflow_id: String,
    /// What was done.
    pub(crate) step: Step,
    /// Which attempt reported it first.
    pub(crate) attempt: u32,
    /// For a note: the records handled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) records: Vec<RecordId>,
    /// When the ledger took it, in milliseconds since the ledger was opened; the ledger's own clock.
    #[serde(skip)]
    pub(crate) at_ms: u64,
}

/// An execution's state as Describe gives it, in the words the checker needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Still open.
    Running,
    /// Closed by its own completion.
    Completed,
    /// Closed in any other way.
    Failed,
    /// No such workflow.
    Missing,
}

/// What Describe said about the latest run of a workflow id.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    /// The workflow id.
    pub(crate) workflow_id: String,
    /// Its state.
    pub(crate) status: Status,
    /// The first run of its chain; empty where the server does not say.
    pub(crate) first_run: String,
}

/// What a mailbox said at the end.
#[derive(Clone, Debug)]
pub(crate) struct MailboxSeen {
    /// The mailbox's workflow id.
    pub(crate) workflow_id: String,
    /// Records it has handled; none where it did not answer.
    pub(crate) handled: Option<u64>,
    /// Records it has received and not handled.
    pub(crate) waiting: u64,
    /// Its runs so far: one more than it continued as new.
    pub(crate) runs: u64,
}

/// A question to a saga and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The order asked.
    pub(crate) order: String,
    /// Its answer, or why there is none.
    pub(crate) answer: Result<String, String>,
}
