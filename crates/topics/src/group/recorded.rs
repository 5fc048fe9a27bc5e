//! What the journal keeps of a group: committed offsets, by topic id, and the last complete
//! generation with its members and assignments.
//!
//! Invariants: changed by ops only; the leader is a member, unless members have gone since
//! (`must_rejoin`); an empty generation has no members.

use crate::limits::Config;
use crate::op::{CommittedOffset, GroupMember, GroupMemberReplaced, GroupStable};
use base::{PartitionId, Timestamp, TopicId, Uuid};
use std::collections::BTreeMap;

/// The journaled part of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RecordedGroup {
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: Vec<GroupMember>,
    must_rejoin: bool,
    offsets: BTreeMap<PartitionId, RecordedOffset>,
    idle_since: Timestamp,
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedOffset {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

impl RecordedGroup {
    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// Of the last generation; empty for a group that has only committed offsets.
    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub(crate) fn protocol(&self) -> &str {
        &self.protocol
    }

    pub(crate) fn leader(&self) -> &str {
        &self.leader
    }

    /// In the order in which they joined.
    pub(crate) fn members(&self) -> &[GroupMember] {
        &self.members
    }

    pub(crate) fn member(&self, id: &str) -> Option<&GroupMember> {
        self.members.iter().find(|it| it.id == id)
    }

    pub(crate) fn member_of_instance(&self, instance: &str) -> Option<&GroupMember> {
        self.members.iter().find(|it| it.instance.as_deref() == Some(instance))
    }

    /// Whether the generation is broken: members have gone since it was complete.
    pub(crate) fn must_rejoin(&self) -> bool {
        self.must_rejoin
    }

    pub(crate) fn offsets(&self) -> &BTreeMap<PartitionId, RecordedOffset> {
        &self.offsets
    }

    /// When the group may be forgotten, as long as it has no members.
    pub(crate) fn expires_at(&self, config: &Config) -> Timestamp {
        if !self.members.is_empty() {
            return Timestamp::NEVER;
        }
        let limits = &config.limits;
        let retention_ms = if self.offsets.is_empty() {
            limits.empty_group_retention_ms
        } else {
            limits.offsets_retention_ms
        };
        Timestamp(self.idle_since.0.saturating_add(retention_ms.saturating_mul(1_000)))
    }

    pub(crate) fn commit(&mut self, at: Timestamp, offsets: &[CommittedOffset]) {
        self.idle_since = at;
        for it in offsets {
            let recorded = RecordedOffset {
                offset: it.offset,
                leader_epoch: it.leader_epoch,
                metadata: it.metadata.clone(),
            };
            self.offsets.insert(it.partition_id(), recorded);
        }
    }

    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        let first = PartitionId { topic, index: i32::MIN };
        let last = PartitionId { topic, index: i32::MAX };
        let gone: Vec<_> = self.offsets.range(first..=last).map(|it| *it.0).collect();
        for partition in gone {
            self.offsets.remove(&partition);
        }
    }

    /// Planted: they were kept in memory only.
    pub(crate) fn forget_offsets(&mut self) {
        self.offsets.clear();
    }

    pub(crate) fn become_stable(&mut self, op: &GroupStable) {
        self.generation = op.generation;
        self.protocol_type.clone_from(&op.protocol_type);
        self.protocol.clone_from(&op.protocol);
        self.leader.clone_from(&op.leader);
        self.members.clone_from(&op.members);
        self.must_rejoin = false;
    }

    pub(crate) fn become_empty(&mut self, at: Timestamp, generation: i32) {
        self.generation = generation;
        self.protocol.clear();
        self.leader.clear();
        self.members.clear();
        self.must_rejoin = false;
        self.idle_since = at;
    }

    pub(crate) fn remove_members(&mut self, gone: &[String]) {
        self.members.retain(|it| !gone.contains(&it.id));
        self.must_rejoin = true;
    }

    pub(crate) fn replace_member(&mut self, op: &GroupMemberReplaced) {
        let old = self.members.iter_mut().find(|it| it.id == op.old_member);
        let (Some(old), Some(new)) = (old, &op.member) else { return };
        let assignment = std::mem::take(&mut old.assignment);
        *old = GroupMember { assignment, ..new.clone() };
        if self.leader == op.old_member {
            self.leader.clone_from(&new.id);
        }
        self.must_rejoin |= op.rebalance;
    }

    pub(crate) fn check(&self) {
        assert!(self.generation >= 0);
        if !self.members.is_empty() && !self.must_rejoin {
            assert!(self.member(&self.leader).is_some(), "the leader is a member");
        }
        for partition in self.offsets.keys() {
            assert_ne!(partition.topic, TopicId(Uuid::nil()));
        }
    }
}
