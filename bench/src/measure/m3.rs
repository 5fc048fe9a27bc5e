//! M3: what it costs to go from thread to thread. An ask goes from its caller to the writer, to the
//! committer and back; a bare write and sync on the same disk goes nowhere.
//!
//! Decides how the writer is reached: by parked threads as in the node, by threads that spin before
//! they park, or by callers that do the writer's work (flat combining) or the committer's (the first
//! of them leads) themselves. The prototypes do no more than pass a request along, write, sync and
//! answer; the node is the real one. All take turns on the same disk.

mod contender;
mod relay;
mod stage;

use super::Found;
use super::files::{Aligned, BLOCK_BYTES, Preparation};
use super::quantiles::Quantiles;
use super::table::Table;
use crate::cli::say;
use anyhow::Result;
use contender::Contender;
use relay::{Ends, Relay};
use stage::{Marks, Stages};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is written for one ask: a record of 1 KiB and what comes with it.
const ENTRY_BYTES: usize = 1200;
/// Each contender writes around in so much room.
const ROOM_BYTES: u64 = 64 << 20;
/// Between two asks of an idle caller. Below the 20 ms after which the journal writes a seal.
const IDLE_PAUSE: Duration = Duration::from_millis(5);
/// How long a thread spins before it parks, where it does.
const SPIN: Duration = Duration::from_micros(50);
/// More runtime threads than this a node does not have, either.
const THREADS_MAX: usize = 4;

/// Options of M3.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each cell in each round.
    #[arg(long, default_value_t = 0.4)]
    seconds: f64,
    /// All in turn, so often.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// Who asks.
#[derive(Clone, Copy)]
struct Callers {
    count: usize,
    pause: Option<Duration>,
}

const CALLERS: [Callers; 4] = [
    Callers { count: 1, pause: Some(IDLE_PAUSE) },
    Callers { count: 1, pause: None },
    Callers { count: 8, pause: None },
    Callers { count: 64, pause: None },
];

/// Columns of which the ways are shown.
const IDLE: usize = 0;
const BUSY: usize = 1;

/// A row of the tables: a contender and what it came to with each number of callers.
struct Row {
    name: &'static str,
    contender: Option<Arc<Contender>>,
    cells: [Cell; CALLERS.len()],
}

/// What all rounds of a cell have given.
struct Cell {
    asks: Quantiles,
    stages: Stages,
    wall: Duration,
}

/// Takes the measurement.
pub(crate) fn run(options: &Options, place: &Path) -> Result<Found> {
    let threads = std::thread::available_parallelism()?.get().min(THREADS_MAX);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let bare = Preparation::Zeroed.make_direct(&place.join("bare"), ROOM_BYTES)?;
    let (node, guard) = runtime.block_on(Contender::node(&place.join("node")))?;
    let mut rows = vec![
        Row::new("bare write and sync", None)?,
        Row::new("the node", Some(node))?,
        Row::new("park", Some(relayed(place, "park", Ends::Threads, Duration::ZERO)?))?,
        Row::new("spin, then park", Some(relayed(place, "spin", Ends::Threads, SPIN)?))?,
        Row::new(
            "flat combining",
            Some(relayed(place, "combine", Ends::Combined, Duration::ZERO)?),
        )?,
        Row::new("the first leads", Some(relayed(place, "lead", Ends::Led, Duration::ZERO)?))?,
    ];
    for (column, callers) in CALLERS.into_iter().enumerate() {
        for round in 1..=options.rounds {
            say(&format!("m3: {} callers, round {round}\n", callers.count));
            for row in &mut rows {
                let time = Duration::from_secs_f64(options.seconds);
                let cell = &mut row.cells[column];
                match &row.contender {
                    None => cell.add_bare(&bare, callers, time)?,
                    Some(contender) => {
                        runtime.block_on(cell.add(Arc::clone(contender), callers, time))?;
                    }
                }
            }
        }
    }
    let tables = vec![latencies(&rows), ways(&rows, IDLE), ways(&rows, BUSY)];
    drop(rows);
    runtime.block_on(guard.stop());
    Ok(Found { tables, remarks: remarks() })
}

fn relayed(place: &Path, name: &str, ends: Ends, spin: Duration) -> Result<Arc<Contender>> {
    let file = Preparation::Zeroed.make_direct(&place.join(name), ROOM_BYTES)?;
    let relay = Relay::start(file, ENTRY_BYTES, ROOM_BYTES, ends, spin)?;
    Ok(Arc::new(Contender::Relay(relay)))
}

fn remarks() -> Vec<String> {
    let (idle, spin) = (IDLE_PAUSE.as_millis(), SPIN.as_micros());
    vec![
        format!(
            "Milliseconds. An ask appends {ENTRY_BYTES} bytes (the node: a produce of one record of \
             1 KiB), and whole blocks are written with `O_DIRECT`, as the journal does; idle: one \
             caller that pauses {idle} ms; spinning lasts {spin} us at most."
        ),
        "Second and third table: the way of an ask of the idle caller and of the one that does not \
         pause, medians in microseconds. On the node's way to the committer lies the writer, with \
         all it decides."
            .to_owned(),
    ]
}

fn latencies(rows: &[Row]) -> Table {
    let head = [
        "mechanism",
        "idle p50",
        "1 caller p50",
        "p99",
        "8 callers p50",
        "p99",
        "64 callers p50",
        "p99",
        "asks/s of 64",
    ];
    let mut table = Table::new(head);
    for row in rows {
        let [idle, one, eight, many] = &row.cells;
        let mut cells = vec![row.name.to_owned(), idle.asks.p50_ms()];
        for cell in [one, eight, many] {
            cells.extend([cell.asks.p50_ms(), cell.asks.p99_ms()]);
        }
        let rate = many.asks.count() as f64 / many.wall.as_secs_f64();
        cells.push(format!("{rate:.0}"));
        table.row(cells);
    }
    table
}

/// The way of an ask with one number of callers.
fn ways(rows: &[Row], column: usize) -> Table {
    let head =
        ["mechanism", "to the writer", "to the committer", "write", "sync", "to the caller", "all"];
    let mut table = Table::new(head);
    for row in rows {
        let cell = &row.cells[column];
        let mut cells = vec![row.name.to_owned()];
        cells.extend(cell.stages.medians_us());
        cells.push(format!("{:.0}", cell.asks.at_us(0.5)));
        table.row(cells);
    }
    table
}

impl Row {
    fn new(name: &'static str, contender: Option<Arc<Contender>>) -> Result<Row> {
        let cells = [Cell::new()?, Cell::new()?, Cell::new()?, Cell::new()?];
        Ok(Row { name, contender, cells })
    }
}

impl Cell {
    fn new() -> Result<Cell> {
        Ok(Cell { asks: Quantiles::new()?, stages: Stages::new()?, wall: Duration::ZERO })
    }

    /// One thread that asks nobody: the same for any number of callers.
    fn add_bare(&mut self, file: &File, callers: Callers, time: Duration) -> Result<()> {
        let group = Aligned::noise(BLOCK_BYTES);
        let begin = Instant::now();
        let mut at = 0;
        while begin.elapsed() < time {
            if let Some(pause) = callers.pause {
                std::thread::park_timeout(pause);
            }
            let marks = Marks::bare(file, &group, at)?;
            self.asks.add(marks.whole());
            self.stages.add(&marks);
            at = (at + group.len() as u64) % ROOM_BYTES;
        }
        self.wall += begin.elapsed();
        Ok(())
    }

    async fn add(&mut self, to: Arc<Contender>, callers: Callers, time: Duration) -> Result<()> {
        let begin = Instant::now();
        let asking = (0..callers.count).map(|_| {
            let to = Arc::clone(&to);
            tokio::spawn(async move {
                let (mut asks, mut stages) = (Quantiles::new()?, Stages::new()?);
                while begin.elapsed() < time {
                    if let Some(pause) = callers.pause {
                        tokio::time::sleep(pause).await;
                    }
                    let marks = to.ask().await?;
                    asks.add(marks.whole());
                    stages.add(&marks);
                }
                anyhow::Ok((asks, stages))
            })
        });
        let asking: Vec<_> = asking.collect();
        for one in asking {
            let (asks, stages) = one.await??;
            self.asks.merge(&asks)?;
            self.stages.merge(&stages)?;
        }
        self.wall += begin.elapsed();
        Ok(())
    }
}
