//! Floods: clients that ask for more than can be done and care for nothing. They keep no history; what
//! they are told must be an answer, or one of the refusals that are meant for them. Any other error
//! ends the process as failed when it is stopped.

mod calls;
mod reads;
mod sends;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};

use super::{Role, World};

/// The topic of the floods, and its partitions.
pub(crate) const TOPIC: (&str, i32) = ("flood", 4);

/// Floods until it is stopped, then vanishes: whatever is under way is left behind.
pub(super) async fn run(role: Role, world: World) -> Result<()> {
    let surprises = Surprises::default();
    let mut stop = world.stop.clone();
    let mut flood = std::pin::pin!(async {
        match role {
            Role::FloodSends => sends::run(&world, &surprises).await,
            Role::FloodReads => reads::run(&world).await,
            _ => calls::run(&world, &surprises).await,
        }
    });
    tokio::select! {
        ended = &mut flood => ended?,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Before anything is dropped: the library calls that an error, too.
    surprises.tell()?;
    std::process::exit(0)
}

/// Errors that no flood is to be answered with, and how often.
#[derive(Clone, Debug, Default)]
struct Surprises(Arc<Mutex<BTreeMap<String, u64>>>);

impl Surprises {
    fn add(&self, error: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(error).or_default() += 1;
    }

    fn tell(&self) -> Result<()> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.is_empty() {
            bail!("an overloaded node answered with {seen:?}");
        }
        Ok(())
    }
}
