//! A worker answers a workflow task: completed with commands, or failed.

use crate::ask::{Effect, Refusal, Reply, WorkflowTask};
use crate::command::{self, BadCommand};
use crate::machine::{Decision, Run, Workflows};
use crate::matching::{Planner, TaskKey};
use crate::op::{Op, Sticky, WorkflowTaskState};
use crate::proto::{command::command::Attributes as Command, enums, positive, service};
use crate::token::{self, Task};
use crate::transaction::Transaction;
use crate::workflow_task::{TaskFailure, server_failure};
use crate::{successor, token::Task::Workflow};
use base::{Cx, RunId, Ticket};
use enums::WorkflowTaskFailedCause as Cause;

impl Workflows {
    pub(crate) fn decide_task_completed(
        &self,
        request: &service::RespondWorkflowTaskCompletedRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        if request.intermediate_page || request.page_number > 0 {
            let text = "paged workflow task completions are not implemented by this server";
            return Err(Refusal::Unimplemented(text.into()));
        }
        let (run, task) = self.started_task(&request.task_token, &request.namespace)?;
        let mut planner = self.planner(cx, plan);
        if self.heartbeats_too_long(task, request, cx) {
            let mut tx = Transaction::begin(&mut planner, &run.state);
            tx.time_out_task();
            tx.finish();
            return Ok(None);
        }
        let Err(bad) = complete(&mut planner, run, request) else { return Ok(None) };
        if task.attempt > 1 && bad.cause != Cause::UnhandledCommand {
            // A transient task has no events: it is left to time out, as on the real server.
            return Err(Refusal::InvalidArgument(bad.text()));
        }
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.fail_task(TaskFailure {
            cause: bad.cause,
            failure: Some(server_failure(&bad.text())),
            identity: request.identity.clone(),
        });
        tx.finish();
        Ok(None)
    }

    pub(crate) fn attend_task_completed(
        &mut self,
        request: &service::RespondWorkflowTaskCompletedRequest,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Workflow(id, scheduled_event_id, _)) =
            token::decode(&request.task_token, self.generation)
        else {
            return;
        };
        let answer = match self.rejection(id, scheduled_event_id, request) {
            Some(refusal) => Err(refusal),
            None => Ok(self.completion_reply(id, request, effects)),
        };
        effects.push(Effect::Reply(ticket, Box::new(answer)));
    }

    /// Why the completion was not accepted, read from the state it has left behind.
    fn rejection(
        &self,
        id: RunId,
        scheduled_event_id: i64,
        request: &service::RespondWorkflowTaskCompletedRequest,
    ) -> Option<Refusal> {
        let run = &self.runs.get(&id)?.state;
        if run.previous_started_event_id > scheduled_event_id {
            return None;
        }
        let failed = run.last_failed_task.as_ref();
        if let Some(failed) = failed.filter(|f| f.scheduled_event_id == scheduled_event_id) {
            return Some(Refusal::InvalidArgument(failed.message.clone()));
        }
        if beats(request) {
            return Some(Refusal::NotFound("workflow task heartbeat timeout".into()));
        }
        // A transient task leaves no record; of those only this cause comes so far.
        Some(Refusal::InvalidArgument("UnhandledCommand".into()))
    }

    fn completion_reply(
        &mut self,
        id: RunId,
        request: &service::RespondWorkflowTaskCompletedRequest,
        effects: &mut Vec<Effect>,
    ) -> Reply {
        self.answer_attached_queries(id, &request.query_results, effects);
        let mut response = service::RespondWorkflowTaskCompletedResponse::default();
        for activity_id in eager_activity_ids(request) {
            let run = self.runs.get(&id);
            let Some(scheduled) = run.and_then(|run| run.state.activity_by_id(activity_id)) else {
                continue;
            };
            let task = TaskKey::Activity(id, scheduled);
            if self.matching.queues_of(task).is_none() {
                continue;
            }
            if let Some(task) = self.hand_activity_task(id, scheduled) {
                response.activity_tasks.push(task.response);
            }
        }
        let next = self.inline_task(id, request).map(Box::new);
        Reply::RespondWorkflowTaskCompleted(Box::new(response), next)
    }

    /// The next workflow task, if the worker takes it with this answer.
    fn inline_task(
        &mut self,
        id: RunId,
        request: &service::RespondWorkflowTaskCompletedRequest,
    ) -> Option<WorkflowTask> {
        if !request.return_new_workflow_task {
            return None;
        }
        self.matching.queues_of(TaskKey::Workflow(id))?;
        let sticky = self.runs.get(&id)?.state.task.as_ref()?.sticky_queue.is_some();
        self.hand_workflow_task(id, sticky)
    }

    pub(crate) fn decide_task_failed(
        &self,
        request: &service::RespondWorkflowTaskFailedRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let (run, _) = self.started_task(&request.task_token, &request.namespace)?;
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        if request.cause() == Cause::GrpcMessageTooLarge {
            // The worker could not even send its answer: trying again would not help.
            tx.terminate("GrpcMessageTooLarge");
            tx.finish();
            return Ok(Some(Reply::RespondWorkflowTaskFailed));
        }
        tx.fail_task(TaskFailure {
            cause: request.cause(),
            failure: request.failure.clone(),
            identity: request.identity.clone(),
        });
        tx.finish();
        Ok(Some(Reply::RespondWorkflowTaskFailed))
    }

    /// The started task that a token names, if it is still that.
    fn started_task(
        &self,
        token: &[u8],
        namespace: &str,
    ) -> Result<(&Run, &WorkflowTaskState), Refusal> {
        let gone = || Refusal::NotFound("Workflow task not found.".into());
        let Task::Workflow(id, scheduled, attempt) = self.task_of(token, namespace)? else {
            return Err(Refusal::InvalidArgument("Invalid TaskToken.".into()));
        };
        let run = self.run(id).ok_or_else(gone)?;
        let task = run.state.task.as_ref().filter(|task| {
            task.started_event_id != 0
                && task.scheduled_event_id == scheduled
                && task.attempt == attempt
        });
        task.map(|task| (run, task)).ok_or_else(gone)
    }

    /// A worker may keep its task alive by empty completions, but not for ever.
    fn heartbeats_too_long(
        &self,
        task: &WorkflowTaskState,
        request: &service::RespondWorkflowTaskCompletedRequest,
        cx: &Cx<'_>,
    ) -> bool {
        let alive = cx.now.since(crate::op::at(task.original_scheduled_at));
        beats(request) && alive > self.limits.workflow_task_heartbeat_timeout
    }
}

/// Whether a worker only says that it is still at work.
fn beats(request: &service::RespondWorkflowTaskCompletedRequest) -> bool {
    request.force_create_new_workflow_task && request.commands.is_empty()
}

/// Completes the task, carries out its commands and settles what follows.
fn complete(
    planner: &mut Planner<'_, '_>,
    run: &Run,
    request: &service::RespondWorkflowTaskCompletedRequest,
) -> Result<(), BadCommand> {
    if !request.messages.is_empty() {
        return Err(BadCommand {
            cause: Cause::BadUpdateWorkflowExecutionMessage,
            message: "updates are not implemented by this server".into(),
        });
    }
    let original = run.state.task.as_ref().map_or(0, |task| task.original_scheduled_at);
    let mut tx = Transaction::begin(planner, &run.state);
    let completed = tx.complete_task(request);
    tx.run.sticky = sticky_of(request);
    let effects = command::run_all(&mut tx, &request.commands, completed)?;
    for scheduled_event_id in effects.eager {
        tx.start_activity(scheduled_event_id, &request.identity);
    }
    tx.wants_task |= request.force_create_new_workflow_task;
    tx.original_scheduled_at = if beats(request) { original } else { 0 };
    tx.inline = request.return_new_workflow_task.then(|| request.identity.clone());
    tx.finish();
    if let Some(next) = effects.successor {
        successor::create(planner, &run.state, next);
    }
    Ok(())
}

fn sticky_of(request: &service::RespondWorkflowTaskCompletedRequest) -> Option<Sticky> {
    let attributes = request.sticky_attributes.as_ref()?;
    let queue = attributes.worker_task_queue.as_ref().filter(|queue| !queue.name.is_empty())?;
    let timeout = positive(attributes.schedule_to_start_timeout.as_ref());
    let timeout = timeout.unwrap_or(std::time::Duration::from_secs(5));
    Some(Sticky {
        queue: queue.name.clone(),
        schedule_to_start: i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX),
    })
}

fn eager_activity_ids(
    request: &service::RespondWorkflowTaskCompletedRequest,
) -> impl Iterator<Item = &str> {
    request.commands.iter().filter_map(|command| match &command.attributes {
        Some(Command::ScheduleActivityTaskCommandAttributes(a)) => {
            let eager = a.request_eager_execution && !command::is_reserved(a);
            eager.then_some(a.activity_id.as_str())
        }
        _ => None,
    })
}
