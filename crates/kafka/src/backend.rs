//! What the front needs of the node, and nothing more: so that its tests can run against a fake.

use base::{PartitionId, TopicId};
use bytes::Bytes;
pub(crate) use node::PublishedTopic;
use std::future::Future;
use tokio::time::Instant;
use topics::{Ask, BatchRef, ErrorCode, Reply};

/// Why the node does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The request was refused whole; it is definitely not carried out.
    #[error("the request was refused: {0:?}")]
    Refused(ErrorCode),
    /// The disk is full or too much waits: definitely not carried out, and worth trying again.
    #[error("the node cannot take the request now: {0}")]
    Unavailable(String),
    /// Stored bytes could not be read.
    #[error("stored bytes cannot be read: {0}")]
    Read(String),
    /// The node stops, so the outcome is unknown; or it answered something else than was asked.
    #[error("there is no answer: {0}")]
    NoAnswer(String),
}

/// The readable range of a partition: from the first offset to before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) log_start_offset: i64,
    pub(crate) high_watermark: i64,
}

/// An ask that has its place in the node's queue.
pub(crate) trait Placed: Send {
    /// Waits for the reply.
    fn reply(self) -> impl Future<Output = Result<Reply, Error>> + Send;
}

/// The node as this front sees it.
pub(crate) trait Backend: Clone + Send + Sync + 'static {
    /// An ask that has its place.
    type Placed: Placed;

    /// Asks the topics machine. When this is done, the ask has its place in the node's queue:
    /// asks of one connection are carried out in the order in which they got theirs. Until then
    /// they have none, however often they were polled.
    fn place(&self, ask: Ask) -> impl Future<Output = Result<Self::Placed, Error>> + Send;

    /// Asks the topics machine, and waits for the reply.
    fn topics(&self, ask: Ask) -> impl Future<Output = Result<Reply, Error>> + Send {
        async { self.place(ask).await?.reply().await }
    }

    /// Drawn when the data directory was made.
    fn cluster_id(&self) -> String;

    /// A topic that can be read.
    fn topic(&self, name: &str) -> Option<PublishedTopic>;

    /// A topic that can be read.
    fn topic_by_id(&self, id: TopicId) -> Option<PublishedTopic>;

    /// What can be read of a partition; `None` if there is none.
    fn range(&self, partition: PartitionId) -> Option<Range>;

    /// Whole batches from the one that holds `offset`, while they fit into `max_bytes`, but at
    /// least one if there is one.
    fn batches_from(&self, partition: PartitionId, offset: i64, max_bytes: usize) -> Vec<BatchRef>;

    /// The first batch whose largest timestamp is not before `timestamp_ms`.
    fn batch_for_timestamp(&self, partition: PartitionId, timestamp_ms: i64) -> Option<BatchRef>;

    /// The first batch with the partition's largest timestamp.
    fn batch_with_max_timestamp(&self, partition: PartitionId) -> Option<BatchRef>;

    /// Returns when `min_bytes` can be read from these positions on, when one of them goes away,
    /// or at the deadline.
    fn wait_for_bytes(
        &self,
        positions: &[(PartitionId, i64)],
        min_bytes: u64,
        deadline: Instant,
    ) -> impl Future<Output = ()> + Send;

    /// The bytes of a batch, as stored.
    fn read(&self, batch: BatchRef) -> impl Future<Output = Result<Bytes, Error>> + Send;
}
