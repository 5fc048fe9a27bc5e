//! Connections: a producer, a consumer, a group of one, an administrator.

use super::keep;
use bytes::{Bytes, BytesMut};
use fuzz_targets::frame;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use topics::BatchBuilder;

pub(super) fn record() -> anyhow::Result<()> {
    let greeting = [ask(3, &api_versions())?, ask(12, &metadata("t"))?].concat();
    let producer = [
        greeting.clone(),
        ask(4, &InitProducerIdRequest::default().with_transaction_timeout_ms(60_000))?,
        ask(11, &produce(&[b"one", b"two"]))?,
        ask(3, &produce(&[b"three"]))?,
        ask(7, &list_offsets(-1))?,
        ask(7, &list_offsets(-3))?,
        ask(7, &list_offsets(1_700_000_000_000))?,
    ]
    .concat();
    let consumer = [producer.clone(), ask(12, &fetch(0))?, ask(4, &fetch(1))?].concat();
    let group = [
        greeting.clone(),
        ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]))?,
        ask(5, &join(""))?,
        ask(3, &join(""))?,
        ask(8, &commit())?,
        ask(1, &LeaveGroupRequest::default().with_group_id(GroupId(text("g"))))?,
        ask(5, &DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g"))]))?,
        ask(5, &ListGroupsRequest::default())?,
    ]
    .concat();
    let administrator = [
        greeting,
        ask(7, &create("new", 3))?,
        ask(12, &metadata("new"))?,
        ask(4, &DeleteTopicsRequest::default().with_topic_names(vec![name("new")]))?,
        ask(12, &metadata("new"))?,
    ]
    .concat();
    keep("kafka-connection", "producer", &producer)?;
    keep("kafka-connection", "consumer", &consumer)?;
    keep("kafka-connection", "group", &group)?;
    keep("kafka-connection", "administrator", &administrator)?;
    keep("kafka-connection", "unserved", &frame(1_000, 0, b""))?;
    // A Metadata of four million topics, of which there is one: an array of their size would not be
    // absurd, only too large.
    let announced = [&[0, 3, 0, 1][..], &4_000_000i32.to_be_bytes(), &[0, 1, b't']].concat();
    keep("kafka-request", "announced-only", &announced)?;
    // These versions are advertised and refused, and crate kafka-protocol has none of them.
    for version in 0..=2u8 {
        let body = [0, 0, 0, version, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
        keep("kafka-request", &format!("Produce-v{version}"), &body)?;
    }
    Ok(())
}

fn ask<Q: Request>(version: i16, request: &Q) -> anyhow::Result<Vec<u8>> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version)?;
    Ok(frame(Q::KEY, version, &body))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(text("fuzz"))
        .with_client_software_version(text("1"))
}

fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
}

fn produce(values: &[&[u8]]) -> ProduceRequest {
    let mut batch = BatchBuilder::new();
    for value in values {
        let headers = [("h".to_owned(), Some(Bytes::from_static(b"v")))];
        batch.push(1_700_000_000_000, Some(b"key"), Some(value), &headers);
    }
    let records = batch.build().ok().map(|(_, blob)| blob.bytes().clone());
    let partition = PartitionProduceData::default().with_index(0).with_records(records);
    let data =
        TopicProduceData::default().with_name(name("t")).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data])
}

fn fetch(offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![topic])
}

fn list_offsets(timestamp: i64) -> ListOffsetsRequest {
    let partition =
        ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

fn join(member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn commit() -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(2)
        .with_committed_metadata(Some(text("m")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text("other")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn create(topic: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
}
