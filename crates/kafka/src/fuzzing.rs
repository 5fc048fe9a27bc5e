//! The door for the fuzz targets: one connection from its first byte to its last, with the
//! machine itself behind it instead of a node. Deterministic; no journal, no threads.
//!
//! Invariant of every run: what the machine plans comes back from its bytes on disk as it was,
//! and its own invariants hold afterwards.

use crate::{
    api::Peer,
    backend::{Backend, Error, Placed, PublishedTopic, Range},
    budget::{Budgets, ServerBudget},
    connection,
    damaged::Damaged,
    dispatch::Context,
    options::{Advertised, Limits},
    table::TABLE,
};
use base::{
    Blob, BlobAddr, Cx, JournalOp, Lsn, Machine, PartitionId, SeededEntropy, Ticket, Timestamp,
    TopicId, Verdict,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::empty,
    sync::{Semaphore, watch},
    time::Instant,
};
use topics::{Ask, BatchRef, Effect, ErrorCode, Op, Reply, Topics};

/// The topics that exist at the beginning, with two partitions each.
pub const TOPICS: [&str; 2] = ["orders", "t"];
/// How often time may move on for one answer that waits.
const STEPS_MAX: usize = 100;

/// Every API that is served: key, lowest and highest version, first flexible version.
pub fn apis() -> impl Iterator<Item = (i16, i16, i16, i16)> {
    TABLE.iter().map(|it| (it.key as i16, it.version_min, it.version_max, it.flexible_from))
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was sent was understood and, where the protocol wants it, answered.
    Served,
    /// A request could not be decoded, or is not served.
    Refused,
    /// For another reason: half a frame, or no answer.
    Closed,
}

/// Sends `bytes` over a new connection to a new machine.
pub async fn connection(bytes: &[u8]) -> Ended {
    let limits = Limits::default();
    let backend = Behind::new();
    let peer = Peer {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        advertised: Advertised { host: "localhost".to_owned(), port: 9092 },
        limits: limits.clone(),
        lookups: Arc::new(Semaphore::new(1)),
        damaged: Arc::new(Damaged::default()),
    };
    let context = Arc::new(Context { backend: backend.clone(), peer: Arc::new(peer) });
    let budgets = Budgets::of_connection(&ServerBudget::new(&limits), &limits);
    let (_stop, stopped) = watch::channel(false);
    let sink = tokio::io::join(empty(), tokio::io::sink());
    let ended = connection::run((bytes, sink), context, budgets, stopped).await;
    backend.locked().topics.check();
    match ended {
        Ok(()) => Ended::Served,
        Err(connection::Error::Dispatch(_)) => Ended::Refused,
        Err(_) => Ended::Closed,
    }
}

/// The machine, and what a node keeps beside it.
#[derive(Clone)]
struct Behind(Arc<Mutex<State>>);

struct State {
    topics: Topics,
    entropy: SeededEntropy,
    now: Timestamp,
    lsn: Lsn,
    tickets: u64,
    answers: BTreeMap<Ticket, Reply>,
    partitions: BTreeMap<PartitionId, Vec<BatchRef>>,
    blobs: Vec<Bytes>,
}

impl Behind {
    fn new() -> Behind {
        let state = State {
            topics: Topics::default(),
            entropy: SeededEntropy::new(1),
            now: Timestamp::from_millis(1_700_000_000_000),
            lsn: Lsn(0),
            tickets: 0,
            answers: BTreeMap::new(),
            partitions: BTreeMap::new(),
            blobs: Vec::new(),
        };
        let behind = Behind(Arc::new(Mutex::new(state)));
        let topics = TOPICS.map(|name| topics::ask::NewTopic {
            name: name.to_owned(),
            partition_count: 2,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        });
        let create = topics::ask::CreateTopics { topics: topics.into(), validate_only: false };
        let _ = behind.locked().ask(Ask::CreateTopics(create));
        behind
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batches(&self, partition: PartitionId) -> Vec<BatchRef> {
        self.locked().partitions.get(&partition).cloned().unwrap_or_default()
    }
}

impl State {
    fn ask(&mut self, ask: Ask) -> Result<Ticket, Error> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let cx = Cx { now: self.now, entropy: &self.entropy };
        let mut plan = Vec::new();
        let answer = match self.topics.decide(&ask, ticket, &cx, &mut plan) {
            Verdict::Go(answer) => answer,
            Verdict::Refuse(code) => return Err(Error::Refused(code)),
        };
        let mut effects = Vec::new();
        self.lsn = self.lsn.next();
        for op in &plan {
            self.apply(op, &mut effects);
        }
        let cx = Cx { now: self.now, entropy: &self.entropy };
        self.topics.attend(ask, ticket, &cx, &mut effects);
        self.answers.extend(answer.map(|answer| (ticket, answer)));
        for effect in effects {
            match effect {
                Effect::Reply(ticket, reply) => drop(self.answers.insert(ticket, reply)),
                Effect::Publish(batch) => {
                    self.partitions.entry(batch.partition).or_default().push(batch);
                }
                Effect::TopicCreated { .. } | Effect::TopicDeleted { .. } => {}
            }
        }
        Ok(ticket)
    }

    /// By way of the op's bytes, as a restart would.
    fn apply(&mut self, op: &Op, effects: &mut Vec<Effect>) {
        let (mut body, mut blobs) = (Vec::new(), Vec::new());
        let kind = op.encode(&mut body, &mut blobs);
        let addresses: Vec<BlobAddr> = blobs.iter().map(|blob| self.store(blob)).collect();
        let bytes: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
        match Op::decode(kind, &body, &bytes) {
            Ok(read) => {
                assert_eq!(format!("{read:?}"), format!("{op:?}"), "what is read was written");
                self.topics.apply(self.lsn, self.now, &read, &addresses, effects);
            }
            Err(error) => panic!("{op:?} cannot be read back: {error}"),
        }
    }

    fn store(&mut self, blob: &Blob) -> BlobAddr {
        self.blobs.push(blob.bytes().clone());
        BlobAddr {
            segment: self.blobs.len() as u32 - 1,
            position: 0,
            length: blob.bytes().len() as u32,
            crc: blob.crc(),
        }
    }

    /// The answer to a ticket; while it waits, time moves on.
    fn answer(&mut self, ticket: Ticket) -> Option<Reply> {
        for _ in 0..STEPS_MAX {
            if let Some(reply) = self.answers.remove(&ticket) {
                return Some(reply);
            }
            self.now = self.now.max(self.topics.next_due()?);
            let due = self.topics.due(self.now)?;
            self.ask(due).ok()?;
        }
        None
    }
}

/// An ask that has its place.
struct Waiting(Behind, Ticket);

impl Placed for Waiting {
    async fn reply(self) -> Result<Reply, Error> {
        let reply = self.0.locked().answer(self.1);
        reply.ok_or_else(|| Error::Unavailable("it waits for ever".to_owned()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.locked().topics.forget(self.1);
    }
}

impl Backend for Behind {
    type Placed = Waiting;

    async fn place(&self, ask: Ask) -> Result<Waiting, Error> {
        let ticket = self.locked().ask(ask)?;
        Ok(Waiting(self.clone(), ticket))
    }

    fn cluster_id(&self) -> String {
        "fuzzing".to_owned()
    }

    fn topic(&self, name: &str) -> Option<PublishedTopic> {
        let state = self.locked();
        let topic = state.topics.topic_named(name)?;
        let (name, id) = (topic.name().to_owned(), topic.id());
        Some(PublishedTopic { name, id, partition_count: topic.partition_count() })
    }

    fn topic_by_id(&self, id: TopicId) -> Option<PublishedTopic> {
        let name = self.locked().topics.topic(id)?.name().to_owned();
        self.topic(&name)
    }

    fn range(&self, partition: PartitionId) -> Option<Range> {
        let state = self.locked();
        let found = state.topics.partition(partition)?;
        let (log_start_offset, high_watermark) = (found.log_start_offset(), found.next_offset());
        Some(Range { log_start_offset, high_watermark })
    }

    fn batches_from(&self, partition: PartitionId, offset: i64, max_bytes: usize) -> Vec<BatchRef> {
        let mut left = max_bytes;
        let mut batches = self.batches(partition);
        batches.retain(|batch| {
            let bytes = batch.address.length as usize;
            let fits = batch.last_offset >= offset && (left == max_bytes || bytes <= left);
            left = if fits { left.saturating_sub(bytes) } else { left };
            fits
        });
        batches
    }

    fn batch_for_timestamp(&self, partition: PartitionId, timestamp_ms: i64) -> Option<BatchRef> {
        self.batches(partition).into_iter().find(|batch| batch.max_timestamp_ms >= timestamp_ms)
    }

    fn batch_with_max_timestamp(&self, partition: PartitionId) -> Option<BatchRef> {
        self.batches(partition).into_iter().max_by_key(|batch| batch.max_timestamp_ms)
    }

    async fn wait_for_bytes(&self, _: &[(PartitionId, i64)], _: u64, _: Instant) {}

    async fn read(&self, batch: BatchRef) -> Result<Bytes, Error> {
        let bytes = self.locked().blobs.get(batch.address.segment as usize).cloned();
        bytes.ok_or(Error::Refused(ErrorCode::KafkaStorageError))
    }
}
