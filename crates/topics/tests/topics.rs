//! Topics, produce, metadata and producer ids: tables of asks and answers.

mod support;

use base::{Blob, TopicId, Uuid};
use bytes::Bytes;
use support::{Harness, append, batch, from_producer, new_topic};
use topics::ask::{self, Appended, Origin, ProduceError, TopicSelection};
use topics::{Ask, Config, Effect, ErrorCode, Limits, Op, Reply};

fn harness() -> Harness {
    Harness::new(Config::default())
}

fn with_limits(limits: Limits) -> Harness {
    Harness::new(Config { limits, ..Config::default() })
}

type Placed = Vec<Result<Appended, ProduceError>>;

fn produce(harness: &mut Harness, partitions: Vec<ask::PartitionAppend>, origin: Origin) -> Placed {
    let reply = harness.reply(Ask::Produce(ask::Produce { partitions, origin }));
    let Reply::Produce(placed) = reply else { panic!("{reply:?}") };
    placed
}

fn one(harness: &mut Harness, item: ask::PartitionAppend) -> Result<i64, ErrorCode> {
    let placed = produce(harness, vec![item], Origin::Client).remove(0);
    placed.map(|it| it.base_offset).map_err(|it| it.code)
}

fn metadata(
    harness: &mut Harness,
    topics: TopicSelection,
    create: bool,
) -> Vec<ask::TopicMetadata> {
    let ask = ask::Metadata { topics, allow_auto_topic_creation: create };
    let reply = harness.reply(Ask::Metadata(ask));
    let Reply::Metadata(reply) = reply else { panic!("{reply:?}") };
    reply.topics
}

fn names(names: &[&str]) -> TopicSelection {
    TopicSelection::Names(names.iter().map(|it| (*it).to_owned()).collect())
}

fn create(harness: &mut Harness, topics: Vec<ask::NewTopic>) -> Vec<ask::CreateTopicResult> {
    let ask = ask::CreateTopics { topics, validate_only: false };
    let reply = harness.reply(Ask::CreateTopics(ask));
    let Reply::CreateTopics(results) = reply else { panic!("{reply:?}") };
    results
}

#[test]
fn batches_of_one_request_are_one_entry() {
    let mut harness = harness();
    let t = harness.create_topic("t", 2);
    let partitions = vec![
        append("t", 1, batch(3)),
        append("t", 2, batch(1)),
        append("t", -1, batch(1)),
        append("nowhere", 0, batch(1)),
        append("t", 0, batch(1)),
        append("t", 1, batch(2)),
    ];
    let outcome = harness.ask(Ask::Produce(ask::Produce { partitions, origin: Origin::Client }));
    let Some(Ok(Reply::Produce(placed))) = outcome.answer else { panic!("answered") };
    let got: Vec<_> = placed
        .iter()
        .map(|it| it.as_ref().map(|it| (it.partition.index, it.base_offset)).map_err(|it| it.code))
        .collect();
    let unknown = Err(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(got, [Ok((1, 0)), unknown, unknown, unknown, Ok((0, 0)), Ok((1, 3))]);
    let published: Vec<_> = outcome
        .effects
        .iter()
        .map(|it| match it {
            Effect::Publish(batch) => {
                assert_eq!(batch.partition.topic, t);
                (
                    batch.partition.index,
                    batch.base_offset,
                    batch.last_offset,
                    batch.max_timestamp_ms,
                )
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(published, [(1, 0, 2, 1_002), (0, 0, 0, 1_000), (1, 3, 4, 1_001)]);
    let addresses: std::collections::HashSet<_> = outcome
        .effects
        .iter()
        .filter_map(|it| if let Effect::Publish(it) = it { Some(it.address) } else { None })
        .collect();
    assert_eq!(addresses.len(), 3, "each has its own bytes");
    let end = |index| {
        let partition = base::PartitionId { topic: t, index };
        harness.topics.partition(partition).map(|it| it.next_offset())
    };
    assert_eq!((end(0), end(1), end(2)), (Some(1), Some(5), None));
}

#[test]
fn a_producers_last_five_batches_are_remembered() {
    let mut harness = harness();
    harness.create_topic("t", 1);
    let plain = batch(2).1;
    let sent = |epoch, sequence| append("t", 0, from_producer(&plain, 9, epoch, sequence));
    // A producer that nobody knows may begin anywhere: its window may have been forgotten.
    let wrap = i32::MAX - 3;
    for (what, epoch, sequence, want) in [
        ("unknown producers begin anywhere", 0, wrap, Ok(0)),
        ("the same again", 0, wrap, Ok(0)),
        ("the next", 0, wrap + 2, Ok(2)),
        ("a gap", 0, 2, Err(ErrorCode::OutOfOrderSequenceNumber)),
        ("the next, wrapped to 0", 0, 0, Ok(4)),
        ("the next", 0, 2, Ok(6)),
        ("the next", 0, 4, Ok(8)),
        ("the first is the oldest of five", 0, wrap, Ok(0)),
        ("the sixth", 0, 6, Ok(10)),
        ("the first is forgotten", 0, wrap, Err(ErrorCode::OutOfOrderSequenceNumber)),
        ("the second is not", 0, wrap + 2, Ok(2)),
        ("a new epoch must begin at 0", 1, 8, Err(ErrorCode::OutOfOrderSequenceNumber)),
        ("a new epoch", 1, 0, Ok(12)),
        ("the old epoch", 0, 8, Err(ErrorCode::InvalidProducerEpoch)),
        ("the same again in the new epoch", 1, 0, Ok(12)),
    ] {
        assert_eq!(one(&mut harness, sent(epoch, sequence)), want, "{what}");
        harness.restart();
    }
    // Within one request: the second is a duplicate of the first, the third is next.
    let items = vec![sent(1, 2), sent(1, 2), sent(1, 4), sent(1, 8)];
    let placed = produce(&mut harness, items, Origin::Client);
    let got: Vec<_> =
        placed.into_iter().map(|it| it.map(|it| it.base_offset).map_err(|it| it.code)).collect();
    assert_eq!(got, [Ok(14), Ok(14), Ok(16), Err(ErrorCode::OutOfOrderSequenceNumber)]);
    // A batch whose sequence is known but whose end is another is not the same batch.
    let longer = append("t", 0, from_producer(&batch(3).1, 9, 1, 4));
    assert_eq!(one(&mut harness, longer), Err(ErrorCode::OutOfOrderSequenceNumber));
    // Another producer, and none, are judged for themselves.
    assert_eq!(one(&mut harness, append("t", 0, from_producer(&plain, 10, 0, 0))), Ok(18));
    assert_eq!(one(&mut harness, append("t", 0, batch(1))), Ok(20));
}

#[test]
fn the_producer_that_was_silent_longest_is_forgotten() {
    let mut harness = with_limits(Limits { producers_per_partition_max: 3, ..Limits::default() });
    harness.create_topic("t", 1);
    let plain = batch(1).1;
    let sent = |id, sequence| append("t", 0, from_producer(&plain, id, 0, sequence));
    for (offset, id) in (0..).zip([1, 2, 3]) {
        assert_eq!(one(&mut harness, sent(id, 0)), Ok(offset));
    }
    assert_eq!(one(&mut harness, sent(1, 1)), Ok(3));
    assert_eq!(one(&mut harness, sent(4, 0)), Ok(4));
    assert_eq!(one(&mut harness, sent(2, 0)), Ok(5), "2 was forgotten: no duplicate any more");
    assert_eq!(one(&mut harness, sent(1, 1)), Ok(3), "1 was not");
    let day_ms = Limits::default().producer_id_expiration_ms;
    harness.advance(day_ms + 1);
    assert_eq!(one(&mut harness, sent(4, 1)), Ok(6));
    assert_eq!(one(&mut harness, sent(1, 1)), Ok(7), "silent for a day");
    harness.restart();
    assert_eq!(one(&mut harness, sent(4, 1)), Ok(6));
}

/// One request with many producers may not make the partition remember more than one request's.
#[test]
fn after_a_first_batch_was_turned_away_no_other_takes_its_place() {
    let mut harness = harness();
    harness.create_topic("t", 2);
    let plain = batch(2).1;
    let sent =
        |partition, id, sequence| append("t", partition, from_producer(&plain, id, 0, sequence));
    // Decided, and then there was no room for its entry.
    let partitions = vec![sent(0, 9, 0)];
    let first = Ask::Produce(ask::Produce { partitions, origin: Origin::Client });
    harness.topics.turn_away(&first);
    let missing = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(one(&mut harness, sent(0, 9, 2)), missing, "it was on its way already");
    assert_eq!(one(&mut harness, sent(1, 9, 2)), Ok(0), "another partition");
    assert_eq!(one(&mut harness, sent(0, 8, 2)), Ok(0), "another producer");
    assert_eq!(one(&mut harness, sent(0, 9, 0)), Ok(2), "the first, sent again");
    assert_eq!(one(&mut harness, sent(0, 9, 2)), Ok(4), "and now the second");
}

#[test]
fn one_request_forgets_as_many_producers_as_it_brings() {
    let mut harness = with_limits(Limits { producers_per_partition_max: 3, ..Limits::default() });
    harness.create_topic("t", 1);
    let plain = batch(1).1;
    let sent = |id: i64, sequence| append("t", 0, from_producer(&plain, id, 0, sequence));
    let base_offsets = |placed: Placed| -> Vec<i64> {
        placed.into_iter().map(|it| it.map_or(-1, |it| it.base_offset)).collect()
    };
    let first = vec![sent(1, 0), sent(2, 0), sent(3, 0)];
    assert_eq!(base_offsets(produce(&mut harness, first, Origin::Client)), [0, 1, 2]);
    // 4 pushes 1 out, so that 1, in the same request, is new again and pushes 2 out; 3 has its
    // own batch in the request and stays.
    let second = vec![sent(4, 0), sent(1, 0), sent(3, 0), sent(3, 1), sent(1, 0), sent(2, 0)];
    let placed = produce(&mut harness, second, Origin::Client);
    assert_eq!(base_offsets(placed), [3, 4, 2, 5, 4, 6]);
    for round in 0..10 {
        let items = (0..20).map(|it| sent(100 + 20 * round + it, 0)).collect();
        let outcome =
            harness.ask(Ask::Produce(ask::Produce { partitions: items, origin: Origin::Client }));
        let forgotten: usize = outcome
            .ops
            .iter()
            .map(|it| match it {
                Op::Appended(it, _) => it.forgotten_producer_ids.len(),
                other => panic!("{other:?}"),
            })
            .sum();
        assert!(round == 0 || forgotten == 20, "round {round} forgets {forgotten}");
    }
}

#[test]
fn clients_have_a_limit_that_the_node_has_not() {
    let bytes = batch(3).1.len();
    for (limit, want) in [(bytes, Ok(0)), (bytes - 1, Err(ErrorCode::MessageTooLarge))] {
        let mut harness = with_limits(Limits { batch_bytes_max: limit, ..Limits::default() });
        harness.create_topic("t", 1);
        assert_eq!(one(&mut harness, append("t", 0, batch(3))), want);
        let placed = produce(&mut harness, vec![append("t", 0, batch(3))], Origin::Node);
        assert!(placed[0].is_ok());
    }
}

#[test]
fn the_node_creates_the_topic_it_writes_to() {
    let mut harness = harness();
    let items = vec![
        append("orders.dead-letter", 3, batch(1)),
        append("orders.dead-letter", 3, batch(1)),
        append("orders.dead-letter", 4, batch(1)),
        append("not a name", 0, batch(1)),
    ];
    let outcome =
        harness.ask(Ask::Produce(ask::Produce { partitions: items, origin: Origin::Node }));
    let Some(Ok(Reply::Produce(placed))) = outcome.answer else { panic!("answered") };
    let got: Vec<_> =
        placed.into_iter().map(|it| it.map(|it| it.base_offset).map_err(|it| it.code)).collect();
    let unknown = Err(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(got, [Ok(0), Ok(1), unknown, Err(ErrorCode::InvalidTopic)]);
    assert!(matches!(outcome.ops[..], [Op::TopicCreated(_), Op::Appended(..), Op::Appended(..)]));
    assert!(matches!(outcome.effects[0], Effect::TopicCreated { partition_count: 4, .. }));
    assert_eq!(
        one(&mut harness, append("another", 0, batch(1))),
        Err(ErrorCode::UnknownTopicOrPartition),
        "clients do not"
    );
}

#[test]
fn create_topics_checks_each_for_itself() {
    let assigned = |assignments: &[(i32, &[i32])]| ask::NewTopic {
        assignments: assignments.iter().map(|it| (it.0, it.1.to_vec())).collect(),
        ..new_topic("assigned", -1)
    };
    let config = |name: &str, value: Option<&str>| ask::NewTopic {
        configs: vec![(name.to_owned(), value.map(str::to_owned))],
        ..new_topic("configured", 1)
    };
    let replicated = |replication_factor| ask::NewTopic { replication_factor, ..new_topic("r", 1) };
    let both = ask::NewTopic { partition_count: 1, ..assigned(&[(0, &[1])]) };
    for (what, topic, want) in [
        ("default count", new_topic("d", -1), Ok(4)),
        ("a count", new_topic("d", 7), Ok(7)),
        ("none", new_topic("d", 0), Err(ErrorCode::InvalidPartitions)),
        ("-2", new_topic("d", -2), Err(ErrorCode::InvalidPartitions)),
        ("at the limit", new_topic("d", 10_000), Ok(10_000)),
        ("over the limit", new_topic("d", 10_001), Err(ErrorCode::InvalidPartitions)),
        ("a bad name", new_topic("a b", 1), Err(ErrorCode::InvalidTopic)),
        ("an existing one", new_topic("there", 1), Err(ErrorCode::TopicAlreadyExists)),
        ("three replicas", replicated(3), Ok(1)),
        ("no replica", replicated(0), Err(ErrorCode::InvalidReplicationFactor)),
        ("-2 replicas", replicated(-2), Err(ErrorCode::InvalidReplicationFactor)),
        ("assigned", assigned(&[(1, &[1]), (0, &[1])]), Ok(2)),
        ("assigned and counted", both, Err(ErrorCode::InvalidRequest)),
        ("a gap", assigned(&[(0, &[1]), (2, &[1])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("twice", assigned(&[(0, &[1]), (0, &[1])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("-1", assigned(&[(-1, &[1])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("another broker", assigned(&[(0, &[2])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("two brokers", assigned(&[(0, &[1, 1])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("no broker", assigned(&[(0, &[])]), Err(ErrorCode::InvalidReplicaAssignment)),
        ("what is done anyway", config("cleanup.policy", Some("delete")), Ok(1)),
        ("the default", config("retention.ms", None), Ok(1)),
        ("not done", config("cleanup.policy", Some("compact")), Err(ErrorCode::InvalidConfig)),
        ("unknown", config("colour", Some("red")), Err(ErrorCode::InvalidConfig)),
        ("batch size", config("max.message.bytes", Some("1048588")), Ok(1)),
        ("a smaller one", config("max.message.bytes", Some("9")), Err(ErrorCode::InvalidConfig)),
    ] {
        let mut harness = harness();
        harness.create_topic("there", 1);
        let ask = ask::CreateTopics { topics: vec![topic.clone()], validate_only: true };
        let outcome = harness.ask(Ask::CreateTopics(ask));
        assert!(outcome.ops.is_empty(), "{what}: only checked");
        let Some(Ok(Reply::CreateTopics(checked))) = outcome.answer else { panic!("answered") };
        let created = create(&mut harness, vec![topic.clone()]);
        for (result, made) in [(&checked[0], false), (&created[0], want.is_ok())] {
            let got = match result.error {
                ErrorCode::None => Ok(result.partition_count),
                error => Err(error),
            };
            assert_eq!(got, want, "{what}: {:?}", result.message);
            assert_eq!(result.id != TopicId(Uuid::nil()), made, "{what}");
            assert_eq!(result.message.is_some(), want.is_err(), "{what}");
        }
        let found = harness.topics.topic_named(&topic.name);
        let count = found.filter(|_| want.is_ok()).map(|it| it.partition_count());
        assert_eq!(count, want.ok(), "{what}");
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_twice() {
    let mut harness = harness();
    let results =
        create(&mut harness, vec![new_topic("a", 1), new_topic("b", 1), new_topic("a", 2)]);
    let errors: Vec<_> = results.iter().map(|it| it.error).collect();
    assert_eq!(errors, [ErrorCode::InvalidRequest, ErrorCode::None, ErrorCode::InvalidRequest]);
    assert!(harness.topics.topic_named("a").is_none());
}

#[test]
fn topics_and_partitions_have_limits() {
    let limits = Limits { topic_count_max: 3, partition_count_max: 12, ..Limits::default() };
    let mut harness = with_limits(limits);
    let results = create(&mut harness, vec![new_topic("a", 8), new_topic("b", 5)]);
    assert_eq!(results[1].error, ErrorCode::PolicyViolation, "13 partitions");
    let results = create(&mut harness, vec![new_topic("b", 1), new_topic("c", 3)]);
    assert!(results.iter().all(|it| it.error == ErrorCode::None), "12 partitions, 3 topics");
    let results = create(&mut harness, vec![new_topic("d", 1)]);
    assert_eq!(results[0].error, ErrorCode::PolicyViolation, "4 topics");
    assert_eq!(metadata(&mut harness, names(&["d"]), true)[0].error, ErrorCode::PolicyViolation);
    let gone = Ask::DeleteTopics(ask::DeleteTopics { topics: names(&["a"]) });
    harness.reply(gone);
    assert_eq!(create(&mut harness, vec![new_topic("d", 8)])[0].error, ErrorCode::None);
}

#[test]
fn metadata_creates_what_is_wished_for() {
    let mut harness = harness();
    let told = |topics: &[ask::TopicMetadata]| -> Vec<(ErrorCode, i32)> {
        topics.iter().map(|it| (it.error, it.partition_count)).collect()
    };
    let unknown = (ErrorCode::UnknownTopicOrPartition, 0);
    let illegal = (ErrorCode::InvalidTopic, 0);
    let asked = names(&["new", "a b", "new"]);
    let topics = metadata(&mut harness, asked.clone(), false);
    assert_eq!(told(&topics), [unknown, illegal, unknown]);
    let topics = metadata(&mut harness, asked.clone(), true);
    assert_eq!(told(&topics), [(ErrorCode::None, 4), illegal, (ErrorCode::None, 4)]);
    assert_eq!(topics[0].id, topics[2].id, "created once");
    let again = metadata(&mut harness, asked, true);
    assert_eq!(again[0].id, topics[0].id);

    harness.create_topic("also", 1);
    let all = metadata(&mut harness, TopicSelection::All, false);
    let all: Vec<_> = all.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(all, [Some("also"), Some("new")], "by name");
    let ids = TopicSelection::Ids(vec![topics[0].id, TopicId(Uuid::nil())]);
    let by_id = metadata(&mut harness, ids, true);
    assert_eq!(told(&by_id), [(ErrorCode::None, 4), (ErrorCode::UnknownTopicId, 0)]);
    assert_eq!((by_id[0].name.as_deref(), by_id[1].name.as_deref()), (Some("new"), None));
    assert!(metadata(&mut harness, names(&[]), true).is_empty());

    let mut strict = Harness::new(Config { auto_create_topics: false, ..Config::default() });
    assert_eq!(told(&metadata(&mut strict, names(&["new"]), true)), [unknown]);
}

#[test]
fn a_topic_made_again_is_another() {
    let mut harness = harness();
    let first = harness.create_topic("t", 1);
    let kept = harness.create_topic("kept", 1);
    let sent = append("t", 0, from_producer(&batch(2).1, 9, 0, 0));
    assert_eq!(one(&mut harness, sent.clone()), Ok(0));
    let delete = |topics| Ask::DeleteTopics(ask::DeleteTopics { topics });
    let outcome = harness.ask(delete(names(&["t", "t", "nowhere"])));
    let Some(Ok(Reply::DeleteTopics(results))) = outcome.answer else { panic!("answered") };
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let errors: Vec<_> = results.iter().map(|it| it.error).collect();
    assert_eq!(errors, [ErrorCode::None, unknown, unknown]);
    assert!(matches!(&outcome.effects[..], [Effect::TopicDeleted { id, .. }] if *id == first));
    assert_eq!(one(&mut harness, sent.clone()), Err(unknown));

    let second = harness.create_topic("t", 1);
    assert_ne!(first, second);
    assert_eq!(one(&mut harness, sent), Ok(0), "no producer is remembered, offsets begin anew");
    let ids = TopicSelection::Ids(vec![first, kept]);
    let Reply::DeleteTopics(results) = harness.reply(delete(ids)) else { panic!("wrong reply") };
    assert_eq!((results[0].error, results[0].name.as_deref()), (ErrorCode::UnknownTopicId, None));
    assert_eq!((results[1].error, results[1].name.as_deref()), (ErrorCode::None, Some("kept")));
    let all = harness.ask(delete(TopicSelection::All));
    assert!(all.ops.is_empty(), "nothing is deleted that was not named");
    harness.restart();
    assert_eq!(harness.topics.topics().map(|it| it.id()).collect::<Vec<_>>(), [second]);
}

#[test]
fn producer_ids_are_fresh_and_transactions_refused() {
    let mut harness = harness();
    let ask = |transactional_id: Option<&str>, id, epoch| {
        Ask::InitProducerId(ask::InitProducerId {
            transactional_id: transactional_id.map(str::to_owned),
            current: ask::ProducerIdAndEpoch { id, epoch },
        })
    };
    let mut seen = std::collections::HashSet::new();
    for (id, epoch) in [(-1, -1), (-1, -1), (5, 3)] {
        let reply = harness.reply(ask(None, id, epoch));
        let Reply::InitProducerId(given) = reply else { panic!("{reply:?}") };
        assert!(given.id >= 0);
        assert_eq!(given.epoch, 0);
        assert!(seen.insert(given.id));
    }
    let refused = harness.ask(ask(Some("tx"), -1, -1)).answer;
    assert!(matches!(refused, Some(Err(ErrorCode::TransactionalIdAuthorizationFailed))));
}

#[test]
fn an_op_that_is_not_understood_is_named() {
    use base::{JournalOp, OpError, OpKind};
    let decode = |kind, version, body: &[u8], blobs: &[Bytes]| {
        Op::decode(OpKind { kind, version }, body, blobs)
    };
    assert!(matches!(decode(99, 1, &[], &[]), Err(OpError::UnknownKind(_))));
    assert!(matches!(decode(1, 2, &[], &[]), Err(OpError::UnknownKind(_))));
    assert!(matches!(decode(1, 1, &[0xff], &[]), Err(OpError::Malformed { .. })));
    assert!(matches!(decode(3, 1, &[], &[]), Err(OpError::Malformed { .. })), "no batch");
    let blob = Blob::new(Bytes::from_static(b"x")).bytes().clone();
    assert!(matches!(decode(1, 1, &[], &[blob]), Err(OpError::Malformed { .. })));
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("topics");
}
