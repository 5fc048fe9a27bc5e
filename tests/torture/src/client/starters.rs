//! Starters: each keeps one job open, signals it as often as the job wants, sees it closed, and begins
//! the next. What
//! is not known to be done is asked again, with the same request id, until it is known.

use std::time::Duration;

use anyhow::Result;
use checker::{Answer, Call, Outcome, Status};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::World;
use crate::random::Random;
use crate::temporal::{Front, failed};

/// Jobs that a process keeps open.
const SLOTS: u64 = 70;
/// Between two steps of one job.
const PACE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(4000));
/// Between two attempts of one request.
const AGAIN: Duration = Duration::from_millis(50);
/// The type of the workflows.
pub(crate) const JOB: &str = "Job";
/// The signal that they wait for.
pub(crate) const POKE: &str = "poke";

/// What a job is told to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The id of the start; a run that continues another carries none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<u64>,
    /// The id of the job.
    pub(crate) job: u64,
    /// Signals in each round; each round is a run.
    pub(crate) pokes: u64,
    /// Rounds altogether.
    pub(crate) rounds: u64,
    /// Rounds that are over.
    pub(crate) round: u64,
    /// A timer in each round.
    pub(crate) timer_ms: u64,
    /// Signals received in rounds that are over.
    pub(crate) poked: u64,
}

/// The argument of a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Poke {
    /// Its id.
    pub(crate) value: u64,
}

/// Keeps jobs going until it is stopped, then ends those that were begun.
pub(crate) async fn run(world: World) -> Result<()> {
    let front = Front::connect(world.addresses.temporal).await?;
    let mut slots = JoinSet::new();
    for number in 0..SLOTS {
        let slot = Slot {
            front: front.clone(),
            random: Random::new(world.seed, u64::from(world.process) << 8 | number),
            next: u64::from(world.process) << 32 | number << 24,
            world: world.clone(),
        };
        slots.spawn(slot.run());
    }
    while let Some(ended) = slots.join_next().await {
        ended?;
    }
    Ok(())
}

/// One who starts one job after the other.
struct Slot {
    front: Front,
    random: Random,
    /// The last id that was used.
    next: u64,
    world: World,
}

impl Slot {
    async fn run(mut self) {
        self.pause().await;
        while !self.world.stopped() {
            self.job().await;
        }
    }

    async fn job(&mut self) {
        self.next += 1;
        let plan = Plan {
            value: Some(self.next),
            job: self.next,
            pokes: 1 + self.random.below(3),
            rounds: 1 + self.random.below(3),
            timer_ms: 50 + self.random.below(3_000),
            ..Plan::default()
        };
        let workflow_id = format!("job-{}", plan.job);
        self.start(&workflow_id, &plan).await;
        for _ in 0..plan.pokes * plan.rounds {
            // Whoever is told to stop gives the job what it wants at once.
            self.pause().await;
            self.poke(&workflow_id).await;
        }
        self.see_it_closed(&workflow_id).await;
    }

    /// Looks at the job now and then, until it is closed.
    async fn see_it_closed(&mut self, workflow_id: &str) {
        while !self.world.stopped() {
            let op = self
                .world
                .book
                .invoke(Call::Describe { workflow_id: workflow_id.to_owned(), run_id: None });
            let result = match self.front.describe(workflow_id, None).await {
                Ok(answer) => Outcome::Ok(answer),
                Err(status) => failed(&status),
            };
            let open = match &result {
                Outcome::Ok(Answer::Described { status, .. }) => *status == Status::Running,
                Outcome::Ok(_) | Outcome::Unknown(_) => true,
                Outcome::Fail(_) => false,
            };
            self.world.book.settle(op, result);
            if !open {
                return;
            }
            self.pause().await;
        }
    }

    async fn start(&mut self, workflow_id: &str, plan: &Plan) {
        let request_id = format!("start-{}", plan.job);
        loop {
            let op = self.world.book.invoke(Call::Start {
                workflow_id: workflow_id.to_owned(),
                request_id: request_id.clone(),
                value: plan.job,
            });
            let result = self.front.start(JOB, workflow_id, &request_id, plan).await;
            let known = !matches!(result, Outcome::Unknown(_));
            self.world.book.settle(op, result);
            if known {
                return;
            }
            wait(AGAIN).await;
        }
    }

    async fn poke(&mut self, workflow_id: &str) {
        self.next += 1;
        let (value, request_id) = (self.next, format!("poke-{}", self.next));
        loop {
            let op = self.world.book.invoke(Call::Signal {
                workflow_id: workflow_id.to_owned(),
                request_id: request_id.clone(),
                name: POKE.to_owned(),
                value,
            });
            let result = self.front.signal(workflow_id, &request_id, POKE, &Poke { value }).await;
            let known = !matches!(result, Outcome::Unknown(_));
            self.world.book.settle(op, result);
            if known {
                return;
            }
            wait(AGAIN).await;
        }
    }

    async fn pause(&mut self) {
        let time = self.random.between(PACE.0, PACE.1);
        let mut stop = self.world.stop.clone();
        // The end of the time is as good as the wish to stop.
        let _ = tokio::time::timeout(time, stop.wait_for(|stop| *stop)).await;
    }
}

/// Lets time pass before a request is made again.
async fn wait(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
