//! The watcher: asks all the time what the groups have committed and where the log ends, so that
//! whatever goes back is seen while it is.

use std::time::Duration;

use anyhow::Result;
use checker::{Answer, Call, Outcome, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::World;
use crate::kafka::{self, GROUPS, LOG, TOPICS};
use crate::random::Random;

const PACE: Duration = Duration::from_millis(100);
const CALL_MAX: Duration = Duration::from_secs(2);

/// Watches until it is stopped.
pub(super) async fn run(world: World) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut watchers: Vec<(&str, BaseConsumer)> = Vec::new();
        for group in GROUPS {
            let consumer = kafka::config(world.addresses.kafka).set("group.id", group).create()?;
            watchers.push((group, consumer));
        }
        let mut random = Random::new(world.seed, u64::from(world.process) << 8 | 0xff);
        while !world.stopped() {
            let (group, consumer) = &watchers[random.below(watchers.len() as u64) as usize];
            let number = random.below(TOPICS[0].1 as u64) as i32;
            look(&world, group, consumer, number);
            // Polling serves the library's events, and paces.
            let _ = consumer.poll(PACE);
        }
        Ok(())
    })
    .await?
}

fn look(world: &World, group: &str, consumer: &BaseConsumer, number: i32) {
    let partition = Partition { topic: LOG.to_owned(), partition: number };
    let call = Call::FetchCommitted { group: group.to_owned(), partition: partition.clone() };
    let op = world.book.invoke(call);
    let mut list = TopicPartitionList::new();
    list.add_partition(LOG, number);
    let committed = consumer.committed_offsets(list, CALL_MAX);
    let answer = committed.map(|list| committed_offset(&list)).map(Answer::Committed);
    world.book.settle(op, answer.map_or_else(|e| Outcome::Unknown(e.to_string()), Outcome::Ok));
    let op = world.book.invoke(Call::EndOffset(partition));
    let end = consumer.fetch_watermarks(LOG, number, CALL_MAX).map(|(_, end)| Answer::Offset(end));
    world.book.settle(op, end.map_or_else(|e| Outcome::Unknown(e.to_string()), Outcome::Ok));
}

/// The offset of the only partition in the list, if one is committed.
pub(crate) fn committed_offset(list: &TopicPartitionList) -> Option<i64> {
    list.elements().first().and_then(|place| match place.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
