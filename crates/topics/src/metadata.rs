//! Metadata: which topics there are. Missing ones are created when the client wishes it, the
//! settings allow it and the name is legal; the answer then already shows them.

use crate::ErrorCode;
use crate::ask::{Metadata, MetadataReply, TopicMetadata, TopicSelection};
use crate::create_topics::topic_to_create;
use crate::facts::Facts;
use crate::limits::Config;
use crate::op::Op;
use crate::planned::Planned;
use crate::topic::Topic;
use crate::topic_name;
use base::{Cx, TopicId, Uuid};

pub(crate) fn decide(
    facts: &Facts,
    config: &Config,
    ask: &Metadata,
    cx: &Cx<'_>,
    plan: &mut Vec<Op>,
) -> MetadataReply {
    let topics = match &ask.topics {
        TopicSelection::All => facts.topics().map(known).collect(),
        TopicSelection::Ids(ids) => {
            ids.iter().map(|id| facts.topic(*id).map_or_else(|| unknown_id(*id), known)).collect()
        }
        TopicSelection::Names(names) => {
            let create = ask.allow_auto_topic_creation && config.auto_create_topics;
            let mut planned = Planned::new(facts, plan);
            let mut topics = Vec::with_capacity(names.len());
            for name in names {
                let found = match planned.topic_named(name) {
                    Some(topic) => Ok((topic.id, topic.partition_count)),
                    None if create => topic_to_create(&planned, config, name, cx)
                        .map(|op| {
                            let found = (op.topic(), op.partition_count);
                            planned.note(&Op::TopicCreated(op.clone()));
                            plan.push(Op::TopicCreated(op));
                            found
                        })
                        .map_err(|(code, _)| code),
                    None if topic_name::is_valid(name, config.limits.topic_name_bytes_max) => {
                        Err(ErrorCode::UnknownTopicOrPartition)
                    }
                    None => Err(ErrorCode::InvalidTopic),
                };
                topics.push(named(name, found));
            }
            topics
        }
    };
    MetadataReply { topics }
}

fn known(topic: &Topic) -> TopicMetadata {
    named(topic.name(), Ok((topic.id(), topic.partition_count())))
}

fn named(name: &str, found: Result<(TopicId, i32), ErrorCode>) -> TopicMetadata {
    let (error, id, partition_count) = match found {
        Ok((id, partition_count)) => (ErrorCode::None, id, partition_count),
        Err(error) => (error, TopicId(Uuid::nil()), 0),
    };
    TopicMetadata { error, name: Some(name.to_owned()), id, partition_count, is_internal: false }
}

fn unknown_id(id: TopicId) -> TopicMetadata {
    TopicMetadata {
        error: ErrorCode::UnknownTopicId,
        name: None,
        id,
        partition_count: 0,
        is_internal: false,
    }
}
