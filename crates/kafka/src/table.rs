//! The APIs this front serves: key, versions, first flexible version. What is advertised is what
//! is here, and what is here is implemented.

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Which.
    pub(crate) key: Key,
    /// Lowest version advertised.
    pub(crate) version_min: i16,
    /// Highest version.
    pub(crate) version_max: i16,
    /// First version with compact types and tagged fields.
    pub(crate) flexible_from: i16,
}

/// Kafka's API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Key {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeConfigs = 32,
}

/// Every API, by key.
///
/// Produce is advertised from 0 because older librdkafka turns compression off otherwise
/// (KAFKA-18659); versions 0 to 2 are answered with UNSUPPORTED_VERSION.
pub(crate) const TABLE: [Entry; 19] = [
    entry(Key::Produce, 0, 11, 9),
    entry(Key::Fetch, 4, 16, 12),
    entry(Key::ListOffsets, 1, 7, 6),
    entry(Key::Metadata, 0, 13, 9),
    entry(Key::OffsetCommit, 2, 9, 8),
    entry(Key::OffsetFetch, 1, 9, 6),
    entry(Key::FindCoordinator, 0, 4, 3),
    entry(Key::JoinGroup, 0, 9, 6),
    entry(Key::Heartbeat, 0, 4, 4),
    entry(Key::LeaveGroup, 0, 5, 4),
    entry(Key::SyncGroup, 0, 5, 4),
    entry(Key::DescribeGroups, 0, 6, 5),
    entry(Key::ListGroups, 0, 5, 3),
    entry(Key::ApiVersions, 0, 4, 3),
    entry(Key::CreateTopics, 2, 7, 5),
    entry(Key::DeleteTopics, 1, 6, 4),
    entry(Key::InitProducerId, 0, 4, 2),
    entry(Key::OffsetForLeaderEpoch, 2, 4, 4),
    entry(Key::DescribeConfigs, 1, 4, 4),
];

/// The entry of an API key, if it is served.
pub(crate) fn find(key: i16) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.key as i16 == key)
}

impl Entry {
    /// Whether this version is served.
    pub(crate) fn serves(&self, version: i16) -> bool {
        (self.version_min..=self.version_max).contains(&version)
    }

    /// Whether this version has compact types and tagged fields.
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

const fn entry(key: Key, version_min: i16, version_max: i16, flexible_from: i16) -> Entry {
    Entry { key, version_min, version_max, flexible_from }
}
