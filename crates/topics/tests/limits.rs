//! Every limit of groups at its value and one beyond.

mod support;

use bytes::Bytes;
use support::Harness;
use topics::ErrorCode::{
    self, GroupMaxSizeReached, InconsistentGroupProtocol, InvalidGroupId, InvalidRequest,
    InvalidSessionTimeout, MemberIdRequired, OffsetMetadataTooLarge,
};
use topics::{Ask, Config, Effect, Limits, Reply, ask};

fn limits() -> Limits {
    Limits {
        group_count_max: 2,
        group_member_count_max: 2,
        group_protocol_count_max: 2,
        group_metadata_bytes_max: 20,
        group_id_bytes_max: 8,
        client_text_bytes_max: 6,
        offset_metadata_bytes_max: 4,
        ..Limits::default()
    }
}

fn harness() -> Harness {
    let mut harness = Harness::new(Config { limits: limits(), ..Config::default() });
    harness.create_topic("t", 1);
    harness
}

fn join(group: &str) -> ask::JoinGroup {
    ask::JoinGroup {
        group: group.to_owned(),
        member: String::new(),
        instance: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::new())],
        requires_known_member: false,
        supports_skipping_assignment: false,
    }
}

/// The error of a join, or none if it waits.
fn joined(harness: &mut Harness, ask: ask::JoinGroup) -> ErrorCode {
    let outcome = harness.ask(Ask::JoinGroup(ask));
    let mut replies = outcome.effects.into_iter().filter_map(|it| match it {
        Effect::Reply(ticket, reply) if Some(ticket) == outcome.ticket => Some(Ok(reply)),
        _ => None,
    });
    match outcome.answer.or_else(|| replies.next()) {
        Some(Ok(Reply::JoinGroup(reply))) => reply.error,
        Some(other) => panic!("{other:?}"),
        None => ErrorCode::None,
    }
}

fn committed(harness: &mut Harness, group: &str, metadata: &str) -> ErrorCode {
    let partition = ask::OffsetCommitPartition {
        partition: 0,
        offset: 1,
        leader_epoch: 3,
        metadata: metadata.to_owned(),
    };
    let ask = Ask::OffsetCommit(ask::OffsetCommit {
        group: group.to_owned(),
        generation: -1,
        member: String::new(),
        instance: None,
        topics: vec![ask::OffsetCommitTopic { name: "t".to_owned(), partitions: vec![partition] }],
    });
    let Reply::OffsetCommit(topics) = harness.reply(ask) else { panic!("wrong reply") };
    topics[0].partitions[0].1
}

#[test]
fn one_request() {
    let protocols = |count: usize, bytes: usize| ask::JoinGroup {
        protocols: (0..count)
            .map(|it| (format!("p{it}"), Bytes::from(vec![0; bytes / count - 2])))
            .collect(),
        ..join("g")
    };
    let timeout = |session_timeout_ms| ask::JoinGroup { session_timeout_ms, ..join("g") };
    let instance = |it: &str| ask::JoinGroup { instance: Some(it.to_owned()), ..join("g") };
    for (what, ask, want) in [
        ("group id", join("12345678"), ErrorCode::None),
        ("longer group id", join("123456789"), InvalidGroupId),
        ("no group id", join(""), InvalidGroupId),
        ("shortest session", timeout(100), ErrorCode::None),
        ("shorter session", timeout(99), InvalidSessionTimeout),
        ("longest session", timeout(1_800_000), ErrorCode::None),
        ("longer session", timeout(1_800_001), InvalidSessionTimeout),
        ("protocols", protocols(2, 8), ErrorCode::None),
        ("one protocol more", protocols(3, 12), InconsistentGroupProtocol),
        ("metadata", protocols(1, 20), ErrorCode::None),
        ("more metadata", protocols(1, 21), GroupMaxSizeReached),
        ("instance", instance("123456"), ErrorCode::None),
        ("longer instance", instance("1234567"), InvalidRequest),
        ("empty instance", instance(""), InvalidRequest),
    ] {
        assert_eq!(joined(&mut harness(), ask), want, "{what}");
    }
}

#[test]
fn members_and_their_metadata_are_counted_together() {
    let mut harness = harness();
    assert_eq!(joined(&mut harness, join("g")), ErrorCode::None);
    let known = ask::JoinGroup { requires_known_member: true, ..join("g") };
    assert_eq!(joined(&mut harness, known.clone()), MemberIdRequired);
    assert_eq!(joined(&mut harness, join("g")), GroupMaxSizeReached, "a drawn id is a member");
    assert_eq!(joined(&mut harness, known), GroupMaxSizeReached);
    harness.advance(10_000);

    let mut large = join("h");
    large.protocols[0].1 = Bytes::from_static(&[0; 6]);
    assert_eq!(joined(&mut harness, large.clone()), ErrorCode::None, "11 of 20 bytes");
    assert_eq!(joined(&mut harness, large), GroupMaxSizeReached, "22 of 20 bytes");
}

#[test]
fn groups_are_counted_and_room_comes_back() {
    let mut harness = harness();
    assert_eq!(joined(&mut harness, join("a")), ErrorCode::None);
    assert_eq!(committed(&mut harness, "b", ""), ErrorCode::None);
    assert_eq!(joined(&mut harness, join("c")), GroupMaxSizeReached);
    assert_eq!(committed(&mut harness, "c", ""), GroupMaxSizeReached);
    assert_eq!(committed(&mut harness, "b", ""), ErrorCode::None, "it is there already");
    assert_eq!(joined(&mut harness, join("b")), ErrorCode::None);
    harness.restart();
    assert_eq!(joined(&mut harness, join("c")), ErrorCode::None, "a had nothing to remember");
    assert_eq!(joined(&mut harness, join("d")), GroupMaxSizeReached);
    harness.advance(10_000);
    assert_eq!(joined(&mut harness, join("d")), ErrorCode::None, "c has expired");
}

#[test]
fn metadata_of_offsets() {
    let mut harness = harness();
    assert_eq!(committed(&mut harness, "g", "1234"), ErrorCode::None);
    assert_eq!(committed(&mut harness, "g", "12345"), OffsetMetadataTooLarge);
    let groups = vec![ask::OffsetFetchGroup { group: "g".to_owned(), topics: None }];
    let reply = harness.reply(Ask::OffsetFetch(ask::OffsetFetch { groups }));
    let Reply::OffsetFetch(reply) = reply else { panic!("{reply:?}") };
    let fetched = &reply.groups[0].topics[0].1[0];
    assert_eq!((fetched.metadata.as_str(), fetched.leader_epoch), ("1234", 3));
}

#[test]
fn many_groups_expire_in_small_entries() {
    let limits = Limits { groups_per_expiry_max: 3, ..Limits::default() };
    let mut harness = Harness::new(Config { limits, ..Config::default() });
    harness.create_topic("t", 1);
    for group in 0..10 {
        assert_eq!(committed(&mut harness, &format!("g{group}"), ""), ErrorCode::None);
    }
    let retention_ms = Limits::default().offsets_retention_ms;
    let ops: Vec<_> = harness.advance(retention_ms).iter().map(|it| it.ops.len()).collect();
    assert_eq!(ops, [3, 3, 3, 1]);
}
