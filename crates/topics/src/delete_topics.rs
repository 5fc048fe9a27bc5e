//! DeleteTopics by name or by id. What is deleted is gone at once, and with it the offsets that
//! groups have committed for it. A topic that stands twice in one request is deleted once, the
//! second time it is unknown.

use crate::ErrorCode;
use crate::ask::{DeleteTopicResult, DeleteTopics, TopicSelection};
use crate::facts::Facts;
use crate::op::{self, Op};
use base::{TopicId, Uuid};
use std::collections::HashSet;

pub(crate) fn decide(
    facts: &Facts,
    ask: &DeleteTopics,
    plan: &mut Vec<Op>,
) -> Vec<DeleteTopicResult> {
    let mut deleting = Deleting { facts, gone: HashSet::new(), plan };
    match &ask.topics {
        // Kafka's request cannot say this; nothing is deleted that was not named.
        TopicSelection::All => Vec::new(),
        TopicSelection::Names(names) => names.iter().map(|it| deleting.by_name(it)).collect(),
        TopicSelection::Ids(ids) => ids.iter().map(|it| deleting.by_id(*it)).collect(),
    }
}

struct Deleting<'a> {
    facts: &'a Facts,
    gone: HashSet<TopicId>,
    plan: &'a mut Vec<Op>,
}

impl Deleting<'_> {
    fn by_name(&mut self, name: &str) -> DeleteTopicResult {
        let id = self.facts.topic_named(name).map(|it| it.id());
        let error = match id {
            Some(id) if self.plan_once(id) => ErrorCode::None,
            _ => ErrorCode::UnknownTopicOrPartition,
        };
        let id = id.unwrap_or(TopicId(Uuid::nil()));
        DeleteTopicResult { name: Some(name.to_owned()), id, error }
    }

    fn by_id(&mut self, id: TopicId) -> DeleteTopicResult {
        let name = self.facts.topic(id).map(|it| it.name().to_owned());
        let known = name.is_some() && self.plan_once(id);
        let error = if known { ErrorCode::None } else { ErrorCode::UnknownTopicId };
        DeleteTopicResult { name, id, error }
    }

    fn plan_once(&mut self, id: TopicId) -> bool {
        let first = self.gone.insert(id);
        if first {
            self.plan.push(Op::TopicDeleted(op::TopicDeleted { id: Some(id.into()) }));
        }
        first
    }
}
