//! Mainstay itself: the shipped binary with its defaults, everything durable before it is acknowledged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::process::Command;

use super::process::Process;
use super::ready::{self, Probe};
use super::{Kind, Peer, Port, Start, ports};
use crate::row::Addresses;

/// A start takes some milliseconds; what takes this long is a finding.
const READY_MAX: Duration = Duration::from_secs(30);

/// Mainstay as a peer.
pub(crate) const MAINSTAY: Kind = Kind {
    name: "mainstay",
    what: "the binary built from these sources, with its defaults (fdatasync before every answer)",
    offers: &[Port::Kafka, Port::Temporal, Port::Routes],
    usual: true,
    start,
};

fn start(options: &Start) -> BoxFuture<'_, Result<Peer>> {
    serve(options).boxed()
}

async fn serve(options: &Start) -> Result<Peer> {
    let binary = find(options.mainstay.as_deref())?;
    let directory = options.directory("mainstay")?;
    let config = directory.path().join("mainstay.toml");
    std::fs::write(&config, options.routes).context("the configuration")?;
    let [kafka, temporal] = ports::free()?.map(|address| address.to_string());
    let mut command = Command::new(binary);
    command
        .args(["serve", "--kafka", &kafka, "--temporal", &temporal, "--config"])
        .arg(&config)
        .arg("--data")
        .arg(directory.path().join("data"))
        .env("NO_COLOR", "1");
    let mut process = Process::spawn("mainstay", command, &directory.path().join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Kafka(&kafka)).await?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(&temporal)).await?;
    Ok(Peer {
        name: MAINSTAY.name.to_owned(),
        addresses: Addresses {
            kafka: Some(kafka),
            temporal: Some(temporal),
            ..Addresses::default()
        },
        cold_start: process.began.elapsed(),
        processes: vec![process],
        directories: vec![directory],
    })
}

/// The binary that was named, or the one beside this program.
fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        ensure!(path.is_file(), "{} is no file", path.display());
        return Ok(path.to_owned());
    }
    let here = std::env::current_exe().context("the path of this program")?;
    let path = here.with_file_name("mainstay");
    let hint = "build it (cargo build --release -p mainstay), or name one with --mainstay";
    ensure!(path.is_file(), "{} is not there: {hint}", path.display());
    Ok(path)
}
