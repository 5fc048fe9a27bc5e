//! Runs seeds, one after the other or several at once, and tells what is wrong with them.

use clap::{Parser, Subcommand};
use sim::run::{Report, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Simulates a whole node with its disk, its clock and its clients.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds A..B; exits with 1 if one of them finds something.
    Run {
        /// First seed and the one after the last, as A..B.
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        /// Threads; each runs whole seeds.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// Runs every seed twice and compares the traces.
        #[arg(long)]
        twice: bool,
        /// Goes on after the first seed that finds something.
        #[arg(long)]
        keep_going: bool,
        /// Prints the last line as cells of the table in docs/reliability-log.md.
        #[arg(long)]
        row: bool,
    },
    /// Runs one seed and tells everything that happens.
    Replay {
        /// The seed.
        seed: u64,
    },
}

fn main() -> std::process::ExitCode {
    match Arguments::parse().command {
        Command::Run { seeds, jobs, twice, keep_going, row } => {
            let sum = run_all(seeds, jobs, twice, keep_going);
            if row {
                sum.tell_row();
            } else {
                sum.tell();
            }
            exit_code(sum.failed.is_empty())
        }
        Command::Replay { seed } => {
            tracing_subscriber::fmt().with_target(false).without_time().init();
            let report = run(seed, true);
            tell(&report);
            exit_code(report.findings.is_empty())
        }
    }
}

/// What became of many seeds.
struct Sum {
    seeds: Range<u64>,
    done: u64,
    crashes: u64,
    lines: u64,
    failed: Vec<u64>,
    seconds: f64,
}

impl Sum {
    fn tell(&self) {
        let Sum { done, crashes, lines, failed, seconds, .. } = self;
        let failed = failed.len();
        say(format_args!(
            "{done} seeds, {crashes} crashes, {lines} lines of history, {failed} seeds with \
             findings, {seconds:.1} s"
        ));
    }

    fn tell_row(&self) {
        let Sum { seeds: Range { start, end }, done, crashes, lines, failed, .. } = self;
        let passed = done - failed.len() as u64;
        let found = match failed.is_empty() {
            true => "nothing".to_owned(),
            false => format!("seeds {failed:?}"),
        };
        let failed = failed.len();
        say(format_args!(
            "| T0 simulation of a whole node | {start}..{end} | {crashes} | {lines} | {passed} | \
             {failed} | 0 | {found} |"
        ));
    }
}

fn run_all(seeds: Range<u64>, jobs: usize, twice: bool, keep_going: bool) -> Sum {
    let begin = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let sum = Sum { seeds, done: 0, crashes: 0, lines: 0, failed: Vec::new(), seconds: 0.0 };
    let sum = Mutex::new(sum);
    let locked = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= locked().seeds.end || !keep_going && !locked().failed.is_empty() {
                return;
            }
            let report = run_checked(seed, twice);
            let mut sum = locked();
            sum.done += 1;
            sum.crashes += report.crashes;
            sum.lines += report.lines as u64;
            if !report.findings.is_empty() {
                sum.failed.push(seed);
                tell(&report);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.seconds = begin.elapsed().as_secs_f64();
    sum.failed.sort_unstable();
    sum
}

fn run_checked(seed: u64, twice: bool) -> Report {
    let mut report = run(seed, false);
    if twice {
        let again = run(seed, false);
        if again.hash != report.hash {
            report.findings.push(sim::lives::Finding {
                promise: "determinism".to_owned(),
                what: format!("two runs differ: {:x} and {:x}", report.hash, again.hash),
            });
        }
    }
    report
}

fn tell(report: &Report) {
    let Report { seed, hash, findings, crashes, lines, virtual_time, .. } = report;
    say(format_args!(
        "seed {seed}: trace {hash:016x}, {crashes} crashes, {lines} lines, {virtual_time:.1?} of virtual time"
    ));
    for finding in findings {
        say(format_args!("  {}: {}", finding.promise, finding.what));
    }
    if !findings.is_empty() {
        say(format_args!("  again: cargo run -p sim -- replay {seed}"));
    }
}

#[allow(clippy::print_stdout, reason = "this is what it is for")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

fn exit_code(fine: bool) -> std::process::ExitCode {
    if fine { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("give seeds as A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    Ok(number(from)?..number(to)?)
}
