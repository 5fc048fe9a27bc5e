//! The bridge's pumps on this node: they read the published log and deliver through the writer.

use crate::ask::{Place, RecordAppend, Route};
use crate::error::Error;
use crate::handle::Handle;
use crate::published::PublishedTopic;
use base::planted::{self, Bug};
use base::{PartitionId, TopicId};
use bridge::cursor::Cursor;
use bridge::machine::{Ask, Await, Bind, Bounds, Refusal, Reply};
use bridge::{
    Action, DeadLetter, DeliverError, Delivery, Outcome, RawBatch, Source, SourceError, Target,
    TopicInfo,
};
use std::time::Duration;
use tokio::time::Instant;
use topics::BatchBuilder;

/// How long one wait for records lasts. There is no reason to look up in between; the bound only
/// keeps the timer wheel's arithmetic honest.
const WAIT: Duration = Duration::from_secs(3600);

/// Source and target of this node's routes.
pub(crate) struct RoutePump(pub(crate) Handle);

impl RoutePump {
    fn info(&self, topic: &PublishedTopic) -> TopicInfo {
        let bounds = |index: i32| {
            let partition = PartitionId { topic: topic.id, index };
            let log = self.0.log();
            Bounds {
                log_start: log.log_start_offset(partition).unwrap_or(0),
                end: log.high_watermark(partition).unwrap_or(0),
            }
        };
        TopicInfo { id: topic.id, partitions: (0..topic.partition_count).map(bounds).collect() }
    }
}

impl Source for RoutePump {
    async fn topic(&self, name: &str) -> Result<Option<TopicInfo>, SourceError> {
        Ok(self.0.log().topic(name).map(|topic| self.info(&topic)))
    }

    async fn wait_for_topic(
        &self,
        name: &str,
        gone: Option<TopicId>,
    ) -> Result<TopicInfo, SourceError> {
        let mut changes = self.0.log().topic_changes();
        loop {
            changes.borrow_and_update();
            let found = self.0.log().topic(name).filter(|topic| Some(topic.id) != gone);
            if let Some(topic) = found {
                return Ok(self.info(&topic));
            }
            changes.changed().await.map_err(|_| SourceError::Stopping)?;
        }
    }

    async fn read(
        &self,
        partition: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Result<Vec<RawBatch>, SourceError> {
        let log = self.0.log();
        loop {
            let found = log.batches_from(partition, offset, max_bytes);
            let batches = found.ok_or(SourceError::TopicGone)?;
            if batches.is_empty() {
                log.wait_for_bytes(&[(partition, offset)], 1, Instant::now() + WAIT).await;
                continue;
            }
            let addresses: Vec<_> = batches.iter().map(|batch| batch.address).collect();
            let bytes = log.read_blobs(&addresses).await.map_err(source_error)?;
            let raw = batches.into_iter().zip(bytes).map(|(batch, bytes)| {
                let (base_offset, last_offset) = (batch.base_offset, batch.last_offset);
                RawBatch { base_offset, last_offset, bytes }
            });
            return Ok(raw.collect());
        }
    }
}

impl Target for RoutePump {
    async fn wait(&self, wait: Await) -> Result<(), DeliverError> {
        self.0.bridge(Ask::Await(wait)).await.map_err(deliver_error)?.map_err(refused)?;
        Ok(())
    }

    async fn bind(&self, bind: Bind) -> Result<Vec<Cursor>, DeliverError> {
        match self.0.bridge(Ask::Bind(bind)).await.map_err(deliver_error)?.map_err(refused)? {
            Reply::Bound(cursors) => Ok(cursors),
            Reply::Done => Err(DeliverError::Permanent("a bind without positions".to_owned())),
        }
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliverError> {
        let dead_letter = match &delivery.action {
            Action::DeadLetter(letter) => Some(record(letter)?),
            _ => None,
        };
        // Planted: first the position, then what the record causes.
        if planted::is(Bug::BridgeCursorSavedBeforeTheSignal) && dead_letter.is_none() {
            return self.deliver_in_two_entries(delivery).await;
        }
        self.0.route(Route { delivery, dead_letter }).await.map_err(deliver_error)?
    }
}

impl RoutePump {
    /// Planted: see [`Bug::BridgeCursorSavedBeforeTheSignal`].
    async fn deliver_in_two_entries(&self, delivery: Delivery) -> Result<Outcome, DeliverError> {
        let fate = delivery.fate();
        match self.0.bridge(delivery.progress(fate)).await.map_err(deliver_error)? {
            Err(Refusal::AlreadyDone) => return Ok(Outcome::AlreadyDone),
            done => drop(done.map_err(refused)?),
        }
        let ask = match delivery.action {
            Action::SignalWithStart(r) => workflows::Ask::SignalWithStartWorkflowExecution(r),
            Action::Start(r) => workflows::Ask::StartWorkflowExecution(r),
            Action::Signal(r) => workflows::Ask::SignalWorkflowExecution(r),
            Action::DeadLetter(_) => return Ok(Outcome::Settled(fate)),
        };
        self.0.workflows_inside(ask).await.map_err(deliver_error)?;
        Ok(Outcome::Settled(fate))
    }
}

/// Same bytes of key, value and headers, same timestamp.
fn record(letter: &DeadLetter) -> Result<RecordAppend, DeliverError> {
    let mut batch = BatchBuilder::new();
    let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
    batch.push(letter.timestamp_ms, key, value, &letter.headers);
    let (header, batch) =
        batch.build().map_err(|error| DeliverError::Permanent(error.to_string()))?;
    Ok(RecordAppend { topic: letter.topic.clone(), place: Place::of_key(key), header, batch })
}

fn source_error(error: Error) -> SourceError {
    match error {
        Error::Stopping => SourceError::Stopping,
        error => SourceError::Failed(error.to_string()),
    }
}

fn deliver_error(error: Error) -> DeliverError {
    match error {
        Error::Stopping => DeliverError::Stopping,
        error @ Error::TooLarge { .. } => DeliverError::Permanent(error.to_string()),
        error => DeliverError::Transient(error.to_string()),
    }
}

fn refused(refusal: Refusal) -> DeliverError {
    match refusal {
        Refusal::NotBound => DeliverError::NotBound,
        refusal @ (Refusal::AlreadyDone | Refusal::EmptyRange) => {
            DeliverError::Permanent(refusal.to_string())
        }
    }
}
