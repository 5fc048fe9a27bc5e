//! A task whose poller died: before its entry was on disk, after that and before the task was
//! taken, and after it was taken; on the normal queue, on a sticky one, and an activity; with a
//! restart in between and without. As ARCHITECTURE.md says ("How a task is never lost").

use crate::asks::{self, Asked, ask, poll_on, send};
use crate::gate::GateDisk;
use crate::support::{QUEUE, activity, options};
use base::Timestamp;
use journal::testing::{Loss, SimDisk};
use node::{Error, Handle, ManualClock, Node, NodeGuard, NodeOptions};
use std::sync::Arc;
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::common::v1::RetryPolicy;
use workflows::{ActivityTask, Ask, Refusal, Reply, WorkflowTask};

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);
const STICKY: &str = "sticky";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Workflow,
    Sticky,
    Activity,
    /// With `maximum_attempts = 1`.
    ActivityOnce,
}

const KINDS: [Kind; 4] = [Kind::Workflow, Kind::Sticky, Kind::Activity, Kind::ActivityOnce];

/// When the poller dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    /// It waited before there was a task; the task's entry is not on disk yet.
    BeforeRelease,
    /// The task is released, and nobody takes it.
    BeforeDelivery,
    /// With the task in hand.
    AfterDelivery,
}

const DEATHS: [Death; 3] = [Death::BeforeRelease, Death::BeforeDelivery, Death::AfterDelivery];

/// A task in a worker's hand.
#[derive(Debug)]
enum Task {
    Workflow(WorkflowTask),
    Activity(ActivityTask),
}

impl Task {
    fn of(reply: Reply) -> Task {
        match reply {
            Reply::WorkflowTask(task) => Task::Workflow(*task),
            Reply::ActivityTask(task) => Task::Activity(*task),
            other => panic!("{other:?}"),
        }
    }

    fn token(&self) -> &[u8] {
        match self {
            Task::Workflow(task) => &task.response.task_token,
            Task::Activity(task) => &task.response.task_token,
        }
    }

    fn attempt(&self) -> i32 {
        match self {
            Task::Workflow(task) => task.response.attempt,
            Task::Activity(task) => task.response.attempt,
        }
    }

    fn completion(&self) -> Ask {
        match self {
            Task::Workflow(task) => asks::complete(task, vec![], None),
            Task::Activity(task) => asks::complete_activity(task),
        }
    }

    async fn complete(&self, handle: &Handle) -> Result<(), Error> {
        ask(handle, self.completion()).await.map(drop)
    }
}

struct World {
    disk: GateDisk,
    clock: ManualClock,
    seed: u64,
}

impl World {
    fn open(&self) -> (Handle, NodeGuard) {
        let options = NodeOptions {
            clock: Box::new(self.clock.clone()),
            limits: asks::small_queues(),
            on_failure: Arc::new(|_| {}),
            ..options()
        };
        Node::open_on(self.disk.clone(), options).unwrap()
    }

    /// The node dies, with whatever loss; or the process does.
    async fn restart(&mut self, guard: NodeGuard) -> (Handle, NodeGuard) {
        let disk = match self.seed % 5 {
            4 => self.disk.disk.restart(),
            loss => self.disk.disk.crash(Loss::ALL[loss as usize], self.seed),
        };
        guard.stop().await;
        self.disk = GateDisk::new(disk);
        self.open()
    }

    fn advance(&self, handle: &Handle, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        handle.wake();
    }
}

fn poll(kind: Kind) -> Ask {
    match kind {
        Kind::Workflow => poll_on(QUEUE),
        Kind::Sticky => poll_on(STICKY),
        Kind::Activity | Kind::ActivityOnce => asks::poll_activity(),
    }
}

/// What is there before the task: nothing; a worker with a cache, whose poll is known; a workflow
/// task in hand that will ask for the activity.
async fn prepare(handle: &Handle, kind: Kind) -> Option<WorkflowTask> {
    if kind == Kind::Workflow {
        return None;
    }
    ask(handle, asks::start("w", "start")).await.unwrap();
    let task = asks::workflow_task(handle, poll_on(QUEUE)).await;
    if kind == Kind::Sticky {
        ask(handle, asks::complete(&task, vec![], Some(STICKY))).await.unwrap();
        return None;
    }
    Some(task)
}

/// What brings the task about.
fn cause(kind: Kind, task: Option<&WorkflowTask>) -> Ask {
    let mut commands = vec![activity("a", "a", QUEUE, 1.into())];
    if let (Kind::ActivityOnce, Do::ScheduleActivityTaskCommandAttributes(a)) =
        (kind, &mut commands[0])
    {
        a.retry_policy = Some(RetryPolicy { maximum_attempts: 1, ..Default::default() });
    }
    match (kind, task) {
        (Kind::Workflow, _) => asks::start("w", "start"),
        (Kind::Sticky, _) => asks::signal("w", "signal"),
        (_, Some(task)) => asks::complete(task, commands, None),
        (_, None) => panic!("an activity needs a workflow task"),
    }
}

/// Brings a task and a poller together, and has the poller die. Gives the task if it was seen.
async fn die(world: &World, handle: &Handle, kind: Kind, death: Death) -> Option<Task> {
    let before = prepare(handle, kind).await;
    let poller = send(handle, "poll", poll(kind));
    asks::others_decided(handle).await;
    let hold = (death == Death::BeforeRelease).then(|| world.disk.hold());
    let cause = send(handle, "cause", cause(kind, before.as_ref()));
    asks::others_decided(handle).await;
    match death {
        Death::BeforeRelease => {
            drop(poller);
            drop(hold);
            cause.answer().await.unwrap();
            None
        }
        Death::BeforeDelivery => {
            cause.answer().await.unwrap();
            drop(poller);
            None
        }
        Death::AfterDelivery => {
            cause.answer().await.unwrap();
            Some(Task::of(poller.answer().await.unwrap()))
        }
    }
}

async fn next(handle: &Handle, kind: Kind) -> Task {
    Task::of(ask(handle, poll(kind)).await.unwrap())
}

/// Nobody gets a task now.
async fn nothing(handle: &Handle, kind: Kind, context: &str) -> Asked<Reply> {
    let mut poller = send(handle, context, poll(kind));
    asks::others_decided(handle).await;
    poller.assert_waits();
    poller
}

#[track_caller]
fn assert_gone(answer: Result<(), Error>, context: &str) {
    assert!(matches!(answer, Err(Error::Workflows(Refusal::NotFound(_)))), "{context}: {answer:?}");
}

#[tokio::test]
async fn a_task_goes_to_the_next_poller() {
    let mut seed = 0;
    for kind in KINDS {
        for death in DEATHS {
            for restart in [false, true] {
                // All kinds of loss, if anything can be lost; and both queues of a sticky task.
                for _ in 0..if restart { 5 } else { 2 } {
                    seed += 1;
                    let context = format!("{kind:?} {death:?} restart={restart} seed={seed}");
                    hand_over(seed, kind, death, restart, &context).await;
                }
            }
        }
    }
}

async fn hand_over(seed: u64, kind: Kind, death: Death, restart: bool, context: &str) {
    let disk = GateDisk::new(SimDisk::new(seed));
    let mut world = World { disk, clock: ManualClock::new(NOON), seed };
    let (mut handle, mut guard) = world.open();
    let held = die(&world, &handle, kind, death).await;
    if restart {
        (handle, guard) = world.restart(guard).await;
    }
    // The node cannot know after a restart that a worker has the task, and at most once is at
    // most once.
    let comes_at_once = match (kind, restart) {
        (Kind::ActivityOnce, true) => false,
        (_, true) => true,
        (_, false) => death != Death::AfterDelivery,
    };
    if !comes_at_once {
        return after_its_timeout(&world, handle, guard, kind, held, context).await;
    }
    // A sticky task goes to the worker's own queue or to the others, whoever comes first.
    let from = if kind == Kind::Sticky && seed.is_multiple_of(2) { Kind::Workflow } else { kind };
    let task = next(&handle, from).await;
    assert_eq!(task.attempt(), 1, "{context}: no attempt was lost");
    if let Task::Workflow(task) = &task {
        let first = task.history.batches[0].first_event_id;
        assert_eq!(first > 1, from == Kind::Sticky, "{context}: history from {first}");
    }
    if let Some(held) = &held {
        assert_eq!(task.token(), held.token(), "{context}: the same task");
        // Both can complete it, the first one does.
        held.complete(&handle).await.unwrap();
        assert_gone(task.complete(&handle).await, context);
    } else {
        task.complete(&handle).await.unwrap();
        assert_gone(task.complete(&handle).await, context);
    }
    guard.stop().await;
}

/// Its worker has died with it: it comes again when its time is up, and the old token is worth
/// nothing any more.
async fn after_its_timeout(
    world: &World,
    handle: Handle,
    guard: NodeGuard,
    kind: Kind,
    held: Option<Task>,
    context: &str,
) {
    let poller = nothing(&handle, kind, context).await;
    drop(poller);
    world.advance(&handle, 61);
    if kind == Kind::ActivityOnce {
        // It is not tried again; the workflow is told.
        let task = asks::workflow_task(&handle, poll_on(QUEUE)).await;
        ask(&handle, asks::complete(&task, vec![], None)).await.unwrap();
    } else {
        // The first retry waits for a second.
        asks::others_decided(&handle).await;
        world.advance(&handle, 2);
        // A sticky worker that does not answer loses its workflow to the others.
        let from = if kind == Kind::Sticky { Kind::Workflow } else { kind };
        let task = next(&handle, from).await;
        if let Some(held) = &held {
            assert_ne!(task.token(), held.token(), "{context}: another attempt");
            assert_gone(held.complete(&handle).await, context);
        }
        task.complete(&handle).await.unwrap();
    }
    if let Some(held) = held {
        assert_gone(held.complete(&handle).await, context);
    }
    guard.stop().await;
}

/// A heartbeat says that a worker has the task: after a restart it stays there until its time is
/// up, and the worker completes it.
#[tokio::test]
async fn a_task_that_beats_stays_with_its_worker() {
    for seed in 0..5 {
        let disk = GateDisk::new(SimDisk::new(seed));
        let mut world = World { disk, clock: ManualClock::new(NOON), seed };
        let (handle, guard) = world.open();
        let held = die(&world, &handle, Kind::Activity, Death::AfterDelivery).await.unwrap();
        let Task::Activity(beating) = &held else { panic!("{held:?}") };
        ask(&handle, asks::heartbeat(beating)).await.unwrap();
        let (handle, guard) = world.restart(guard).await;
        drop(nothing(&handle, Kind::Activity, "beating").await);
        ask(&handle, asks::heartbeat(beating)).await.unwrap();
        held.complete(&handle).await.unwrap();
        guard.stop().await;
    }
}

/// An attempt that failed before a restart is tried again when its backoff is over, not before,
/// and once.
#[tokio::test]
async fn an_activity_in_backoff_comes_back_after_a_restart() {
    for seed in 0..5 {
        let disk = GateDisk::new(SimDisk::new(seed));
        let mut world = World { disk, clock: ManualClock::new(NOON), seed };
        let (handle, guard) = world.open();
        let held = die(&world, &handle, Kind::Activity, Death::AfterDelivery).await.unwrap();
        let Task::Activity(failing) = &held else { panic!("{held:?}") };
        ask(&handle, asks::fail_activity(failing)).await.unwrap();
        let (handle, guard) = world.restart(guard).await;
        assert_gone(held.complete(&handle).await, "the old attempt");
        let mut poller = nothing(&handle, Kind::Activity, "backoff").await;
        world.advance(&handle, 2);
        asks::others_decided(&handle).await;
        let task = Task::of(poller.answer().await.unwrap());
        assert_eq!(task.attempt(), 2);
        poller = nothing(&handle, Kind::Activity, "once").await;
        task.complete(&handle).await.unwrap();
        drop(poller);
        guard.stop().await;
    }
}
