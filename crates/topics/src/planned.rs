//! The facts as they will be once a plan's ops so far are applied: what a later item of the same
//! request sees of an earlier one.
//!
//! Invariant: only what a plan can hold is looked through; the facts themselves stay untouched.

use crate::facts::Facts;
use crate::op::{Op, ProducerBatch};
use crate::producer::{Judgement, Producers, Window};
use crate::topic::Partition;
use base::{PartitionId, Timestamp, TopicId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A topic as far as a plan needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedTopic {
    pub(crate) id: TopicId,
    pub(crate) partition_count: i32,
}

/// Facts and plan together.
pub(crate) struct Planned<'a> {
    facts: &'a Facts,
    created: BTreeMap<String, PlannedTopic>,
    deleted: HashSet<TopicId>,
    created_partition_count: usize,
    partitions: HashMap<PartitionId, PlannedPartition<'a>>,
}

/// A partition that the plan appends to.
struct PlannedPartition<'a> {
    recorded: Option<&'a Producers>,
    next_offset: i64,
    /// Of producers that append in this plan.
    windows: HashMap<i64, Window>,
    /// Producers that this plan forgets.
    forgotten: HashSet<i64>,
    producer_count: usize,
    /// Up to here the recorded producers have been looked at; none of them is silent any more.
    silent_from_offset: i64,
}

impl<'a> Planned<'a> {
    pub(crate) fn new(facts: &'a Facts, plan: &[Op]) -> Planned<'a> {
        let mut planned = Planned {
            facts,
            created: BTreeMap::new(),
            deleted: HashSet::new(),
            created_partition_count: 0,
            partitions: HashMap::new(),
        };
        for op in plan {
            planned.note(op);
        }
        planned
    }

    /// Takes one more op of the plan into account.
    pub(crate) fn note(&mut self, op: &Op) {
        match op {
            Op::TopicCreated(op) => {
                let topic = PlannedTopic { id: op.topic(), partition_count: op.partition_count };
                self.created.insert(op.name.clone(), topic);
                self.created_partition_count += usize::try_from(op.partition_count).unwrap_or(0);
            }
            Op::TopicDeleted(op) => {
                self.deleted.insert(op.topic());
            }
            Op::Appended(op, _) => {
                let partition = self.partition_mut(op.partition_id());
                for id in &op.forgotten_producer_ids {
                    partition.forget(*id);
                }
                if let Some(batch) = &op.producer {
                    partition.note(batch, op.base_offset);
                }
                partition.next_offset = op.last_offset + 1;
            }
            _ => {}
        }
    }

    fn partition_mut(&mut self, id: PartitionId) -> &mut PlannedPartition<'a> {
        let facts = self.facts;
        self.partitions.entry(id).or_insert_with(|| PlannedPartition::new(facts.partition(id)))
    }

    pub(crate) fn topic_named(&self, name: &str) -> Option<PlannedTopic> {
        if let Some(topic) = self.created.get(name).filter(|it| !self.deleted.contains(&it.id)) {
            return Some(*topic);
        }
        let topic = self.facts.topic_named(name).filter(|it| !self.deleted.contains(&it.id()))?;
        Some(PlannedTopic { id: topic.id(), partition_count: topic.partition_count() })
    }

    /// Offset of the partition's next record.
    pub(crate) fn next_offset(&mut self, partition: PartitionId) -> i64 {
        self.partition_mut(partition).next_offset
    }

    /// What the producer's window says. Unknown producers may begin anywhere.
    pub(crate) fn judge(&mut self, partition: PartitionId, batch: &ProducerBatch) -> Judgement {
        let window = self.partition_mut(partition).window(batch.id);
        window.map_or(Judgement::Append, |window| window.judge(batch))
    }

    /// Whom the partition forgets when this producer appends.
    pub(crate) fn producers_to_forget(
        &mut self,
        partition: PartitionId,
        batch: &ProducerBatch,
        most: usize,
        silent_since: Timestamp,
    ) -> Vec<i64> {
        self.partition_mut(partition).forget_silent(batch.id, most, silent_since)
    }

    /// Topics there will be; deletions are not counted, the next request sees their room.
    pub(crate) fn topic_count(&self) -> usize {
        self.facts.topic_count() + self.created.len()
    }

    /// Partitions there will be; deletions are not counted.
    pub(crate) fn partition_count(&self) -> usize {
        self.facts.partition_count() + self.created_partition_count
    }
}

/// One append forgets at most so many, so that its cost stays flat.
const FORGOTTEN_PER_APPEND_MAX: usize = 8;

impl<'a> PlannedPartition<'a> {
    fn new(recorded: Option<&'a Partition>) -> PlannedPartition<'a> {
        let producers = recorded.map(|it| &it.producers);
        PlannedPartition {
            recorded: producers,
            next_offset: recorded.map_or(0, Partition::next_offset),
            windows: HashMap::new(),
            forgotten: HashSet::new(),
            producer_count: producers.map_or(0, Producers::count),
            silent_from_offset: 0,
        }
    }

    fn window(&self, id: i64) -> Option<&Window> {
        let recorded =
            || self.recorded.filter(|_| !self.forgotten.contains(&id)).and_then(|it| it.get(id));
        self.windows.get(&id).or_else(recorded)
    }

    fn note(&mut self, batch: &ProducerBatch, base_offset: i64) {
        let known = self.window(batch.id).cloned();
        self.producer_count += usize::from(known.is_none());
        let mut window = known.unwrap_or_else(|| Window::new(batch.epoch));
        window.note(batch, base_offset, Timestamp::default());
        self.windows.insert(batch.id, window);
    }

    fn forget(&mut self, id: i64) {
        self.windows.remove(&id);
        self.forgotten.insert(id);
        self.producer_count = self.producer_count.saturating_sub(1);
    }

    /// The most silent ones beyond the limits: never `id` itself, nobody who appends in this plan,
    /// and nobody twice.
    fn forget_silent(&mut self, id: i64, most: usize, silent_since: Timestamp) -> Vec<i64> {
        let mut left = self.producer_count + usize::from(self.window(id).is_none());
        let mut forgotten = Vec::new();
        let Some(recorded) = self.recorded else { return forgotten };
        for (offset, silent, last_at) in recorded.most_silent(self.silent_from_offset) {
            let wanted = last_at < silent_since || left > most;
            if !wanted || forgotten.len() == FORGOTTEN_PER_APPEND_MAX {
                break;
            }
            if silent == id {
                continue;
            }
            self.silent_from_offset = offset + 1;
            if self.windows.contains_key(&silent) || self.forgotten.contains(&silent) {
                continue;
            }
            forgotten.push(silent);
            left -= 1;
        }
        forgotten
    }
}
