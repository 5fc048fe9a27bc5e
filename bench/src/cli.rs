//! The command line, and the only place that prints.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{anchors, drive, measure, peer, report, row, run};

/// Mainstay, Kafka, Temporal and Restate side by side.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install the real ones, say what is missing, or start one.
    Anchors(anchors::Options),
    /// Start each peer, drive each row against it, print one table of ratios and the goals.
    Run(run::Options),
    /// One row against given addresses: one line of JSON for each figure.
    Drive(drive::Options),
    /// The table and the goals again, from the files that `bench run --json` wrote.
    Report {
        /// Figures of the same machine, on the same day
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Measure what the design rests on.
    Measure(measure::Measure),
    /// Say which rows and peers there are.
    List,
}

/// Runs what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = built.context("the runtime").and_then(|runtime| {
        let result = runtime.block_on(until_interrupted(cli.command));
        // A blocking call of a row that was given up may never end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What is dropped on an interrupt ends its processes.
async fn until_interrupted(command: Command) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        done = Box::pin(carry_out(command)) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("asked to end"),
        _ = hang_up.recv() => bail!("the terminal is gone"),
    }
}

async fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Anchors(options) => anchors::run(&options).await,
        Command::Run(options) => run::run(&options).await,
        Command::Drive(options) => drive::drive(&options).await,
        Command::Report { files } => {
            let mut figures = Vec::new();
            for file in &files {
                figures.extend(report::read(file)?);
            }
            tell(&report::whole(&figures));
            Ok(())
        }
        Command::Measure(measure) => measure::run(measure).await,
        Command::List => {
            tell(&list());
            Ok(())
        }
    }
}

fn list() -> String {
    let rows = row::ROWS.iter().map(|row| {
        let unit = if row.unit.is_empty() { "" } else { "; unit: " };
        format!("{:<22} {}{unit}{}\n", row.name, row.what, row.unit)
    });
    let peers = peer::KINDS.iter().map(|kind| format!("{:<22} {}\n", kind.name, kind.what));
    format!("rows\n{}\npeers\n{}", rows.collect::<String>(), peers.collect::<String>())
}

/// What was asked for.
pub(crate) fn tell(text: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// What happens meanwhile.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_fits_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
