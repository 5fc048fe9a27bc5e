//! The goals, and what became of each: met, missed and by how much, or not measured.
//!
//! A goal of throughput is also met at 85 % of the ceiling that the processor time of client and server
//! together set on this machine; then the verdict says so. Verdicts are only about what was measured
//! in this run.

use crate::measured::Measured;
use crate::peer::OURS;
use crate::report::{find, laid_out, medians, significant};

/// The part of the machine's processor time that counts as its ceiling.
const CEILING: f64 = 0.85;
const MEBIBYTE: f64 = (1 << 20) as f64;
/// What an acknowledgement may take beyond the disk's own fdatasync.
const BEYOND_DISK_MS: f64 = 0.15;

const KAFKA: &str = "kafka";
const POSTGRES: &str = "temporal-postgres";
const RESTATE: &str = "restate";
const BRIDGED: &str = "kafka+temporal-postgres";

/// A goal.
struct Goal {
    what: &'static str,
    value: Value,
    bound: Bound,
}

/// What is looked at.
#[derive(Clone, Copy)]
enum Value {
    /// How many times the peer's throughput is ours.
    Throughput(&'static str, Peer),
    /// How many times the peer's median time is ours: less is better.
    P50(&'static str, Peer),
    /// How many times the peer's processor time for a unit is our server's: less is better.
    ServerCpu(&'static str, Peer),
    /// Units per second.
    PerSecond(&'static str),
    /// Milliseconds.
    P50Ms(&'static str),
    /// Milliseconds beyond what fdatasync takes on this disk.
    BeyondDiskMs(&'static str),
    /// MiB of an idle node.
    IdleMiB,
    /// The most MiB of a node in any row.
    LoadedMiB,
    /// Not from this table: what says it.
    Elsewhere(&'static str),
}

/// With whom it is compared: a peer, and its rows, of which the first that was measured counts.
type Peer = (&'static str, &'static [&'static str]);

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A part of what a peer takes, as goals are written: one part of so many.
const fn one_of(parts: f64) -> Bound {
    Bound::AtMost(1.0 / parts)
}

const fn goal(what: &'static str, value: Value, bound: Bound) -> Goal {
    Goal { what, value, bound }
}

const GOALS: &[Goal] = &[
    goal(
        "produce 1 KiB, 3 M records",
        Value::Throughput("produce-1k", (KAFKA, &["produce-1k"])),
        Bound::AtLeast(2.0),
    ),
    goal(
        "produce 1 KiB, a warm burst",
        Value::Throughput("produce-1k-burst", (KAFKA, &["produce-1k-burst"])),
        Bound::AtLeast(1.2),
    ),
    goal(
        "produce 1 KiB: server CPU",
        Value::ServerCpu("produce-1k", (KAFKA, &["produce-1k"])),
        one_of(3.0),
    ),
    goal(
        "produce 100 B",
        Value::Throughput("produce-100", (KAFKA, &["produce-100"])),
        Bound::AtLeast(1.0),
    ),
    goal(
        "consume 1 KiB",
        Value::Throughput("consume-1k", (KAFKA, &["consume-1k"])),
        Bound::AtLeast(1.0),
    ),
    goal(
        "consume 100 B",
        Value::Throughput("consume-100", (KAFKA, &["consume-100"])),
        Bound::AtLeast(1.0),
    ),
    goal(
        "produce, one in flight: p50 beyond the disk",
        Value::BeyondDiskMs("produce-one"),
        Bound::AtMost(BEYOND_DISK_MS),
    ),
    goal(
        "produce to consumed: p50",
        Value::P50("produce-to-consumed", (KAFKA, &["produce-to-consumed"])),
        one_of(1.0),
    ),
    goal(
        "workflow: server CPU, Temporal + PostgreSQL",
        Value::ServerCpu("workflow-sdk", (POSTGRES, &["workflow-sdk"])),
        one_of(50.0),
    ),
    goal(
        "workflow: server CPU, Restate",
        Value::ServerCpu("workflow-sdk", (RESTATE, &["workflow-sdk", "workflow-thin"])),
        one_of(2.0),
    ),
    goal(
        "workflow, official SDK, 50 at once",
        Value::Throughput("workflow-sdk", (POSTGRES, &["workflow-sdk"])),
        Bound::AtLeast(10.0),
    ),
    goal(
        "workflow, thin worker, 50 at once",
        Value::Throughput("workflow-thin", (RESTATE, &["workflow-thin", "workflow-sdk"])),
        Bound::AtLeast(1.5),
    ),
    goal(
        "workflow, official SDK, one at a time: p50",
        Value::P50("workflow-sdk-one", (POSTGRES, &["workflow-sdk-one"])),
        one_of(10.0),
    ),
    goal(
        "workflow, thin worker, one at a time: p50",
        Value::P50("workflow-thin-one", (RESTATE, &["workflow-thin-one", "workflow-sdk-one"])),
        one_of(2.0),
    ),
    goal(
        "signal-with-start",
        Value::Throughput("signal-with-start", (POSTGRES, &["signal-with-start"])),
        Bound::AtLeast(10.0),
    ),
    goal(
        "signal-with-start: server CPU",
        Value::ServerCpu("signal-with-start", (POSTGRES, &["signal-with-start"])),
        one_of(30.0),
    ),
    goal(
        "mailbox signals handled, official SDK",
        Value::Throughput("mailbox-sdk", (POSTGRES, &["mailbox-sdk"])),
        Bound::AtLeast(10.0),
    ),
    goal(
        "mailbox signals handled, thin worker",
        Value::Throughput("mailbox-thin", (POSTGRES, &["mailbox-thin", "mailbox-sdk"])),
        Bound::AtLeast(10.0),
    ),
    goal("records routed per second", Value::PerSecond("routed"), Bound::AtLeast(50_000.0)),
    goal(
        "record -> workflow -> record",
        Value::Throughput("record-to-record", (BRIDGED, &["record-to-record"])),
        Bound::AtLeast(12.0),
    ),
    goal(
        "record -> workflow -> record, unloaded: p50 ms",
        Value::P50Ms("record-to-record-one"),
        Bound::AtMost(8.0),
    ),
    goal("journal against fio", Value::Elsewhere("bench measure journal"), Bound::AtLeast(0.9)),
    goal(
        "engine on top of the tonic floor",
        Value::Elsewhere("bench measure m4"),
        Bound::AtMost(0.25),
    ),
    goal("idle memory, MiB", Value::IdleMiB, Bound::AtMost(30.0)),
    goal("loaded memory, MiB", Value::LoadedMiB, Bound::AtMost(200.0)),
    goal("cold start, ms", Value::P50Ms("cold-start"), Bound::AtMost(50.0)),
];

/// What became of all goals, in a table.
pub(crate) fn verdicts(figures: &[Measured]) -> String {
    let figures = medians(figures);
    let mut lines = vec![["goal", "is", "should be", "verdict"].map(str::to_owned)];
    for goal in GOALS {
        let is = goal.value.of(&figures);
        lines.push([
            goal.what.to_owned(),
            is.map_or(String::new(), significant),
            goal.bound.to_string(),
            goal.verdict(&figures, is),
        ]);
    }
    laid_out(&lines, 1)
}

impl Goal {
    fn verdict(&self, figures: &[Measured], is: Option<f64>) -> String {
        let Some(is) = is else {
            return match self.value {
                Value::Elsewhere(command) => format!("see {command}"),
                _ => "not measured".to_owned(),
            };
        };
        if matches!(self.value, Value::BeyondDiskMs(_)) && is < -BEYOND_DISK_MS {
            return "the disk drifted: measure again".to_owned();
        }
        let (met, share) = match self.bound {
            Bound::AtLeast(bound) => (is >= bound, is / bound),
            Bound::AtMost(bound) => (is <= bound, is / bound),
        };
        if met {
            return "met".to_owned();
        }
        let ceiling = self.value.throughput_row().and_then(|row| find(figures, row, "", OURS));
        if let Some(busy) = ceiling.and_then(Measured::busy)
            && busy >= CEILING
        {
            return format!("met at the ceiling: {:.0} % of the processors", busy * 100.0);
        }
        match self.bound {
            Bound::AtLeast(_) => format!("MISSED: {:.0} % of it", share * 100.0),
            Bound::AtMost(_) => format!("MISSED: {}x of it", significant(share)),
        }
    }
}

impl Value {
    fn of(self, figures: &[Measured]) -> Option<f64> {
        let ours = |row| find(figures, row, "", OURS);
        let theirs = |(peer, rows): Peer| rows.iter().find_map(|row| find(figures, row, "", peer));
        let p50 = |measured: &Measured| Some(measured.latency?.p50.as_secs_f64() * 1e3);
        match self {
            Value::Throughput(row, peer) => {
                Some(ours(row)?.per_second()? / theirs(peer)?.per_second()?)
            }
            Value::P50(row, peer) => Some(p50(ours(row)?)? / p50(theirs(peer)?)?),
            Value::ServerCpu(row, peer) => {
                Some(ours(row)?.server_us()? / theirs(peer)?.server_us()?)
            }
            Value::PerSecond(row) => ours(row)?.per_second(),
            Value::P50Ms(row) => p50(ours(row)?),
            Value::BeyondDiskMs(row) => {
                Some(p50(ours(row)?)? - p50(find(figures, "fdatasync", "", "disk")?)?)
            }
            Value::IdleMiB => Some(ours("idle-memory")?.server_peak_bytes as f64 / MEBIBYTE),
            Value::LoadedMiB => {
                let loaded = figures.iter().filter(|it| it.peer == OURS && it.count > 0);
                let peak = loaded.map(|it| it.server_peak_bytes).max().filter(|peak| *peak > 0)?;
                Some(peak as f64 / MEBIBYTE)
            }
            Value::Elsewhere(_) => None,
        }
    }

    fn throughput_row(self) -> Option<&'static str> {
        match self {
            Value::Throughput(row, _) | Value::PerSecond(row) => Some(row),
            _ => None,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, ">= {}", significant(*bound)),
            Bound::AtMost(bound) => write!(f, "<= {}", significant(*bound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measured::Latency;

    fn measured(row: &str, peer: &str, count: u64, p50_us: u64) -> Measured {
        let p50 = Duration::from_micros(p50_us);
        Measured {
            row: row.into(),
            peer: peer.into(),
            count,
            wall: Duration::from_secs(1),
            latency: (p50_us > 0).then_some(Latency { p50, p99: p50 }),
            ..Measured::default()
        }
    }

    fn verdict<'a>(verdicts: &'a str, what: &str) -> &'a str {
        let line = verdicts.lines().find(|line| line.starts_with(what)).unwrap();
        line.rsplit("  ").next().unwrap().trim()
    }

    #[test]
    fn goals_are_met_missed_or_not_measured() {
        let figures = [
            measured("produce-1k", "mainstay", 500_000, 0),
            measured("produce-1k", "kafka", 200_000, 0),
            measured("produce-100", "mainstay", 500_000, 0),
            measured("produce-100", "kafka", 1_000_000, 0),
            measured("produce-one", "mainstay", 100, 300),
            measured("fdatasync", "disk", 100, 130),
            measured("cold-start", "mainstay", 1, 20_000),
        ];
        let drifted = [&figures[..], &[measured("fdatasync", "disk", 100, 4_000)]].concat();
        assert_eq!(
            verdict(&verdicts(&drifted), "produce, one in flight"),
            "the disk drifted: measure again"
        );
        let verdicts = verdicts(&figures);
        assert_eq!(verdict(&verdicts, "produce 1 KiB, 3 M"), "met");
        assert_eq!(verdict(&verdicts, "produce 100 B"), "MISSED: 50 % of it");
        assert_eq!(verdict(&verdicts, "produce, one in flight"), "MISSED: 1.13x of it");
        assert_eq!(verdict(&verdicts, "cold start"), "met");
        assert_eq!(verdict(&verdicts, "consume 1 KiB"), "not measured");
        assert_eq!(verdict(&verdicts, "journal"), "see bench measure journal");
        assert_eq!(verdicts.lines().count(), GOALS.len() + 1);
    }

    #[test]
    fn a_busy_machine_is_a_ceiling() {
        let cores = std::thread::available_parallelism().unwrap().get() as u32;
        let busy = |share: u32| Duration::from_millis(u64::from(share * cores) * 10 / 2);
        let with = |share| {
            let ours = measured("consume-1k", "mainstay", 90, 0);
            let (client_cpu, server_cpu) = (busy(share), busy(share));
            let ours = Measured { client_cpu, server_cpu, ..ours };
            verdicts(&[ours, measured("consume-1k", "kafka", 100, 0)])
        };
        assert_eq!(
            verdict(&with(90), "consume 1 KiB"),
            "met at the ceiling: 90 % of the processors"
        );
        assert_eq!(verdict(&with(80), "consume 1 KiB"), "MISSED: 90 % of it");
    }
}
