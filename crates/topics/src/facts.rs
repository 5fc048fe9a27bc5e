//! The journaled state: topics, partitions, producers, and what survives of groups.
//!
//! Invariants: changed by `apply` only, and by ops only, so that a replay gives an equal value;
//! names and ids of topics map one to one; committed offsets name existing topics only.

use crate::ask::Effect;
use crate::group::RecordedGroup;
use crate::op::{self, Op};
use crate::producer::Producers;
use crate::topic::{Partition, Topic};
use crate::{BatchRef, ErrorCode};
use base::planted::{self, Bug};
use base::{BlobAddr, PartitionId, Timestamp, TopicId};
use std::collections::BTreeMap;

/// Everything that a replay rebuilds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Facts {
    topics: BTreeMap<TopicId, Topic>,
    ids_by_name: BTreeMap<String, TopicId>,
    partition_count: usize,
    producer_ids_allocated: u64,
    groups: BTreeMap<String, RecordedGroup>,
}

impl Facts {
    pub(crate) fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    pub(crate) fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.ids_by_name.get(name).and_then(|id| self.topics.get(id))
    }

    /// By name.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.ids_by_name.values().filter_map(|id| self.topics.get(id))
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.partition_count
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.topics.get(&id.topic)?.partition(id.index)
    }

    /// The partition with this name, or what Kafka answers if there is none.
    pub(crate) fn partition_named(&self, name: &str, index: i32) -> Result<PartitionId, ErrorCode> {
        let topic = self.topic_named(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok(PartitionId { topic: topic.id(), index })
    }

    pub(crate) fn group(&self, id: &str) -> Option<&RecordedGroup> {
        self.groups.get(id)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&String, &RecordedGroup)> {
        self.groups.iter()
    }

    /// Carries out one op.
    pub(crate) fn apply(
        &mut self,
        at: Timestamp,
        op: &Op,
        blobs: &[BlobAddr],
        effects: &mut Vec<Effect>,
    ) {
        match op {
            Op::TopicCreated(op) => effects.push(self.create_topic(op)),
            Op::TopicDeleted(op) => effects.extend(self.delete_topic(op.topic())),
            Op::Appended(op, _) => {
                assert_eq!(blobs.len(), 1, "a batch is one blob");
                effects.push(self.append(at, op, blobs[0]));
            }
            Op::ProducerIdAllocated(_) => self.producer_ids_allocated += 1,
            Op::OffsetsCommitted(op) => self.group_mut(&op.group).commit(at, &op.offsets),
            Op::GroupStable(op) => self.group_mut(&op.group).become_stable(op),
            Op::GroupEmptied(op) => self.group_mut(&op.group).become_empty(at, op.generation),
            Op::GroupMembersRemoved(op) => self.group_mut(&op.group).remove_members(&op.members),
            Op::GroupMemberReplaced(op) => self.group_mut(&op.group).replace_member(op),
            Op::GroupForgotten(op) => {
                self.groups.remove(&op.group);
            }
        }
    }

    fn group_mut(&mut self, id: &str) -> &mut RecordedGroup {
        self.groups.entry(id.to_owned()).or_default()
    }

    fn create_topic(&mut self, op: &op::TopicCreated) -> Effect {
        let topic = Topic::new(op);
        let (id, partition_count) = (topic.id(), topic.partition_count());
        self.partition_count += usize::try_from(partition_count).unwrap_or(0);
        let other = self.ids_by_name.insert(op.name.clone(), id);
        assert!(other.is_none(), "a topic's name is free when it is created");
        let other = self.topics.insert(id, topic);
        assert!(other.is_none(), "topic ids are never reused");
        Effect::TopicCreated { name: op.name.clone(), id, partition_count }
    }

    fn delete_topic(&mut self, id: TopicId) -> Option<Effect> {
        let topic = self.topics.remove(&id)?;
        self.partition_count -= usize::try_from(topic.partition_count()).unwrap_or(0);
        self.ids_by_name.remove(topic.name());
        for group in self.groups.values_mut() {
            group.forget_topic(id);
        }
        Some(Effect::TopicDeleted { name: topic.name().to_owned(), id })
    }

    fn append(&mut self, at: Timestamp, op: &op::Appended, address: BlobAddr) -> Effect {
        let id = op.partition_id();
        let partition =
            self.topics.get_mut(&id.topic).and_then(|topic| topic.partition_mut(id.index));
        let Some(partition) = partition else {
            panic!("the journal appends to {id:?}, which does not exist")
        };
        partition.append(op.base_offset, op.last_offset);
        for producer in &op.forgotten_producer_ids {
            partition.producers.forget(*producer);
        }
        if let Some(producer) = &op.producer {
            partition.producers.note(producer, op.base_offset, at);
        }
        Effect::Publish(BatchRef {
            partition: id,
            base_offset: op.base_offset,
            last_offset: op.last_offset,
            max_timestamp_ms: op.max_timestamp_ms,
            address,
        })
    }

    /// Planted: what is lost when a part of the state is not rebuilt after a restart.
    pub(crate) fn plant(&mut self) {
        for partition in self.topics.values_mut().flat_map(Topic::partitions_mut) {
            if planted::is(Bug::ReuseOffsetAfterRestart) {
                partition.step_back();
            }
            if planted::is(Bug::ForgetProducerState) {
                partition.producers = Producers::default();
            }
        }
        if planted::is(Bug::CommittedOffsetNotJournaled) {
            self.groups.values_mut().for_each(RecordedGroup::forget_offsets);
        }
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.topics.len(), self.ids_by_name.len());
        let mut partition_count = 0;
        for (name, id) in &self.ids_by_name {
            assert_eq!(self.topics.get(id).map(Topic::name), Some(name.as_str()));
        }
        for topic in self.topics.values() {
            for index in 0..topic.partition_count() {
                partition_count += 1;
                if let Some(partition) = topic.partition(index) {
                    partition.check();
                }
            }
        }
        assert_eq!(partition_count, self.partition_count);
        for group in self.groups.values() {
            group.check();
            for offset in group.offsets().keys() {
                assert!(self.partition(*offset).is_some(), "offsets name existing partitions");
            }
        }
    }
}
