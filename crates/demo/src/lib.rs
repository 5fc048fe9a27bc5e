//! `mainstay demo`: a shop on Mainstay, shown to newcomers and checked to the last record.
//!
//! It starts a node in a temporary directory and a worker built on the official `temporalio-sdk`, both
//! as child processes, sends orders and payments with an ordinary Kafka producer, reads the outcomes
//! with an ordinary consumer group, and has a checker look at what clients saw. With `--chaos` it
//! kills the node about every second and the worker twice; the same checker must pass.
//!
//! This crate is an outside client: it uses no other crate of this workspace, and what it knows of
//! Mainstay is the command line, the configuration file and the two protocols.

mod activities;
mod book;
mod checker;
mod child;
mod client;
mod consumer;
mod customer;
mod error;
mod figures;
mod interrupt;
mod keeper;
mod ledger;
mod node;
mod plan;
mod producer;
mod random;
mod records;
mod saga;
mod settle;
mod show;
mod temporal;
mod topics;
mod worker;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::error::Error;
use crate::show::Ended;
use crate::worker::Addresses;

/// The options of `mainstay demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many orders to send
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub orders: usize,
    /// Kill the node about every second while orders flow, and the worker twice
    #[arg(long)]
    pub chaos: bool,
    /// With --chaos: about the time between two kills of the node
    #[arg(long, hide = true, value_name = "MS", default_value_t = 1000)]
    pub kill_every_ms: u64,
    /// Decides everything that is random: the same seed, the same orders
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Print the figures as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Do one thing wrong on purpose: the checker must notice
    #[arg(long, value_enum, hide = true)]
    pub plant: Option<Plant>,
    /// Run as the worker of another demo process
    #[arg(long, hide = true, requires_all = ["temporal", "ledger"])]
    pub worker: bool,
    /// For the worker: the node
    #[arg(long, hide = true)]
    pub temporal: Option<SocketAddr>,
    /// For the worker: the ledger
    #[arg(long, hide = true)]
    pub ledger: Option<SocketAddr>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("an empty run proves nothing".to_owned()),
        Ok(orders) => Ok(orders),
        Err(error) => Err(format!("{error}")),
    }
}

/// What to do wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// One order record is acknowledged and nowhere.
    LostRecord,
    /// One mailbox gets one record twice.
    DoubledSignal,
    /// One failed order's reservation is not released.
    SkippedCompensation,
}

/// Runs the demo: 0 when nothing was lost, done twice or stuck, 1 otherwise.
pub fn run(options: Options) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)
        .and_then(|runtime| runtime.block_on(act(&options)));
    match result {
        Ok(code) => code,
        Err(Error::Interrupted) => ExitCode::from(130),
        Err(error) => {
            say(&mut std::io::stderr(), &format!("demo: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn act(options: &Options) -> Result<ExitCode, Error> {
    if options.worker {
        let (Some(temporal), Some(ledger)) = (options.temporal, options.ledger) else {
            return Err(Error::NoAddresses);
        };
        worker::run(Addresses { temporal, ledger }).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.json {
        let chaos = if options.chaos { ", with kill -9 about every second" } else { "" };
        let text =
            format!("Mainstay demo: {} orders{chaos} (seed {})\n", options.orders, options.seed);
        say(&mut std::io::stderr(), &text);
    }
    let ended = show::run(options).await?;
    Ok(tell(options, ended))
}

fn tell(options: &Options, ended: Ended) -> ExitCode {
    let Ended { figures, directory } = ended;
    let text = if options.json { figures.json() + "\n" } else { figures.table() };
    say(&mut std::io::stdout(), &text);
    if figures.ok {
        return ExitCode::SUCCESS;
    }
    if options.plant.is_none() {
        let kept = directory.keep();
        say(
            &mut std::io::stderr(),
            &format!("demo: logs and data are kept in {}\n", kept.display()),
        );
    }
    ExitCode::FAILURE
}

/// Whoever closed the pipe does not want to hear it: that is no error.
fn say(out: &mut impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
