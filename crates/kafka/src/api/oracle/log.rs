//! The APIs of the log: produce, fetch, offsets, metadata.

use super::{NODE, all, maybe_text, requests, responses, text, topic_name};
use crate::{
    api::{self, oracle::Dice},
    options::Advertised,
    table::{Key, TABLE},
};
use base::{BlobAddr, PartitionId, TopicId, Uuid};
use bytes::Bytes;
use kafka_protocol::messages::{self as oracle, *};
use topics::{BatchRef, ErrorCode, ask};

#[test]
fn api_versions() {
    use crate::api::api_versions::Request;
    requests::<api::ApiVersions, _>(Key::ApiVersions, all(Key::ApiVersions), |dice, version| {
        let oracle = ApiVersionsRequest::default();
        if version < 3 {
            return (oracle, Request::default());
        }
        let software = (dice.string(), dice.string());
        let oracle = oracle
            .with_client_software_name(text(&software.0))
            .with_client_software_version(text(&software.1));
        (oracle, Request { client_software: Some(software) })
    });
    responses::<api::ApiVersions, _>(Key::ApiVersions, all(Key::ApiVersions), |dice, _| {
        let error = dice.error();
        let keys = TABLE.iter().map(|entry| {
            api_versions_response::ApiVersion::default()
                .with_api_key(entry.key as i16)
                .with_min_version(entry.version_min)
                .with_max_version(entry.version_max)
        });
        let oracle = ApiVersionsResponse::default()
            .with_error_code(error.code())
            .with_api_keys(keys.collect());
        (error, oracle)
    });
}

/// What we advertise is no more than the protocol has, and flexible from where it is.
#[test]
fn the_table_agrees_with_the_oracle() {
    for entry in TABLE {
        let key = ApiKey::try_from(entry.key as i16).unwrap();
        let valid = key.valid_versions();
        assert!(entry.version_max <= valid.max, "{key:?}");
        assert!(entry.version_min >= valid.min || entry.key == Key::Produce, "{key:?}");
        for version in entry.version_min.max(valid.min)..=entry.version_max {
            let is_flexible = key.request_header_version(version) == 2;
            assert_eq!(entry.is_flexible(version), is_flexible, "{key:?} v{version}");
            let has_tags = key.response_header_version(version) == 1;
            assert_eq!(is_flexible && entry.key != Key::ApiVersions, has_tags, "{key:?}");
        }
    }
}

#[test]
fn metadata_requests() {
    use crate::api::metadata::{Request, Wanted};
    requests::<api::Metadata, _>(Key::Metadata, all(Key::Metadata), |dice, version| {
        let topics = dice.list(|dice| Wanted {
            id: TopicId(if version >= 10 { dice.uuid() } else { Uuid::nil() }),
            name: if version >= 10 { dice.maybe(Dice::string) } else { Some(dice.string()) },
        });
        let is_null = version >= 1 && dice.bool();
        let topics = (!is_null).then_some(topics);
        let oracle_topics = topics.as_ref().map(|topics| {
            let topic = |topic: &Wanted| {
                metadata_request::MetadataRequestTopic::default()
                    .with_topic_id(topic.id.0)
                    .with_name(topic.name.as_deref().map(topic_name))
            };
            topics.iter().map(topic).collect()
        });
        let allow_auto_topic_creation = version < 4 || dice.bool();
        let oracle = MetadataRequest::default()
            .with_topics(oracle_topics)
            .with_allow_auto_topic_creation(allow_auto_topic_creation)
            .with_include_cluster_authorized_operations((8..=10).contains(&version) && dice.bool())
            .with_include_topic_authorized_operations(version >= 8 && dice.bool());
        // In version 0 an empty list means all.
        let topics = topics.filter(|topics| version > 0 || !topics.is_empty());
        (oracle, Request { topics, allow_auto_topic_creation })
    });
}

#[test]
fn metadata_responses() {
    use crate::api::metadata::Response;
    responses::<api::Metadata, _>(Key::Metadata, all(Key::Metadata), |dice, version| {
        let ours = Response {
            cluster_id: dice.string(),
            advertised: Advertised { host: dice.string(), port: dice.i16().cast_unsigned() },
            topics: dice.list(|dice| ask::TopicMetadata {
                error: dice.error(),
                name: dice.maybe(Dice::string),
                id: TopicId(dice.uuid()),
                partition_count: dice.below(5) as i32,
                is_internal: dice.bool(),
            }),
        };
        let broker = metadata_response::MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(text(&ours.advertised.host))
            .with_port(i32::from(ours.advertised.port));
        let topics = ours.topics.iter().map(|topic| metadata_topic(topic, version));
        let mut oracle =
            MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect());
        if version >= 1 {
            oracle = oracle.with_controller_id(NODE);
        }
        if version >= 2 {
            oracle = oracle.with_cluster_id(Some(text(&ours.cluster_id)));
        }
        (ours, oracle)
    });
}

fn metadata_topic(
    topic: &ask::TopicMetadata,
    version: i16,
) -> metadata_response::MetadataResponseTopic {
    let partitions = (0..topic.partition_count).map(|index| {
        metadata_response::MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_leader_epoch(if version >= 7 { 0 } else { -1 })
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    let name = topic.name.clone();
    let name = if version >= 12 { name } else { Some(name.unwrap_or_default()) };
    metadata_response::MetadataResponseTopic::default()
        .with_error_code(topic.error.code())
        .with_name(name.as_deref().map(topic_name))
        .with_topic_id(if version >= 10 { topic.id.0 } else { Uuid::nil() })
        .with_is_internal(version >= 1 && topic.is_internal)
        .with_partitions(partitions.collect())
}

#[test]
fn produce_requests() {
    requests::<api::Produce, _>(Key::Produce, 3..=11, |dice, _| {
        let ours = api::produce::Request {
            transactional_id: dice.maybe(Dice::string),
            acks: dice.i16(),
            topics: dice.list(|dice| {
                let partition = |dice: &mut Dice| (dice.i32(), dice.maybe(Dice::bytes));
                (dice.string(), dice.list(partition))
            }),
        };
        let topics = ours.topics.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, records)| {
                produce_request::PartitionProduceData::default()
                    .with_index(*index)
                    .with_records(records.clone())
            });
            produce_request::TopicProduceData::default()
                .with_name(topic_name(name))
                .with_partition_data(partitions.collect())
        });
        let id = maybe_text(ours.transactional_id.as_ref()).map(TransactionalId);
        let oracle = ProduceRequest::default()
            .with_transactional_id(id)
            .with_acks(ours.acks)
            .with_timeout_ms(dice.i32())
            .with_topic_data(topics.collect());
        (oracle, ours)
    });
}

#[test]
fn produce_responses() {
    responses::<api::Produce, _>(Key::Produce, 3..=11, |dice, version| {
        let outcome = |dice: &mut Dice| {
            if dice.bool() {
                return Ok(ask::Appended {
                    partition: PartitionId { topic: TopicId(dice.uuid()), index: dice.i32() },
                    base_offset: dice.i64(),
                    log_append_time_ms: dice.i64(),
                    log_start_offset: dice.i64(),
                });
            }
            Err(ask::ProduceError {
                code: dice.error(),
                message: dice.maybe(Dice::string),
                record_errors: dice.list(|dice| (dice.i32(), dice.maybe(Dice::string))),
            })
        };
        let ours: api::produce::Response =
            dice.list(|dice| (dice.string(), dice.list(|dice| (dice.i32(), outcome(dice)))));
        let topics = ours.iter().map(|(name, partitions)| {
            let partitions = partitions
                .iter()
                .map(|(index, outcome)| produce_outcome(outcome, version).with_index(*index));
            produce_response::TopicProduceResponse::default()
                .with_name(topic_name(name))
                .with_partition_responses(partitions.collect())
        });
        let oracle = ProduceResponse::default().with_responses(topics.collect());
        (ours, oracle)
    });
}

fn produce_outcome(
    outcome: &api::produce::Outcome,
    version: i16,
) -> produce_response::PartitionProduceResponse {
    let oracle = produce_response::PartitionProduceResponse::default();
    match outcome {
        Ok(appended) => oracle
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.log_append_time_ms)
            .with_log_start_offset(if version >= 5 { appended.log_start_offset } else { -1 }),
        Err(error) => {
            let oracle = oracle
                .with_error_code(error.code.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1);
            if version < 8 {
                return oracle;
            }
            let records = error.record_errors.iter().map(|(index, message)| {
                produce_response::BatchIndexAndErrorMessage::default()
                    .with_batch_index(*index)
                    .with_batch_index_error_message(maybe_text(message.as_ref()))
            });
            oracle
                .with_record_errors(records.collect())
                .with_error_message(maybe_text(error.message.as_ref()))
        }
    }
}

#[test]
fn fetch_requests() {
    use crate::api::fetch::{Request, RequestPartition, RequestTopic};
    requests::<api::Fetch, _>(Key::Fetch, all(Key::Fetch), |dice, version| {
        let by_id = version >= 13;
        let ours = Request {
            max_wait_ms: dice.i32(),
            min_bytes: dice.i32(),
            max_bytes: dice.i32(),
            is_read_committed: dice.bool(),
            session_epoch: if version >= 7 { dice.i32() } else { -1 },
            topics: dice.list(|dice| RequestTopic {
                name: if by_id { String::new() } else { dice.string() },
                id: TopicId(if by_id { dice.uuid() } else { Uuid::nil() }),
                partitions: dice.list(|dice| RequestPartition {
                    index: dice.i32(),
                    current_leader_epoch: if version >= 9 { dice.i32() } else { -1 },
                    fetch_offset: dice.i64(),
                    max_bytes: dice.i32(),
                }),
            }),
        };
        let topics = ours.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                fetch_request::FetchPartition::default()
                    .with_partition(partition.index)
                    .with_current_leader_epoch(partition.current_leader_epoch)
                    .with_fetch_offset(partition.fetch_offset)
                    .with_last_fetched_epoch(if version >= 12 { dice.i32() } else { -1 })
                    .with_log_start_offset(if version >= 5 { dice.i64() } else { -1 })
                    .with_partition_max_bytes(partition.max_bytes)
            });
            fetch_request::FetchTopic::default()
                .with_topic(topic_name(&topic.name))
                .with_topic_id(topic.id.0)
                .with_partitions(partitions.collect())
        });
        let oracle = FetchRequest::default()
            .with_max_wait_ms(ours.max_wait_ms)
            .with_min_bytes(ours.min_bytes)
            .with_max_bytes(ours.max_bytes)
            .with_isolation_level(i8::from(ours.is_read_committed))
            .with_session_epoch(ours.session_epoch)
            .with_topics(topics.collect());
        (with_fields_we_skip(oracle, dice, version), ours)
    });
}

fn with_fields_we_skip(oracle: FetchRequest, dice: &mut Dice, version: i16) -> FetchRequest {
    let mut oracle = oracle;
    if version <= 14 {
        oracle = oracle.with_replica_id(BrokerId(dice.i32()));
    } else if dice.bool() {
        let state = fetch_request::ReplicaState::default()
            .with_replica_id(BrokerId(dice.i32()))
            .with_replica_epoch(dice.i64());
        oracle = oracle.with_replica_state(state);
    }
    if version >= 7 {
        let forgotten = dice.list(|dice| {
            let topic = fetch_request::ForgottenTopic::default();
            let topic = if version >= 13 {
                topic.with_topic_id(dice.uuid())
            } else {
                topic.with_topic(topic_name(&dice.string()))
            };
            topic.with_partitions(dice.list(Dice::i32))
        });
        oracle = oracle.with_session_id(dice.i32()).with_forgotten_topics_data(forgotten);
    }
    if version >= 11 {
        oracle = oracle.with_rack_id(text(&dice.string()));
    }
    if version >= 12 {
        oracle = oracle.with_cluster_id(dice.maybe(|dice| text(&dice.string())));
    }
    oracle
}

#[test]
fn fetch_responses() {
    use crate::api::fetch::{Response, ResponsePartition, ResponseTopic};
    responses::<api::Fetch, _>(Key::Fetch, all(Key::Fetch), |dice, version| {
        let ours = Response {
            error: if version >= 7 { dice.error() } else { ErrorCode::None },
            is_read_committed: dice.bool(),
            topics: dice.list(|dice| ResponseTopic {
                name: dice.string(),
                id: TopicId(dice.uuid()),
                partitions: dice.list(|dice| ResponsePartition {
                    index: dice.i32(),
                    error: dice.error(),
                    high_watermark: dice.i64(),
                    log_start_offset: dice.i64(),
                    batches: dice.list(batch),
                    first: dice.maybe(Dice::bytes),
                }),
            }),
        };
        let topics = ours.topics.iter().map(|topic| {
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| fetched(partition, ours.is_read_committed, version));
            let oracle = fetch_response::FetchableTopicResponse::default()
                .with_partitions(partitions.collect());
            if version >= 13 {
                oracle.with_topic_id(topic.id.0)
            } else {
                oracle.with_topic(topic_name(&topic.name))
            }
        });
        let oracle = FetchResponse::default()
            .with_error_code(ours.error.code())
            .with_responses(topics.collect());
        (ours, oracle)
    });
}

fn batch(dice: &mut Dice) -> BatchRef {
    let partition = PartitionId { topic: TopicId(dice.uuid()), index: dice.i32() };
    let length = dice.below(300) as u32;
    BatchRef {
        partition,
        base_offset: dice.i64(),
        last_offset: dice.i64(),
        max_timestamp_ms: dice.i64(),
        address: BlobAddr { segment: 0, position: 0, length, crc: 0 },
    }
}

fn fetched(
    partition: &api::fetch::ResponsePartition,
    is_read_committed: bool,
    version: i16,
) -> fetch_response::PartitionData {
    let bytes: u32 = partition.batches.iter().map(|batch| batch.address.length).sum();
    fetch_response::PartitionData::default()
        .with_partition_index(partition.index)
        .with_error_code(partition.error.code())
        .with_high_watermark(partition.high_watermark)
        .with_last_stable_offset(partition.high_watermark)
        .with_log_start_offset(if version >= 5 { partition.log_start_offset } else { -1 })
        .with_aborted_transactions(is_read_committed.then(Vec::new))
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(Bytes::from(vec![0; bytes as usize])))
}

#[test]
fn list_offsets() {
    use crate::api::list_offsets::{Found, Wanted};
    requests::<api::ListOffsets, _>(Key::ListOffsets, all(Key::ListOffsets), |dice, version| {
        let ours = dice.list(|dice| {
            let wanted = |dice: &mut Dice| Wanted {
                index: dice.i32(),
                current_leader_epoch: if version >= 4 { dice.i32() } else { -1 },
                timestamp_ms: dice.i64(),
            };
            (dice.string(), dice.list(wanted))
        });
        let topics = ours.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|wanted| {
                list_offsets_request::ListOffsetsPartition::default()
                    .with_partition_index(wanted.index)
                    .with_current_leader_epoch(wanted.current_leader_epoch)
                    .with_timestamp(wanted.timestamp_ms)
            });
            list_offsets_request::ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let oracle = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(dice.i32()))
            .with_isolation_level(i8::from(version >= 2 && dice.bool()))
            .with_topics(topics.collect());
        (oracle, ours)
    });
    responses::<api::ListOffsets, _>(Key::ListOffsets, all(Key::ListOffsets), |dice, version| {
        let outcome = |dice: &mut Dice| {
            let found = Found { timestamp_ms: dice.i64(), offset: dice.i64() };
            if dice.bool() { Ok(found) } else { Err(dice.error()) }
        };
        let ours: Vec<(_, Vec<_>)> =
            dice.list(|dice| (dice.string(), dice.list(|dice| (dice.i32(), outcome(dice)))));
        let topics = ours.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, outcome)| {
                let found = outcome.unwrap_or(Found { timestamp_ms: -1, offset: -1 });
                let epoch = if version >= 4 && found.offset >= 0 { 0 } else { -1 };
                list_offsets_response::ListOffsetsPartitionResponse::default()
                    .with_partition_index(*index)
                    .with_error_code(outcome.err().map_or(0, ErrorCode::code))
                    .with_timestamp(found.timestamp_ms)
                    .with_offset(found.offset)
                    .with_leader_epoch(epoch)
            });
            list_offsets_response::ListOffsetsTopicResponse::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let oracle = ListOffsetsResponse::default().with_topics(topics.collect());
        (ours, oracle)
    });
}

#[test]
fn offset_for_leader_epoch() {
    use crate::api::offset_for_leader_epoch::{Found, Wanted};
    let key = Key::OffsetForLeaderEpoch;
    requests::<api::OffsetForLeaderEpoch, _>(key, all(key), |dice, version| {
        let ours = dice.list(|dice| {
            let wanted = |dice: &mut Dice| Wanted {
                index: dice.i32(),
                current_leader_epoch: dice.i32(),
                leader_epoch: dice.i32(),
            };
            (dice.string(), dice.list(wanted))
        });
        let topics = ours.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|wanted| {
                offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
                    .with_partition(wanted.index)
                    .with_current_leader_epoch(wanted.current_leader_epoch)
                    .with_leader_epoch(wanted.leader_epoch)
            });
            offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let oracle = OffsetForLeaderEpochRequest::default().with_topics(topics.collect());
        let replica = if version >= 3 { dice.i32() } else { -2 };
        (oracle.with_replica_id(BrokerId(replica)), ours)
    });
    responses::<api::OffsetForLeaderEpoch, _>(key, all(key), |dice, _| {
        let outcome = |dice: &mut Dice| {
            let found = Found { leader_epoch: dice.i32(), end_offset: dice.i64() };
            if dice.bool() { Ok(found) } else { Err(dice.error()) }
        };
        let ours: Vec<(_, Vec<_>)> =
            dice.list(|dice| (dice.string(), dice.list(|dice| (dice.i32(), outcome(dice)))));
        let topics = ours.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, outcome)| {
                let found = outcome.unwrap_or(Found { leader_epoch: -1, end_offset: -1 });
                oracle::offset_for_leader_epoch_response::EpochEndOffset::default()
                    .with_partition(*index)
                    .with_error_code(outcome.err().map_or(0, ErrorCode::code))
                    .with_leader_epoch(found.leader_epoch)
                    .with_end_offset(found.end_offset)
            });
            offset_for_leader_epoch_response::OffsetForLeaderTopicResult::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let oracle = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
        (ours, oracle)
    });
}

#[test]
fn init_producer_id() {
    let key = Key::InitProducerId;
    let producer = |dice: &mut Dice| ask::ProducerIdAndEpoch { id: dice.i64(), epoch: dice.i16() };
    requests::<api::InitProducerId, _>(key, all(key), |dice, version| {
        let nobody = ask::ProducerIdAndEpoch { id: -1, epoch: -1 };
        let ours = ask::InitProducerId {
            transactional_id: dice.maybe(Dice::string),
            current: if version >= 3 { producer(dice) } else { nobody },
        };
        let id = maybe_text(ours.transactional_id.as_ref()).map(TransactionalId);
        let oracle = InitProducerIdRequest::default()
            .with_transactional_id(id)
            .with_transaction_timeout_ms(dice.i32())
            .with_producer_id(ProducerId(ours.current.id))
            .with_producer_epoch(ours.current.epoch);
        (oracle, ours)
    });
    responses::<api::InitProducerId, _>(key, all(key), |dice, _| {
        let ours = if dice.bool() { Ok(producer(dice)) } else { Err(dice.error()) };
        let (code, id, epoch) = match &ours {
            Ok(producer) => (0, producer.id, producer.epoch),
            Err(error) => (error.code(), -1, -1),
        };
        let oracle = InitProducerIdResponse::default()
            .with_error_code(code)
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch);
        (ours, oracle)
    });
}
