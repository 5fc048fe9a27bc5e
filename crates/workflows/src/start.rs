//! Starting a workflow: the id policies, the first event, eager start.

use crate::ask::{Effect, Refusal, Reply};
use crate::machine::{Decision, Run, Workflows};
use crate::matching::{Planner, TaskKey};
use crate::op::{Id, Op, RequestSeen, RunCreated};
use crate::proto::{
    Attributes, HistoryEvent, common, duration, enums, history, positive, service, timestamp,
};
use crate::request_ids;
use crate::run::{ExecutionKey, RunState};
use crate::transaction::Transaction;
use base::{Cx, RunId, Ticket, Timestamp};
use enums::WorkflowExecutionStatus as Status;
use enums::{WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse};
use std::time::Duration;

/// STARTED follows the start and SCHEDULED.
const EAGER_STARTED_EVENT_ID: i64 = 3;

/// What to do when a workflow id is asked to start.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// Nothing stands in the way.
    Start,
    /// The running one is terminated first.
    TerminateAndStart(RunId),
    /// The running one is used.
    UseExisting(RunId),
    /// This start was carried out before.
    Repeated(RunId),
}

/// A start, from whichever request it came.
pub(crate) struct NewRun {
    pub(crate) key: ExecutionKey,
    pub(crate) request_id: String,
    pub(crate) started: history::WorkflowExecutionStartedEventAttributes,
    pub(crate) like: HistoryEvent,
    pub(crate) delay: Option<Duration>,
}

impl Workflows {
    pub(crate) fn decide_start(
        &self,
        request: &service::StartWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        refuse_what_is_not_there(request)?;
        let new = self.new_run(request)?;
        let reuse = request.workflow_id_reuse_policy();
        let conflict = request.workflow_id_conflict_policy();
        let policies = policies(reuse, conflict, Conflict::Fail)?;
        let admission = self.admit(&new.key, &request.request_id, policies)?;
        if self.repeated_eager(request).is_some() {
            return Ok(None);
        }
        if let Admission::UseExisting(run) | Admission::Repeated(run) = admission {
            let started = matches!(admission, Admission::Repeated(_));
            return Ok(Some(self.start_reply(run, started)));
        }
        let mut planner = self.planner(cx, plan);
        self.terminate_if(&admission, &mut planner, &request.identity);
        let eager = asks_for_task(request);
        let mut tx = create(&mut planner, new, eager);
        tx.inline = eager.then(|| request.identity.clone());
        let run = tx.finish();
        if eager {
            return Ok(None);
        }
        Ok(Some(Reply::StartWorkflowExecution(
            Box::new(service::StartWorkflowExecutionResponse {
                run_id: run.to_string(),
                first_execution_run_id: run.to_string(),
                started: true,
                status: Status::Running as i32,
                ..Default::default()
            }),
            None,
        )))
    }

    /// Answers an eager start with its first task.
    pub(crate) fn attend_start(
        &mut self,
        request: &service::StartWorkflowExecutionRequest,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) {
        if !asks_for_task(request) {
            return;
        }
        let started = self
            .touched
            .last()
            .copied()
            .filter(|run| self.matching.queues_of(TaskKey::Workflow(*run)).is_some());
        let Some(run) = started.or_else(|| self.repeated_eager(request)) else { return };
        let Reply::StartWorkflowExecution(response, _) = self.start_reply(run, true) else {
            return;
        };
        let task = self.hand_workflow_task(run, false).map(Box::new);
        let reply = Reply::StartWorkflowExecution(response, task);
        effects.push(Effect::Reply(ticket, Box::new(Ok(reply))));
    }

    /// The run of an eager start that is asked again while its first task is still out: the first
    /// answer was lost, so it is given again, with the task.
    fn repeated_eager(&self, request: &service::StartWorkflowExecutionRequest) -> Option<RunId> {
        if !asks_for_task(request) || request.request_id.is_empty() {
            return None;
        }
        let namespace = self.namespaces.by_name(&request.namespace).ok()?.id;
        let workflow_id = request.workflow_id.as_str().into();
        let state = &self.current(&ExecutionKey { namespace, workflow_id })?.state;
        let task = state.task.as_ref()?;
        let first = task.started_event_id == EAGER_STARTED_EVENT_ID && task.attempt == 1;
        let same = *state.create_request_id == request.request_id;
        (same && first && state.started.eager_execution_accepted).then_some(state.id)
    }

    pub(crate) fn start_reply(&self, run: RunId, started: bool) -> Reply {
        let state = self.runs.get(&run).map(|run| &run.state);
        let response = service::StartWorkflowExecutionResponse {
            run_id: run.to_string(),
            first_execution_run_id: state
                .map_or(String::new(), |s| s.started.first_execution_run_id.clone()),
            started,
            status: state.map_or(0, |state| state.status as i32),
            ..Default::default()
        };
        Reply::StartWorkflowExecution(Box::new(response), None)
    }

    /// Applies the conflict policy to a running workflow and the reuse policy to a closed one.
    pub(crate) fn admit(
        &self,
        key: &ExecutionKey,
        request_id: &str,
        (reuse, conflict): (Reuse, Conflict),
    ) -> Result<Admission, Refusal> {
        let Some(chain) = self.chains.get(key) else { return Ok(Admission::Start) };
        let Some(run) = self.runs.get(&chain.current) else { return Ok(Admission::Start) };
        let state = &run.state;
        if !request_id.is_empty() && *state.create_request_id == *request_id {
            return Ok(Admission::Repeated(state.id));
        }
        if let Some(run) = chain.requests.started(request_id) {
            return Ok(Admission::Repeated(run));
        }
        if state.is_running() {
            return match conflict {
                Conflict::UseExisting => Ok(Admission::UseExisting(state.id)),
                Conflict::TerminateExisting => Ok(Admission::TerminateAndStart(state.id)),
                _ => Err(already_started(state, "Workflow execution is already running.")),
            };
        }
        let cleanly = matches!(state.status, Status::Completed | Status::ContinuedAsNew);
        match reuse {
            Reuse::RejectDuplicate => Err(already_started(
                state,
                "Workflow execution already finished. WorkflowId reuse is rejected by policy.",
            )),
            Reuse::AllowDuplicateFailedOnly if cleanly => Err(already_started(
                state,
                "Workflow execution already finished successfully. WorkflowId reuse is rejected \
                 by policy.",
            )),
            _ => Ok(Admission::Start),
        }
    }

    /// Terminates the running workflow if the policy says so.
    pub(crate) fn terminate_if(
        &self,
        admission: &Admission,
        planner: &mut Planner<'_, '_>,
        identity: &str,
    ) {
        let Admission::TerminateAndStart(run) = admission else { return };
        let Some(run) = self.runs.get(run) else { return };
        let mut tx = Transaction::begin(planner, &run.state);
        tx.close_by_force(Attributes::WorkflowExecutionTerminatedEventAttributes(
            history::WorkflowExecutionTerminatedEventAttributes {
                reason: "TerminateIfRunning WorkflowIdReusePolicy Policy".into(),
                identity: identity.to_owned(),
                ..Default::default()
            },
        ));
        tx.finish();
    }

    pub(crate) fn current(&self, key: &ExecutionKey) -> Option<&Run> {
        self.run(self.chains.get(key)?.current)
    }

    /// Checks a request and makes its first event.
    pub(crate) fn new_run(
        &self,
        request: &service::StartWorkflowExecutionRequest,
    ) -> Result<NewRun, Refusal> {
        let namespace = self.namespaces.by_name(&request.namespace)?.id;
        let kind = request.workflow_type.as_ref().map_or("", |kind| kind.name.as_str());
        let queue = request.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
        for (value, what) in [
            (request.workflow_id.as_str(), "WorkflowId"),
            (kind, "WorkflowType"),
            (queue, "TaskQueue"),
        ] {
            self.check_name(value, what)?;
        }
        if queue == crate::matching::RESERVED_QUEUE {
            let text = "The task queue \"mainstay\" is reserved for activities of the node.";
            return Err(Refusal::InvalidArgument(text.into()));
        }
        if request.request_id.len() > self.limits.id_length_bytes {
            return Err(Refusal::InvalidArgument("RequestId length exceeds limit.".into()));
        }
        check_durations(request)?;
        let mut retry_policy = request.retry_policy.clone();
        if let Some(policy) = &retry_policy {
            crate::activity::check_policy(policy).map_err(Refusal::InvalidArgument)?;
            retry_policy = retry_policy.map(crate::activity::with_defaults);
        }
        let workflow_id = request.workflow_id.as_str().into();
        let delay = positive(request.workflow_start_delay.as_ref());
        let started = history::WorkflowExecutionStartedEventAttributes {
            workflow_type: request.workflow_type.clone(),
            task_queue: Some(crate::proto::normal_queue(queue)),
            input: request.input.clone(),
            workflow_execution_timeout: request.workflow_execution_timeout,
            workflow_run_timeout: run_timeout(request),
            workflow_task_timeout: Some(self.task_timeout(request)),
            continued_failure: request.continued_failure.clone(),
            last_completion_result: request.last_completion_result.clone(),
            identity: request.identity.clone(),
            retry_policy,
            attempt: 1,
            first_workflow_task_backoff: delay.map(duration),
            memo: request.memo.clone(),
            search_attributes: request.search_attributes.clone(),
            header: request.header.clone(),
            workflow_id: request.workflow_id.clone(),
            priority: request.priority.clone(),
            ..Default::default()
        };
        let like = HistoryEvent {
            user_metadata: request.user_metadata.clone(),
            links: request.links.clone(),
            ..HistoryEvent::default()
        };
        let key = ExecutionKey { namespace, workflow_id };
        Ok(NewRun { key, request_id: request.request_id.clone(), started, like, delay })
    }

    /// Names are set and not too long.
    pub(crate) fn check_name(&self, value: &str, what: &str) -> Result<(), Refusal> {
        if value.is_empty() {
            return Err(Refusal::InvalidArgument(format!("{what} is not set on request.")));
        }
        if value.len() > self.limits.id_length_bytes {
            return Err(Refusal::InvalidArgument(format!("{what} length exceeds limit.")));
        }
        Ok(())
    }

    fn task_timeout(
        &self,
        request: &service::StartWorkflowExecutionRequest,
    ) -> prost_types::Duration {
        let wish = positive(request.workflow_task_timeout.as_ref());
        let most = Duration::from_secs(120);
        duration(wish.unwrap_or(self.limits.workflow_task_timeout).min(most))
    }
}

/// The two policies in today's words, if they do not contradict each other. The deprecated
/// TERMINATE_IF_RUNNING means TERMINATE_EXISTING for a running workflow.
pub(crate) fn policies(
    reuse: Reuse,
    conflict: Conflict,
    default: Conflict,
) -> Result<(Reuse, Conflict), Refusal> {
    let invalid = |text: &str| {
        Err(Refusal::InvalidArgument(format!("Invalid WorkflowIDReusePolicy: {text}.")))
    };
    match (reuse, conflict) {
        (Reuse::TerminateIfRunning, Conflict::Unspecified) => {
            Ok((Reuse::AllowDuplicate, Conflict::TerminateExisting))
        }
        (Reuse::TerminateIfRunning, _) => invalid(
            "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a \
             WorkflowIDConflictPolicy",
        ),
        (Reuse::RejectDuplicate, Conflict::TerminateExisting) => invalid(
            "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with \
             WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        ),
        (reuse, Conflict::Unspecified) => Ok((reuse, default)),
        policies => Ok(policies),
    }
}

/// Whether the first task shall come with the answer. It cannot if it has to wait.
fn asks_for_task(request: &service::StartWorkflowExecutionRequest) -> bool {
    request.request_eager_execution && positive(request.workflow_start_delay.as_ref()).is_none()
}

/// Zero means unset; less means nothing.
fn check_durations(request: &service::StartWorkflowExecutionRequest) -> Result<(), Refusal> {
    for (name, value) in [
        ("WorkflowExecutionTimeoutSeconds", &request.workflow_execution_timeout),
        ("WorkflowRunTimeoutSeconds", &request.workflow_run_timeout),
        ("WorkflowTaskTimeoutSeconds", &request.workflow_task_timeout),
        ("WorkflowStartDelaySeconds", &request.workflow_start_delay),
    ] {
        if value.as_ref().is_some_and(|d| d.seconds < 0 || d.nanos < 0) {
            let text = format!("An invalid {name} is set on request.");
            return Err(Refusal::InvalidArgument(text));
        }
    }
    Ok(())
}

/// The run timeout is never longer than the execution timeout.
fn run_timeout(request: &service::StartWorkflowExecutionRequest) -> Option<prost_types::Duration> {
    let run = positive(request.workflow_run_timeout.as_ref());
    let execution = positive(request.workflow_execution_timeout.as_ref());
    match (run, execution) {
        (Some(run), Some(execution)) => Some(duration(run.min(execution))),
        (run, execution) => run.or(execution).map(duration),
    }
}

/// Features that do not exist yet are refused, not ignored.
fn refuse_what_is_not_there(
    request: &service::StartWorkflowExecutionRequest,
) -> Result<(), Refusal> {
    let missing = [
        (!request.cron_schedule.is_empty(), "cron schedules"),
        (!request.completion_callbacks.is_empty(), "completion callbacks"),
        (request.versioning_override.is_some(), "versioning overrides"),
        (request.time_skipping_config.is_some(), "time skipping"),
    ];
    match missing.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => {
            Err(Refusal::Unimplemented(format!("{what} are not implemented by this server")))
        }
        None => Ok(()),
    }
}

fn already_started(state: &RunState, text: &str) -> Refusal {
    Refusal::AlreadyStarted {
        message: format!("{text} WorkflowId: {}, RunId: {}.", state.key.workflow_id, state.id),
        start_request_id: state.create_request_id.to_string(),
        run_id: state.id.to_string(),
    }
}

/// Begins the transaction that creates a run; its STARTED event is written, its first workflow
/// task is due.
pub(crate) fn create<'p, 'a, 'e>(
    planner: &'p mut Planner<'a, 'e>,
    new: NewRun,
    eager: bool,
) -> Transaction<'p, 'a, 'e> {
    let run = RunId(planner.cx.uuid());
    let now = planner.cx.now;
    let first = new.delay.map_or(Timestamp(0), |delay| now.after(delay));
    let mut started = new.started;
    started.original_execution_run_id = run.to_string();
    started.first_execution_run_id = run.to_string();
    started.eager_execution_accepted = eager;
    started.root_workflow_execution = Some(common::WorkflowExecution {
        workflow_id: new.key.workflow_id.to_string(),
        run_id: run.to_string(),
    });
    if let Some(timeout) = positive(started.workflow_execution_timeout.as_ref()) {
        started.workflow_execution_expiration_time = Some(timestamp(now.max(first).after(timeout)));
    }
    let created = RunCreated {
        run: run.into(),
        namespace: Id::from(new.key.namespace),
        workflow_id: new.key.workflow_id.to_string(),
        request_id: new.request_id,
        first_task_at: first.0,
    };
    let state = RunState::new(run, new.key, &created.request_id, first);
    let mut tx = Transaction::create(planner, created, state);
    tx.event_like(Attributes::WorkflowExecutionStartedEventAttributes(started), new.like);
    tx.wants_task = true;
    tx
}

/// Remembers that a request id has been carried out.
pub(crate) fn remember(plan: &mut Vec<Op>, key: &ExecutionKey, request_id: &str) {
    if request_id.is_empty() {
        return;
    }
    plan.push(Op::RequestSeen(RequestSeen {
        namespace: key.namespace.into(),
        workflow_id: key.workflow_id.to_string(),
        request: request_ids::hash(request_id).into(),
    }));
}
