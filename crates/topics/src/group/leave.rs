//! LeaveGroup: members go, each for itself, and the others learn it by their heartbeats.

use crate::ErrorCode;
use crate::ask::{LeaveGroup, LeaveGroupReply};
use crate::group::check_group_id;
use crate::group::departure::Departure;
use crate::group::live::Live;
use crate::limits::Config;

/// The answer, and who goes.
pub(crate) fn decide(
    config: &Config,
    live: Option<&Live>,
    ask: &LeaveGroup,
) -> (LeaveGroupReply, Departure) {
    let mut departure = Departure::default();
    if let Err(error) = check_group_id(config, &ask.group) {
        return (LeaveGroupReply { error, members: Vec::new() }, departure);
    }
    let mut members = Vec::with_capacity(ask.members.len());
    for (member, instance) in &ask.members {
        let error = match leave(live, member, instance.as_deref(), &mut departure) {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        };
        members.push((member.clone(), instance.clone(), error));
    }
    (LeaveGroupReply { error: ErrorCode::None, members }, departure)
}

fn leave(
    live: Option<&Live>,
    member: &str,
    instance: Option<&str>,
    departure: &mut Departure,
) -> Result<(), ErrorCode> {
    let live = live.ok_or(ErrorCode::UnknownMemberId)?;
    if instance.is_none() && live.pending.contains_key(member) {
        departure.pending.push(member.to_owned());
        return Ok(());
    }
    // An administrator removes a static member by its instance id alone.
    let id = match instance {
        Some(instance) if member.is_empty() => {
            live.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?.as_str()
        }
        _ => member,
    };
    live.check_member(id, instance)?;
    if departure.members.iter().any(|it| it == id) {
        return Err(ErrorCode::UnknownMemberId);
    }
    departure.members.push(id.to_owned());
    Ok(())
}
