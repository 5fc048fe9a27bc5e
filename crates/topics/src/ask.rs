//! What can be asked of the facts, and what is answered. These are Kafka's requests without
//! Kafka's bytes: versions, framing and throttling stay in the `kafka` front.

use crate::{BatchHeader, ErrorCode};
use base::{Blob, PartitionId, TopicId};
use bytes::Bytes;

/// A request to the machine.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant is Kafka's API of the same name")]
pub enum Ask {
    Produce(Produce),
    Metadata(Metadata),
    CreateTopics(CreateTopics),
    DeleteTopics(DeleteTopics),
    InitProducerId(InitProducerId),
    JoinGroup(JoinGroup),
    SyncGroup(SyncGroup),
    Heartbeat(Heartbeat),
    LeaveGroup(LeaveGroup),
    OffsetCommit(OffsetCommit),
    OffsetFetch(OffsetFetch),
    ListGroups(ListGroups),
    DescribeGroups(DescribeGroups),
    /// Time has passed: sessions, join barriers and producer ids may have expired.
    Expire,
}

/// An answer of the machine. Per-item errors are inside; only a whole request that cannot be
/// served is a refusal.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant answers the ask of the same name")]
pub enum Reply {
    /// In the order of the request's partitions.
    Produce(Vec<Result<Appended, ProduceError>>),
    Metadata(MetadataReply),
    CreateTopics(Vec<CreateTopicResult>),
    DeleteTopics(Vec<DeleteTopicResult>),
    InitProducerId(ProducerIdAndEpoch),
    JoinGroup(JoinGroupReply),
    SyncGroup(SyncGroupReply),
    Heartbeat(ErrorCode),
    LeaveGroup(LeaveGroupReply),
    OffsetCommit(Vec<OffsetCommitTopicResult>),
    OffsetFetch(OffsetFetchReply),
    ListGroups(Vec<ListedGroup>),
    DescribeGroups(Vec<DescribedGroup>),
    Expire,
}

/// Records for several partitions, appended as one entry. Partitions that are refused do not
/// keep the others from being appended.
#[derive(Clone, Debug)]
pub struct Produce {
    /// One batch a partition, in the request's order.
    pub partitions: Vec<PartitionAppend>,
    /// Who appends: what clients may not do, the node itself may (dead letters are not bound by
    /// max.message.bytes and create their topic).
    pub origin: Origin,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Kafka client.
    Client,
    /// `mainstay.publish` or a dead letter: the topic is created if it is missing, the size limit
    /// is not applied.
    Node,
}

/// One record batch for one partition.
#[derive(Clone, Debug)]
pub struct PartitionAppend {
    /// Topic name.
    pub topic: String,
    /// Partition index.
    pub partition: i32,
    /// The header, already checked against the bytes (length, magic, CRC, counts) by the caller.
    pub header: BatchHeader,
    /// The batch as received, base offset and leader epoch not yet rewritten.
    pub batch: Blob,
}

/// A batch has its place. Duplicates of the idempotent producer's last five batches get the
/// place of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where.
    pub partition: PartitionId,
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// -1 unless the topic uses LogAppendTime.
    pub log_append_time_ms: i64,
    /// First offset that can still be read.
    pub log_start_offset: i64,
}

/// A batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// For people.
    pub message: Option<String>,
    /// Records at fault, by index in the batch, if it is about records.
    pub record_errors: Vec<(i32, Option<String>)>,
}

/// Which topics to tell about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSelection {
    /// Every topic.
    All,
    /// These names.
    Names(Vec<String>),
    /// These ids.
    Ids(Vec<TopicId>),
}

/// Metadata. Missing names are created when both the client and the limits allow it.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Which.
    pub topics: TopicSelection,
    /// The client's wish.
    pub allow_auto_topic_creation: bool,
}

/// What is known about topics.
#[derive(Clone, Debug)]
pub struct MetadataReply {
    /// In the order asked; by name if all were asked.
    pub topics: Vec<TopicMetadata>,
}

/// One topic, or why it cannot be told.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// NONE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_ID, …
    pub error: ErrorCode,
    /// The name, if known.
    pub name: Option<String>,
    /// The id; nil if unknown.
    pub id: TopicId,
    /// Number of partitions; indexes are 0..count.
    pub partition_count: i32,
    /// Whether clients should treat it as internal.
    pub is_internal: bool,
}

/// CreateTopics (KIP-4).
#[derive(Clone, Debug)]
pub struct CreateTopics {
    /// Each is created or refused for itself.
    pub topics: Vec<NewTopic>,
    /// Check only.
    pub validate_only: bool,
}

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// 1 to 249 of [a-zA-Z0-9._-], not "." or "..".
    pub name: String,
    /// -1 for the default.
    pub partition_count: i32,
    /// Anything >= 1 or -1 is accepted; 1 is reported.
    pub replication_factor: i16,
    /// Manual assignment: (partition, brokers). Only broker ids of this node are accepted.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Topic configs. Those that are not honoured yet are refused (INVALID_CONFIG).
    pub configs: Vec<(String, Option<String>)>,
}

/// The outcome for one topic.
#[derive(Clone, Debug)]
pub struct CreateTopicResult {
    /// Name as asked.
    pub name: String,
    /// Id; nil unless created.
    pub id: TopicId,
    /// Outcome.
    pub error: ErrorCode,
    /// For people.
    pub message: Option<String>,
    /// As created.
    pub partition_count: i32,
}

/// DeleteTopics by name or id.
#[derive(Clone, Debug)]
pub struct DeleteTopics {
    /// Names or ids.
    pub topics: TopicSelection,
}

/// The outcome for one topic.
#[derive(Clone, Debug)]
pub struct DeleteTopicResult {
    /// Name, if known.
    pub name: Option<String>,
    /// Id; nil if unknown.
    pub id: TopicId,
    /// Outcome.
    pub error: ErrorCode,
}

/// InitProducerId (KIP-98, KIP-360).
#[derive(Clone, Debug)]
pub struct InitProducerId {
    /// Transactions are refused (TRANSACTIONAL_ID_AUTHORIZATION_FAILED) until they exist.
    pub transactional_id: Option<String>,
    /// Current id and epoch to be bumped, v3+; -1/-1 for a new one.
    pub current: ProducerIdAndEpoch,
}

/// A producer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerIdAndEpoch {
    /// -1 for none.
    pub id: i64,
    /// -1 for none.
    pub epoch: i16,
}

/// JoinGroup, classic protocol.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// Group id; must not be empty.
    pub group: String,
    /// Empty at first.
    pub member: String,
    /// Static membership (KIP-345).
    pub instance: Option<String>,
    /// For DescribeGroups.
    pub client_id: String,
    /// For DescribeGroups, "/127.0.0.1".
    pub client_host: String,
    /// Session timeout.
    pub session_timeout_ms: i32,
    /// Rebalance timeout; -1 before v1: then the session timeout counts.
    pub rebalance_timeout_ms: i32,
    /// "consumer", "connect", …
    pub protocol_type: String,
    /// Name and opaque metadata, in order of preference.
    pub protocols: Vec<(String, Bytes)>,
    /// v4+: a first join without a member id is answered MEMBER_ID_REQUIRED.
    pub requires_known_member: bool,
    /// v9+: the leader may be told to skip the assignment.
    pub supports_skipping_assignment: bool,
}

/// The answer, held until the join barrier opens.
#[derive(Clone, Debug)]
pub struct JoinGroupReply {
    /// Outcome.
    pub error: ErrorCode,
    /// -1 on error.
    pub generation: i32,
    /// Protocol type; `None` on error.
    pub protocol_type: Option<String>,
    /// Chosen protocol.
    pub protocol_name: Option<String>,
    /// Leader's member id.
    pub leader: String,
    /// v9: the (static) leader need not compute an assignment.
    pub skip_assignment: bool,
    /// The member's own id.
    pub member: String,
    /// For the leader only: all members with instance id and metadata.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// Group id.
    pub group: String,
    /// Generation.
    pub generation: i32,
    /// Member id.
    pub member: String,
    /// Instance id.
    pub instance: Option<String>,
    /// v5+: checked.
    pub protocol_type: Option<String>,
    /// v5+: checked.
    pub protocol_name: Option<String>,
    /// From the leader: member id and opaque assignment.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer, held until the leader has sent the assignment.
#[derive(Clone, Debug)]
pub struct SyncGroupReply {
    /// Outcome.
    pub error: ErrorCode,
    /// Protocol type.
    pub protocol_type: Option<String>,
    /// Protocol name.
    pub protocol_name: Option<String>,
    /// Opaque; empty if none.
    pub assignment: Bytes,
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Group id.
    pub group: String,
    /// Generation.
    pub generation: i32,
    /// Member id.
    pub member: String,
    /// Instance id.
    pub instance: Option<String>,
}

/// LeaveGroup.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// Group id.
    pub group: String,
    /// Member id and instance id; before v3 exactly one.
    pub members: Vec<(String, Option<String>)>,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct LeaveGroupReply {
    /// About the whole request.
    pub error: ErrorCode,
    /// Per member: member id, instance id, outcome.
    pub members: Vec<(String, Option<String>, ErrorCode)>,
}

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct OffsetCommit {
    /// Group id.
    pub group: String,
    /// -1 for a commit from outside the group protocol.
    pub generation: i32,
    /// Empty for a commit from outside the group protocol.
    pub member: String,
    /// Instance id.
    pub instance: Option<String>,
    /// What to commit.
    pub topics: Vec<OffsetCommitTopic>,
}

/// Offsets of one topic.
#[derive(Clone, Debug)]
pub struct OffsetCommitTopic {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: Vec<OffsetCommitPartition>,
}

/// One offset.
#[derive(Clone, Debug)]
pub struct OffsetCommitPartition {
    /// Index.
    pub partition: i32,
    /// Next offset to read.
    pub offset: i64,
    /// -1 if unknown.
    pub leader_epoch: i32,
    /// Round-trips; up to 4096 bytes.
    pub metadata: String,
}

/// Outcomes of one topic: (partition, error).
#[derive(Clone, Debug)]
pub struct OffsetCommitTopicResult {
    /// Name.
    pub name: String,
    /// Outcomes.
    pub partitions: Vec<(i32, ErrorCode)>,
}

/// OffsetFetch for one or more groups (v8+ asks for several).
#[derive(Clone, Debug)]
pub struct OffsetFetch {
    /// Groups.
    pub groups: Vec<OffsetFetchGroup>,
}

/// What to fetch of one group.
#[derive(Clone, Debug)]
pub struct OffsetFetchGroup {
    /// Group id.
    pub group: String,
    /// `None`: everything committed.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
}

/// The offsets found.
#[derive(Clone, Debug)]
pub struct OffsetFetchReply {
    /// One per group asked.
    pub groups: Vec<OffsetFetchGroupReply>,
}

/// The offsets of one group.
#[derive(Clone, Debug)]
pub struct OffsetFetchGroupReply {
    /// Group id.
    pub group: String,
    /// About the group.
    pub error: ErrorCode,
    /// Per topic.
    pub topics: Vec<(String, Vec<FetchedOffset>)>,
}

/// One committed offset, or -1.
#[derive(Clone, Debug)]
pub struct FetchedOffset {
    /// Index.
    pub partition: i32,
    /// -1 if nothing is committed.
    pub offset: i64,
    /// -1 if unknown.
    pub leader_epoch: i32,
    /// Empty if none.
    pub metadata: String,
    /// Outcome.
    pub error: ErrorCode,
}

/// ListGroups.
#[derive(Clone, Debug)]
pub struct ListGroups {
    /// Empty: all. Names as Kafka writes them ("Stable").
    pub states: Vec<String>,
    /// Empty: all ("classic", "consumer").
    pub types: Vec<String>,
}

/// One group in a list.
#[derive(Clone, Debug)]
pub struct ListedGroup {
    /// Group id.
    pub group: String,
    /// "consumer", …
    pub protocol_type: String,
    /// "Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead".
    pub state: &'static str,
}

/// DescribeGroups.
#[derive(Clone, Debug)]
pub struct DescribeGroups {
    /// Group ids.
    pub groups: Vec<String>,
}

/// One group. Unknown groups are "Dead" with error NONE; the front turns that into
/// GROUP_ID_NOT_FOUND for v6.
#[derive(Clone, Debug)]
pub struct DescribedGroup {
    /// Outcome.
    pub error: ErrorCode,
    /// Group id.
    pub group: String,
    /// State name.
    pub state: &'static str,
    /// Protocol type.
    pub protocol_type: String,
    /// Chosen protocol; empty unless stable.
    pub protocol: String,
    /// Members.
    pub members: Vec<DescribedMember>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct DescribedMember {
    /// Member id.
    pub member: String,
    /// Instance id.
    pub instance: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Client host.
    pub client_host: String,
    /// Opaque metadata of the chosen protocol.
    pub metadata: Bytes,
    /// Opaque assignment.
    pub assignment: Bytes,
}

/// What the node does when the entry is durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a ticket that has waited (join, sync).
    Reply(base::Ticket, Reply),
    /// The partition's published end moves: readers may see this batch from now on.
    Publish(crate::BatchRef),
    /// A topic can be read and routed from now on.
    TopicCreated {
        /// Name.
        name: String,
        /// Id.
        id: TopicId,
        /// Partitions.
        partition_count: i32,
    },
    /// A topic is gone.
    TopicDeleted {
        /// Name.
        name: String,
        /// Id.
        id: TopicId,
    },
}
