//! What a pump is connected to: a [`Source`] of records and a [`Target`] for deliveries. Mainstay's
//! own node is both; clients of external clusters can be either.

use crate::cursor::Cursor;
use crate::delivery::{Delivery, Outcome};
use crate::machine::{Await, Bind, Bounds};
use base::{PartitionId, TopicId};
use bytes::Bytes;
use std::future::Future;

/// A topic that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// Its partitions, by index.
    pub partitions: Vec<Bounds>,
}

/// A batch as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Kafka's batch format v2.
    pub bytes: Bytes,
}

/// Why a source has nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The topic was deleted.
    #[error("the topic is gone")]
    TopicGone,
    /// The offset is not in the log any more.
    #[error("the log begins at offset {log_start}")]
    Deleted {
        /// Where the log begins now.
        log_start: i64,
    },
    /// Reading has failed; it will be tried again.
    #[error("{0}")]
    Failed(String),
    /// The node is being stopped.
    #[error("the node is being stopped")]
    Stopping,
}

/// Why a delivery was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// It will never succeed.
    #[error("{0}")]
    Permanent(String),
    /// It may succeed later.
    #[error("{0}")]
    Transient(String),
    /// The route is not bound to this topic any more.
    #[error("the topic is gone")]
    NotBound,
    /// The node is being stopped.
    #[error("the node is being stopped")]
    Stopping,
}

/// Where records come from: the published log, committed records only. All futures may be
/// dropped before they are done.
pub trait Source: Send + Sync + 'static {
    /// The topic of this name, if there is one.
    fn topic(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<TopicInfo>, SourceError>> + Send;

    /// Waits until there is a topic of this name with another id than `gone`.
    fn wait_for_topic(
        &self,
        name: &str,
        gone: Option<TopicId>,
    ) -> impl Future<Output = Result<TopicInfo, SourceError>> + Send;

    /// The batch that holds `offset` (or the first one after it) and those that follow, up to
    /// `max_bytes` but at least one. Waits until there is one.
    fn read(
        &self,
        partition: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<RawBatch>, SourceError>> + Send;
}

/// Where records go to, and who journals the cursor. Implemented by the node, and by clients of
/// external clusters.
pub trait Target: Send + Sync + 'static {
    /// Journals that a route waits for a topic.
    fn wait(&self, wait: Await) -> impl Future<Output = Result<(), DeliverError>> + Send;

    /// Journals where a route starts in a topic, and gives its positions.
    fn bind(&self, bind: Bind) -> impl Future<Output = Result<Vec<Cursor>, DeliverError>> + Send;

    /// Does what the delivery says and journals its progress with it, or changes nothing.
    /// Answers when that is durable.
    fn deliver(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Result<Outcome, DeliverError>> + Send;
}
