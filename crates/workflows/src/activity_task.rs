//! A worker answers an activity task: heartbeat, completed, failed or canceled.

use crate::activity::{self, Next};
use crate::ask::{Refusal, Reply};
use crate::limits::Limits;
use crate::machine::{Decision, Run, Workflows};
use crate::op::{ActivityState, Op};
use crate::proto::{Attributes, failure, history, service};
use crate::run::Activity;
use crate::token::Task;
use crate::transaction::Transaction;
use base::Cx;
use base::planted::{self, Bug};
use prost::Message;

impl Workflows {
    pub(crate) fn decide_heartbeat(
        &self,
        request: &service::RecordActivityTaskHeartbeatRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let (run, scheduled_event_id, activity) =
            self.started_activity(&request.task_token, &request.namespace)?;
        let state = ActivityState {
            last_heartbeat_at: cx.now.0,
            heartbeat_details: request.details.clone(),
            ..ActivityState::clone(&activity.state)
        };
        let cancel_requested = state.cancel_requested_event_id != 0;
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.set_activity(scheduled_event_id, state);
        tx.finish();
        Ok(Some(Reply::RecordActivityTaskHeartbeat(Box::new(
            service::RecordActivityTaskHeartbeatResponse { cancel_requested, ..Default::default() },
        ))))
    }

    pub(crate) fn decide_activity_completed(
        &self,
        request: &service::RespondActivityTaskCompletedRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let (run, scheduled_event_id, _) =
            self.started_activity(&request.task_token, &request.namespace)?;
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.close_activity(
            scheduled_event_id,
            Attributes::ActivityTaskCompletedEventAttributes(
                history::ActivityTaskCompletedEventAttributes {
                    result: request.result.clone(),
                    scheduled_event_id,
                    identity: request.identity.clone(),
                    worker_version: request.worker_version.clone(),
                    ..Default::default()
                },
            ),
        );
        tx.finish();
        Ok(Some(Reply::RespondActivityTaskCompleted))
    }

    pub(crate) fn decide_activity_failed(
        &self,
        request: &service::RespondActivityTaskFailedRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let (run, scheduled_event_id, activity) =
            self.started_activity(&request.task_token, &request.namespace)?;
        let failure = request.failure.clone().unwrap_or_default();
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        match activity::after_failure(activity, &failure, cx.now) {
            Next::RetryAt(when) => {
                let mut before = ActivityState::clone(&activity.state);
                if request.last_heartbeat_details.is_some() {
                    before.heartbeat_details.clone_from(&request.last_heartbeat_details);
                }
                let kept = truncated(failure, &self.limits);
                let state = activity::next_attempt(&before, when, kept, cx.now);
                tx.set_activity(scheduled_event_id, state);
            }
            Next::GiveUp(retry_state) => tx.close_activity(
                scheduled_event_id,
                Attributes::ActivityTaskFailedEventAttributes(
                    history::ActivityTaskFailedEventAttributes {
                        failure: Some(failure),
                        scheduled_event_id,
                        identity: request.identity.clone(),
                        retry_state: retry_state as i32,
                        worker_version: request.worker_version.clone(),
                        cause: request.cause,
                        ..Default::default()
                    },
                ),
            ),
        }
        tx.finish();
        Ok(Some(Reply::RespondActivityTaskFailed))
    }

    pub(crate) fn decide_activity_canceled(
        &self,
        request: &service::RespondActivityTaskCanceledRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let (run, scheduled_event_id, activity) =
            self.started_activity(&request.task_token, &request.namespace)?;
        let requested = activity.state.cancel_requested_event_id;
        if requested == 0 {
            let text = "Unable to set activity as canceled: cancellation was not requested.";
            return Err(Refusal::InvalidArgument(text.into()));
        }
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.close_activity(
            scheduled_event_id,
            Attributes::ActivityTaskCanceledEventAttributes(
                history::ActivityTaskCanceledEventAttributes {
                    details: request.details.clone(),
                    latest_cancel_requested_event_id: requested,
                    scheduled_event_id,
                    identity: request.identity.clone(),
                    worker_version: request.worker_version.clone(),
                    ..Default::default()
                },
            ),
        );
        tx.finish();
        Ok(Some(Reply::RespondActivityTaskCanceled))
    }

    /// The started attempt that a token names, if it is still that.
    fn started_activity(
        &self,
        token: &[u8],
        namespace: &str,
    ) -> Result<(&Run, i64, &Activity), Refusal> {
        let Task::Activity(id, scheduled, attempt) = self.task_of(token, namespace)? else {
            return Err(Refusal::InvalidArgument("Invalid TaskToken.".into()));
        };
        let found = self.run(id).and_then(|run| {
            let activity = run.state.activities.get(&scheduled)?;
            let same = activity.is_started() && activity.state.attempt == attempt;
            // Planted: better late than never.
            let same = same || activity.is_started() && planted::is(Bug::LateAnswerAccepted);
            same.then_some((run, scheduled, activity))
        });
        found.ok_or_else(|| {
            let text = "invalid activityID or activity already timed out or invoking workflow is \
                        completed";
            Refusal::NotFound(text.into())
        })
    }
}

/// Keeps the state of a run small: a large failure is kept by its message only.
pub(crate) fn truncated(failure: failure::Failure, limits: &Limits) -> failure::Failure {
    if failure.encoded_len() <= limits.activity_failure_bytes {
        return failure;
    }
    let mut message = failure.message;
    let mut end = message.len().min(limits.activity_failure_bytes / 2);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    failure::Failure { message, source: failure.source, ..failure::Failure::default() }
}
