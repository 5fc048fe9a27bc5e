//! SyncGroup: the leader hands in the assignment, everybody gets its own.
//!
//! The leader's SyncGroup makes the generation complete: that, with all assignments, is the one
//! moment of a rebalance that is journaled.

use crate::ErrorCode;
use crate::ask::{Effect, Reply, SyncGroup, SyncGroupReply};
use crate::group::check_group_id;
use crate::group::live::{Live, Phase};
use crate::limits::Config;
use crate::op::{GroupStable, Op};
use base::{Ticket, Timestamp};
use bytes::Bytes;
use std::collections::HashMap;

/// The answer to a sync that is not let in.
pub(crate) fn refused(error: ErrorCode) -> SyncGroupReply {
    SyncGroupReply { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
}

/// Plans the complete generation, if this is the leader's.
pub(crate) fn decide(
    config: &Config,
    live: Option<&Live>,
    ask: &SyncGroup,
    plan: &mut Vec<Op>,
) -> Result<(), ErrorCode> {
    let live = check(config, live, ask)?;
    if live.phase == Phase::CompletingRebalance && live.is_leader(&ask.member) {
        plan.push(Op::GroupStable(complete_generation(live, ask)));
    }
    Ok(())
}

pub(crate) fn check<'a>(
    config: &Config,
    live: Option<&'a Live>,
    ask: &SyncGroup,
) -> Result<&'a Live, ErrorCode> {
    check_group_id(config, &ask.group)?;
    let live = live.ok_or(ErrorCode::UnknownMemberId)?;
    live.check_member(&ask.member, ask.instance.as_deref())?;
    if ask.generation != live.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differs = |said: &Option<String>, is: &String| said.as_ref().is_some_and(|it| it != is);
    if differs(&ask.protocol_type, &live.protocol_type)
        || differs(&ask.protocol_name, &live.protocol)
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if matches!(live.phase, Phase::PreparingRebalance { .. }) {
        return Err(ErrorCode::RebalanceInProgress);
    }
    let assignment_bytes: usize = ask.assignments.iter().map(|it| it.1.len()).sum();
    if assignment_bytes > config.limits.group_metadata_bytes_max {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    Ok(live)
}

fn complete_generation(live: &Live, ask: &SyncGroup) -> GroupStable {
    let assignments: HashMap<_, _> = ask.assignments.iter().map(|it| (&it.0, &it.1)).collect();
    let members = live.in_order().into_iter().map(|(id, member)| {
        let assignment = assignments.get(id).map(|it| (*it).clone()).unwrap_or_default();
        member.to_recorded(id, assignment)
    });
    GroupStable {
        group: ask.group.clone(),
        generation: live.generation,
        protocol_type: live.protocol_type.clone(),
        protocol: live.protocol.clone(),
        leader: ask.member.clone(),
        members: members.collect(),
    }
}

impl Live {
    /// Carries an allowed sync out: waits, answers, or (the leader's) answers all.
    pub(crate) fn sync(
        &mut self,
        ask: &SyncGroup,
        ticket: Ticket,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(member) = self.members.get_mut(&ask.member) else { return };
        member.synced = true;
        if let Some(earlier) = member.syncing.replace(ticket) {
            let reply = refused(ErrorCode::RebalanceInProgress);
            effects.push(Effect::Reply(earlier, Reply::SyncGroup(reply)));
        }
        if self.phase == Phase::CompletingRebalance && self.is_leader(&ask.member) {
            self.phase = Phase::Stable;
            self.take_assignments(&ask.assignments);
        }
        if self.phase == Phase::Stable {
            self.answer_syncs(now, effects);
        }
    }

    /// Members that the leader has left out get an empty one; ids that are not members are ignored.
    fn take_assignments(&mut self, assignments: &[(String, Bytes)]) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(id) {
                member.assignment = assignment.clone();
            }
        }
    }

    fn answer_syncs(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut waiting: Vec<_> =
            self.members.values_mut().filter(|it| it.syncing.is_some()).collect();
        waiting.sort_by_key(|it| it.order);
        for member in waiting {
            let Some(ticket) = member.syncing.take() else { continue };
            let reply = SyncGroupReply {
                error: ErrorCode::None,
                protocol_type: Some(self.protocol_type.clone()),
                protocol_name: Some(self.protocol.clone()),
                assignment: member.assignment.clone(),
            };
            effects.push(Effect::Reply(ticket, Reply::SyncGroup(reply)));
            member.restart_session(now);
        }
    }
}
