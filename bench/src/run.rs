//! `bench run`: starts peers, drives rows against them from child processes, and reports.
//!
//! Each (row, peer) gets a peer of its own, started for it, so that nothing idles beside what is
//! measured and no row pays for what another left behind. Repetitions go round the peers, not one
//! after the other, because machines drift.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::measured::{Latency, Measured};
use crate::peer::{self, KINDS, PAIRS, Peer, Start};
use crate::row::disk::{self, FDATASYNC};
use crate::row::{self, COLD_START, Job, ROWS, Row};
use crate::usage::Used;
use crate::{cli, report};

/// What a child may take beyond its row's limit to say that it is over.
const GRACE: Duration = Duration::from_secs(10);
/// Cold starts of one repetition.
const COLD_STARTS: usize = 5;

/// See `bench run --help`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these peers
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only these rows
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How often each (row, peer) is measured; the table shows medians
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// The binary to measure, instead of the one beside this program
    #[arg(long)]
    mainstay: Option<PathBuf>,
    /// Where the peers' temporary directories are made: on the disk that is to be measured
    #[arg(long)]
    work: Option<PathBuf>,
    /// Write every figure to this file, one line of JSON each
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    row_options: row::Options,
}

/// Runs everything that was asked for and prints the table.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let rows = chosen_rows(options)?;
    let peers = chosen_peers(options)?;
    let mut run = Run { options, json: None, figures: Vec::new(), problems: BTreeMap::new() };
    if let Some(path) = &options.json {
        let file = std::fs::File::create(path);
        run.json = Some(file.with_context(|| format!("the file {}", path.display()))?);
    }
    for row in rows {
        for _ in 0..options.repeat.max(1) {
            if row.name == FDATASYNC.name {
                run.disk().await?;
                continue;
            }
            for name in peers.iter().filter(|name| suits(row, name)) {
                run.measure(row, name).await?;
            }
        }
    }
    cli::tell(&report::whole(&run.figures));
    for (what, problem) in &run.problems {
        cli::tell(&format!("\nnot measured: {what}: {problem}\n"));
    }
    ensure!(!run.figures.is_empty(), "nothing could be measured");
    Ok(())
}

/// What has been seen until now.
struct Run<'a> {
    options: &'a Options,
    json: Option<std::fs::File>,
    figures: Vec<Measured>,
    /// By peer, or by row and peer: why there is no figure.
    problems: BTreeMap<String, String>,
}

impl Run<'_> {
    /// Measures one row against one peer. What goes wrong there is told, and the rest goes on.
    async fn measure(&mut self, row: &'static Row, name: &str) -> Result<()> {
        let what = format!("{} on {name}", row.name);
        if self.problems.contains_key(name) || self.problems.contains_key(&what) {
            return Ok(());
        }
        cli::say(&format!("bench: {what}\n"));
        let start = self.start(row);
        let done = if row.name == COLD_START.name {
            cold_start(name, &start).await
        } else {
            let peer = match peer::start(name, &start).await {
                Ok(peer) => peer,
                Err(error) => {
                    self.trouble(name.to_owned(), &error);
                    return Ok(());
                }
            };
            self.against(row, peer).await
        };
        match done {
            Ok(figures) => self.keep(figures),
            Err(error) => {
                self.trouble(what, &error);
                Ok(())
            }
        }
    }

    /// Measures the disk itself.
    async fn disk(&mut self) -> Result<()> {
        match disk::fdatasync(&self.start(&FDATASYNC)).await {
            Ok(figures) => self.keep(figures),
            Err(error) => {
                self.trouble(FDATASYNC.name.to_owned(), &error);
                Ok(())
            }
        }
    }

    fn start(&self, row: &Row) -> Start {
        let Options { mainstay, work, .. } = self.options.clone();
        Start { mainstay, work, routes: row.routes }
    }

    async fn against(&self, row: &'static Row, mut peer: Peer) -> Result<Vec<Measured>> {
        let done = drive(row, &peer, self.options.row_options).await;
        let alive = peer.check();
        peer.end().await;
        // A server that died is the reason for whatever the client saw.
        alive.and(done)
    }

    fn keep(&mut self, figures: Vec<Measured>) -> Result<()> {
        for measured in figures {
            cli::say(&format!("bench: {}\n", report::line(&measured)));
            if let Some(file) = &mut self.json {
                writeln!(file, "{}", serde_json::to_string(&measured)?)?;
            }
            self.figures.push(measured);
        }
        Ok(())
    }

    fn trouble(&mut self, what: String, error: &anyhow::Error) {
        cli::say(&format!("bench: {what}: {error:#}\n"));
        // Logs and the like have been shown where they came up.
        let first = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
        self.problems.insert(what, first);
    }
}

/// Runs `bench drive` and reads its figures.
pub(crate) async fn drive(row: &Row, peer: &Peer, options: row::Options) -> Result<Vec<Measured>> {
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.args(["drive", row.name, "--peer", &peer.name]);
    let addresses = [
        ("--kafka", &peer.addresses.kafka),
        ("--temporal", &peer.addresses.temporal),
        ("--restate", &peer.addresses.restate),
        ("--restate-admin", &peer.addresses.restate_admin),
    ];
    for (flag, address) in addresses {
        command.args(address.iter().flat_map(|address| [flag, address]));
    }
    let numbers = [
        ("--count", options.count),
        ("--seconds", options.seconds),
        ("--concurrency", options.concurrency.map(|number| number as u64)),
        ("--pollers", options.pollers.map(|number| number as u64)),
    ];
    for (flag, number) in numbers {
        command.args(number.iter().flat_map(|number| [flag.to_owned(), number.to_string()]));
    }
    command.args(options.quick.then_some("--quick"));
    command.args(options.fsyncs.then_some("--fsyncs"));
    let pids: Vec<String> = peer.server().pids.iter().map(u32::to_string).collect();
    command.args(["--pids", &pids.join(",")]);
    figures(command, row.limit + GRACE).await
}

async fn figures(mut command: Command, limit: Duration) -> Result<Vec<Measured>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().context("cannot start bench drive")?;
    let output = tokio::time::timeout(limit, child.wait_with_output()).await;
    let output = output.with_context(|| format!("bench drive did not end within {limit:?}"))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("bench drive: {}: {}", output.status, said.trim());
    }
    report::parse(&String::from_utf8(output.stdout).context("the figures")?)
}

/// Starts and ends the peer several times; its middle start is the figure.
async fn cold_start(name: &str, start: &Start) -> Result<Vec<Measured>> {
    let mut figures = Vec::new();
    for _ in 0..COLD_STARTS {
        let peer = peer::start(name, start).await?;
        let (server, took) = (peer.server(), peer.cold_start);
        let used = Used {
            wall: took,
            server_cpu: server.cpu(),
            server_peak_bytes: server.resident_bytes(),
            ..Used::default()
        };
        let job = Job {
            row: &COLD_START,
            peer: name.to_owned(),
            addresses: peer.addresses.clone(),
            options: row::Options::default(),
            server,
        };
        let latency = Some(Latency { p50: took, p99: took });
        figures.push(Measured { latency, ..job.measured("", 1, used) });
        peer.end().await;
    }
    Ok(figures)
}

fn chosen_rows(options: &Options) -> Result<Vec<&'static Row>> {
    for name in &options.rows {
        ensure!(
            ROWS.iter().any(|row| row.name == name),
            "there is no row {name}; see `bench list`"
        );
    }
    let named = |name: &str| options.rows.iter().any(|it| it == name);
    // The goal of this row is about what it takes beyond the disk.
    let disk = |row: &Row| row.name == FDATASYNC.name && named("produce-one");
    let chosen = |row: &&Row| options.rows.is_empty() || named(row.name) || disk(row);
    Ok(ROWS.iter().filter(chosen).collect())
}

fn chosen_peers(options: &Options) -> Result<Vec<String>> {
    if options.peers.is_empty() {
        let usual = KINDS.iter().filter(|kind| kind.usual);
        let all = usual.map(|kind| kind.name).chain(PAIRS.iter().copied());
        return Ok(all.map(str::to_owned).collect());
    }
    options.peers.iter().try_for_each(|name| peer::kinds(name).map(drop))?;
    Ok(options.peers.clone())
}

fn suits(row: &Row, peer: &str) -> bool {
    peer::kinds(peer).is_ok_and(|kinds| {
        let offers: Vec<_> = kinds.iter().map(|kind| kind.offers).collect();
        row.suits(&offers)
    })
}
