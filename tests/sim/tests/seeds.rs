//! What runs with every change: so many seeds without a finding, and some of them twice.
//!
//! `cargo run --release -p sim -- run --seeds A..B` runs more; `-- replay SEED` tells one.

use sim::plan::Plan;
use sim::run::{Report, run};
use std::sync::atomic::{AtomicU64, Ordering};

/// The same with every change, so that the change which breaks one is the one that did it.
const SEEDS: u64 = 500;
const TWICE: u64 = 20;

fn assert_clean(report: &Report) {
    let Report { seed, findings, .. } = report;
    assert!(findings.is_empty(), "cargo run -p sim -- replay {seed}: {findings:#?}");
}

#[test]
fn no_seed_finds_anything() {
    let (next, crashes) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            let report = run(seed, false);
            assert_clean(&report);
            crashes.fetch_add(report.crashes, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let planned: usize = (0..SEEDS).map(|seed| Plan::of(seed).deaths()).sum();
    assert_eq!(crashes.into_inner(), planned as u64, "every planned death has come");
    assert!(planned as u64 >= 3 * SEEDS, "{planned} crashes are too few");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in SEEDS..SEEDS + TWICE {
        let (first, second) = (run(seed, false), run(seed, false));
        assert_clean(&first);
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.lines, second.lines, "seed {seed}");
    }
}
