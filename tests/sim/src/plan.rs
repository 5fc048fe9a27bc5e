//! What one seed does: swarm-varied options, and the faults in their order.
//!
//! Each option is drawn anew for every seed, and some are switched off altogether: a run without
//! one kind of fault reaches states that a run with all of them never does.

use crate::random::Random;
use journal::testing::Loss;
use std::time::Duration;

/// Everything that a run does not leave to its clients.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How the lives of the node end, before the last one.
    pub ends: Vec<End>,
    /// The node's turns.
    pub pace: Pace,
    /// The load.
    pub load: Load,
    /// Size of a journal segment.
    pub segment_bytes: u32,
    /// Bytes of the log that are kept in memory.
    pub hot_tail_bytes: usize,
    /// How far the clock may be behind after a restart.
    pub clock_behind_max: Duration,
}

/// How a life of the node ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// So long after it began.
    pub after: Duration,
    /// By what.
    pub by: By,
    /// How long nobody answers.
    pub down: Duration,
}

/// What ends a life.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// The process is killed: what it had written is there.
    Kill,
    /// The power fails: of what was not synced, this is lost.
    PowerCut(Loss),
    /// The machine stops in the middle of one of the next calls to the disk, and the power fails.
    PowerCutAtCall(u64, Loss),
    /// One of the next calls to the disk fails; some time after that the power may fail too.
    DiskError(u64),
    /// The process is asked to end.
    Stop,
    /// The disk has no room for some time. It is not the end, just the end of a chapter.
    DiskFull(Duration),
}

/// How the writer's and the committer's turns are mixed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Turns of the writer in a row, at most.
    pub turns_max: u64,
    /// How long a group takes to be written.
    pub sync: (Duration, Duration),
    /// In so many of a hundred cases a group takes very long.
    pub stalls_percent: u64,
    /// In so many of a hundred cases what is durable is not released at once.
    pub late_release_percent: u64,
}

/// How many clients of which kind, and how wild they are.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Load {
    pub partitions: i32,
    pub producers: u64,
    pub idempotent_percent: u64,
    pub sends: u64,
    pub consumers: u64,
    pub workflows: u64,
    pub signals: u64,
    pub workflow_workers: u64,
    pub activity_workers: u64,
    /// Of a hundred tasks so many are dropped by a worker that dies.
    pub worker_dies_percent: u64,
    /// Of a hundred tasks so many are answered after their time-out.
    pub worker_late_percent: u64,
    /// Of a hundred activities so many fail.
    pub activity_fails_percent: u64,
    /// Of a hundred requests so many are given up by their client before the answer.
    pub client_vanishes_percent: u64,
    pub sticky_percent: u64,
    /// Signals in a run before it continues as new; 0 for never.
    pub signals_per_run: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Plan {
        let random = Random::new(seed, "plan");
        let sometimes = |percent, of: &dyn Fn() -> u64| {
            // Drawn in any case, so that the rest of the plan does not depend on it.
            let value = of();
            if random.percent(percent) { value } else { 0 }
        };
        let load = Load {
            partitions: random.between(1, 4) as i32,
            producers: random.between(1, 4),
            idempotent_percent: *random.pick(&[0, 50, 50, 100]),
            sends: random.between(10, 60),
            consumers: random.between(1, 3),
            workflows: random.between(1, 6),
            signals: random.between(4, 30),
            workflow_workers: random.between(1, 3),
            activity_workers: random.between(1, 3),
            worker_dies_percent: sometimes(60, &|| random.between(1, 15)),
            worker_late_percent: sometimes(50, &|| random.between(1, 10)),
            activity_fails_percent: sometimes(50, &|| random.between(1, 20)),
            client_vanishes_percent: sometimes(50, &|| random.between(1, 10)),
            sticky_percent: *random.pick(&[0, 50, 100]),
            signals_per_run: sometimes(60, &|| random.between(2, 8)),
        };
        let pace = Pace {
            turns_max: random.between(1, 8),
            sync: (random.millis(0, 2), random.millis(2, 30)),
            stalls_percent: sometimes(30, &|| random.between(1, 5)),
            late_release_percent: sometimes(50, &|| random.between(1, 40)),
        };
        let ends = Plan::draw_ends(&random);
        Plan {
            seed,
            ends,
            pace,
            load,
            segment_bytes: *random.pick(&[112 << 10, 128 << 10, 256 << 10]),
            hot_tail_bytes: *random.pick(&[0, 4 << 10, 1 << 20]),
            clock_behind_max: Duration::from_secs(sometimes(30, &|| random.between(1, 20))),
        }
    }
}

impl Plan {
    /// How often the node dies.
    pub fn deaths(&self) -> usize {
        self.ends.iter().filter(|end| !matches!(end.by, By::DiskFull(_))).count()
    }

    /// At least three deaths, and chapters that end otherwise between them.
    fn draw_ends(random: &Random) -> Vec<End> {
        let deaths = random.between(3, 6);
        let (mut ends, mut left) = (Vec::new(), deaths);
        while left > 0 {
            let end = End::draw(random);
            left -= u64::from(!matches!(end.by, By::DiskFull(_)));
            ends.push(end);
        }
        ends
    }
}

impl End {
    fn draw(random: &Random) -> End {
        let loss = *random.pick(&Loss::ALL);
        let by = match random.below(16) {
            0..4 => By::Kill,
            4..7 => By::PowerCut(loss),
            7..11 => By::PowerCutAtCall(random.below(12), loss),
            11..13 => By::DiskError(random.below(12)),
            13 => By::Stop,
            _ => By::DiskFull(random.millis(500, 5_000)),
        };
        // Most lives are short: the first moments after a restart are where things get lost.
        let after = match random.below(4) {
            0 => random.millis(0, 50),
            1 => random.millis(0, 500),
            _ => random.millis(500, 4_000),
        };
        End { after, by, down: random.millis(1, 2_000) }
    }
}
