//! What the judge says: which promise is broken, by which requests, in a sentence for people; and
//! how much was looked at, because "nothing found" means nothing if nothing was looked at.

use std::collections::BTreeMap;
use std::fmt;

use crate::OpId;

/// Findings of one invariant that are kept; more are only counted.
const KEPT_MAX: u64 = 20;

/// A promise. The names are those of the project's reliability plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// An acknowledged record is at its offset, with its bytes.
    L1,
    /// Offsets rise, and each holds one record for ever.
    L2,
    /// A send that is not repeated, or is idempotent, makes at most one record.
    L3,
    /// Records of one producer in one partition are in the order of its sends.
    L4,
    /// Committed offsets, log starts and log ends never go back unasked.
    L6,
    /// Each record was sent by somebody.
    L7,
    /// Event ids are 1..n, and what was seen stays.
    E1,
    /// An acknowledged start, signal or other request is in the history, once.
    E2,
    /// A timer fires once, not early, and not late.
    E3,
    /// A task is accepted once, and attempts are counted right.
    E4,
    /// Tasks and what Describe shows follow from the history.
    E6,
    /// In the end nothing that is due waits for ever.
    E7,
    /// A routed record causes one signal or start, in order.
    B1,
    /// An emit makes one record.
    B2,
    /// The first workflow task of a run that follows another arrives.
    Successor,
    /// What was refused did not happen.
    Refused,
    /// What a refusal claims (a run that exists, one that does not) is so.
    Named,
    /// The run was read to its end: every partition and every execution.
    Incomplete,
    /// The history itself makes sense.
    Malformed,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise.
    pub invariant: Invariant,
    /// The requests that show it.
    pub ops: Vec<OpId>,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)?;
        for (index, op) in self.ops.iter().enumerate() {
            write!(f, "{}{op}", if index == 0 { " [" } else { ", " })?;
        }
        f.write_str(if self.ops.is_empty() { "" } else { "]" })
    }
}

/// How much was looked at for one promise, and how often it was broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Facts that were judged.
    pub judged: u64,
    /// Those that were wrong.
    pub broken: u64,
}

/// The judgement of one history.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, the first few of each kind.
    pub findings: Vec<Finding>,
    /// What was looked at. A promise that is not here was not judged.
    pub tallies: BTreeMap<Invariant, Tally>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The promises that are broken.
    pub fn broken(&self) -> Vec<Invariant> {
        self.tallies.iter().filter(|it| it.1.broken > 0).map(|it| *it.0).collect()
    }

    /// How many facts were judged for one promise.
    pub fn judged(&self, invariant: Invariant) -> u64 {
        self.tallies.get(&invariant).map_or(0, |tally| tally.judged)
    }

    /// Counts a fact that is about to be judged.
    pub(crate) fn look(&mut self, invariant: Invariant) {
        self.tallies.entry(invariant).or_default().judged += 1;
    }

    /// Notes a broken promise.
    pub(crate) fn find(
        &mut self,
        invariant: Invariant,
        ops: impl IntoIterator<Item = OpId>,
        what: impl FnOnce() -> String,
    ) {
        let tally = self.tallies.entry(invariant).or_default();
        tally.broken += 1;
        if tally.broken <= KEPT_MAX {
            let ops = ops.into_iter().collect();
            self.findings.push(Finding { invariant, ops, what: what() });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for (invariant, tally) in &self.tallies {
            writeln!(f, "{invariant}: {} judged, {} broken", tally.judged, tally.broken)?;
        }
        Ok(())
    }
}
