//! A node in a few lines for the tests of this front: topics in memory, answers at once unless
//! they are held.

use crate::backend::{Backend, Error, PublishedTopic, Range};
use base::{BlobAddr, PartitionId, TopicId, Uuid};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};
use topics::{
    Ask, BatchRef, ErrorCode, Reply,
    ask::{
        Appended, MetadataReply, ProduceError, ProducerIdAndEpoch, TopicMetadata, TopicSelection,
    },
};

/// The fake node. Clones share it.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Answers wait for a permit.
    gate: Semaphore,
    /// Counts what has been published.
    published: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    topics: Vec<Topic>,
    blobs: Vec<Bytes>,
    /// Names of the asks, in the order in which they came.
    asked: Vec<String>,
    reads: usize,
    refusal: Option<Error>,
}

struct Topic {
    name: String,
    id: TopicId,
    partitions: Vec<Vec<BatchRef>>,
}

impl Fake {
    /// With these topics of two partitions each.
    pub(crate) fn new(topics: &[&str]) -> Fake {
        let topics = topics.iter().enumerate().map(|(index, name)| Topic {
            name: (*name).to_owned(),
            id: TopicId(Uuid::from_u128(index as u128 + 1)),
            partitions: vec![Vec::new(); 2],
        });
        let state = Mutex::new(State { topics: topics.collect(), ..State::default() });
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Fake(Arc::new(Shared { state, gate, published: watch::Sender::new(0) }))
    }

    /// From now on answers wait.
    pub(crate) fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets so many answers go.
    pub(crate) fn release(&self, count: usize) {
        self.0.gate.add_permits(count);
    }

    /// Refuses everything from now on.
    pub(crate) fn refuse(&self, refusal: Option<Error>) {
        self.lock().refusal = refusal;
    }

    /// What has been asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    /// How many batches have been read.
    pub(crate) fn reads(&self) -> usize {
        self.lock().reads
    }

    /// Makes the stored bytes of all but the first batches unreadable.
    pub(crate) fn lose_blobs_from(&self, index: usize) {
        self.lock().blobs.truncate(index);
    }

    /// Id of a topic.
    pub(crate) fn id(&self, name: &str) -> TopicId {
        self.topic(name).unwrap().id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn with_partition<T>(
        &self,
        id: PartitionId,
        look: impl FnOnce(&Vec<BatchRef>) -> T,
    ) -> Option<T> {
        let state = self.lock();
        let topic = state.topics.iter().find(|topic| topic.id == id.topic)?;
        Some(look(topic.partitions.get(usize::try_from(id.index).ok()?)?))
    }

    fn carry_out(&self, ask: Ask) -> Reply {
        let mut state = self.lock();
        match ask {
            Ask::Produce(produce) => {
                Reply::Produce(produce.partitions.into_iter().map(|it| state.append(it)).collect())
            }
            Ask::Metadata(metadata) => Reply::Metadata(state.metadata(metadata.topics)),
            Ask::InitProducerId(_) => {
                Reply::InitProducerId(ProducerIdAndEpoch { id: 1000, epoch: 0 })
            }
            Ask::Heartbeat(_) => Reply::Heartbeat(ErrorCode::None),
            Ask::ListGroups(_) => Reply::ListGroups(Vec::new()),
            other => panic!("the fake does not answer {other:?}"),
        }
    }
}

impl State {
    fn append(&mut self, append: topics::ask::PartitionAppend) -> Result<Appended, ProduceError> {
        let unknown = ProduceError {
            code: ErrorCode::UnknownTopicOrPartition,
            message: None,
            record_errors: Vec::new(),
        };
        let topic = self.topics.iter_mut().find(|topic| topic.name == append.topic);
        let topic = topic.ok_or_else(|| unknown.clone())?;
        let index = usize::try_from(append.partition).map_err(|_| unknown.clone())?;
        let batches = topic.partitions.get_mut(index).ok_or(unknown)?;
        let base_offset = batches.last().map_or(0, |last| last.last_offset + 1);
        let partition = PartitionId { topic: topic.id, index: append.partition };
        let bytes = append.batch.bytes().clone();
        batches.push(BatchRef {
            partition,
            base_offset,
            last_offset: base_offset + i64::from(append.header.last_offset_delta),
            max_timestamp_ms: append.header.max_timestamp_ms,
            address: BlobAddr {
                segment: self.blobs.len() as u32,
                position: 0,
                length: bytes.len() as u32,
                crc: append.batch.crc(),
            },
        });
        self.blobs.push(bytes);
        let (log_append_time_ms, log_start_offset) = (-1, 0);
        Ok(Appended { partition, base_offset, log_append_time_ms, log_start_offset })
    }

    fn metadata(&self, selection: TopicSelection) -> MetadataReply {
        let names: Vec<String> = match selection {
            TopicSelection::All => self.topics.iter().map(|topic| topic.name.clone()).collect(),
            TopicSelection::Names(names) => names,
            TopicSelection::Ids(_) => panic!("the fake knows names only"),
        };
        let describe = |name: String| {
            let topic = self.topics.iter().find(|topic| topic.name == name);
            TopicMetadata {
                error: topic.map_or(ErrorCode::UnknownTopicOrPartition, |_| ErrorCode::None),
                name: Some(name),
                id: topic.map_or(TopicId(Uuid::nil()), |topic| topic.id),
                partition_count: topic.map_or(0, |topic| topic.partitions.len() as i32),
                is_internal: false,
            }
        };
        MetadataReply { topics: names.into_iter().map(describe).collect() }
    }
}

impl Backend for Fake {
    async fn topics(&self, ask: Ask) -> Result<Reply, Error> {
        let debug = format!("{ask:?}");
        let name = debug.split('(').next().unwrap_or_default().to_owned();
        self.lock().asked.push(name);
        let refusal = self.lock().refusal.clone();
        self.0.gate.acquire().await.unwrap().forget();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let reply = self.carry_out(ask);
        self.0.published.send_modify(|published| *published += 1);
        Ok(reply)
    }

    fn cluster_id(&self) -> String {
        "fake".to_owned()
    }

    fn topic(&self, name: &str) -> Option<PublishedTopic> {
        let state = self.lock();
        let topic = state.topics.iter().find(|topic| topic.name == name)?;
        let partition_count = topic.partitions.len() as i32;
        Some(PublishedTopic { name: topic.name.clone(), id: topic.id, partition_count })
    }

    fn topic_by_id(&self, id: TopicId) -> Option<PublishedTopic> {
        let name = self.lock().topics.iter().find(|topic| topic.id == id)?.name.clone();
        self.topic(&name)
    }

    fn range(&self, partition: PartitionId) -> Option<Range> {
        self.with_partition(partition, |batches| Range {
            log_start_offset: 0,
            high_watermark: batches.last().map_or(0, |last| last.last_offset + 1),
        })
    }

    fn batches_from(&self, partition: PartitionId, offset: i64, max_bytes: usize) -> Vec<BatchRef> {
        let found = self.with_partition(partition, |batches| {
            let mut left = max_bytes;
            let mut found = Vec::new();
            for batch in batches.iter().filter(|batch| batch.last_offset >= offset) {
                let bytes = batch.address.length as usize;
                if bytes > left && !found.is_empty() {
                    break;
                }
                left = left.saturating_sub(bytes);
                found.push(*batch);
            }
            found
        });
        found.unwrap_or_default()
    }

    fn batch_for_timestamp(&self, partition: PartitionId, timestamp_ms: i64) -> Option<BatchRef> {
        self.with_partition(partition, |batches| {
            batches.iter().find(|batch| batch.max_timestamp_ms >= timestamp_ms).copied()
        })?
    }

    fn batch_with_max_timestamp(&self, partition: PartitionId) -> Option<BatchRef> {
        let largest = self.with_partition(partition, |batches| {
            batches.iter().map(|batch| batch.max_timestamp_ms).max()
        })??;
        self.batch_for_timestamp(partition, largest)
    }

    async fn wait_for_bytes(
        &self,
        positions: &[(PartitionId, i64)],
        min_bytes: u64,
        deadline: Instant,
    ) {
        let mut published = self.0.published.subscribe();
        let bytes_of = |(id, offset): &(PartitionId, i64)| {
            let batches = self.batches_from(*id, *offset, usize::MAX);
            batches.iter().map(|batch| u64::from(batch.address.length)).sum::<u64>()
        };
        while positions.iter().map(bytes_of).sum::<u64>() < min_bytes {
            if timeout_at(deadline, published.changed()).await.is_err() {
                return;
            }
        }
    }

    async fn read(&self, batch: BatchRef) -> Result<Bytes, Error> {
        let mut state = self.lock();
        state.reads += 1;
        let found = state.blobs.get(batch.address.segment as usize).cloned();
        found.ok_or_else(|| Error::Read("the blob is lost".to_owned()))
    }
}
