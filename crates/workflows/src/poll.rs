//! Polls, and how tasks reach them.
//!
//! A task is started in the journal by the ask that finds poller and task together; it is handed
//! out in `attend`, as the first thing after. Handing out changes nothing that is journaled.

use crate::ask::{ActivityTask, Effect, Refusal, Reply, TaskToken, WorkflowTask};
use crate::machine::{Decision, Workflows};
use crate::matching::{Kind, Poller, QueueKey, RESERVED_QUEUE, TaskKey};
use crate::op::{Op, at};
use crate::proto::{common, enums, normal_queue, service, taskqueue, timestamp};
use crate::token::{self, Task};
use crate::transaction::Transaction;
use base::planted::{self, Bug};
use base::{Cx, RunId, Ticket, Uuid};
use enums::{ResourceExhaustedCause, ResourceExhaustedScope};
use std::time::Duration;

/// Identity of the node where it works on activities itself.
const NODE_IDENTITY: &str = "mainstay";

/// A worker's poll for either kind of task.
pub(crate) struct WorkerPoll<'r> {
    kind: Kind,
    namespace: &'r str,
    queue: &'r str,
    identity: &'r str,
    worker_instance_key: &'r str,
}

impl WorkerPoll<'_> {
    fn key(&self, namespace: Uuid) -> QueueKey {
        match self.kind {
            Kind::Workflow => QueueKey::workflow(namespace, self.queue),
            Kind::Activity => QueueKey::activity(namespace, self.queue),
        }
    }
}

impl<'r> From<&'r service::PollWorkflowTaskQueueRequest> for WorkerPoll<'r> {
    fn from(request: &'r service::PollWorkflowTaskQueueRequest) -> WorkerPoll<'r> {
        WorkerPoll {
            kind: Kind::Workflow,
            namespace: &request.namespace,
            queue: name_of(request.task_queue.as_ref()),
            identity: &request.identity,
            worker_instance_key: &request.worker_instance_key,
        }
    }
}

impl<'r> From<&'r service::PollActivityTaskQueueRequest> for WorkerPoll<'r> {
    fn from(request: &'r service::PollActivityTaskQueueRequest) -> WorkerPoll<'r> {
        WorkerPoll {
            kind: Kind::Activity,
            namespace: &request.namespace,
            queue: name_of(request.task_queue.as_ref()),
            identity: &request.identity,
            worker_instance_key: &request.worker_instance_key,
        }
    }
}

fn name_of(queue: Option<&taskqueue::TaskQueue>) -> &str {
    queue.map_or("", |queue| queue.name.as_str())
}

/// A poll that waits longer for its task is one too many.
const LONG_WAIT: Duration = Duration::from_secs(1);

impl Workflows {
    pub(crate) fn decide_worker_poll(
        &self,
        poll: &WorkerPoll<'_>,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let namespace = self.namespaces.by_name(poll.namespace)?.id;
        self.check_polled(poll.queue)?;
        self.decide_poll(&poll.key(namespace), poll.identity, cx, plan)
    }

    pub(crate) fn decide_poll_publish(&self, cx: &Cx<'_>, plan: &mut Vec<Op>) -> Decision {
        self.decide_poll(&reserved(), NODE_IDENTITY, cx, plan)
    }

    fn check_polled(&self, queue: &str) -> Result<(), Refusal> {
        self.check_name(queue, "TaskQueue")?;
        if queue == RESERVED_QUEUE {
            let text = "The task queue \"mainstay\" is reserved: the node itself serves it.";
            return Err(Refusal::InvalidArgument(text.into()));
        }
        Ok(())
    }

    /// Starts the first ready task for this poll; otherwise the poll waits.
    fn decide_poll(
        &self,
        key: &QueueKey,
        identity: &str,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        if self.matching.first_returned(key).is_some() || self.matching.has_query(key) {
            return Ok(None);
        }
        let Some(task) = self.matching.first_ready(key) else {
            if self.matching.poller_count(key) >= self.limits.pollers_per_queue_count {
                return Err(Refusal::ResourceExhausted {
                    message: "too many pollers wait on this task queue".into(),
                    cause: ResourceExhaustedCause::ConcurrentLimit,
                    scope: ResourceExhaustedScope::Namespace,
                });
            }
            return Ok(None);
        };
        let Some(run) = self.runs.get(&task.run()) else { return Ok(None) };
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        match task {
            TaskKey::Workflow(_) => tx.start_task(identity),
            TaskKey::Activity(_, scheduled) => tx.start_activity(scheduled, identity),
        }
        tx.finish();
        Ok(None)
    }

    pub(crate) fn attend_worker_poll(
        &mut self,
        poll: &WorkerPoll<'_>,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(namespace) = self.namespaces.by_name(poll.namespace).map(|n| n.id) else {
            return;
        };
        let poller = Poller {
            ticket,
            identity: poll.identity.to_owned(),
            worker_instance_key: poll.worker_instance_key.to_owned(),
            since: self.matching.now(),
        };
        self.attend_poll(&poll.key(namespace), poller, effects);
    }

    pub(crate) fn attend_poll_publish(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let identity = NODE_IDENTITY.to_owned();
        let since = self.matching.now();
        let poller = Poller { ticket, identity, worker_instance_key: String::new(), since };
        self.attend_poll(&reserved(), poller, effects);
    }

    fn attend_poll(&mut self, key: &QueueKey, poller: Poller, effects: &mut Vec<Effect>) {
        self.matching.polled(key);
        if let Some(task) = self.matching.first_returned(key) {
            self.hand(task, key, &poller, effects);
        } else if let Some(query) = self.matching.take_query(key) {
            self.hand_query(query, key, poller.ticket, effects);
        } else {
            self.matching.add_poller(key, poller);
        }
    }

    /// Gives tasks that were started by this ask, or came back, to pollers that wait.
    pub(crate) fn hand_out(&mut self, effects: &mut Vec<Effect>) {
        for task in self.matching.take_fresh() {
            let Some(queues) = self.matching.queues_of(task).map(<[QueueKey]>::to_vec) else {
                continue;
            };
            for key in queues {
                if let Some(poller) = self.matching.take_poller(&key) {
                    self.hand(task, &key, &poller, effects);
                    break;
                }
            }
        }
    }

    fn hand(&mut self, task: TaskKey, key: &QueueKey, poller: &Poller, effects: &mut Vec<Effect>) {
        let scaling = self.scaling(key, poller);
        let reply = match task {
            TaskKey::Workflow(run) => {
                let state = self.runs.get(&run).and_then(|run| run.state.task.as_ref());
                let sticky = state.and_then(|task| task.sticky_queue.as_deref());
                let on_sticky = sticky == Some(&*key.name);
                self.hand_workflow_task(run, on_sticky).map(|mut task| {
                    task.response.poller_scaling_decision = scaling;
                    Reply::WorkflowTask(Box::new(task))
                })
            }
            TaskKey::Activity(run, scheduled) => {
                self.hand_activity_task(run, scheduled).map(|mut task| {
                    task.response.poller_scaling_decision = scaling;
                    Reply::ActivityTask(Box::new(task))
                })
            }
        };
        if let Some(reply) = reply {
            effects.push(Effect::Reply(poller.ticket, Box::new(Ok(reply))));
        }
    }

    /// Whether a worker should poll more or less, as Temporal's servers say it: one more while
    /// tasks wait behind the one it gets, one less if this poll waited long for it.
    fn scaling(&self, key: &QueueKey, poller: &Poller) -> Option<taskqueue::PollerScalingDecision> {
        let waited = self.matching.now().since(poller.since);
        let delta = match self.matching.backlog(key) {
            0 if waited > LONG_WAIT => -1,
            0 => return None,
            _ => 1,
        };
        Some(taskqueue::PollerScalingDecision { poll_request_delta_suggestion: delta })
    }

    /// Makes the answer that carries a started workflow task. With `cached` the worker has the
    /// history up to the last completed task already.
    pub(crate) fn hand_workflow_task(&mut self, id: RunId, cached: bool) -> Option<WorkflowTask> {
        let queries = self.attach_queries(id);
        let run = self.runs.get(&id)?;
        let state = &run.state;
        let task = state.task.as_ref()?;
        let namespace = state.key.namespace;
        let token = Task::Workflow(id, task.scheduled_event_id, task.attempt);
        let token = token::encode(token, namespace, self.generation);
        let normal = QueueKey::workflow(namespace, state.task_queue());
        let response = service::PollWorkflowTaskQueueResponse {
            task_token: token.0.to_vec(),
            workflow_execution: Some(state.execution()),
            workflow_type: state.started.workflow_type.clone(),
            previous_started_event_id: state.previous_started_event_id,
            started_event_id: task.started_event_id,
            attempt: task.attempt,
            backlog_count_hint: i64::try_from(self.matching.backlog(&normal)).unwrap_or(0),
            workflow_execution_task_queue: Some(normal_queue(state.task_queue())),
            scheduled_time: Some(timestamp(at(task.scheduled_at))),
            started_time: Some(timestamp(at(task.started_at))),
            queries,
            ..Default::default()
        };
        let after = if cached { state.previous_started_event_id } else { 0 };
        let history = self.slice(run, after, true);
        self.matching.delivered(TaskKey::Workflow(id));
        Some(WorkflowTask { response, history, token: Some(token) })
    }

    /// Makes the answer that carries a started activity task.
    pub(crate) fn hand_activity_task(&mut self, id: RunId, scheduled: i64) -> Option<ActivityTask> {
        let run = &self.runs.get(&id)?.state;
        let activity = run.activities.get(&scheduled)?;
        let (a, state) = (&activity.scheduled, &activity.state);
        let token = Task::Activity(id, scheduled, state.attempt);
        let token: TaskToken = token::encode(token, run.key.namespace, self.generation);
        let response = service::PollActivityTaskQueueResponse {
            task_token: token.0.to_vec(),
            workflow_namespace: self.namespaces.name_of(run.key.namespace).to_owned(),
            workflow_type: Some(common::WorkflowType { name: run.workflow_type().to_owned() }),
            workflow_execution: Some(run.execution()),
            activity_type: a.activity_type.clone(),
            activity_id: a.activity_id.clone(),
            header: a.header.clone(),
            input: a.input.clone(),
            heartbeat_details: state.heartbeat_details.clone(),
            scheduled_time: Some(timestamp(at(state.first_scheduled_at))),
            current_attempt_scheduled_time: Some(timestamp(at(state.scheduled_at))),
            started_time: Some(timestamp(at(state.started_at))),
            attempt: state.attempt,
            schedule_to_close_timeout: a.schedule_to_close_timeout,
            start_to_close_timeout: a.start_to_close_timeout,
            heartbeat_timeout: a.heartbeat_timeout,
            retry_policy: a.retry_policy.clone(),
            priority: a.priority.clone(),
            ..Default::default()
        };
        self.matching.delivered(TaskKey::Activity(id, scheduled));
        Some(ActivityTask { response, token })
    }

    /// A handed task could not be delivered: it waits for the next poller.
    pub(crate) fn attend_undelivered(&mut self, token: &TaskToken) {
        // Planted: its timeout will bring it back, if it has one.
        if planted::is(Bug::TaskLostWhenPollerDies) {
            return;
        }
        match token::decode(&token.0, self.generation) {
            Some(Task::Workflow(run, scheduled, attempt)) => {
                self.matching.returned(TaskKey::Workflow(run), (scheduled, attempt));
            }
            Some(Task::Activity(run, scheduled, attempt)) => {
                let key = TaskKey::Activity(run, scheduled);
                self.matching.returned(key, (scheduled, attempt));
            }
            Some(Task::Query(id)) => self.return_query(id),
            None => {}
        }
    }

    /// The worker's sticky tasks go to the normal queue at once: not all of very many, they are one
    /// entry.
    pub(crate) fn decide_shutdown_worker(
        &self,
        request: &service::ShutdownWorkerRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let namespace = self.namespaces.by_name(&request.namespace)?.id;
        if request.sticky_task_queue.is_empty() {
            return Ok(Some(Reply::ShutdownWorker));
        }
        let key = QueueKey::workflow(namespace, &request.sticky_task_queue);
        let mut planner = self.planner(cx, plan);
        for task in self.matching.ready(&key).into_iter().take(self.limits.shutdown_tasks_count) {
            let Some(run) = self.runs.get(&task.run()) else { continue };
            let mut tx = Transaction::begin(&mut planner, &run.state);
            tx.run.sticky = None;
            if let Some(task) = &mut tx.run.task {
                task.sticky_queue = None;
                task.schedule_to_start_deadline = 0;
            }
            tx.finish();
        }
        Ok(Some(Reply::ShutdownWorker))
    }

    pub(crate) fn attend_shutdown_worker(
        &mut self,
        request: &service::ShutdownWorkerRequest,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(namespace) = self.namespaces.by_name(&request.namespace).map(|n| n.id) else {
            return;
        };
        let mut gone = Vec::new();
        if !request.sticky_task_queue.is_empty() {
            let key = QueueKey::workflow(namespace, &request.sticky_task_queue);
            gone.extend(self.matching.shut_down(&key, ""));
            for query in self.matching.queries(&key) {
                self.return_query(query);
            }
        }
        let (queue, worker) = (&request.task_queue, &request.worker_instance_key);
        if !queue.is_empty() && !worker.is_empty() {
            gone.extend(self.matching.shut_down(&QueueKey::workflow(namespace, queue), worker));
            gone.extend(self.matching.shut_down(&QueueKey::activity(namespace, queue), worker));
        }
        for ticket in gone {
            effects.push(Effect::Reply(ticket, Box::new(Ok(Reply::EmptyPoll))));
        }
    }

    pub(crate) fn decide_reset_sticky(
        &self,
        request: &service::ResetStickyTaskQueueRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let run = self.find(&request.namespace, request.execution.as_ref())?;
        crate::signal::must_be_running(&run.state)?;
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.run.sticky = None;
        tx.finish();
        Ok(Some(Reply::ResetStickyTaskQueue))
    }
}

fn reserved() -> QueueKey {
    QueueKey::activity(Uuid::nil(), RESERVED_QUEUE)
}
