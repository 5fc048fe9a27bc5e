//! Heartbeat: whether the member is still in, and whether it must rejoin. Nothing is journaled.

use crate::ErrorCode;
use crate::ask::Heartbeat;
use crate::group::check_group_id;
use crate::group::live::{Live, Phase};
use crate::limits::Config;
use base::Timestamp;

/// Kafka's answer.
pub(crate) fn answer(config: &Config, live: Option<&Live>, ask: &Heartbeat) -> ErrorCode {
    check(config, live, ask).err().unwrap_or(ErrorCode::None)
}

fn check(config: &Config, live: Option<&Live>, ask: &Heartbeat) -> Result<(), ErrorCode> {
    check_group_id(config, &ask.group)?;
    let live = live.ok_or(ErrorCode::UnknownMemberId)?;
    live.check_member(&ask.member, ask.instance.as_deref())?;
    if ask.generation != live.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    match live.phase {
        Phase::PreparingRebalance { .. } => Err(ErrorCode::RebalanceInProgress),
        Phase::Empty | Phase::CompletingRebalance | Phase::Stable => Ok(()),
    }
}

/// Whether the answer shows that the member lives.
pub(crate) fn is_sign_of_life(answer: ErrorCode) -> bool {
    matches!(answer, ErrorCode::None | ErrorCode::RebalanceInProgress)
}

impl Live {
    /// The member has been heard: its session starts again.
    pub(crate) fn heard(&mut self, member: &str, now: Timestamp) {
        if let Some(member) = self.members.get_mut(member) {
            member.restart_session(now);
        }
    }
}
