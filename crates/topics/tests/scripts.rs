//! Runs `testdata/*.txt`: group scenarios as commands and what they bring about.
//!
//! A block is commands, a line `----`, and the output. `UPDATE=1 cargo test` writes the outputs
//! anew. Commands (see `Script::run`):
//!
//! ```text
//! topic NAME COUNT | delete NAME | advance MS | restart
//! join GROUP CLIENT [known] [skip] [proto=NAME:META,…] [type=T] [instance=I] [session=MS]
//!      [rebalance=MS] [id=none|MEMBER]
//! sync GROUP CLIENT [gen=N] [assign=MEMBER:TEXT,…] [type=T] [proto=NAME] [instance=I] [id=…]
//! heartbeat GROUP CLIENT [gen=N] [instance=I] [id=…]
//! leave GROUP CLIENT… | leave GROUP instance=I
//! commit GROUP CLIENT|- TOPIC/PARTITION=OFFSET[:METADATA]… [gen=N] [instance=I]
//! fetch GROUP [TOPIC/PARTITION…] | list [state=S] [type=T] | describe GROUP
//! gone CLIENT
//! ```
//!
//! Members are shown as `client#n`, the n-th id that the client was given.

mod support;

use base::{Machine, Ticket};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use support::{Harness, Outcome};
use topics::{Ask, Config, Effect, ErrorCode, Op, Reply, ask};

#[test]
fn scripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("testdata") {
        let path = entry.expect("entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let got = run_file(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &got).expect("writable");
        } else {
            assert!(got == text, "{} gives now:\n{got}", path.display());
        }
        count += 1;
    }
    assert!(count > 0, "there are scripts");
}

/// The same text, with the outputs as they are now.
fn run_file(text: &str) -> String {
    let mut script = Script::new();
    let mut written = String::new();
    let mut output = None;
    for line in text.lines() {
        match &mut output {
            // Inside an expected output, which ends with an empty line.
            Some(()) if line.is_empty() => {
                output = None;
                written.push('\n');
            }
            Some(()) => {}
            None if line == "----" => {
                written.push_str("----\n");
                written.push_str(&std::mem::take(&mut script.output));
                output = Some(());
            }
            None => {
                written.push_str(line);
                written.push('\n');
                script.run(line);
            }
        }
    }
    assert!(script.output.is_empty(), "a block without ----: {}", script.output);
    written
}

#[derive(Default, Clone)]
struct Client {
    member: String,
    generation: i32,
    ids: usize,
    ticket: Option<Ticket>,
}

struct Script {
    harness: Harness,
    clients: BTreeMap<String, Client>,
    /// Member id to `client#n`.
    names: HashMap<String, String>,
    /// Who waits for which ticket.
    asked: HashMap<Ticket, String>,
    output: String,
}

/// `word key=value flag`, taken apart.
struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: HashMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let (mut plain, mut keyed) = (Vec::new(), HashMap::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) if !key.contains('/') => _ = keyed.insert(key, value),
                _ => plain.push(word),
            }
        }
        Words { plain, keyed }
    }

    fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> N {
        self.keyed.get(key).and_then(|it| it.parse().ok()).unwrap_or(default)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.keyed.get(key).map(|it| (*it).to_owned())
    }

    fn flag(&self, name: &str) -> bool {
        self.plain.contains(&name)
    }
}

impl Script {
    fn new() -> Script {
        Script {
            harness: Harness::new(Config::default()),
            clients: BTreeMap::new(),
            names: HashMap::new(),
            asked: HashMap::new(),
            output: String::new(),
        }
    }

    fn run(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let words = Words::of(line);
        match words.plain[0] {
            "config" => {
                let group_initial_rebalance_delay_ms = words.number("delay", 0);
                let config = Config { group_initial_rebalance_delay_ms, ..Config::default() };
                self.harness = Harness::new(config);
            }
            "topic" => {
                let count = words.plain[2].parse().expect("a number");
                self.harness.create_topic(words.plain[1], count);
            }
            "delete" => {
                let topics = ask::TopicSelection::Names(vec![words.plain[1].to_owned()]);
                self.ask("", Ask::DeleteTopics(ask::DeleteTopics { topics }));
            }
            "advance" => {
                let outcomes = self.harness.advance(words.plain[1].parse().expect("a number"));
                outcomes.into_iter().for_each(|it| self.show(it));
            }
            "restart" => {
                self.harness.restart();
                self.asked.clear();
            }
            "gone" => {
                let ticket = self.client(words.plain[1]).ticket.take().expect("waits");
                self.harness.topics.forget(ticket);
                self.harness.topics.check();
                self.harness.advance(0).into_iter().for_each(|it| self.show(it));
            }
            "join" => self.join(&words),
            "sync" => self.sync(&words),
            "heartbeat" => {
                let ask = ask::Heartbeat {
                    group: words.plain[1].to_owned(),
                    generation: self.generation(&words),
                    member: self.member(&words),
                    instance: words.text("instance"),
                };
                self.ask(words.plain[2], Ask::Heartbeat(ask));
            }
            "leave" => self.leave(&words),
            "commit" => self.commit(&words),
            "fetch" => self.fetch(&words),
            "list" => {
                let one = |key| words.text(key).into_iter().collect();
                let ask = ask::ListGroups { states: one("state"), types: one("type") };
                self.ask("", Ask::ListGroups(ask));
            }
            "describe" => {
                let groups = vec![words.plain[1].to_owned()];
                self.ask("", Ask::DescribeGroups(ask::DescribeGroups { groups }));
            }
            other => panic!("unknown command {other}"),
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let unknown = || Client { generation: -1, ..Client::default() };
        self.clients.entry(name.to_owned()).or_insert_with(unknown)
    }

    fn member_named(&self, name: &str) -> String {
        let found = self.names.iter().find(|it| it.1 == name).map(|it| it.0.clone());
        found.unwrap_or_else(|| name.to_owned())
    }

    fn member(&mut self, words: &Words<'_>) -> String {
        match words.keyed.get("id") {
            Some(&"none") => String::new(),
            Some(name) => self.member_named(name),
            None => self.client(words.plain[2]).member.clone(),
        }
    }

    fn generation(&mut self, words: &Words<'_>) -> i32 {
        let known = self.client(words.plain[2]).generation;
        words.number("gen", known)
    }

    fn join(&mut self, words: &Words<'_>) {
        let protocols = words.keyed.get("proto").copied().unwrap_or("range:m");
        let protocol = |it: &str| {
            let (name, metadata) = it.split_once(':').unwrap_or((it, ""));
            (name.to_owned(), Bytes::from(metadata.to_owned()))
        };
        let ask = ask::JoinGroup {
            group: words.plain[1].to_owned(),
            member: self.member(words),
            instance: words.text("instance"),
            client_id: words.plain[2].to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: words.number("session", 10_000),
            rebalance_timeout_ms: words.number("rebalance", 60_000),
            protocol_type: words.text("type").unwrap_or_else(|| "consumer".to_owned()),
            protocols: protocols.split(',').filter(|it| !it.is_empty()).map(protocol).collect(),
            requires_known_member: words.flag("known"),
            supports_skipping_assignment: words.flag("skip"),
        };
        self.ask(words.plain[2], Ask::JoinGroup(ask));
    }

    fn sync(&mut self, words: &Words<'_>) {
        let pair = |it: &str| {
            let (member, text) = it.split_once(':').expect("member:assignment");
            (self.member_named(member), Bytes::from(text.to_owned()))
        };
        let assign = words.keyed.get("assign").copied().unwrap_or("");
        let assignments = assign.split(',').filter(|it| !it.is_empty()).map(pair).collect();
        let ask = ask::SyncGroup {
            group: words.plain[1].to_owned(),
            generation: self.generation(words),
            member: self.member(words),
            instance: words.text("instance"),
            protocol_type: words.text("type"),
            protocol_name: words.text("proto"),
            assignments,
        };
        self.ask(words.plain[2], Ask::SyncGroup(ask));
    }

    fn leave(&mut self, words: &Words<'_>) {
        let mut members = Vec::new();
        for client in &words.plain[2..] {
            // It comes back as somebody new.
            members.push((std::mem::take(&mut self.client(client).member), None));
        }
        if let Some(instance) = words.text("instance") {
            members.push((String::new(), Some(instance)));
        }
        let ask = ask::LeaveGroup { group: words.plain[1].to_owned(), members };
        self.ask("", Ask::LeaveGroup(ask));
    }

    fn commit(&mut self, words: &Words<'_>) {
        let outsider = words.plain[2] == "-";
        let topics = words.plain[3..].iter().map(|it| {
            let (place, value) = it.split_once('=').expect("place=offset");
            let (topic, partition) = place.split_once('/').expect("topic/partition");
            let (offset, metadata) = value.split_once(':').unwrap_or((value, ""));
            let partition = ask::OffsetCommitPartition {
                partition: partition.parse().expect("a number"),
                offset: offset.parse().expect("a number"),
                leader_epoch: -1,
                metadata: metadata.to_owned(),
            };
            ask::OffsetCommitTopic { name: topic.to_owned(), partitions: vec![partition] }
        });
        let ask = ask::OffsetCommit {
            group: words.plain[1].to_owned(),
            topics: topics.collect(),
            generation: if outsider { words.number("gen", -1) } else { self.generation(words) },
            member: if outsider { String::new() } else { self.member(words) },
            instance: words.text("instance"),
        };
        self.ask(words.plain[2], Ask::OffsetCommit(ask));
    }

    fn fetch(&mut self, words: &Words<'_>) {
        let places = words.plain[2..].iter().map(|it| {
            let (topic, partition) = it.split_once('/').expect("topic/partition");
            (topic.to_owned(), vec![partition.parse().expect("a number")])
        });
        let places: Vec<_> = places.collect();
        let topics = (!places.is_empty()).then_some(places);
        let groups = vec![ask::OffsetFetchGroup { group: words.plain[1].to_owned(), topics }];
        self.ask("", Ask::OffsetFetch(ask::OffsetFetch { groups }));
    }

    fn ask(&mut self, client: &str, ask: Ask) {
        let mut outcome = self.harness.ask(ask);
        if let Some(ticket) = outcome.ticket {
            self.asked.insert(ticket, client.to_owned());
            if outcome.answer.is_none() && !client.is_empty() {
                self.client(client).ticket = Some(ticket);
                let answered = |it: &Effect| matches!(it, Effect::Reply(to, _) if *to == ticket);
                if !outcome.effects.iter().any(answered) {
                    _ = writeln!(self.output, "{client} waits");
                }
            }
        }
        if let (Some(Ok(reply)), Some(ticket)) = (outcome.answer.take(), outcome.ticket) {
            outcome.effects.insert(0, Effect::Reply(ticket, reply));
        }
        self.show(outcome);
    }

    /// Learns the members' names from all answers first, for the leader is told of all.
    fn show(&mut self, outcome: Outcome) {
        for effect in &outcome.effects {
            if let Effect::Reply(ticket, Reply::JoinGroup(reply)) = effect {
                let client = self.asked.get(ticket).cloned().unwrap_or_default();
                self.learn(&client, reply);
            }
        }
        for op in &outcome.ops {
            let text = self.op(op);
            _ = writeln!(self.output, "  + {text}");
        }
        for effect in &outcome.effects {
            if let Effect::Reply(ticket, reply) = effect {
                let client = self.asked.remove(ticket).unwrap_or_default();
                let text = self.reply(reply);
                let separator = if client.is_empty() { "" } else { ": " };
                _ = writeln!(self.output, "{client}{separator}{text}");
            }
        }
    }

    fn learn(&mut self, client: &str, reply: &ask::JoinGroupReply) {
        let known = matches!(reply.error, ErrorCode::None | ErrorCode::MemberIdRequired);
        if !known {
            if reply.error == ErrorCode::UnknownMemberId {
                self.client(client).member.clear();
            }
            return;
        }
        let entry = self.client(client);
        entry.generation = reply.generation;
        entry.member.clone_from(&reply.member);
        if !self.names.contains_key(&reply.member) {
            let entry = self.client(client);
            entry.ids += 1;
            let name = format!("{client}#{}", entry.ids);
            self.names.insert(reply.member.clone(), name);
        }
    }

    fn name(&self, member: &str) -> String {
        let unknown = if member.is_empty() { "-" } else { "?" };
        self.names.get(member).cloned().unwrap_or_else(|| unknown.to_owned())
    }

    fn list<T>(&self, items: &[T], show: impl Fn(&T) -> String) -> String {
        items.iter().map(show).collect::<Vec<_>>().join(",")
    }

    fn op(&self, op: &Op) -> String {
        match op {
            Op::GroupStable(op) => {
                let members = self.list(&op.members, |it| {
                    format!("{}:{}", self.name(&it.id), text(&it.assignment))
                });
                let (generation, leader) = (op.generation, self.name(&op.leader));
                format!("GroupStable gen={generation} {} leader={leader} {members}", op.protocol)
            }
            Op::GroupEmptied(op) => format!("GroupEmptied gen={}", op.generation),
            Op::GroupMembersRemoved(op) => {
                format!("GroupMembersRemoved {}", self.list(&op.members, |it| self.name(it)))
            }
            Op::GroupMemberReplaced(op) => {
                let new = op.member.as_ref().map_or("", |it| &it.id);
                let (old, new) = (self.name(&op.old_member), self.name(new));
                format!("GroupMemberReplaced {old} -> {new} rebalance={}", op.rebalance)
            }
            Op::GroupForgotten(op) => format!("GroupForgotten {}", op.group),
            Op::OffsetsCommitted(op) => {
                let offsets =
                    self.list(&op.offsets, |it| format!("{}={}", it.partition, it.offset));
                format!("OffsetsCommitted {} {offsets}", op.group)
            }
            Op::TopicDeleted(_) => "TopicDeleted".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn reply(&self, reply: &Reply) -> String {
        match reply {
            Reply::JoinGroup(it) => self.join_reply(it),
            Reply::SyncGroup(it) if it.error == ErrorCode::None => {
                format!("synced {:?}", text(&it.assignment))
            }
            Reply::SyncGroup(it) => format!("sync {:?}", it.error),
            Reply::Heartbeat(error) => format!("heartbeat {error:?}"),
            Reply::LeaveGroup(it) => {
                let members = self.list(&it.members, |(member, instance, error)| {
                    let instance = instance.as_deref().unwrap_or_default();
                    format!("{}{instance} {error:?}", self.name(member))
                });
                format!("left {:?} [{members}]", it.error)
            }
            Reply::OffsetCommit(topics) => {
                let topics = self.list(topics, |it| {
                    let errors = self.list(&it.partitions, |it| format!("{} {:?}", it.0, it.1));
                    format!("{}/{errors}", it.name)
                });
                format!("committed [{topics}]")
            }
            Reply::OffsetFetch(it) => self.list(&it.groups, |it| {
                let topics = self.list(&it.topics, |(name, offsets)| {
                    self.list(offsets, |it| {
                        format!("{name}/{}={}:{}", it.partition, it.offset, it.metadata)
                    })
                });
                format!("fetched {:?} [{topics}]", it.error)
            }),
            Reply::ListGroups(groups) if groups.is_empty() => "no groups".to_owned(),
            Reply::ListGroups(groups) => {
                self.list(groups, |it| format!("{} {} {}", it.group, it.protocol_type, it.state))
            }
            Reply::DescribeGroups(groups) => self.list(groups, |it| {
                let members = self.list(&it.members, |it| {
                    let (metadata, assignment) = (text(&it.metadata), text(&it.assignment));
                    format!(
                        "{} {} {metadata:?} {assignment:?}",
                        self.name(&it.member),
                        it.client_id
                    )
                });
                let (state, protocol) = (it.state, &it.protocol);
                format!("{} {state} {:?} {protocol:?} [{members}]", it.group, it.protocol_type)
            }),
            Reply::DeleteTopics(it) => format!("deleted {:?}", it[0].error),
            Reply::Expire => "expired".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn join_reply(&self, it: &ask::JoinGroupReply) -> String {
        let member = self.name(&it.member);
        if it.error != ErrorCode::None {
            return format!("join {:?} as {member}", it.error);
        }
        let roster = self.list(&it.members, |(id, instance, metadata)| {
            let instance = instance.as_ref().map(|it| format!("({it})")).unwrap_or_default();
            format!("{}{instance}:{}", self.name(id), text(metadata))
        });
        let skip = if it.skip_assignment { " skip" } else { "" };
        let protocol = it.protocol_name.clone().unwrap_or_default();
        let (generation, leader) = (it.generation, self.name(&it.leader));
        format!("joined as {member} gen={generation} {protocol} leader={leader}{skip} [{roster}]")
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("topics/scripts");
}
