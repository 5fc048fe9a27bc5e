//! Runs seeds, one after the other or several at once, and tells what is wrong with them.

use clap::{Parser, Subcommand};
use sim::run::{Report, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
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
    },
    /// Runs one seed and tells everything that happens.
    Replay {
        /// The seed.
        seed: u64,
    },
}

fn main() -> std::process::ExitCode {
    match Arguments::parse().command {
        Command::Run { seeds, jobs, twice, keep_going } => run_all(seeds, jobs, twice, keep_going),
        Command::Replay { seed } => {
            tracing_subscriber::fmt().with_target(false).without_time().init();
            let report = run(seed, true);
            tell(&report);
            exit_code(report.findings.is_empty())
        }
    }
}

fn run_all(
    seeds: Range<u64>,
    jobs: usize,
    twice: bool,
    keep_going: bool,
) -> std::process::ExitCode {
    let begin = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let (failed, crashes, lines, done) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while keep_going || failed.load(Ordering::Relaxed) == 0 {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run_checked(seed, twice);
            crashes.fetch_add(report.crashes, Ordering::Relaxed);
            lines.fetch_add(report.lines as u64, Ordering::Relaxed);
            done.fetch_add(1, Ordering::Relaxed);
            if !report.findings.is_empty() {
                failed.fetch_add(1, Ordering::Relaxed);
                tell(&report);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let (failed, done) = (failed.into_inner(), done.into_inner());
    say(format_args!(
        "{done} seeds, {} crashes, {} lines of history, {failed} seeds with findings, {:.1} s",
        crashes.into_inner(),
        lines.into_inner(),
        begin.elapsed().as_secs_f64()
    ));
    exit_code(failed == 0)
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
    let Report { seed, hash, findings, crashes, lines, virtual_time } = report;
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
