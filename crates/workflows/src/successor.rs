//! The run after this one: continue-as-new and workflow retry.
//!
//! Both runs change in one entry. Signals that arrived while the last workflow task of the old
//! run was with its worker move to the new run (temporal#1289: elsewhere they fail the task).

use crate::activity::{self, Next};
use crate::command::Successor;
use crate::op::{Id, RunCreated};
use crate::proto::{
    Attributes, HistoryEvent, command, common, duration, enums, failure, history, positive,
};
use crate::run::RunState;
use crate::transaction::{Transaction, is_signal};
use base::planted::{self, Bug};
use base::{RunId, Timestamp};
use enums::{ContinueAsNewInitiator as Initiator, RetryState};
use std::sync::Arc;

type StartedAttributes = history::WorkflowExecutionStartedEventAttributes;

/// Decides whether a failed or timed-out run is tried again.
pub(crate) fn retry(
    tx: &Transaction<'_, '_, '_>,
    failure: &failure::Failure,
) -> (RetryState, Option<Successor>) {
    let run = &tx.run;
    let Some(policy) = &run.started.retry_policy else {
        return (RetryState::RetryPolicyNotSet, None);
    };
    let attempt = run.started.attempt.max(1);
    let expires = run.execution_deadline();
    match activity::retry(policy, attempt, expires, failure, tx.now()) {
        Next::GiveUp(state) => (state, None),
        Next::RetryAt(when) => {
            let started = StartedAttributes {
                initiator: Initiator::Retry as i32,
                continued_failure: Some(failure.clone()),
                attempt: attempt + 1,
                first_workflow_task_backoff: Some(duration(when.since(tx.now()))),
                ..StartedAttributes::clone(&run.started)
            };
            (RetryState::InProgress, Some(successor(tx, started, Vec::new())))
        }
    }
}

/// The run that a continue-as-new command asks for, and the event that closes this one.
pub(crate) fn continue_as_new(
    tx: &Transaction<'_, '_, '_>,
    a: &command::ContinueAsNewWorkflowExecutionCommandAttributes,
    completed: i64,
) -> (Successor, history::WorkflowExecutionContinuedAsNewEventAttributes) {
    let old = &tx.run.started;
    let named = a.workflow_type.clone().filter(|kind| !kind.name.is_empty());
    let queue = a.task_queue.as_ref().filter(|queue| !queue.name.is_empty());
    let queue = queue.map_or_else(|| tx.run.task_queue(), |queue| queue.name.as_str());
    let retry_policy = a.retry_policy.clone().map(activity::with_defaults);
    let run_timeout = positive(a.workflow_run_timeout.as_ref()).map(duration);
    let task_timeout = positive(a.workflow_task_timeout.as_ref()).map(duration);
    let fields = |map: &Arc<std::collections::BTreeMap<String, common::Payload>>| {
        map.iter().map(|(name, payload)| (name.clone(), payload.clone())).collect()
    };
    let memo = a.memo.clone().unwrap_or_else(|| common::Memo { fields: fields(&tx.run.memo) });
    let search_attributes = a.search_attributes.clone().unwrap_or_else(|| {
        common::SearchAttributes { indexed_fields: fields(&tx.run.search_attributes) }
    });
    let started = StartedAttributes {
        workflow_type: named.or_else(|| old.workflow_type.clone()),
        task_queue: Some(crate::proto::normal_queue(queue)),
        input: a.input.clone(),
        workflow_run_timeout: run_timeout.or(old.workflow_run_timeout),
        workflow_task_timeout: task_timeout.or(old.workflow_task_timeout),
        initiator: Initiator::Workflow as i32,
        continued_failure: a.failure.clone(),
        last_completion_result: a.last_completion_result.clone(),
        retry_policy: retry_policy.or_else(|| old.retry_policy.clone()),
        attempt: 1,
        first_workflow_task_backoff: a.backoff_start_interval,
        memo: Some(memo),
        search_attributes: Some(search_attributes),
        header: a.header.clone(),
        ..StartedAttributes::clone(old)
    };
    let signals = tx.run.buffered.iter().filter(|event| is_signal(event)).cloned().collect();
    // Planted: the buffer goes with the run.
    let signals =
        if planted::is(Bug::LostBufferedSignalOnContinueAsNew) { Vec::new() } else { signals };
    let successor = successor(tx, started, signals);
    let event = closing_event(&successor, completed);
    (successor, event)
}

fn closing_event(
    next: &Successor,
    completed: i64,
) -> history::WorkflowExecutionContinuedAsNewEventAttributes {
    let started = &next.started;
    history::WorkflowExecutionContinuedAsNewEventAttributes {
        new_execution_run_id: next.run.to_string(),
        workflow_type: started.workflow_type.clone(),
        task_queue: started.task_queue.clone(),
        input: started.input.clone(),
        workflow_run_timeout: started.workflow_run_timeout,
        workflow_task_timeout: started.workflow_task_timeout,
        workflow_task_completed_event_id: completed,
        backoff_start_interval: started.first_workflow_task_backoff,
        initiator: started.initiator,
        failure: started.continued_failure.clone(),
        last_completion_result: started.last_completion_result.clone(),
        header: started.header.clone(),
        memo: started.memo.clone(),
        search_attributes: started.search_attributes.clone(),
        ..Default::default()
    }
}

fn successor(
    tx: &Transaction<'_, '_, '_>,
    started: StartedAttributes,
    signals: Vec<Arc<HistoryEvent>>,
) -> Successor {
    let run = RunId(tx.planner.cx.uuid());
    let started = StartedAttributes {
        continued_execution_run_id: tx.run.id.to_string(),
        original_execution_run_id: run.to_string(),
        eager_execution_accepted: false,
        ..started
    };
    Successor { run, started: Box::new(started), signals }
}

/// Creates the run. The transaction of the old one has been finished.
pub(crate) fn create(
    planner: &mut crate::matching::Planner<'_, '_>,
    old: &RunState,
    next: Successor,
) {
    let backoff = positive(next.started.first_workflow_task_backoff.as_ref());
    let first = backoff.map_or(Timestamp(0), |backoff| planner.cx.now.after(backoff));
    let created = RunCreated {
        run: next.run.into(),
        namespace: Id::from(old.key.namespace),
        workflow_id: old.key.workflow_id.to_string(),
        request_id: String::new(),
        first_task_at: first.0,
    };
    let state = RunState::new(next.run, old.key.clone(), &created.request_id, first);
    let mut tx = Transaction::create(planner, created, state);
    let like = old.user_metadata.as_deref().cloned().unwrap_or_default();
    tx.event_like(Attributes::WorkflowExecutionStartedEventAttributes(*next.started), like);
    // Planted: the worker that closed the old run will know.
    tx.wants_task = !planted::is(Bug::SuccessorFirstTaskLost);
    for signal in next.signals {
        let signal = Arc::unwrap_or_clone(signal);
        let like = HistoryEvent { attributes: None, ..signal.clone() };
        if let Some(attributes) = signal.attributes {
            let id = tx.event_like(attributes, like);
            tx.retime(id, signal.event_time);
        }
    }
    tx.finish();
}
