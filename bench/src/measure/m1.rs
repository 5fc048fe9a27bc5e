//! M1: how long a group takes to be written and synced, by its size and by how its room was
//! prepared, alone and beside a paced copy.
//!
//! Decides how segments are prepared, how the cleaner is paced, and that large blobs are written
//! once. Bare `pwrite` and `fdatasync`, one thread, one group at a time: no code of the journal.

use super::Found;
use super::files::{Aligned, Bound, Cache, Looped, Preparation, size, write_groups};
use super::quantiles::Quantiles;
use super::table::Table;
use crate::cli::say;
use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// From the smallest group to the largest the journal makes.
const GROUP_BYTES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// A cell writes at most this, and at most so many groups.
const CELL_BYTES_MAX: u64 = 512 << 20;
const CELL_GROUPS_MAX: u64 = 12_000;
/// The background copies such pieces, so often, and syncs after some: 64 MB/s.
const COPY_BYTES: usize = 1 << 20;
const COPY_PAUSE: Duration = Duration::from_millis(16);
const COPY_SYNC_PIECES: u64 = 4;
const COPY_FILE_PIECES: u64 = 128;

/// Options of M1.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each cell in each round.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// The disk's mood changes: every cell is taken so often, all in turn.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

/// What all rounds of a cell have given.
#[derive(Clone)]
struct Cell {
    groups: Quantiles,
    bytes: u64,
    wall: Duration,
}

/// A row of the table.
struct Row {
    group_bytes: usize,
    preparation: Preparation,
    cache: Cache,
    alone: Cell,
    beside: Cell,
}

/// Takes the measurement.
pub(crate) fn run(options: &Options, place: &Path) -> Result<Found> {
    let mut rows = rows()?;
    for round in 1..=options.rounds {
        for row in &mut rows {
            say(&format!("m1: round {round}, {}\n", row.name().join(", ")));
            row.alone.add(&one_loop(options, place, row)?)?;
            let copy = Copying::start(place)?;
            let looped = one_loop(options, place, row);
            copy.stop()?;
            row.beside.add(&looped?)?;
        }
    }
    let head =
        ["group", "room", "p50 ms", "p99 ms", "MB/s", "p50 ms, copy", "p99 ms, copy", "MB/s, copy"];
    let mut table = Table::new(head);
    for row in &rows {
        table.row(row.name().into_iter().chain(row.alone.figures()).chain(row.beside.figures()));
    }
    let remark =
        "A group is one `pwrite` and one `fdatasync`; direct: with `O_DIRECT`. The copy reads \
                  64 MB/s, writes them to another file and syncs it every 4 MiB."
            .to_owned();
    Ok(Found { tables: vec![table], remarks: vec![remark] })
}

fn rows() -> Result<Vec<Row>> {
    let cached = Preparation::ALL.map(|it| (it, Cache::Cached));
    let direct = [Preparation::Fallocate, Preparation::Zeroed].map(|it| (it, Cache::Direct));
    let cell = Cell::new()?;
    let mut rows = Vec::new();
    for group_bytes in GROUP_BYTES {
        for (preparation, cache) in cached.into_iter().chain(direct) {
            let (alone, beside) = (cell.clone(), cell.clone());
            rows.push(Row { group_bytes, preparation, cache, alone, beside });
        }
    }
    Ok(rows)
}

fn one_loop(options: &Options, place: &Path, row: &Row) -> Result<Looped> {
    let bytes = CELL_BYTES_MAX.min(CELL_GROUPS_MAX * row.group_bytes as u64);
    let path = place.join("groups");
    drop(row.preparation.make(&path, bytes).context("cannot prepare a file")?);
    let file = row.cache.open(&path).context("cannot open the file")?;
    let bound = Bound { time: Duration::from_secs_f64(options.seconds), bytes };
    let looped = write_groups(&file, &Aligned::noise(row.group_bytes), bound);
    drop(file);
    std::fs::remove_file(&path)?;
    looped
}

impl Row {
    fn name(&self) -> [String; 2] {
        let room = self.preparation.name();
        let room = match self.cache {
            Cache::Cached => room.to_owned(),
            Cache::Direct => format!("{room}, direct"),
        };
        [size(self.group_bytes), room]
    }
}

impl Cell {
    fn new() -> Result<Cell> {
        Ok(Cell { groups: Quantiles::new()?, bytes: 0, wall: Duration::ZERO })
    }

    fn add(&mut self, looped: &Looped) -> Result<()> {
        self.groups.merge(&looped.groups)?;
        self.bytes += looped.bytes;
        self.wall += looped.wall;
        Ok(())
    }

    fn figures(&self) -> [String; 3] {
        let rate = self.bytes as f64 / 1e6 / self.wall.as_secs_f64();
        [self.groups.p50_ms(), self.groups.p99_ms(), format!("{rate:.0}")]
    }
}

/// A thread that copies a file at a steady pace, as a cleaner does.
struct Copying {
    stop: SyncSender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Copying {
    fn start(place: &Path) -> Result<Copying> {
        let bytes = COPY_FILE_PIECES * COPY_BYTES as u64;
        let paths = [place.join("copied"), place.join("copy")];
        let from = Preparation::Recycled.make(&paths[0], bytes)?;
        let to = Preparation::Zeroed.make(&paths[1], bytes)?;
        let (stop, stopped) = sync_channel(1);
        let copy = move || -> Result<()> {
            let mut pieces = 0;
            while stopped.recv_timeout(COPY_PAUSE) == Err(RecvTimeoutError::Timeout) {
                copy_piece(&from, &to, pieces)?;
                pieces += 1;
            }
            paths.iter().try_for_each(std::fs::remove_file)?;
            Ok(())
        };
        let thread = std::thread::Builder::new().name("copy".to_owned()).spawn(copy)?;
        Ok(Copying { stop, thread })
    }

    fn stop(self) -> Result<()> {
        // Gone already only if it has failed, which it says itself.
        let _ = self.stop.send(());
        self.thread.join().map_err(|_panic| anyhow!("the copying thread has panicked"))?
    }
}

fn copy_piece(from: &File, to: &File, number: u64) -> Result<()> {
    let mut piece = vec![0; COPY_BYTES];
    let position = number % COPY_FILE_PIECES * COPY_BYTES as u64;
    from.read_exact_at(&mut piece, position)?;
    to.write_all_at(&piece, position)?;
    if number.is_multiple_of(COPY_SYNC_PIECES) {
        to.sync_data()?;
    }
    Ok(())
}
