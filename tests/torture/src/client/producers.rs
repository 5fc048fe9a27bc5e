//! Producers: many logical ones that share a few instances of the library, one instance for each
//! promise that a library can give.
//!
//! A logical producer sends a few records, waits for what becomes of them and sends the next.

use std::time::Duration;

use anyhow::{Result, bail};
use checker::{Answer, Call, Delivery, Outcome, Refusal, digest};
use futures::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::task::JoinSet;

use super::World;
use crate::kafka::{self, FACTS, LOG, TOPICS};
use crate::random::Random;

/// A logical producer's time between two bursts; a burst waits for the one before.
const PACE: Duration = Duration::from_millis(200);
/// Most records in a burst.
const BURST: u64 = 4;
/// One record in so many is for the route.
const FACT_ONCE_IN: u64 = 6;
/// One record in so many is large, so that the journal needs a new segment now and then.
const LARGE_ONCE_IN: u64 = 40;
const LARGE_BYTES: usize = 100_000;
/// Different keys of routed records, which is how many mailboxes there are.
pub(crate) const MAILBOXES: u64 = 50;

/// Instances of the library: what each promises and how many logical producers use it.
const STYLES: [(Delivery, u64); 3] =
    [(Delivery::Idempotent, 8), (Delivery::Repeated, 4), (Delivery::Once, 4)];

/// Sends until it is stopped, then waits for what is under way.
pub(crate) async fn run(world: World) -> Result<()> {
    let mut producers = JoinSet::new();
    let mut number = 0;
    for (delivery, count) in STYLES {
        let library: FutureProducer = config(&world, delivery).create()?;
        for _ in 0..count {
            number += 1;
            let producer = Logical {
                name: format!("p{}-{number}", world.process),
                delivery,
                library: library.clone(),
                random: Random::new(world.seed, u64::from(world.process) << 8 | number),
                next: u64::from(world.process) << 32 | number << 24,
                world: world.clone(),
            };
            producers.spawn(producer.run());
        }
    }
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    Ok(())
}

fn config(world: &World, delivery: Delivery) -> rdkafka::ClientConfig {
    let mut config = kafka::config(world.addresses.kafka);
    config.set("linger.ms", "2");
    match delivery {
        Delivery::Idempotent => config
            .set("enable.idempotence", "true")
            // No outage of a run is so long: it goes on until there is an answer.
            .set("message.timeout.ms", "300000"),
        Delivery::Repeated => config.set("message.timeout.ms", "300000"),
        Delivery::Once => config.set("retries", "0").set("message.timeout.ms", "3000"),
    };
    config
}

/// One logical producer.
struct Logical {
    name: String,
    delivery: Delivery,
    library: FutureProducer,
    random: Random,
    /// The id in the next value.
    next: u64,
    world: World,
}

impl Logical {
    async fn run(mut self) -> Result<()> {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.world.stopped() {
            pace.tick().await;
            let burst: Vec<_> = (0..=self.random.below(BURST)).map(|_| self.send()).collect();
            join_all(burst).await;
            if let Some((code, why)) = self.library.client().fatal_error() {
                bail!("{}: the library gives up for good: {code}: {why}", self.name);
            }
        }
        Ok(())
    }

    /// Hands one record to the library; the future waits for what becomes of it.
    fn send(&mut self) -> impl Future<Output = ()> + use<> {
        self.next += 1;
        let id = self.next;
        let is_fact = self.delivery != Delivery::Repeated && self.random.once_in(FACT_ONCE_IN);
        let is_large = !is_fact && self.random.once_in(LARGE_ONCE_IN);
        let padding = " ".repeat(if is_large { LARGE_BYTES } else { 0 });
        let value = format!("{{\"value\":{id},\"padding\":\"{padding}\"}}");
        let (topic, partition, key) = if is_fact {
            (FACTS, None, format!("m{}", self.random.below(MAILBOXES)))
        } else {
            let partitions = TOPICS[0].1 as u64;
            (LOG, Some(self.random.below(partitions) as i32), self.name.clone())
        };
        let op = self.world.book.invoke(Call::Send {
            producer: self.name.clone(),
            delivery: self.delivery,
            topic: topic.to_owned(),
            partition,
            key: Some(key.clone()),
            value: id,
            digest: digest(value.as_bytes()),
            repeats: None,
        });
        let mut record = FutureRecord::to(topic).key(&key).payload(&value);
        record.partition = partition;
        let sent = self.library.send_result(record).map_err(|(error, _)| error);
        let book = self.world.book.clone();
        async move {
            let result = match sent {
                Err(error) => refused(error),
                Ok(delivery) => match delivery.await {
                    Ok(Ok(at)) => landed(at.partition, at.offset),
                    Ok(Err((error, _))) => Outcome::Unknown(error.to_string()),
                    Err(_) => Outcome::Unknown("the library has gone".to_owned()),
                },
            };
            book.settle(op, result);
        }
    }
}

/// What the library did not even take was not sent.
fn refused(error: KafkaError) -> Outcome {
    match error {
        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
            Outcome::Fail(Refusal::Other(error.to_string()))
        }
        other => Outcome::Unknown(other.to_string()),
    }
}

fn landed(partition: i32, offset: i64) -> Outcome {
    Outcome::Ok(Answer::Sent { partition, offset: (offset >= 0).then_some(offset) })
}
