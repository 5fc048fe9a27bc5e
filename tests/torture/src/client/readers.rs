//! Readers: members of consumer groups that commit what they have read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use checker::{Answer, Call, Outcome, Place, Record, digest};
use futures::FutureExt;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinSet;

use super::{World, watcher};
use crate::kafka::{self, GROUPS, LOG, OUTCOMES};

/// Readers in a process, in turn of each group.
const READERS: usize = 4;
/// Most records of one poll.
const BATCH: usize = 200;
/// What a poll waits for the first record.
const POLL_MAX: Duration = Duration::from_millis(500);

/// Reads until it is stopped.
pub(crate) async fn run(world: World) -> Result<()> {
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let group = GROUPS[number % GROUPS.len()];
        let consumer: StreamConsumer = kafka::config(world.addresses.kafka)
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            .set("fetch.wait.max.ms", "200")
            .set("fetch.error.backoff.ms", "20")
            .create()?;
        consumer.subscribe(&[LOG, OUTCOMES])?;
        let reader = Reader {
            name: format!("c{}-{number}", world.process),
            group,
            consumer: Arc::new(consumer),
            world: world.clone(),
        };
        readers.spawn(reader.run());
    }
    readers.spawn(watcher::run(world));
    while let Some(ended) = readers.join_next().await {
        ended??;
    }
    Ok(())
}

/// One member of a group.
struct Reader {
    name: String,
    group: &'static str,
    consumer: Arc<StreamConsumer>,
    world: World,
}

impl Reader {
    async fn run(self) -> Result<()> {
        let mut commit: Option<tokio::task::JoinHandle<()>> = None;
        let mut read = BTreeMap::new();
        while !self.world.stopped() {
            self.poll(&mut read).await;
            if commit.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) && !read.is_empty()
            {
                commit = Some(self.commit(std::mem::take(&mut read)));
            }
        }
        if let Some(commit) = commit {
            commit.await?;
        }
        if !read.is_empty() {
            self.commit(read).await?;
        }
        Ok(())
    }

    /// One poll: what there is, and the positions after it.
    async fn poll(&self, read: &mut BTreeMap<(String, i32), i64>) {
        let op = self.world.book.invoke(Call::Poll {
            consumer: self.name.clone(),
            group: Some(self.group.to_owned()),
            from: Vec::new(),
        });
        let mut stop = self.world.stop.clone();
        let mut records = Vec::new();
        let first = tokio::time::timeout(POLL_MAX, self.consumer.recv());
        let mut result = tokio::select! {
            first = first => first.ok(),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        while let Some(Ok(message)) = &result {
            records.push(record(message));
            let next = message.offset() + 1;
            read.insert((message.topic().to_owned(), message.partition()), next);
            let more = records.len() < BATCH;
            result = if more { self.consumer.recv().now_or_never() } else { None };
        }
        let outcome = match result {
            Some(Err(error)) if records.is_empty() => Outcome::Unknown(error.to_string()),
            _ => Outcome::Ok(Answer::Records(records)),
        };
        self.world.book.settle(op, outcome);
    }

    /// Commits in the background: the answer of a node that is down takes long.
    fn commit(&self, read: BTreeMap<(String, i32), i64>) -> tokio::task::JoinHandle<()> {
        let (consumer, book) = (Arc::clone(&self.consumer), Arc::clone(&self.world.book));
        let group = self.group;
        tokio::task::spawn_blocking(move || {
            let mut offsets = TopicPartitionList::new();
            let mut ops = Vec::new();
            for ((topic, partition), offset) in read {
                // The library knows all names and numbers from the server: this does not fail.
                let _ = offsets.add_partition_offset(&topic, partition, Offset::Offset(offset));
                let place = Place { topic, partition, offset };
                ops.push(book.invoke(Call::Commit { group: group.to_owned(), place }));
            }
            // The library repeats a commit whose answer was lost: no error says that none was made.
            let result = match consumer.commit(&offsets, CommitMode::Sync) {
                Ok(()) => Outcome::Ok(Answer::Done),
                Err(error) => Outcome::Unknown(error.to_string()),
            };
            for op in ops {
                book.settle(op, result.clone());
            }
        })
    }
}

/// What the history keeps of a record.
pub(crate) fn record(message: &BorrowedMessage<'_>) -> Record {
    let bytes = message.payload().unwrap_or_default();
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
        value: value_id(bytes),
        digest: digest(bytes),
    }
}

/// The id that a value carries.
pub(crate) fn value_id(bytes: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Value {
        value: u64,
    }
    serde_json::from_slice(bytes).ok().map(|value: Value| value.value)
}
