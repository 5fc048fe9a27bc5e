//! Signals, and signal-with-start: one entry, so that nobody can come between.

use crate::ask::{Refusal, Reply};
use crate::machine::{Decision, Run, Workflows};
use crate::op::Op;
use crate::proto::{Attributes, common, enums, history, service};
use crate::run::{ExecutionKey, RunState};
use crate::start::{self, Admission};
use crate::transaction::Transaction;
use base::planted::{self, Bug};
use base::{Cx, RunId, Uuid};
use enums::{ResourceExhaustedCause, ResourceExhaustedScope, WorkflowIdConflictPolicy as Conflict};

impl Workflows {
    pub(crate) fn decide_signal(
        &self,
        request: &service::SignalWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        self.check_name(&request.signal_name, "SignalName")?;
        let run = self.find(&request.namespace, request.workflow_execution.as_ref())?;
        if self.seen(&run.state.key, &request.request_id) {
            return Ok(Some(Reply::SignalWorkflowExecution));
        }
        must_be_running(&run.state)?;
        self.can_take_signal(&run.state)?;
        let event = history::WorkflowExecutionSignaledEventAttributes {
            signal_name: request.signal_name.clone(),
            input: request.input.clone(),
            identity: request.identity.clone(),
            header: request.header.clone(),
            request_id: request.request_id.clone(),
            ..Default::default()
        };
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.happen_linked(
            Attributes::WorkflowExecutionSignaledEventAttributes(event),
            &request.links,
        );
        tx.finish();
        start::remember(plan, &run.state.key, &request.request_id);
        Ok(Some(Reply::SignalWorkflowExecution))
    }

    pub(crate) fn decide_signal_with_start(
        &self,
        request: &service::SignalWithStartWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        self.check_name(&request.signal_name, "SignalName")?;
        if !request.cron_schedule.is_empty() {
            let text = "cron schedules are not implemented by this server";
            return Err(Refusal::Unimplemented(text.into()));
        }
        let new = self.new_run(&start_part(request))?;
        let key = new.key.clone();
        if self.seen(&key, &request.request_id) {
            let run = self.current(&key).map(|run| &run.state);
            return Ok(Some(reply(run, false)));
        }
        let (reuse, conflict) =
            (request.workflow_id_reuse_policy(), request.workflow_id_conflict_policy());
        if conflict == Conflict::Fail {
            let text = "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not \
                        supported for this operation.";
            return Err(Refusal::InvalidArgument(text.into()));
        }
        let policies = start::policies(reuse, conflict, Conflict::UseExisting)?;
        // That it was not carried out before is known already; a start is another request.
        let admission = self.admit(&key, "", policies)?;
        if let Admission::UseExisting(id) | Admission::Repeated(id) = admission {
            return self.signal_existing(id, request, cx, plan);
        }
        let mut planner = self.planner(cx, plan);
        self.terminate_if(&admission, &mut planner, &request.identity);
        let mut tx = start::create(&mut planner, new, false);
        tx.happen(signaled(request));
        let run = tx.finish();
        start::remember(plan, &key, &request.request_id);
        Ok(Some(Reply::SignalWithStartWorkflowExecution(Box::new(
            service::SignalWithStartWorkflowExecutionResponse {
                run_id: run.to_string(),
                first_execution_run_id: run.to_string(),
                started: true,
                ..Default::default()
            },
        ))))
    }

    fn signal_existing(
        &self,
        id: RunId,
        request: &service::SignalWithStartWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let Some(run) = self.runs.get(&id) else { return Err(not_found()) };
        must_be_running(&run.state)?;
        self.can_take_signal(&run.state)?;
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.happen_linked(signaled(request), &request.links);
        tx.finish();
        start::remember(plan, &run.state.key, &request.request_id);
        Ok(Some(reply(Some(&run.state), false)))
    }

    pub(crate) fn seen(&self, key: &ExecutionKey, request_id: &str) -> bool {
        // Planted: who sends twice means it.
        self.chains.get(key).is_some_and(|chain| chain.requests.has_signaled(request_id))
            && !planted::is(Bug::SignalAppliedTwice)
    }

    /// A run takes no signals while it tries to close, and not beyond its limits.
    fn can_take_signal(&self, run: &RunState) -> Result<(), Refusal> {
        let busy = |message: &str| Refusal::ResourceExhausted {
            message: message.into(),
            cause: ResourceExhaustedCause::BusyWorkflow,
            scope: ResourceExhaustedScope::Namespace,
        };
        if run.signal_count >= self.limits.signals_per_run_count {
            let text = "exceeded workflow execution limit for signal events";
            return Err(Refusal::SignalsExhausted(text.into()));
        }
        if run.is_closing() {
            return Err(busy("workflow operation can not be applied because workflow is closing"));
        }
        let limits = &self.limits;
        if run.buffered.len() >= limits.buffered_events_count
            || run.buffered_bytes >= limits.buffered_bytes
        {
            return Err(busy("too many events wait for the running workflow task"));
        }
        Ok(())
    }

    /// The run that a request names: by run id, or the current one.
    pub(crate) fn find(
        &self,
        namespace: &str,
        execution: Option<&common::WorkflowExecution>,
    ) -> Result<&Run, Refusal> {
        let namespace = self.namespaces.by_name(namespace)?.id;
        let Some(execution) = execution else {
            return Err(Refusal::InvalidArgument("Execution is not set on request.".into()));
        };
        self.check_name(&execution.workflow_id, "WorkflowId")?;
        let workflow_id = execution.workflow_id.as_str().into();
        let key = ExecutionKey { namespace, workflow_id };
        if execution.run_id.is_empty() {
            return self.current(&key).ok_or_else(not_found);
        }
        let id = execution.run_id.parse::<Uuid>();
        let id = id.map_err(|_| Refusal::InvalidArgument("Invalid RunId.".into()))?;
        let run = self.run(RunId(id)).filter(|run| run.state.key == key);
        run.ok_or_else(not_found)
    }
}

/// The run must be open.
pub(crate) fn must_be_running(run: &RunState) -> Result<(), Refusal> {
    if run.is_running() {
        return Ok(());
    }
    Err(Refusal::WorkflowClosed("workflow execution already completed".into()))
}

pub(crate) fn not_found() -> Refusal {
    Refusal::NotFound("workflow execution not found".into())
}

fn reply(run: Option<&RunState>, started: bool) -> Reply {
    Reply::SignalWithStartWorkflowExecution(Box::new(
        service::SignalWithStartWorkflowExecutionResponse {
            run_id: run.map_or(String::new(), |run| run.id.to_string()),
            first_execution_run_id: run
                .map_or(String::new(), |run| run.started.first_execution_run_id.clone()),
            started,
            ..Default::default()
        },
    ))
}

fn signaled(request: &service::SignalWithStartWorkflowExecutionRequest) -> Attributes {
    Attributes::WorkflowExecutionSignaledEventAttributes(
        history::WorkflowExecutionSignaledEventAttributes {
            signal_name: request.signal_name.clone(),
            input: request.signal_input.clone(),
            identity: request.identity.clone(),
            header: request.header.clone(),
            request_id: request.request_id.clone(),
            ..Default::default()
        },
    )
}

/// The start half of a signal-with-start.
fn start_part(
    request: &service::SignalWithStartWorkflowExecutionRequest,
) -> service::StartWorkflowExecutionRequest {
    service::StartWorkflowExecutionRequest {
        namespace: request.namespace.clone(),
        workflow_id: request.workflow_id.clone(),
        workflow_type: request.workflow_type.clone(),
        task_queue: request.task_queue.clone(),
        input: request.input.clone(),
        workflow_execution_timeout: request.workflow_execution_timeout,
        workflow_run_timeout: request.workflow_run_timeout,
        workflow_task_timeout: request.workflow_task_timeout,
        identity: request.identity.clone(),
        request_id: request.request_id.clone(),
        retry_policy: request.retry_policy.clone(),
        memo: request.memo.clone(),
        search_attributes: request.search_attributes.clone(),
        header: request.header.clone(),
        workflow_start_delay: request.workflow_start_delay,
        user_metadata: request.user_metadata.clone(),
        links: request.links.clone(),
        priority: request.priority.clone(),
        ..Default::default()
    }
}
