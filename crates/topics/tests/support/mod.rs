//! A node in miniature: decides, journals, applies and attends as the real one does, keeps a
//! shadow machine that only ever sees decoded ops, and compares the two after every ask.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use base::{
    Blob, BlobAddr, Cx, JournalOp, Lsn, Machine, OpKind, SeededEntropy, Ticket, Timestamp, Verdict,
};
use bytes::Bytes;
use topics::{Ask, BatchBuilder, BatchHeader, Config, Effect, ErrorCode, Op, Reply, Topics, ask};

/// What one ask brought about.
#[derive(Debug, Default)]
pub struct Outcome {
    pub ticket: Option<Ticket>,
    pub ops: Vec<Op>,
    pub answer: Option<Result<Reply, ErrorCode>>,
    pub effects: Vec<Effect>,
}

/// One journaled op, as bytes.
struct Written {
    lsn: Lsn,
    at: Timestamp,
    kind: OpKind,
    body: Vec<u8>,
    blobs: Vec<Bytes>,
    addresses: Vec<BlobAddr>,
}

pub struct Harness {
    pub topics: Topics,
    pub now: Timestamp,
    config: Config,
    shadow: Topics,
    journal: Vec<Written>,
    entropy: SeededEntropy,
    tip: Lsn,
    position: u32,
    next_ticket: u64,
}

impl Harness {
    pub fn new(config: Config) -> Harness {
        let mut topics = Topics::new(config.clone());
        let now = Timestamp::from_millis(1_000_000);
        topics.resume(now);
        Harness {
            topics,
            now,
            shadow: Topics::new(config.clone()),
            config,
            journal: Vec::new(),
            entropy: SeededEntropy::new(7),
            tip: Lsn(0),
            position: 0,
            next_ticket: 0,
        }
    }

    pub fn ask(&mut self, ask: Ask) -> Outcome {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let cx = Cx { now: self.now, entropy: &self.entropy };
        let mut ops = Vec::new();
        let answer = match self.topics.decide(&ask, ticket, &cx, &mut ops) {
            Verdict::Refuse(code) => {
                assert!(ops.is_empty(), "a refusal plans nothing");
                return Outcome { answer: Some(Err(code)), ..Outcome::default() };
            }
            Verdict::Go(reply) => reply.map(Ok),
        };
        let mut effects = Vec::new();
        if !ops.is_empty() {
            self.tip = self.tip.next();
        }
        for op in &ops {
            let written = self.write(op);
            self.topics.apply(self.tip, self.now, op, &written.addresses, &mut effects);
            replay(&mut self.shadow, &written);
            self.journal.push(written);
        }
        let cx = Cx { now: self.now, entropy: &self.entropy };
        self.topics.attend(ask, ticket, &cx, &mut effects);
        self.topics.check();
        assert!(self.topics.same_facts(&self.shadow), "a replay gives the same");
        Outcome { ticket: Some(ticket), ops, answer, effects }
    }

    fn write(&mut self, op: &Op) -> Written {
        let (mut body, mut blobs) = (Vec::new(), Vec::new());
        let kind = op.encode(&mut body, &mut blobs);
        assert!((1..=99).contains(&kind.kind));
        let addresses = blobs.iter().map(|blob: &Blob| {
            let length = blob.bytes().len() as u32;
            self.position += length;
            BlobAddr { segment: 1, position: self.position - length, length, crc: blob.crc() }
        });
        let addresses = addresses.collect();
        let blobs: Vec<Bytes> = blobs.iter().map(|it| it.bytes().clone()).collect();
        let decoded = Op::decode(kind, &body, &blobs).expect("what was encoded can be decoded");
        assert_eq!(&decoded, op);
        Written { lsn: self.tip, at: self.now, kind, body, blobs, addresses }
    }

    /// Passes time and serves what it makes due.
    pub fn advance(&mut self, milliseconds: i64) -> Vec<Outcome> {
        let until = Timestamp(self.now.0 + milliseconds * 1_000);
        let mut outcomes = Vec::new();
        while let Some(due) = self.topics.next_due().filter(|it| *it <= until) {
            self.now = self.now.max(due);
            let mut asked = 0;
            while let Some(ask) = self.topics.due(self.now) {
                outcomes.push(self.ask(ask));
                asked += 1;
                assert!(asked < 10_000, "time's asks come to an end");
            }
            assert!(self.topics.next_due().is_none_or(|it| it > self.now));
        }
        self.now = until;
        outcomes
    }

    /// Kills the node and starts it again from its journal.
    pub fn restart(&mut self) {
        let mut topics = Topics::new(self.config.clone());
        for written in &self.journal {
            replay(&mut topics, written);
        }
        assert_eq!(topics.digest(), self.topics.digest());
        topics.resume(self.now);
        topics.check();
        assert_eq!(topics.digest(), self.shadow.digest(), "resuming changes no fact");
        self.topics = topics;
    }

    pub fn reply(&mut self, ask: Ask) -> Reply {
        self.ask(ask).answer.expect("answered at once").expect("not refused")
    }

    pub fn create_topic(&mut self, name: &str, partition_count: i32) -> base::TopicId {
        let topics = vec![new_topic(name, partition_count)];
        let ask = Ask::CreateTopics(ask::CreateTopics { topics, validate_only: false });
        let Reply::CreateTopics(results) = self.reply(ask) else { panic!("wrong reply") };
        assert_eq!(results[0].error, ErrorCode::None, "{results:?}");
        results[0].id
    }
}

fn replay(topics: &mut Topics, written: &Written) {
    let op = Op::decode(written.kind, &written.body, &written.blobs).expect("own op");
    topics.apply(written.lsn, written.at, &op, &written.addresses, &mut Vec::new());
}

pub fn new_topic(name: &str, partition_count: i32) -> ask::NewTopic {
    ask::NewTopic {
        name: name.to_owned(),
        partition_count,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// A batch of `count` records "value 0", "value 1", ….
pub fn batch(count: i32) -> (BatchHeader, Bytes) {
    let mut builder = BatchBuilder::new();
    for index in 0..count {
        let value = format!("value {index}");
        builder.push(1_000 + i64::from(index), Some(b"key"), Some(value.as_bytes()), &[]);
    }
    let (header, blob) = builder.build().expect("records");
    (header, blob.bytes().clone())
}

/// Computes the CRC anew after a test has changed a byte.
pub fn sealed(mut batch: Vec<u8>) -> Bytes {
    let crc = base::hash::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// The same batch from an idempotent producer.
pub fn from_producer(batch: &Bytes, id: i64, epoch: i16, sequence: i32) -> (BatchHeader, Bytes) {
    let mut bytes = batch.to_vec();
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let bytes = sealed(bytes);
    (BatchHeader::parse(&bytes).expect("a good batch"), bytes)
}

pub fn append(topic: &str, partition: i32, batch: (BatchHeader, Bytes)) -> ask::PartitionAppend {
    let (header, bytes) = batch;
    ask::PartitionAppend { topic: topic.to_owned(), partition, header, batch: Blob::new(bytes) }
}
