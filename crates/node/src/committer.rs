//! The committer's thread: writes and syncs groups of entries, and releases what waited for them.
//!
//! A failed write or sync is never retried and nothing is answered: the outcome is unknown, and
//! only a restart, which reads the disk, can tell.

use crate::held::Held;
use crate::inbox::Inbox;
use crate::journal_port::Commit;
use std::sync::Arc;

/// What to do when the node cannot go on: the disk has failed, or a thread has panicked.
/// Production ends the process; tests look.
pub type OnFailure = Arc<dyn Fn(&str) + Send + Sync>;

/// Ends the process at once, without running anything that could answer somebody.
pub(crate) fn abort_process() -> OnFailure {
    Arc::new(|reason| {
        tracing::error!(reason, "the node cannot go on; the process ends here");
        std::process::abort();
    })
}

/// Runs until the writer has gone and all is on disk, or until the disk fails.
pub(crate) fn run<A, R, P>(
    mut commit: impl Commit,
    held: &Held<R, P>,
    inbox: &Inbox<A, R>,
    on_failure: &OnFailure,
) {
    loop {
        match commit.run_group() {
            Ok(Some(durable)) => {
                held.release(durable);
                inbox.poke_if_throttled();
            }
            Ok(None) => return,
            Err(reason) => {
                on_failure(&reason);
                inbox.close();
                return;
            }
        }
    }
}
