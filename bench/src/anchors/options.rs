//! `bench anchors`: install them, say what is there, or start one for a profiler.
//! It measures nothing, and refuses a name that it does not know.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{ANCHORS, Anchor, cache, install};
use crate::cli::{say, tell};
use crate::peer;

/// How often a peer that was started is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// What to do with the real ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install what is not there yet (the default), and say what is missing.
    Install {
        /// Only these: postgres, kafka, restate, temporal-cli, temporal-server.
        names: Vec<String>,
    },
    /// Say what is there and what is missing.
    Check,
    /// Start one peer in the foreground and print its addresses, until Ctrl-C.
    Start {
        /// The peer, as in `bench list`.
        peer: String,
    },
}

/// Does what was asked for.
pub(crate) async fn run(options: &Options) -> Result<()> {
    match &options.command {
        None => install_named(&[]).await,
        Some(Command::Install { names }) => install_named(names).await,
        Some(Command::Check) => check().await,
        Some(Command::Start { peer }) => start(peer).await,
    }
}

async fn install_named(names: &[String]) -> Result<()> {
    for name in names {
        let known = ANCHORS.iter().any(|anchor| anchor.name == name);
        ensure!(known, "{name}: not one of {:?}", ANCHORS.map(|anchor| anchor.name));
    }
    say(&format!("in {}\n", cache()?.display()));
    let mut failed = 0;
    for anchor in ANCHORS {
        if names.is_empty() || names.iter().any(|name| name == anchor.name) {
            let outcome = install::install(anchor).await;
            failed += usize::from(outcome.is_err());
            let outcome = outcome.unwrap_or_else(|error| format!("FAILED: {error:#}"));
            tell(&format!("{:<24}{outcome}\n", anchor.title()));
        }
    }
    ensure!(failed == 0, "{failed} could not be installed");
    Ok(())
}

async fn check() -> Result<()> {
    say(&format!("in {}\n", cache()?.display()));
    for anchor in ANCHORS {
        tell(&format!("{:<24}{}\n", anchor.title(), state(anchor).await));
    }
    Ok(())
}

async fn state(anchor: &Anchor) -> String {
    let mut missing = Anchor::missing(anchor.run_tools).await;
    let installed = anchor.is_installed();
    if !installed {
        missing.extend(Anchor::missing(anchor.install_tools).await);
    }
    match (installed, missing.is_empty()) {
        (true, true) => "there".to_owned(),
        (false, true) => "not installed; everything that it needs is there".to_owned(),
        (true, false) => format!("installed, but cannot run: {}", missing.join("; ")),
        (false, false) => format!("MISSING: {}", missing.join("; ")),
    }
}

/// Ends when this future is dropped, which Ctrl-C does.
async fn start(name: &str) -> Result<()> {
    let mut peer = peer::start(name, &peer::Start::default()).await?;
    let addresses = &peer.addresses;
    let parts = [
        ("--kafka", &addresses.kafka),
        ("--temporal", &addresses.temporal),
        ("--restate", &addresses.restate),
        ("--restate-admin", &addresses.restate_admin),
    ];
    let mut line = String::new();
    for (flag, address) in parts {
        line += &address.iter().map(|address| format!("{flag} {address} ")).collect::<String>();
    }
    let pids: Vec<String> = peer.server().pids.iter().map(u32::to_string).collect();
    tell(&format!("{line}--pids {}\n", pids.join(",")));
    say(&format!("{name} was up after {:?}; Ctrl-C ends it\n", peer.cold_start));
    let mut pace = tokio::time::interval(PAUSE);
    loop {
        pace.tick().await;
        peer.check()?;
    }
}
