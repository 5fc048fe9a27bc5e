//! The lives of the node on one disk: opens it, gives it its turns, ends it as planned, and
//! compares what its journal rebuilds to with what it was.

use crate::clock::{Clock, Wall};
use crate::history::History;
use crate::network::Network;
use crate::plan::{By, End, Pace, Plan};
use crate::random::Random;
use crate::stage::{Part, Stage};
use base::{Entropy, SeededEntropy};
use bridge::Route;
use checker::{Fault, Line, Party};
use journal::Preparation;
use journal::testing::{self, SimDisk};
use node::{NodeOptions, Rebuilt, SteppedNode};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Small, so that a run fills some segments.
const ENTRY_BYTES_MAX: usize = 96 << 10;

/// Something that a simulation has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise is broken: L1 to L7, E1 to E7, B1, B2, or the name of a check.
    pub promise: String,
    /// What was seen.
    pub what: String,
}

impl Finding {
    pub(crate) fn new(promise: &str, what: impl ToString) -> Finding {
        Finding { promise: promise.to_owned(), what: what.to_string() }
    }
}

/// One node after the other.
pub struct Lives {
    plan: Plan,
    disk: SimDisk,
    network: Network,
    history: History,
    wall: Wall,
    routes: Vec<Arc<Route>>,
    random: Random,
    /// What went wrong beside the clients' histories.
    pub findings: Vec<Finding>,
    /// How many crashes there were.
    pub crashes: u64,
}

/// Why the turns ended.
#[derive(Debug)]
enum Stopped {
    /// The time has come.
    InTime,
    /// The disk has failed.
    Disk(journal::Error),
}

impl Lives {
    /// No life yet, on an empty disk.
    pub fn new(
        plan: Plan,
        network: Network,
        history: History,
        wall: Wall,
        routes: Vec<Arc<Route>>,
    ) -> Lives {
        let random = Random::new(plan.seed, "lives");
        let disk = SimDisk::new(random.seed());
        Lives {
            plan,
            disk,
            network,
            history,
            wall,
            routes,
            random,
            findings: Vec::new(),
            crashes: 0,
        }
    }

    /// All lives: those that the plan ends, and then the last one, which lasts until the caller
    /// has seen enough.
    pub async fn live(&mut self, stage: &Stage) -> Result<(), Finding> {
        let mut node = self.open().await?;
        for end in self.plan.ends.clone() {
            if let Some(same) = self.chapter(node, end).await? {
                node = same;
                continue;
            }
            sleep(end.down).await;
            node = self.open().await?;
        }
        stage.enter(Part::Calm);
        self.last_life(node).await
    }

    /// The last life goes on for ever; whoever awaits this stops it by dropping it.
    async fn last_life(&mut self, mut node: SteppedNode<SimDisk>) -> Result<(), Finding> {
        match self.turns(&mut node, None).await {
            Stopped::InTime => Ok(()),
            Stopped::Disk(error) => Err(Finding::new("disk", error)),
        }
    }

    /// One chapter. `Some`: the node is still alive.
    async fn chapter(
        &mut self,
        mut node: SteppedNode<SimDisk>,
        end: End,
    ) -> Result<Option<SteppedNode<SimDisk>>, Finding> {
        let deadline = Instant::now() + end.after;
        match end.by {
            By::DiskFull(during) => {
                self.fill_disk(&mut node, deadline, during).await?;
                return Ok(Some(node));
            }
            By::PowerCutAtCall(call, _) => {
                self.sooner_or_later(&mut node, deadline).await?;
                self.disk.fail_at(self.disk.calls() + call, testing::Fault::Stop);
                self.until_disk_fails(&mut node).await;
            }
            By::DiskError(call) => {
                self.sooner_or_later(&mut node, deadline).await?;
                let fault = testing::Fault::Error(ErrorKind::Other);
                self.disk.fail_at(self.disk.calls() + call, fault);
                self.until_disk_fails(&mut node).await;
            }
            By::Kill | By::PowerCut(_) | By::Stop => {
                self.sooner_or_later(&mut node, deadline).await?;
            }
        }
        self.end(node, end.by).await?;
        Ok(None)
    }

    async fn sooner_or_later(
        &mut self,
        node: &mut SteppedNode<SimDisk>,
        deadline: Instant,
    ) -> Result<(), Finding> {
        match self.turns(node, Some(deadline)).await {
            Stopped::InTime => Ok(()),
            Stopped::Disk(error) => Err(Finding::new("disk", error)),
        }
    }

    /// The fault may also hit a call that is allowed to fail (preparing a segment), or never come
    /// because nobody writes.
    async fn until_disk_fails(&mut self, node: &mut SteppedNode<SimDisk>) {
        let patience = Instant::now() + Duration::from_secs(2);
        if let Stopped::Disk(error) = self.turns(node, Some(patience)).await {
            self.history.trace(format_args!("the disk fails: {error}"));
        }
    }

    async fn fill_disk(
        &mut self,
        node: &mut SteppedNode<SimDisk>,
        deadline: Instant,
        during: Duration,
    ) -> Result<(), Finding> {
        self.sooner_or_later(node, deadline).await?;
        self.fault(Fault::DiskFull);
        self.disk.set_room_bytes(Some(0));
        self.sooner_or_later(node, Instant::now() + during).await?;
        self.disk.set_room_bytes(None);
        self.recovered();
        Ok(())
    }

    async fn open(&mut self) -> Result<SteppedNode<SimDisk>, Finding> {
        let node = SteppedNode::open(self.disk.clone(), self.options())
            .map_err(|error| Finding::new("opens", error))?;
        let (tip, _) = node.tip_and_durable();
        self.history.trace(format_args!("the node is open at {tip}"));
        self.network.open(node.handle());
        self.recovered();
        Ok(node)
    }

    /// The node dies, and the disk is what a crash leaves of it.
    async fn end(&mut self, mut node: SteppedNode<SimDisk>, by: By) -> Result<(), Finding> {
        self.crashes += 1;
        let (tip, durable) = node.tip_and_durable();
        self.history.trace(format_args!("the node ends at {tip}, {durable} durable, by {by:?}"));
        let fault = match by {
            By::Kill => Fault::Kill,
            By::PowerCut(_) | By::PowerCutAtCall(..) => Fault::PowerCut,
            By::DiskError(_) => Fault::DiskError,
            By::Stop | By::DiskFull(_) => Fault::Stop,
        };
        self.fault(fault);
        if matches!(by, By::Stop) {
            self.network.stop();
            let grace = Instant::now() + Duration::from_millis(500);
            self.sooner_or_later(&mut node, grace).await?;
            // A disk that was slow meanwhile may have said that all is well again.
            self.fault(fault);
        }
        self.network.cut().await;
        node.end_tasks().await;
        let crashed = match by {
            By::PowerCut(loss) | By::PowerCutAtCall(_, loss) => {
                self.disk.crash(loss, self.random.seed())
            }
            By::Kill | By::DiskError(_) | By::Stop | By::DiskFull(_) => self.disk.restart(),
        };
        if !matches!(by, By::PowerCutAtCall(..) | By::DiskError(_)) {
            self.compare_with_rebuild(&mut node)?;
        }
        drop(node);
        self.disk = crashed;
        Ok(())
    }

    /// What the machines hold is what the journal says, whole and in parts.
    fn compare_with_rebuild(&self, node: &mut SteppedNode<SimDisk>) -> Result<(), Finding> {
        node.check();
        while node.commit().map_err(|error| Finding::new("disk", error))? {}
        let rebuilt = Rebuilt::replay(self.disk.restart(), self.options())
            .map_err(|error| Finding::new("rebuild", error))?;
        if node.is_same_as(&rebuilt) {
            return Ok(());
        }
        Err(Finding::new("E5", "the journal rebuilds to another state than the node had"))
    }

    /// Gives turns until the deadline, or until the disk fails.
    async fn turns(
        &mut self,
        node: &mut SteppedNode<SimDisk>,
        deadline: Option<Instant>,
    ) -> Stopped {
        let Pace { turns_max, sync, stalls_percent, late_release_percent } = self.plan.pace;
        let mut commit_at = None;
        let mut seal_at = None;
        let mut stalled = false;
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Stopped::InTime;
            }
            for _ in 0..self.random.below(4) {
                tokio::task::yield_now().await;
            }
            let worked = (0..self.random.between(1, turns_max)).all(|_| node.turn());
            let (tip, durable) = node.tip_and_durable();
            seal_at = seal_at.filter(|_| tip == durable);
            if tip > durable && commit_at.is_none() {
                let stalls = self.random.percent(stalls_percent);
                let low_high = if stalls { (200, 3_000) } else { millis(sync) };
                stalled = stalls;
                if stalls {
                    self.fault(Fault::DiskSlow);
                }
                commit_at = Some(Instant::now() + self.random.millis(low_high.0, low_high.1));
            }
            if commit_at.is_some_and(|at| Instant::now() >= at) {
                commit_at = None;
                if let Err(error) = node.commit() {
                    return Stopped::Disk(error);
                }
                if std::mem::take(&mut stalled) {
                    self.recovered();
                }
                if self.random.percent(late_release_percent) {
                    sleep(self.random.millis(0, 5)).await;
                }
                node.release();
                seal_at = Some(Instant::now() + Duration::from_millis(20));
                continue;
            }
            if worked {
                continue;
            }
            if seal_at.is_some_and(|at| Instant::now() >= at) {
                seal_at = None;
                if let Err(error) = node.seal() {
                    return Stopped::Disk(error);
                }
            }
            let wake = [commit_at, seal_at, deadline, node.due_within().map(in_a_while)];
            let wake = wake.into_iter().flatten().min();
            wait(node, wake).await;
        }
    }

    fn options(&self) -> NodeOptions {
        let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(self.random.seed()));
        let behind_ms = self.plan.clock_behind_max.as_millis() as u64;
        let behind = self.random.millis(0, behind_ms);
        let mut options = NodeOptions {
            routes: self.routes.clone(),
            clock: Box::new(Clock::new(self.wall, behind)),
            entropy,
            journal: journal::Options {
                segment_bytes: self.plan.segment_bytes,
                entry_bytes_max: ENTRY_BYTES_MAX,
                group_bytes_max: 16 << 10,
                prepare_ahead_bytes: 16 << 10,
                preparation: Preparation::Inline,
                ..journal::Options::default()
            },
            ..NodeOptions::default()
        };
        options.limits.hot_tail_bytes = self.plan.hot_tail_bytes;
        options.limits.publishers_count = 2;
        // What may come together in one entry must find room in it.
        options.workflows.buffered_bytes = ENTRY_BYTES_MAX / 3;
        options.workflows.expired_bytes = ENTRY_BYTES_MAX / 8;
        options
    }

    fn fault(&self, fault: Fault) {
        self.history.put(|at_us| Line::Fault { at_us, party: Party::Node, fault });
    }

    fn recovered(&self) {
        self.history.put(|at_us| Line::Recovered { at_us, party: Party::Node });
    }
}

/// Until there is news or it is late enough.
async fn wait(node: &SteppedNode<SimDisk>, wake: Option<Instant>) {
    let wake = async {
        match wake {
            Some(wake) => sleep_until(wake).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = node.news() => {}
        () = wake => {}
    }
}

fn millis((low, high): (Duration, Duration)) -> (u64, u64) {
    (low.as_millis() as u64, high.as_millis() as u64)
}

/// At least a millisecond, or a machine that names a time and then has nothing to say would make
/// the loop spin.
fn in_a_while(within: Duration) -> Instant {
    Instant::now() + within.max(Duration::from_millis(1))
}
