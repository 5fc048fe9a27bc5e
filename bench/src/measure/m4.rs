//! M4: what Mainstay's engine costs on top of what gRPC costs anyway.
//!
//! The same worker does the same workflows of three activities against a server of canned answers
//! (the floor), against Mainstay's front and engine on a disk that does nothing, and against the
//! shipped binary on a real one. Decides about twins and compression; green is less than 25 % of
//! processor time on top of the floor.

use super::Found;
use super::floor::Behind;
use super::table::Table;
use crate::cli::say;
use crate::measured::Measured;
use crate::peer::process::Process;
use crate::peer::ready::{self, Probe};
use crate::peer::{self, Peer, Start, ports};
use crate::row::{self, Addresses, ROWS, Row};
use crate::run;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// Driven against each server, where they are there.
const ROW_NAMES: [&str; 2] = ["workflow-sdk", "workflow-thin"];
const READY_MAX: Duration = Duration::from_secs(30);

/// Options of M4.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The binary to measure, instead of the one beside this program.
    #[arg(long)]
    mainstay: Option<PathBuf>,
    /// All in turn, so often; the medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[command(flatten)]
    row_options: row::Options,
}

/// Takes the measurement.
pub(crate) async fn run(options: &Options, work: PathBuf) -> Result<Found> {
    let start = Start { mainstay: options.mainstay.clone(), work: Some(work), ..Start::default() };
    let mut figures: Vec<Measured> = Vec::new();
    for round in 1..=options.rounds {
        for row in ROWS.iter().filter(|row| ROW_NAMES.contains(&row.name)) {
            for name in ["floor", "engine", "mainstay"] {
                say(&format!("m4: round {round}, {} on {name}\n", row.name));
                figures.extend(one(name, row, options, &start).await?);
            }
        }
    }
    let head = [
        "work",
        "floor us",
        "engine us",
        "mainstay us",
        "engine on top",
        "mainstay on top",
        "floor/s",
        "engine/s",
        "mainstay/s",
    ];
    let mut table = Table::new(head);
    let middle = crate::report::medians(&figures);
    for floor in middle.iter().filter(|it| it.peer == "floor") {
        let of = |peer| crate::report::find(&middle, &floor.row, &floor.variant, peer);
        let (engine, mainstay) = (of("engine"), of("mainstay"));
        table.row(figures_of(floor, engine, mainstay).context("a figure is missing")?);
    }
    let remark = "Processor time of the server for one workflow, in microseconds, and workflows per \
                  second. engine: Mainstay's front and engine on a disk that does nothing; mainstay: \
                  the shipped binary, everything durable. Green: less than 25 % on top of the floor.";
    Ok(Found { tables: vec![table], remarks: vec![remark.to_owned()] })
}

fn figures_of(
    floor: &Measured,
    engine: Option<&Measured>,
    mainstay: Option<&Measured>,
) -> Option<Vec<String>> {
    let all = [Some(floor), engine, mainstay];
    let mut cpu = Vec::new();
    let mut rates = Vec::new();
    for measured in all {
        cpu.push(measured?.server_us()?);
        rates.push(format!("{:.0}", measured?.per_second()?));
    }
    let name = match floor.variant.as_str() {
        "" => floor.row.clone(),
        variant => format!("{} ({variant})", floor.row),
    };
    let mut row = vec![name];
    row.extend(cpu.iter().map(|us| format!("{us:.0}")));
    let bottom = *cpu.first()?;
    row.extend(cpu.iter().skip(1).map(|us| format!("{:+.0} %", 100.0 * (us / bottom - 1.0))));
    row.extend(rates);
    Some(row)
}

async fn one(
    name: &str,
    row: &'static Row,
    options: &Options,
    start: &Start,
) -> Result<Vec<Measured>> {
    let mut peer = match name {
        "floor" => serve(name, Behind::Nothing, start).await?,
        "engine" => serve(name, Behind::Engine, start).await?,
        _ => peer::start("mainstay", start).await?,
    };
    let done = run::drive(row, &peer, options.row_options).await;
    let alive = peer.check();
    peer.end().await;
    alive.and(done)
}

/// This program once more, as a server.
async fn serve(name: &str, behind: Behind, start: &Start) -> Result<Peer> {
    let directory = start.directory(name)?;
    let [temporal, _] = ports::free()?.map(|address| address.to_string());
    let behind = behind.to_possible_value().context("every value has a name")?;
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.args(["measure", "floor", "--listen", &temporal, "--behind", behind.get_name()]);
    let mut process = Process::spawn(name, command, &directory.path().join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(&temporal)).await?;
    Ok(Peer {
        name: name.to_owned(),
        addresses: Addresses { temporal: Some(temporal), ..Addresses::default() },
        cold_start: process.began.elapsed(),
        processes: vec![process],
        directories: vec![directory],
    })
}
