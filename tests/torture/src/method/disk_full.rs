//! T7: the disk is full, under load, then there is room again. While it is full what would write is
//! refused before it is decided, what is there can be read, and what frees or ends something still
//! gets through. Once there is room the same process takes writes again.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use checker::{Fault, Outcome, Party, Refusal};

use super::{Verdict, conclude};
use crate::client::Role;
use crate::disk::Disk;
use crate::probe::Probe;
use crate::random::Random;
use crate::scene::Scene;

/// Between two times without room.
const LIFE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));
/// How long the disk stays full once it has been asked everything.
const FULL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1500));
/// Writes go on so soon after there is room. Clients back off for a second or so, and on a busy machine a
/// send alone may take one.
const RESUMED_MAX: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);
/// The journal keeps a place open until even its last bytes are taken.
const SIZES_BYTES: [usize; 5] = [900_000, 100_000, 10_000, 1_000, 10];
/// The task queue of which the director is the worker.
const QUEUE: &str = "director";

/// Does it; the data of a run that found something is kept in `directory`.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let disk = Disk::create(directory)?;
    let name = format!("T7 seed {seed} faults {faults}");
    let mut scene = Scene::open(directory, disk.data(), name, seed, &Role::CAST).await?;
    let result = fill_often(&mut scene, &disk, verdict, seed, faults).await;
    if result.is_err() || !verdict.findings.is_empty() {
        // It may have ended already.
        let _ = scene.node.kill().await;
        disk.keep(directory)?;
    }
    result
}

async fn fill_often(
    scene: &mut Scene,
    disk: &Disk,
    verdict: &mut Verdict,
    seed: u64,
    faults: u32,
) -> Result<()> {
    let mut random = Random::new(seed, 0);
    let mut probe = Probe::connect(scene.node.addresses, scene.book()).await?;
    let (mut slowest, mut taken) = (Duration::ZERO, 0);
    while verdict.faults < faults {
        scene.watch(random.between(LIFE.0, LIFE.1)).await?;
        let before = Before::prepare(&mut probe, verdict.faults).await?;
        verdict.faults += 1;
        scene.fault(Party::Node, Fault::DiskFull);
        disk.fill()?;
        taken += probe.fill(&before.topic, &SIZES_BYTES).await.context("filling the journal")?;
        what_a_full_node_does(&mut probe, &before).await.context("the disk is full")?;
        scene.watch(random.between(FULL.0, FULL.1)).await?;
        disk.make_room()?;
        slowest = slowest.max(resumed(&mut probe).await.context("there is room again")?);
        scene.recovered(Party::Node);
    }
    verdict.notes.push(format!(
        "writes went on after {slowest:?} at most; {taken} bytes were taken on a full disk"
    ));
    conclude(scene, verdict).await
}

/// What is there when the disk becomes full.
struct Before {
    /// A topic that will be filled, and deleted.
    topic: String,
    /// A workflow whose first task is with the director.
    workflow_id: String,
    run_id: String,
    task: Vec<u8>,
    /// An offset that is not committed yet.
    offset: i64,
}

impl Before {
    async fn prepare(probe: &mut Probe, number: u32) -> Result<Before> {
        ensure!(matches!(probe.send().await, Outcome::Ok(_)), "a send with room");
        ensure!(matches!(probe.start().await, Outcome::Ok(_)), "a start with room");
        let topic = format!("filler-{number}");
        probe.create_topic(&topic, 1).await?;
        let workflow_id = format!("director-{number}");
        let front = probe.front();
        let run_id = front.begin(QUEUE, &workflow_id).await.context("a start")?;
        let task = front.poll(QUEUE).await.context("a poll")?;
        ensure!(!task.is_empty(), "a poll was answered without a task");
        Ok(Before { topic, workflow_id, run_id, task, offset: i64::from(number) + 1 })
    }
}

async fn what_a_full_node_does(probe: &mut Probe, before: &Before) -> Result<()> {
    is_refused("a send", probe.send().await, "")?;
    is_refused("a start", probe.start().await, "the journal is full")?;
    probe.read().await.context("reading a partition")?;
    let front = probe.front();
    let events = front.history(&before.workflow_id, &before.run_id).await;
    ensure!(!events.context("reading a history")?.is_empty(), "a history is empty");
    probe.commit(before.offset).await?;
    probe.front().complete(before.task.clone()).await.context("completing a task")?;
    let events = probe.front().history(&before.workflow_id, &before.run_id).await?;
    let last = events.last().map(|event| event.event_type().as_str_name());
    ensure!(last == Some("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"), "the run ends with {last:?}");
    probe.delete_topic(&before.topic).await?;
    is_refused("a send after that", probe.send().await, "")
}

fn is_refused(what: &str, outcome: Outcome, words: &str) -> Result<()> {
    match outcome {
        Outcome::Fail(Refusal::Other(said)) if said.contains(words) => Ok(()),
        other => bail!("{what} on a full disk: {other:?}"),
    }
}

/// Asks until a send and a start are taken; answers after what time.
async fn resumed(probe: &mut Probe) -> Result<Duration> {
    let begin = Instant::now();
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let (sent, started) = (probe.send().await, probe.start().await);
        let taken = begin.elapsed();
        match (&sent, &started) {
            (Outcome::Ok(_), Outcome::Ok(_)) => return Ok(taken),
            _ if taken > RESUMED_MAX => bail!("after {taken:?}: {sent:?}, {started:?}"),
            _ => {}
        }
    }
}
