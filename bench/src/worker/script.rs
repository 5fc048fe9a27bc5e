//! What the thin worker's workflows do: a pure function from the events of a run to the next commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
};
use temporalio_common::protos::temporal::api::common::v1::{ActivityType, Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::{CommandType, EventType};
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes as Happened;

use crate::worker::rpc;

/// The workflow of three activities.
pub(crate) const STEPS: &str = "Steps";
/// Its activities, one after the other.
pub(crate) const ACTIVITIES: [&str; 3] = ["reserve", "charge", "ship"];
/// What an attempt of an activity may take.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The workflow that counts signals.
pub(crate) const MAILBOX: &str = "Mailbox";
/// The signal that it counts; its argument is the signal's number.
pub(crate) const DELIVER: &str = "deliver";
/// Signals that one run handles before it continues as new.
pub(crate) const SIGNALS_PER_RUN: u64 = 500;

/// What each workflow and each of its activities is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    order: String,
    customer: String,
    amount_cents: u64,
}

impl Order {
    /// One of many that look alike.
    pub(crate) fn numbered(number: u64) -> Order {
        let (order, customer) = (format!("order-{number}"), format!("customer-{}", number % 100));
        Order { order, customer, amount_cents: 1_999 }
    }
}

/// A workflow as the thin worker knows it.
pub(crate) trait Script: Send + Sync + 'static {
    /// What it remembers of a run.
    type Run: Default + Send;

    /// Takes note of one event; each comes once, in order.
    fn see(&self, run: &mut Self::Run, event: HistoryEvent);

    /// What comes next, now that all events have been seen.
    fn decide(&self, run: &Self::Run, queue: &str) -> Vec<Command>;

    /// The server has accepted the last decision.
    fn settled(&self, run: &mut Self::Run);
}

/// Runs [`ACTIVITIES`], one after the other.
pub(crate) struct Steps {
    /// Whether activities may come back with the answer that schedules them.
    pub(crate) eager: bool,
}

/// How far a run of [`Steps`] is.
#[derive(Default)]
pub(crate) struct Progress {
    scheduled: usize,
    completed: usize,
    broken: bool,
    input: Payloads,
}

impl Script for Steps {
    type Run = Progress;

    fn see(&self, run: &mut Progress, event: HistoryEvent) {
        match event.event_type() {
            EventType::ActivityTaskScheduled => run.scheduled += 1,
            EventType::ActivityTaskCompleted => run.completed += 1,
            EventType::ActivityTaskFailed | EventType::ActivityTaskTimedOut => run.broken = true,
            EventType::WorkflowExecutionStarted => {
                if let Some(Happened::WorkflowExecutionStartedEventAttributes(started)) =
                    event.attributes
                {
                    run.input = started.input.unwrap_or_default();
                }
            }
            _ => {}
        }
    }

    fn decide(&self, run: &Progress, queue: &str) -> Vec<Command> {
        if run.broken {
            return vec![fail("an activity did not complete")];
        }
        if run.completed < run.scheduled {
            return Vec::new();
        }
        vec![match ACTIVITIES.get(run.completed) {
            Some(name) => schedule(name, run, queue, self.eager),
            None => complete(run.input.clone()),
        }]
    }

    fn settled(&self, _: &mut Progress) {}
}

/// Counts signals, and continues as new after [`SIGNALS_PER_RUN`] of them.
pub(crate) struct Mailbox {
    /// Where what was handled is counted.
    pub(crate) tally: Arc<Tally>,
}

/// The signals of a run of [`Mailbox`].
#[derive(Default)]
pub(crate) struct Letters {
    seen: u64,
    /// Not known yet to be settled.
    new: Vec<u64>,
}

impl Script for Mailbox {
    type Run = Letters;

    fn see(&self, run: &mut Letters, event: HistoryEvent) {
        if let Some(Happened::WorkflowExecutionSignaledEventAttributes(signal)) = event.attributes {
            run.seen += 1;
            let payload = signal.input.unwrap_or_default().payloads.into_iter().next();
            run.new.extend(payload.and_then(|it| serde_json::from_slice::<u64>(&it.data).ok()));
        }
    }

    fn decide(&self, run: &Letters, queue: &str) -> Vec<Command> {
        if run.seen < SIGNALS_PER_RUN {
            return Vec::new();
        }
        let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
            workflow_type: Some(WorkflowType { name: MAILBOX.to_owned() }),
            task_queue: Some(rpc::queue(queue)),
            input: Some(rpc::json(&run.seen)),
            ..Default::default()
        };
        vec![command(
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes),
        )]
    }

    fn settled(&self, run: &mut Letters) {
        run.new.drain(..).for_each(|number| self.tally.handled(number));
    }
}

/// Which signals have been handled: each counts once, however often its run is replayed.
pub(crate) struct Tally {
    bits: Vec<AtomicU64>,
    count: AtomicU64,
}

impl Tally {
    /// For signals with numbers below `limit`.
    pub(crate) fn new(limit: u64) -> Tally {
        let bits = (0..limit.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Tally { bits, count: AtomicU64::new(0) }
    }

    /// Takes note of a signal.
    pub(crate) fn handled(&self, number: u64) {
        let bit = 1 << (number % 64);
        let word = usize::try_from(number / 64).ok().and_then(|at| self.bits.get(at));
        if word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many different ones have been handled.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

fn schedule(name: &str, run: &Progress, queue: &str, eager: bool) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: (run.scheduled + 1).to_string(),
        activity_type: Some(ActivityType { name: name.to_owned() }),
        task_queue: Some(rpc::queue(queue)),
        input: Some(run.input.clone()),
        start_to_close_timeout: ATTEMPT_TIMEOUT.try_into().ok(),
        request_eager_execution: eager,
        ..Default::default()
    };
    command(
        CommandType::ScheduleActivityTask,
        Attributes::ScheduleActivityTaskCommandAttributes(attributes),
    )
}

fn complete(result: Payloads) -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes { result: Some(result) };
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(attributes),
    )
}

fn fail(why: &str) -> Command {
    let failure = Failure { message: why.to_owned(), ..Default::default() };
    let attributes = FailWorkflowExecutionCommandAttributes { failure: Some(failure) };
    command(
        CommandType::FailWorkflowExecution,
        Attributes::FailWorkflowExecutionCommandAttributes(attributes),
    )
}

fn command(command_type: CommandType, attributes: Attributes) -> Command {
    Command {
        command_type: command_type as i32,
        attributes: Some(attributes),
        ..Default::default()
    }
}

/// Whether a run is over with these commands.
pub(crate) fn ends(commands: &[Command]) -> bool {
    commands.iter().any(|command| {
        matches!(
            command.command_type(),
            CommandType::CompleteWorkflowExecution
                | CommandType::FailWorkflowExecution
                | CommandType::ContinueAsNewWorkflowExecution
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: EventType) -> HistoryEvent {
        HistoryEvent { event_type: event_type as i32, ..Default::default() }
    }

    #[test]
    fn one_activity_after_the_other_and_then_the_end() {
        let steps = Steps { eager: true };
        let mut run = Progress::default();
        for name in ACTIVITIES {
            let commands = steps.decide(&run, "queue");
            let Some(Attributes::ScheduleActivityTaskCommandAttributes(scheduled)) =
                commands[0].attributes.clone()
            else {
                panic!("{commands:?}");
            };
            assert_eq!(scheduled.activity_type.unwrap().name, name);
            steps.see(&mut run, event(EventType::ActivityTaskScheduled));
            assert!(steps.decide(&run, "queue").is_empty(), "scheduled once");
            steps.see(&mut run, event(EventType::ActivityTaskCompleted));
        }
        assert!(ends(&steps.decide(&run, "queue")));
    }

    #[test]
    fn a_signal_counts_once() {
        let tally = Tally::new(100);
        [3, 64, 3, 99, 1_000].into_iter().for_each(|number| tally.handled(number));
        assert_eq!(tally.count(), 3);
    }
}
