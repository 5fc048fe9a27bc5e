//! T12: more is asked than can be done, of a node with bounded memory and a slow disk: producers that
//! look at no answer, readers that never read, thousands of polls, large signals. The usual clients go
//! on meanwhile. The node must not be killed for want of memory, must refuse by the words that are meant
//! for that, must answer as quickly as before within seconds of the end, and must not lose anything.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use checker::{Fault, Outcome, Party};

use super::{Verdict, conclude};
use crate::client::{FLOOD, Role};
use crate::group::Group;
use crate::probe::Probe;
use crate::scene::Scene;

/// What a node needs under any load, with the default bounds and the state of few executions.
const MEMORY_MIB: u64 = 256;
/// Gives it another amount.
const OVERRIDE: &str = "TORTURE_MEMORY_MIB";
/// A disk that a single producer can overload. What waits when a flood ends is written first.
const DISK_BYTES_PER_SECOND: u64 = 24 << 20;
/// One flood.
const OVERLOAD: Duration = Duration::from_secs(12);
/// A flood is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// After a flood all is as before within this.
const NORMAL_MAX: Duration = Duration::from_secs(5);
/// Requests whose median counts.
const SAMPLE: usize = 10;
/// As before: not more than so many times as long, or than this.
const TIMES: u32 = 4;
const QUICK: Duration = Duration::from_millis(250);

/// Does it.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let memory_mib = match std::env::var(OVERRIDE) {
        Ok(text) => text.parse().with_context(|| format!("{OVERRIDE}: {text}"))?,
        Err(_) => MEMORY_MIB,
    };
    let group = Group::create(memory_mib << 20)?;
    let is_slow = group.slow_disk(directory, DISK_BYTES_PER_SECOND)?;
    let name = format!("T12 seed {seed} faults {faults}");
    let data = directory.join("data");
    let mut scene = Scene::open(directory, data, name, seed, &Role::CAST).await?;
    enter(&mut scene, &group).await?;
    let result = flood_often(&mut scene, &group, verdict, faults).await;
    let counts = group.counts()?;
    verdict.notes.push(format!(
        "memory: {} of {memory_mib} MiB at most with the cache of files, met its limit {} times; the disk {}",
        counts.peak_bytes >> 20,
        counts.limited,
        if is_slow { "was slowed down" } else { "was as fast as it is" }
    ));
    if counts.killed > 0 {
        verdict
            .findings
            .push(format!("{} processes were killed for want of memory", counts.killed));
    }
    if scene.node.process().is_ok() {
        // Its group can go only after it.
        let _ = scene.node.kill().await;
    }
    result
}

/// Starts the node again, in its group from the beginning.
async fn enter(scene: &mut Scene, group: &Group) -> Result<()> {
    scene.fault(Party::Node, Fault::Kill);
    scene.node.kill().await?;
    scene.node.under = group.wrapper();
    scene.node.start().await?;
    scene.recovered(Party::Node);
    Ok(())
}

async fn flood_often(
    scene: &mut Scene,
    group: &Group,
    verdict: &mut Verdict,
    faults: u32,
) -> Result<()> {
    let mut probe = Probe::connect(scene.node.addresses, scene.book()).await?;
    probe.create_topic(FLOOD.0, FLOOD.1).await?;
    scene.watch(2 * LOOK).await?;
    let before = sample(&mut probe).await?;
    let mut seen = Seen::default();
    while verdict.faults < faults {
        verdict.faults += 1;
        scene.fault(Party::Node, Fault::Overload);
        for role in [Role::FloodSends, Role::FloodReads, Role::FloodCalls] {
            scene.add_client(role)?;
        }
        watch(scene, &mut probe, group, &mut seen).await?;
        scene.end_clients(Role::is_flood).await.context("a flood")?;
        let normal = normal_again(&mut probe, before).await?;
        seen.normal_after = seen.normal_after.max(normal);
        scene.recovered(Party::Node);
        scene.watch(2 * LOOK).await?;
    }
    verdict.notes.push(format!(
        "a send and a start took {before:?} before, {:?} at most under load ({} refused), and again as \
         before after {:?}; memory without the cache: {} MiB at most",
        seen.slowest, seen.refused, seen.normal_after, seen.anonymous_bytes >> 20
    ));
    conclude(scene, verdict).await
}

#[derive(Debug, Default)]
struct Seen {
    slowest: Duration,
    refused: u32,
    normal_after: Duration,
    anonymous_bytes: u64,
}

/// Asks now and then while the flood lasts.
async fn watch(scene: &mut Scene, probe: &mut Probe, group: &Group, seen: &mut Seen) -> Result<()> {
    let until = Instant::now() + OVERLOAD;
    while Instant::now() < until {
        scene.watch(LOOK).await?;
        let begin = Instant::now();
        for outcome in [probe.send().await, probe.start().await] {
            seen.refused += u32::from(!matches!(outcome, Outcome::Ok(_)));
        }
        seen.slowest = seen.slowest.max(begin.elapsed());
        seen.anonymous_bytes = seen.anonymous_bytes.max(group.counts()?.anonymous_bytes);
    }
    Ok(())
}

/// What a send and a start take: the median of some.
async fn sample(probe: &mut Probe) -> Result<Duration> {
    let mut times = Vec::new();
    while times.len() < SAMPLE {
        times.push(once(probe).await.context("a request before the flood was refused")?);
    }
    times.sort_unstable();
    Ok(times[SAMPLE / 2])
}

/// What they take now; none if one was refused.
async fn once(probe: &mut Probe) -> Option<Duration> {
    let begin = Instant::now();
    let answers = [probe.send().await, probe.start().await];
    answers.iter().all(|it| matches!(it, Outcome::Ok(_))).then(|| begin.elapsed())
}

/// Asks until answers come as before; answers after what time.
async fn normal_again(probe: &mut Probe, before: Duration) -> Result<Duration> {
    let (begin, limit) = (Instant::now(), QUICK.max(TIMES * before));
    let mut times = Vec::new();
    loop {
        times.push(once(probe).await);
        let last = &times[times.len().saturating_sub(SAMPLE)..];
        let quick = last.iter().flatten().filter(|time| **time <= limit).count();
        let after = begin.elapsed();
        if quick > SAMPLE / 2 {
            ensure!(after <= NORMAL_MAX, "answers were slow for {after:?} after the flood");
            return Ok(after);
        }
        if after > NORMAL_MAX {
            bail!("{after:?} after the flood answers take {last:?}, {before:?} before it");
        }
    }
}
