//! CreateTopics, and the creation that Metadata and the node's own records bring about.
//!
//! Invariants: each topic is created or refused for itself; a name that stands twice in one
//! request is refused every time; ids are drawn here and journaled. Any replication factor is
//! accepted and one replica is what there is.

use crate::ErrorCode;
use crate::ask::{CreateTopicResult, CreateTopics, NewTopic};
use crate::facts::Facts;
use crate::limits::Config;
use crate::op::{self, Op};
use crate::planned::Planned;
use crate::{topic_config, topic_name};
use base::{Cx, TopicId, Uuid};
use std::collections::{HashMap, HashSet};

/// What is wrong, and the same for people.
pub(crate) type Refused = (ErrorCode, String);

pub(crate) fn decide(
    facts: &Facts,
    config: &Config,
    ask: &CreateTopics,
    cx: &Cx<'_>,
    plan: &mut Vec<Op>,
) -> Vec<CreateTopicResult> {
    let mut times_asked: HashMap<&str, usize> = HashMap::new();
    for topic in &ask.topics {
        *times_asked.entry(&topic.name).or_default() += 1;
    }
    let mut planned = Planned::new(facts, plan);
    let mut results = Vec::with_capacity(ask.topics.len());
    for topic in &ask.topics {
        let checked = if times_asked.get(topic.name.as_str()) > Some(&1) {
            Err((ErrorCode::InvalidRequest, "the topic stands twice in the request".to_owned()))
        } else {
            check(&planned, config, topic)
        };
        let mut id = TopicId(Uuid::nil());
        if let (Ok(partition_count), false) = (&checked, ask.validate_only) {
            let op = created(&topic.name, *partition_count, stored_configs(topic), cx);
            id = op.topic();
            planned.note(&Op::TopicCreated(op.clone()));
            plan.push(Op::TopicCreated(op));
        }
        results.push(result(&topic.name, id, checked));
    }
    results
}

/// The op for a topic with default settings, if one may be made under this name.
pub(crate) fn topic_to_create(
    planned: &Planned<'_>,
    config: &Config,
    name: &str,
    cx: &Cx<'_>,
) -> Result<op::TopicCreated, Refused> {
    check_name(config, name)?;
    check_room(planned, config, config.default_partition_count)?;
    Ok(created(name, config.default_partition_count, Vec::new(), cx))
}

fn created(
    name: &str,
    partition_count: i32,
    configs: Vec<op::TopicConfig>,
    cx: &Cx<'_>,
) -> op::TopicCreated {
    let id = TopicId(cx.uuid());
    op::TopicCreated { id: Some(id.into()), name: name.to_owned(), partition_count, configs }
}

/// The number of partitions the topic gets.
fn check(planned: &Planned<'_>, config: &Config, topic: &NewTopic) -> Result<i32, Refused> {
    check_name(config, &topic.name)?;
    if planned.topic_named(&topic.name).is_some() {
        let message = format!("topic {:?} exists already", topic.name);
        return Err((ErrorCode::TopicAlreadyExists, message));
    }
    let partition_count = if topic.assignments.is_empty() {
        check_counts(config, topic)?
    } else {
        check_assignments(config, topic)?
    };
    check_configs(config, topic)?;
    check_room(planned, config, partition_count)?;
    Ok(partition_count)
}

fn check_name(config: &Config, name: &str) -> Result<(), Refused> {
    if topic_name::is_valid(name, config.limits.topic_name_bytes_max) {
        return Ok(());
    }
    let message = "a topic name has 1 to 249 of [a-zA-Z0-9._-] and is not \".\" or \"..\"";
    Err((ErrorCode::InvalidTopic, message.to_owned()))
}

fn check_counts(config: &Config, topic: &NewTopic) -> Result<i32, Refused> {
    let replicas = topic.replication_factor;
    if replicas != -1 && replicas < 1 {
        let message = format!("replication factor {replicas} is not -1 or larger than 0");
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    match topic.partition_count {
        -1 => Ok(config.default_partition_count),
        count if count >= 1 => Ok(count),
        count => {
            let message = format!("partition count {count} is not -1 or larger than 0");
            Err((ErrorCode::InvalidPartitions, message))
        }
    }
}

/// Kafka wants counts of -1 beside a manual assignment, and partitions 0..n without gaps.
fn check_assignments(config: &Config, topic: &NewTopic) -> Result<i32, Refused> {
    if topic.partition_count != -1 || topic.replication_factor != -1 {
        let message = "with a manual assignment both counts must be -1";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    }
    let invalid = |message: &str| (ErrorCode::InvalidReplicaAssignment, message.to_owned());
    let count = topic.assignments.len();
    let mut seen = HashSet::new();
    for (partition, brokers) in &topic.assignments {
        if !usize::try_from(*partition).is_ok_and(|it| it < count) || !seen.insert(partition) {
            return Err(invalid("the partitions of an assignment must be 0..n, each once"));
        }
        if brokers.as_slice() != [config.broker_id] {
            return Err(invalid("every partition must be assigned to this node, once"));
        }
    }
    i32::try_from(count).map_err(|_| invalid("too many partitions"))
}

fn check_configs(config: &Config, topic: &NewTopic) -> Result<(), Refused> {
    let most = config.limits.topic_config_count_max;
    if topic.configs.len() > most {
        return Err((ErrorCode::InvalidConfig, format!("more than {most} configs")));
    }
    for (name, value) in &topic.configs {
        topic_config::check(name, value.as_deref(), config.limits.batch_bytes_max)
            .map_err(|message| (ErrorCode::InvalidConfig, message))?;
    }
    Ok(())
}

fn check_room(planned: &Planned<'_>, config: &Config, partitions: i32) -> Result<(), Refused> {
    let limits = &config.limits;
    if partitions > limits.partitions_per_topic_max {
        let most = limits.partitions_per_topic_max;
        return Err((ErrorCode::InvalidPartitions, format!("more than {most} partitions")));
    }
    if planned.topic_count() >= limits.topic_count_max {
        let message = format!("there are {} topics already", limits.topic_count_max);
        return Err((ErrorCode::PolicyViolation, message));
    }
    let partitions = planned.partition_count() + usize::try_from(partitions).unwrap_or(0);
    if partitions > limits.partition_count_max {
        let message = format!("more than {} partitions in all", limits.partition_count_max);
        return Err((ErrorCode::PolicyViolation, message));
    }
    Ok(())
}

fn stored_configs(topic: &NewTopic) -> Vec<op::TopicConfig> {
    let given = topic.configs.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| op::TopicConfig { name: name.clone(), value: value.clone() })
    });
    given.collect()
}

fn result(name: &str, id: TopicId, checked: Result<i32, Refused>) -> CreateTopicResult {
    let (error, message, partition_count) = match checked {
        Ok(partition_count) => (ErrorCode::None, None, partition_count),
        Err((error, message)) => (error, Some(message), -1),
    };
    CreateTopicResult { name: name.to_owned(), id, error, message, partition_count }
}
