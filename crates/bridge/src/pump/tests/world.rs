//! A world in memory: what is journaled survives a restart, the rest does not.

use super::super::*;
use crate::RawBatch;
use crate::delivery::{Action, DeadLetter, Delivery, Fate, Outcome};
use crate::machine::{Ask, Bounds, Bridge, Counters, Refusal, Reply};
use crate::op::Op;
use crate::route::Spec;
use base::{Cx, JournalOp, Lsn, Machine, OpKind, Ticket, Timestamp, Uuid, Verdict};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use topics::BatchBuilder;

/// How a workflow takes its signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Take,
    Busy,
    Refuse,
    Closed,
}

/// Something durable that a delivery has caused.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) workflow: Option<String>,
    pub(super) fate: Fate,
    letter: Option<DeadLetter>,
}

#[derive(Clone)]
pub(super) struct World(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Counts every change, so that whoever waits looks again.
    changes: watch::Sender<u64>,
}

struct State {
    topic: Option<Topic>,
    topics_made: u128,
    /// What is on disk: ops, and what the same entries did outside the bridge.
    journal: Vec<(OpKind, Vec<u8>)>,
    arrivals: Vec<Arrival>,
    bridge: Bridge,
    behaviours: HashMap<String, Behaviour>,
    tries: HashMap<String, usize>,
    refuse_dead_letters: bool,
    unreadable: bool,
    in_flight: usize,
    most_in_flight: usize,
    entries: usize,
    stopped: bool,
    seed: u64,
}

#[derive(Clone, Default)]
struct Topic {
    id: u128,
    partitions: Vec<Partition>,
}

#[derive(Clone, Default)]
struct Partition {
    batches: Vec<RawBatch>,
    end: i64,
    read_to: i64,
}

pub(super) fn route() -> Route {
    let text = |text: &str| Some(text.to_owned());
    Route::new(Spec {
        name: text("r"),
        topics: Some(vec!["t".to_owned()]),
        workflow_type: text("W"),
        task_queue: text("q"),
        signal: text("s"),
        ..Spec::default()
    })
    .unwrap()
}

/// One batch a read, so that caps are seen at work.
pub(super) fn limits() -> Limits {
    Limits { read_bytes: 1, ..Limits::default() }
}

impl World {
    pub(super) fn new(partitions: usize, seed: u64) -> World {
        let state = State {
            topic: None,
            topics_made: 0,
            journal: Vec::new(),
            arrivals: Vec::new(),
            bridge: Bridge::default(),
            behaviours: HashMap::new(),
            tries: HashMap::new(),
            refuse_dead_letters: false,
            unreadable: false,
            in_flight: 0,
            most_in_flight: 0,
            entries: 0,
            stopped: false,
            seed,
        };
        let world = World::with(state);
        if partitions > 0 {
            world.create(partitions, &[]);
        }
        world
    }

    fn with(state: State) -> World {
        let (changes, state) = (watch::Sender::new(0), Mutex::new(state));
        World(Arc::new(Shared { state, changes }))
    }

    /// Another process on the same disk.
    pub(super) fn restarted(&self) -> World {
        let old = self.state();
        let mut bridge = Bridge::default();
        for (kind, body) in &old.journal {
            let op = Op::decode(*kind, body, &[]).unwrap();
            bridge.apply(Lsn(1), Timestamp(1), &op, &[], &mut Vec::new());
        }
        bridge.resume(Timestamp(1));
        bridge.check();
        assert_eq!(bridge, old.bridge, "the journal tells all");
        World::with(State {
            topic: old.topic.clone(),
            topics_made: old.topics_made,
            journal: old.journal.clone(),
            arrivals: old.arrivals.clone(),
            bridge,
            behaviours: old.behaviours.clone(),
            tries: HashMap::new(),
            refuse_dead_letters: false,
            unreadable: false,
            in_flight: 0,
            most_in_flight: 0,
            entries: 0,
            stopped: false,
            seed: old.seed + 1,
        })
    }

    pub(super) fn pump(&self, route: Route, limits: Limits) -> JoinHandle<()> {
        let settings = Settings { cluster: "c".into(), limits, seed: self.state().seed };
        let (source, target) = (Arc::new(self.clone()), Arc::new(self.clone()));
        tokio::spawn(run_route(Arc::new(route), source, target, Arc::new(settings)))
    }

    /// Makes the topic; one that is there is deleted.
    pub(super) fn create(&self, partitions: usize, keys: &[&str]) {
        self.change(|state| {
            state.forget_topic();
            state.topics_made += 1;
            let partitions = vec![Partition::default(); partitions];
            state.topic = Some(Topic { id: state.topics_made, partitions });
        });
        if !keys.is_empty() {
            self.append(0, keys);
        }
    }

    /// The bridge has heard that the topic is deleted, the log's readers have not.
    pub(super) fn forget_topic(&self) {
        self.change(State::forget_topic);
    }

    /// Appends one batch with a record for each key.
    pub(super) fn append(&self, partition: usize, keys: &[&str]) {
        let mut batch = BatchBuilder::new();
        for key in keys {
            batch.push(0, Some(key.as_bytes()), Some(b"{}"), &[]);
        }
        self.append_batch(partition, batch.build().unwrap().1.bytes().clone(), keys.len());
    }

    pub(super) fn append_value(&self, partition: usize, key: Option<&str>, value: &[u8]) {
        let mut batch = BatchBuilder::new();
        batch.push(0, key.map(str::as_bytes), Some(value), &[]);
        self.append_batch(partition, batch.build().unwrap().1.bytes().clone(), 1);
    }

    pub(super) fn append_gzip(&self, partition: usize, keys: &[&str]) {
        const HEADER_BYTES: usize = 61;
        const GZIP: u8 = 1;
        let mut batch = BatchBuilder::new();
        for key in keys {
            batch.push(0, Some(key.as_bytes()), Some(b"{}"), &[]);
        }
        let plain = batch.build().unwrap().1.bytes().clone();
        let (mut bytes, compression) = (plain[..HEADER_BYTES].to_vec(), Compression::best());
        bytes[22] |= GZIP;
        let mut gzip = GzEncoder::new(bytes, compression);
        gzip.write_all(&plain[HEADER_BYTES..]).unwrap();
        let mut bytes = gzip.finish().unwrap();
        // Length and CRC-32C are about what follows them.
        let length = u32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = base::hash::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.append_batch(partition, bytes.into(), keys.len());
    }

    pub(super) fn append_broken(&self, partition: usize, records: usize) -> Bytes {
        let bytes = Bytes::from_static(b"no batch at all");
        self.append_batch(partition, bytes.clone(), records);
        bytes
    }

    fn append_batch(&self, partition: usize, bytes: Bytes, records: usize) {
        self.change(|state| {
            let partition = &mut state.topic.as_mut().unwrap().partitions[partition];
            let base_offset = partition.end;
            partition.end += i64::try_from(records).unwrap();
            let last_offset = partition.end - 1;
            partition.batches.push(RawBatch { base_offset, last_offset, bytes });
        });
    }

    /// Leaves out some offsets.
    pub(super) fn skip(&self, partition: usize, count: i64) {
        self.change(|state| state.topic.as_mut().unwrap().partitions[partition].end += count);
    }

    pub(super) fn set(&self, workflow: &str, behaviour: Behaviour) {
        self.change(|state| state.behaviours.insert(workflow.to_owned(), behaviour));
    }

    pub(super) fn set_unreadable(&self, unreadable: bool) {
        self.change(|state| state.unreadable = unreadable);
    }

    pub(super) fn refuse_dead_letters(&self, refuse: bool) {
        self.change(|state| state.refuse_dead_letters = refuse);
    }

    pub(super) fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.state().arrivals.clone()
    }

    pub(super) fn dead_letters(&self) -> Vec<(i64, DeadLetter)> {
        let arrivals = self.arrivals();
        let mut letters: Vec<_> =
            arrivals.into_iter().filter_map(|a| Some((a.offset, a.letter?))).collect();
        letters.sort_by_key(|(offset, _)| *offset);
        letters
    }

    pub(super) fn counters(&self) -> Counters {
        self.state().bridge.counters().next().unwrap().1
    }

    pub(super) fn tries(&self, workflow: &str) -> usize {
        self.state().tries.get(workflow).copied().unwrap_or_default()
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    pub(super) fn read_to(&self, partition: usize) -> i64 {
        self.state().topic.as_ref().unwrap().partitions[partition].read_to
    }

    pub(super) fn committed(&self) -> Vec<i64> {
        self.committed_or_none().unwrap()
    }

    pub(super) fn committed_or_none(&self) -> Option<Vec<i64>> {
        let committed = self.state().bridge.committed("mainstay-route-r")?;
        Some(committed.into_iter().map(|committed| committed.offset).collect())
    }

    /// Until so many deliveries have been settled, over all lives.
    pub(super) async fn settled(&self, count: usize) {
        self.wait(|state| state.arrivals.len() >= count).await;
        assert_eq!(self.state().arrivals.len(), count);
    }

    /// Until so many entries have been journaled in this life.
    pub(super) async fn entries(&self, count: usize) {
        self.wait(|state| state.entries >= count).await;
    }

    /// Until the route has its positions.
    pub(super) async fn bound(&self) {
        self.wait(|state| state.bridge.groups().next().is_some()).await;
    }

    async fn wait(&self, done: impl Fn(&State) -> bool) {
        let mut changes = self.0.changes.subscribe();
        let wait = async { while !done(&self.state()) && changes.changed().await.is_ok() {} };
        let waited = tokio::time::timeout(Duration::from_secs(3_600), wait).await;
        assert!(waited.is_ok(), "arrived: {:?}", self.state().arrivals);
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let changed = change(&mut self.state());
        self.0.changes.send_modify(|changes| *changes += 1);
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl State {
    /// One entry: decided, journaled and applied at once.
    fn ask(&mut self, ask: &Ask) -> Result<Reply, Refusal> {
        let entropy = SeededEntropy::new(0);
        let cx = Cx { now: Timestamp(1), entropy: &entropy };
        let mut plan = Vec::new();
        match self.bridge.decide(ask, Ticket(0), &cx, &mut plan) {
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Go(reply) => {
                for op in plan {
                    let mut body = Vec::new();
                    self.journal.push((op.encode(&mut body, &mut Vec::new()), body));
                    self.bridge.apply(Lsn(1), Timestamp(1), &op, &[], &mut Vec::new());
                    self.entries += 1;
                }
                self.bridge.check();
                Ok(reply.unwrap())
            }
        }
    }

    fn forget_topic(&mut self) {
        if let Some(id) = self.topic.as_ref().map(|topic| TopicId(Uuid::from_u128(topic.id))) {
            self.ask(&Ask::ForgetTopic(id)).unwrap();
        }
    }

    fn info(&self) -> Option<TopicInfo> {
        let topic = self.topic.as_ref()?;
        let bounds = topic.partitions.iter().map(|p| Bounds { log_start: 0, end: p.end });
        Some(TopicInfo { id: TopicId(Uuid::from_u128(topic.id)), partitions: bounds.collect() })
    }

    fn read(
        &mut self,
        id: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Result<Vec<RawBatch>, SourceError> {
        if self.stopped {
            return Err(SourceError::Stopping);
        }
        if self.unreadable {
            return Err(SourceError::Failed("damaged".into()));
        }
        let topic = self.topic.as_mut().filter(|t| TopicId(Uuid::from_u128(t.id)) == id.topic);
        let topic = topic.ok_or(SourceError::TopicGone)?;
        let partition = &mut topic.partitions[usize::try_from(id.index).unwrap()];
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for batch in partition.batches.iter().filter(|batch| batch.last_offset >= offset) {
            bytes += batch.bytes.len();
            if bytes > max_bytes && !batches.is_empty() {
                break;
            }
            batches.push(batch.clone());
            partition.read_to = partition.read_to.max(batch.last_offset + 1);
        }
        Ok(batches)
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<Outcome, DeliverError> {
        if self.stopped {
            return Err(DeliverError::Stopping);
        }
        let (workflow, letter) = match &delivery.action {
            Action::SignalWithStart(request) => (Some(request.workflow_id.clone()), None),
            Action::DeadLetter(letter) => (None, Some(letter.clone())),
            other => panic!("{other:?}"),
        };
        let fate = match &workflow {
            Some(workflow) => self.signal(workflow)?,
            None if self.refuse_dead_letters => {
                return Err(DeliverError::Permanent("no dead letters".into()));
            }
            None => Fate::DeadLettered,
        };
        match self.ask(&delivery.progress(fate)) {
            Ok(_) => {
                let (partition, offset) = (delivery.partition.index, delivery.last);
                self.arrivals.push(Arrival { partition, offset, workflow, fate, letter });
                Ok(Outcome::Settled(fate))
            }
            Err(Refusal::AlreadyDone) => Ok(Outcome::AlreadyDone),
            Err(Refusal::NotBound) => Err(DeliverError::NotBound),
            Err(error @ Refusal::EmptyRange) => panic!("{error}"),
        }
    }

    fn signal(&mut self, workflow: &str) -> Result<Fate, DeliverError> {
        *self.tries.entry(workflow.to_owned()).or_default() += 1;
        match self.behaviours.get(workflow) {
            None | Some(Behaviour::Take) => Ok(Fate::Delivered),
            Some(Behaviour::Closed) => Ok(Fate::Ignored),
            Some(Behaviour::Busy) => Err(DeliverError::Transient("busy".into())),
            Some(Behaviour::Refuse) => Err(DeliverError::Permanent("refused for good".into())),
        }
    }
}

impl Source for World {
    async fn topic(&self, _: &str) -> Result<Option<TopicInfo>, SourceError> {
        Ok(self.state().info())
    }

    async fn wait_for_topic(
        &self,
        _: &str,
        gone: Option<TopicId>,
    ) -> Result<TopicInfo, SourceError> {
        let other = |state: &State| state.info().is_some_and(|info| Some(info.id) != gone);
        self.wait(other).await;
        Ok(self.state().info().unwrap())
    }

    async fn read(
        &self,
        partition: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Result<Vec<RawBatch>, SourceError> {
        let mut changes = self.0.changes.subscribe();
        loop {
            let batches = self.state().read(partition, offset, max_bytes)?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            changes.changed().await.unwrap();
        }
    }
}

impl Target for World {
    async fn wait(&self, wait: Await) -> Result<(), DeliverError> {
        self.change(|state| state.ask(&Ask::Await(wait))).unwrap();
        Ok(())
    }

    async fn bind(&self, bind: Bind) -> Result<Vec<Cursor>, DeliverError> {
        match self.change(|state| state.ask(&Ask::Bind(bind))) {
            Ok(Reply::Bound(cursors)) => Ok(cursors),
            other => panic!("{other:?}"),
        }
    }

    /// Takes some time before and after the entry, so that deliveries overlap and a process can
    /// die with an entry that nobody was told of.
    async fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliverError> {
        let salt = self.change(|state| {
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.seed ^ delivery.last.unsigned_abs()
        });
        let pause = |step| {
            let settings = Settings { cluster: "c".into(), limits: limits(), seed: salt };
            tokio::time::sleep(backoff(&settings, 0, step))
        };
        pause(1).await;
        let outcome = self.change(|state| state.deliver(&delivery));
        pause(2).await;
        self.change(|state| state.in_flight -= 1);
        outcome
    }
}
