//! Commands of a completed workflow task, turned into events.

use crate::activity;
use crate::limits::Limits;
use crate::matching::RESERVED_QUEUE;
use crate::proto::{Attributes, HistoryEvent, command, common, enums, history, positive};
use crate::run::{RunState, fires_timer};
use crate::transaction::Transaction;
use command::command::Attributes as Command;
use enums::WorkflowTaskFailedCause as Cause;
use std::sync::Arc;

/// A command that fails its workflow task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BadCommand {
    pub(crate) cause: Cause,
    pub(crate) message: String,
}

impl BadCommand {
    fn new(cause: Cause, message: impl Into<String>) -> BadCommand {
        BadCommand { cause, message: message.into() }
    }

    /// What the worker is told: SDKs match on the cause's name.
    pub(crate) fn text(&self) -> String {
        match self.message.as_str() {
            "" => format!("{:?}", self.cause),
            message => format!("{:?}: {message}", self.cause),
        }
    }
}

/// The run that follows one that was closed by a command.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) run: base::RunId,
    pub(crate) started: Box<history::WorkflowExecutionStartedEventAttributes>,
    /// Signals that had not reached the closed run.
    pub(crate) signals: Vec<Arc<HistoryEvent>>,
}

/// What the commands of one task amount to, beside events.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) successor: Option<Successor>,
    /// Scheduled event ids of activities that the same worker will take at once.
    pub(crate) eager: Vec<i64>,
}

/// Carries out commands until one closes the run or is bad.
pub(crate) fn run_all(
    tx: &mut Transaction<'_, '_, '_>,
    commands: &[command::Command],
    completed_event_id: i64,
) -> Result<Effects, BadCommand> {
    let mut effects = Effects::default();
    for command in commands {
        run_one(tx, command, completed_event_id, &mut effects)?;
        if !tx.run.is_running() {
            break;
        }
    }
    Ok(effects)
}

fn run_one(
    tx: &mut Transaction<'_, '_, '_>,
    command: &command::Command,
    completed: i64,
    effects: &mut Effects,
) -> Result<(), BadCommand> {
    let like = HistoryEvent {
        user_metadata: command.user_metadata.clone(),
        event_group_markers: command.event_group_markers.clone(),
        ..HistoryEvent::default()
    };
    let Some(attributes) = &command.attributes else {
        return Err(without_attributes(command));
    };
    match attributes {
        Command::ScheduleActivityTaskCommandAttributes(a) => {
            let id = schedule_activity(tx, a, completed, like)?;
            if a.request_eager_execution && !is_reserved(a) {
                effects.eager.push(id);
            }
        }
        Command::RequestCancelActivityTaskCommandAttributes(a) => {
            cancel_activity(tx, a, completed, like)?;
        }
        Command::StartTimerCommandAttributes(a) => start_timer(tx, a, completed, like)?,
        Command::CancelTimerCommandAttributes(a) => cancel_timer(tx, a, completed, like)?,
        Command::RecordMarkerCommandAttributes(a) => record_marker(tx, a, completed, like)?,
        Command::UpsertWorkflowSearchAttributesCommandAttributes(a) => {
            upsert_search_attributes(tx, a, completed, like)?;
        }
        Command::ModifyWorkflowPropertiesCommandAttributes(a) => {
            modify_properties(tx, a, completed, like)?;
        }
        Command::CompleteWorkflowExecutionCommandAttributes(a) => {
            complete_workflow(tx, a, completed, like)?;
        }
        Command::FailWorkflowExecutionCommandAttributes(a) => {
            effects.successor = fail_workflow(tx, a, completed, like)?;
        }
        Command::CancelWorkflowExecutionCommandAttributes(a) => {
            cancel_workflow(tx, a, completed, like)?;
        }
        Command::ContinueAsNewWorkflowExecutionCommandAttributes(a) => {
            effects.successor = Some(continue_as_new(tx, a, completed, like)?);
        }
        other => return Err(not_supported(other)),
    }
    Ok(())
}

/// Commands of features that are not there yet fail their task with the cause that names them.
fn not_supported(attributes: &Command) -> BadCommand {
    let (cause, what) = match attributes {
        Command::StartChildWorkflowExecutionCommandAttributes(_) => {
            (Cause::BadStartChildExecutionAttributes, "child workflows")
        }
        Command::SignalExternalWorkflowExecutionCommandAttributes(_) => {
            (Cause::BadSignalWorkflowExecutionAttributes, "signals to other workflows")
        }
        Command::RequestCancelExternalWorkflowExecutionCommandAttributes(_) => (
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes,
            "cancellation of other workflows",
        ),
        Command::ProtocolMessageCommandAttributes(_) => {
            (Cause::BadUpdateWorkflowExecutionMessage, "updates")
        }
        Command::RequestCancelNexusOperationCommandAttributes(_) => {
            (Cause::BadRequestCancelNexusOperationAttributes, "Nexus operations")
        }
        _ => (Cause::BadScheduleNexusOperationAttributes, "Nexus operations"),
    };
    BadCommand::new(cause, format!("{what} are not implemented by this server"))
}

fn without_attributes(command: &command::Command) -> BadCommand {
    use enums::CommandType as T;
    let cause = match command.command_type() {
        T::ScheduleActivityTask => Cause::BadScheduleActivityAttributes,
        T::RequestCancelActivityTask => Cause::BadRequestCancelActivityAttributes,
        T::StartTimer => Cause::BadStartTimerAttributes,
        T::CancelTimer => Cause::BadCancelTimerAttributes,
        T::CompleteWorkflowExecution => Cause::BadCompleteWorkflowExecutionAttributes,
        T::FailWorkflowExecution => Cause::BadFailWorkflowExecutionAttributes,
        T::CancelWorkflowExecution => Cause::BadCancelWorkflowExecutionAttributes,
        T::RecordMarker => Cause::BadRecordMarkerAttributes,
        T::ContinueAsNewWorkflowExecution => Cause::BadContinueAsNewAttributes,
        T::UpsertWorkflowSearchAttributes => Cause::BadSearchAttributes,
        T::ModifyWorkflowProperties => Cause::BadModifyWorkflowPropertiesAttributes,
        T::StartChildWorkflowExecution => Cause::BadStartChildExecutionAttributes,
        T::SignalExternalWorkflowExecution => Cause::BadSignalWorkflowExecutionAttributes,
        T::RequestCancelExternalWorkflowExecution => {
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes
        }
        T::ProtocolMessage => Cause::BadUpdateWorkflowExecutionMessage,
        T::ScheduleNexusOperation => Cause::BadScheduleNexusOperationAttributes,
        T::RequestCancelNexusOperation => Cause::BadRequestCancelNexusOperationAttributes,
        _ => Cause::Unspecified,
    };
    BadCommand::new(cause, "the command has no attributes")
}

fn schedule_activity(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::ScheduleActivityTaskCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<i64, BadCommand> {
    let bad = |message: String| BadCommand::new(Cause::BadScheduleActivityAttributes, message);
    let limits = tx.planner.limits;
    check_id(&a.activity_id, "ActivityId", limits).map_err(bad)?;
    let kind = a.activity_type.as_ref().map_or("", |kind| kind.name.as_str());
    check_id(kind, "ActivityType", limits).map_err(bad)?;
    let queue = activity_queue(&tx.run, a);
    check_id(&queue.name, "TaskQueue", limits).map_err(bad)?;
    if let Some(policy) = &a.retry_policy {
        activity::check_policy(policy).map_err(bad)?;
    }
    if tx.run.activity_by_id(&a.activity_id).is_some() {
        return Err(BadCommand::new(Cause::ScheduleActivityDuplicateId, ""));
    }
    if tx.run.activities.len() >= limits.pending_activities_count {
        let text = format!("{} activities are pending", tx.run.activities.len());
        return Err(BadCommand::new(Cause::PendingActivitiesLimitExceeded, text));
    }
    let mut event = history::ActivityTaskScheduledEventAttributes {
        activity_id: a.activity_id.clone(),
        activity_type: a.activity_type.clone(),
        task_queue: Some(queue),
        header: a.header.clone(),
        input: a.input.clone(),
        schedule_to_close_timeout: a.schedule_to_close_timeout,
        schedule_to_start_timeout: a.schedule_to_start_timeout,
        start_to_close_timeout: a.start_to_close_timeout,
        heartbeat_timeout: a.heartbeat_timeout,
        workflow_task_completed_event_id: completed,
        retry_policy: a.retry_policy.clone(),
        use_workflow_build_id: a.use_workflow_build_id,
        priority: a.priority.clone(),
    };
    activity::normalise(&mut event, positive(tx.run.started.workflow_run_timeout.as_ref()))
        .map_err(bad)?;
    let id = tx.event_like(Attributes::ActivityTaskScheduledEventAttributes(event), like);
    tx.activity_ready(id);
    Ok(id)
}

/// The node alone takes what is on its queue.
pub(crate) fn is_reserved(a: &command::ScheduleActivityTaskCommandAttributes) -> bool {
    a.task_queue.as_ref().is_some_and(|queue| queue.name == RESERVED_QUEUE)
}

/// An activity without a queue of its own goes to the workflow's.
fn activity_queue(
    run: &RunState,
    a: &command::ScheduleActivityTaskCommandAttributes,
) -> crate::proto::taskqueue::TaskQueue {
    let named = a.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
    crate::proto::normal_queue(if named.is_empty() { run.task_queue() } else { named })
}

fn check_id(id: &str, what: &str, limits: &Limits) -> Result<(), String> {
    if id.is_empty() {
        return Err(format!("{what} is not set on command."));
    }
    if id.len() > limits.id_length_bytes {
        return Err(format!("{what} exceeds {} bytes.", limits.id_length_bytes));
    }
    Ok(())
}

fn cancel_activity(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::RequestCancelActivityTaskCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    let scheduled_event_id = a.scheduled_event_id;
    if scheduled_event_id <= 0 || scheduled_event_id >= tx.run.next_event_id {
        let text = format!("no activity was scheduled by event {scheduled_event_id}");
        return Err(BadCommand::new(Cause::BadRequestCancelActivityAttributes, text));
    }
    let requested = tx.event_like(
        Attributes::ActivityTaskCancelRequestedEventAttributes(
            history::ActivityTaskCancelRequestedEventAttributes {
                scheduled_event_id,
                workflow_task_completed_event_id: completed,
            },
        ),
        like,
    );
    let unstarted = tx.run.activities.get(&scheduled_event_id).is_some_and(|a| !a.is_started());
    if unstarted {
        tx.close_activity(
            scheduled_event_id,
            Attributes::ActivityTaskCanceledEventAttributes(
                history::ActivityTaskCanceledEventAttributes {
                    details: Some(json_text("ACTIVITY_ID_NOT_STARTED")),
                    latest_cancel_requested_event_id: requested,
                    scheduled_event_id,
                    ..Default::default()
                },
            ),
        );
    }
    Ok(())
}

fn json_text(text: &str) -> common::Payloads {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    let data = format!("\"{text}\"").into_bytes();
    common::Payloads { payloads: vec![common::Payload { metadata, data, ..Default::default() }] }
}

fn start_timer(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::StartTimerCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    let bad = |message: String| BadCommand::new(Cause::BadStartTimerAttributes, message);
    check_id(&a.timer_id, "TimerId", tx.planner.limits).map_err(bad)?;
    if positive(a.start_to_fire_timeout.as_ref()).is_none() {
        return Err(bad("A valid StartToFireTimeout is not set on command.".into()));
    }
    let fired = tx.run.buffered.iter().any(|event| fires_timer(event, &a.timer_id));
    if tx.run.timers.contains_key(a.timer_id.as_str()) || fired {
        return Err(BadCommand::new(Cause::StartTimerDuplicateId, ""));
    }
    tx.event_like(
        Attributes::TimerStartedEventAttributes(history::TimerStartedEventAttributes {
            timer_id: a.timer_id.clone(),
            start_to_fire_timeout: a.start_to_fire_timeout,
            workflow_task_completed_event_id: completed,
        }),
        like,
    );
    Ok(())
}

fn cancel_timer(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::CancelTimerCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    let running = tx.run.timers.get(a.timer_id.as_str()).map(|timer| timer.started_event_id);
    let fired = tx.run.buffered.iter().find_map(|event| match &event.attributes {
        Some(Attributes::TimerFiredEventAttributes(f)) if f.timer_id == a.timer_id => {
            Some(f.started_event_id)
        }
        _ => None,
    });
    let Some(started_event_id) = running.or(fired) else {
        let text = format!("no timer {:?} is running", a.timer_id);
        return Err(BadCommand::new(Cause::BadCancelTimerAttributes, text));
    };
    let identity = tx.run.started.identity.clone();
    tx.event_like(
        Attributes::TimerCanceledEventAttributes(history::TimerCanceledEventAttributes {
            timer_id: a.timer_id.clone(),
            started_event_id,
            workflow_task_completed_event_id: completed,
            identity,
        }),
        like,
    );
    Ok(())
}

fn record_marker(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::RecordMarkerCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    check_id(&a.marker_name, "MarkerName", tx.planner.limits)
        .map_err(|text| BadCommand::new(Cause::BadRecordMarkerAttributes, text))?;
    tx.event_like(
        Attributes::MarkerRecordedEventAttributes(history::MarkerRecordedEventAttributes {
            marker_name: a.marker_name.clone(),
            details: a.details.clone(),
            workflow_task_completed_event_id: completed,
            header: a.header.clone(),
            failure: a.failure.clone(),
        }),
        like,
    );
    Ok(())
}

fn upsert_search_attributes(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::UpsertWorkflowSearchAttributesCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    let Some(attributes) = a.search_attributes.clone() else {
        let text = "SearchAttributes is not set on command.";
        return Err(BadCommand::new(Cause::BadSearchAttributes, text));
    };
    tx.event_like(
        Attributes::UpsertWorkflowSearchAttributesEventAttributes(
            history::UpsertWorkflowSearchAttributesEventAttributes {
                workflow_task_completed_event_id: completed,
                search_attributes: Some(attributes),
            },
        ),
        like,
    );
    Ok(())
}

fn modify_properties(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::ModifyWorkflowPropertiesCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    let Some(memo) = a.upserted_memo.clone() else {
        let text = "UpsertedMemo is not set on command.";
        return Err(BadCommand::new(Cause::BadModifyWorkflowPropertiesAttributes, text));
    };
    tx.event_like(
        Attributes::WorkflowPropertiesModifiedEventAttributes(
            history::WorkflowPropertiesModifiedEventAttributes {
                workflow_task_completed_event_id: completed,
                upserted_memo: Some(memo),
            },
        ),
        like,
    );
    Ok(())
}

/// A run must not be closed over events that its worker has not seen.
fn nothing_unseen(run: &RunState) -> Result<(), BadCommand> {
    if run.buffered.is_empty() {
        return Ok(());
    }
    Err(BadCommand::new(Cause::UnhandledCommand, ""))
}

fn complete_workflow(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::CompleteWorkflowExecutionCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    nothing_unseen(&tx.run)?;
    tx.event_like(
        Attributes::WorkflowExecutionCompletedEventAttributes(
            history::WorkflowExecutionCompletedEventAttributes {
                result: a.result.clone(),
                workflow_task_completed_event_id: completed,
                new_execution_run_id: String::new(),
            },
        ),
        like,
    );
    Ok(())
}

fn cancel_workflow(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::CancelWorkflowExecutionCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<(), BadCommand> {
    nothing_unseen(&tx.run)?;
    tx.event_like(
        Attributes::WorkflowExecutionCanceledEventAttributes(
            history::WorkflowExecutionCanceledEventAttributes {
                workflow_task_completed_event_id: completed,
                details: a.details.clone(),
            },
        ),
        like,
    );
    Ok(())
}

fn fail_workflow(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::FailWorkflowExecutionCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<Option<Successor>, BadCommand> {
    nothing_unseen(&tx.run)?;
    let Some(failure) = a.failure.clone() else {
        let text = "Failure is not set on command.";
        return Err(BadCommand::new(Cause::BadFailWorkflowExecutionAttributes, text));
    };
    let (retry_state, successor) = crate::successor::retry(tx, &failure);
    let new_run = successor.as_ref().map_or(String::new(), |next| next.run.to_string());
    tx.event_like(
        Attributes::WorkflowExecutionFailedEventAttributes(
            history::WorkflowExecutionFailedEventAttributes {
                failure: Some(failure),
                retry_state: retry_state as i32,
                workflow_task_completed_event_id: completed,
                new_execution_run_id: new_run,
            },
        ),
        like,
    );
    Ok(successor)
}

fn continue_as_new(
    tx: &mut Transaction<'_, '_, '_>,
    a: &command::ContinueAsNewWorkflowExecutionCommandAttributes,
    completed: i64,
    like: HistoryEvent,
) -> Result<Successor, BadCommand> {
    let bad = |message: String| BadCommand::new(Cause::BadContinueAsNewAttributes, message);
    if !a.cron_schedule.is_empty() {
        return Err(bad("cron schedules are not implemented by this server".into()));
    }
    if let Some(policy) = &a.retry_policy {
        activity::check_policy(policy).map_err(bad)?;
    }
    let kind = a.workflow_type.as_ref().map_or("", |kind| kind.name.as_str());
    let queue = a.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
    for (name, what) in [(kind, "WorkflowType"), (queue, "TaskQueue")] {
        if !name.is_empty() {
            check_id(name, what, tx.planner.limits).map_err(bad)?;
        }
    }
    if queue == RESERVED_QUEUE {
        return Err(bad("the task queue \"mainstay\" is reserved for activities".into()));
    }
    let asks_to_cancel = |event: &Arc<HistoryEvent>| {
        matches!(
            event.attributes,
            Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(_))
        )
    };
    if tx.run.buffered.iter().any(asks_to_cancel) {
        return Err(BadCommand::new(Cause::UnhandledCommand, ""));
    }
    let (successor, event) = crate::successor::continue_as_new(tx, a, completed);
    tx.event_like(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(event), like);
    Ok(successor)
}
