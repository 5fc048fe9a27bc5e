//! A group as it lives: its phase, its members and their sessions. Volatile.
//!
//! Invariants: the phase is Empty exactly if there are no members (a caller that went away may
//! leave it PreparingRebalance with none until the next expiry); members wait in JoinGroup only
//! while PreparingRebalance and in SyncGroup only while CompletingRebalance; in Stable the journal
//! knows this generation and these members.

use crate::ErrorCode;
use crate::ask::{Effect, JoinGroupReply, Reply};
use crate::group::member::{Member, milliseconds, protocol_bytes};
use crate::group::{RecordedGroup, sync};
use base::{Ticket, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No members; perhaps some that have only drawn an id.
    Empty,
    /// Members are to join again.
    PreparingRebalance {
        /// Not complete before, even if all are there: others may be on their way.
        hold_until: Timestamp,
        /// Who has not joined by now is out.
        deadline: Timestamp,
    },
    /// All have joined; the leader is to send the assignment.
    CompletingRebalance,
    /// Everybody knows what to do.
    Stable,
}

/// A group with members, or with member ids drawn.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) phase: Phase,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    /// Instance id to member id.
    pub(crate) instances: BTreeMap<String, String>,
    /// Member ids given out with MEMBER_ID_REQUIRED, and until when they are good.
    pub(crate) pending: BTreeMap<String, Timestamp>,
    /// Who has not asked for its assignment by now is out.
    pub(crate) sync_deadline: Timestamp,
    pub(crate) next_order: u64,
}

impl Live {
    /// Empty; goes on counting where the journal stopped.
    pub(crate) fn new(recorded: Option<&RecordedGroup>) -> Live {
        Live {
            phase: Phase::Empty,
            generation: recorded.map_or(0, RecordedGroup::generation),
            protocol_type: String::new(),
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            sync_deadline: Timestamp::NEVER,
            next_order: 0,
        }
    }

    /// As the journal left it: with the same generation, all sessions starting now.
    pub(crate) fn resumed(recorded: &RecordedGroup, now: Timestamp) -> Live {
        let mut live = Live::new(Some(recorded));
        live.protocol_type = recorded.protocol_type().to_owned();
        live.protocol = recorded.protocol().to_owned();
        for member in recorded.members() {
            let order = live.take_order();
            if let Some(instance) = &member.instance {
                live.instances.insert(instance.clone(), member.id.clone());
            }
            let resumed = Member::from_recorded(member, order, now);
            live.members.insert(member.id.clone(), resumed);
        }
        live.leader = recorded.member(recorded.leader()).map(|it| it.id.clone());
        live.elect_if_leaderless();
        live.phase = if recorded.must_rejoin() {
            let deadline = now.after(live.rebalance_timeout());
            Phase::PreparingRebalance { hold_until: now, deadline }
        } else {
            Phase::Stable
        };
        live
    }

    pub(crate) fn take_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    pub(crate) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Members in the order of joining.
    pub(crate) fn in_order(&self) -> Vec<(&String, &Member)> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|it| it.1.order);
        members
    }

    pub(crate) fn elect_if_leaderless(&mut self) {
        if self.leader.is_none() {
            self.leader = self.in_order().first().map(|it| it.0.clone());
        }
    }

    /// The largest of all members.
    pub(crate) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|it| it.rebalance_timeout_ms);
        milliseconds(timeouts.max().unwrap_or(0))
    }

    /// Members and those who have drawn an id.
    pub(crate) fn size(&self) -> usize {
        self.members.len() + self.pending.len()
    }

    /// Whether this member, with this instance id, is who it says.
    pub(crate) fn check_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<&Member, ErrorCode> {
        if let Some(instance) = instance {
            let current = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if current != member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.members.get(member).ok_or(ErrorCode::UnknownMemberId)
    }

    /// Whether a joining member can understand the others; `member` itself is not asked.
    pub(crate) fn can_talk_to(
        &self,
        member: &str,
        protocol_type: &str,
        protocols: &[(String, Bytes)],
    ) -> bool {
        let others: Vec<_> =
            self.members.iter().filter(|it| it.0 != member).map(|it| it.1).collect();
        if others.is_empty() {
            return true;
        }
        let known_to_all =
            |name: &String| others.iter().all(|it| it.protocols.iter().any(|p| p.0 == *name));
        protocol_type == self.protocol_type && protocols.iter().any(|it| known_to_all(&it.0))
    }

    /// Bytes of metadata of all members but one.
    pub(crate) fn metadata_bytes_without(&self, member: &str) -> usize {
        let others = self.members.iter().filter(|it| it.0 != member);
        others.map(|it| it.1.metadata_bytes()).sum()
    }

    /// Whether `protocols` would fit beside what the others have said.
    pub(crate) fn has_room_for(
        &self,
        member: &str,
        protocols: &[(String, Bytes)],
        bytes_max: usize,
    ) -> bool {
        self.metadata_bytes_without(member) + protocol_bytes(protocols) <= bytes_max
    }

    /// Takes a member out; whoever waits in its name is told that it is unknown.
    pub(crate) fn remove(&mut self, id: &str, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance
            && self.instances.get(instance).is_some_and(|it| it == id)
        {
            self.instances.remove(instance);
        }
        dismiss(&member, id, ErrorCode::UnknownMemberId, effects);
        if self.is_leader(id) {
            self.leader = None;
            self.elect_if_leaderless();
        }
    }

    /// The answer to a join that ends in the current generation.
    pub(crate) fn join_reply(&self, member: &str) -> JoinGroupReply {
        JoinGroupReply {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: Some(self.protocol_type.clone()),
            protocol_name: Some(self.protocol.clone()),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member: member.to_owned(),
            members: if self.is_leader(member) { self.roster() } else { Vec::new() },
        }
    }

    /// All members, for the leader.
    pub(crate) fn roster(&self) -> Vec<(String, Option<String>, Bytes)> {
        let members = self.in_order().into_iter();
        members
            .map(|(id, member)| {
                let metadata = member.metadata(&self.protocol).unwrap_or_default();
                (id.clone(), member.instance.clone(), metadata)
            })
            .collect()
    }

    /// The next moment at which time changes something.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let phase = match self.phase {
            Phase::PreparingRebalance { hold_until, deadline } => {
                if self.all_joined() {
                    hold_until.min(deadline)
                } else {
                    deadline
                }
            }
            _ if self.members.values().all(|it| it.synced) => Timestamp::NEVER,
            _ => self.sync_deadline,
        };
        let sessions = self.members.values().filter(|it| !it.waits()).map(|it| it.session_deadline);
        sessions.chain(self.pending.values().copied()).fold(phase, Timestamp::min)
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|it| it.joining.is_some())
    }

    pub(crate) fn check(&self, recorded: Option<&RecordedGroup>) {
        for (instance, member) in &self.instances {
            let member = self.members.get(member);
            assert_eq!(member.and_then(|it| it.instance.as_ref()), Some(instance));
        }
        for member in self.members.values() {
            assert!(member.joining.is_none() || member.syncing.is_none());
            let preparing = matches!(self.phase, Phase::PreparingRebalance { .. });
            assert!(member.joining.is_none() || preparing);
            assert!(member.syncing.is_none() || self.phase == Phase::CompletingRebalance);
        }
        assert!(self.phase != Phase::Empty || self.members.is_empty());
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "the leader is a member");
        }
        if self.phase == Phase::Stable {
            let recorded = recorded.map(|it| (it.generation(), it.members().len()));
            assert_eq!(recorded, Some((self.generation, self.members.len())));
        }
    }
}

/// Tells whoever waits in a member's name why it waits no longer.
pub(crate) fn dismiss(member: &Member, id: &str, error: ErrorCode, effects: &mut Vec<Effect>) {
    if let Some(ticket) = member.joining {
        effects.push(join_refused(ticket, id, error));
    }
    if let Some(ticket) = member.syncing {
        effects.push(Effect::Reply(ticket, Reply::SyncGroup(sync::refused(error))));
    }
}

pub(crate) fn join_refused(ticket: Ticket, member: &str, error: ErrorCode) -> Effect {
    Effect::Reply(ticket, Reply::JoinGroup(crate::group::join::refused(member, error)))
}
