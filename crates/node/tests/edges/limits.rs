//! One run that has more to write than fits into an entry of the journal: what happens to it goes
//! on in several entries, and the node's time does not stand still behind it.

use crate::asks::{self, ask, poll_on, seconds};
use crate::support::{self, QUEUE, activity, count, history_at_close, options};
use base::Timestamp;
use journal::testing::{Loss, SimDisk};
use node::{Handle, ManualClock, Node, NodeGuard, NodeOptions};
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use workflows::{ActivityTask, Ask, Reply};

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);
/// Of these, six fit into an entry.
const RESULT_BYTES: usize = 40 << 10;
const ACTIVITIES: usize = 10;

fn open(disk: &SimDisk, clock: &ManualClock) -> (Handle, NodeGuard) {
    let options = NodeOptions {
        clock: Box::new(clock.clone()),
        limits: asks::small_queues(),
        workflows: workflows::Limits {
            buffered_bytes: 2 * RESULT_BYTES,
            expired_bytes: RESULT_BYTES,
            ..Default::default()
        },
        ..options()
    };
    Node::open_on(disk.clone(), options).unwrap()
}

fn large() -> Option<Payloads> {
    support::payloads(vec![support::json("x".repeat(RESULT_BYTES).into())])
}

/// A workflow with activities that are all with workers.
async fn set_up(handle: &Handle, start_to_close_seconds: i64) -> Vec<ActivityTask> {
    ask(handle, asks::start("w", "start")).await.unwrap();
    let task = asks::workflow_task(handle, poll_on(QUEUE)).await;
    let schedule = |number: usize| {
        let mut schedule = activity(&format!("a{number}"), "a", QUEUE, 1.into());
        if let Do::ScheduleActivityTaskCommandAttributes(a) = &mut schedule {
            a.start_to_close_timeout = seconds(start_to_close_seconds);
        }
        schedule
    };
    let commands = (0..ACTIVITIES).map(schedule).collect();
    ask(handle, asks::complete(&task, commands, None)).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..ACTIVITIES {
        tasks.push(asks::activity_task(handle).await);
    }
    tasks
}

fn end() -> Vec<Do> {
    let end = command::CompleteWorkflowExecutionCommandAttributes { result: None };
    vec![Do::CompleteWorkflowExecutionCommandAttributes(end)]
}

#[tokio::test]
async fn results_that_wait_for_a_slow_worker_never_outgrow_an_entry() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(NOON));
    let (handle, guard) = open(&disk, &clock);
    let tasks = set_up(&handle, 60).await;
    ask(&handle, asks::signal("w", "wake")).await.unwrap();
    let slow = asks::workflow_task(&handle, poll_on(QUEUE)).await;
    for task in &tasks {
        let mut completion = asks::complete_activity(task);
        if let Ask::RespondActivityTaskCompleted(request) = &mut completion {
            request.result = large();
        }
        ask(&handle, completion).await.unwrap();
    }
    // The slow worker comes too late; the next one sees all results.
    assert!(ask(&handle, asks::complete(&slow, end(), None)).await.is_err());
    while ask(&handle, asks::describe("w")).await.is_ok_and(|reply| is_running(&reply)) {
        let task = asks::workflow_task(&handle, poll_on(QUEUE)).await;
        // Refused as long as there is something that it has not seen.
        drop(ask(&handle, asks::complete(&task, end(), None)).await);
    }
    let history = history_at_close(&handle, "w").await.unwrap();
    let results =
        count(&history, |a| matches!(a, Attributes::ActivityTaskCompletedEventAttributes(_)));
    assert_eq!(results, ACTIVITIES);
    guard.stop().await;
}

fn is_running(reply: &Reply) -> bool {
    use temporalio_protos::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
    match reply {
        Reply::DescribeWorkflowExecution(reply) => {
            reply.workflow_execution_info.as_ref().unwrap().status() == Status::Running
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn time_goes_on_behind_a_run_with_much_to_do() {
    for restarted in [false, true] {
        let (disk, clock) = (SimDisk::new(2), ManualClock::new(NOON));
        let (handle, guard) = open(&disk, &clock);
        // Another workflow with a timer that is due after all that.
        ask(&handle, asks::start("x", "start")).await.unwrap();
        let task = asks::workflow_task(&handle, poll_on(QUEUE)).await;
        let timer = command::StartTimerCommandAttributes {
            timer_id: "t".into(),
            start_to_fire_timeout: seconds(7),
        };
        let timer = vec![Do::StartTimerCommandAttributes(timer)];
        ask(&handle, asks::complete(&task, timer, None)).await.unwrap();
        for task in set_up(&handle, 5).await {
            let mut beat = asks::heartbeat(&task);
            if let Ask::RecordActivityTaskHeartbeat(request) = &mut beat {
                request.details = large();
            }
            ask(&handle, beat).await.unwrap();
        }
        let (handle, guard) = if restarted {
            let disk = disk.crash(Loss::Everything, 1);
            guard.stop().await;
            clock.advance(Duration::from_secs(8));
            open(&disk, &clock)
        } else {
            clock.advance(Duration::from_secs(8));
            handle.wake();
            (handle, guard)
        };
        // The timer has fired, so there is a task.
        let task = asks::workflow_task(&handle, poll_on(QUEUE)).await;
        assert_eq!(task.response.workflow_execution.unwrap().workflow_id, "x");
        // All attempts have timed out, and come back with what they had said.
        clock.advance(Duration::from_secs(2));
        handle.wake();
        for _ in 0..ACTIVITIES {
            let task = asks::activity_task(&handle).await;
            assert_eq!(task.response.attempt, 2);
            assert_eq!(task.response.heartbeat_details, large());
        }
        guard.stop().await;
    }
}
