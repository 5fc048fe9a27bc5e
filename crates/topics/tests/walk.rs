//! Random walks through groups: whatever clients do, invariants hold, a replay gives the same
//! facts, no ticket is answered twice, and everybody who waits is answered in the end.

mod support;

use base::{Machine, Ticket};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashMap;
use support::{Harness, Outcome, append, batch};
use topics::ask::{self, Origin};
use topics::{Ask, Config, Effect, Reply};

const CLIENTS: usize = 4;

/// One step; the numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Join { client: usize, group: usize, metadata: u8, known: bool, forget_id: bool },
    Sync { client: usize, group: usize, stale: bool },
    Heartbeat { client: usize, group: usize },
    Leave { client: usize, group: usize },
    Commit { client: usize, group: usize, outside: bool },
    Produce,
    Recreate,
    Advance(i64),
    Gone(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, group) = (0..CLIENTS, 0..2usize);
    let whose = (client, group);
    prop_oneof![
        6 => (whose.clone(), 0..2u8, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
            |((client, group), metadata, known, forget_id)| {
                Step::Join { client, group, metadata, known, forget_id }
            }
        ),
        6 => (whose.clone(), proptest::bool::weighted(0.1))
            .prop_map(|((client, group), stale)| Step::Sync { client, group, stale }),
        2 => whose.clone().prop_map(|(client, group)| Step::Heartbeat { client, group }),
        1 => whose.clone().prop_map(|(client, group)| Step::Leave { client, group }),
        2 => (whose, any::<bool>())
            .prop_map(|((client, group), outside)| Step::Commit { client, group, outside }),
        1 => Just(Step::Produce),
        1 => Just(Step::Recreate),
        2 => (0..6_000i64).prop_map(Step::Advance),
        1 => any::<usize>().prop_map(Step::Gone),
        1 => Just(Step::Restart),
    ]
}

struct Walk {
    harness: Harness,
    /// Member id and generation, by client and group.
    known: HashMap<(usize, usize), (String, i32)>,
    /// Who waits, for which client and group.
    waiting: HashMap<Ticket, (usize, usize)>,
}

impl Walk {
    fn new(delay_ms: i64) -> Walk {
        let config = Config { group_initial_rebalance_delay_ms: delay_ms, ..Config::default() };
        let mut harness = Harness::new(config);
        harness.create_topic("t", 2);
        Walk { harness, known: HashMap::new(), waiting: HashMap::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join { client, group, metadata, known, forget_id } => {
                self.join((client, group), metadata, known, forget_id);
            }
            Step::Sync { client, group, stale } => self.sync((client, group), stale),
            Step::Heartbeat { client, group } => {
                let (member, generation) = self.identity((client, group));
                let (group, instance) = (name(group), instance(client));
                let ask = ask::Heartbeat { group, generation, member, instance };
                self.ask(None, Ask::Heartbeat(ask));
            }
            Step::Leave { client, group } => {
                let (member, _) = self.identity((client, group));
                let members = vec![(member, instance(client))];
                self.ask(None, Ask::LeaveGroup(ask::LeaveGroup { group: name(group), members }));
            }
            Step::Commit { client, group, outside } => self.commit((client, group), outside),
            Step::Produce => {
                let partitions = vec![append("t", 0, batch(2)), append("u", 0, batch(1))];
                let ask = ask::Produce { partitions, origin: Origin::Node };
                self.ask(None, Ask::Produce(ask));
            }
            Step::Recreate => {
                let topics = ask::TopicSelection::Names(vec!["t".to_owned()]);
                self.ask(None, Ask::DeleteTopics(ask::DeleteTopics { topics }));
                self.harness.create_topic("t", 2);
            }
            Step::Advance(milliseconds) => self.advance(milliseconds),
            Step::Gone(which) => {
                let mut tickets: Vec<_> = self.waiting.keys().copied().collect();
                tickets.sort();
                if !tickets.is_empty() {
                    let ticket = tickets[which % tickets.len()];
                    self.waiting.remove(&ticket);
                    self.harness.topics.forget(ticket);
                    self.harness.topics.check();
                }
            }
            Step::Restart => {
                self.waiting.clear();
                self.harness.restart();
            }
        }
    }

    fn identity(&self, whose: (usize, usize)) -> (String, i32) {
        self.known.get(&whose).cloned().unwrap_or((String::new(), -1))
    }

    fn join(&mut self, whose: (usize, usize), metadata: u8, known: bool, forget_id: bool) {
        if forget_id {
            self.known.remove(&whose);
        }
        let (client, group) = whose;
        let protocol = |name: &str| (name.to_owned(), Bytes::from(vec![metadata]));
        let mut protocols = vec![protocol("range"), protocol("rr")];
        if client == 1 {
            protocols.reverse();
        }
        let ask = ask::JoinGroup {
            group: name(group),
            member: self.identity(whose).0,
            instance: instance(client),
            client_id: format!("client-{client}"),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 5_000,
            rebalance_timeout_ms: 3_000 * (client as i32 + 1),
            protocol_type: "consumer".to_owned(),
            protocols,
            requires_known_member: known,
            supports_skipping_assignment: client % 2 == 0,
        };
        self.ask(Some(whose), Ask::JoinGroup(ask));
    }

    fn sync(&mut self, whose: (usize, usize), stale: bool) {
        let (client, group) = whose;
        let (member, generation) = self.identity(whose);
        let assignments = vec![(member.clone(), Bytes::from_static(b"mine"))];
        let ask = ask::SyncGroup {
            group: name(group),
            generation: generation - i32::from(stale),
            member,
            instance: instance(client),
            protocol_type: None,
            protocol_name: None,
            assignments,
        };
        self.ask(Some(whose), Ask::SyncGroup(ask));
    }

    fn commit(&mut self, whose: (usize, usize), outside: bool) {
        let (member, generation) = if outside { (String::new(), -1) } else { self.identity(whose) };
        let partition = ask::OffsetCommitPartition {
            partition: whose.0 as i32 % 3,
            offset: 5,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let topics =
            vec![ask::OffsetCommitTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let instance = if outside { None } else { instance(whose.0) };
        let ask = ask::OffsetCommit { group: name(whose.1), generation, member, instance, topics };
        self.ask(None, Ask::OffsetCommit(ask));
    }

    fn ask(&mut self, whose: Option<(usize, usize)>, ask: Ask) {
        let mut outcome = self.harness.ask(ask);
        let ticket = outcome.ticket.expect("not refused");
        match (outcome.answer.take(), whose) {
            (Some(reply), _) => {
                let answers_ticket =
                    |it: &&Effect| matches!(it, Effect::Reply(to, _) if *to == ticket);
                assert!(outcome.effects.iter().find(answers_ticket).is_none());
                if let (Some(whose), Ok(Reply::JoinGroup(reply))) = (whose, reply) {
                    self.learn(whose, &reply);
                }
            }
            (None, Some(whose)) => _ = self.waiting.insert(ticket, whose),
            (None, None) => panic!("only joins and syncs wait"),
        }
        self.hear(outcome);
    }

    fn hear(&mut self, outcome: Outcome) {
        for effect in outcome.effects {
            let Effect::Reply(ticket, reply) = effect else { continue };
            let whose = self.waiting.remove(&ticket).expect("answered once, and only who waits");
            if let Reply::JoinGroup(reply) = reply {
                self.learn(whose, &reply);
            }
        }
    }

    fn learn(&mut self, whose: (usize, usize), reply: &ask::JoinGroupReply) {
        use topics::ErrorCode::{FencedInstanceId, MemberIdRequired, None, UnknownMemberId};
        match reply.error {
            None | MemberIdRequired => {
                self.known.insert(whose, (reply.member.clone(), reply.generation));
            }
            UnknownMemberId | FencedInstanceId => _ = self.known.remove(&whose),
            _ => {}
        }
    }

    fn advance(&mut self, milliseconds: i64) {
        for outcome in self.harness.advance(milliseconds) {
            self.hear(outcome);
        }
    }
}

fn name(group: usize) -> String {
    format!("group-{group}")
}

/// Clients 2 and 3 are static members.
fn instance(client: usize) -> Option<String> {
    (client >= 2).then(|| format!("instance-{client}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn everybody_is_answered_in_the_end(
        delay_ms in prop_oneof![Just(0i64), Just(1_000)],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut walk = Walk::new(delay_ms);
        for step in steps {
            walk.take(step);
        }
        // Silence: sessions end, barriers open, groups empty.
        walk.advance(60_000);
        prop_assert!(walk.waiting.is_empty(), "still waiting: {:?}", walk.waiting);
        walk.harness.restart();
        walk.advance(8 * 24 * 3_600_000);
        let groups = walk.harness.reply(Ask::ListGroups(ask::ListGroups {
            states: Vec::new(),
            types: Vec::new(),
        }));
        prop_assert!(matches!(groups, Reply::ListGroups(groups) if groups.is_empty()));
        prop_assert_eq!(walk.harness.topics.next_due(), None);
    }
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("topics/walk");
}
