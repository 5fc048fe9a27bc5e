//! A node in a few lines for the tests of this front: topics in memory, answers at once unless
//! they are held.

use crate::backend::{Backend, Error, Placed, PublishedTopic, Range};
use base::{BlobAddr, PartitionId, TopicId, Uuid};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};
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
    /// How often somebody has asked for a place.
    polled: AtomicU64,
    /// Counts what has been published.
    published: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    topics: Vec<Topic>,
    blobs: Vec<Bytes>,
    /// Names of the asks, in the order in which they came.
    asked: Vec<String>,
    /// Asks that have their place.
    queue: BTreeMap<u64, Ask>,
    done: HashMap<u64, Result<Reply, Error>>,
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
        Fake(Arc::new(Shared {
            state,
            gate,
            polled: AtomicU64::new(0),
            published: watch::Sender::new(0),
        }))
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
}

impl State {
    /// Carries out what is queued, in order, up to this place, and gives its reply.
    fn carry_out_up_to(&mut self, place: u64) -> Result<Reply, Error> {
        while let Some(entry) = self.queue.first_entry().filter(|entry| *entry.key() <= place) {
            let (place, ask) = entry.remove_entry();
            let reply = self.refusal.clone().map_or_else(|| self.carry_out(ask), Err);
            self.done.insert(place, reply);
        }
        self.done.remove(&place).expect("it was queued")
    }

    fn carry_out(&mut self, ask: Ask) -> Result<Reply, Error> {
        Ok(match ask {
            Ask::Produce(produce) => {
                let outcomes = produce.partitions.into_iter().map(|it| self.append(it));
                Reply::Produce(outcomes.collect())
            }
            Ask::Metadata(metadata) => Reply::Metadata(self.metadata(metadata.topics)),
            Ask::InitProducerId(_) => {
                Reply::InitProducerId(ProducerIdAndEpoch { id: 1000, epoch: 0 })
            }
            Ask::Heartbeat(_) => Reply::Heartbeat(ErrorCode::None),
            Ask::ListGroups(_) => Reply::ListGroups(Vec::new()),
            _ => return Err(Error::Refused(ErrorCode::UnknownServerError)),
        })
    }

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

/// An ask that has its place. If it is dropped before it is answered, it is not carried out: the
/// real node may do so too.
pub(crate) struct FakePlaced {
    fake: Fake,
    place: u64,
}

impl Placed for FakePlaced {
    async fn reply(self) -> Result<Reply, Error> {
        self.fake.0.gate.acquire().await.unwrap().forget();
        let reply = self.fake.lock().carry_out_up_to(self.place);
        self.fake.0.published.send_modify(|published| *published += 1);
        reply
    }
}

impl Drop for FakePlaced {
    fn drop(&mut self) {
        self.fake.lock().queue.remove(&self.place);
    }
}

impl Backend for Fake {
    type Placed = FakePlaced;

    async fn place(&self, ask: Ask) -> Result<FakePlaced, Error> {
        // As a busy runtime would: told to wait, although there is room.
        let count = self.0.polled.fetch_add(1, Ordering::Relaxed);
        if count % 3 == 1 {
            tokio::task::yield_now().await;
        }
        let debug = format!("{ask:?}");
        let name = debug.split('(').next().unwrap_or_default().to_owned();
        let mut state = self.lock();
        state.asked.push(name);
        let place = state.asked.len() as u64;
        state.queue.insert(place, ask);
        drop(state);
        Ok(FakePlaced { fake: self.clone(), place })
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
