//! The keeper of the child processes: looks after them, and under `--chaos` is the one who kills
//! them: the node about every second while orders flow, the worker twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::book::{Book, Progress};
use crate::child::{Process, Usage};
use crate::error::Error;
use crate::node::Place;
use crate::random::Random;

/// How often the children are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the worker is killed: when a third and when two thirds of the orders have ended.
const WORKER_KILLS: usize = 2;
/// A clean end takes less than a second; more is waited for and told.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What was done to the children and what they used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// What the node used.
    pub(crate) node: Usage,
    /// What the worker used.
    pub(crate) worker: Usage,
    /// How often the node was killed.
    pub(crate) node_kills: u64,
    /// How often the worker was killed.
    pub(crate) worker_kills: usize,
    /// The node ended cleanly when it was asked to.
    pub(crate) clean_stop: bool,
}

/// What the run wants of the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Orders flow: chaos may strike.
    Flow,
    /// All quiet.
    Settle,
    /// Stop everything.
    Stop,
}

/// See the module's page.
pub(crate) struct Keeper {
    pub(crate) place: Place,
    pub(crate) node: Process,
    pub(crate) worker: Process,
    pub(crate) chaos: Option<Random>,
    /// About the time between two kills of the node: two thirds of it to four thirds.
    pub(crate) kill_every: Duration,
    pub(crate) orders: usize,
}

impl Keeper {
    /// Keeps the children until the phase says stop; fails when one of them ends by itself.
    pub(crate) async fn keep(
        mut self,
        book: Arc<Book>,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<Report, Error> {
        let mut report = Report::default();
        let progress = book.progress();
        let mut next_kill = self.next_kill();
        loop {
            let now = *phase.borrow_and_update();
            match now {
                Phase::Stop => break,
                Phase::Flow if self.chaos.is_some() => {
                    let seen = *progress.borrow();
                    self.trouble_worker(&mut report, seen).await?;
                    if Instant::now() >= next_kill {
                        next_kill = self.next_kill();
                        self.trouble_node(&mut report).await?;
                    }
                }
                Phase::Flow | Phase::Settle => {}
            }
            self.look()?;
            // Both a change of phase and the end of the tick mean: look again.
            let _ = tokio::time::timeout(TICK, phase.changed()).await;
        }
        self.worker.kill().await;
        report.clean_stop = self.node.stop(STOP_TIMEOUT).await;
        report.node = self.node.usage();
        report.worker = self.worker.usage();
        Ok(report)
    }

    fn look(&mut self) -> Result<(), Error> {
        for child in [&mut self.node, &mut self.worker] {
            child.check()?;
            child.sample();
        }
        Ok(())
    }

    fn next_kill(&mut self) -> Instant {
        let third_ms = self.kill_every.as_millis() as u64 / 3;
        let jitter_ms = self.chaos.as_mut().map_or(0, |random| random.below(2 * third_ms));
        Instant::now() + Duration::from_millis(2 * third_ms + jitter_ms)
    }

    async fn trouble_node(&mut self, report: &mut Report) -> Result<(), Error> {
        self.node.check()?;
        self.node.kill().await;
        self.node.spawn()?;
        report.node_kills += 1;
        self.place.ready(&mut self.node).await
    }

    async fn trouble_worker(&mut self, report: &mut Report, seen: Progress) -> Result<(), Error> {
        let kills = report.worker_kills;
        let due = (kills + 1) * self.orders / (WORKER_KILLS + 1);
        if kills == WORKER_KILLS || seen.ended < due {
            return Ok(());
        }
        self.worker.check()?;
        self.worker.kill().await;
        report.worker_kills += 1;
        self.worker.spawn()
    }
}
