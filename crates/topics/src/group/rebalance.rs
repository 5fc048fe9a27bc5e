//! The join barrier: it closes when somebody must rejoin, and opens with a new generation when
//! all have joined or the time is over.

use crate::ErrorCode;
use crate::ask::{Effect, Reply};
use crate::group::live::{Live, Phase};
use crate::group::member::Member;
use crate::group::sync;
use crate::limits::Config;
use base::Timestamp;
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Duration;

impl Live {
    /// Closes the barrier. Members learn it by their heartbeats.
    pub(crate) fn prepare_rebalance(
        &mut self,
        config: &Config,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for member in self.members.values_mut() {
            if let Some(ticket) = member.syncing.take() {
                let reply = sync::refused(ErrorCode::RebalanceInProgress);
                effects.push(Effect::Reply(ticket, Reply::SyncGroup(reply)));
                member.restart_session(now);
            }
        }
        let hold = if self.phase == Phase::Empty { initial_delay(config) } else { Duration::ZERO };
        let deadline = now.after(self.rebalance_timeout());
        self.phase =
            Phase::PreparingRebalance { hold_until: now.after(hold).min(deadline), deadline };
    }

    /// A newcomer may bring others along: the initial delay starts again, up to the deadline.
    pub(crate) fn extend_hold(&mut self, config: &Config, now: Timestamp) {
        if let Phase::PreparingRebalance { hold_until, deadline } = &mut self.phase
            && *hold_until > now
        {
            *hold_until = now.after(initial_delay(config)).min(*deadline);
        }
    }

    /// Opens the barrier if it is time. Who has not joined by the deadline has been removed
    /// before; static members may stay absent until their sessions end.
    pub(crate) fn try_complete(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Phase::PreparingRebalance { hold_until, deadline } = self.phase else { return };
        if self.members.is_empty() || !((self.all_joined() && now >= hold_until) || now >= deadline)
        {
            return;
        }
        if !self.elect_joined_leader() {
            // Only absent static members are left: wait on for their return or their expiry.
            let deadline = now.after(self.rebalance_timeout().max(Duration::from_millis(1)));
            self.phase = Phase::PreparingRebalance { hold_until, deadline };
            return;
        }
        self.start_generation(now, effects);
    }

    fn start_generation(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.vote();
        self.phase = Phase::CompletingRebalance;
        self.sync_deadline = now.after(self.rebalance_timeout());
        let mut replies = Vec::new();
        for (id, member) in self.in_order() {
            if let Some(ticket) = member.joining {
                replies.push(Effect::Reply(ticket, Reply::JoinGroup(self.join_reply(id))));
            }
        }
        effects.extend(replies);
        for member in self.members.values_mut() {
            if member.joining.take().is_some() {
                member.restart_session(now);
                member.is_new = false;
            }
            member.synced = false;
            member.assignment.clear();
        }
    }

    /// The leader stays if it has joined, else the first that has takes over.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |it: &Member| it.joining.is_some();
        if self.leader.as_ref().and_then(|it| self.members.get(it)).is_some_and(joined) {
            return true;
        }
        let first = self.in_order().into_iter().find(|it| joined(it.1)).map(|it| it.0.clone());
        let found = first.is_some();
        if found {
            self.leader = first;
        }
        found
    }

    /// Each member votes for the first of its protocols that all know. A tie goes to the one that
    /// the first member prefers.
    fn vote(&self) -> String {
        let members = self.in_order().into_iter();
        winner(&members.map(|it| it.1.protocols.as_slice()).collect::<Vec<_>>())
    }

    /// What would be voted for if one member offered other protocols.
    pub(crate) fn vote_with(&self, member: &str, protocols: &[(String, Bytes)]) -> String {
        let members = self.in_order().into_iter();
        let offered = |(id, it): (&String, &'_ Member)| {
            if id == member { protocols.to_vec() } else { it.protocols.clone() }
        };
        let offers: Vec<Vec<(String, Bytes)>> = members.map(offered).collect();
        winner(&offers.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

fn initial_delay(config: &Config) -> Duration {
    Duration::from_millis(u64::try_from(config.group_initial_rebalance_delay_ms).unwrap_or(0))
}

/// Names in each member's order of preference, members in the order of joining.
fn winner(offers: &[&[(String, Bytes)]]) -> String {
    let known_to_all = |name: &str| offers.iter().all(|it| it.iter().any(|p| p.0 == name));
    let first_offer = offers.first().map_or(&[][..], |it| *it).iter().map(|it| it.0.as_str());
    let candidates: Vec<&str> = first_offer.filter(|name| known_to_all(name)).collect();
    let mut votes: HashMap<&str, usize> = HashMap::new();
    for offer in offers {
        if let Some((choice, _)) = offer.iter().find(|it| candidates.contains(&it.0.as_str())) {
            *votes.entry(choice).or_default() += 1;
        }
    }
    let count = |name: &&&str| votes.get(**name).copied().unwrap_or(0);
    // `max_by_key` takes the last of equals, so the first comes last.
    let best = candidates.iter().rev().max_by_key(count);
    best.map(|it| (*it).to_owned()).unwrap_or_default()
}
