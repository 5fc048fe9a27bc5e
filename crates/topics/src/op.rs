//! What the journal says about the facts. Ops carry outcomes only: offsets, ids, assignments;
//! never a request, a limit or a setting.
//!
//! Invariants: an op's body is one protobuf message, its tags are never reused; its kind is one
//! of 1..=99 and is never reused either; a record batch is the op's one blob.

use base::{Blob, JournalOp, OpError, OpKind, PartitionId, TopicId, Uuid};
use bytes::Bytes;
use prost::Message;

/// One journaled change.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum Op {
    TopicCreated(TopicCreated),
    TopicDeleted(TopicDeleted),
    /// With the batch as received.
    Appended(Appended, Blob),
    ProducerIdAllocated(ProducerIdAllocated),
    OffsetsCommitted(OffsetsCommitted),
    GroupStable(GroupStable),
    GroupEmptied(GroupEmptied),
    GroupMembersRemoved(GroupMembersRemoved),
    GroupMemberReplaced(GroupMemberReplaced),
    GroupForgotten(GroupForgotten),
}

const TOPIC_CREATED: u16 = 1;
const TOPIC_DELETED: u16 = 2;
const APPENDED: u16 = 3;
const PRODUCER_ID_ALLOCATED: u16 = 4;
const OFFSETS_COMMITTED: u16 = 10;
const GROUP_STABLE: u16 = 11;
const GROUP_EMPTIED: u16 = 12;
const GROUP_MEMBERS_REMOVED: u16 = 13;
const GROUP_MEMBER_REPLACED: u16 = 14;
const GROUP_FORGOTTEN: u16 = 15;
const VERSION: u8 = 1;

impl JournalOp for Op {
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind {
        let (kind, message): (u16, &dyn ErasedMessage) = match self {
            Op::TopicCreated(message) => (TOPIC_CREATED, message),
            Op::TopicDeleted(message) => (TOPIC_DELETED, message),
            Op::Appended(message, batch) => {
                blobs.push(batch.clone());
                (APPENDED, message)
            }
            Op::ProducerIdAllocated(message) => (PRODUCER_ID_ALLOCATED, message),
            Op::OffsetsCommitted(message) => (OFFSETS_COMMITTED, message),
            Op::GroupStable(message) => (GROUP_STABLE, message),
            Op::GroupEmptied(message) => (GROUP_EMPTIED, message),
            Op::GroupMembersRemoved(message) => (GROUP_MEMBERS_REMOVED, message),
            Op::GroupMemberReplaced(message) => (GROUP_MEMBER_REPLACED, message),
            Op::GroupForgotten(message) => (GROUP_FORGOTTEN, message),
        };
        message.append_to(body);
        OpKind { kind, version: VERSION }
    }

    fn decode(kind: OpKind, body: &[u8], blobs: &[Bytes]) -> Result<Op, OpError> {
        if kind.version != VERSION {
            return Err(OpError::UnknownKind(kind));
        }
        let malformed = |reason: String| OpError::Malformed { kind, reason };
        let blobs_wanted = usize::from(kind.kind == APPENDED);
        if blobs.len() != blobs_wanted {
            return Err(malformed(format!("{} blobs, {blobs_wanted} expected", blobs.len())));
        }
        let op = match kind.kind {
            TOPIC_CREATED => Message::decode(body).map(Op::TopicCreated),
            TOPIC_DELETED => Message::decode(body).map(Op::TopicDeleted),
            APPENDED => {
                Message::decode(body).map(|it| Op::Appended(it, Blob::new(blobs[0].clone())))
            }
            PRODUCER_ID_ALLOCATED => Message::decode(body).map(Op::ProducerIdAllocated),
            OFFSETS_COMMITTED => Message::decode(body).map(Op::OffsetsCommitted),
            GROUP_STABLE => Message::decode(body).map(Op::GroupStable),
            GROUP_EMPTIED => Message::decode(body).map(Op::GroupEmptied),
            GROUP_MEMBERS_REMOVED => Message::decode(body).map(Op::GroupMembersRemoved),
            GROUP_MEMBER_REPLACED => Message::decode(body).map(Op::GroupMemberReplaced),
            GROUP_FORGOTTEN => Message::decode(body).map(Op::GroupForgotten),
            _ => return Err(OpError::UnknownKind(kind)),
        };
        op.map_err(|error| malformed(error.to_string()))
    }
}

/// `prost::Message` cannot be made into an object; this can.
trait ErasedMessage {
    fn append_to(&self, body: &mut Vec<u8>);
}

impl<M: Message> ErasedMessage for M {
    fn append_to(&self, body: &mut Vec<u8>) {
        body.reserve(self.encoded_len());
        self.encode_raw(body);
    }
}

/// A topic id as two fixed numbers: no allocation, 18 bytes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Topic {
    /// The first half of the UUID.
    #[prost(fixed64, tag = "1")]
    pub high: u64,
    /// The second half.
    #[prost(fixed64, tag = "2")]
    pub low: u64,
}

impl From<TopicId> for Topic {
    fn from(id: TopicId) -> Topic {
        let (high, low) = id.0.as_u64_pair();
        Topic { high, low }
    }
}

impl From<Topic> for TopicId {
    fn from(id: Topic) -> TopicId {
        TopicId(Uuid::from_u64_pair(id.high, id.low))
    }
}

/// A missing id reads as the nil id, which no topic has.
fn topic_id(id: Option<Topic>) -> TopicId {
    id.unwrap_or_default().into()
}

/// A topic was made.
#[derive(Clone, PartialEq, Message)]
pub struct TopicCreated {
    /// Its id; also with the same name, never the id of another.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Topic>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Partitions 0..count.
    #[prost(int32, tag = "3")]
    pub partition_count: i32,
    /// The configs given at creation, as given.
    #[prost(message, repeated, tag = "4")]
    pub configs: Vec<TopicConfig>,
}

impl TopicCreated {
    /// The topic.
    pub fn topic(&self) -> TopicId {
        topic_id(self.id)
    }
}

/// One config of a topic.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicConfig {
    /// Kafka's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A topic, its records and all offsets committed for it are gone.
#[derive(Clone, PartialEq, Message)]
pub struct TopicDeleted {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Topic>,
}

impl TopicDeleted {
    /// The topic.
    pub fn topic(&self) -> TopicId {
        topic_id(self.id)
    }
}

/// A batch has its place. The batch is the op's blob.
#[derive(Clone, PartialEq, Message)]
pub struct Appended {
    /// The topic.
    #[prost(message, optional, tag = "1")]
    pub topic: Option<Topic>,
    /// The partition.
    #[prost(int32, tag = "2")]
    pub partition: i32,
    /// Offset of the first record.
    #[prost(int64, tag = "3")]
    pub base_offset: i64,
    /// Offset of the last record.
    #[prost(int64, tag = "4")]
    pub last_offset: i64,
    /// Largest timestamp, ms.
    #[prost(int64, tag = "5")]
    pub max_timestamp_ms: i64,
    /// The idempotent producer, if it is one.
    #[prost(message, optional, tag = "6")]
    pub producer: Option<ProducerBatch>,
    /// Producers that this partition forgets with this append.
    #[prost(int64, repeated, tag = "7")]
    pub forgotten_producer_ids: Vec<i64>,
}

impl Appended {
    /// The partition.
    pub fn partition_id(&self) -> PartitionId {
        PartitionId { topic: topic_id(self.topic), index: self.partition }
    }
}

/// What an idempotent producer says about a batch.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ProducerBatch {
    /// Producer id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Its epoch.
    #[prost(int32, tag = "2")]
    pub epoch: i32,
    /// Sequence of the first record.
    #[prost(int32, tag = "3")]
    pub base_sequence: i32,
    /// Sequence of the last record.
    #[prost(int32, tag = "4")]
    pub last_sequence: i32,
}

/// A producer id was given to a client.
#[derive(Clone, PartialEq, Message)]
pub struct ProducerIdAllocated {
    /// Drawn at random, so that a restored node does not give an id a second time.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Its first epoch.
    #[prost(int32, tag = "2")]
    pub epoch: i32,
}

/// Offsets of a group.
#[derive(Clone, PartialEq, Message)]
pub struct OffsetsCommitted {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// One per partition.
    #[prost(message, repeated, tag = "2")]
    pub offsets: Vec<CommittedOffset>,
}

/// One offset of a group.
#[derive(Clone, PartialEq, Message)]
pub struct CommittedOffset {
    /// By id: a topic made again inherits nothing.
    #[prost(message, optional, tag = "1")]
    pub topic: Option<Topic>,
    /// The partition.
    #[prost(int32, tag = "2")]
    pub partition: i32,
    /// Next offset to read.
    #[prost(int64, tag = "3")]
    pub offset: i64,
    /// -1 if unknown; signed, so that this common value takes one byte.
    #[prost(sint32, tag = "4")]
    pub leader_epoch: i32,
    /// The client's own words.
    #[prost(string, tag = "5")]
    pub metadata: String,
}

impl CommittedOffset {
    /// The partition.
    pub fn partition_id(&self) -> PartitionId {
        PartitionId { topic: topic_id(self.topic), index: self.partition }
    }
}

/// A generation is complete: the leader has given every member its assignment.
#[derive(Clone, PartialEq, Message)]
pub struct GroupStable {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Generation.
    #[prost(int32, tag = "2")]
    pub generation: i32,
    /// "consumer", …
    #[prost(string, tag = "3")]
    pub protocol_type: String,
    /// Chosen protocol.
    #[prost(string, tag = "4")]
    pub protocol: String,
    /// Member id of the leader.
    #[prost(string, tag = "5")]
    pub leader: String,
    /// In the order in which they joined.
    #[prost(message, repeated, tag = "6")]
    pub members: Vec<GroupMember>,
}

/// One member of a complete generation.
#[derive(Clone, PartialEq, Message)]
pub struct GroupMember {
    /// Member id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Instance id of a static member.
    #[prost(string, optional, tag = "2")]
    pub instance: Option<String>,
    /// Client id.
    #[prost(string, tag = "3")]
    pub client_id: String,
    /// Client host.
    #[prost(string, tag = "4")]
    pub client_host: String,
    /// Session timeout.
    #[prost(int32, tag = "5")]
    pub session_timeout_ms: i32,
    /// Rebalance timeout.
    #[prost(int32, tag = "6")]
    pub rebalance_timeout_ms: i32,
    /// In order of preference.
    #[prost(message, repeated, tag = "7")]
    pub protocols: Vec<GroupProtocol>,
    /// Opaque.
    #[prost(bytes = "bytes", tag = "8")]
    pub assignment: Bytes,
}

/// One protocol a member offers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GroupProtocol {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Opaque.
    #[prost(bytes = "bytes", tag = "2")]
    pub metadata: Bytes,
}

/// The last member of a complete generation is gone.
#[derive(Clone, PartialEq, Message)]
pub struct GroupEmptied {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// The empty generation.
    #[prost(int32, tag = "2")]
    pub generation: i32,
}

/// Members of a complete generation are gone; the others must rejoin.
#[derive(Clone, PartialEq, Message)]
pub struct GroupMembersRemoved {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Member ids.
    #[prost(string, repeated, tag = "2")]
    pub members: Vec<String>,
}

/// A static member came back under another member id.
#[derive(Clone, PartialEq, Message)]
pub struct GroupMemberReplaced {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// The member id it had.
    #[prost(string, tag = "2")]
    pub old_member: String,
    /// As it is now; the assignment stays the old one's.
    #[prost(message, optional, tag = "3")]
    pub member: Option<GroupMember>,
    /// Whether the others must rejoin because of it.
    #[prost(bool, tag = "4")]
    pub rebalance: bool,
}

/// An empty group and its offsets are dropped.
#[derive(Clone, PartialEq, Message)]
pub struct GroupForgotten {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
}
