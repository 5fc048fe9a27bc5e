//! Task queues: which tasks are ready, which were started but are with nobody, and who polls.
//!
//! Tasks are derived from the runs and rebuilt by `apply`; pollers are volatile. A task is in
//! one of three phases: *ready*; *returned* (started in the journal, but no worker has it: its
//! poller went away, or the node was restarted in between); *delivered*. Returned tasks are
//! handed, as the same started task with the same token, to the next poller.
//!
//! Invariant: tasks that are ready and pollers that wait never meet in one queue.

use crate::op::Op;
use crate::query::QueryId;
use base::{RunId, Ticket, Timestamp, Uuid};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Name of the queue that the node itself serves, in every namespace.
pub const RESERVED_QUEUE: &str = "mainstay";

/// Workflow tasks and activity tasks of one name are different queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Workflow,
    Activity,
}

/// A task queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueKey {
    pub(crate) namespace: Uuid,
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
}

impl QueueKey {
    pub(crate) fn workflow(namespace: Uuid, name: &str) -> QueueKey {
        QueueKey { namespace, kind: Kind::Workflow, name: name.into() }
    }

    /// The reserved queue is one for all namespaces.
    pub(crate) fn activity(namespace: Uuid, name: &str) -> QueueKey {
        let namespace = if name == RESERVED_QUEUE { Uuid::nil() } else { namespace };
        QueueKey { namespace, kind: Kind::Activity, name: name.into() }
    }
}

/// A task of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TaskKey {
    Workflow(RunId),
    /// With the scheduled event id.
    Activity(RunId, i64),
}

impl TaskKey {
    pub(crate) fn run(self) -> RunId {
        match self {
            TaskKey::Workflow(run) | TaskKey::Activity(run, _) => run,
        }
    }
}

/// What the run's state says about a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// Where it can be polled: the sticky queue first, if it has one.
    pub(crate) queues: Vec<QueueKey>,
    /// Changes with every attempt: scheduled event id and attempt.
    pub(crate) stamp: (i64, i32),
    pub(crate) started: bool,
    /// A worker has shown that it has the task (a heartbeat).
    pub(crate) evident: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Ready,
    Returned,
    Delivered,
}

#[derive(Clone, Debug)]
struct Placed {
    queues: Vec<QueueKey>,
    sequence: u64,
    stamp: (i64, i32),
    phase: Phase,
}

/// A waiting poll.
#[derive(Clone, Debug)]
pub(crate) struct Poller {
    pub(crate) ticket: Ticket,
    pub(crate) identity: String,
    pub(crate) worker_instance_key: String,
    pub(crate) since: Timestamp,
}

#[derive(Debug, Default)]
struct Queue {
    ready: BTreeMap<u64, TaskKey>,
    returned: BTreeMap<u64, TaskKey>,
    queries: VecDeque<QueryId>,
    pollers: VecDeque<Poller>,
    last_polled: Option<Timestamp>,
}

impl Queue {
    fn is_idle(&self, now: Timestamp) -> bool {
        self.ready.is_empty()
            && self.returned.is_empty()
            && self.queries.is_empty()
            && self.pollers.is_empty()
            && self.last_polled.is_none_or(|polled| now.since(polled) > IDLE)
    }
}

/// All task queues.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    queues: HashMap<QueueKey, Queue>,
    placed: HashMap<TaskKey, Placed>,
    polls: HashMap<Ticket, QueueKey>,
    sequence: u64,
    /// Started by the ask that is being carried out; `attend` hands them out.
    fresh: Vec<TaskKey>,
    /// The time of the ask that is being attended to.
    now: Timestamp,
    polls_seen: u32,
}

/// A queue that has not been polled for this long is forgotten, if nothing is on it.
const IDLE: Duration = Duration::from_secs(300);

/// So many polls go by between two looks for queues to forget.
const POLLS_BETWEEN_SWEEPS: u32 = 1024;

impl Matching {
    /// Brings the queues in line with what the run says about a task.
    pub(crate) fn place(&mut self, task: TaskKey, wanted: Option<Wanted>) {
        let Some(wanted) = wanted else {
            self.remove(task);
            return;
        };
        if let Some(placed) = self.placed.get(&task) {
            let same = placed.stamp == wanted.stamp && placed.queues == wanted.queues;
            let unchanged = match placed.phase {
                Phase::Ready => !wanted.started,
                Phase::Returned => wanted.started && !wanted.evident,
                Phase::Delivered => wanted.started,
            };
            if same && unchanged {
                return;
            }
        }
        self.remove(task);
        let phase = match (wanted.started, wanted.evident) {
            (false, _) => Phase::Ready,
            (true, false) => Phase::Returned,
            (true, true) => Phase::Delivered,
        };
        self.sequence += 1;
        let placed =
            Placed { queues: wanted.queues, sequence: self.sequence, stamp: wanted.stamp, phase };
        self.insert(task, placed);
        if phase == Phase::Returned {
            self.fresh.push(task);
        }
    }

    fn insert(&mut self, task: TaskKey, placed: Placed) {
        match placed.phase {
            Phase::Ready => {
                if let Some(first) = placed.queues.first() {
                    let queue = self.queues.entry(first.clone()).or_default();
                    queue.ready.insert(placed.sequence, task);
                }
            }
            Phase::Returned => {
                for key in &placed.queues {
                    let queue = self.queues.entry(key.clone()).or_default();
                    queue.returned.insert(placed.sequence, task);
                }
            }
            Phase::Delivered => {}
        }
        self.placed.insert(task, placed);
    }

    fn remove(&mut self, task: TaskKey) {
        let Some(placed) = self.placed.remove(&task) else { return };
        for key in &placed.queues {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.ready.remove(&placed.sequence);
                queue.returned.remove(&placed.sequence);
            }
            self.forget_if_idle(key);
        }
    }

    /// A queue that holds nothing and has not been polled lately is not kept.
    fn forget_if_idle(&mut self, key: &QueueKey) {
        if self.queues.get(key).is_some_and(|queue| queue.is_idle(self.now)) {
            self.queues.remove(key);
        }
    }

    /// The asks that follow are attended to at this time.
    pub(crate) fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The time of the ask that is being attended to.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Planted: no queue has a ready task.
    pub(crate) fn forget_ready(&mut self) {
        self.queues.values_mut().for_each(|queue| queue.ready.clear());
    }

    /// A worker has the task now.
    pub(crate) fn delivered(&mut self, task: TaskKey) {
        let Some(mut placed) = self.placed.get(&task).cloned() else { return };
        self.remove(task);
        placed.phase = Phase::Delivered;
        self.insert(task, placed);
    }

    /// The worker that should have had the task was gone. False if the task is no longer that.
    pub(crate) fn returned(&mut self, task: TaskKey, stamp: (i64, i32)) -> bool {
        let Some(mut placed) = self.placed.get(&task).cloned() else { return false };
        if placed.stamp != stamp || placed.phase != Phase::Delivered {
            return false;
        }
        self.remove(task);
        placed.phase = Phase::Returned;
        self.insert(task, placed);
        self.fresh.push(task);
        true
    }

    /// The first task on this queue that is started but with nobody.
    pub(crate) fn first_returned(&self, key: &QueueKey) -> Option<TaskKey> {
        self.queues.get(key)?.returned.values().next().copied()
    }

    /// The first task on this queue that nobody has started.
    pub(crate) fn first_ready(&self, key: &QueueKey) -> Option<TaskKey> {
        self.queues.get(key)?.ready.values().next().copied()
    }

    /// All ready tasks of a queue.
    pub(crate) fn ready(&self, key: &QueueKey) -> Vec<TaskKey> {
        self.queues.get(key).map_or(Vec::new(), |queue| queue.ready.values().copied().collect())
    }

    pub(crate) fn backlog(&self, key: &QueueKey) -> usize {
        self.queues.get(key).map_or(0, |queue| queue.ready.len())
    }

    /// The poller that would get the task after `used` others have got theirs.
    pub(crate) fn poller(&self, key: &QueueKey, used: usize) -> Option<&Poller> {
        self.queues.get(key)?.pollers.get(used)
    }

    pub(crate) fn poller_count(&self, key: &QueueKey) -> usize {
        self.queues.get(key).map_or(0, |queue| queue.pollers.len())
    }

    /// Whether somebody polls this queue, or has lately.
    pub(crate) fn is_polled(&self, key: &QueueKey, since: Timestamp) -> bool {
        self.queues.get(key).is_some_and(|queue| {
            !queue.pollers.is_empty() || queue.last_polled.is_some_and(|polled| polled >= since)
        })
    }

    /// A poll waits.
    pub(crate) fn add_poller(&mut self, key: &QueueKey, poller: Poller) {
        self.polls.insert(poller.ticket, key.clone());
        self.queues.entry(key.clone()).or_default().pollers.push_back(poller);
    }

    /// A poll was seen, whether it waits or not. Workers come and go, each with a queue of its
    /// own: now and then those of the gone are forgotten.
    pub(crate) fn polled(&mut self, key: &QueueKey) {
        let now = self.now;
        self.polls_seen += 1;
        if self.polls_seen >= POLLS_BETWEEN_SWEEPS {
            self.polls_seen = 0;
            self.queues.retain(|_, queue| !queue.is_idle(now));
        }
        self.queues.entry(key.clone()).or_default().last_polled = Some(now);
    }

    /// The first waiting poll leaves the queue, to be answered: its worker lives. (A poll that was
    /// given up proves nothing.)
    pub(crate) fn take_poller(&mut self, key: &QueueKey) -> Option<Poller> {
        let queue = self.queues.get_mut(key)?;
        let poller = queue.pollers.pop_front()?;
        queue.last_polled = Some(self.now);
        self.polls.remove(&poller.ticket);
        Some(poller)
    }

    /// The caller of a waiting poll went away.
    pub(crate) fn forget_poll(&mut self, ticket: Ticket) {
        let Some(key) = self.polls.remove(&ticket) else { return };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.pollers.retain(|poller| poller.ticket != ticket);
        }
    }

    /// The polls of one worker leave a queue, to be answered empty. The queue counts as unpolled.
    pub(crate) fn shut_down(&mut self, key: &QueueKey, worker: &str) -> Vec<Ticket> {
        let Some(queue) = self.queues.get_mut(key) else { return Vec::new() };
        let (gone, stay) = queue
            .pollers
            .drain(..)
            .partition(|poller| worker.is_empty() || poller.worker_instance_key == worker);
        queue.pollers = stay;
        if queue.pollers.is_empty() {
            queue.last_polled = None;
        }
        let gone: VecDeque<Poller> = gone;
        gone.iter().map(|poller| poller.ticket).inspect(|t| drop(self.polls.remove(t))).collect()
    }

    pub(crate) fn add_query(&mut self, key: &QueueKey, query: QueryId) {
        self.queues.entry(key.clone()).or_default().queries.push_back(query);
    }

    pub(crate) fn take_query(&mut self, key: &QueueKey) -> Option<QueryId> {
        self.queues.get_mut(key)?.queries.pop_front()
    }

    pub(crate) fn has_query(&self, key: &QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| !queue.queries.is_empty())
    }

    /// All queries that wait on a queue.
    pub(crate) fn queries(&self, key: &QueueKey) -> Vec<QueryId> {
        self.queues.get(key).map_or(Vec::new(), |queue| queue.queries.iter().copied().collect())
    }

    pub(crate) fn remove_query(&mut self, key: &QueueKey, query: QueryId) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.queries.retain(|waiting| *waiting != query);
        }
    }

    /// Tasks started by the ask that is being carried out, where somebody waits for them.
    pub(crate) fn take_fresh(&mut self) -> Vec<TaskKey> {
        std::mem::take(&mut self.fresh)
    }

    /// The queues at which a returned task can be had, the sticky one first.
    pub(crate) fn queues_of(&self, task: TaskKey) -> Option<&[QueueKey]> {
        let placed = self.placed.get(&task)?;
        (placed.phase == Phase::Returned).then_some(placed.queues.as_slice())
    }

    /// Panics if the queues do not say what the run says about a task.
    pub(crate) fn check_placed(&self, task: TaskKey, wanted: Option<&Wanted>) {
        let Some(wanted) = wanted else {
            assert!(!self.placed.contains_key(&task), "{task:?} is nowhere");
            return;
        };
        let placed = self.placed.get(&task);
        let Some(placed) = placed else { panic!("{task:?} is on its queue") };
        assert_eq!(placed.queues, wanted.queues, "queues of {task:?}");
        assert_eq!(placed.stamp, wanted.stamp, "attempt of {task:?}");
        assert_eq!(placed.phase != Phase::Ready, wanted.started, "phase of {task:?}");
        let first = placed.queues.first().and_then(|key| self.queues.get(key));
        let ready = first.is_some_and(|queue| queue.ready.contains_key(&placed.sequence));
        assert_eq!(ready, placed.phase == Phase::Ready, "{task:?} can be polled if it is ready");
    }

    /// How many tasks there are, in whatever phase.
    pub(crate) fn placed_count(&self) -> usize {
        self.placed.len()
    }

    /// Panics if a task and a poller miss each other.
    pub(crate) fn check(&self) {
        let waiting: usize = self.queues.values().map(|queue| queue.pollers.len()).sum();
        assert_eq!(waiting, self.polls.len(), "every waiting poll can be forgotten");
        for (key, queue) in &self.queues {
            let waits = !queue.pollers.is_empty();
            assert!(!waits || queue.ready.is_empty(), "ready task and poller in {key:?}");
            assert!(!waits || queue.returned.is_empty(), "returned task and poller in {key:?}");
            assert!(!waits || queue.queries.is_empty(), "query and poller in {key:?}");
        }
        assert!(self.fresh.is_empty(), "every fresh task was looked at");
    }
}

/// How many pollers of each queue a plan has counted on already.
#[derive(Debug, Default)]
pub(crate) struct Used(HashMap<QueueKey, usize>);

impl Used {
    /// The next poller of this queue, if there is one; counts it.
    pub(crate) fn next<'m>(
        &mut self,
        matching: &'m Matching,
        key: &QueueKey,
    ) -> Option<&'m Poller> {
        let used = self.0.entry(key.clone()).or_default();
        let poller = matching.poller(key, *used)?;
        *used += 1;
        Some(poller)
    }
}

/// A plan under construction, shared by the transactions of one decision.
pub(crate) struct Planner<'a, 'e> {
    pub(crate) matching: &'a Matching,
    pub(crate) limits: &'a crate::limits::Limits,
    pub(crate) cx: &'a base::Cx<'e>,
    pub(crate) used: Used,
    pub(crate) plan: &'a mut Vec<Op>,
}
