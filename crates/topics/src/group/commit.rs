//! OffsetCommit: offsets are journaled by topic id, so that a topic made again inherits nothing.
//!
//! Refused: members of another generation, commits from outside while the group has members,
//! partitions that do not exist, metadata over its limit. A refused partition does not keep the
//! others from being committed.

use crate::ErrorCode;
use crate::ask::{OffsetCommit, OffsetCommitPartition, OffsetCommitTopicResult};
use crate::facts::Facts;
use crate::group::check_group_id;
use crate::group::live::{Live, Phase};
use crate::limits::Config;
use crate::op::{CommittedOffset, OffsetsCommitted, Op};
use base::planted::{self, Bug};

/// What a commit looks at beside the facts.
#[derive(Clone, Copy)]
pub(crate) struct Committing<'a> {
    pub(crate) config: &'a Config,
    pub(crate) facts: &'a Facts,
    pub(crate) live: Option<&'a Live>,
    /// Whether a group that does not exist may be made.
    pub(crate) room_for_group: bool,
}

impl Committing<'_> {
    pub(crate) fn decide(
        &self,
        ask: &OffsetCommit,
        plan: &mut Vec<Op>,
    ) -> Vec<OffsetCommitTopicResult> {
        let allowed = self.check(ask);
        let mut offsets = Vec::new();
        let mut results = Vec::with_capacity(ask.topics.len());
        for topic in &ask.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for item in &topic.partitions {
                let offset = allowed.and_then(|()| self.offset(&topic.name, item));
                partitions.push((item.partition, offset.as_ref().err().copied()));
                offsets.extend(offset);
            }
            let code = |it: Option<ErrorCode>| it.unwrap_or(ErrorCode::None);
            let partitions = partitions.into_iter().map(|it| (it.0, code(it.1))).collect();
            results.push(OffsetCommitTopicResult { name: topic.name.clone(), partitions });
        }
        if !offsets.is_empty() {
            let op = OffsetsCommitted { group: ask.group.clone(), offsets };
            plan.push(Op::OffsetsCommitted(op));
        }
        results
    }

    /// Whether this member, or this outsider, may commit now.
    pub(crate) fn check(&self, ask: &OffsetCommit) -> Result<(), ErrorCode> {
        check_group_id(self.config, &ask.group)?;
        let known = self.live.is_some() || self.facts.group(&ask.group).is_some();
        let Some(live) = self.live.filter(|it| !it.members.is_empty()) else {
            return match (ask.generation < 0, known || self.room_for_group) {
                (true, true) => Ok(()),
                (true, false) => Err(ErrorCode::GroupMaxSizeReached),
                (false, _) if known => Err(ErrorCode::UnknownMemberId),
                (false, _) => Err(ErrorCode::IllegalGeneration),
            };
        };
        live.check_member(&ask.member, ask.instance.as_deref())?;
        // Planted: whoever was a member may commit.
        if ask.generation != live.generation && !planted::is(Bug::ZombieCommitAccepted) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if live.phase == Phase::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    fn offset(
        &self,
        topic: &str,
        item: &OffsetCommitPartition,
    ) -> Result<CommittedOffset, ErrorCode> {
        if item.metadata.len() > self.config.limits.offset_metadata_bytes_max {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let partition = self.facts.partition_named(topic, item.partition)?;
        Ok(CommittedOffset {
            topic: Some(partition.topic.into()),
            partition: partition.index,
            offset: item.offset,
            leader_epoch: item.leader_epoch,
            metadata: item.metadata.clone(),
        })
    }
}
