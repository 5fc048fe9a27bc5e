//! The ways of doing harm, each named as in the plan, and what they have in common: a directory, a
//! seed, a verdict.

mod cut;
mod disk_full;
mod kill;
mod overload;
mod pause;
mod sync_error;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use checker::{Invariant, Line};

use crate::report::Outcome;
use crate::scene::{HISTORIES, Scene};
use crate::{disk, group, injection, namespace};

/// The promises that every run with a whole cast must have put to the test.
const JUDGED: [Invariant; 12] = [
    Invariant::L1,
    Invariant::L2,
    Invariant::L3,
    Invariant::L4,
    Invariant::L6,
    Invariant::E1,
    Invariant::E2,
    Invariant::E3,
    Invariant::E4,
    Invariant::E7,
    Invariant::B1,
    Invariant::B2,
];

/// A method of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// kill -9 under load
    T3,
    /// Power cuts under load
    T4,
    /// The disk is full, then not
    T7,
    /// Failing syncs and writes under load
    T9,
    /// Overload in a bounded memory
    T12,
    /// SIGSTOP of the node, a worker, a client
    T14,
}

/// How a method is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Decides the load, the faults and their times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How often harm is done [default: what the budget of a change allows]
    #[arg(long)]
    pub(crate) faults: Option<u32>,
    /// It is in a namespace of its own already
    #[arg(long, hide = true)]
    pub(crate) inside: bool,
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    faults: u32,
    requests: u64,
    findings: Vec<String>,
    notes: Vec<String>,
}

impl Method {
    /// All of them, in the order in which they are run.
    pub(crate) const ALL: [Method; 6] =
        [Method::T3, Method::T4, Method::T7, Method::T9, Method::T12, Method::T14];

    fn name(self) -> &'static str {
        match self {
            Method::T3 => "T3",
            Method::T4 => "T4",
            Method::T7 => "T7",
            Method::T9 => "T9",
            Method::T12 => "T12",
            Method::T14 => "T14",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Method::T3 => "kill -9 under load",
            Method::T4 => "power cut under load",
            Method::T7 => "the disk is full, then not",
            Method::T9 => "failing syncs, then a power cut",
            Method::T12 => "overload in bounded memory",
            Method::T14 => "processes that stand still",
        }
    }

    /// Runs, each with a seed of its own, and faults in each: what the budget of a change allows,
    /// and a long run.
    pub(crate) fn extent(self, long: bool) -> (u64, u32) {
        match (self, long) {
            (Method::T3, false) => (1, 60),
            (Method::T3, true) => (5, 100),
            (Method::T4, false) => (1, 40),
            (Method::T4, true) => (5, 40),
            (Method::T7, false) => (1, 3),
            (Method::T7, true) => (5, 10),
            (Method::T9, false) => (1, 14),
            (Method::T9, true) => (1, 280),
            (Method::T12, false) => (1, 1),
            (Method::T12, true) => (1, 20),
            (Method::T14, false) => (1, 5),
            (Method::T14, true) => (2, 100),
        }
    }

    /// Whether it mounts something, which nobody else is to see.
    fn needs_mounts(self) -> bool {
        matches!(self, Method::T4 | Method::T7 | Method::T9)
    }

    /// Why it cannot be run on this machine, if it cannot.
    fn hindrance(self) -> Option<String> {
        match self {
            Method::T3 | Method::T14 => None,
            Method::T4 | Method::T7 => disk::hindrance(),
            Method::T12 => group::hindrance(),
            Method::T9 => disk::hindrance().or_else(injection::hindrance),
        }
    }

    /// Runs it and tells what became of it.
    pub(crate) async fn run(self, options: &Options) -> Outcome {
        let faults = options.faults.unwrap_or(self.extent(false).1);
        let (seed, name) = (options.seed, self.name());
        let outcome = Outcome {
            method: name.to_owned(),
            title: self.title().to_owned(),
            seed,
            not_run: self.hindrance(),
            replay: format!(
                "cargo run -p torture -- method {} --seed {seed} --faults {faults}",
                name.to_lowercase()
            ),
            ..Outcome::default()
        };
        if outcome.not_run.is_some() {
            return outcome;
        }
        let begin = Instant::now();
        let mut outcome = if self.needs_mounts() && !options.inside {
            let inside = namespace::run(&name.to_lowercase(), seed, faults).await;
            inside.unwrap_or_else(|error| outcome.failed_by(&error))
        } else {
            self.judge(seed, faults, outcome).await
        };
        outcome.seconds = begin.elapsed().as_secs_f64();
        outcome
    }

    async fn judge(self, seed: u64, faults: u32, mut outcome: Outcome) -> Outcome {
        let directory = match tempfile::Builder::new().prefix("torture-").tempdir() {
            Ok(directory) => directory,
            Err(error) => return outcome.failed_by(&error.into()),
        };
        let mut verdict = Verdict::default();
        if let Err(error) = self.act(directory.path(), seed, faults, &mut verdict).await {
            verdict.findings.push(format!("{error:#}"));
            // A run that broke down may have shown why.
            if verdict.requests == 0 {
                let _ = judge(&directory.path().join(HISTORIES), &mut verdict, false);
            }
        }
        outcome.faults = verdict.faults;
        outcome.requests = verdict.requests;
        outcome.notes = verdict.notes;
        outcome.findings = verdict.findings;
        if outcome.findings.is_empty() {
            outcome.passed = 1;
        } else {
            outcome.failed = 1;
            outcome.kept = Some(directory.keep());
        }
        outcome
    }

    async fn act(
        self,
        directory: &Path,
        seed: u64,
        faults: u32,
        verdict: &mut Verdict,
    ) -> Result<()> {
        match self {
            Method::T3 => kill::run(directory, seed, faults, verdict).await,
            Method::T4 => cut::run(directory, seed, faults, verdict).await,
            Method::T7 => disk_full::run(directory, seed, faults, verdict).await,
            Method::T9 => sync_error::run(directory, seed, faults, verdict).await,
            Method::T12 => overload::run(directory, seed, faults, verdict).await,
            Method::T14 => pause::run(directory, seed, faults, verdict).await,
        }
    }
}

/// Ends the run and has the histories judged.
async fn conclude(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    verdict.findings.extend(scene.finish().await?);
    verdict.notes.push(format!("slowest start of the node: {:?}", scene.node.slowest_start));
    judge(&scene.histories(), verdict, true)
}

/// Has the histories judged. What was not looked at at all in a whole run is a finding as well: a run
/// that asks nothing proves nothing.
fn judge(histories: &Path, verdict: &mut Verdict, whole: bool) -> Result<()> {
    let mut lines = Vec::new();
    for entry in histories.read_dir().context("the histories")? {
        lines.extend(checker::read(entry?.path())?);
    }
    let is_request = |line: &&Line| matches!(line, Line::Invoke { .. });
    verdict.requests = lines.iter().filter(is_request).count() as u64;
    let report = checker::check(&lines);
    verdict.findings.extend(report.findings.iter().map(ToString::to_string));
    for promise in JUDGED {
        if whole && report.judged(promise) == 0 {
            verdict
                .findings
                .push(format!("{promise:?} was not judged: nothing was asked about it"));
        }
    }
    let judged = report.tallies.iter().map(|(of, tally)| format!("{of:?} {}", tally.judged));
    verdict.notes.push(format!("judged: {}", judged.collect::<Vec<_>>().join(", ")));
    Ok(())
}
