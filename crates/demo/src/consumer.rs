//! The reader of outcomes: an ordinary consumer group. It may read a record twice; the book tells
//! records apart by their offset.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::{ClientConfig, Message};

use crate::book::Book;
use crate::error::Error;
use crate::records::{OUTCOMES, RecordId};

const GROUP: &str = "demo-outcomes";
/// Pause after an error, so that a node that is down is not asked in a loop.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The settings every consumer of the demo has.
pub(crate) fn config(kafka: SocketAddr, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.to_string())
        .set("client.id", "mainstay-demo")
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "500")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        .set("topic.metadata.refresh.fast.interval.ms", "100")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "250")
        .set("log_level", "0");
    config
}

/// Subscribes to the outcomes.
pub(crate) fn subscribe(kafka: SocketAddr) -> Result<StreamConsumer, Error> {
    let consumer: StreamConsumer = config(kafka, GROUP).create()?;
    consumer.subscribe(&[OUTCOMES])?;
    Ok(consumer)
}

/// Reads outcomes into the book until it is dropped.
pub(crate) async fn read(consumer: StreamConsumer, book: Arc<Book>) {
    loop {
        match consumer.recv().await {
            Ok(message) => {
                let id = RecordId {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                };
                // What is no outcome is no order's outcome: the order it should be of has none.
                let payload = message.payload().unwrap_or_default();
                if let Ok(event) = serde_json::from_slice(payload) {
                    book.outcome(id, event);
                }
            }
            Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
        }
    }
}
