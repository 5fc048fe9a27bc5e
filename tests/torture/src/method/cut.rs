//! T4: power cuts under load. The node stands still, the disk is copied as it is, the node is killed,
//! and comes back on the copy; the clients go on with the same histories. What was acknowledged before
//! the node stood still must be there.
//!
//! With every cut two files of our own are checked, one synced and one not: a cut that loses nothing
//! proves nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use checker::{Fault, Party};

use super::{Verdict, conclude};
use crate::client::Role;
use crate::disk::Disk;
use crate::random::Random;
use crate::scene::Scene;

/// The node lives for so long, at least and at most.
const LIFE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1200));

/// Does it; the data of a run that found something is kept in `directory`.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut disk = Disk::create(directory)?;
    let speed = if disk.is_slow() { "in the middle of syncs too" } else { "between syncs only" };
    verdict.notes.push(format!("cuts fall {speed}"));
    let name = format!("T4 seed {seed} faults {faults}");
    let mut scene = Scene::open(directory, disk.data(), name, seed, &Role::CAST).await?;
    let result = cut_often(&mut scene, &mut disk, verdict, seed, faults).await;
    if result.is_err() || !verdict.findings.is_empty() {
        // It may have ended already; its control group must be empty.
        let _ = scene.node.kill().await;
        disk.keep(directory)?;
    }
    result
}

async fn cut_often(
    scene: &mut Scene,
    disk: &mut Disk,
    verdict: &mut Verdict,
    seed: u64,
    faults: u32,
) -> Result<()> {
    let mut random = Random::new(seed, 0);
    disk.slow_down(scene.node.id()?)?;
    while verdict.faults < faults {
        scene.watch(random.between(LIFE.0, LIFE.1)).await?;
        disk.write_controls()?;
        scene.fault(Party::Node, Fault::PowerCut);
        scene.node.process()?.pause()?;
        disk.copy()?;
        scene.node.kill().await?;
        disk.switch()?;
        verdict.faults += 1;
        scene.node.start().await?;
        disk.slow_down(scene.node.id()?)?;
        scene.recovered(Party::Node);
    }
    conclude(scene, verdict).await
}
