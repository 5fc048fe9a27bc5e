//! Queries: volatile from end to end. The caller waits on a connection, so nothing is journaled.
//!
//! A query goes directly to a worker if the workflow has been worked on and no workflow task is
//! pending; otherwise it is attached to the next workflow task, so that it sees all that was
//! acknowledged before it.

use crate::ask::{Effect, HistorySlice, Refusal, Reply, WorkflowTask};
use crate::machine::{Decision, Workflows};
use crate::matching::QueueKey;
use crate::proto::{enums, normal_queue, query, service};
use crate::run::RunState;
use crate::token::{self, Task};
use base::{Cx, RunId, Ticket, Timestamp, Uuid};
use enums::{QueryRejectCondition, QueryResultType, WorkflowExecutionStatus as Status};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Attempts from which a workflow task counts as stuck.
const STUCK_ATTEMPT: i32 = 3;

pub(crate) type QueryId = Uuid;

/// All queries in flight.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    pending: HashMap<QueryId, Pending>,
    by_run: HashMap<RunId, BTreeSet<QueryId>>,
    by_ticket: HashMap<Ticket, QueryId>,
    deadlines: BTreeSet<(Timestamp, QueryId)>,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    run: RunId,
    query: query::WorkflowQuery,
    place: Place,
    /// The sticky worker did not take it.
    normal_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// Waits for the next workflow task.
    Buffered,
    /// With a worker, attached to a workflow task.
    Attached,
    /// Waits on a queue for a poller; on a sticky one only until the deadline.
    Queued(QueueKey, Option<Timestamp>),
    /// With a worker, alone.
    Dispatched,
}

impl Queries {
    /// When the first query leaves its sticky queue.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(when, _)| *when)
    }

    fn insert(&mut self, id: QueryId, pending: Pending) {
        self.by_run.entry(pending.run).or_default().insert(id);
        self.by_ticket.insert(pending.ticket, id);
        self.pending.insert(id, pending);
    }

    fn remove(&mut self, id: QueryId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.by_ticket.remove(&pending.ticket);
        if let Some(ids) = self.by_run.get_mut(&pending.run) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_run.remove(&pending.run);
            }
        }
        if let Place::Queued(_, Some(deadline)) = &pending.place {
            self.deadlines.remove(&(*deadline, id));
        }
        Some(pending)
    }

    fn set_place(&mut self, id: QueryId, place: Place) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        if let Place::Queued(_, Some(deadline)) = &pending.place {
            self.deadlines.remove(&(*deadline, id));
        }
        if let Place::Queued(_, Some(deadline)) = &place {
            self.deadlines.insert((*deadline, id));
        }
        pending.place = place;
    }

    fn of_run(&self, run: RunId) -> Vec<QueryId> {
        self.by_run.get(&run).map_or(Vec::new(), |ids| ids.iter().copied().collect())
    }
}

impl Workflows {
    pub(crate) fn decide_query(
        &self,
        request: &service::QueryWorkflowRequest,
        _cx: &Cx<'_>,
    ) -> Decision {
        let run = &self.find(&request.namespace, request.execution.as_ref())?.state;
        if request.query.as_ref().is_none_or(|query| query.query_type.is_empty()) {
            return Err(Refusal::InvalidArgument("QueryType is not set on request.".into()));
        }
        if let Some(rejected) = rejection(run, request.query_reject_condition()) {
            return Ok(Some(rejected));
        }
        not_ready(run)?;
        if run.is_running() && run.task.is_none() && run.previous_started_event_id == 0 {
            let text = "Workflow task is not scheduled yet.";
            return Err(Refusal::WorkflowNotReady(text.into()));
        }
        if self.queries.of_run(run.id).len() >= self.limits.buffered_queries_count {
            return Err(Refusal::ResourceExhausted {
                message: "consistent query buffer is full, cannot accept new consistent queries"
                    .into(),
                cause: enums::ResourceExhaustedCause::BusyWorkflow,
                scope: enums::ResourceExhaustedScope::Namespace,
            });
        }
        Ok(None)
    }

    pub(crate) fn attend_query(
        &mut self,
        request: &service::QueryWorkflowRequest,
        ticket: Ticket,
        cx: &Cx<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(run) = self.find(&request.namespace, request.execution.as_ref()) else { return };
        if rejection(&run.state, request.query_reject_condition()).is_some() {
            return;
        }
        let (run, id) = (run.state.id, cx.uuid());
        let query = request.query.clone().unwrap_or_default();
        let place = Place::Buffered;
        self.queries.insert(id, Pending { ticket, run, query, place, normal_only: false });
        self.settle_query(id, cx, effects);
    }

    /// Sends buffered queries of changed runs on their way, if they need not wait any more.
    pub(crate) fn settle_queries(&mut self, cx: &Cx<'_>, effects: &mut Vec<Effect>) {
        for run in self.touched.clone() {
            for id in self.queries.of_run(run) {
                let started = self.runs.get(&run).is_some_and(|run| run.state.task_started());
                let place = self.queries.pending.get(&id).map(|pending| pending.place.clone());
                if place == Some(Place::Attached) && !started {
                    self.queries.set_place(id, Place::Buffered);
                }
                self.settle_query(id, cx, effects);
            }
        }
    }

    fn settle_query(&mut self, id: QueryId, cx: &Cx<'_>, effects: &mut Vec<Effect>) {
        let Some(pending) = self.queries.pending.get(&id) else { return };
        let Some(run) = self.runs.get(&pending.run).map(|run| &run.state) else { return };
        if pending.place != Place::Buffered {
            return;
        }
        if let Err(refusal) = not_ready(run) {
            if let Some(pending) = self.queries.remove(id) {
                effects.push(Effect::Reply(pending.ticket, Box::new(Err(refusal))));
            }
            return;
        }
        let direct = run.previous_started_event_id > 0 && (!run.is_running() || run.task.is_none());
        if !direct {
            return;
        }
        let namespace = run.key.namespace;
        let ttl = self.limits.sticky_poller_ttl;
        let since = Timestamp(cx.now.0 - i64::try_from(ttl.as_micros()).unwrap_or(0));
        let sticky = run.sticky.as_ref().filter(|_| !pending.normal_only).and_then(|sticky| {
            let key = QueueKey::workflow(namespace, &sticky.queue);
            let wait = Duration::from_micros(u64::try_from(sticky.schedule_to_start).unwrap_or(0));
            self.matching.is_polled(&key, since).then(|| (key, cx.now.after(wait)))
        });
        let normal = QueueKey::workflow(namespace, run.task_queue());
        match sticky {
            Some((key, deadline)) => self.queue_query(id, key, Some(deadline), effects),
            None => self.queue_query(id, normal, None, effects),
        }
    }

    fn queue_query(
        &mut self,
        id: QueryId,
        key: QueueKey,
        deadline: Option<Timestamp>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(poller) = self.matching.take_poller(&key) {
            self.hand_query(id, &key, poller.ticket, effects);
            return;
        }
        self.matching.add_query(&key, id);
        self.queries.set_place(id, Place::Queued(key, deadline));
    }

    /// Queries that have waited too long for a sticky worker go to the normal queue.
    pub(crate) fn move_stale_queries(&mut self, cx: &Cx<'_>) {
        while let Some((when, id)) = self.queries.deadlines.first().copied() {
            if when > cx.now {
                break;
            }
            self.return_query(id);
        }
    }

    /// A query that could not be delivered goes to the normal queue.
    pub(crate) fn return_query(&mut self, id: QueryId) {
        let Some(pending) = self.queries.pending.get(&id) else { return };
        if let Place::Queued(key, _) = &pending.place {
            self.matching.remove_query(key, id);
        }
        let run = pending.run;
        self.queries.set_place(id, Place::Buffered);
        if let Some(pending) = self.queries.pending.get_mut(&id) {
            pending.normal_only = true;
        }
        self.touched.push(run);
    }

    /// Hands a query to a worker, alone.
    pub(crate) fn hand_query(
        &mut self,
        id: QueryId,
        key: &QueueKey,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.queries.pending.get(&id) else { return };
        let Some(run) = self.runs.get(&pending.run) else { return };
        let state = &run.state;
        let sticky = state.sticky.as_ref().is_some_and(|sticky| sticky.queue == *key.name);
        let token = token::encode(Task::Query(id), state.key.namespace, self.generation);
        let response = service::PollWorkflowTaskQueueResponse {
            task_token: token.0.to_vec(),
            workflow_execution: Some(state.execution()),
            workflow_type: state.started.workflow_type.clone(),
            previous_started_event_id: state.previous_started_event_id,
            query: Some(pending.query.clone()),
            workflow_execution_task_queue: Some(normal_queue(state.task_queue())),
            ..Default::default()
        };
        let after = if sticky { i64::MAX } else { 0 };
        let history = self.slice(run, after, false);
        let task = WorkflowTask { response, history, token: Some(token) };
        self.queries.set_place(id, Place::Dispatched);
        effects.push(Effect::Reply(ticket, Box::new(Ok(Reply::WorkflowTask(Box::new(task))))));
    }

    /// The queries that go with a run's workflow task. None go with one that cannot get on: they
    /// are refused when the queries are settled.
    pub(crate) fn attach_queries(&mut self, run: RunId) -> HashMap<String, query::WorkflowQuery> {
        let stuck = self.runs.get(&run).is_some_and(|run| not_ready(&run.state).is_err());
        let mut attached = HashMap::new();
        for id in self.queries.of_run(run) {
            let Some(pending) = self.queries.pending.get(&id) else { continue };
            if !matches!(pending.place, Place::Buffered | Place::Attached) {
                continue;
            }
            if stuck {
                self.queries.set_place(id, Place::Buffered);
            } else {
                attached.insert(id.to_string(), pending.query.clone());
                self.queries.set_place(id, Place::Attached);
            }
        }
        attached
    }

    /// Answers the queries that came back with a workflow task. The others wait for the next.
    pub(crate) fn answer_attached_queries(
        &mut self,
        run: RunId,
        results: &HashMap<String, query::WorkflowQueryResult>,
        effects: &mut Vec<Effect>,
    ) {
        for (id, result) in results {
            let Ok(id) = id.parse::<QueryId>() else { continue };
            if self.queries.pending.get(&id).is_none_or(|pending| pending.run != run) {
                continue;
            }
            let Some(pending) = self.queries.remove(id) else { continue };
            let answer = match result.result_type() {
                QueryResultType::Failed => Err(Refusal::QueryFailed {
                    message: result.error_message.clone(),
                    failure: result.failure.clone().map(Box::new),
                }),
                _ => Ok(answered(result.answer.clone())),
            };
            effects.push(Effect::Reply(pending.ticket, Box::new(answer)));
        }
        for id in self.queries.of_run(run) {
            if self.queries.pending.get(&id).is_some_and(|p| p.place == Place::Attached) {
                self.queries.set_place(id, Place::Buffered);
            }
        }
    }

    pub(crate) fn decide_query_answer(
        &self,
        request: &service::RespondQueryTaskCompletedRequest,
    ) -> Decision {
        let Task::Query(id) = self.task_of(&request.task_token, &request.namespace)? else {
            return Err(Refusal::InvalidArgument("Invalid TaskToken.".into()));
        };
        if !self.queries.pending.contains_key(&id) {
            return Err(Refusal::NotFound("Query not found, or its caller has gone.".into()));
        }
        Ok(Some(Reply::RespondQueryTaskCompleted))
    }

    pub(crate) fn attend_query_answer(
        &mut self,
        request: &service::RespondQueryTaskCompletedRequest,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Task::Query(id)) = token::decode(&request.task_token, self.generation) else {
            return;
        };
        let Some(pending) = self.queries.remove(id) else { return };
        if let Place::Queued(key, _) = &pending.place {
            self.matching.remove_query(key, id);
        }
        let answer = match request.completed_type() {
            QueryResultType::Failed => Err(Refusal::QueryFailed {
                message: request.error_message.clone(),
                failure: request.failure.clone().map(Box::new),
            }),
            _ => Ok(answered(request.query_result.clone())),
        };
        effects.push(Effect::Reply(pending.ticket, Box::new(answer)));
    }

    /// The caller of a query went away.
    pub(crate) fn forget_query(&mut self, ticket: Ticket) {
        let Some(id) = self.queries.by_ticket.get(&ticket).copied() else { return };
        if let Some(pending) = self.queries.remove(id)
            && let Place::Queued(key, _) = &pending.place
        {
            self.matching.remove_query(key, id);
        }
    }

    /// Panics if a query is in no place, or in two.
    pub(crate) fn check_queries(&self) {
        let queries = &self.queries;
        assert_eq!(queries.pending.len(), queries.by_ticket.len(), "one ticket a query");
        let deadlines = queries
            .pending
            .values()
            .filter(|pending| matches!(pending.place, Place::Queued(_, Some(_))));
        assert_eq!(deadlines.count(), queries.deadlines.len(), "no deadline is left over");
        for (id, pending) in &queries.pending {
            let started = self.runs.get(&pending.run).is_some_and(|run| run.state.task_started());
            match &pending.place {
                Place::Attached => assert!(started, "query {id} is with a task"),
                Place::Queued(key, _) => {
                    assert!(self.matching.queries(key).contains(id), "query {id} is on its queue");
                }
                Place::Buffered | Place::Dispatched => {}
            }
        }
    }

    /// The run's history as it is now, from the batch that ends behind `after`. With `transient`
    /// the promised events of a started transient task are appended.
    pub(crate) fn slice(
        &self,
        run: &crate::machine::Run,
        after: i64,
        transient: bool,
    ) -> HistorySlice {
        let state = &run.state;
        let from = run.batches.partition_point(|batch| batch.last_event_id <= after);
        let promised = state
            .task
            .as_ref()
            .filter(|task| transient && task.attempt > 1 && task.started_event_id != 0);
        let promised =
            promised.map_or(Vec::new(), |task| crate::workflow_task::transient_events(state, task));
        HistorySlice {
            run_id: state.id,
            batches: run.batches.get(from..).unwrap_or_default().to_vec(),
            transient: crate::op::encode_events(&promised),
            next_event_id: state.next_event_id,
            closed: !state.is_running(),
        }
    }
}

fn answered(result: Option<crate::proto::common::Payloads>) -> Reply {
    Reply::QueryWorkflow(Box::new(service::QueryWorkflowResponse {
        query_result: result,
        ..Default::default()
    }))
}

fn rejection(run: &RunState, condition: QueryRejectCondition) -> Option<Reply> {
    let rejects = match condition {
        QueryRejectCondition::NotOpen => !run.is_running(),
        QueryRejectCondition::NotCompletedCleanly => {
            !matches!(run.status, Status::Running | Status::Completed)
        }
        _ => false,
    };
    rejects.then(|| {
        Reply::QueryWorkflow(Box::new(service::QueryWorkflowResponse {
            query_rejected: Some(query::QueryRejected { status: run.status as i32 }),
            ..Default::default()
        }))
    })
}

fn not_ready(run: &RunState) -> Result<(), Refusal> {
    let text = if !run.is_running() && run.previous_started_event_id == 0 {
        "Workflow was closed before its first workflow task was completed."
    } else if run.task.as_ref().is_some_and(|task| task.attempt >= STUCK_ATTEMPT) {
        "Cannot query workflow due to Workflow Task in failed state."
    } else {
        return Ok(());
    };
    Err(Refusal::WorkflowNotReady(text.into()))
}
