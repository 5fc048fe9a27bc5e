//! All machines of a node as one: which machine decides an ask, and what belongs to it in others.
//!
//! Asks that concern several machines are decided on all of them before any op is applied, and
//! their ops are one entry: see [`mod@crate::join`].

use crate::ask::{self, Ask, Reply};
use crate::error::Error;
use crate::group_view;
use crate::machines::{Decision, Effects, Machines, Room};
use crate::op::{Born, NodeOp, Op};
use crate::published::Publication;
use base::{BlobAddr, Cause, Cx, Lsn, Machine, Ticket, Timestamp, Uuid, Verdict};
use bridge::Bridge;
use topics::Topics;
use workflows::Workflows;

/// The node's machines.
pub(crate) struct Joined {
    pub(crate) topics: Topics,
    pub(crate) workflows: Workflows,
    pub(crate) bridge: Bridge,
    /// `None` before the first entry.
    pub(crate) born: Option<Born>,
    /// Where the next record without a key goes. Not journaled: the entry says where it went.
    pub(crate) round_robin: u32,
}

/// What is left to attend to: the asks of the single machines.
pub(crate) enum FollowUp {
    Topics(topics::Ask),
    Workflows(workflows::Ask),
    Bridge(bridge::machine::Ask),
    /// A record of the node's own has found its place.
    Placed(topics::Ask),
}

impl Joined {
    /// What the first entry of an empty journal holds.
    pub(crate) fn birth(cx: &Cx<'_>) -> Vec<Op> {
        let cluster_id: Uuid = cx.uuid();
        let born = Op::Node(NodeOp::Born(Born { cluster_id, history_generation: 0 }));
        let namespaces = Workflows::birth(cx).into_iter().map(Op::Workflows);
        std::iter::once(born).chain(namespaces).collect()
    }

    /// Whether all that is journaled is the same: what a rebuild must come to.
    #[cfg(feature = "simulated")]
    pub(crate) fn same_facts(&self, other: &Joined) -> bool {
        self.born == other.born
            && self.topics.same_facts(&other.topics)
            && self.workflows.same_journaled_state(&other.workflows)
            && self.bridge == other.bridge
    }

    fn decide_topics(&self, ask: topics::Ask, ticket: Ticket, cx: &Cx<'_>) -> Decision<Joined> {
        let mut plan = Vec::new();
        let mut reply = match self.topics.decide(&ask, ticket, cx, &mut plan) {
            Verdict::Go(reply) => reply,
            Verdict::Refuse(code) => return Decision::refuse(Error::Topics(code)),
        };
        if let Some(reply) = &mut reply {
            group_view::complete(&self.bridge, &ask, reply);
        }
        let mut ops = self.forget_deleted_topics(&plan, ticket, cx);
        ops.splice(0..0, plan.into_iter().map(Op::Topics));
        let room = match ask {
            topics::Ask::DeleteTopics(_) | topics::Ask::OffsetCommit(_) | topics::Ask::Expire => {
                Room::Emergency
            }
            _ => Room::Common,
        };
        Decision {
            ops,
            cause: Cause::Request,
            answer: reply.map(|reply| Ok(Reply::Topics(reply))),
            follow_up: Some(vec![FollowUp::Topics(ask)]),
            room,
        }
    }

    /// Routes lose their positions in a topic in the entry that deletes it.
    fn forget_deleted_topics(&self, plan: &[topics::Op], ticket: Ticket, cx: &Cx<'_>) -> Vec<Op> {
        let mut forgotten = Vec::new();
        for op in plan {
            if let topics::Op::TopicDeleted(deleted) = op {
                let ask = bridge::machine::Ask::ForgetTopic(deleted.topic());
                // It has nothing to say against it.
                let _ = self.bridge.decide(&ask, ticket, cx, &mut forgotten);
            }
        }
        forgotten.into_iter().map(Op::Bridge).collect()
    }

    fn decide_workflows(
        &self,
        ask: workflows::Ask,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Decision<Joined> {
        let mut plan = Vec::new();
        let reply = match self.workflows.decide(&ask, ticket, cx, &mut plan) {
            Verdict::Go(reply) => reply,
            Verdict::Refuse(refusal) => return Decision::refuse(Error::Workflows(refusal)),
        };
        Decision {
            ops: plan.into_iter().map(Op::Workflows).collect(),
            cause: Cause::Request,
            answer: reply.map(|reply| Ok(Reply::Workflows(reply))),
            room: room_of(&ask),
            follow_up: Some(vec![FollowUp::Workflows(ask)]),
        }
    }

    fn decide_bridge(
        &self,
        ask: bridge::machine::Ask,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Decision<Joined> {
        let mut plan = Vec::new();
        let (answer, follow_up) = match self.bridge.decide(&ask, ticket, cx, &mut plan) {
            Verdict::Go(reply) => {
                (reply.map(|reply| Ok(Reply::Bridge(Ok(reply)))), Some(vec![FollowUp::Bridge(ask)]))
            }
            Verdict::Refuse(refusal) => (Some(Ok(Reply::Bridge(Err(refusal)))), None),
        };
        let ops = plan.into_iter().map(Op::Bridge).collect();
        Decision { ops, cause: Cause::Request, answer, follow_up, room: Room::Common }
    }
}

/// What ends work may use the last room of a full disk.
fn room_of(ask: &workflows::Ask) -> Room {
    use workflows::Ask as A;
    match ask {
        A::RespondWorkflowTaskCompleted(_)
        | A::RespondWorkflowTaskFailed(_)
        | A::RespondActivityTaskCompleted(_)
        | A::RespondActivityTaskFailed(_)
        | A::RespondActivityTaskCanceled(_)
        | A::RequestCancelWorkflowExecution(_)
        | A::TerminateWorkflowExecution(_)
        | A::Expire => Room::Emergency,
        _ => Room::Common,
    }
}

impl Machines for Joined {
    type Ask = Ask;
    type FollowUp = Vec<FollowUp>;
    type Op = Op;
    type Reply = Reply;
    type Publication = Publication;

    fn decide(&self, ask: Ask, ticket: Ticket, cx: &Cx<'_>) -> Decision<Joined> {
        match ask {
            Ask::Topics(ask) => self.decide_topics(ask, ticket, cx),
            Ask::Workflows(ask) => self.decide_workflows(ask, ticket, cx),
            Ask::Bridge(ask) => self.decide_bridge(ask, ticket, cx),
            Ask::Route(route) => self.decide_route(*route, ticket, cx),
            Ask::Publish(publish) => self.decide_publish(*publish, ticket, cx),
        }
    }

    fn apply(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        op: &Op,
        blobs: &[BlobAddr],
        effects: &mut Effects<Joined>,
    ) {
        match op {
            Op::Topics(op) => {
                let mut own = Vec::new();
                self.topics.apply(lsn, at, op, blobs, &mut own);
                effects.add_topics(own);
            }
            Op::Workflows(op) => {
                let mut own = Vec::new();
                self.workflows.apply(lsn, at, op, blobs, &mut own);
                effects.add_workflows(own);
            }
            Op::Bridge(op) => self.bridge.apply(lsn, at, op, blobs, &mut Vec::new()),
            Op::Node(NodeOp::Born(born)) => self.born = Some(born.clone()),
        }
    }

    fn attend(
        &mut self,
        follow_up: Vec<FollowUp>,
        ticket: Ticket,
        cx: &Cx<'_>,
        effects: &mut Effects<Joined>,
    ) {
        for ask in follow_up {
            if let FollowUp::Placed(_) = ask {
                self.round_robin = self.round_robin.wrapping_add(1);
            }
            match ask {
                FollowUp::Topics(ask) | FollowUp::Placed(ask) => {
                    let mut own = Vec::new();
                    self.topics.attend(ask, ticket, cx, &mut own);
                    effects.add_topics(own);
                }
                FollowUp::Workflows(ask) => {
                    let mut own = Vec::new();
                    self.workflows.attend(ask, ticket, cx, &mut own);
                    effects.add_workflows(own);
                }
                FollowUp::Bridge(ask) => {
                    self.bridge.attend(ask, ticket, cx, &mut Vec::new());
                }
            }
        }
    }

    fn turn_away(&mut self, follow_up: Vec<FollowUp>) {
        for ask in follow_up {
            if let FollowUp::Topics(ask) = ask {
                self.topics.turn_away(&ask);
            }
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.topics.forget(ticket);
        self.workflows.forget(ticket);
        self.bridge.forget(ticket);
    }

    fn due(&self, now: Timestamp) -> Option<Ask> {
        let topics = || self.topics.due(now).map(Ask::Topics);
        let workflows = || self.workflows.due(now).map(Ask::Workflows);
        let bridge = || self.bridge.due(now).map(Ask::Bridge);
        topics().or_else(workflows).or_else(bridge)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let all = [self.topics.next_due(), self.workflows.next_due(), self.bridge.next_due()];
        all.into_iter().flatten().min()
    }

    fn resume(&mut self, now: Timestamp) {
        self.topics.resume(now);
        self.workflows.resume(now);
        self.bridge.resume(now);
    }

    fn check(&self) {
        self.topics.check();
        self.workflows.check();
        self.bridge.check();
    }

    fn returned(reply: Reply) -> Vec<Ask> {
        match reply {
            Reply::Workflows(reply) => {
                ask::returned(reply).into_iter().map(Ask::Workflows).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Effects<Joined> {
    fn add_topics(&mut self, effects: Vec<topics::Effect>) {
        for effect in effects {
            match effect {
                topics::Effect::Reply(ticket, reply) => {
                    self.replies.push((ticket, Ok(Reply::Topics(reply))));
                }
                topics::Effect::Publish(batch) => {
                    self.publications.push(Publication::Batch(batch));
                }
                topics::Effect::TopicCreated { name, id, partition_count } => {
                    let created = Publication::TopicCreated { name, id, partition_count };
                    self.publications.push(created);
                }
                topics::Effect::TopicDeleted { name, id } => {
                    self.publications.push(Publication::TopicDeleted { name, id });
                }
            }
        }
    }

    fn add_workflows(&mut self, effects: Vec<workflows::Effect>) {
        for effect in effects {
            let workflows::Effect::Reply(ticket, answer) = effect;
            let answer = (*answer).map(Reply::Workflows).map_err(Error::Workflows);
            self.replies.push((ticket, answer));
        }
    }
}
