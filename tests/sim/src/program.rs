//! The workflow that all simulated workers run: from a run's history to the commands that follow,
//! and nothing else; so any worker can go on where another has died.
//!
//! Every signal is a step, its kind drawn from the signal's id: an activity, a timer, a published
//! record, a timer that the end cancels, or nothing. All steps run side by side. A run that has
//! had enough signals continues as new; the signal "finish" ends it when its steps are done.

use crate::events::{PUBLISH, id_in, json as json_of};
use crate::random::Random;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::command::v1::*;
use temporalio_protos::temporal::api::common::v1::{ActivityType, Payload, Payloads, RetryPolicy};
use temporalio_protos::temporal::api::enums::v1::CommandType;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes as A;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;

/// Where all simulated workers listen.
pub const QUEUE: &str = "work";
/// The workflow's type.
pub const TYPE: &str = "steps";
/// The signal that is a step.
pub const STEP: &str = "step";
/// The signal that asks for the end.
pub const FINISH: &str = "finish";
/// Where published records go.
pub const OUTPUTS: &str = "outputs";

/// What the history says so far.
#[derive(Debug, Default)]
struct Seen {
    workflow_id: String,
    run_id: String,
    /// Ids of the events that ask for steps, and of the steps. A step may be asked for twice.
    steps: Vec<(i64, u64)>,
    once: bool,
    finish: bool,
    begun: BTreeSet<String>,
    done: BTreeSet<String>,
    /// Event id to step.
    scheduled: BTreeMap<i64, String>,
    running_timers: BTreeSet<String>,
}

/// What kind of step an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Activity,
    Timer,
    Publish,
    LongTimer,
    Nothing,
}

impl Step {
    fn of(id: u64) -> Step {
        match Random::new(id, "step").below(10) {
            0..4 => Step::Activity,
            4..6 => Step::Timer,
            6..8 => Step::Publish,
            8 => Step::LongTimer,
            _ => Step::Nothing,
        }
    }
}

/// The commands that follow from a history, if a run continues as new after so many signals (0:
/// never).
pub fn commands(events: &[HistoryEvent], signals_per_run: u64) -> Vec<Command> {
    let seen = Seen::of(events);
    let mut commands: Vec<Do> = seen.steps.iter().filter_map(|step| seen.begin(*step)).collect();
    if !commands.is_empty() || !seen.all_done() {
        return commands.into_iter().map(command).collect();
    }
    if seen.finish || seen.once {
        commands.extend(seen.running_timers.iter().map(|id| cancel_timer(id)));
        commands.push(Do::CompleteWorkflowExecutionCommandAttributes(Default::default()));
    } else if signals_per_run > 0 && seen.steps.len() as u64 >= signals_per_run {
        commands.extend(seen.running_timers.iter().map(|id| cancel_timer(id)));
        commands.push(continue_as_new());
    }
    commands.into_iter().map(command).collect()
}

impl Seen {
    fn of(events: &[HistoryEvent]) -> Seen {
        let mut seen = Seen::default();
        for event in events {
            seen.take_in(event);
        }
        seen
    }

    fn take_in(&mut self, event: &HistoryEvent) {
        let Some(attributes) = &event.attributes else { return };
        match attributes {
            A::WorkflowExecutionStartedEventAttributes(it) => {
                self.workflow_id.clone_from(&it.workflow_id);
                self.run_id.clone_from(&it.original_execution_run_id);
                let input = it.input.as_ref().and_then(|it| json_of(it.payloads.first()?));
                self.once = input.is_some_and(|it| it.get("once").is_some());
                if self.once {
                    self.add_step(event.event_id, id_in(it.input.as_ref()));
                }
            }
            A::WorkflowExecutionSignaledEventAttributes(it) if it.signal_name == FINISH => {
                self.finish = true;
            }
            A::WorkflowExecutionSignaledEventAttributes(it) => {
                self.add_step(event.event_id, id_in(it.input.as_ref()));
            }
            A::ActivityTaskScheduledEventAttributes(it) => {
                self.begin_at(event.event_id, &it.activity_id);
            }
            A::TimerStartedEventAttributes(it) => {
                self.begin_at(event.event_id, &it.timer_id);
                if it.timer_id.starts_with("LongTimer-") {
                    self.running_timers.insert(it.timer_id.clone());
                }
            }
            A::ActivityTaskCompletedEventAttributes(it) => self.end(it.scheduled_event_id),
            A::TimerFiredEventAttributes(it) => self.end(it.started_event_id),
            A::TimerCanceledEventAttributes(it) => self.end(it.started_event_id),
            _ => {}
        }
    }

    fn begin_at(&mut self, event_id: i64, id: &str) {
        self.begun.insert(id.to_owned());
        self.scheduled.insert(event_id, id.to_owned());
    }

    fn end(&mut self, event_id: i64) {
        if let Some(id) = self.scheduled.get(&event_id) {
            self.running_timers.remove(id);
            self.done.insert(id.clone());
        }
    }

    /// Long timers are not waited for.
    fn all_done(&self) -> bool {
        self.begun.iter().all(|id| self.done.contains(id) || id.starts_with("LongTimer-"))
    }

    fn add_step(&mut self, event_id: i64, id: Option<u64>) {
        self.steps.extend(id.map(|id| (event_id, id)));
    }

    /// The command that begins a step, if it is not begun.
    fn begin(&self, (event_id, id): (i64, u64)) -> Option<Do> {
        let step = Step::of(id);
        let name = format!("{step:?}-{event_id}");
        if self.begun.contains(&name) {
            return None;
        }
        match step {
            Step::Activity => Some(activity(name, id)),
            Step::Timer => Some(timer(name, Random::new(id, "ms").between(1, 3_000))),
            Step::Publish => Some(self.publish(name, event_id)),
            // Nothing but its end wakes a run that waits for this one.
            Step::LongTimer if self.finish || self.once => None,
            Step::LongTimer => Some(timer(name, 3_600_000)),
            Step::Nothing => None,
        }
    }

    fn publish(&self, name: String, event_id: i64) -> Do {
        // Unique in the whole simulation, and the same whoever decides it.
        let id = checker::digest(format!("{} {event_id}", self.run_id).as_bytes()) >> 12;
        publish(&self.workflow_id, name, id)
    }
}

fn activity(name: String, id: u64) -> Do {
    let random = Random::new(id, "activity");
    let heartbeat = random.percent(30).then(|| duration(1_000));
    Do::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
        activity_id: name,
        activity_type: Some(ActivityType { name: "work".to_owned() }),
        task_queue: queue(QUEUE),
        input: payloads(&json!({ "id": id })),
        start_to_close_timeout: Some(duration(5_000)),
        heartbeat_timeout: heartbeat,
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(duration(100)),
            backoff_coefficient: 2.0,
            maximum_interval: Some(duration(2_000)),
            ..Default::default()
        }),
        // In so many cases the worker may get it with the answer.
        request_eager_execution: false,
        ..Default::default()
    })
}

fn publish(workflow_id: &str, name: String, id: u64) -> Do {
    let argument = json!({ "topic": OUTPUTS, "key": workflow_id, "value": { "id": id } });
    Do::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
        activity_id: name,
        activity_type: Some(ActivityType { name: PUBLISH.to_owned() }),
        task_queue: queue("mainstay"),
        input: payloads(&argument),
        start_to_close_timeout: Some(duration(10_000)),
        ..Default::default()
    })
}

fn timer(name: String, ms: u64) -> Do {
    Do::StartTimerCommandAttributes(StartTimerCommandAttributes {
        timer_id: name,
        start_to_fire_timeout: Some(duration(ms)),
    })
}

fn cancel_timer(name: &str) -> Do {
    Do::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id: name.to_owned() })
}

fn continue_as_new() -> Do {
    Do::ContinueAsNewWorkflowExecutionCommandAttributes(
        ContinueAsNewWorkflowExecutionCommandAttributes {
            workflow_type: Some(workflow_type()),
            task_queue: queue(QUEUE),
            workflow_task_timeout: Some(duration(3_000)),
            ..Default::default()
        },
    )
}

fn command(attributes: Do) -> Command {
    let command_type = match &attributes {
        Do::ScheduleActivityTaskCommandAttributes(_) => CommandType::ScheduleActivityTask,
        Do::StartTimerCommandAttributes(_) => CommandType::StartTimer,
        Do::CancelTimerCommandAttributes(_) => CommandType::CancelTimer,
        Do::ContinueAsNewWorkflowExecutionCommandAttributes(_) => {
            CommandType::ContinueAsNewWorkflowExecution
        }
        _ => CommandType::CompleteWorkflowExecution,
    };
    Command {
        command_type: command_type.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}

/// The workflow's type, as requests name it.
pub fn workflow_type() -> temporalio_protos::temporal::api::common::v1::WorkflowType {
    temporalio_protos::temporal::api::common::v1::WorkflowType { name: TYPE.to_owned() }
}

/// A task queue, as requests name it.
pub fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue { name: name.to_owned(), ..Default::default() })
}

/// One JSON document as the only argument.
pub fn payloads(value: &serde_json::Value) -> Option<Payloads> {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    let data = value.to_string().into_bytes();
    Some(Payloads { payloads: vec![Payload { metadata, data, ..Default::default() }] })
}

/// So many milliseconds.
pub fn duration(ms: u64) -> prost_types::Duration {
    let (seconds, rest) = ((ms / 1_000) as i64, (ms % 1_000) as i32);
    prost_types::Duration { seconds, nanos: rest * 1_000_000 }
}
