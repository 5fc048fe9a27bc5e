//! The machine: which ask goes where.
//!
//! Invariant: what is journaled lives in `facts` and changes in `apply` only; what is not lives
//! in `coordinator` and `turned_away` and changes in `attend` only (and `forget`, `resume` and
//! `turn_away`). `decide` reads both.

use crate::ask::{self, Ask, Effect, Reply};
use crate::facts::Facts;
use crate::group::commit::Committing;
use crate::group::coordinator::{Attending, Coordinator};
use crate::group::{heartbeat, join, leave, listing, offset_fetch, sync};
use crate::limits::Config;
use crate::op::Op;
use crate::topic::{Partition, Topic};
use crate::turned_away::TurnedAway;
use crate::{ErrorCode, create_topics, delete_topics, digest, init_producer_id, metadata, produce};
use base::planted;
use base::{BlobAddr, Cx, Lsn, Machine, PartitionId, Ticket, Timestamp, TopicId, Verdict};

/// The facts, as a machine.
#[derive(Debug, Default)]
pub struct Topics {
    config: Config,
    facts: Facts,
    coordinator: Coordinator,
    turned_away: TurnedAway,
}

impl Topics {
    /// Without topics and groups; the rest comes by replay.
    pub fn new(config: Config) -> Topics {
        Topics { config, ..Topics::default() }
    }

    /// What it was told at the start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The topic with this id.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.facts.topic(id)
    }

    /// The topic that has this name now.
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.facts.topic_named(name)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.facts.topics()
    }

    /// One partition.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.facts.partition(id)
    }

    /// A number that is equal for equal journaled states, whatever is volatile.
    pub fn digest(&self) -> u64 {
        digest::digest(&self.facts)
    }

    /// Whether the journaled states are equal.
    pub fn same_facts(&self, other: &Topics) -> bool {
        self.facts == other.facts
    }

    /// What was decided for this ask was not carried out: there was no room for its entry.
    pub fn turn_away(&mut self, ask: &Ask) {
        if let Ask::Produce(produce) = ask {
            for it in &produce.partitions {
                self.turned_away.note(&it.topic, it.partition, &it.header);
            }
        }
    }

    fn committing<'a>(&'a self, group: &str) -> Committing<'a> {
        Committing {
            config: &self.config,
            facts: &self.facts,
            live: self.coordinator.group(group),
            room_for_group: self.coordinator.has_room(&self.config),
        }
    }

    fn decide_join(&self, ask: &ask::JoinGroup, cx: &Cx<'_>, plan: &mut Vec<Op>) -> Option<Reply> {
        let door = self.coordinator.doorway(&self.config, &self.facts, &ask.group);
        let refused = join::decide(door, ask, cx, plan).err();
        refused.map(|error| Reply::JoinGroup(join::refused(&ask.member, error)))
    }

    fn decide_leave(&self, ask: &ask::LeaveGroup, plan: &mut Vec<Op>) -> Reply {
        let live = self.coordinator.group(&ask.group);
        let (reply, departure) = leave::decide(&self.config, live, ask);
        if let Some(live) = live {
            departure.plan(&ask.group, live, self.facts.group(&ask.group), plan);
        }
        Reply::LeaveGroup(reply)
    }

    fn list_groups(&self, ask: &ask::ListGroups) -> Reply {
        let list =
            |id: &String| listing::list(ask, id, self.coordinator.group(id), self.facts.group(id));
        let ids = self.coordinator.ids(&self.facts);
        Reply::ListGroups(ids.into_iter().filter_map(list).collect())
    }

    fn describe_groups(&self, ask: &ask::DescribeGroups) -> Reply {
        let describe =
            |id: &String| listing::describe(id, self.coordinator.group(id), self.facts.group(id));
        Reply::DescribeGroups(ask.groups.iter().map(describe).collect())
    }

    /// `None`: a later effect answers.
    fn answer(
        &self,
        ask: &Ask,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Result<Option<Reply>, ErrorCode> {
        let (config, facts, groups) = (&self.config, &self.facts, &self.coordinator);
        Ok(Some(match ask {
            Ask::Produce(ask) => {
                let turned_away = &self.turned_away;
                Reply::Produce(produce::decide(facts, config, turned_away, ask, cx, plan))
            }
            Ask::Metadata(ask) => Reply::Metadata(metadata::decide(facts, config, ask, cx, plan)),
            Ask::CreateTopics(ask) => {
                Reply::CreateTopics(create_topics::decide(facts, config, ask, cx, plan))
            }
            Ask::DeleteTopics(ask) => Reply::DeleteTopics(delete_topics::decide(facts, ask, plan)),
            Ask::InitProducerId(ask) => {
                Reply::InitProducerId(init_producer_id::decide(ask, cx, plan)?)
            }
            Ask::JoinGroup(ask) => return Ok(self.decide_join(ask, cx, plan)),
            Ask::SyncGroup(ask) => {
                let refused = sync::decide(config, groups.group(&ask.group), ask, plan).err();
                return Ok(refused.map(|error| Reply::SyncGroup(sync::refused(error))));
            }
            Ask::Heartbeat(ask) => {
                let live = groups.group(&ask.group);
                Reply::Heartbeat(heartbeat::answer(config, live, ask))
            }
            Ask::LeaveGroup(ask) => self.decide_leave(ask, plan),
            Ask::OffsetCommit(ask) => {
                Reply::OffsetCommit(self.committing(&ask.group).decide(ask, plan))
            }
            Ask::OffsetFetch(ask) => Reply::OffsetFetch(offset_fetch::answer(facts, ask)),
            Ask::ListGroups(ask) => self.list_groups(ask),
            Ask::DescribeGroups(ask) => self.describe_groups(ask),
            Ask::Expire => {
                groups.plan_expiry(config, facts, cx.now, plan);
                Reply::Expire
            }
        }))
    }
}

impl Machine for Topics {
    type Ask = Ask;
    type Op = Op;
    type Reply = Reply;
    type Refusal = ErrorCode;
    type Effect = Effect;

    fn decide(
        &self,
        ask: &Ask,
        _ticket: Ticket,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Verdict<Reply, ErrorCode> {
        match self.answer(ask, cx, plan) {
            Ok(reply) => Verdict::Go(reply),
            Err(code) => Verdict::Refuse(code),
        }
    }

    fn apply(
        &mut self,
        _lsn: Lsn,
        at: Timestamp,
        op: &Op,
        blobs: &[BlobAddr],
        effects: &mut Vec<Effect>,
    ) {
        self.facts.apply(at, op, blobs, effects);
    }

    fn attend(&mut self, ask: Ask, ticket: Ticket, cx: &Cx<'_>, effects: &mut Vec<Effect>) {
        let (config, facts) = (&self.config, &self.facts);
        let at = &mut Attending { config, facts, cx, effects };
        match &ask {
            Ask::JoinGroup(ask) => self.coordinator.join(ask, ticket, at),
            Ask::SyncGroup(ask) => self.coordinator.sync(ask, ticket, at),
            Ask::Heartbeat(ask) => self.coordinator.heartbeat(ask, at),
            Ask::LeaveGroup(ask) => self.coordinator.leave(ask, at),
            Ask::OffsetCommit(ask) => self.coordinator.commit(ask, at),
            Ask::Expire => self.coordinator.expire(at),
            Ask::Produce(ask) => {
                for it in &ask.partitions {
                    self.turned_away.placed(&it.topic, it.partition, &it.header);
                }
            }
            Ask::DeleteTopics(_) => self.turned_away.forget_all(),
            Ask::Metadata(_)
            | Ask::CreateTopics(_)
            | Ask::InitProducerId(_)
            | Ask::OffsetFetch(_)
            | Ask::ListGroups(_)
            | Ask::DescribeGroups(_) => {}
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.coordinator.forget(ticket);
    }

    fn due(&self, now: Timestamp) -> Option<Ask> {
        self.next_due().filter(|it| *it <= now).map(|_| Ask::Expire)
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.coordinator.next_deadline()
    }

    fn resume(&mut self, now: Timestamp) {
        if planted::COMPILED_IN {
            self.facts.plant();
        }
        self.coordinator.resume(&self.config, &self.facts, now);
    }

    fn check(&self) {
        self.facts.check();
        self.coordinator.check(&self.facts);
    }
}
