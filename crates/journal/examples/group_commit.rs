//! Measures group commit on a real directory, beside the same writes without a journal.
//!
//! ```text
//! cargo run --release -p journal --example group_commit [DIRECTORY]
//! ```
//!
//! "raw" overwrites a file of zeros with one pwrite and one fdatasync per group: what the disk can
//! do. "lock-step" appends one entry and waits for it. "pipelined" keeps appending, so that groups
//! form while the one before is being synced.
#![allow(clippy::print_stdout)]

use base::{Blob, Cause};
use bytes::Bytes;
use journal::{Appender, Committer, Entry, Full, Group, Opened, Options, RealDisk};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(2);
const RAW_FILE_BYTES: u64 = 64 << 20;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = base.join(format!("mainstay-group-commit-{}", std::process::id()));
    println!("{}", directory.display());
    println!("{:>10} {:>12} {:>12} {:>12} {:>12}", "entry", "mode", "commits/s", "MB/s", "p50 us");
    let done = [256, 4 << 10, 64 << 10, 1 << 20].into_iter().try_for_each(|bytes| {
        report(bytes, "raw", raw(&directory, bytes)?);
        report(bytes, "lock-step", lock_step(&directory, bytes)?);
        report(bytes, "pipelined", pipelined(&directory, bytes)?);
        Ok(())
    });
    std::fs::remove_dir_all(&directory)?;
    done
}

#[derive(Default)]
struct Figures {
    commits: usize,
    bytes: usize,
    spans: Vec<Duration>,
    elapsed: Duration,
}

fn report(entry_bytes: usize, mode: &str, mut figures: Figures) {
    figures.spans.sort_unstable();
    let p50 = figures.spans.get(figures.spans.len() / 2).copied().unwrap_or_default();
    let seconds = figures.elapsed.as_secs_f64();
    println!(
        "{entry_bytes:>10} {mode:>12} {:>12.0} {:>12.1} {:>12}",
        figures.commits as f64 / seconds,
        figures.bytes as f64 / seconds / 1e6,
        p50.as_micros()
    );
}

fn raw(directory: &Path, bytes: usize) -> Outcome<Figures> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("raw");
    let mut options = OpenOptions::new();
    let file: File = options.create(true).truncate(true).write(true).open(&path)?;
    let buffer = vec![7u8; bytes.next_multiple_of(8) + 88];
    for position in (0..RAW_FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&[0; 1 << 20], position)?;
    }
    file.sync_all()?;
    let (start, mut figures, mut position) = (Instant::now(), Figures::default(), 0);
    while start.elapsed() < SPAN {
        let begun = Instant::now();
        file.write_all_at(&buffer, position)?;
        file.sync_data()?;
        figures.spans.push(begun.elapsed());
        figures.commits += 1;
        figures.bytes += bytes;
        position = (position + buffer.len() as u64) % (RAW_FILE_BYTES - (2 << 20));
    }
    figures.elapsed = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(figures)
}

fn lock_step(directory: &Path, bytes: usize) -> Outcome<Figures> {
    let Opened { mut appender, mut committer, .. } = opened(directory)?;
    let blob = Blob::new(Bytes::from(vec![7; bytes]));
    let (start, mut figures) = (Instant::now(), Figures::default());
    while start.elapsed() < SPAN {
        let begun = Instant::now();
        append(&mut appender, &blob)?;
        committer.run_group()?;
        figures.spans.push(begun.elapsed());
        figures.commits += 1;
        figures.bytes += bytes;
    }
    figures.elapsed = start.elapsed();
    Ok(figures)
}

fn pipelined(directory: &Path, bytes: usize) -> Outcome<Figures> {
    let Opened { mut appender, committer, .. } = opened(directory)?;
    let blob = Blob::new(Bytes::from(vec![7; bytes]));
    let start = Instant::now();
    let committing = std::thread::spawn(move || commit_until_closed(committer));
    while start.elapsed() < SPAN {
        append(&mut appender, &blob)?;
    }
    drop(appender);
    let mut figures = committing.join().map_err(|_| "the committer panicked")??;
    figures.elapsed = start.elapsed();
    let begun = Instant::now();
    let mut entries = 0;
    journal::open(RealDisk::open(directory)?, Options::default(), &mut |_| {
        entries += 1;
        Ok(())
    })?;
    println!(
        "{:>10} reopened {entries} entries, {} MB, in {:.0} ms",
        "",
        figures.bytes / 1_000_000,
        begun.elapsed().as_secs_f64() * 1e3
    );
    Ok(figures)
}

fn commit_until_closed(mut committer: Committer<RealDisk>) -> Result<Figures, journal::Error> {
    let mut figures = Figures::default();
    loop {
        let begun = Instant::now();
        match committer.run_group()? {
            Group::Committed { bytes, .. } => {
                figures.spans.push(begun.elapsed());
                figures.commits += 1;
                figures.bytes += bytes;
            }
            Group::Sealed => {}
            Group::Closed => return Ok(figures),
        }
    }
}

fn append(appender: &mut Appender, blob: &Blob) -> Result<(), Full> {
    loop {
        match appender.reserve(blob.bytes().len() + 8) {
            Ok(()) => break,
            Err(Full::Backlog { .. }) => appender.wait_for_backlog(),
            Err(full) => return Err(full),
        }
    }
    let entry = Entry { cause: Cause::Request, meta: vec![1; 8], blobs: vec![blob.clone()] };
    appender.append(entry);
    Ok(())
}

/// An empty journal in an empty directory.
fn opened(directory: &Path) -> Outcome<Opened<RealDisk>> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    let begun = Instant::now();
    let disk = RealDisk::open(directory)?;
    let opened = journal::open(disk, Options::default(), &mut |_| Ok(()))?;
    println!("{:>10} opened empty in {:.1} ms", "", begun.elapsed().as_secs_f64() * 1e3);
    Ok(opened)
}
