//! A timer, a signal, a result and a cancel request in one group of the journal, in every order;
//! the power is cut before the group is on disk, or the node dies between two of its entries. Each
//! is in history exactly once in the end, and whoever was answered was told the truth.

use crate::asks::{self, Asked, ask, poll_on, send};
use crate::gate::GateDisk;
use crate::support::{QUEUE, activity, count, history_at_close, options};
use base::{Lsn, Timestamp};
use journal::testing::{Loss, SimDisk};
use node::{CrashPoint, Error, Handle, LastWords, ManualClock, Node, NodeGuard, NodeOptions};
use std::sync::Arc;
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use workflows::{ActivityTask, Ask, Refusal, Reply, WorkflowTask};

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);

/// What happens together.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Thing {
    Timer,
    Signal,
    Result,
    Cancel,
}

const THINGS: [Thing; 4] = [Thing::Timer, Thing::Signal, Thing::Result, Thing::Cancel];

/// All orders of the four.
fn orders() -> Vec<Vec<Thing>> {
    let mut orders = vec![vec![]];
    for _ in THINGS {
        let longer = |order: Vec<Thing>| {
            let rest =
                THINGS.into_iter().filter(|thing| !order.contains(thing)).collect::<Vec<_>>();
            rest.into_iter().map(move |thing| [order.clone(), vec![thing]].concat())
        };
        orders = orders.into_iter().flat_map(longer).collect();
    }
    orders
}

/// The tasks that workers hold, over restarts of the node.
struct Tasks {
    activity: ActivityTask,
    /// What happens while it is with its worker is buffered.
    workflow: Option<WorkflowTask>,
}

fn open(
    disk: &GateDisk,
    clock: &ManualClock,
    crash_point: Option<CrashPoint>,
) -> (Handle, NodeGuard) {
    let options = NodeOptions {
        clock: Box::new(clock.clone()),
        limits: asks::small_queues(),
        crash_point,
        on_failure: Arc::new(|_| {}),
        ..options()
    };
    Node::open_on(disk.clone(), options).unwrap()
}

/// The last entry of `set_up`: birth, start, poll, completion, activity; and the busy worker's
/// signal and poll.
fn last(busy: bool) -> Lsn {
    Lsn(if busy { 7 } else { 5 })
}

/// A workflow that waits for all four.
async fn set_up(handle: &Handle, busy: bool) -> Tasks {
    ask(handle, asks::start("w", "start")).await.unwrap();
    let task = asks::workflow_task(handle, poll_on(QUEUE)).await;
    let timer = command::StartTimerCommandAttributes {
        timer_id: "t".into(),
        start_to_fire_timeout: asks::seconds(5),
    };
    let commands =
        vec![activity("a", "a", QUEUE, 1.into()), Do::StartTimerCommandAttributes(timer)];
    ask(handle, asks::complete(&task, commands, None)).await.unwrap();
    let activity = asks::activity_task(handle).await;
    let mut workflow = None;
    if busy {
        ask(handle, asks::signal("w", "first")).await.unwrap();
        workflow = Some(asks::workflow_task(handle, poll_on(QUEUE)).await);
    }
    Tasks { activity, workflow }
}

fn question(thing: Thing, tasks: &Tasks) -> Ask {
    match thing {
        Thing::Timer => Ask::Expire,
        Thing::Signal => asks::signal("w", "s"),
        Thing::Result => asks::complete_activity(&tasks.activity),
        Thing::Cancel => asks::cancel("w"),
    }
}

/// All four in this order, one after the other decided, none waited for.
async fn send_all(
    handle: &Handle,
    clock: &ManualClock,
    tasks: &Tasks,
    order: &[Thing],
) -> Vec<(Thing, Asked<Reply>)> {
    let mut sent = Vec::new();
    for thing in order {
        asks::others_decided(handle).await;
        if *thing == Thing::Timer {
            clock.advance(Duration::from_secs(5));
            handle.wake();
            // Time is served in each turn before requests; after two of them it has been.
            asks::others_decided(handle).await;
        } else {
            sent.push((*thing, send(handle, "one of four", question(*thing, tasks))));
        }
    }
    asks::others_decided(handle).await;
    sent
}

/// The callers ask again for what they have no answer to, the worker does its work, and all is on
/// record once.
async fn finish(handle: &Handle, tasks: &Tasks, unknown: &[Thing], context: &str) {
    for thing in unknown {
        match ask(handle, question(*thing, tasks)).await {
            // The result is there already.
            Ok(_) | Err(Error::Workflows(Refusal::NotFound(_))) => {}
            other => panic!("{context}: {other:?}"),
        }
    }
    handle.wake();
    let mut task = tasks.workflow.clone();
    for _ in 0..5 {
        let task = match task.take() {
            Some(task) => task,
            None => asks::workflow_task(handle, poll_on(QUEUE)).await,
        };
        let end = command::CompleteWorkflowExecutionCommandAttributes { result: None };
        let end = vec![Do::CompleteWorkflowExecutionCommandAttributes(end)];
        if ask(handle, asks::complete(&task, end, None)).await.is_ok() {
            return check(handle, context).await;
        }
    }
    panic!("{context}: the workflow does not end");
}

async fn check(handle: &Handle, context: &str) {
    let events = history_at_close(handle, "w").await.unwrap();
    let once = |what: &str, wanted: fn(&Attributes) -> bool| {
        assert_eq!(count(&events, wanted), 1, "{context}: {what} in {events:#?}");
    };
    once("timer", |a| matches!(a, Attributes::TimerFiredEventAttributes(_)));
    once("result", |a| matches!(a, Attributes::ActivityTaskCompletedEventAttributes(_)));
    once("cancel", |a| matches!(a, Attributes::WorkflowExecutionCancelRequestedEventAttributes(_)));
    once(
        "signal",
        |a| matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(s) if s.request_id == "s"),
    );
}

#[tokio::test]
async fn events_of_one_group_are_there_once_after_a_power_cut() {
    for (order, seed) in orders().into_iter().zip(0..) {
        for busy in [false, true] {
            let loss = Loss::ALL[seed as usize % Loss::ALL.len()];
            let context = format!("{order:?} busy={busy} {loss:?}");
            let (disk, clock) = (GateDisk::new(SimDisk::new(seed)), ManualClock::new(NOON));
            let (handle, guard) = open(&disk, &clock, None);
            let tasks = set_up(&handle, busy).await;
            let hold = disk.hold();
            let mut sent = send_all(&handle, &clock, &tasks, &order).await;
            sent.iter_mut().for_each(|(_, asked)| asked.assert_waits());
            let after = GateDisk::new(disk.disk.crash(loss, seed));
            disk.cut();
            drop(hold);
            for (_, asked) in sent {
                assert_eq!(asked.answer().await.unwrap_err(), Error::Stopping, "{context}");
            }
            guard.stop().await;
            let (handle, guard) = open(&after, &clock, None);
            let all = [Thing::Signal, Thing::Result, Thing::Cancel];
            finish(&handle, &tasks, &all, &context).await;
            guard.stop().await;
        }
    }
}

#[tokio::test]
async fn events_of_one_group_are_there_once_after_a_death_between_them() {
    for (order, seed) in orders().into_iter().zip(0..) {
        for (busy, entry) in [(false, 1), (true, 2), (true, 3)] {
            let last_words =
                [LastWords::Released, LastWords::Withheld][(seed + entry) as usize % 2];
            let context = format!("{order:?} busy={busy} entry {entry} {last_words:?}");
            let (disk, clock) = (GateDisk::new(SimDisk::new(seed)), ManualClock::new(NOON));
            let after = Lsn(last(busy).0 + entry);
            let (handle, guard) = open(&disk, &clock, Some(CrashPoint { after, last_words }));
            let tasks = set_up(&handle, busy).await;
            let mut sent = Vec::new();
            for thing in &order {
                if *thing == Thing::Timer {
                    clock.advance(Duration::from_secs(5));
                    handle.wake();
                } else {
                    sent.push((*thing, send(&handle, "one of four", question(*thing, &tasks))));
                }
            }
            handle.stopped().await;
            let mut unknown = Vec::new();
            for (thing, asked) in sent {
                match asked.answer().await {
                    Ok(_) => {}
                    Err(Error::Stopping) => unknown.push(thing),
                    other => panic!("{context}: {other:?}"),
                }
            }
            guard.stop().await;
            let loss = Loss::ALL[seed as usize % Loss::ALL.len()];
            let after = GateDisk::new(disk.disk.crash(loss, seed));
            let (handle, guard) = open(&after, &clock, None);
            finish(&handle, &tasks, &unknown, &context).await;
            guard.stop().await;
        }
    }
}
