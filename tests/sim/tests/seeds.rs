//! What runs with every change: so many seeds without a finding, and some of them twice.
//!
//! `cargo run --release -p sim -- run --seeds A..B` runs more; `-- replay SEED` tells one.

use checker::Invariant;
use sim::plan::Plan;
use sim::run::{Report, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The same with every change, so that the change which breaks one is the one that did it.
const SEEDS: u64 = 500;
const TWICE: u64 = 20;
/// The promises that all seeds together put to the test.
const JUDGED: [Invariant; 15] = [
    Invariant::L1,
    Invariant::L2,
    Invariant::L3,
    Invariant::L4,
    Invariant::L6,
    Invariant::L7,
    Invariant::E1,
    Invariant::E2,
    Invariant::E3,
    Invariant::E4,
    Invariant::E6,
    Invariant::E7,
    Invariant::B1,
    Invariant::B2,
    Invariant::Successor,
];
/// Those that each seed puts to the test: whatever its plan, records are sent, read and routed, and
/// workflows run.
const JUDGED_BY_EACH: [Invariant; 5] =
    [Invariant::L1, Invariant::L2, Invariant::E1, Invariant::E2, Invariant::B1];

fn assert_clean(report: &Report) {
    let Report { seed, findings, .. } = report;
    assert!(findings.is_empty(), "cargo run -p sim -- replay {seed}: {findings:#?}");
    for promise in JUDGED_BY_EACH {
        let judged = report.judged.get(&promise).copied().unwrap_or(0);
        assert!(judged > 0, "seed {seed} asks nothing about {promise}");
    }
}

#[test]
fn no_seed_finds_anything() {
    let (next, crashes) = (AtomicU64::new(0), AtomicU64::new(0));
    let judged = Mutex::new(BTreeMap::<Invariant, u64>::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            let report = run(seed, false);
            assert_clean(&report);
            crashes.fetch_add(report.crashes, Ordering::Relaxed);
            let mut judged = judged.lock().unwrap();
            for (promise, count) in report.judged {
                *judged.entry(promise).or_default() += count;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let judged = judged.into_inner().unwrap();
    for promise in JUDGED {
        // There are some 500 for the rarest of them. A promise that few seeds look at is not watched.
        let count = judged.get(&promise).copied().unwrap_or(0);
        assert!(count >= SEEDS / 2, "{promise} is judged {count} times only: {judged:?}");
    }
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
