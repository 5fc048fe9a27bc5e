//! The APIs of topics and configs.

use super::{all, maybe_text, requests, responses, text, topic_name};
use crate::{
    api::{self, configs, oracle::Dice},
    table::Key,
};
use base::{TopicId, Uuid};
use kafka_protocol::messages::*;
use topics::{ErrorCode, ask};

#[test]
fn create_topics_requests() {
    requests::<api::CreateTopics, _>(Key::CreateTopics, all(Key::CreateTopics), |dice, _| {
        let ours = ask::CreateTopics {
            topics: dice.list(|dice| ask::NewTopic {
                name: dice.string(),
                partition_count: dice.i32(),
                replication_factor: dice.i16(),
                assignments: dice.list(|dice| (dice.i32(), dice.list(Dice::i32))),
                configs: dice.list(|dice| (dice.string(), dice.maybe(Dice::string))),
            }),
            validate_only: dice.bool(),
        };
        let topics = ours.topics.iter().map(|topic| {
            let assignments = topic.assignments.iter().map(|(index, brokers)| {
                create_topics_request::CreatableReplicaAssignment::default()
                    .with_partition_index(*index)
                    .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
            });
            let configs = topic.configs.iter().map(|(name, value)| {
                create_topics_request::CreatableTopicConfig::default()
                    .with_name(text(name))
                    .with_value(maybe_text(value.as_ref()))
            });
            create_topics_request::CreatableTopic::default()
                .with_name(topic_name(&topic.name))
                .with_num_partitions(topic.partition_count)
                .with_replication_factor(topic.replication_factor)
                .with_assignments(assignments.collect())
                .with_configs(configs.collect())
        });
        let oracle = CreateTopicsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(dice.i32())
            .with_validate_only(ours.validate_only);
        (oracle, ours)
    });
}

#[test]
fn create_topics_responses() {
    responses::<api::CreateTopics, _>(
        Key::CreateTopics,
        all(Key::CreateTopics),
        |dice, version| {
            let ours = dice.list(|dice| ask::CreateTopicResult {
                name: dice.string(),
                id: TopicId(dice.uuid()),
                error: dice.error(),
                message: dice.maybe(Dice::string),
                partition_count: dice.i32(),
            });
            let topics = ours.iter().map(|topic| {
                let oracle = create_topics_response::CreatableTopicResult::default()
                    .with_name(topic_name(&topic.name))
                    .with_topic_id(if version >= 7 { topic.id.0 } else { Uuid::nil() })
                    .with_error_code(topic.error.code())
                    .with_error_message(maybe_text(topic.message.as_ref()));
                let is_created = topic.error == ErrorCode::None;
                match version {
                    ..5 => oracle,
                    _ if !is_created => oracle.with_configs(Some(Vec::new())),
                    _ => oracle
                        .with_num_partitions(topic.partition_count)
                        .with_replication_factor(1)
                        .with_configs(Some(created_configs())),
                }
            });
            let oracle = CreateTopicsResponse::default().with_topics(topics.collect());
            (ours, oracle)
        },
    );
}

fn created_configs() -> Vec<create_topics_response::CreatableTopicConfigs> {
    let config = |config: &configs::Config| {
        create_topics_response::CreatableTopicConfigs::default()
            .with_name(text(config.name))
            .with_value(Some(text(config.value)))
            .with_config_source(5)
    };
    configs::TOPIC.iter().map(config).collect()
}

#[test]
fn delete_topics() {
    use crate::api::delete_topics::Request;
    let key = Key::DeleteTopics;
    requests::<api::DeleteTopics, _>(key, all(key), |dice, version| {
        let names = dice.list(Dice::string);
        let oracle = DeleteTopicsRequest::default().with_timeout_ms(dice.i32());
        if version < 6 {
            let oracle_names = names.iter().map(|name| topic_name(name)).collect();
            return (oracle.with_topic_names(oracle_names), Request { names, ids: Vec::new() });
        }
        let ids = dice.list(|dice| TopicId(dice.uuid()));
        let by_name = names.iter().map(|name| {
            delete_topics_request::DeleteTopicState::default().with_name(Some(topic_name(name)))
        });
        let by_id = ids.iter().map(|id| {
            delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(id.0)
        });
        (oracle.with_topics(by_name.chain(by_id).collect()), Request { names, ids })
    });
    responses::<api::DeleteTopics, _>(key, all(key), |dice, version| {
        let ours = dice.list(|dice| ask::DeleteTopicResult {
            name: dice.maybe(Dice::string),
            id: TopicId(dice.uuid()),
            error: dice.error(),
        });
        let topics = ours.iter().map(|topic| {
            let name = topic.name.clone();
            let name = if version >= 6 { name } else { Some(name.unwrap_or_default()) };
            delete_topics_response::DeletableTopicResult::default()
                .with_name(name.as_deref().map(topic_name))
                .with_topic_id(if version >= 6 { topic.id.0 } else { Uuid::nil() })
                .with_error_code(topic.error.code())
        });
        let oracle = DeleteTopicsResponse::default().with_responses(topics.collect());
        (ours, oracle)
    });
}

#[test]
fn describe_configs() {
    use crate::api::describe_configs::{Request, Resource, Response};
    let key = Key::DescribeConfigs;
    requests::<api::DescribeConfigs, _>(key, all(key), |dice, version| {
        let ours = Request { resources: dice.list(resource), include_synonyms: dice.bool() };
        let resources = ours.resources.iter().map(|resource| {
            let keys = resource.keys.as_ref();
            describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(resource.kind)
                .with_resource_name(text(&resource.name))
                .with_configuration_keys(
                    keys.map(|keys| keys.iter().map(|key| text(key)).collect()),
                )
        });
        let oracle = DescribeConfigsRequest::default()
            .with_resources(resources.collect())
            .with_include_synonyms(ours.include_synonyms)
            .with_include_documentation(version >= 3 && dice.bool());
        (oracle, ours)
    });
    responses::<api::DescribeConfigs, _>(key, all(key), |dice, version| {
        let ours = Response {
            described: dice.list(|dice| {
                let configs = match dice.below(3) {
                    0 => Ok(configs::TOPIC.to_vec()),
                    1 => Ok(configs::BROKER.to_vec()),
                    _ => Err(ErrorCode::InvalidRequest),
                };
                (resource(dice), configs)
            }),
            include_synonyms: dice.bool(),
        };
        let results = ours.described.iter().map(|(resource, configs)| {
            let error = configs.as_ref().err();
            let configs = configs.iter().flatten();
            let configs = configs.map(|config| described(config, version, ours.include_synonyms));
            describe_configs_response::DescribeConfigsResult::default()
                .with_error_code(error.map_or(0, |error| error.code()))
                .with_error_message(error.map(|_| text("the resource is not known")))
                .with_resource_type(resource.kind)
                .with_resource_name(text(&resource.name))
                .with_configs(configs.collect())
        });
        let oracle = DescribeConfigsResponse::default().with_results(results.collect());
        (ours, oracle)
    });

    fn resource(dice: &mut Dice) -> Resource {
        Resource {
            kind: dice.i8(),
            name: dice.string(),
            keys: dice.maybe(|dice| dice.list(Dice::string)),
        }
    }
}

fn described(
    config: &configs::Config,
    version: i16,
    include_synonyms: bool,
) -> describe_configs_response::DescribeConfigsResourceResult {
    let synonym = describe_configs_response::DescribeConfigsSynonym::default()
        .with_name(text(config.name))
        .with_value(Some(text(config.value)))
        .with_source(5);
    let synonyms = if include_synonyms { vec![synonym] } else { Vec::new() };
    let oracle = describe_configs_response::DescribeConfigsResourceResult::default()
        .with_name(text(config.name))
        .with_value(Some(text(config.value)))
        .with_read_only(config.is_read_only)
        .with_config_source(5)
        .with_synonyms(synonyms);
    if version < 3 {
        return oracle;
    }
    oracle.with_config_type(config.kind as i8).with_documentation(None)
}
