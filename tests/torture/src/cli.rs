//! The command line, and what each command runs.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::client;
use crate::log;
use crate::method::{self, Method};
use crate::report::{self, Outcome};

/// The real mainstay binary and real clients under real faults.
#[derive(Debug, clap::Parser)]
#[command(name = "torture")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What runs with every change.
    Change(Suite),
    /// What runs before a release: the same, longer; appends its figures to the reliability log.
    Long {
        #[command(flatten)]
        suite: Suite,
        /// Another file than docs/reliability-log.md
        #[arg(long)]
        log: Option<PathBuf>,
    },
    /// One method: the command that repeats a failed run.
    Method {
        /// Which
        method: Method,
        #[command(flatten)]
        options: method::Options,
        /// Write what became of it to this file
        #[arg(long, hide = true)]
        outcome: Option<PathBuf>,
    },
    /// A client process of a run.
    #[command(hide = true)]
    Client(client::Options),
}

#[derive(Clone, Debug, clap::Args)]
struct Suite {
    /// Decides the load, the faults and their times
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these methods
    #[arg(long, value_delimiter = ',')]
    only: Vec<Method>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs what the command line says; a test program says nothing, or words meant for a test harness.
pub fn main(default: Option<&str>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let cli = match default {
        Some(command) if !is_ours(&arguments) => Cli::parse_from(["torture", command]),
        _ => Cli::parse_from(arguments),
    };
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = built.context("the runtime").and_then(|runtime| {
        let result = runtime.block_on(run(cli.command));
        // A read of the standard input may never end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("torture: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn is_ours(arguments: &[String]) -> bool {
    let ours = ["change", "long", "method", "client"];
    arguments.get(1).is_some_and(|argument| ours.contains(&argument.as_str()))
}

async fn run(command: Command) -> Result<bool> {
    if let Command::Client(options) = command {
        client::run(options).await?;
        return Ok(true);
    }
    let mut kill = signal(SignalKind::terminate())?;
    // What is dropped here ends its processes.
    tokio::select! {
        good = direct(command) => good,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = kill.recv() => anyhow::bail!("asked to end"),
    }
}

async fn direct(command: Command) -> Result<bool> {
    match command {
        Command::Change(suite) => Ok(report::is_good(&run_suite(&suite, false).await)),
        Command::Long { suite, log } => {
            let commit = log::commit();
            let outcomes = run_suite(&suite, true).await;
            log::append(&log.unwrap_or_else(log::path), &commit, &outcomes)?;
            Ok(report::is_good(&outcomes))
        }
        Command::Method { method, options, outcome } => {
            let done = method.run(&options).await;
            if let Some(path) = outcome {
                std::fs::write(path, serde_json::to_vec(&done)?)?;
            } else {
                tell(&report::table(std::slice::from_ref(&done)));
            }
            Ok(report::is_good(&[done]))
        }
        Command::Client(_) => Ok(true),
    }
}

async fn run_suite(suite: &Suite, long: bool) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let chosen = |method: &Method| suite.only.is_empty() || suite.only.contains(method);
    for method in Method::ALL.into_iter().filter(chosen) {
        let (runs, faults) = method.extent(long);
        for seed in suite.seed..suite.seed + runs {
            let options = method::Options { seed, faults: Some(faults), inside: false };
            let outcome = method.run(&options).await;
            say(&format!("torture: {}\n", outcome.line()));
            outcomes.push(outcome);
        }
    }
    let text = if suite.json { report::json(&outcomes) } else { report::table(&outcomes) };
    tell(&text);
    outcomes
}

/// What was asked for.
fn tell(text: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// What happens meanwhile.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
