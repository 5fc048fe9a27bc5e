//! The real node behind the front's [`Backend`].

use crate::backend::{Backend, Error, Placed, PublishedTopic, Range};
use base::{PartitionId, TopicId};
use bytes::Bytes;
use node::{Handle, PendingTopics};
use tokio::time::Instant;
use topics::{Ask, BatchRef, ErrorCode, Reply};

impl Placed for PendingTopics {
    async fn reply(self) -> Result<Reply, Error> {
        PendingTopics::reply(self).await.map_err(Error::from)
    }
}

impl Backend for Handle {
    type Placed = PendingTopics;

    async fn place(&self, ask: Ask) -> Result<PendingTopics, Error> {
        self.send_topics(ask).await.map_err(Error::from)
    }

    fn cluster_id(&self) -> String {
        self.kafka_cluster_id()
    }

    fn topic(&self, name: &str) -> Option<PublishedTopic> {
        self.log().topic(name)
    }

    fn topic_by_id(&self, id: TopicId) -> Option<PublishedTopic> {
        self.log().topic_by_id(id)
    }

    fn range(&self, partition: PartitionId) -> Option<Range> {
        let log_start_offset = self.log().log_start_offset(partition)?;
        let high_watermark = self.log().high_watermark(partition)?;
        Some(Range { log_start_offset, high_watermark })
    }

    fn batches_from(&self, partition: PartitionId, offset: i64, max_bytes: usize) -> Vec<BatchRef> {
        self.log().batches_from(partition, offset, max_bytes).unwrap_or_default()
    }

    fn batch_for_timestamp(&self, partition: PartitionId, timestamp_ms: i64) -> Option<BatchRef> {
        self.log().batch_for_timestamp(partition, timestamp_ms)
    }

    fn batch_with_max_timestamp(&self, partition: PartitionId) -> Option<BatchRef> {
        self.log().batch_with_max_timestamp(partition)
    }

    async fn wait_for_bytes(
        &self,
        positions: &[(PartitionId, i64)],
        min_bytes: u64,
        deadline: Instant,
    ) {
        self.log().wait_for_bytes(positions, min_bytes, deadline).await;
    }

    async fn read(&self, batch: BatchRef) -> Result<Bytes, Error> {
        self.log().read(batch).await.map_err(Error::from)
    }
}

impl From<node::Error> for Error {
    fn from(error: node::Error) -> Error {
        match error {
            node::Error::Topics(code) => Error::Refused(code),
            node::Error::TooLarge { .. } => Error::Refused(ErrorCode::MessageTooLarge),
            node::Error::Full | node::Error::Overloaded => Error::Unavailable(error.to_string()),
            node::Error::Read(reason) => Error::Read(reason),
            node::Error::Stopping | node::Error::Workflows(_) => Error::NoAnswer(error.to_string()),
        }
    }
}
