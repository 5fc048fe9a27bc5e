//! Keeps the node's own tasks alive: publishers and routes.
//!
//! They keep nothing that must survive them, so one that panics is started again. It says so each
//! time: a record or a task that makes it panic again and again shows in the log and as lag, and
//! does no harm to the rest of the node.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Long enough not to fill the log.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Runs what `start` gives until it ends by itself.
pub(crate) async fn keep_alive<F: Future<Output = ()>>(name: impl Display, start: impl Fn() -> F) {
    while run(start()).await == Ended::Panicked {
        tracing::error!(task = %name, "has panicked, and is started again");
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    ByItself,
    Panicked,
}

async fn run(task: impl Future<Output = ()>) -> Ended {
    let mut task = pin!(task);
    std::future::poll_fn(|cx| {
        // After a panic the task is never polled again, so what it left behind is never seen.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| Ended::ByItself),
            Err(_) => Poll::Ready(Ended::Panicked),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let starts = Cell::new(0);
        keep_alive("test", || {
            starts.set(starts.get() + 1);
            let start = starts.get();
            async move { assert_eq!(start, 3, "it panics twice") }
        })
        .await;
        assert_eq!(starts.get(), 3);
    }
}
