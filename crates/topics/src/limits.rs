//! What the machine can be told: a few settings, and a named bound on everything that grows.
//!
//! Invariant: limits are looked at in `decide` only, so a journal replays to the same state under
//! other limits. Kafka's own defaults unless a line says why not.

/// Settings and limits of [`crate::Topics`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The only broker: manual assignments may name no other.
    pub broker_id: i32,
    /// Partitions of a topic that is created without a number. Kafka's client suites expect 4.
    pub default_partition_count: i32,
    /// Whether Metadata creates missing topics for clients that wish so.
    pub auto_create_topics: bool,
    /// How long the first join of an empty group waits for others. 0: a lone member starts at
    /// once, and members that come later cost a rebalance (Kafka: 3 s).
    pub group_initial_rebalance_delay_ms: i64,
    /// The bounds.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            broker_id: 1,
            default_partition_count: 4,
            auto_create_topics: true,
            group_initial_rebalance_delay_ms: 0,
            limits: Limits::default(),
        }
    }
}

/// The bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A client's batch; more is MESSAGE_TOO_LARGE.
    pub batch_bytes_max: usize,
    /// Topic names; more is INVALID_TOPIC_EXCEPTION.
    pub topic_name_bytes_max: usize,
    /// Topics in all; more is POLICY_VIOLATION.
    pub topic_count_max: usize,
    /// Partitions of one topic; more is INVALID_PARTITIONS.
    pub partitions_per_topic_max: i32,
    /// Partitions in all; more is POLICY_VIOLATION.
    pub partition_count_max: usize,
    /// Configs of one topic; more is INVALID_CONFIG.
    pub topic_config_count_max: usize,
    /// Idempotent producers remembered by one partition; the one that has been silent longest is
    /// forgotten first.
    pub producers_per_partition_max: usize,
    /// A producer that has been silent for so long is forgotten (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
    /// Groups in all; more is GROUP_MAX_SIZE_REACHED.
    pub group_count_max: usize,
    /// Group ids; more is INVALID_GROUP_ID.
    pub group_id_bytes_max: usize,
    /// Members of one group, those that have only drawn an id included; more is
    /// GROUP_MAX_SIZE_REACHED.
    pub group_member_count_max: usize,
    /// Protocols one member may offer; more is INCONSISTENT_GROUP_PROTOCOL.
    pub group_protocol_count_max: usize,
    /// Metadata of all members, or assignments, of one group; more is GROUP_MAX_SIZE_REACHED.
    /// Both must fit into one entry. (Kafka: what one record of its offsets topic can hold, 1 MiB.)
    pub group_metadata_bytes_max: usize,
    /// Client id, client host and instance id, as far as they are kept or put into a member id.
    pub client_text_bytes_max: usize,
    /// Less is INVALID_SESSION_TIMEOUT. Kafka: 6 s, which makes suites slow.
    pub session_timeout_ms_min: i32,
    /// More is INVALID_SESSION_TIMEOUT.
    pub session_timeout_ms_max: i32,
    /// Metadata of one committed offset; more is OFFSET_METADATA_TOO_LARGE.
    pub offset_metadata_bytes_max: usize,
    /// Committed offsets of a group that has been empty for so long are dropped
    /// (`offsets.retention.minutes`).
    pub offsets_retention_ms: i64,
    /// An empty group without offsets is dropped after so long (Kafka: at the next check).
    pub empty_group_retention_ms: i64,
    /// Groups that one expiry looks at, so that it stays one small entry.
    pub groups_per_expiry_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        const MINUTE_MS: i64 = 60_000;
        const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
        Limits {
            batch_bytes_max: 1_048_588,
            topic_name_bytes_max: 249,
            topic_count_max: 10_000,
            partitions_per_topic_max: 10_000,
            partition_count_max: 100_000,
            topic_config_count_max: 64,
            producers_per_partition_max: 1_000,
            producer_id_expiration_ms: DAY_MS,
            group_count_max: 10_000,
            group_id_bytes_max: 1_000,
            group_member_count_max: 1_000,
            group_protocol_count_max: 16,
            group_metadata_bytes_max: 2 << 20,
            client_text_bytes_max: 249,
            session_timeout_ms_min: 100,
            session_timeout_ms_max: 30 * 60_000,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * DAY_MS,
            empty_group_retention_ms: 10 * MINUTE_MS,
            groups_per_expiry_max: 16,
        }
    }
}
