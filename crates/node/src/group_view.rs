//! Routes as consumer groups: ordinary Kafka tools see a route's position and lag.
//!
//! The truth is the bridge's journaled cursor. What a client would change about such a group is
//! refused by `topics`, whether or not a route of that name exists.

use bridge::Bridge;
use bridge::machine::Committed;
use topics::ask::{
    DescribedGroup, FetchedOffset, ListGroups, ListedGroup, OffsetFetchGroup, OffsetFetchGroupReply,
};
use topics::{Ask, ErrorCode, Reply};

/// Routes read as long as the node runs.
const STATE: &str = "Stable";
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "mainstay-route";

/// Completes what the topics machine, which knows no routes, has answered.
pub(crate) fn complete(bridge: &Bridge, ask: &Ask, reply: &mut Reply) {
    match (ask, reply) {
        (Ask::OffsetFetch(fetch), Reply::OffsetFetch(reply)) => {
            for (wanted, group) in fetch.groups.iter().zip(&mut reply.groups) {
                if Bridge::is_route_group(&wanted.group) {
                    *group = fetched(bridge, wanted);
                }
            }
        }
        (Ask::DescribeGroups(describe), Reply::DescribeGroups(groups)) => {
            for (wanted, group) in describe.groups.iter().zip(groups) {
                if bridge.committed(wanted).is_some() {
                    *group = described(wanted);
                }
            }
        }
        (Ask::ListGroups(list), Reply::ListGroups(groups)) if is_listed(list) => {
            groups.extend(bridge.groups().map(|group| ListedGroup {
                group,
                protocol_type: PROTOCOL_TYPE.to_owned(),
                state: STATE,
            }));
        }
        _ => {}
    }
}

fn is_listed(list: &ListGroups) -> bool {
    let wanted = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    wanted(&list.states, STATE) && wanted(&list.types, "classic")
}

fn described(group: &str) -> DescribedGroup {
    DescribedGroup {
        error: ErrorCode::None,
        group: group.to_owned(),
        state: STATE,
        protocol_type: PROTOCOL_TYPE.to_owned(),
        protocol: PROTOCOL.to_owned(),
        members: Vec::new(),
    }
}

fn fetched(bridge: &Bridge, wanted: &OffsetFetchGroup) -> OffsetFetchGroupReply {
    let committed = bridge.committed(&wanted.group).unwrap_or_default();
    let topics = match &wanted.topics {
        None => everything(&committed),
        Some(topics) => topics
            .iter()
            .map(|(topic, partitions)| {
                let offset = |index: &i32| {
                    let found =
                        committed.iter().find(|c| c.topic == *topic && c.partition.index == *index);
                    fetched_offset(*index, found.map_or(-1, |found| found.offset))
                };
                (topic.clone(), partitions.iter().map(offset).collect())
            })
            .collect(),
    };
    OffsetFetchGroupReply { group: wanted.group.clone(), error: ErrorCode::None, topics }
}

fn everything(committed: &[Committed]) -> Vec<(String, Vec<FetchedOffset>)> {
    let mut topics: Vec<(String, Vec<FetchedOffset>)> = Vec::new();
    for Committed { topic, partition, offset } in committed {
        let offset = fetched_offset(partition.index, *offset);
        match topics.last_mut() {
            Some((last, offsets)) if last == topic => offsets.push(offset),
            _ => topics.push((topic.clone(), vec![offset])),
        }
    }
    topics
}

fn fetched_offset(partition: i32, offset: i64) -> FetchedOffset {
    FetchedOffset {
        partition,
        offset,
        leader_epoch: -1,
        metadata: String::new(),
        error: ErrorCode::None,
    }
}
