//! T9: the n-th fdatasync fails, or the n-th write, under load. The node must end at once, without
//! an answer for what the failed call was to make durable. Then the power is cut as well: an answer
//! that got out all the same is one for what is lost now, and the histories show it.
//!
//! The count begins with each start, so that recovery's own syncs and writes fail too; a node that is
//! not ready yet must not become so.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use checker::{Fault, Party};

use super::{Verdict, conclude};
use crate::client::Role;
use crate::disk::Disk;
use crate::injection::{self, Injection};
use crate::random::Random;
use crate::scene::Scene;

/// The load reaches the n-th call within this.
const REACHED_MAX: Duration = Duration::from_secs(60);
/// From the failure to the end of the process. It takes milliseconds; strace stands between, and the
/// machine may be busy. A node that went on would live until the next fault, or for ever.
const LIVED_MAX: Duration = Duration::from_secs(5);
/// Of seven failures five are syncs, n = 1, 2, 3 and so on; the rest are writes.
const SYNCS_OF_SEVEN: u32 = 5;
/// The n of a failing write, at most.
const WRITES_MAX: u64 = 40;
/// SIGABRT.
const ABORTED: i32 = 6;
/// What the node says when it ends; the writer may notice before the process is gone.
const EXPLAINED: [&str; 2] = ["the node cannot go on", "the node is stopping"];

/// Does it; the data of a run that found something is kept in `directory`.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut disk = Disk::create(directory)?;
    let name = format!("T9 seed {seed} faults {faults}");
    let mut scene = Scene::open(directory, disk.data(), name, seed, &Role::CAST).await?;
    scene.node.explained = &EXPLAINED;
    let mut tally = Tally::default();
    let result = fail_often(&mut scene, &mut disk, verdict, seed, faults, &mut tally).await;
    verdict.notes.push(format!(
        "{} failures at start, {} while it served; it lived {:?} longer at most",
        tally.starting, tally.serving, tally.longest
    ));
    if result.is_err() || !verdict.findings.is_empty() {
        // It may have ended already.
        let _ = scene.node.kill().await;
        disk.keep(directory)?;
    }
    result
}

#[derive(Debug, Default)]
struct Tally {
    starting: u32,
    serving: u32,
    longest: Duration,
}

async fn fail_often(
    scene: &mut Scene,
    disk: &mut Disk,
    verdict: &mut Verdict,
    seed: u64,
    faults: u32,
    tally: &mut Tally,
) -> Result<()> {
    let mut random = Random::new(seed, 0);
    scene.fault(Party::Node, Fault::Kill);
    scene.node.kill().await?;
    while verdict.faults < faults {
        verdict.faults += 1;
        let injection = plan(&mut random, verdict.faults, faults);
        fail_once(scene, disk, &injection, tally).await.map_err(|error| {
            let Injection { call, error: code, when } = injection;
            error.context(format!("{call} number {when} answers {code}"))
        })?;
    }
    scene.node.under.clear();
    scene.node.start().await?;
    scene.recovered(Party::Node);
    conclude(scene, verdict).await
}

fn plan(random: &mut Random, fault: u32, faults: u32) -> Injection {
    let syncs = (faults * SYNCS_OF_SEVEN).div_ceil(7);
    if fault <= syncs {
        return Injection { call: "fdatasync", error: "EIO", when: fault };
    }
    let error = if random.once_in(2) { "EIO" } else { "ENOSPC" };
    Injection { call: "pwrite64", error, when: 1 + random.below(WRITES_MAX) as u32 }
}

/// Starts the node, lets it live until the call fails, and cuts the power.
async fn fail_once(
    scene: &mut Scene,
    disk: &mut Disk,
    injection: &Injection,
    tally: &mut Tally,
) -> Result<()> {
    let log = scene.directory().join("strace.log");
    // What was there is of another process.
    let _ = std::fs::remove_file(&log);
    disk.write_controls()?;
    scene.node.under = injection.wrapper(&log);
    let was_ready = scene.node.try_start().await?;
    if was_ready {
        scene.recovered(Party::Node);
    }
    let status = scene.node.ended(REACHED_MAX).await?;
    let injected = injection::read(&log).await?;
    scene.fault_at(injected.at_us, Party::Node, Fault::DiskError);
    judge(was_ready, status)?;
    let lived = injected.lived;
    ensure!(lived < LIVED_MAX, "the node lived for {lived:?} after that");
    tally.longest = tally.longest.max(lived);
    *(if was_ready { &mut tally.serving } else { &mut tally.starting }) += 1;
    scene.watch_clients()?;
    disk.copy()?;
    disk.switch()
}

/// How the process may end.
fn judge(was_ready: bool, status: ExitStatus) -> Result<()> {
    match status.signal() {
        Some(ABORTED) => Ok(()),
        // Nobody was served yet.
        None if !was_ready && !status.success() => Ok(()),
        _ => bail!("the node ended by {status}, ready before: {was_ready}"),
    }
}
