//! The bridge with a journal, so that every test can replay it.

use super::*;
use base::{JournalOp, SeededEntropy, Uuid};
use proptest::prelude::*;

const TOPIC: TopicId = TopicId(Uuid::from_u128(1));

/// A bridge whose every entry is journaled, and can be replayed.
#[derive(Default)]
struct Fixture {
    bridge: Bridge,
    journal: Vec<(base::OpKind, Vec<u8>)>,
}

impl Fixture {
    fn ask(&mut self, ask: Ask) -> Result<Reply, Refusal> {
        let entropy = SeededEntropy::new(0);
        let cx = Cx { now: Timestamp(1), entropy: &entropy };
        let mut plan = Vec::new();
        match self.bridge.decide(&ask, Ticket(0), &cx, &mut plan) {
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Go(reply) => {
                for op in plan {
                    let mut body = Vec::new();
                    self.journal.push((op.encode(&mut body, &mut Vec::new()), body));
                    self.bridge.apply(Lsn(1), Timestamp(1), &op, &[], &mut Vec::new());
                }
                self.bridge.check();
                Ok(reply.unwrap())
            }
        }
    }

    fn bind(&mut self, topic: TopicId, start: StartAt, bounds: &[(i64, i64)]) -> Vec<i64> {
        let partitions =
            bounds.iter().map(|(log_start, end)| Bounds { log_start: *log_start, end: *end });
        let bind = Bind {
            route: "r".into(),
            topic: "t".into(),
            topic_id: topic,
            start,
            partitions: partitions.collect(),
        };
        match self.ask(Ask::Bind(bind)).unwrap() {
            Reply::Bound(cursors) => cursors.iter().map(Cursor::next).collect(),
            Reply::Done => panic!("a bind is answered with cursors"),
        }
    }

    fn progress(&mut self, index: i32, first: i64, last: i64) -> Result<Reply, Refusal> {
        self.ask(progress(index, first, last))
    }

    fn replayed(&self) -> Bridge {
        let mut bridge = Bridge::default();
        for (kind, body) in &self.journal {
            let op = Op::decode(*kind, body, &[]).unwrap();
            bridge.apply(Lsn(1), Timestamp(1), &op, &[], &mut Vec::new());
        }
        bridge.resume(Timestamp(2));
        bridge.check();
        bridge
    }
}

fn progress(index: i32, first: i64, last: i64) -> Ask {
    Ask::Progress(Progress {
        route: "r".into(),
        partition: PartitionId { topic: TOPIC, index },
        first,
        last,
        fate: Fate::Delivered,
    })
}

#[test]
fn a_record_is_done_once() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.progress(0, 0, 0), Err(Refusal::NotBound));
    assert_eq!(fixture.bind(TOPIC, StartAt::Earliest, &[(0, 9), (3, 9)]), [0, 3]);
    assert_eq!(fixture.progress(0, 1, 1), Ok(Reply::Done));
    assert_eq!(fixture.progress(0, 1, 1), Err(Refusal::AlreadyDone));
    assert_eq!(fixture.progress(0, 0, 0), Ok(Reply::Done));
    assert_eq!(fixture.progress(1, 3, 5), Ok(Reply::Done));
    for index in [2, -1] {
        assert_eq!(fixture.progress(index, 0, 0), Err(Refusal::NotBound));
    }
    assert_eq!(fixture.progress(0, 5, 4), Err(Refusal::EmptyRange));
    let want = |index, offset| Committed {
        topic: "t".into(),
        partition: PartitionId { topic: TOPIC, index },
        offset,
    };
    let committed = fixture.bridge.committed("mainstay-route-r");
    assert_eq!(committed, Some(vec![want(0, 2), want(1, 6)]));
    assert_eq!(fixture.bridge.committed("mainstay-route-s"), None);
    assert_eq!(fixture.bridge.committed("r"), None);
    assert_eq!(fixture.bridge.groups().collect::<Vec<_>>(), ["mainstay-route-r"]);
    let counters = Counters { delivered: 3, ..Counters::default() };
    assert_eq!(fixture.bridge.counters().collect::<Vec<_>>(), [("r", counters)]);
    assert_eq!(fixture.replayed(), fixture.bridge);
}

#[test]
fn where_a_route_starts_is_decided_once() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.bind(TOPIC, StartAt::Latest, &[(0, 9)]), [9]);
    // After a restart the log has grown; a new start policy changes nothing either.
    assert_eq!(fixture.bind(TOPIC, StartAt::Latest, &[(0, 20)]), [9]);
    assert_eq!(fixture.bind(TOPIC, StartAt::Earliest, &[(0, 20)]), [9]);
    // A partition that was added later is new as a whole.
    assert_eq!(fixture.bind(TOPIC, StartAt::Latest, &[(0, 20), (0, 4)]), [9, 0]);
    assert_eq!(fixture.journal.len(), 2);
    assert_eq!(fixture.replayed(), fixture.bridge);
}

#[test]
fn a_topic_that_was_waited_for_is_read_from_its_start() {
    let mut fixture = Fixture::default();
    let wait = Ask::Await(Await { route: "r".into(), topic: "t".into() });
    assert_eq!(fixture.ask(wait.clone()), Ok(Reply::Done));
    assert_eq!(fixture.ask(wait), Ok(Reply::Done));
    assert_eq!(fixture.journal.len(), 1, "a second wait changes nothing");
    fixture.bridge = fixture.replayed();
    assert_eq!(fixture.bind(TOPIC, StartAt::Latest, &[(0, 5)]), [0]);
}

#[test]
fn a_recreated_topic_inherits_nothing() {
    let other = TopicId(Uuid::from_u128(2));
    for told in [true, false] {
        let mut fixture = Fixture::default();
        fixture.bind(TOPIC, StartAt::Latest, &[(0, 5)]);
        fixture.progress(0, 5, 5).unwrap();
        if told {
            fixture.ask(Ask::ForgetTopic(TOPIC)).unwrap();
            assert_eq!(fixture.progress(0, 6, 6), Err(Refusal::NotBound));
            assert_eq!(fixture.bridge.committed("mainstay-route-r"), None);
            assert_eq!(fixture.bind(other, StartAt::Latest, &[(0, 2)]), [0], "all is new");
        } else {
            assert_eq!(fixture.bind(other, StartAt::Latest, &[(0, 2)]), [0]);
            assert_eq!(fixture.progress(0, 6, 6), Err(Refusal::NotBound));
        }
        assert_eq!(fixture.replayed(), fixture.bridge);
        let counters: Vec<_> = fixture.bridge.counters().map(|(_, c)| c.delivered).collect();
        assert_eq!(counters, [1], "what was done stays counted");
    }
}

proptest! {
    /// In whatever order records are completed, each is done once, and a replay agrees.
    #[test]
    fn completion_has_no_order(
        gaps in prop::collection::vec(1i64..4, 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let mut fixture = Fixture::default();
        fixture.bind(TOPIC, StartAt::Earliest, &[(0, 0)]);
        // Records with holes between them.
        let mut records = Vec::new();
        let mut next = 0;
        for gap in gaps {
            records.push((next, next + gap - 1));
            next += gap;
        }
        let mut done = BTreeSet::new();
        for index in order {
            let (first, last) = *index.get(&records);
            let want = if done.insert(last) { Ok(Reply::Done) } else { Err(Refusal::AlreadyDone) };
            prop_assert_eq!(fixture.progress(0, first, last), want);
        }
        let replayed = fixture.replayed();
        prop_assert_eq!(&replayed, &fixture.bridge);
        let partition = PartitionId { topic: TOPIC, index: 0 };
        let cursor = replayed.cursor("r", partition).unwrap();
        let missing = records.iter().find(|(_, last)| !done.contains(last));
        prop_assert_eq!(cursor.next(), missing.map_or(next, |(first, _)| *first));
    }
}
