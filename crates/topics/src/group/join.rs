//! JoinGroup: who may come in, and what that does to the group.
//!
//! Invariants: `admit` alone says yes or no, and is asked in `decide` and again in `attend`, with
//! nothing in between that could change its mind. Member ids are drawn in `attend`, except that of
//! a static member whose return is journaled: that one is drawn in `decide` and found in the
//! recorded group.

use crate::ErrorCode;
use crate::ask::{Effect, JoinGroup, JoinGroupReply, Reply};
use crate::group::live::{Live, Phase, dismiss, join_refused};
use crate::group::member::{Member, clipped, milliseconds, protocol_bytes};
use crate::group::{RecordedGroup, check_group_id};
use crate::limits::Config;
use crate::op::{GroupMemberReplaced, Op};
use base::{Cx, Ticket, Timestamp};

/// How a join comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It gets a member id and is to come again with it.
    DrawId,
    /// A new member, whose id is drawn now.
    New,
    /// A new member, with the id it was given before.
    Pending,
    /// A static member comes back; the id its predecessor had.
    Replace(String),
    /// A member joins again.
    Rejoin,
}

/// What admission looks at beside the ask.
#[derive(Clone, Copy)]
pub(crate) struct Doorway<'a> {
    pub(crate) config: &'a Config,
    pub(crate) live: Option<&'a Live>,
    pub(crate) recorded: Option<&'a RecordedGroup>,
    /// Whether a group that does not exist may be made.
    pub(crate) room_for_group: bool,
}

/// The answer to a join that is not let in.
pub(crate) fn refused(member: &str, error: ErrorCode) -> JoinGroupReply {
    JoinGroupReply {
        error,
        generation: -1,
        protocol_type: None,
        protocol_name: None,
        leader: String::new(),
        skip_assignment: false,
        member: member.to_owned(),
        members: Vec::new(),
    }
}

/// Plans the return of a static member that the journal knows. Everything else is volatile.
pub(crate) fn decide(
    door: Doorway<'_>,
    ask: &JoinGroup,
    cx: &Cx<'_>,
    plan: &mut Vec<Op>,
) -> Result<(), ErrorCode> {
    let Admission::Replace(old) = admit(door, ask)? else { return Ok(()) };
    let (Some(live), Some(recorded)) = (door.live, door.recorded) else { return Ok(()) };
    if recorded.member(&old).is_some() {
        let text_bytes_max = door.config.limits.client_text_bytes_max;
        let id = draw_id(door.config, ask, cx);
        let member = Member::new(ask, 0, text_bytes_max).to_recorded(&id, Default::default());
        plan.push(Op::GroupMemberReplaced(GroupMemberReplaced {
            group: ask.group.clone(),
            rebalance: !returns_quietly(live, &old, ask),
            old_member: old,
            member: Some(member),
        }));
    }
    Ok(())
}

pub(crate) fn admit(door: Doorway<'_>, ask: &JoinGroup) -> Result<Admission, ErrorCode> {
    check_request(door.config, ask)?;
    let limits = &door.config.limits;
    let Some(live) = door.live else {
        if !ask.member.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let fits = protocol_bytes(&ask.protocols) <= limits.group_metadata_bytes_max;
        return if door.room_for_group && fits {
            Ok(newcomer(ask))
        } else {
            Err(ErrorCode::GroupMaxSizeReached)
        };
    };
    let (admission, member) = identify(live, ask)?;
    if !live.can_talk_to(&member, &ask.protocol_type, &ask.protocols) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let grows = matches!(admission, Admission::DrawId | Admission::New);
    if (grows && live.size() >= limits.group_member_count_max)
        || !live.has_room_for(&member, &ask.protocols, limits.group_metadata_bytes_max)
    {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    Ok(admission)
}

fn check_request(config: &Config, ask: &JoinGroup) -> Result<(), ErrorCode> {
    let limits = &config.limits;
    check_group_id(config, &ask.group)?;
    let timeouts = limits.session_timeout_ms_min..=limits.session_timeout_ms_max;
    if !timeouts.contains(&ask.session_timeout_ms) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let count = ask.protocols.len();
    if ask.protocol_type.is_empty() || count == 0 || count > limits.group_protocol_count_max {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let instance_bytes = ask.instance.as_ref().map(String::len);
    if instance_bytes.is_some_and(|it| it == 0 || it > limits.client_text_bytes_max) {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}

/// Who it is, and the member id under which it is in the group already.
fn identify(live: &Live, ask: &JoinGroup) -> Result<(Admission, String), ErrorCode> {
    if ask.member.is_empty() {
        let predecessor = ask.instance.as_ref().and_then(|it| live.instances.get(it));
        return Ok(match predecessor {
            Some(old) => (Admission::Replace(old.clone()), old.clone()),
            None => (newcomer(ask), String::new()),
        });
    }
    if ask.instance.is_none() && live.pending.contains_key(&ask.member) {
        return Ok((Admission::Pending, ask.member.clone()));
    }
    live.check_member(&ask.member, ask.instance.as_deref())?;
    Ok((Admission::Rejoin, ask.member.clone()))
}

/// A dynamic member of a client that knows how is sent back once, so that a lost answer does not
/// leave a member behind that nobody knows.
fn newcomer(ask: &JoinGroup) -> Admission {
    if ask.requires_known_member && ask.instance.is_none() {
        Admission::DrawId
    } else {
        Admission::New
    }
}

/// Whether a static member's return changes nothing for the others.
fn returns_quietly(live: &Live, old: &str, ask: &JoinGroup) -> bool {
    let Some(member) = live.members.get(old) else { return false };
    live.phase == Phase::Stable
        && live.vote_with(old, &ask.protocols) == live.protocol
        && member.wants_the_same(&live.protocol, ask)
}

/// Client id (instance id for static members) and a UUID, as Kafka does.
fn draw_id(config: &Config, ask: &JoinGroup, cx: &Cx<'_>) -> String {
    let name = ask.instance.as_ref().unwrap_or(&ask.client_id);
    format!("{}-{}", clipped(name, config.limits.client_text_bytes_max), cx.uuid())
}

/// What `attend` needs to carry a join out.
pub(crate) struct Joining<'a, 'b> {
    pub(crate) config: &'a Config,
    pub(crate) recorded: Option<&'a RecordedGroup>,
    pub(crate) ticket: Ticket,
    pub(crate) cx: &'a Cx<'b>,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Joining<'_, '_> {
    /// Carries an admitted join out. The member id, if the ticket may have to wait.
    pub(crate) fn carry_out(
        &mut self,
        live: &mut Live,
        admission: Admission,
        ask: &JoinGroup,
    ) -> Option<String> {
        match admission {
            Admission::DrawId => {
                let id = draw_id(self.config, ask, self.cx);
                let deadline = self.cx.now.after(milliseconds(ask.session_timeout_ms));
                live.pending.insert(id.clone(), deadline);
                self.effects.push(join_refused(self.ticket, &id, ErrorCode::MemberIdRequired));
                None
            }
            Admission::New => {
                let id = draw_id(self.config, ask, self.cx);
                self.add(live, id.clone(), ask);
                Some(id)
            }
            Admission::Pending => {
                live.pending.remove(&ask.member);
                self.add(live, ask.member.clone(), ask);
                Some(ask.member.clone())
            }
            Admission::Replace(old) => Some(self.replace(live, &old, ask)),
            Admission::Rejoin => {
                self.rejoin(live, ask);
                Some(ask.member.clone())
            }
        }
    }

    fn add(&mut self, live: &mut Live, id: String, ask: &JoinGroup) {
        if live.members.is_empty() {
            live.protocol_type.clone_from(&ask.protocol_type);
        }
        let order = live.take_order();
        let mut member = Member::new(ask, order, self.config.limits.client_text_bytes_max);
        member.joining = Some(self.ticket);
        if let Some(instance) = &ask.instance {
            live.instances.insert(instance.clone(), id.clone());
        }
        live.members.insert(id, member);
        live.elect_if_leaderless();
        match live.phase {
            Phase::PreparingRebalance { .. } => live.extend_hold(self.config, self.now()),
            _ => live.prepare_rebalance(self.config, self.now(), self.effects),
        }
        live.try_complete(self.now(), self.effects);
    }

    fn rejoin(&mut self, live: &mut Live, ask: &JoinGroup) {
        let Some(member) = live.members.get(&ask.member) else { return };
        let same = member.matches(&ask.protocols);
        let answer_now = match live.phase {
            Phase::CompletingRebalance => same,
            // The leader rejoins because it sees what the members' metadata does not show.
            Phase::Stable => same && !live.is_leader(&ask.member),
            Phase::PreparingRebalance { .. } | Phase::Empty => false,
        };
        if answer_now {
            let reply = Reply::JoinGroup(live.join_reply(&ask.member));
            self.effects.push(Effect::Reply(self.ticket, reply));
            self.restart_session(live, &ask.member);
            return;
        }
        self.wait(live, &ask.member, ask);
    }

    /// Puts a member that is in the group before the barrier, and closes it if it is open.
    fn wait(&mut self, live: &mut Live, id: &str, ask: &JoinGroup) {
        let alone = live.members.len() == 1;
        if alone {
            live.protocol_type.clone_from(&ask.protocol_type);
        }
        if let Some(member) = live.members.get_mut(id) {
            member.update(ask, self.config.limits.client_text_bytes_max);
        }
        if !matches!(live.phase, Phase::PreparingRebalance { .. }) {
            live.prepare_rebalance(self.config, self.now(), self.effects);
        }
        if let Some(member) = live.members.get_mut(id) {
            // An earlier join of the same member, over a connection that is likely gone.
            if let Some(earlier) = member.joining.replace(self.ticket) {
                self.effects.push(join_refused(earlier, id, ErrorCode::RebalanceInProgress));
            }
        }
        live.try_complete(self.now(), self.effects);
    }

    /// A static member comes back under a new id; whoever still waits under the old one is fenced.
    fn replace(&mut self, live: &mut Live, old: &str, ask: &JoinGroup) -> String {
        let quiet = returns_quietly(live, old, ask);
        let led = live.leader.clone().unwrap_or_default();
        let instance = ask.instance.clone().unwrap_or_default();
        let recorded = self.recorded.and_then(|it| it.member_of_instance(&instance));
        let id = match recorded {
            Some(recorded) if recorded.id != old => recorded.id.clone(),
            _ => draw_id(self.config, ask, self.cx),
        };
        let Some(mut member) = live.members.remove(old) else { return id };
        dismiss(&member, old, ErrorCode::FencedInstanceId, self.effects);
        (member.joining, member.syncing) = (None, None);
        member.update(ask, self.config.limits.client_text_bytes_max);
        live.members.insert(id.clone(), member);
        live.instances.insert(instance, id.clone());
        if live.is_leader(old) {
            live.leader = Some(id.clone());
        }
        if quiet {
            self.answer_quietly(live, &id, &led, ask);
        } else {
            self.wait(live, &id, ask);
        }
        id
    }

    /// The generation goes on. A leader that came back must not assign anew: it is told so (v9),
    /// or, if it cannot be told, is named a follower of its former self.
    fn answer_quietly(&mut self, live: &mut Live, id: &str, led: &str, ask: &JoinGroup) {
        let mut reply = live.join_reply(id);
        if live.is_leader(id) && ask.supports_skipping_assignment {
            reply.skip_assignment = true;
        } else {
            reply.leader = led.to_owned();
            reply.members = Vec::new();
        }
        self.effects.push(Effect::Reply(self.ticket, Reply::JoinGroup(reply)));
        self.restart_session(live, id);
    }

    fn restart_session(&self, live: &mut Live, id: &str) {
        if let Some(member) = live.members.get_mut(id) {
            member.restart_session(self.cx.now);
        }
    }

    fn now(&self) -> Timestamp {
        self.cx.now
    }
}
