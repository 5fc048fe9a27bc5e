//! The bridge's memory: which records each route has done, as a pure machine.
//!
//! Invariants: a record is done at most once for each route; positions belong to topic ids, so a
//! recreated topic inherits none; where a route starts in a topic is decided once, journaled, and
//! never again. Refuses progress that was made before: whoever delivers plans progress first and
//! the delivery only if progress is not refused, both in one entry.

use crate::cursor::Cursor;
use crate::delivery::Fate;
use crate::op::{Op, Progressed, RouteAwaits, RouteBound};
use crate::route::{GROUP_PREFIX, StartAt};
use base::{BlobAddr, Cx, Lsn, Machine, PartitionId, Ticket, Timestamp, TopicId, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// What can be asked of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A route waits for a topic that does not exist (yet).
    Await(Await),
    /// A route reads a topic from now on. Asked again after each start of the pump.
    Bind(Bind),
    /// A record is done.
    Progress(Progress),
    /// A topic was deleted. To be planned in the entry that deletes it.
    ForgetTopic(TopicId),
}

/// See [`Ask::Await`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Await {
    /// Route name.
    pub route: String,
    /// Topic name.
    pub topic: String,
}

/// See [`Ask::Bind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Route name.
    pub route: String,
    /// Topic name.
    pub topic: String,
    /// Topic id.
    pub topic_id: TopicId,
    /// Where to start if the route meets the topic for the first time.
    pub start: StartAt,
    /// The topic's partitions, by index.
    pub partitions: Vec<Bounds>,
}

/// What can be read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that can be read.
    pub log_start: i64,
    /// Offset after the last published record.
    pub end: i64,
}

/// See [`Ask::Progress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Route name.
    pub route: String,
    /// Where the record lies.
    pub partition: PartitionId,
    /// First offset that is done: after the record before.
    pub first: i64,
    /// Last offset that is done: the record's own.
    pub last: i64,
    /// What has become of it.
    pub fate: Fate,
}

/// What the bridge answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a bind: the position in each partition.
    Bound(Vec<Cursor>),
    /// To all others.
    Done,
}

/// Why the bridge does nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record was done before. What it would cause must not be done again.
    #[error("the record was done before")]
    AlreadyDone,
    /// The route is not bound to this partition (any more): the topic was deleted.
    #[error("the route is not bound to this partition")]
    NotBound,
    /// The range ends before it begins.
    #[error("the range of offsets is empty")]
    EmptyRange,
}

/// How many records a route has done, by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Signalled or started.
    pub delivered: u64,
    /// Their workflow had closed.
    pub ignored: u64,
    /// Written to the dead letters.
    pub dead_lettered: u64,
}

/// One position, as a consumer group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Topic name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The lowest offset that is not done.
    pub offset: i64,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    bindings: BTreeMap<u32, Binding>,
    /// Route name and topic id to binding.
    index: BTreeMap<String, BTreeMap<TopicId, u32>>,
    awaited: BTreeSet<(String, String)>,
    counters: BTreeMap<String, Counters>,
    next_binding: u32,
}

/// A route and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Binding {
    route: String,
    topic: String,
    topic_id: TopicId,
    /// By partition index.
    cursors: Vec<Cursor>,
}

impl Machine for Bridge {
    type Ask = Ask;
    type Op = Op;
    type Reply = Reply;
    type Refusal = Refusal;
    type Effect = Infallible;

    fn decide(
        &self,
        ask: &Ask,
        _: Ticket,
        _: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Verdict<Reply, Refusal> {
        match ask {
            Ask::Await(ask) => {
                let Await { route, topic } = ask.clone();
                if !self.awaited.contains(&(route.clone(), topic.clone())) {
                    plan.push(Op::RouteAwaits(RouteAwaits { route, topic }));
                }
                Verdict::Go(Some(Reply::Done))
            }
            Ask::Bind(bind) => Verdict::Go(Some(Reply::Bound(self.decide_bind(bind, plan)))),
            Ask::Progress(progress) => match self.decide_progress(progress) {
                Ok(op) => {
                    plan.push(Op::Progressed(op));
                    Verdict::Go(Some(Reply::Done))
                }
                Err(refusal) => Verdict::Refuse(refusal),
            },
            Ask::ForgetTopic(id) => {
                if self.bindings.values().any(|binding| binding.topic_id == *id) {
                    plan.push(Op::TopicForgotten(*id));
                }
                Verdict::Go(Some(Reply::Done))
            }
        }
    }

    fn apply(&mut self, _: Lsn, _: Timestamp, op: &Op, _: &[BlobAddr], _: &mut Vec<Infallible>) {
        match op {
            Op::RouteAwaits(op) => {
                self.awaited.insert((op.route.clone(), op.topic.clone()));
            }
            Op::RouteBound(op) => self.apply_bound(op),
            Op::Progressed(op) => self.apply_progressed(op),
            Op::TopicForgotten(id) => {
                self.drop_bindings(|binding| binding.topic_id == *id);
            }
        }
    }

    fn attend(&mut self, _: Ask, _: Ticket, _: &Cx<'_>, _: &mut Vec<Infallible>) {}

    fn forget(&mut self, _: Ticket) {}

    fn due(&self, _: Timestamp) -> Option<Ask> {
        None
    }

    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    fn resume(&mut self, _: Timestamp) {}

    fn check(&self) {
        for (number, binding) in &self.bindings {
            assert!(*number < self.next_binding, "binding {number} was never drawn");
            let indexed = self.index.get(&binding.route).and_then(|b| b.get(&binding.topic_id));
            assert_eq!(indexed, Some(number), "the index knows every binding");
            binding.cursors.iter().for_each(Cursor::check);
        }
        let indexed: usize = self.index.values().map(BTreeMap::len).sum();
        assert_eq!(indexed, self.bindings.len(), "the index knows no other bindings");
    }
}

impl Bridge {
    /// Whether a group id belongs to the routes. Commits to such a group from outside are
    /// refused, also where no route has this name.
    pub fn is_route_group(group: &str) -> bool {
        group.starts_with(GROUP_PREFIX)
    }

    /// The group ids of all routes that have met a topic.
    pub fn groups(&self) -> impl Iterator<Item = String> + '_ {
        self.index.keys().map(|route| format!("{GROUP_PREFIX}{route}"))
    }

    /// The positions behind a group id; `None` if no such route has met a topic.
    pub fn committed(&self, group: &str) -> Option<Vec<Committed>> {
        let bindings = self.index.get(group.strip_prefix(GROUP_PREFIX)?)?;
        let bindings = bindings.values().filter_map(|number| self.bindings.get(number));
        Some(bindings.flat_map(Binding::committed).collect())
    }

    /// A route's position in one partition.
    pub fn cursor(&self, route: &str, partition: PartitionId) -> Option<&Cursor> {
        let (_, binding) = self.binding(route, partition.topic)?;
        binding.cursors.get(usize::try_from(partition.index).ok()?)
    }

    /// What each route has done, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&str, Counters)> + '_ {
        self.counters.iter().map(|(route, counters)| (route.as_str(), *counters))
    }

    fn binding(&self, route: &str, topic: TopicId) -> Option<(u32, &Binding)> {
        let number = *self.index.get(route)?.get(&topic)?;
        self.bindings.get(&number).map(|binding| (number, binding))
    }

    fn decide_bind(&self, bind: &Bind, plan: &mut Vec<Op>) -> Vec<Cursor> {
        let known = self.binding(&bind.route, bind.topic_id);
        let mut cursors = known.map_or_else(Vec::new, |(_, binding)| binding.cursors.clone());
        let first_partition = cursors.len();
        let new = bind.partitions.get(first_partition..).unwrap_or_default();
        if known.is_some() && new.is_empty() {
            return cursors;
        }
        // A topic that came while the route was there, or a partition that was added to it, is
        // new as a whole: "latest" would miss what was written before the pump took notice.
        let from_the_start = bind.start == StartAt::Earliest || self.has_waited(bind);
        let start = |at: &Bounds| if from_the_start { at.log_start } else { at.end };
        let starts: Vec<i64> = new.iter().map(start).collect();
        cursors.extend(starts.iter().map(|start| Cursor::starting_at(*start)));
        plan.push(Op::RouteBound(RouteBound {
            binding: known.map_or(self.next_binding, |(number, _)| number),
            route: bind.route.clone(),
            topic: bind.topic.clone(),
            topic_id: bind.topic_id,
            first_partition: u32::try_from(first_partition).unwrap_or(u32::MAX),
            starts,
        }));
        cursors
    }

    /// Whether the route was there before: it waited for the topic, or has read this one (without
    /// its new partitions) or another one of the same name.
    fn has_waited(&self, bind: &Bind) -> bool {
        let Bind { route, topic, .. } = bind;
        self.awaited.contains(&(route.clone(), topic.clone()))
            || self.bindings.values().any(|b| b.route == *route && b.topic == *topic)
    }

    fn decide_progress(&self, progress: &Progress) -> Result<Progressed, Refusal> {
        let Progress { ref route, partition, first, last, fate } = *progress;
        let (binding, state) = self.binding(route, partition.topic).ok_or(Refusal::NotBound)?;
        let index = usize::try_from(partition.index).map_err(|_| Refusal::NotBound)?;
        let cursor = state.cursors.get(index).ok_or(Refusal::NotBound)?;
        if last < first {
            Err(Refusal::EmptyRange)
        } else if cursor.is_done(last) {
            Err(Refusal::AlreadyDone)
        } else {
            Ok(Progressed { binding, partition: partition.index, first, last, fate })
        }
    }

    fn apply_bound(&mut self, op: &RouteBound) {
        // A name has one topic at a time; an older one under this name is gone.
        self.drop_bindings(|binding| {
            let Binding { route, topic, topic_id, .. } = binding;
            *route == op.route && *topic == op.topic && *topic_id != op.topic_id
        });
        self.awaited.remove(&(op.route.clone(), op.topic.clone()));
        self.counters.entry(op.route.clone()).or_default();
        self.next_binding = self.next_binding.max(op.binding.saturating_add(1));
        self.index.entry(op.route.clone()).or_default().insert(op.topic_id, op.binding);
        let binding = self.bindings.entry(op.binding).or_insert_with(|| Binding {
            route: op.route.clone(),
            topic: op.topic.clone(),
            topic_id: op.topic_id,
            cursors: Vec::new(),
        });
        binding.cursors.extend(op.starts.iter().map(|start| Cursor::starting_at(*start)));
    }

    fn apply_progressed(&mut self, op: &Progressed) {
        let Some(binding) = self.bindings.get_mut(&op.binding) else { return };
        let counters = self.counters.entry(binding.route.clone()).or_default();
        match op.fate {
            Fate::Delivered => counters.delivered += 1,
            Fate::Ignored => counters.ignored += 1,
            Fate::DeadLettered => counters.dead_lettered += 1,
        }
        let index = usize::try_from(op.partition).unwrap_or(usize::MAX);
        if let Some(cursor) = binding.cursors.get_mut(index) {
            cursor.settle(op.first, op.last);
        }
    }

    /// The routes go on waiting for a topic of the same name.
    fn drop_bindings(&mut self, gone: impl Fn(&Binding) -> bool) {
        for (_, binding) in self.bindings.extract_if(.., |_, binding| gone(binding)) {
            if let Some(topics) = self.index.get_mut(&binding.route) {
                topics.remove(&binding.topic_id);
                if topics.is_empty() {
                    self.index.remove(&binding.route);
                }
            }
            self.awaited.insert((binding.route, binding.topic));
        }
    }
}

impl Binding {
    fn committed(&self) -> impl Iterator<Item = Committed> + '_ {
        (0..).zip(&self.cursors).map(|(index, cursor)| Committed {
            topic: self.topic.clone(),
            partition: PartitionId { topic: self.topic_id, index },
            offset: cursor.next(),
        })
    }
}

#[cfg(test)]
mod tests;
