//! The published side of the log: what readers may see, because it is on disk.
//!
//! It advances at release only, so no reader ever sees what a crash could take back. Fetches read
//! here and never trouble the writer. Rebuilt from replay at every start.

use crate::cold_reads::{Cell, ColdReads};
use crate::error::Error;
use crate::fetch_waiter::Waiter;
use crate::held::Published;
use crate::hot_tail::HotTail;
use crate::published_partition::PublishedPartition;
use base::{BlobAddr, PartitionId, TopicId};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio::time::Instant;
use topics::BatchRef;

/// Smaller blobs are not kept after a read: the system keeps them, see `journal::RealFile`.
const COLD_BYTES_MIN: u32 = 128 << 10;
/// So much is kept of what was read from disk.
const COLD_READS_BYTES: usize = 16 << 20;
/// So much behind a batch that was read from disk is read ahead.
const READ_AHEAD_BYTES: usize = 2 << 20;

/// What a reader of the log may see from now on.
#[derive(Clone, Debug)]
pub(crate) enum Publication {
    Batch(BatchRef),
    TopicCreated { name: String, id: TopicId, partition_count: i32 },
    TopicDeleted { name: String, id: TopicId },
}

/// Where cold reads are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// On a thread that may block.
    OffThread,
    /// On the caller's: for a simulated disk, which does not block.
    #[cfg_attr(not(feature = "simulated"), allow(dead_code, reason = "for simulations"))]
    InPlace,
}

/// Reads the journal. Blocks.
pub(crate) trait ReadBlob: Send + Sync + 'static {
    fn read(&self, address: BlobAddr) -> Result<Bytes, Error>;
}

/// The published log. Clones share it.
#[derive(Clone)]
pub struct PublishedLog(Arc<Shared>);

/// A topic that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTopic {
    /// Name.
    pub name: String,
    /// Id.
    pub id: TopicId,
    /// Partitions are 0..count.
    pub partition_count: i32,
}

struct Shared {
    topics: RwLock<Topics>,
    tail: Mutex<HotTail>,
    cold: ColdReads,
    /// There as long as the journal is open.
    reader: RwLock<Option<Arc<dyn ReadBlob>>>,
    reads: Reads,
    /// Raised whenever a topic comes or goes.
    changes: watch::Sender<u64>,
    waiter_ids: AtomicU64,
}

#[derive(Default)]
struct Topics {
    by_name: BTreeMap<String, TopicId>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

struct Topic {
    name: String,
    partitions: Vec<Mutex<PublishedPartition>>,
}

impl PublishedLog {
    /// Empty, and without bytes to read.
    pub(crate) fn new(hot_tail_bytes: usize, reads: Reads) -> PublishedLog {
        PublishedLog(Arc::new(Shared {
            topics: RwLock::default(),
            tail: Mutex::new(HotTail::new(hot_tail_bytes)),
            cold: ColdReads::new(COLD_READS_BYTES),
            reader: RwLock::new(None),
            reads,
            changes: watch::Sender::new(0),
            waiter_ids: AtomicU64::new(0),
        }))
    }

    /// From here on bytes can be read.
    pub(crate) fn read_from(&self, reader: Arc<dyn ReadBlob>) {
        *self.0.reader.write().unwrap_or_else(PoisonError::into_inner) = Some(reader);
    }

    /// From here on nothing can be read from disk: whoever still has a handle must not keep the
    /// journal's files from being opened by another node.
    pub(crate) fn close(&self) {
        self.0.reader.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<PublishedTopic> {
        let topics = self.lock_topics();
        topics.by_name.values().filter_map(|id| topics.describe(*id)).collect()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<PublishedTopic> {
        let topics = self.lock_topics();
        topics.describe(*topics.by_name.get(name)?)
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<PublishedTopic> {
        self.lock_topics().describe(id)
    }

    /// Offset after the last readable record. `None`: no such partition.
    pub fn high_watermark(&self, partition: PartitionId) -> Option<i64> {
        self.with_partition(partition, |found| found.high_watermark())
    }

    /// First offset that can be read. `None`: no such partition.
    pub fn log_start_offset(&self, partition: PartitionId) -> Option<i64> {
        self.with_partition(partition, |found| found.log_start_offset())
    }

    /// The batch that holds `offset` and those after it, up to `max_bytes`, but at least one if
    /// there is one. `None`: no such partition.
    pub fn batches_from(
        &self,
        partition: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Option<Vec<BatchRef>> {
        self.with_partition(partition, |found| found.batches_from(partition, offset, max_bytes))
    }

    /// The first batch that may hold a record of this time or later. The caller looks into it;
    /// that batch does hold one, since its largest timestamp is not earlier.
    pub fn batch_for_timestamp(
        &self,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Option<BatchRef> {
        self.with_partition(partition, |found| found.batch_for_timestamp(partition, timestamp_ms))?
    }

    /// The first batch that holds the partition's largest timestamp.
    pub fn batch_with_max_timestamp(&self, partition: PartitionId) -> Option<BatchRef> {
        self.with_partition(partition, |found| found.batch_with_max_timestamp(partition))?
    }

    /// Waits until `min_bytes` can be read from these positions together, a partition is missing
    /// or goes away, or `deadline` has come. One waiter, woken once.
    pub async fn wait_for_bytes(
        &self,
        positions: &[(PartitionId, i64)],
        min_bytes: u64,
        deadline: Instant,
    ) {
        let waiting = Waiting::new(self, min_bytes, positions);
        if !waiting.waiter.is_satisfied() {
            // On time or not, the caller looks at what is there.
            let _ = tokio::time::timeout_at(deadline, waiting.waiter.woken()).await;
        }
    }

    /// The bytes of a batch, as the producer sent them. Those of the next ones are fetched from
    /// disk meanwhile, if that is where they are.
    pub async fn read(&self, batch: BatchRef) -> Result<Bytes, Error> {
        if let Some(hot) = self.hot(&batch.address) {
            return Ok(hot);
        }
        self.read_ahead(&batch);
        self.read_from_disk(batch.address).await
    }

    /// The bytes at an address: from memory if they are recent, otherwise from disk, without
    /// blocking the caller's thread.
    pub async fn read_blob(&self, address: BlobAddr) -> Result<Bytes, Error> {
        match self.hot(&address) {
            Some(bytes) => Ok(bytes),
            None => self.read_from_disk(address).await,
        }
    }

    fn hot(&self, address: &BlobAddr) -> Option<Bytes> {
        self.lock_tail().get(address)
    }

    async fn read_from_disk(&self, address: BlobAddr) -> Result<Bytes, Error> {
        if address.length < COLD_BYTES_MIN {
            return self.read_cold(move |reader| reader.read(address)).await;
        }
        let (cell, _) = self.0.cold.cell(address);
        self.read_into(&cell, address).await
    }

    /// One of those who wait for a cell reads; if that fails, or it gives up, the next one does.
    async fn read_into(&self, cell: &Cell, address: BlobAddr) -> Result<Bytes, Error> {
        let read = || self.read_cold(move |reader| reader.read(address));
        cell.get_or_try_init(read).await.cloned()
    }

    fn read_ahead(&self, batch: &BatchRef) {
        if self.0.reads == Reads::InPlace {
            return;
        }
        let next = self.batches_from(batch.partition, batch.last_offset + 1, READ_AHEAD_BYTES);
        let large = next.unwrap_or_default().into_iter().map(|batch| batch.address);
        let large = large.filter(|address| address.length >= COLD_BYTES_MIN);
        let cold: Vec<BlobAddr> = {
            let tail = self.lock_tail();
            large.filter(|address| tail.get(address).is_none()).collect()
        };
        let fresh = cold.into_iter().filter_map(|address| match self.0.cold.cell(address) {
            (cell, true) => Some((cell, address)),
            (_, false) => None,
        });
        let fresh: Vec<(Cell, BlobAddr)> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        let log = self.clone();
        tokio::spawn(async move {
            for (cell, address) in fresh {
                // Who asks for what cannot be read tries again, and is told.
                if log.read_into(&cell, address).await.is_err() {
                    break;
                }
            }
        });
    }

    /// The bytes at several addresses, in their order. What is not in memory costs one change of
    /// threads for all together.
    pub async fn read_blobs(&self, addresses: &[BlobAddr]) -> Result<Vec<Bytes>, Error> {
        let hot: Vec<(BlobAddr, Option<Bytes>)> = {
            let tail = self.lock_tail();
            addresses.iter().map(|address| (*address, tail.get(address))).collect()
        };
        if hot.iter().all(|(_, bytes)| bytes.is_some()) {
            return Ok(hot.into_iter().filter_map(|(_, bytes)| bytes).collect());
        }
        self.read_cold(move |reader| {
            let read = |(address, bytes): (_, Option<_>)| match bytes {
                Some(bytes) => Ok(bytes),
                None => reader.read(address),
            };
            hot.into_iter().map(read).collect()
        })
        .await
    }

    async fn read_cold<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn ReadBlob) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = self.0.reader.read().unwrap_or_else(PoisonError::into_inner).clone();
        let reader = reader.ok_or(Error::Stopping)?;
        let read = move || read(&*reader);
        match self.0.reads {
            Reads::OffThread => {
                tokio::task::spawn_blocking(read).await.map_err(|_cancelled| Error::Stopping)?
            }
            Reads::InPlace => read(),
        }
    }

    /// Changes whenever a topic comes or goes.
    pub fn topic_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Waits until a topic of this name exists.
    pub async fn wait_for_topic(&self, name: &str) -> PublishedTopic {
        let mut changes = self.topic_changes();
        loop {
            changes.borrow_and_update();
            if let Some(topic) = self.topic(name) {
                return topic;
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as this log does.
                std::future::pending::<()>().await;
            }
        }
    }

    fn with_partition<T>(
        &self,
        id: PartitionId,
        look: impl FnOnce(&mut PublishedPartition) -> T,
    ) -> Option<T> {
        let topic = self.lock_topics().by_id.get(&id.topic).map(Arc::clone)?;
        let mut partition = topic.lock_partition(id.index)?;
        Some(look(&mut partition))
    }

    fn take_in(&self, publication: Publication) {
        match publication {
            Publication::Batch(batch) => {
                self.with_partition(batch.partition, |found| found.publish(&batch));
            }
            Publication::TopicCreated { name, id, partition_count } => {
                let partitions = (0..partition_count).map(|_| Mutex::default()).collect();
                let topic = Arc::new(Topic { name: name.clone(), partitions });
                let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
                topics.by_name.insert(name, id);
                topics.by_id.insert(id, topic);
                drop(topics);
                self.0.changes.send_modify(|changes| *changes += 1);
            }
            Publication::TopicDeleted { name, id } => {
                let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
                if topics.by_name.get(&name) == Some(&id) {
                    topics.by_name.remove(&name);
                }
                let gone = topics.by_id.remove(&id);
                drop(topics);
                if let Some(gone) = gone {
                    gone.wake_all();
                }
                self.0.changes.send_modify(|changes| *changes += 1);
            }
        }
    }

    fn lock_topics(&self) -> RwLockReadGuard<'_, Topics> {
        self.0.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_tail(&self) -> MutexGuard<'_, HotTail> {
        self.0.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published<Publication> for PublishedLog {
    fn publish(&self, blobs: Vec<(BlobAddr, Bytes)>, publications: Vec<Publication>) {
        if !blobs.is_empty() {
            let mut tail = self.lock_tail();
            blobs.into_iter().for_each(|(address, bytes)| tail.insert(address, bytes));
        }
        publications.into_iter().for_each(|publication| self.take_in(publication));
    }
}

impl fmt::Debug for PublishedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedLog").finish_non_exhaustive()
    }
}

impl Topics {
    fn describe(&self, id: TopicId) -> Option<PublishedTopic> {
        let topic = self.by_id.get(&id)?;
        let partition_count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Some(PublishedTopic { name: topic.name.clone(), id, partition_count })
    }
}

impl Topic {
    fn lock_partition(&self, index: i32) -> Option<MutexGuard<'_, PublishedPartition>> {
        let partition = self.partitions.get(usize::try_from(index).ok()?)?;
        Some(partition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake_all(&self) {
        for partition in &self.partitions {
            partition.lock().unwrap_or_else(PoisonError::into_inner).waiters.wake_all();
        }
    }
}

/// A waiter's places in its partitions, given up on drop.
struct Waiting {
    waiter: Arc<Waiter>,
    id: u64,
    places: Vec<(Arc<Topic>, i32)>,
}

impl Waiting {
    fn new(log: &PublishedLog, min_bytes: u64, positions: &[(PartitionId, i64)]) -> Waiting {
        let id = log.0.waiter_ids.fetch_add(1, Ordering::Relaxed);
        let waiter = Arc::new(Waiter::new(min_bytes));
        let mut waiting = Waiting { waiter, id, places: Vec::with_capacity(positions.len()) };
        for (partition, offset) in positions {
            if !waiting.take_place(log, *partition, *offset) {
                waiting.waiter.wake();
            }
            if waiting.waiter.is_satisfied() {
                break;
            }
        }
        waiting
    }

    fn take_place(&mut self, log: &PublishedLog, id: PartitionId, offset: i64) -> bool {
        let topics = log.lock_topics();
        let Some(topic) = topics.by_id.get(&id.topic) else { return false };
        let Some(mut partition) = topic.lock_partition(id.index) else { return false };
        self.waiter.gain(partition.bytes_from(offset));
        partition.waiters.insert(self.id, Arc::clone(&self.waiter));
        drop(partition);
        self.places.push((Arc::clone(topic), id.index));
        // The topics stay locked until here: a deletion cannot slip in before the place is taken.
        drop(topics);
        true
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for (topic, index) in &self.places {
            if let Some(mut partition) = topic.lock_partition(*index) {
                partition.waiters.remove(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
