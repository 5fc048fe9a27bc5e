//! Members going away, by leaving or by expiry.
//!
//! Invariant: who goes is found by a pure look at the group, in `decide` to journal it and again
//! in `attend` to carry it out.

use crate::ask::Effect;
use crate::group::RecordedGroup;
use crate::group::live::{Live, Phase};
use crate::limits::Config;
use crate::op::{GroupEmptied, GroupMembersRemoved, Op};
use base::Timestamp;

/// Who goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Members.
    pub(crate) members: Vec<String>,
    /// Member ids that were drawn and not used.
    pub(crate) pending: Vec<String>,
}

impl Departure {
    /// What the journal must know: the generation it has recorded is no longer complete, or empty.
    pub(crate) fn plan(
        &self,
        group: &str,
        live: &Live,
        recorded: Option<&RecordedGroup>,
        plan: &mut Vec<Op>,
    ) {
        let Some(recorded) = recorded.filter(|it| !it.members().is_empty()) else { return };
        let emptied = live.members.keys().all(|it| self.members.contains(it));
        if emptied && live.phase != Phase::Empty {
            let generation = live.generation.saturating_add(1);
            plan.push(Op::GroupEmptied(GroupEmptied { group: group.to_owned(), generation }));
            return;
        }
        let mut members = self.members.clone();
        members.retain(|it| recorded.member(it).is_some());
        if !members.is_empty() {
            let group = group.to_owned();
            plan.push(Op::GroupMembersRemoved(GroupMembersRemoved { group, members }));
        }
    }
}

impl Live {
    /// Who has been silent too long, at `now`.
    pub(crate) fn expired(&self, now: Timestamp) -> Departure {
        let late_to_join = matches!(
            self.phase, Phase::PreparingRebalance { deadline, .. } if deadline <= now
        );
        let late_to_sync = matches!(self.phase, Phase::CompletingRebalance | Phase::Stable)
            && self.sync_deadline <= now;
        let mut departure = Departure::default();
        for (id, member) in self.members.iter().filter(|it| !it.1.waits()) {
            if member.session_deadline <= now
                || (late_to_join && !member.is_static())
                || (late_to_sync && !member.synced)
            {
                departure.members.push(id.clone());
            }
        }
        let pending = self.pending.iter().filter(|it| *it.1 <= now);
        departure.pending.extend(pending.map(|it| it.0.clone()));
        departure
    }

    /// Carries a departure out, and whatever it makes possible.
    pub(crate) fn depart(
        &mut self,
        departure: &Departure,
        config: &Config,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for member in &departure.members {
            self.remove(member, effects);
        }
        for id in &departure.pending {
            self.pending.remove(id);
        }
        if self.members.is_empty() {
            if self.phase != Phase::Empty {
                self.generation = self.generation.saturating_add(1);
                self.phase = Phase::Empty;
            }
            return;
        }
        let broken = matches!(self.phase, Phase::CompletingRebalance | Phase::Stable);
        if broken && !departure.members.is_empty() {
            self.prepare_rebalance(config, now, effects);
        }
        self.try_complete(now, effects);
    }

    /// The caller that waited here went away. A member whose client has never learnt its id goes
    /// too; any other has its session to come back in. Whether somebody now waits in vain is for
    /// the next expiry to find out.
    pub(crate) fn abandon(&mut self, id: &str, ticket: base::Ticket, now: Timestamp) {
        let Some(member) = self.members.get_mut(id) else { return };
        let unknown_to_client = member.is_new && member.joining == Some(ticket);
        member.joining.take_if(|it| *it == ticket);
        member.syncing.take_if(|it| *it == ticket);
        member.restart_session(now);
        if unknown_to_client {
            // Nobody waits in its name any more, so there is nobody to tell.
            self.remove(id, &mut Vec::new());
        }
    }
}
