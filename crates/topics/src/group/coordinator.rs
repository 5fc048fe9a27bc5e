//! All live groups, who waits in them, and when time next matters to one of them. Volatile.
//!
//! Invariants: every group, live or recorded, has one deadline, never later than the true one;
//! heartbeats do not touch it, so it may be too early, and then an expiry finds nothing to do and
//! sets it right. A ticket stands in `waiting` from the moment it waits until it is answered or
//! forgotten.

use crate::ErrorCode;
use crate::ask::{Effect, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, Reply, SyncGroup};
use crate::facts::Facts;
use crate::group::commit::Committing;
use crate::group::join::{self, Doorway, Joining};
use crate::group::live::Live;
use crate::group::{RecordedGroup, heartbeat, leave, sync};
use crate::limits::Config;
use crate::op::{GroupForgotten, Op};
use base::{Cx, Ticket, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The volatile side of all groups.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    groups: BTreeMap<String, Live>,
    /// Group and member a ticket waits for.
    waiting: HashMap<Ticket, (String, String)>,
    deadlines: BTreeSet<(Timestamp, String)>,
    deadline_of: HashMap<String, Timestamp>,
    /// The last time it was told; `forget` is not told any.
    now: Timestamp,
}

/// What surrounds one attendance.
pub(crate) struct Attending<'a, 'b> {
    pub(crate) config: &'a Config,
    pub(crate) facts: &'a Facts,
    pub(crate) cx: &'a Cx<'b>,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// Read-only: for `decide`.
impl Coordinator {
    pub(crate) fn group(&self, id: &str) -> Option<&Live> {
        self.groups.get(id)
    }

    /// Ids of all groups, live or recorded.
    pub(crate) fn ids<'a>(&'a self, facts: &'a Facts) -> BTreeSet<&'a String> {
        self.groups.keys().chain(facts.groups().map(|it| it.0)).collect()
    }

    pub(crate) fn has_room(&self, config: &Config) -> bool {
        self.deadline_of.len() < config.limits.group_count_max
    }

    pub(crate) fn doorway<'a>(
        &'a self,
        config: &'a Config,
        facts: &'a Facts,
        group: &str,
    ) -> Doorway<'a> {
        let recorded = facts.group(group);
        let room_for_group = recorded.is_some() || self.has_room(config);
        Doorway { config, live: self.group(group), recorded, room_for_group }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|it| it.0).filter(|it| *it != Timestamp::NEVER)
    }

    fn due_groups(&self, config: &Config, now: Timestamp) -> Vec<String> {
        let due = self.deadlines.iter().take_while(|it| it.0 <= now);
        due.take(config.limits.groups_per_expiry_max).map(|it| it.1.clone()).collect()
    }

    /// What the journal must know of time's passing.
    pub(crate) fn plan_expiry(
        &self,
        config: &Config,
        facts: &Facts,
        now: Timestamp,
        plan: &mut Vec<Op>,
    ) {
        for group in self.due_groups(config, now) {
            let recorded = facts.group(&group);
            if let Some(live) = self.group(&group) {
                live.expired(now).plan(&group, live, recorded, plan);
            } else if recorded.is_some_and(|it| it.expires_at(config) <= now) {
                plan.push(Op::GroupForgotten(GroupForgotten { group }));
            }
        }
    }
}

/// Changing: for `attend`.
impl Coordinator {
    pub(crate) fn join(&mut self, ask: &JoinGroup, ticket: Ticket, at: &mut Attending<'_, '_>) {
        let door = self.doorway(at.config, at.facts, &ask.group);
        // A refusal has been answered by `decide`.
        let Ok(admission) = join::admit(door, ask) else { return };
        let recorded = at.facts.group(&ask.group);
        let live = self.groups.entry(ask.group.clone()).or_insert_with(|| Live::new(recorded));
        let mut joining =
            Joining { config: at.config, recorded, ticket, cx: at.cx, effects: &mut *at.effects };
        if let Some(member) = joining.carry_out(live, admission, ask) {
            self.waiting.insert(ticket, (ask.group.clone(), member));
        }
        self.settle(&ask.group, at);
    }

    pub(crate) fn sync(&mut self, ask: &SyncGroup, ticket: Ticket, at: &mut Attending<'_, '_>) {
        if sync::check(at.config, self.group(&ask.group), ask).is_err() {
            return;
        }
        let Some(live) = self.groups.get_mut(&ask.group) else { return };
        live.sync(ask, ticket, at.cx.now, at.effects);
        self.waiting.insert(ticket, (ask.group.clone(), ask.member.clone()));
        self.settle(&ask.group, at);
    }

    pub(crate) fn heartbeat(&mut self, ask: &Heartbeat, at: &mut Attending<'_, '_>) {
        let answer = heartbeat::answer(at.config, self.group(&ask.group), ask);
        self.heard(&ask.group, &ask.member, answer, at.cx.now);
    }

    /// A commit is a sign of life, and may have made the group.
    pub(crate) fn commit(&mut self, ask: &OffsetCommit, at: &mut Attending<'_, '_>) {
        let committing = Committing {
            config: at.config,
            facts: at.facts,
            live: self.group(&ask.group),
            room_for_group: true,
        };
        let answer = committing.check(ask).err().unwrap_or(ErrorCode::None);
        self.heard(&ask.group, &ask.member, answer, at.cx.now);
        if !self.deadline_of.contains_key(&ask.group) {
            self.settle(&ask.group, at);
        }
    }

    fn heard(&mut self, group: &str, member: &str, answer: ErrorCode, now: Timestamp) {
        self.now = now;
        if heartbeat::is_sign_of_life(answer)
            && let Some(live) = self.groups.get_mut(group)
        {
            live.heard(member, now);
        }
    }

    pub(crate) fn leave(&mut self, ask: &LeaveGroup, at: &mut Attending<'_, '_>) {
        let (_, departure) = leave::decide(at.config, self.group(&ask.group), ask);
        if let Some(live) = self.groups.get_mut(&ask.group) {
            live.depart(&departure, at.config, at.cx.now, at.effects);
            self.settle(&ask.group, at);
        }
    }

    pub(crate) fn expire(&mut self, at: &mut Attending<'_, '_>) {
        let now = at.cx.now;
        for group in self.due_groups(at.config, now) {
            if let Some(live) = self.groups.get_mut(&group) {
                let departure = live.expired(now);
                live.depart(&departure, at.config, now, at.effects);
            }
            self.settle(&group, at);
        }
    }

    /// The caller of this ticket is gone.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        let Some((group, member)) = self.waiting.remove(&ticket) else { return };
        let now = self.now;
        if let Some(live) = self.groups.get_mut(&group) {
            live.abandon(&member, ticket, now);
            // Others may have waited for this one only; the next expiry sees to it, at once.
            self.set_deadline(&group, Some(now));
        }
    }

    /// Once, after replay: members go on with the generation they have.
    pub(crate) fn resume(&mut self, config: &Config, facts: &Facts, now: Timestamp) {
        *self = Coordinator { now, ..Coordinator::default() };
        for (id, recorded) in facts.groups() {
            if !recorded.members().is_empty() {
                self.groups.insert(id.clone(), Live::resumed(recorded, now));
            }
            self.set_true_deadline(id, Some(recorded), config);
        }
    }

    /// After any change of a group: drops it if nobody is in it, strikes answered tickets off and
    /// sets its deadline.
    fn settle(&mut self, group: &str, at: &mut Attending<'_, '_>) {
        self.now = at.cx.now;
        for effect in at.effects.iter() {
            if let Effect::Reply(ticket, Reply::JoinGroup(_) | Reply::SyncGroup(_)) = effect {
                self.waiting.remove(ticket);
            }
        }
        if self.groups.get(group).is_some_and(|it| it.size() == 0) {
            self.groups.remove(group);
        }
        self.set_true_deadline(group, at.facts.group(group), at.config);
    }

    fn set_true_deadline(
        &mut self,
        group: &str,
        recorded: Option<&RecordedGroup>,
        config: &Config,
    ) {
        let deadline = match (self.groups.get(group), recorded) {
            (Some(live), _) => Some(live.next_deadline()),
            (None, Some(recorded)) => Some(recorded.expires_at(config)),
            (None, None) => None,
        };
        self.set_deadline(group, deadline);
    }

    fn set_deadline(&mut self, group: &str, deadline: Option<Timestamp>) {
        if let Some(old) = self.deadline_of.remove(group) {
            self.deadlines.remove(&(old, group.to_owned()));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, group.to_owned()));
            self.deadline_of.insert(group.to_owned(), deadline);
        }
    }

    pub(crate) fn check(&self, facts: &Facts) {
        assert_eq!(self.deadlines.len(), self.deadline_of.len());
        assert_eq!(self.deadlines.len(), self.ids(facts).len(), "every group has a deadline");
        for (id, live) in &self.groups {
            live.check(facts.group(id));
            let deadline = self.deadline_of.get(id);
            assert!(deadline.is_some_and(|it| *it <= live.next_deadline()));
            // Emptied by callers that went away; the next expiry, due at once, drops it.
            let abandoned = deadline.is_some_and(|it| *it <= self.now);
            assert!(live.size() > 0 || abandoned);
        }
        for (ticket, (group, member)) in &self.waiting {
            let member = self.groups.get(group).and_then(|it| it.members.get(member));
            let waits_for = member.map(|it| (it.joining, it.syncing));
            let this = Some(*ticket);
            assert!(waits_for.is_some_and(|it| it.0 == this || it.1 == this));
        }
    }
}
