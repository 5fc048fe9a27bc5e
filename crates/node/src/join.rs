//! What concerns two machines, in one entry or not at all: a routed record with its route's
//! position, and a published record with its activity's completion.

use crate::ask::{NotPublished, Place, Publish, RecordAppend, Reply, Route};
use crate::joined::{FollowUp, Joined};
use crate::machines::{Decision, Room};
use crate::op::Op;
use base::planted::{self, Bug};
use base::{Cause, Cx, Machine, Ticket, Verdict};
use bridge::refusal::{Judgement, judge};
use bridge::{Action, DeliverError, Delivery, Fate, Outcome};
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use topics::ErrorCode;
use topics::ask::{Appended, Origin, PartitionAppend, Produce, ProduceError};

/// Ops of several machines, and what is left to attend to.
#[derive(Default)]
struct Plan {
    ops: Vec<Op>,
    follow_up: Vec<FollowUp>,
}

impl Joined {
    /// A record goes its route's way. The route's position is decided first: a record that was
    /// done before must not be done again.
    pub(crate) fn decide_route(
        &self,
        route: Route,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Decision<Joined> {
        let Route { delivery, dead_letter } = route;
        match self.plan_route(&delivery, dead_letter, ticket, cx) {
            Ok(Some((plan, fate))) => {
                let answer = Reply::Route(Ok(Outcome::Settled(fate)));
                plan.decision(delivery.cause(), answer, Room::Common)
            }
            Ok(None) => {
                let answer = Reply::Route(Ok(Outcome::AlreadyDone));
                Plan::default().decision(Cause::Request, answer, Room::Common)
            }
            Err(error) => {
                Plan::default().decision(Cause::Request, Reply::Route(Err(error)), Room::Common)
            }
        }
    }

    fn plan_route(
        &self,
        delivery: &Delivery,
        dead_letter: Option<RecordAppend>,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Result<Option<(Plan, Fate)>, DeliverError> {
        let Some(progress) = self.plan_progress(delivery, delivery.fate(), ticket, cx)? else {
            return Ok(None);
        };
        let ask = match (&delivery.action, dead_letter) {
            (Action::DeadLetter(_), Some(record)) => {
                let mut plan = self.plan_dead_letter(record, ticket, cx)?;
                // Planted: nobody reads dead letters.
                if planted::is(Bug::DeadLetterNotWritten) {
                    plan = Plan::default();
                }
                plan.append(progress);
                return Ok(Some((plan, Fate::DeadLettered)));
            }
            (Action::DeadLetter(_), None) => {
                return Err(DeliverError::Permanent("a dead letter without a record".to_owned()));
            }
            (Action::SignalWithStart(request), _) => {
                workflows::Ask::SignalWithStartWorkflowExecution(request.clone())
            }
            (Action::Start(request), _) => workflows::Ask::StartWorkflowExecution(request.clone()),
            (Action::Signal(request), _) => {
                workflows::Ask::SignalWorkflowExecution(request.clone())
            }
        };
        let mut ops = Vec::new();
        match self.workflows.decide(&ask, ticket, cx, &mut ops) {
            Verdict::Go(_) => {
                let ops = ops.into_iter().map(Op::Workflows).collect();
                let mut plan = Plan { ops, follow_up: vec![FollowUp::Workflows(ask)] };
                plan.append(progress);
                Ok(Some((plan, delivery.fate())))
            }
            Verdict::Refuse(refusal) => match judge(&delivery.route, &refusal) {
                Judgement::Settled(fate) => {
                    let plan = self.plan_progress(delivery, fate, ticket, cx)?;
                    Ok(plan.map(|plan| (plan, fate)))
                }
                Judgement::Permanent(reason) => Err(DeliverError::Permanent(reason)),
                Judgement::Transient(reason) => Err(DeliverError::Transient(reason)),
            },
        }
    }

    /// The route's position moves. `None`: it has been there before.
    fn plan_progress(
        &self,
        delivery: &Delivery,
        fate: Fate,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Result<Option<Plan>, DeliverError> {
        use bridge::machine::Refusal;
        let ask = delivery.progress(fate);
        let mut ops = Vec::new();
        match self.bridge.decide(&ask, ticket, cx, &mut ops) {
            Verdict::Go(_) => {
                let ops = ops.into_iter().map(Op::Bridge).collect();
                Ok(Some(Plan { ops, follow_up: vec![FollowUp::Bridge(ask)] }))
            }
            Verdict::Refuse(Refusal::AlreadyDone) => Ok(None),
            Verdict::Refuse(Refusal::NotBound) => Err(DeliverError::NotBound),
            Verdict::Refuse(refusal @ Refusal::EmptyRange) => {
                Err(DeliverError::Permanent(refusal.to_string()))
            }
        }
    }

    fn plan_dead_letter(
        &self,
        record: RecordAppend,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Result<Plan, DeliverError> {
        match self.plan_record(record, ticket, cx) {
            Ok((plan, _)) => Ok(plan),
            Err(error) => {
                Err(DeliverError::Transient(format!("the dead letter is refused: {error:?}")))
            }
        }
    }

    /// A record of the node's own is appended.
    fn plan_record(
        &self,
        record: RecordAppend,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Result<(Plan, Appended), ProduceError> {
        let RecordAppend { topic, place, header, batch } = record;
        let partition = self.partition(&topic, place);
        let append = PartitionAppend { topic, partition, header, batch };
        let produce = Produce { partitions: vec![append], origin: Origin::Node };
        let ask = topics::Ask::Produce(produce);
        let mut ops = Vec::new();
        match self.topics.decide(&ask, ticket, cx, &mut ops) {
            Verdict::Go(Some(topics::Reply::Produce(results))) => {
                let appended = results.into_iter().next().unwrap_or_else(|| Err(no_result()))?;
                let ops = ops.into_iter().map(Op::Topics).collect();
                Ok((Plan { ops, follow_up: vec![FollowUp::Placed(ask)] }, appended))
            }
            Verdict::Go(_) => Err(no_result()),
            Verdict::Refuse(code) => {
                Err(ProduceError { code, message: None, record_errors: Vec::new() })
            }
        }
    }

    fn partition(&self, topic: &str, place: Place) -> i32 {
        let among = |number: i32, count: i32| (number & i32::MAX) % count.max(1);
        match place {
            Place::Partition(partition) => partition,
            Place::KeyHash(hash) => among(hash, self.partition_count(topic)),
            Place::Any => among(self.round_robin as i32, self.partition_count(topic)),
        }
    }

    fn partition_count(&self, topic: &str) -> i32 {
        let default = self.topics.config().default_partition_count;
        self.topics.topic_named(topic).map_or(default, |topic| topic.partition_count())
    }

    /// A workflow publishes a record: it is appended, and the activity completes with its place.
    pub(crate) fn decide_publish(
        &self,
        publish: Publish,
        ticket: Ticket,
        cx: &Cx<'_>,
    ) -> Decision<Joined> {
        let topic = publish.record.topic.clone();
        let (mut plan, appended) = match self.plan_record(publish.record, ticket, cx) {
            Ok(planned) => planned,
            Err(error) => return not_published(NotPublished::Record(error)),
        };
        let request = service::RespondActivityTaskCompletedRequest {
            task_token: publish.token.0.to_vec(),
            result: Some(place_as_payloads(&topic, &appended)),
            identity: IDENTITY.to_owned(),
            namespace: publish.namespace,
            ..Default::default()
        };
        let ask = workflows::Ask::RespondActivityTaskCompleted(Box::new(request));
        let mut ops = Vec::new();
        match self.workflows.decide(&ask, ticket, cx, &mut ops) {
            Verdict::Go(_) => {
                plan.ops.extend(ops.into_iter().map(Op::Workflows));
                plan.follow_up.push(FollowUp::Workflows(ask));
                plan.decision(Cause::Request, Reply::Publish(Ok(())), Room::Common)
            }
            Verdict::Refuse(refusal) => not_published(NotPublished::Activity(refusal)),
        }
    }
}

/// Who completes activities of the reserved queue.
pub(crate) const IDENTITY: &str = "mainstay";

impl Plan {
    fn append(&mut self, other: Plan) {
        self.ops.extend(other.ops);
        self.follow_up.extend(other.follow_up);
    }

    fn decision(self, cause: Cause, reply: Reply, room: Room) -> Decision<Joined> {
        let Plan { ops, follow_up } = self;
        Decision { ops, cause, answer: Some(Ok(reply)), follow_up: Some(follow_up), room }
    }
}

fn not_published(why: NotPublished) -> Decision<Joined> {
    Plan::default().decision(Cause::Request, Reply::Publish(Err(why)), Room::Common)
}

fn no_result() -> ProduceError {
    let code = ErrorCode::UnknownServerError;
    ProduceError { code, message: None, record_errors: Vec::new() }
}

/// The activity's result: where the record is.
fn place_as_payloads(topic: &str, appended: &Appended) -> Payloads {
    let place = serde_json::json!({
        "topic": topic,
        "partition": appended.partition.index,
        "offset": appended.base_offset,
    });
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())];
    let data = place.to_string().into_bytes();
    let payload = Payload { metadata: metadata.into(), data, ..Default::default() };
    Payloads { payloads: vec![payload] }
}
