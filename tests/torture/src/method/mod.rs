//! The ways of doing harm, each named as in the plan, and what they have in common: a directory, a
//! seed, a verdict.

mod kill;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use checker::{Answer, Call, Line};

use crate::report::Outcome;
use crate::scene::Scene;

/// A method of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// kill -9 under load
    T3,
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
    pub(crate) const ALL: [Method; 1] = [Method::T3];

    fn name(self) -> &'static str {
        match self {
            Method::T3 => "T3",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Method::T3 => "kill -9 under load",
        }
    }

    /// Faults that the budget of a change allows, and those of a long run.
    pub(crate) fn faults(self, long: bool) -> u32 {
        match (self, long) {
            (Method::T3, false) => 60,
            (Method::T3, true) => 500,
        }
    }

    /// Why it cannot be run on this machine, if it cannot.
    fn hindrance(self) -> Option<String> {
        match self {
            Method::T3 => None,
        }
    }

    /// Runs it and tells what became of it.
    pub(crate) async fn run(self, options: &Options) -> Outcome {
        let faults = options.faults.unwrap_or(self.faults(false));
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
        let mut outcome = self.judge(seed, faults, outcome).await;
        outcome.seconds = begin.elapsed().as_secs_f64();
        outcome
    }

    async fn judge(self, seed: u64, faults: u32, mut outcome: Outcome) -> Outcome {
        let directory = match tempfile::Builder::new().prefix("torture-").tempdir() {
            Ok(directory) => directory,
            Err(error) => {
                outcome.failed = 1;
                outcome.findings.push(format!("no directory for the run: {error}"));
                return outcome;
            }
        };
        let verdict = self.act(directory.path(), seed, faults).await;
        let verdict = verdict.unwrap_or_else(|error| Verdict {
            findings: vec![format!("{error:#}")],
            ..Verdict::default()
        });
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

    async fn act(self, directory: &Path, seed: u64, faults: u32) -> Result<Verdict> {
        match self {
            Method::T3 => kill::run(directory, seed, faults).await,
        }
    }
}

/// Ends the run and has the histories judged.
async fn conclude(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    verdict.findings.extend(scene.finish().await?);
    verdict.notes.push(format!("slowest start of the node: {:?}", scene.node.slowest_start));
    let histories = scene.histories();
    let (requests, found) = tokio::task::spawn_blocking(move || judge(&histories)).await??;
    verdict.requests = requests;
    verdict.findings.extend(found);
    Ok(())
}

/// Requests in the histories, and what is wrong with them: a record that was acknowledged is where
/// its producer was told that it is.
fn judge(histories: &Path) -> Result<(u64, Vec<String>)> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in histories.read_dir().context("the histories")? {
        files.push(entry?.path());
    }
    let (mut requests, mut sent, mut acked) = (0, HashMap::new(), Vec::new());
    let mut log = HashMap::new();
    for file in files {
        for line in checker::read(&file)? {
            match line {
                Line::Invoke { op, call, .. } => {
                    requests += 1;
                    if let Call::Send { topic, value, .. } = call {
                        sent.insert(op, (topic, value));
                    }
                }
                Line::Return { op, result: checker::Outcome::Ok(answer), .. } => match answer {
                    Answer::Sent { partition, offset: Some(offset) } => {
                        acked.push((op, partition, offset));
                    }
                    Answer::Log { records, .. } => log.extend(
                        records.into_iter().map(|r| ((r.topic, r.partition, r.offset), r.value)),
                    ),
                    _ => {}
                },
                _ => {}
            }
        }
    }
    let lost = acked.into_iter().filter_map(|(op, partition, offset)| {
        let (topic, value) = sent.get(&op)?;
        let found = log.get(&(topic.clone(), partition, offset)).copied().flatten();
        let lost = found != Some(*value);
        lost.then(|| format!("{topic}-{partition}@{offset}: {found:?}, acknowledged was {value}"))
    });
    Ok((requests, lost.collect()))
}
