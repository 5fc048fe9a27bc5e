//! `bench drive`: one row against addresses, in this process alone, so that its processor time is the
//! client's.

use anyhow::{Context, Result};

use crate::cli;
use crate::row::{self, Addresses, Job};
use crate::usage::Server;

/// See `bench drive --help`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Which row
    row: String,
    #[command(flatten)]
    addresses: Addresses,
    /// The server's processes, on this machine: without them only the client is counted
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// What the peer is called in the figures
    #[arg(long, default_value = "peer")]
    peer: String,
    #[command(flatten)]
    row_options: row::Options,
}

/// Prints one line of JSON for each figure.
pub(crate) async fn drive(options: &Options) -> Result<()> {
    let row = row::ROWS.iter().find(|row| row.name == options.row);
    let row = row.with_context(|| format!("there is no row {}; see `bench list`", options.row))?;
    let drive = row.drive.context("only `bench run` can do this row")?;
    let job = Job {
        row,
        peer: options.peer.clone(),
        addresses: options.addresses.clone(),
        options: options.row_options,
        server: Server { pids: options.pids.clone(), fsyncs: options.row_options.fsyncs },
    };
    let figures = tokio::time::timeout(row.limit, drive(&job)).await;
    for measured in figures.with_context(|| format!("not done within {:?}", row.limit))?? {
        cli::tell(&(serde_json::to_string(&measured)? + "\n"));
    }
    Ok(())
}
