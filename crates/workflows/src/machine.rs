//! The machine: what it holds, how ops change it, and which file decides which ask.

use crate::ask::{Ask, Effect, EventBatch, Refusal, Reply};
use crate::history_wait::HistoryWaits;
use crate::limits::Limits;
use crate::matching::{Matching, Planner, QueueKey, TaskKey, Used, Wanted};
use crate::namespace::Namespaces;
use crate::op::{Op, split_batches};
use crate::proto::Attributes;
use crate::query::Queries;
use crate::request_ids::RequestIds;
use crate::run::{ExecutionKey, RunState};
use crate::{activity, workflow_task};
use base::planted::{self, Bug};
use base::{BlobAddr, Cx, Lsn, Machine, RunId, Ticket, Timestamp, Verdict};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Namespaces, executions, timers, activities and matching.
#[derive(Debug, Default)]
pub struct Workflows {
    pub(crate) limits: Limits,
    /// History generation, in every task token.
    pub(crate) generation: u32,
    pub(crate) namespaces: Namespaces,
    pub(crate) chains: HashMap<ExecutionKey, Chain>,
    /// Boxed: a growing table moves its values, and these are large.
    pub(crate) runs: HashMap<RunId, Box<Run>>,
    pub(crate) matching: Matching,
    pub(crate) queries: Queries,
    pub(crate) waits: HistoryWaits,
    /// What time will make due, by run.
    pub(crate) due: BTreeSet<(Timestamp, RunId)>,
    /// Runs changed by the ask that is being carried out.
    pub(crate) touched: Vec<RunId>,
}

/// All runs of one workflow id, as far as they matter: the last one, and what was asked already.
#[derive(Debug, PartialEq)]
pub(crate) struct Chain {
    pub(crate) current: RunId,
    pub(crate) requests: RequestIds,
}

/// One run: its state, and where its events are.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) state: RunState,
    pub(crate) batches: Vec<EventBatch>,
    due: Option<Timestamp>,
}

/// No ask changes so many runs: it is replay, to which nobody attends.
const TOUCHED_MAX: usize = 4096;

pub(crate) type Decision = Result<Option<Reply>, Refusal>;

impl Workflows {
    /// An empty machine. The journal's ops bring it to life.
    pub fn new(limits: Limits, generation: u32) -> Workflows {
        Workflows { limits, generation, ..Workflows::default() }
    }

    /// What the first entry of a journal says: the namespace `default` exists.
    pub fn birth(cx: &Cx<'_>) -> Vec<Op> {
        vec![Op::NamespaceRegistered(Namespaces::birth(cx))]
    }

    /// The status of the current run of a workflow id: `None` if there has never been one,
    /// otherwise whether it is running.
    pub fn is_running(&self, namespace: &str, workflow_id: &str) -> Option<bool> {
        let namespace = self.namespaces.by_name(namespace).ok()?.id;
        let key = ExecutionKey { namespace, workflow_id: workflow_id.into() };
        let chain = self.chains.get(&key)?;
        Some(self.runs.get(&chain.current)?.state.is_running())
    }

    /// A run, open or closed.
    pub(crate) fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(Box::as_ref)
    }

    /// How many runs there are, and how many of them are open.
    pub fn run_counts(&self) -> (usize, usize) {
        let open = self.runs.values().filter(|run| run.state.is_running()).count();
        (self.runs.len(), open)
    }

    /// Whether the journal has brought both machines to the same state. What is derived or
    /// volatile (queues, pollers, queries) is not compared.
    pub fn same_journaled_state(&self, other: &Workflows) -> bool {
        let same_runs = self.runs.len() == other.runs.len()
            && self.runs.iter().all(|(id, run)| {
                let twin = other.runs.get(id);
                twin.is_some_and(|twin| run.state == twin.state && run.batches == twin.batches)
            });
        let same_chains = self.chains.len() == other.chains.len()
            && self
                .chains
                .iter()
                .all(|(key, chain)| other.chains.get(key).is_some_and(|twin| chain == twin));
        same_runs && same_chains && self.namespaces == other.namespaces
    }

    pub(crate) fn planner<'a, 'e>(
        &'a self,
        cx: &'a Cx<'e>,
        plan: &'a mut Vec<Op>,
    ) -> Planner<'a, 'e> {
        let (matching, limits) = (&self.matching, &self.limits);
        Planner { matching, limits, cx, used: Used::default(), plan }
    }

    fn apply_to_run(&mut self, lsn: Lsn, id: RunId, change: impl FnOnce(&mut Run, &mut Vec<i64>)) {
        let Some(run) = self.runs.get_mut(&id) else {
            // The journal's order guarantees that a run exists before it changes.
            panic!("entry {lsn} changes run {id}, which no entry created");
        };
        let mut activities = Vec::new();
        change(run, &mut activities);
        for scheduled_event_id in activities {
            let task = TaskKey::Activity(id, scheduled_event_id);
            self.matching.place(task, wanted_activity(&run.state, scheduled_event_id));
        }
        self.matching.place(TaskKey::Workflow(id), wanted_task(&run.state));
        let due = next_deadline(&run.state);
        if due != run.due {
            if let Some(before) = run.due {
                self.due.remove(&(before, id));
            }
            if let Some(after) = due {
                self.due.insert((after, id));
            }
            run.due = due;
        }
        if self.touched.len() >= TOUCHED_MAX {
            self.touched.clear();
            self.matching.take_fresh();
        }
        if self.touched.last() != Some(&id) {
            self.touched.push(id);
        }
    }

    fn create_run(&mut self, op: &crate::op::RunCreated, at: Timestamp) {
        let (namespace, id) = (op.namespace.uuid(), op.run.run());
        let key = ExecutionKey { namespace, workflow_id: op.workflow_id.as_str().into() };
        let first = Timestamp(op.first_task_at);
        let state = RunState::new(id, key.clone(), &op.request_id, first);
        self.runs.insert(id, Box::new(Run { state, batches: Vec::new(), due: None }));
        let chain = self
            .chains
            .entry(key)
            .or_insert_with(|| Chain { current: id, requests: RequestIds::default() });
        chain.current = id;
        chain.requests.remember_start(&op.request_id, id, at, &self.limits);
    }
}

/// Applies events to a run and remembers where they are.
fn apply_events(
    run: &mut Run,
    op: &crate::op::Events,
    blobs: &[BlobAddr],
    activities: &mut Vec<i64>,
) {
    let before: Vec<i64> = run.state.activities.keys().copied().collect();
    let first = run.state.next_event_id;
    for (index, event) in op.events.iter().enumerate() {
        run.state.apply_event(event, op.flushed.binary_search(&index).is_ok());
        activities.extend(activity_of(event.event_id, event.attributes.as_ref()));
    }
    if !op.flushed.is_empty() {
        run.state.take_buffered();
    }
    if !run.state.is_running() {
        activities.extend(before);
    }
    let mut from = first;
    for (range, address) in split_batches(&op.events).into_iter().zip(blobs) {
        let count = i64::try_from(range.len()).unwrap_or(0);
        let last = from + count - 1;
        run.batches.push(EventBatch {
            first_event_id: from,
            last_event_id: last,
            address: *address,
        });
        run.state.history_size_bytes += u64::from(address.length);
        from = last + 1;
    }
    if !run.state.is_running() {
        run.state.shed();
        run.batches.shrink_to_fit();
    }
}

fn activity_of(event_id: i64, attributes: Option<&Attributes>) -> Option<i64> {
    match attributes? {
        Attributes::ActivityTaskScheduledEventAttributes(_) => Some(event_id),
        Attributes::ActivityTaskCompletedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskFailedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskTimedOutEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskCanceledEventAttributes(a) => Some(a.scheduled_event_id),
        _ => None,
    }
}

fn wanted_activity(run: &RunState, scheduled_event_id: i64) -> Option<Wanted> {
    let activity = run.activities.get(&scheduled_event_id)?;
    if activity.state.backing_off {
        return None;
    }
    Some(Wanted {
        queues: vec![QueueKey::activity(run.key.namespace, activity.queue())],
        stamp: (scheduled_event_id, activity.state.attempt),
        started: activity.is_started(),
        evident: activity.state.last_heartbeat_at != 0,
    })
}

fn wanted_task(run: &RunState) -> Option<Wanted> {
    let task = run.task.as_ref()?;
    let namespace = run.key.namespace;
    let started = task.started_event_id != 0;
    let mut queues = Vec::new();
    queues.extend(task.sticky_queue.as_deref().map(|name| QueueKey::workflow(namespace, name)));
    if started || queues.is_empty() {
        queues.push(QueueKey::workflow(namespace, run.task_queue()));
    }
    let stamp = (task.scheduled_event_id, task.attempt);
    Some(Wanted { queues, stamp, started, evident: false })
}

/// When time will next change this run.
pub(crate) fn next_deadline(run: &RunState) -> Option<Timestamp> {
    if !run.is_running() {
        return None;
    }
    let mut first = run.execution_deadline().min(run.run_deadline());
    if let Some(task) = &run.task {
        first = first.min(workflow_task::deadline(task));
    } else if run.previous_started_event_id == 0 && run.first_task_at.0 != 0 {
        first = first.min(run.first_task_at);
    }
    for timer in run.timers.values() {
        first = first.min(timer.fires_at);
    }
    for activity in run.activities.values() {
        if let Some((when, _)) = activity::deadline(activity) {
            first = first.min(when);
        }
    }
    (first != Timestamp::NEVER).then_some(first)
}

impl Workflows {
    /// Planted: what is lost, or done again, when a restart derives it wrongly.
    fn plant(&mut self) {
        if planted::is(Bug::TimerOnlyInMemory) {
            self.due.clear();
        }
        if planted::is(Bug::RequestIdsForgotten) {
            self.chains.values_mut().for_each(|chain| chain.requests = RequestIds::default());
        }
        if planted::is(Bug::ReadyTaskNotRebuilt) {
            self.matching.forget_ready();
        }
        if planted::is(Bug::TimerFiredTwiceAfterReplay) {
            for id in self.runs.keys().copied().collect::<Vec<_>>() {
                self.apply_to_run(Lsn(0), id, |run, _| run.state.arm_buffered_timers());
            }
        }
    }

    /// Panics if a task is not where its run says.
    fn check_placed(&self) {
        let mut count = 0;
        for (id, run) in &self.runs {
            let task = wanted_task(&run.state);
            count += usize::from(task.is_some());
            self.matching.check_placed(TaskKey::Workflow(*id), task.as_ref());
            for scheduled in run.state.activities.keys() {
                let task = wanted_activity(&run.state, *scheduled);
                count += usize::from(task.is_some());
                self.matching.check_placed(TaskKey::Activity(*id, *scheduled), task.as_ref());
            }
        }
        assert_eq!(count, self.matching.placed_count(), "no task is left over");
    }
}

impl Machine for Workflows {
    type Ask = Ask;
    type Op = Op;
    type Reply = Reply;
    type Refusal = Refusal;
    type Effect = Effect;

    fn decide(
        &self,
        ask: &Ask,
        _ticket: Ticket,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Verdict<Reply, Refusal> {
        let decision = match ask {
            Ask::RegisterNamespace(r) => self.namespaces.decide_register(r, cx, plan),
            Ask::DescribeNamespace(r) => self.namespaces.describe(r),
            Ask::ListNamespaces(r) => self.namespaces.list(r),
            Ask::StartWorkflowExecution(r) => self.decide_start(r, cx, plan),
            Ask::SignalWithStartWorkflowExecution(r) => self.decide_signal_with_start(r, cx, plan),
            Ask::SignalWorkflowExecution(r) => self.decide_signal(r, cx, plan),
            Ask::RequestCancelWorkflowExecution(r) => self.decide_request_cancel(r, cx, plan),
            Ask::TerminateWorkflowExecution(r) => self.decide_terminate(r, cx, plan),
            Ask::DescribeWorkflowExecution(r) => self.describe(r),
            Ask::GetWorkflowExecutionHistory(r) => self.decide_history(r),
            Ask::QueryWorkflow(r) => self.decide_query(r, cx),
            Ask::PollWorkflowTaskQueue(r) => self.decide_worker_poll(&(&**r).into(), cx, plan),
            Ask::RespondWorkflowTaskCompleted(r) => self.decide_task_completed(r, cx, plan),
            Ask::RespondWorkflowTaskFailed(r) => self.decide_task_failed(r, cx, plan),
            Ask::RespondQueryTaskCompleted(r) => self.decide_query_answer(r),
            Ask::PollActivityTaskQueue(r) => self.decide_worker_poll(&(&**r).into(), cx, plan),
            Ask::PollPublish => self.decide_poll_publish(cx, plan),
            Ask::RecordActivityTaskHeartbeat(r) => self.decide_heartbeat(r, cx, plan),
            Ask::RespondActivityTaskCompleted(r) => self.decide_activity_completed(r, cx, plan),
            Ask::RespondActivityTaskFailed(r) => self.decide_activity_failed(r, cx, plan),
            Ask::RespondActivityTaskCanceled(r) => self.decide_activity_canceled(r, cx, plan),
            Ask::ShutdownWorker(r) => self.decide_shutdown_worker(r, cx, plan),
            Ask::ResetStickyTaskQueue(r) => self.decide_reset_sticky(r, cx, plan),
            Ask::Undelivered(_) => Ok(Some(Reply::Done)),
            Ask::Expire => self.decide_expire(cx, plan),
        };
        match decision {
            Ok(reply) => Verdict::Go(reply),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    fn apply(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        op: &Op,
        blobs: &[BlobAddr],
        _effects: &mut Vec<Effect>,
    ) {
        match op {
            Op::NamespaceRegistered(op) => self.namespaces.apply(op),
            Op::RunCreated(op) => self.create_run(op, at),
            Op::Events(op) => self.apply_to_run(lsn, op.run, |run, activities| {
                apply_events(run, op, blobs, activities);
            }),
            Op::Buffered(op) => self.apply_to_run(lsn, op.run.run(), |run, activities| {
                for event in &op.events {
                    run.state.buffer_event(event);
                    activities.extend(activity_of(0, event.attributes.as_ref()));
                }
            }),
            Op::WorkflowTaskSet(op) => self.apply_to_run(lsn, op.run.run(), |run, _| {
                run.state.task.clone_from(&op.task);
            }),
            Op::ActivitySet(op) => self.apply_to_run(lsn, op.run.run(), |run, activities| {
                if let Some(activity) = run.state.activities.get_mut(&op.scheduled_event_id) {
                    activity.state = Arc::new(op.state.clone());
                }
                activities.push(op.scheduled_event_id);
            }),
            Op::StickySet(op) => self.apply_to_run(lsn, op.run.run(), |run, _| {
                run.state.sticky.clone_from(&op.sticky);
            }),
            Op::RequestSeen(op) => {
                let workflow_id = op.workflow_id.as_str().into();
                let key = ExecutionKey { namespace: op.namespace.uuid(), workflow_id };
                if let Some(chain) = self.chains.get_mut(&key) {
                    chain.requests.remember_signal(op.request.uuid(), at, &self.limits);
                }
            }
        }
    }

    fn attend(&mut self, ask: Ask, ticket: Ticket, cx: &Cx<'_>, effects: &mut Vec<Effect>) {
        self.matching.set_clock(cx.now);
        match ask {
            Ask::PollWorkflowTaskQueue(r) => {
                self.attend_worker_poll(&(&*r).into(), ticket, effects);
            }
            Ask::PollActivityTaskQueue(r) => {
                self.attend_worker_poll(&(&*r).into(), ticket, effects);
            }
            Ask::PollPublish => self.attend_poll_publish(ticket, effects),
            Ask::StartWorkflowExecution(r) => self.attend_start(&r, ticket, effects),
            Ask::RespondWorkflowTaskCompleted(r) => {
                self.attend_task_completed(&r, ticket, effects);
            }
            Ask::QueryWorkflow(r) => self.attend_query(&r, ticket, cx, effects),
            Ask::RespondQueryTaskCompleted(r) => self.attend_query_answer(&r, effects),
            Ask::GetWorkflowExecutionHistory(r) => self.attend_history(*r, ticket),
            Ask::ShutdownWorker(r) => self.attend_shutdown_worker(&r, effects),
            Ask::Undelivered(token) => self.attend_undelivered(&token),
            _ => {}
        }
        // Tasks before queries: the plan has counted on the polls that wait.
        self.hand_out(effects);
        self.move_stale_queries(cx);
        self.settle_queries(cx, effects);
        self.answer_history_waits(effects);
        self.touched.clear();
    }

    fn forget(&mut self, ticket: Ticket) {
        self.matching.forget_poll(ticket);
        self.waits.forget(ticket);
        self.forget_query(ticket);
    }

    fn due(&self, now: Timestamp) -> Option<Ask> {
        self.next_due().filter(|due| *due <= now).map(|_| Ask::Expire)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let run = self.due.first().map(|(when, _)| *when);
        match (run, self.queries.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn resume(&mut self, _now: Timestamp) {
        // Started tasks stay returned: their workers may never have got them. But what must not
        // run twice is left to its timeouts.
        self.matching.take_fresh();
        for (id, run) in &self.runs {
            for (scheduled, activity) in &run.state.activities {
                let handed_again = planted::is(Bug::AtMostOnceTaskHandedAgain);
                if activity.is_started() && activity.runs_at_most_once() && !handed_again {
                    self.matching.delivered(TaskKey::Activity(*id, *scheduled));
                }
            }
        }
        if planted::COMPILED_IN {
            self.plant();
        }
        // Replay has touched every run; the room is not kept.
        self.touched = Vec::new();
    }

    fn check(&self) {
        self.matching.check();
        self.check_queries();
        self.check_placed();
        for (id, run) in &self.runs {
            let ids = run.batches.last().map_or(0, |batch| batch.last_event_id);
            assert_eq!(ids + 1, run.state.next_event_id, "batches of {id} cover its events");
            assert_eq!(run.due, next_deadline(&run.state), "deadline of {id}");
            let indexed = run.due.is_none_or(|due| self.due.contains(&(due, *id)));
            assert!(indexed, "time knows the deadline of {id}");
            run.state.check_progress();
            let open = run.state.task.is_some()
                || !run.state.activities.is_empty()
                || !run.state.timers.is_empty()
                || !run.state.buffered.is_empty();
            assert!(run.state.is_running() || !open, "closed run {id} holds something open");
            let held = run.state.buffered.is_empty() || run.state.task_started();
            assert!(held, "events of {id} are buffered without a started task");
        }
    }
}
