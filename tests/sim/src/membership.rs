//! One member of a consumer group, classic protocol: how it comes in, what it is given, how it
//! stays and how it leaves.

use crate::kafka_client::{Error, KafkaClient, check, group_id, is, text, topic_name};
use crate::log_client::Credentials;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use checker::Partition;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use std::time::Duration;

/// Version of the metadata that members exchange.
const CONSUMER_PROTOCOL_VERSION: i16 = 1;
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";

/// Who wants to be a member of what.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    pub(crate) group: String,
    /// The instance id of a static member.
    pub(crate) instance: Option<String>,
    pub(crate) session_timeout: Duration,
    pub(crate) topics: Vec<String>,
}

/// A member of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) credentials: Credentials,
    pub(crate) assigned: Vec<Partition>,
}

impl Applicant {
    /// Asks where the group is coordinated.
    pub(crate) async fn find(&self, client: &mut KafkaClient) -> Result<(), Error> {
        let request =
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&self.group)]);
        let answer = client.ask(&request).await?;
        answer.coordinators.iter().try_for_each(|it| check(it.error_code))
    }

    /// Comes in, or comes in again, and takes part in the assignment of `partitions`.
    pub(crate) async fn join(
        &self,
        client: &mut KafkaClient,
        member: &str,
        partitions: &[Partition],
    ) -> Result<Membership, Error> {
        let mut joined = client.ask(&self.join_request(member)).await?;
        if is(joined.error_code, ResponseError::MemberIdRequired) {
            let member = joined.member_id.to_string();
            joined = client.ask(&self.join_request(&member)).await?;
        }
        check(joined.error_code)?;
        let credentials = Credentials {
            member: joined.member_id.to_string(),
            instance: self.instance.clone(),
            generation: joined.generation_id,
        };
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if leads { assign(&joined, partitions)? } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(credentials.generation)
            .with_member_id(text(&credentials.member))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(Some(text(PROTOCOL)))
            .with_assignments(assignments);
        let synced = client.ask(&request).await?;
        check(synced.error_code)?;
        Ok(Membership { credentials, assigned: assigned(synced.assignment)? })
    }

    /// Says that it is alive.
    pub(crate) async fn heartbeat(
        &self,
        client: &mut KafkaClient,
        by: &Credentials,
    ) -> Result<(), Error> {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(by.generation)
            .with_member_id(text(&by.member))
            .with_group_instance_id(by.instance.as_deref().map(text));
        check(client.ask(&request).await?.error_code)
    }

    /// Goes.
    pub(crate) async fn leave(
        &self,
        client: &mut KafkaClient,
        by: &Credentials,
    ) -> Result<(), Error> {
        let member = MemberIdentity::default()
            .with_member_id(text(&by.member))
            .with_group_instance_id(by.instance.as_deref().map(text));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_members(vec![member]);
        check(client.ask(&request).await?.error_code)
    }

    fn join_request(&self, member: &str) -> JoinGroupRequest {
        let topics = self.topics.iter().map(|topic| text(topic)).collect();
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        let metadata = versioned(&subscription).unwrap_or_default();
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text(PROTOCOL)).with_metadata(metadata);
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(self.session_timeout.as_millis() as i32)
            .with_rebalance_timeout_ms(8_000)
            .with_member_id(text(member))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(text(PROTOCOL_TYPE))
            .with_protocols(vec![protocol])
    }
}

/// The leader's work: partitions to members in turn.
fn assign(
    joined: &JoinGroupResponse,
    partitions: &[Partition],
) -> Result<Vec<SyncGroupRequestAssignment>, Error> {
    let count = joined.members.len().max(1);
    let assignment = |(index, member): (usize, &_)| {
        let own = partitions.iter().skip(index).step_by(count).map(|it| {
            TopicPartition::default()
                .with_topic(topic_name(&it.topic))
                .with_partitions(vec![it.partition])
        });
        let own = ConsumerProtocolAssignment::default().with_assigned_partitions(own.collect());
        let member: &kafka_protocol::messages::join_group_response::JoinGroupResponseMember =
            member;
        Ok(SyncGroupRequestAssignment::default()
            .with_member_id(member.member_id.clone())
            .with_assignment(versioned(&own)?))
    };
    joined.members.iter().enumerate().map(assignment).collect()
}

fn assigned(mut assignment: Bytes) -> Result<Vec<Partition>, Error> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let malformed = |reason: String| Error::Malformed(format!("assignment: {reason}"));
    let version = assignment.try_get_i16().map_err(|error| malformed(error.to_string()))?;
    let assignment = ConsumerProtocolAssignment::decode(&mut assignment, version)
        .map_err(|error| malformed(error.to_string()))?;
    let of_topic = |it: TopicPartition| {
        let topic = it.topic.0.to_string();
        it.partitions
            .into_iter()
            .map(move |partition| Partition { topic: topic.clone(), partition })
    };
    Ok(assignment.assigned_partitions.into_iter().flat_map(of_topic).collect())
}

fn versioned(message: &impl Encodable) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(CONSUMER_PROTOCOL_VERSION);
    message
        .encode(&mut bytes, CONSUMER_PROTOCOL_VERSION)
        .map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(bytes.freeze())
}
