//! The facts as they will be once a plan's ops so far are applied: what a later item of the same
//! request sees of an earlier one.
//!
//! Invariant: only what a plan can hold is looked through; the facts themselves stay untouched.

use crate::facts::Facts;
use crate::op::{Op, ProducerBatch};
use crate::producer::{Judgement, Window};
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
    ends: HashMap<PartitionId, i64>,
    windows: HashMap<(PartitionId, i64), Window>,
}

impl<'a> Planned<'a> {
    pub(crate) fn new(facts: &'a Facts, plan: &[Op]) -> Planned<'a> {
        let mut planned = Planned {
            facts,
            created: BTreeMap::new(),
            deleted: HashSet::new(),
            created_partition_count: 0,
            ends: HashMap::new(),
            windows: HashMap::new(),
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
                let partition = op.partition_id();
                self.ends.insert(partition, op.last_offset + 1);
                if let Some(batch) = &op.producer {
                    self.note_batch(partition, batch, op.base_offset);
                }
            }
            _ => {}
        }
    }

    fn note_batch(&mut self, partition: PartitionId, batch: &ProducerBatch, base_offset: i64) {
        let recorded = self.recorded_window(partition, batch.id).cloned();
        self.windows
            .entry((partition, batch.id))
            .or_insert_with(|| recorded.unwrap_or_else(|| Window::new(batch.epoch)))
            .note(batch, base_offset, Timestamp::default());
    }

    fn recorded_window(&self, partition: PartitionId, producer: i64) -> Option<&'a Window> {
        self.facts.partition(partition)?.producers.get(producer)
    }

    pub(crate) fn topic_named(&self, name: &str) -> Option<PlannedTopic> {
        if let Some(topic) = self.created.get(name).filter(|it| !self.deleted.contains(&it.id)) {
            return Some(*topic);
        }
        let topic = self.facts.topic_named(name).filter(|it| !self.deleted.contains(&it.id()))?;
        Some(PlannedTopic { id: topic.id(), partition_count: topic.partition_count() })
    }

    /// Offset of the partition's next record.
    pub(crate) fn next_offset(&self, partition: PartitionId) -> i64 {
        let recorded = || self.facts.partition(partition).map_or(0, |it| it.next_offset());
        self.ends.get(&partition).copied().unwrap_or_else(recorded)
    }

    /// What the producer's window says. Unknown producers may begin anywhere.
    pub(crate) fn judge(&self, partition: PartitionId, batch: &ProducerBatch) -> Judgement {
        let window = self.windows.get(&(partition, batch.id));
        window
            .or_else(|| self.recorded_window(partition, batch.id))
            .map_or(Judgement::Append, |window| window.judge(batch))
    }

    /// Whom the partition forgets when this producer appends; nobody twice in one plan.
    pub(crate) fn producers_to_forget(
        &self,
        partition: PartitionId,
        batch: &ProducerBatch,
        most: usize,
        silent_since: Timestamp,
    ) -> Vec<i64> {
        if self.ends.contains_key(&partition) {
            return Vec::new();
        }
        self.facts.partition(partition).map_or_else(Vec::new, |recorded| {
            recorded.producers.to_forget(batch.id, most, silent_since)
        })
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
