//! Producers that hand over records as fast as the library takes them, and look at no answer.

use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::{Surprises, TOPIC};
use crate::client::World;
use crate::kafka;
use crate::random::Random;

/// Instances of the library, each with connections of its own.
const PRODUCERS: usize = 6;
/// What each may hold.
const HELD_KBYTES: &str = "32768";
/// One record in so many is large.
const LARGE_ONCE_IN: u64 = 200;
const SIZES_BYTES: (usize, usize) = (1_000, 500_000);
/// The queue is full: this long until it is tried again.
const AGAIN: Duration = Duration::from_millis(5);
/// Bytes of one process, should no disk be slow enough to bound them.
const BYTES_MAX: usize = 600_000_000;

pub(super) async fn run(world: &World, surprises: &Surprises) -> Result<()> {
    let mut producers: Vec<ThreadedProducer<Ears>> = Vec::new();
    for _ in 0..PRODUCERS {
        let mut config = kafka::config(world.addresses.kafka);
        config
            .set("linger.ms", "1")
            .set("queue.buffering.max.kbytes", HELD_KBYTES)
            .set("message.timeout.ms", "300000");
        producers.push(config.create_with_context(Ears(surprises.clone()))?);
    }
    let mut random = Random::new(world.seed, u64::from(world.process));
    let (small, large) = (vec![b's'; SIZES_BYTES.0], vec![b'l'; SIZES_BYTES.1]);
    let (mut sent, mut next) = (0, 0);
    while sent < BYTES_MAX {
        next = (next + 1) % producers.len();
        let payload = if random.once_in(LARGE_ONCE_IN) { &large } else { &small };
        let partition = random.below(TOPIC.1 as u64) as i32;
        let record = BaseRecord::<(), _>::to(TOPIC.0).partition(partition).payload(payload);
        match producers[next].send(record) {
            Ok(()) => sent += payload.len(),
            Err(_) => wait(AGAIN).await,
        }
        if sent.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    }
    // What the library holds is still on its way.
    std::future::pending().await
}

async fn wait(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Hears what becomes of records that nobody waits for.
struct Ears(Surprises);

impl ClientContext for Ears {}

impl ProducerContext for Ears {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, _)) = result else { return };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::KafkaStorageError) => {}
            _ => self.0.add(error.to_string()),
        }
    }
}
