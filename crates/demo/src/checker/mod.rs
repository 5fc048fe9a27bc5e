//! The judge: looks only at what clients saw (delivery reports, effects the activities reported,
//! records consumed, answers to Describe and queries) and names everything that is not right.
//! Pure functions over a finished [`History`]; it shares no code with the server.
//!
//! - `outcomes`: each order has exactly one outcome, the right one for its kind.
//! - `effects`: each step took effect exactly once; what a failed order did was undone exactly once,
//!   in reverse order.
//! - `deliveries`: each record was handled by its mailbox exactly once, and reached its saga at most once.
//! - `executions`: nothing is open that should be closed, nothing ran twice, every question was answered.

mod deliveries;
mod effects;
mod executions;
mod history;
mod outcomes;
#[cfg(test)]
mod tests;
mod violation;

pub(crate) use history::{
    Delivery, Effect, Execution, History, MailboxSeen, Question, Status, Step,
};
pub(crate) use violation::{Fault, Violation};

/// Everything that is wrong with `history`; empty when all is well.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    outcomes::check(history, &mut found);
    effects::check(history, &mut found);
    deliveries::check(history, &mut found);
    executions::check(history, &mut found);
    found
}
