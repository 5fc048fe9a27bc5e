//! Runs the fuzz targets on the stable toolchain, or guided by coverage; makes the corpus.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the command line")]

mod guided;
mod mutate;
mod record;
mod run;

use anyhow::Context;
use clap::{Parser, Subcommand};
use fuzz_targets::{INPUT_BYTES_MAX, TARGETS, Target, meter, target};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where an input goes that fails.
const ARTIFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fuzz");

#[derive(Parser)]
#[command(about = "Runs the fuzz targets of Mainstay")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The names of all targets.
    List,
    /// The corpus of a target, and mutations of it.
    Run {
        /// The target.
        target: String,
        /// For how long mutations are run.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// The same seed and corpus give the same inputs.
        #[arg(long)]
        seed: Option<u64>,
        /// Where an input goes that fails.
        #[arg(long, default_value = ARTIFACTS)]
        artifacts: PathBuf,
    },
    /// One input.
    Replay {
        /// The target.
        target: String,
        /// The input.
        file: PathBuf,
    },
    /// Coverage-guided, by cargo-fuzz on a nightly toolchain.
    Guided {
        /// For how long each target is run.
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        /// The toolchain.
        #[arg(long, default_value = "nightly")]
        toolchain: String,
        /// The targets; all, if none are named.
        targets: Vec<String>,
    },
    /// Makes the part of the corpus that is made by code.
    Record,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::List => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        Command::Run { target, seconds, seed, artifacts } => {
            let target = named(&target)?;
            let seed = seed.unwrap_or_else(random_seed);
            println!("{}: seed {seed}", target.name);
            let figures = run::run(target, seed, Duration::from_secs(seconds), &artifacts)?;
            println!("{}: {figures:?}", target.name);
        }
        Command::Replay { target, file } => {
            let input = std::fs::read(&file).with_context(|| format!("{}", file.display()))?;
            let figures = run::replay(named(&target)?, &input, Path::new(ARTIFACTS))?;
            println!("{figures:?}");
        }
        Command::Guided { seconds, toolchain, targets } => {
            let named = targets.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
            let chosen = if named.is_empty() { TARGETS.iter().collect() } else { named };
            guided::guided(&chosen, seconds, &toolchain)?;
        }
        Command::Record => record::record()?,
    }
    Ok(())
}

fn named(name: &str) -> anyhow::Result<&'static Target> {
    target(name).with_context(|| format!("there is no target {name}"))
}

fn random_seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}
