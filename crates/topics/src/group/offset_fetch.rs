//! OffsetFetch: what groups have committed. An unknown group or partition is no error: the offset
//! is -1, as clients expect.

use crate::ErrorCode;
use crate::ask::{
    FetchedOffset, OffsetFetch, OffsetFetchGroup, OffsetFetchGroupReply, OffsetFetchReply,
};
use crate::facts::Facts;
use crate::group::RecordedGroup;
use crate::group::recorded::RecordedOffset;
use base::{PartitionId, TopicId};
use std::collections::BTreeMap;

pub(crate) fn answer(facts: &Facts, ask: &OffsetFetch) -> OffsetFetchReply {
    OffsetFetchReply { groups: ask.groups.iter().map(|it| answer_group(facts, it)).collect() }
}

fn answer_group(facts: &Facts, ask: &OffsetFetchGroup) -> OffsetFetchGroupReply {
    let recorded = facts.group(&ask.group);
    let topics = match &ask.topics {
        None => recorded.map_or_else(Vec::new, |it| everything(facts, it)),
        Some(topics) => {
            let topics = topics.iter();
            topics.map(|(name, partitions)| asked(facts, recorded, name, partitions)).collect()
        }
    };
    OffsetFetchGroupReply { group: ask.group.clone(), error: ErrorCode::None, topics }
}

fn asked(
    facts: &Facts,
    recorded: Option<&RecordedGroup>,
    name: &str,
    partitions: &[i32],
) -> (String, Vec<FetchedOffset>) {
    let topic = facts.topic_named(name).map(|it| it.id());
    let find = |index: i32| {
        let partition = PartitionId { topic: topic?, index };
        recorded?.offsets().get(&partition)
    };
    (name.to_owned(), partitions.iter().map(|it| fetched(*it, find(*it))).collect())
}

fn everything(facts: &Facts, recorded: &RecordedGroup) -> Vec<(String, Vec<FetchedOffset>)> {
    let mut by_topic: BTreeMap<TopicId, Vec<FetchedOffset>> = BTreeMap::new();
    for (partition, offset) in recorded.offsets() {
        let offset = fetched(partition.index, Some(offset));
        by_topic.entry(partition.topic).or_default().push(offset);
    }
    let named = by_topic.into_iter().filter_map(|(topic, offsets)| {
        facts.topic(topic).map(|topic| (topic.name().to_owned(), offsets))
    });
    let mut topics: Vec<_> = named.collect();
    topics.sort_by(|a, b| a.0.cmp(&b.0));
    topics
}

fn fetched(partition: i32, offset: Option<&RecordedOffset>) -> FetchedOffset {
    FetchedOffset {
        partition,
        offset: offset.map_or(-1, |it| it.offset),
        leader_epoch: offset.map_or(-1, |it| it.leader_epoch),
        metadata: offset.map_or_else(String::new, |it| it.metadata.clone()),
        error: ErrorCode::None,
    }
}
