//! The front on a real node in a directory of its own: what clients see of topics, records and
//! groups, and what is left of it after a restart.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
        FetchRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest,
        JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, MetadataRequest,
        OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
        create_topics_request::CreatableTopic,
        delete_topics_request::DeleteTopicState,
        describe_configs_request::DescribeConfigsResource,
        join_group_request::JoinGroupRequestProtocol,
        metadata_request::MetadataRequestTopic,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};
use node::{Node, NodeGuard, NodeOptions};
use std::{net::SocketAddr, path::Path};
use support::{Client, batch, fetch, fetched, name, produce, produced, records};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A node that serves Kafka clients.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    guard: NodeGuard,
}

impl Running {
    async fn start(directory: &Path) -> Running {
        let options = NodeOptions { paranoid: true, ..NodeOptions::default() };
        let (handle, guard) = Node::open(directory, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let options = kafka::Options::default();
        let ended = tokio::spawn(kafka::serve(listener, handle, options, shutdown));
        Running { address, stop, ended, guard }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
        self.guard.stop().await;
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic]))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_a_restart_and_stay_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start(directory.path()).await;
    let mut client = server.client().await;
    let created = client.ask(12, &metadata("a")).await;
    assert_eq!((created.topics[0].error_code, created.topics[0].partitions.len()), (0, 4));
    let id = created.topics[0].topic_id;
    let cluster = created.cluster_id.clone();
    for round in 0..50 {
        client.send(9, &produce("a", -1, &[(0, batch(round, &[&round.to_string()]))])).await;
    }
    for round in 0..50 {
        let outcome = produced(client.receive::<kafka_protocol::messages::ProduceRequest>(9).await);
        assert_eq!((outcome[0].error_code, outcome[0].base_offset), (0, round));
    }
    server.stop().await;

    let server = Running::start(directory.path()).await;
    let mut client = server.client().await;
    let described = client.ask(12, &metadata("a")).await;
    assert_eq!((described.topics[0].topic_id, &described.cluster_id), (id, &cluster));
    let mut request = fetch("", 0, 0);
    request.topics[0].topic_id = id;
    for version in 13..=16 {
        let response = client.ask(version, &request).await;
        let expected: Vec<_> = (0..50).map(|round| (round, round.to_string())).collect();
        assert_eq!(records(fetched(&response)), expected);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_fetch_gets_what_is_produced() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start(directory.path()).await;
    let (mut reader, mut writer) = (server.client().await, server.client().await);
    writer.ask(12, &metadata("a")).await;
    reader.send(12, &fetch("a", 2, 0).with_max_wait_ms(60_000)).await;
    writer.ask(9, &produce("a", -1, &[(2, batch(1, &["x"]))])).await;
    let response = reader.receive::<FetchRequest>(12).await;
    assert_eq!(records(fetched(&response)), [(0, "x".to_owned())]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_of_an_idempotent_producer_is_appended_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start(directory.path()).await;
    let mut client = server.client().await;
    client.ask(12, &metadata("a")).await;
    let producer =
        client.ask(4, &InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_eq!((producer.error_code, producer.producer_epoch), (0, 0));
    let sequenced = |sequence: i32| {
        let mut bytes = batch(1, &["x"]).to_vec();
        bytes[43..51].copy_from_slice(&producer.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&producer.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        let crc = base::hash::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        produce("a", -1, &[(0, Bytes::from(bytes))])
    };
    for (sequence, code, offset) in [(0, 0, 0), (1, 0, 1), (0, 0, 0), (1, 0, 1), (3, 45, -1)] {
        let outcome = produced(client.ask(9, &sequenced(sequence)).await);
        assert_eq!((outcome[0].error_code, outcome[0].base_offset), (code, offset));
    }
    let transactional =
        InitProducerIdRequest::default().with_transactional_id(Some(text("t").into()));
    assert_eq!(client.ask(4, &transactional).await.error_code, 53);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_described_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start(directory.path()).await;
    let mut client = server.client().await;
    for version in 2..=7 {
        let topic = CreatableTopic::default()
            .with_name(name("made"))
            .with_num_partitions(3)
            .with_replication_factor(3);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]);
        let created = &client.ask(version, &create).await.topics[0];
        assert_eq!(created.error_code, 0, "{version}");
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (3, 1));
            assert!(created.configs.as_ref().unwrap().iter().all(|it| it.config_source == 5));
        }
        assert_eq!(client.ask(version, &create).await.topics[0].error_code, 36);
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("made"))
            .with_configuration_keys(None);
        let describe = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let described = client.ask(version.min(4), &describe).await;
        assert_eq!(described.results[0].error_code, 0);
        assert!(described.results[0].configs.len() > 20);
        let delete = DeleteTopicsRequest::default();
        let delete = if version >= 6 {
            let topic = DeleteTopicState::default().with_name(Some(name("made")));
            delete.with_topics(vec![topic])
        } else {
            delete.with_topic_names(vec![name("made")])
        };
        let version = (version - 1).max(if version >= 6 { 6 } else { 1 });
        assert_eq!(client.ask(version, &delete).await.responses[0].error_code, 0);
        assert_eq!(client.ask(version, &delete).await.responses[0].error_code, 3);
    }
    let ask = metadata("made").with_allow_auto_topic_creation(false);
    assert_eq!(client.ask(12, &ask).await.topics[0].error_code, 3);
    assert!(client.ask(12, &MetadataRequest::default().with_topics(None)).await.topics.is_empty());
    server.stop().await;
}

/// Joins until the group has taken the member in.
async fn join(client: &mut Client, version: i16, member: &StrBytes) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(if version >= 1 { 30_000 } else { -1 })
        .with_member_id(member.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let response = client.ask(version, &request).await;
    if response.error_code == 79 {
        let request = request.with_member_id(response.member_id);
        return client.ask(version, &request).await;
    }
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_joins_syncs_commits_and_leaves_in_every_version() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start(directory.path()).await;
    let mut client = server.client().await;
    client.ask(12, &metadata("a")).await;
    for version in 0..=9 {
        let joined = join(&mut client, version, &text("")).await;
        assert_eq!((joined.error_code, &joined.leader), (0, &joined.member_id), "v{version}");
        assert_eq!(joined.members[0].metadata.as_ref(), b"subscription");
        let (member, generation) = (joined.member_id.clone(), joined.generation_id);
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(member.clone())
            .with_assignment(Bytes::from_static(b"assignment"));
        let mut sync = SyncGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(member.clone())
            .with_assignments(vec![assignment]);
        if version >= 5 {
            sync = sync
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range")));
        }
        let synced = client.ask(version.min(5), &sync).await;
        assert_eq!((synced.error_code, synced.assignment.as_ref()), (0, &b"assignment"[..]));
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(member.clone());
        assert_eq!(client.ask(version.min(4), &heartbeat).await.error_code, 0);
        let stale = heartbeat.with_generation_id(generation + 1);
        assert_eq!(client.ask(version.min(4), &stale).await.error_code, 22);
        commit_and_fetch(&mut client, version.max(2), generation, &member).await;
        leave(&mut client, version.min(5), member).await;
    }
    server.stop().await;
}

async fn commit_and_fetch(client: &mut Client, version: i16, generation: i32, member: &StrBytes) {
    let offset = i64::from(version) * 10;
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(1)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(name("a")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member.clone())
        .with_topics(vec![topic]);
    let committed = client.ask(version, &commit).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    let topic =
        OffsetFetchRequestTopics::default().with_name(name("a")).with_partition_indexes(vec![0, 1]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    for version in 8..=9 {
        let fetched = client.ask(version, &request).await;
        let partitions = &fetched.groups[0].topics[0].partitions;
        assert_eq!((partitions[0].committed_offset, partitions[0].error_code), (-1, 0));
        assert_eq!(partitions[0].metadata, Some(text("")));
        assert_eq!(partitions[1].committed_offset, offset);
        assert_eq!(partitions[1].metadata, Some(text("note")));
    }
}

async fn leave(client: &mut Client, version: i16, member: StrBytes) {
    for (version, state) in (4..=5).zip(["Stable", "Stable"]) {
        let listed = client.ask(version, &ListGroupsRequest::default()).await;
        assert_eq!(listed.groups[0].group_state, text(state));
    }
    let leave = LeaveGroupRequest::default().with_group_id(GroupId(text("g")));
    let leave = if version >= 3 {
        let member = kafka_protocol::messages::leave_group_request::MemberIdentity::default()
            .with_member_id(member);
        leave.with_members(vec![member])
    } else {
        leave.with_member_id(member)
    };
    assert_eq!(client.ask(version, &leave).await.error_code, 0);
    let missing = DescribeGroupsRequest::default()
        .with_groups(vec![GroupId(text("g")), GroupId(text("nobody"))]);
    for (version, code) in [(5, 0), (6, 69)] {
        let described = client.ask(version, &missing).await;
        assert_eq!(described.groups[0].group_state, text("Empty"));
        let missing = &described.groups[1];
        assert_eq!((missing.error_code, &missing.group_state), (code, &text("Dead")));
    }
}
