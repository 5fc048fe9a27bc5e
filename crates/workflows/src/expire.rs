//! What time brings about: timers, timeouts, retries and first tasks, one run an ask.

use crate::activity::{self, Deadline, Next};
use crate::activity_task::truncated;
use crate::ask::Reply;
use crate::command::Successor;
use crate::machine::{Decision, Workflows};
use crate::op::{ActivityState, Op};
use crate::proto::{Attributes, enums, failure, history};
use crate::run::Activity;
use crate::transaction::Transaction;
use crate::{successor, workflow_task};
use base::Cx;
use enums::{RetryState, TimeoutType};
use prost::Message;
use std::sync::Arc;

impl Workflows {
    pub(crate) fn decide_expire(&self, cx: &Cx<'_>, plan: &mut Vec<Op>) -> Decision {
        let due = self.due.first().filter(|(when, _)| *when <= cx.now);
        let Some(run) = due.and_then(|(_, id)| self.runs.get(id)) else {
            return Ok(Some(Reply::Done));
        };
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        let next = expire(&mut tx);
        tx.finish();
        if let Some(next) = next {
            successor::create(&mut planner, &run.state, next);
        }
        Ok(Some(Reply::Done))
    }
}

/// What is left of an entry. Much may be due at once, above all after the node was down, and all
/// of it has to get through: what finds no room is still due, and goes into the next entry.
struct Room(usize);

impl Room {
    /// What an event costs beside what is in it.
    const EVENT_BYTES: usize = 128;

    /// Takes room for something of this size. There is some as long as any is left, so that
    /// nothing is too large to get on.
    fn take(&mut self, bytes: usize) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(bytes + Room::EVENT_BYTES);
        some
    }
}

/// Carries out what is due for one run.
fn expire(tx: &mut Transaction<'_, '_, '_>) -> Option<Successor> {
    let now = tx.now();
    if tx.run.execution_deadline() <= now {
        close(tx, RetryState::Timeout, None);
        return None;
    }
    if tx.run.run_deadline() <= now {
        let failure = activity::timeout_failure(TimeoutType::StartToClose, "workflow timeout");
        let (state, next) = successor::retry(tx, &failure);
        close(tx, state, next.as_ref());
        return next;
    }
    // The task first: what follows is then not buffered behind a task that has ended.
    if tx.run.task.as_ref().is_some_and(|task| workflow_task::deadline(task) <= now) {
        tx.time_out_task();
    }
    let mut room = Room(tx.planner.limits.expired_bytes);
    fire_timers(tx, &mut room);
    let due: Vec<(i64, Deadline)> = tx
        .run
        .activities
        .iter()
        .filter_map(|(id, activity)| {
            let (when, what) = activity::deadline(activity)?;
            (when <= now).then_some((*id, what))
        })
        .collect();
    for (scheduled_event_id, what) in due {
        let state = tx.run.activities.get(&scheduled_event_id).map(|a| a.state.encoded_len());
        if !room.take(state.unwrap_or(0)) {
            break;
        }
        expire_activity(tx, scheduled_event_id, what);
    }
    if tx.run.task.is_none() && tx.run.previous_started_event_id == 0 {
        tx.wants_task = true;
    }
    None
}

fn close(tx: &mut Transaction<'_, '_, '_>, retry_state: RetryState, next: Option<&Successor>) {
    tx.close_by_force(Attributes::WorkflowExecutionTimedOutEventAttributes(
        history::WorkflowExecutionTimedOutEventAttributes {
            retry_state: retry_state as i32,
            new_execution_run_id: next.map_or(String::new(), |next| next.run.to_string()),
        },
    ));
}

/// Due timers in the order in which they were to fire.
fn fire_timers(tx: &mut Transaction<'_, '_, '_>, room: &mut Room) {
    let now = tx.now();
    let mut due: Vec<_> = tx
        .run
        .timers
        .iter()
        .filter(|(_, timer)| timer.fires_at <= now)
        .map(|(id, timer)| (timer.fires_at, timer.started_event_id, Arc::clone(id)))
        .collect();
    due.sort();
    for (_, started_event_id, timer_id) in due {
        if !room.take(timer_id.len()) {
            break;
        }
        let event =
            history::TimerFiredEventAttributes { timer_id: timer_id.to_string(), started_event_id };
        tx.happen(Attributes::TimerFiredEventAttributes(event));
    }
}

fn expire_activity(tx: &mut Transaction<'_, '_, '_>, scheduled_event_id: i64, what: Deadline) {
    let Some(activity) = tx.run.activities.get(&scheduled_event_id).cloned() else { return };
    match what {
        Deadline::Retry => {
            let state =
                ActivityState { backing_off: false, ..ActivityState::clone(&activity.state) };
            tx.set_activity(scheduled_event_id, state);
            tx.activity_ready(scheduled_event_id);
        }
        Deadline::Timeout(kind) => time_out_activity(tx, scheduled_event_id, &activity, kind),
    }
}

fn time_out_activity(
    tx: &mut Transaction<'_, '_, '_>,
    scheduled_event_id: i64,
    activity: &Activity,
    kind: TimeoutType,
) {
    let failure = activity::attempt_timeout(kind);
    match activity::after_failure(activity, &failure, tx.now()) {
        Next::RetryAt(when) => {
            let kept = truncated(failure, tx.planner.limits);
            let state = activity::next_attempt(&activity.state, when, kept, tx.now());
            tx.set_activity(scheduled_event_id, state);
        }
        Next::GiveUp(state) => {
            let failure = activity::last_timeout(activity, kind, state);
            timed_out(tx, scheduled_event_id, failure, state);
        }
    }
}

fn timed_out(
    tx: &mut Transaction<'_, '_, '_>,
    scheduled_event_id: i64,
    failure: failure::Failure,
    retry_state: RetryState,
) {
    tx.close_activity(
        scheduled_event_id,
        Attributes::ActivityTaskTimedOutEventAttributes(
            history::ActivityTaskTimedOutEventAttributes {
                failure: Some(failure),
                scheduled_event_id,
                retry_state: retry_state as i32,
                ..Default::default()
            },
        ),
    );
}
