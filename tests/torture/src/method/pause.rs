//! T14: processes stand still (SIGSTOP) for seconds, and go on as if nothing had been: the node, a
//! worker with tasks in its hands, a client in the middle of a request. Often two or three of them at
//! the same time. In a long run some stand still for half a minute, longer than any session, lease or
//! time-out of the clients.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Verdict, conclude};
use crate::client::Role;
use crate::random::Random;
use crate::scene::Scene;

/// Between two pauses all work.
const LIFE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));
/// What most of them take.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// What some of them take.
const LONG: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// In a run with more faults than this one in so many is long.
const SHORT_RUN: u32 = 10;
const LONG_ONCE_IN: u64 = 12;

/// Who stands still and for how long: a client's place, or the node.
type Pause = (Duration, Option<usize>);

/// Does it.
pub(super) async fn run(
    directory: &Path,
    seed: u64,
    faults: u32,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut random = Random::new(seed, 0);
    let name = format!("T14 seed {seed} faults {faults}");
    let data = directory.join("data");
    let mut scene = Scene::open(directory, data, name, seed, &Role::CAST).await?;
    let mut longest = Duration::ZERO;
    while verdict.faults < faults {
        scene.watch(random.between(LIFE.0, LIFE.1)).await?;
        let mut pauses = vec![plan(&scene, &mut random, verdict, faults)];
        while verdict.faults < faults && pauses.len() < 3 && random.once_in(2) {
            pauses.push(plan(&scene, &mut random, verdict, faults));
        }
        pauses.sort_unstable();
        longest = longest.max(pauses.last().map(|(time, _)| *time).unwrap_or_default());
        stand_still(&mut scene, &pauses).await?;
    }
    verdict.notes.push(format!("longest pause: {longest:?}"));
    conclude(&mut scene, verdict).await
}

/// Node, worker and another client in turn, so that any three in a row are three.
fn plan(scene: &Scene, random: &mut Random, verdict: &mut Verdict, faults: u32) -> Pause {
    let candidates = match verdict.faults % 3 {
        0 => Vec::new(),
        1 => scene.clients(|role| role == Role::Worker),
        _ => scene.clients(|role| role != Role::Worker),
    };
    let client = candidates.get(random.below(candidates.len() as u64) as usize).copied();
    verdict.faults += 1;
    let is_long = faults > SHORT_RUN && random.once_in(LONG_ONCE_IN);
    let (least, most) = if is_long { LONG } else { PAUSE };
    (random.between(least, most), client)
}

/// All stop at once, and go on one after the other.
async fn stand_still(scene: &mut Scene, pauses: &[Pause]) -> Result<()> {
    for (_, client) in pauses {
        scene.pause(*client)?;
    }
    let mut past = Duration::ZERO;
    for (time, client) in pauses {
        scene.watch(*time - past).await?;
        past = *time;
        scene.resume(*client)?;
    }
    Ok(())
}
