//! The group APIs.

use super::{NODE, all, group_id, maybe_text, requests, responses, text, topic_name};
use crate::{
    api::{self, oracle::Dice},
    options::Advertised,
    table::Key,
};
use kafka_protocol::messages::{self as oracle, *};
use topics::{ErrorCode, ask};

#[test]
fn heartbeat() {
    requests::<api::Heartbeat, _>(Key::Heartbeat, all(Key::Heartbeat), |dice, version| {
        let (group, generation, member) = (dice.string(), dice.i32(), dice.string());
        let instance = if version >= 3 { dice.maybe(Dice::string) } else { None };
        let oracle = HeartbeatRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(generation)
            .with_member_id(text(&member))
            .with_group_instance_id(maybe_text(instance.as_ref()));
        (oracle, ask::Heartbeat { group, generation, member, instance })
    });
    responses::<api::Heartbeat, _>(Key::Heartbeat, all(Key::Heartbeat), |dice, _| {
        let error = dice.error();
        (error, HeartbeatResponse::default().with_error_code(error.code()))
    });
}

#[test]
fn join_group_requests() {
    requests::<api::JoinGroup, _>(Key::JoinGroup, all(Key::JoinGroup), |dice, version| {
        let ours = ask::JoinGroup {
            group: dice.string(),
            member: dice.string(),
            instance: if version >= 5 { dice.maybe(Dice::string) } else { None },
            client_id: String::new(),
            client_host: String::new(),
            session_timeout_ms: dice.i32(),
            rebalance_timeout_ms: if version >= 1 { dice.i32() } else { -1 },
            protocol_type: dice.string(),
            protocols: dice.list(|dice| (dice.string(), dice.bytes())),
            requires_known_member: version >= 4,
            supports_skipping_assignment: version >= 9,
        };
        let protocols = ours.protocols.iter().map(|(name, metadata)| {
            join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(metadata.clone())
        });
        let mut oracle = JoinGroupRequest::default()
            .with_group_id(group_id(&ours.group))
            .with_session_timeout_ms(ours.session_timeout_ms)
            .with_member_id(text(&ours.member))
            .with_group_instance_id(maybe_text(ours.instance.as_ref()))
            .with_protocol_type(text(&ours.protocol_type))
            .with_protocols(protocols.collect());
        if version >= 1 {
            oracle = oracle.with_rebalance_timeout_ms(ours.rebalance_timeout_ms);
        }
        if version >= 8 {
            oracle = oracle.with_reason(dice.maybe(|dice| text(&dice.string())));
        }
        (oracle, ours)
    });
}

#[test]
fn join_group_responses() {
    responses::<api::JoinGroup, _>(Key::JoinGroup, all(Key::JoinGroup), |dice, version| {
        let ours = ask::JoinGroupReply {
            error: dice.error(),
            generation: dice.i32(),
            protocol_type: dice.maybe(Dice::string),
            protocol_name: dice.maybe(Dice::string),
            leader: dice.string(),
            skip_assignment: version >= 9 && dice.bool(),
            member: dice.string(),
            members: dice.list(|dice| (dice.string(), dice.maybe(Dice::string), dice.bytes())),
        };
        let members = ours.members.iter().map(|(member, instance, metadata)| {
            let instance = instance.as_ref().filter(|_| version >= 5);
            join_group_response::JoinGroupResponseMember::default()
                .with_member_id(text(member))
                .with_group_instance_id(maybe_text(instance))
                .with_metadata(metadata.clone())
        });
        let name = maybe_text(ours.protocol_name.as_ref());
        let name = if version >= 7 { name } else { Some(name.unwrap_or_default()) };
        let oracle = JoinGroupResponse::default()
            .with_error_code(ours.error.code())
            .with_generation_id(ours.generation)
            .with_protocol_type(maybe_text(ours.protocol_type.as_ref().filter(|_| version >= 7)))
            .with_protocol_name(name)
            .with_leader(text(&ours.leader))
            .with_skip_assignment(ours.skip_assignment)
            .with_member_id(text(&ours.member))
            .with_members(members.collect());
        (ours, oracle)
    });
}

#[test]
fn sync_group() {
    requests::<api::SyncGroup, _>(Key::SyncGroup, all(Key::SyncGroup), |dice, version| {
        let ours = ask::SyncGroup {
            group: dice.string(),
            generation: dice.i32(),
            member: dice.string(),
            instance: if version >= 3 { dice.maybe(Dice::string) } else { None },
            protocol_type: if version >= 5 { dice.maybe(Dice::string) } else { None },
            protocol_name: if version >= 5 { dice.maybe(Dice::string) } else { None },
            assignments: dice.list(|dice| (dice.string(), dice.bytes())),
        };
        let assignments = ours.assignments.iter().map(|(member, assignment)| {
            sync_group_request::SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(assignment.clone())
        });
        let oracle = SyncGroupRequest::default()
            .with_group_id(group_id(&ours.group))
            .with_generation_id(ours.generation)
            .with_member_id(text(&ours.member))
            .with_group_instance_id(maybe_text(ours.instance.as_ref()))
            .with_protocol_type(maybe_text(ours.protocol_type.as_ref()))
            .with_protocol_name(maybe_text(ours.protocol_name.as_ref()))
            .with_assignments(assignments.collect());
        (oracle, ours)
    });
    responses::<api::SyncGroup, _>(Key::SyncGroup, all(Key::SyncGroup), |dice, version| {
        let ours = ask::SyncGroupReply {
            error: dice.error(),
            protocol_type: dice.maybe(Dice::string).filter(|_| version >= 5),
            protocol_name: dice.maybe(Dice::string).filter(|_| version >= 5),
            assignment: dice.bytes(),
        };
        let oracle = SyncGroupResponse::default()
            .with_error_code(ours.error.code())
            .with_protocol_type(maybe_text(ours.protocol_type.as_ref()))
            .with_protocol_name(maybe_text(ours.protocol_name.as_ref()))
            .with_assignment(ours.assignment.clone());
        (ours, oracle)
    });
}

#[test]
fn leave_group() {
    requests::<api::LeaveGroup, _>(Key::LeaveGroup, all(Key::LeaveGroup), |dice, version| {
        let group = dice.string();
        let oracle = LeaveGroupRequest::default().with_group_id(group_id(&group));
        if version < 3 {
            let member = dice.string();
            let oracle = oracle.with_member_id(text(&member));
            return (oracle, ask::LeaveGroup { group, members: vec![(member, None)] });
        }
        let members = dice.list(|dice| (dice.string(), dice.maybe(Dice::string)));
        let identities = members.iter().map(|(member, instance)| {
            let reason = if version >= 5 { dice.maybe(Dice::string) } else { None };
            leave_group_request::MemberIdentity::default()
                .with_member_id(text(member))
                .with_group_instance_id(maybe_text(instance.as_ref()))
                .with_reason(maybe_text(reason.as_ref()))
        });
        let oracle = oracle.with_members(identities.collect());
        (oracle, ask::LeaveGroup { group, members })
    });
    responses::<api::LeaveGroup, _>(Key::LeaveGroup, all(Key::LeaveGroup), |dice, version| {
        let member = |dice: &mut Dice| (dice.string(), dice.maybe(Dice::string), dice.error());
        if version < 3 {
            // One member, and one code for the request and for it.
            let (error, of_member) = (dice.error(), member(dice));
            let code = if error == ErrorCode::None { of_member.2 } else { error };
            let ours = ask::LeaveGroupReply { error, members: vec![of_member] };
            return (ours, LeaveGroupResponse::default().with_error_code(code.code()));
        }
        let ours = ask::LeaveGroupReply { error: dice.error(), members: dice.list(member) };
        let members = ours.members.iter().map(|(member, instance, error)| {
            leave_group_response::MemberResponse::default()
                .with_member_id(text(member))
                .with_group_instance_id(maybe_text(instance.as_ref()))
                .with_error_code(error.code())
        });
        let oracle = LeaveGroupResponse::default()
            .with_error_code(ours.error.code())
            .with_members(members.collect());
        (ours, oracle)
    });
}

#[test]
fn offset_commit() {
    requests::<api::OffsetCommit, _>(Key::OffsetCommit, all(Key::OffsetCommit), |dice, version| {
        let ours = ask::OffsetCommit {
            group: dice.string(),
            generation: dice.i32(),
            member: dice.string(),
            instance: if version >= 7 { dice.maybe(Dice::string) } else { None },
            topics: dice.list(|dice| ask::OffsetCommitTopic {
                name: dice.string(),
                partitions: dice.list(|dice| ask::OffsetCommitPartition {
                    partition: dice.i32(),
                    offset: dice.i64(),
                    leader_epoch: if version >= 6 { dice.i32() } else { -1 },
                    metadata: dice.string(),
                }),
            }),
        };
        let topics = ours.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let metadata = text(&partition.metadata);
                let is_null = metadata.is_empty() && dice.bool();
                offset_commit_request::OffsetCommitRequestPartition::default()
                    .with_partition_index(partition.partition)
                    .with_committed_offset(partition.offset)
                    .with_committed_leader_epoch(partition.leader_epoch)
                    .with_committed_metadata(Some(metadata).filter(|_| !is_null))
            });
            offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic_name(&topic.name))
                .with_partitions(partitions.collect())
        });
        let oracle = OffsetCommitRequest::default()
            .with_group_id(group_id(&ours.group))
            .with_generation_id_or_member_epoch(ours.generation)
            .with_member_id(text(&ours.member))
            .with_group_instance_id(maybe_text(ours.instance.as_ref()))
            .with_topics(topics.collect());
        let retention = if version <= 4 { dice.i64() } else { -1 };
        (oracle.with_retention_time_ms(retention), ours)
    });
    responses::<api::OffsetCommit, _>(Key::OffsetCommit, all(Key::OffsetCommit), |dice, _| {
        let ours = dice.list(|dice| ask::OffsetCommitTopicResult {
            name: dice.string(),
            partitions: dice.list(|dice| (dice.i32(), dice.error())),
        });
        let topics = ours.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|(index, error)| {
                offset_commit_response::OffsetCommitResponsePartition::default()
                    .with_partition_index(*index)
                    .with_error_code(error.code())
            });
            offset_commit_response::OffsetCommitResponseTopic::default()
                .with_name(topic_name(&topic.name))
                .with_partitions(partitions.collect())
        });
        let oracle = OffsetCommitResponse::default().with_topics(topics.collect());
        (ours, oracle)
    });
}

fn offset_fetch_topics(dice: &mut Dice, may_be_null: bool) -> Option<Vec<(String, Vec<i32>)>> {
    let is_null = may_be_null && dice.bool();
    (!is_null).then(|| dice.list(|dice| (dice.string(), dice.list(Dice::i32))))
}

#[test]
fn offset_fetch_requests() {
    requests::<api::OffsetFetch, _>(Key::OffsetFetch, 1..=7, |dice, version| {
        let group = dice.string();
        let topics = offset_fetch_topics(dice, version >= 2);
        let oracle_topics = topics.as_ref().map(|topics| {
            let topic = |(name, partitions): &(String, Vec<i32>)| {
                offset_fetch_request::OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions.clone())
            };
            topics.iter().map(topic).collect()
        });
        let oracle = OffsetFetchRequest::default()
            .with_group_id(group_id(&group))
            .with_topics(oracle_topics)
            .with_require_stable(version >= 7 && dice.bool());
        (oracle, vec![ask::OffsetFetchGroup { group, topics }])
    });
    requests::<api::OffsetFetch, _>(Key::OffsetFetch, 8..=9, |dice, version| {
        let ours = dice.list(|dice| ask::OffsetFetchGroup {
            group: dice.string(),
            topics: offset_fetch_topics(dice, true),
        });
        let groups = ours.iter().map(|group| {
            let topic = |(name, partitions): &(String, Vec<i32>)| {
                offset_fetch_request::OffsetFetchRequestTopics::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions.clone())
            };
            let topics = group.topics.as_ref();
            let oracle = offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(group_id(&group.group))
                .with_topics(topics.map(|topics| topics.iter().map(topic).collect()));
            if version >= 9 {
                let member = dice.maybe(|dice| text(&dice.string()));
                return oracle.with_member_id(member).with_member_epoch(dice.i32());
            }
            oracle
        });
        let oracle = OffsetFetchRequest::default().with_groups(groups.collect());
        (oracle.with_require_stable(dice.bool()), ours)
    });
}

fn offset_fetch_group(dice: &mut Dice) -> ask::OffsetFetchGroupReply {
    ask::OffsetFetchGroupReply {
        group: dice.string(),
        error: dice.error(),
        topics: dice.list(|dice| {
            let offset = |dice: &mut Dice| ask::FetchedOffset {
                partition: dice.i32(),
                offset: dice.i64(),
                leader_epoch: dice.i32(),
                metadata: dice.string(),
                error: dice.error(),
            };
            (dice.string(), dice.list(offset))
        }),
    }
}

#[test]
fn offset_fetch_responses() {
    responses::<api::OffsetFetch, _>(Key::OffsetFetch, 1..=7, |dice, version| {
        let group = offset_fetch_group(dice);
        let topics = group.topics.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|offset| {
                offset_fetch_response::OffsetFetchResponsePartition::default()
                    .with_partition_index(offset.partition)
                    .with_committed_offset(offset.offset)
                    .with_committed_leader_epoch(if version >= 5 {
                        offset.leader_epoch
                    } else {
                        -1
                    })
                    .with_metadata(Some(text(&offset.metadata)))
                    .with_error_code(offset.error.code())
            });
            offset_fetch_response::OffsetFetchResponseTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let oracle = OffsetFetchResponse::default()
            .with_topics(topics.collect())
            .with_error_code(if version >= 2 { group.error.code() } else { 0 });
        (vec![group], oracle)
    });
    responses::<api::OffsetFetch, _>(Key::OffsetFetch, 8..=9, |dice, _| {
        let ours = dice.list(offset_fetch_group);
        let groups = ours.iter().map(|group| {
            let topics = group.topics.iter().map(|(name, partitions)| {
                let partitions = partitions.iter().map(|offset| {
                    offset_fetch_response::OffsetFetchResponsePartitions::default()
                        .with_partition_index(offset.partition)
                        .with_committed_offset(offset.offset)
                        .with_committed_leader_epoch(offset.leader_epoch)
                        .with_metadata(Some(text(&offset.metadata)))
                        .with_error_code(offset.error.code())
                });
                offset_fetch_response::OffsetFetchResponseTopics::default()
                    .with_name(topic_name(name))
                    .with_partitions(partitions.collect())
            });
            offset_fetch_response::OffsetFetchResponseGroup::default()
                .with_group_id(group_id(&group.group))
                .with_topics(topics.collect())
                .with_error_code(group.error.code())
        });
        let oracle = OffsetFetchResponse::default().with_groups(groups.collect());
        (ours, oracle)
    });
}

#[test]
fn find_coordinator() {
    use crate::api::find_coordinator::{Request, Response};
    let key = Key::FindCoordinator;
    requests::<api::FindCoordinator, _>(key, all(key), |dice, version| {
        let key_type = if version >= 1 { dice.i8() } else { 0 };
        let oracle = FindCoordinatorRequest::default().with_key_type(key_type);
        if version < 4 {
            let key = dice.string();
            return (oracle.with_key(text(&key)), Request { key_type, keys: vec![key] });
        }
        let keys = dice.list(Dice::string);
        let oracle_keys = keys.iter().map(|key| text(key)).collect();
        (oracle.with_coordinator_keys(oracle_keys), Request { key_type, keys })
    });
    responses::<api::FindCoordinator, _>(key, all(key), |dice, version| {
        let coordinator = if dice.bool() {
            Ok(Advertised { host: dice.string(), port: dice.i16().cast_unsigned() })
        } else {
            Err(ErrorCode::TransactionalIdAuthorizationFailed)
        };
        let (code, node, host, port) = match &coordinator {
            Ok(found) => (0, NODE, text(&found.host), i32::from(found.port)),
            Err(error) => (error.code(), BrokerId(-1), text(""), -1),
        };
        if version < 4 {
            let oracle = FindCoordinatorResponse::default()
                .with_error_code(code)
                .with_error_message((version == 0).then(|| text("")))
                .with_node_id(node)
                .with_host(host)
                .with_port(port);
            return (Response { keys: vec![dice.string()], coordinator }, oracle);
        }
        let keys = dice.list(Dice::string);
        let coordinators = keys.iter().map(|key| {
            oracle::find_coordinator_response::Coordinator::default()
                .with_key(text(key))
                .with_node_id(node)
                .with_host(host.clone())
                .with_port(port)
                .with_error_code(code)
                .with_error_message(None)
        });
        let oracle = FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
        (Response { keys, coordinator }, oracle)
    });
}

#[test]
fn list_groups() {
    requests::<api::ListGroups, _>(Key::ListGroups, all(Key::ListGroups), |dice, version| {
        let states = if version >= 4 { dice.list(Dice::string) } else { Vec::new() };
        let types = if version >= 5 { dice.list(Dice::string) } else { Vec::new() };
        let oracle = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        (oracle, ask::ListGroups { states, types })
    });
    responses::<api::ListGroups, _>(Key::ListGroups, all(Key::ListGroups), |dice, version| {
        let ours = if dice.bool() {
            Ok(dice.list(|dice| ask::ListedGroup {
                group: dice.string(),
                protocol_type: dice.string(),
                state: ["Stable", "Empty"][dice.below(2)],
            }))
        } else {
            Err(dice.error())
        };
        let groups = ours.iter().flatten().map(|group| {
            let oracle = list_groups_response::ListedGroup::default()
                .with_group_id(group_id(&group.group))
                .with_protocol_type(text(&group.protocol_type));
            let state = if version >= 4 { group.state } else { "" };
            let kind = if version >= 5 { "classic" } else { "" };
            oracle.with_group_state(text(state)).with_group_type(text(kind))
        });
        let code = ours.as_ref().err().map_or(0, |error| error.code());
        let oracle =
            ListGroupsResponse::default().with_error_code(code).with_groups(groups.collect());
        (ours, oracle)
    });
}

#[test]
fn describe_groups() {
    let key = Key::DescribeGroups;
    requests::<api::DescribeGroups, _>(key, all(key), |dice, version| {
        let groups = dice.list(Dice::string);
        let oracle = DescribeGroupsRequest::default()
            .with_groups(groups.iter().map(|group| group_id(group)).collect())
            .with_include_authorized_operations(version >= 3 && dice.bool());
        (oracle, ask::DescribeGroups { groups })
    });
    responses::<api::DescribeGroups, _>(key, all(key), |dice, version| {
        let ours = dice.list(|dice| ask::DescribedGroup {
            error: dice.error(),
            group: dice.string(),
            state: ["Stable", "Dead"][dice.below(2)],
            protocol_type: dice.string(),
            protocol: dice.string(),
            members: dice.list(|dice| ask::DescribedMember {
                member: dice.string(),
                instance: dice.maybe(Dice::string).filter(|_| version >= 4),
                client_id: dice.string(),
                client_host: dice.string(),
                metadata: dice.bytes(),
                assignment: dice.bytes(),
            }),
        });
        let groups = ours.iter().map(|group| described(group, version));
        let oracle = DescribeGroupsResponse::default().with_groups(groups.collect());
        (ours, oracle)
    });
}

fn described(
    group: &ask::DescribedGroup,
    version: i16,
) -> describe_groups_response::DescribedGroup {
    let members = group.members.iter().map(|member| {
        describe_groups_response::DescribedGroupMember::default()
            .with_member_id(text(&member.member))
            .with_group_instance_id(maybe_text(member.instance.as_ref()))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata.clone())
            .with_member_assignment(member.assignment.clone())
    });
    let is_missing = version >= 6 && group.error == ErrorCode::None && group.state == "Dead";
    let message = is_missing.then(|| text(&format!("Group {} not found.", group.group)));
    describe_groups_response::DescribedGroup::default()
        .with_error_code(if is_missing { 69 } else { group.error.code() })
        .with_error_message(message)
        .with_group_id(group_id(&group.group))
        .with_group_state(text(group.state))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(members.collect())
        .with_authorized_operations(i32::MIN)
}
