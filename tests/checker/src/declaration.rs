//! What a run is about: routes, and how much time things may take.

use serde::{Deserialize, Serialize};

/// The declaration of a run. Several of them (one per file) are joined: lists are put together,
/// the last budgets count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declaration {
    /// What names the run: the seed, the script.
    pub run: String,
    /// The routes that the node has.
    pub routes: Vec<Route>,
    /// How much time things may take.
    pub budgets: Budgets,
    /// Topics that others than the recorded clients and workflows write to (a dead-letter topic).
    /// Records in them need no sender; all else is judged.
    pub foreign_topics: Vec<String>,
}

/// A route: records of topics become signals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The topics it reads.
    pub topics: Vec<String>,
    /// The workflow id is this, then the record's key. A record without a key is not delivered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workflow_id_prefix: String,
    /// The signal's name.
    pub signal: String,
    /// What it does with a record.
    #[serde(default)]
    pub mode: RouteMode,
    /// What it does when the workflow is closed.
    #[serde(default)]
    pub on_closed: OnClosed,
}

/// What a route does with a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteMode {
    /// Signal, start before if there is none.
    #[default]
    SignalWithStart,
    /// Signal; a record whose workflow is not there may go elsewhere.
    Signal,
    /// Start; a record whose workflow is there already may go elsewhere.
    Start,
}

/// What a route does when the workflow is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClosed {
    /// Start it again.
    #[default]
    Start,
    /// The record is not delivered (counted, or written elsewhere).
    Skip,
}

/// How much time things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// A timer may fire this long after it was due, or after the node has recovered.
    pub timer_late_ms: i64,
    /// Something that is due at the end and has been for this long, all parties working, is stuck.
    pub stuck_after_ms: i64,
    /// Clocks of clients and server may differ by this much.
    pub clocks_apart_ms: i64,
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets { timer_late_ms: 2_000, stuck_after_ms: 60_000, clocks_apart_ms: 0 }
    }
}
