//! ListGroups and DescribeGroups: groups as operators see them.

use crate::ErrorCode;
use crate::ask::{DescribedGroup, DescribedMember, ListGroups, ListedGroup};
use crate::group::RecordedGroup;
use crate::group::live::{Live, Phase};
use bytes::Bytes;

const DEAD: &str = "Dead";
const EMPTY: &str = "Empty";
/// The only type there is: groups of the classic protocol.
const CLASSIC: &str = "classic";

/// One group of a list, if the filters let it through.
pub(crate) fn list(
    ask: &ListGroups,
    group: &str,
    live: Option<&Live>,
    recorded: Option<&RecordedGroup>,
) -> Option<ListedGroup> {
    let state = live.map_or(EMPTY, |it| name(it.phase));
    let passes = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|it| it.eq_ignore_ascii_case(value))
    };
    if !passes(&ask.states, state) || !passes(&ask.types, CLASSIC) {
        return None;
    }
    let protocol_type = protocol_type(live, recorded);
    Some(ListedGroup { group: group.to_owned(), protocol_type, state })
}

/// One group, or a dead one if there is none of that name.
pub(crate) fn describe(
    group: &str,
    live: Option<&Live>,
    recorded: Option<&RecordedGroup>,
) -> DescribedGroup {
    let state = match (live, recorded) {
        (Some(live), _) => name(live.phase),
        (None, Some(_)) => EMPTY,
        (None, None) => DEAD,
    };
    let stable = live.filter(|it| it.phase == Phase::Stable);
    DescribedGroup {
        error: ErrorCode::None,
        group: group.to_owned(),
        state,
        protocol_type: protocol_type(live, recorded),
        protocol: stable.map_or_else(String::new, |it| it.protocol.clone()),
        members: live.map_or_else(Vec::new, members),
    }
}

/// Metadata and assignments mean something only while the group is stable.
fn members(live: &Live) -> Vec<DescribedMember> {
    let stable = live.phase == Phase::Stable;
    let describe = |(id, member): (&String, &crate::group::member::Member)| DescribedMember {
        member: id.clone(),
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: member.metadata(&live.protocol).filter(|_| stable).unwrap_or_default(),
        assignment: if stable { member.assignment.clone() } else { Bytes::new() },
    };
    live.in_order().into_iter().map(describe).collect()
}

fn protocol_type(live: Option<&Live>, recorded: Option<&RecordedGroup>) -> String {
    match live.filter(|it| !it.protocol_type.is_empty()) {
        Some(live) => live.protocol_type.clone(),
        None => recorded.map_or_else(String::new, |it| it.protocol_type().to_owned()),
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Empty => EMPTY,
        Phase::PreparingRebalance { .. } => "PreparingRebalance",
        Phase::CompletingRebalance => "CompletingRebalance",
        Phase::Stable => "Stable",
    }
}
