//! T3: kill -9 of the node at random times under load, about once a second. Now and then it is killed
//! again while it starts, and now and then a client process is killed as well.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use checker::{Fault, Party};

use super::{Verdict, conclude};
use crate::client::Role;
use crate::random::Random;
use crate::scene::Scene;

/// The node lives for so long, at least and at most.
const LIFE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(950));
/// A start takes about so long: one that is to be killed gets this at most.
const START_MAX: Duration = Duration::from_millis(25);
/// One kill in so many is followed by one during the start.
const TWICE_ONCE_IN: u64 = 8;
/// One kill in so many is followed by one of a client process.
const CLIENT_ONCE_IN: u64 = 10;

/// Does it.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut random = Random::new(seed, 0);
    let name = format!("T3 seed {seed} faults {faults}");
    let data = directory.join("data");
    let mut scene = Scene::open(directory, data, name, seed, &Role::CAST).await?;
    let mut clients = 0;
    while verdict.faults < faults {
        scene.watch(random.between(LIFE.0, LIFE.1)).await?;
        scene.fault(Party::Node, Fault::Kill);
        scene.node.kill().await?;
        verdict.faults += 1;
        if verdict.faults < faults && random.once_in(TWICE_ONCE_IN) {
            scene.node.spawn()?;
            scene.watch(random.between(Duration::ZERO, START_MAX)).await?;
            scene.node.kill().await?;
            verdict.faults += 1;
        }
        scene.node.start().await?;
        scene.recovered(Party::Node);
        if random.once_in(CLIENT_ONCE_IN) {
            let which = random.below(scene.clients_count() as u64) as usize;
            scene.replace_client(which).await?;
            clients += 1;
        }
    }
    verdict.notes.push(format!("{clients} client processes were killed and replaced"));
    conclude(&mut scene, verdict).await
}
