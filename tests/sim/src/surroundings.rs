//! What every actor of a run has around it: the network, the history, the part that the run is
//! in, the plan's load, and a place for findings of its own.

use crate::history::History;
use crate::lives::Finding;
use crate::network::Network;
use crate::plan::Load;
use crate::stage::Stage;
use std::sync::{Arc, Mutex, PoisonError};

/// The topic that a route reads. Keys of its records are workflow ids.
pub const ROUTED_TOPIC: &str = "orders";
/// A topic that no route reads.
pub const PLAIN_TOPIC: &str = "plain";

/// What is around an actor. Clones are the same.
#[derive(Clone)]
pub struct Surroundings {
    /// The run's seed.
    pub seed: u64,
    /// How the node is reached.
    pub network: Network,
    /// Where everything is written down.
    pub history: History,
    /// How far the run has come.
    pub stage: Stage,
    /// How wild it is.
    pub load: Load,
    /// What a client finds itself, beside what the judge finds in the history.
    pub findings: Findings,
}

/// Findings of all clients of a run.
#[derive(Clone, Default)]
pub struct Findings(Arc<Mutex<Vec<Finding>>>);

impl Findings {
    /// Adds one.
    pub fn add(&self, promise: &str, what: impl ToString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Finding::new(promise, what));
    }

    /// All so far.
    pub fn all(&self) -> Vec<Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
