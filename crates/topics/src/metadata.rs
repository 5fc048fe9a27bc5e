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
            let planned = Planned::new(facts, plan);
            let mut asking = Asking { config, create, planned, cx, plan };
            names.iter().map(|name| named(name, asking.find(name))).collect()
        }
    };
    MetadataReply { topics }
}

struct Asking<'a, 'b> {
    config: &'a Config,
    create: bool,
    planned: Planned<'a>,
    cx: &'a Cx<'b>,
    plan: &'a mut Vec<Op>,
}

impl Asking<'_, '_> {
    /// The topic, created if need be: its id and its number of partitions.
    fn find(&mut self, name: &str) -> Result<(TopicId, i32), ErrorCode> {
        if let Some(topic) = self.planned.topic_named(name) {
            return Ok((topic.id, topic.partition_count));
        }
        if !topic_name::is_valid(name, self.config.limits.topic_name_bytes_max) {
            return Err(ErrorCode::InvalidTopic);
        }
        if !self.create {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let op = topic_to_create(&self.planned, self.config, name, self.cx).map_err(|it| it.0)?;
        let found = (op.topic(), op.partition_count);
        let op = Op::TopicCreated(op);
        self.planned.note(&op);
        self.plan.push(op);
        Ok(found)
    }
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
