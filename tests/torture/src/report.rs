//! What became of each method: a table for people, JSON for programs, a line for the reliability log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What became of one method.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its name in the plan (T3).
    pub(crate) method: String,
    /// What it does.
    pub(crate) title: String,
    /// The seed.
    pub(crate) seed: u64,
    /// How often harm was done.
    pub(crate) faults: u32,
    /// How many runs were judged good.
    pub(crate) passed: u32,
    /// How many were not.
    pub(crate) failed: u32,
    /// Why it did not run here, if it did not.
    pub(crate) not_run: Option<String>,
    /// What was found.
    pub(crate) findings: Vec<String>,
    /// Where data and histories of a failed run are.
    pub(crate) kept: Option<PathBuf>,
    /// The command that does it again.
    pub(crate) replay: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Requests of clients in the histories.
    pub(crate) requests: u64,
    /// What else is worth knowing.
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    /// One line, said as soon as it is known.
    pub(crate) fn line(&self) -> String {
        let (name, seed) = (&self.method, self.seed);
        match (&self.not_run, self.failed) {
            (Some(why), _) => format!("{name} not run: {why}"),
            (None, 0) => format!("{name} seed {seed}: {} faults, nothing found", self.faults),
            (None, _) => format!("{name} seed {seed}: {} finding(s)", self.findings.len()),
        }
    }

    /// The run broke down.
    pub(crate) fn failed_by(mut self, error: &anyhow::Error) -> Outcome {
        self.failed = 1;
        self.findings.push(format!("{error:#}"));
        self
    }
}

/// Whether nothing was found. What was not run counts neither way.
pub(crate) fn is_good(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.failed == 0)
}

/// The table and what was found.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\n{:<5} {:<34} {:>7} {:>7} {:>7} {:>8} {:>9} {:>8}\n",
        "id", "method", "faults", "passed", "failed", "not run", "requests", "seconds"
    );
    for it in outcomes {
        let not_run = u8::from(it.not_run.is_some());
        text += &format!(
            "{:<5} {:<34} {:>7} {:>7} {:>7} {:>8} {:>9} {:>8.1}\n",
            it.method, it.title, it.faults, it.passed, it.failed, not_run, it.requests, it.seconds
        );
    }
    for it in outcomes {
        let name = &it.method;
        text.extend(it.not_run.iter().map(|why| format!("{name} not run: {why}\n")));
        text.extend(it.notes.iter().map(|note| format!("{name}: {note}\n")));
        text.extend(it.findings.iter().map(|finding| format!("{name} FOUND: {finding}\n")));
        if it.failed > 0 {
            let kept = it.kept.as_deref().map(|path| path.display().to_string());
            let kept = kept.unwrap_or_else(|| "nowhere".to_owned());
            text += &format!("{name}: data and histories are in {kept}\n");
            text += &format!("{name}: again: {}\n", it.replay);
        }
    }
    text
}

/// One object for programs.
pub(crate) fn json(outcomes: &[Outcome]) -> String {
    let value = serde_json::json!({ "ok": is_good(outcomes), "methods": outcomes });
    format!("{value}\n")
}
