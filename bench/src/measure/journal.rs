//! The journal against `fio --fdatasync=1` at the same group sizes; and where a group's time goes.
//!
//! The appender keeps the queue full, the committer takes entries of 16 KiB until a group has its
//! size: as in a node under load. Other than fio, which prepares its file before it looks at the
//! clock, the journal prepares its segments meanwhile. The journal is a new one on the real disk;
//! nothing of a node is here, and checksums of blobs were computed before, as the fronts do.

use super::Found;
use super::files::{Bound, Preparation, noise, size, write_groups};
use super::fio::{self, Room};
use super::table::Table;
use super::timed_disk::{TimedDisk, Times};
use crate::cli::say;
use ::journal::{Appender, Committer, Disk, Entry, Full, Group, RealDisk};
use anyhow::{Context, Result, anyhow, bail};
use base::{Blob, Cause};
use std::path::Path;
use std::time::{Duration, Instant};

const GROUP_BYTES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Each of the compared writes at most this, and at most so many groups.
const BYTES_MAX: u64 = 512 << 20;
const GROUPS_MAX: u64 = 12_000;
/// A batch of a busy producer.
const ENTRY_BYTES_MAX: usize = 16 << 10;
/// Header of a frame, and its table of one blob.
const FRAME_OVERHEAD_BYTES: usize = 88;

/// Options of the comparison.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each of the compared, at each size, in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// All in turn, so often.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// Who is compared.
#[derive(Clone, Copy)]
enum Who {
    Fio(Room),
    Bare(Preparation),
    Journal,
}

/// One turn of one of them.
#[derive(Clone, Copy, Default)]
struct Turn {
    bytes: u64,
    wall: Duration,
    times: Times,
}

/// One turn of each, one right after the other: the disk's mood lasts longer.
type Round = [Turn; 4];

/// Takes the measurement.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<Found> {
    let version = fio::version();
    let (names, references) = match &version {
        Some(_) => (
            ["fio overwrite=1", "fio overwrite=0", "fio, growing"],
            [Who::Fio(Room::Overwrite), Who::Fio(Room::Allocated), Who::Fio(Room::Grows)],
        ),
        None => (
            ["zeroed before", "allocated", "growing"],
            [Preparation::Zeroed, Preparation::Fallocate, Preparation::Append].map(Who::Bare),
        ),
    };
    let [first, second, third] = names;
    let head = [
        "group",
        first,
        second,
        third,
        "journal",
        "of the 1st",
        "of the 2nd",
        "write us",
        "sync us",
        "rest us",
    ];
    let mut table = Table::new(head);
    for group_bytes in GROUP_BYTES {
        let mut rounds: Vec<Round> = Vec::new();
        for number in 1..=options.rounds {
            say(&format!("journal: {}, round {number}\n", size(group_bytes)));
            let mut round = Round::default();
            for (who, turn) in references.iter().chain([&Who::Journal]).zip(&mut round) {
                *turn = one(*who, options, directory, group_bytes)?;
            }
            rounds.push(round);
        }
        table.row(figures(group_bytes, &rounds));
    }
    let reference = match version {
        Some(version) => format!(
            "{version} `--rw=write --ioengine=psync --fdatasync=1`, one job: `overwrite=1` is a file \
             written before, `overwrite=0` one allocated, \"growing\" adds `--fallocate=none`."
        ),
        None => {
            "No fio here: the first three are our own loop of `pwrite` and `fdatasync`.".to_owned()
        }
    };
    let own = "MB/s, medians; ratios are taken within a round. The last three columns are the journal's \
               committer, for each group.";
    Ok(Found { tables: vec![table], remarks: vec![format!("{own} {reference}")] })
}

impl Turn {
    fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    /// What the committer spent on one group: writing, syncing, and all else.
    fn each_us(&self, group_bytes: usize) -> [f64; 3] {
        let groups = (self.bytes / group_bytes as u64).max(1) as f64;
        let Times { write, sync, .. } = self.times;
        let rest = self.wall.saturating_sub(write + sync);
        [write, sync, rest].map(|time| time.as_secs_f64() * 1e6 / groups)
    }
}

/// Medians of the rounds; ratios are taken within a round.
fn figures(group_bytes: usize, rounds: &[Round]) -> Vec<String> {
    let over = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let mut row = vec![size(group_bytes)];
    row.extend((0..4).map(|who| format!("{:.1}", over(&|round| round[who].rate()))));
    let ratio = |who: usize| over(&|round| 100.0 * round[3].rate() / round[who].rate());
    row.extend((0..2).map(|who| format!("{:.0} %", ratio(who))));
    let part = |part: usize| over(&|round| round[3].each_us(group_bytes)[part]);
    row.extend((0..3).map(|it| format!("{:.0}", part(it))));
    row
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn one(who: Who, options: &Options, directory: &Path, group_bytes: usize) -> Result<Turn> {
    let place = tempfile::Builder::new().prefix("bench-journal-").tempdir_in(directory)?;
    let bytes = BYTES_MAX.min(GROUPS_MAX * group_bytes as u64);
    let time = Duration::from_secs_f64(options.seconds);
    let bound = Bound { time, bytes };
    match who {
        Who::Fio(room) => {
            let (bytes, wall) = fio::write_groups(place.path(), room, group_bytes, bytes, time)?;
            Ok(Turn { bytes, wall, ..Turn::default() })
        }
        Who::Bare(preparation) => {
            let file = preparation.make(&place.path().join("groups"), bytes)?;
            let looped = write_groups(&file, &noise(group_bytes), bound)?;
            Ok(Turn { bytes: looped.bytes, wall: looped.wall, ..Turn::default() })
        }
        Who::Journal => through_journal(place.path(), group_bytes, bound),
    }
}

fn through_journal(place: &Path, group_bytes: usize, bound: Bound) -> Result<Turn> {
    let (disk, notes) = TimedDisk::new(RealDisk::open(place)?);
    let limits = ::journal::Options { group_bytes_max: group_bytes, ..Default::default() };
    let opened = ::journal::open(disk, limits, &mut |_| Ok(()))?;
    let entry_bytes = group_bytes.min(ENTRY_BYTES_MAX);
    let before = notes.times();
    let begin = Instant::now();
    let committer = opened.committer;
    let thread =
        std::thread::Builder::new().name("committer".into()).spawn(|| commit(committer))?;
    let bytes = append(opened.appender, entry_bytes, begin, bound)?;
    let end = thread.join().map_err(|_panic| anyhow!("the committer has panicked"))??;
    let after = notes.times();
    let times = Times {
        writes: after.writes - before.writes,
        write: after.write.saturating_sub(before.write),
        syncs: after.syncs - before.syncs,
        sync: after.sync.saturating_sub(before.sync),
        last: None,
    };
    Ok(Turn { bytes, wall: end - begin, times })
}

/// Keeps the queue full until the time is over or enough is written.
fn append(mut appender: Appender, entry_bytes: usize, begin: Instant, bound: Bound) -> Result<u64> {
    let blob = Blob::new(noise(entry_bytes - FRAME_OVERHEAD_BYTES).into());
    let mut bytes = 0;
    while bytes < bound.bytes && begin.elapsed() < bound.time {
        match appender.reserve(blob.bytes().len()) {
            Ok(()) => {
                let blobs = vec![blob.clone()];
                appender.append(Entry { cause: Cause::default(), meta: Vec::new(), blobs });
                bytes += entry_bytes as u64;
            }
            Err(Full::Backlog { .. }) => appender.wait_for_backlog(),
            Err(other) => bail!(other),
        }
    }
    Ok(bytes)
}

/// Commits until the appender has gone; says when the last entry was on disk.
fn commit<D: Disk>(mut committer: Committer<D>) -> Result<Instant> {
    let mut end = None;
    loop {
        match committer.run_group()? {
            Group::Committed { .. } => end = Some(Instant::now()),
            Group::Sealed => {}
            Group::Closed => return end.context("nothing was committed"),
        }
    }
}
