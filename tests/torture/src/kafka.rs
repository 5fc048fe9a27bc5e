//! How the Kafka clients of a run are set up, and the topics they use.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// Records for consumer groups.
pub(crate) const LOG: &str = "log";
/// Records that a route turns into signals.
pub(crate) const FACTS: &str = "facts";
/// Records that workflows publish.
pub(crate) const OUTCOMES: &str = "outcomes";
/// Topics and their partitions: eight for producers.
pub(crate) const TOPICS: [(&str, i32); 3] = [(LOG, 8), (FACTS, 4), (OUTCOMES, 2)];
/// The consumer groups.
pub(crate) const GROUPS: [&str; 2] = ["readers-a", "readers-b"];

const CREATE_MAX: Duration = Duration::from_secs(10);

/// What all clients have in common: they find a node that comes back quickly.
pub(crate) fn config(kafka: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.to_string())
        .set("client.id", "torture")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "200")
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("socket.timeout.ms", "10000")
        .set("log_level", "2");
    config
}

/// Makes the topics of a run.
pub(crate) async fn create_topics(kafka: SocketAddr) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(kafka).create()?;
    let topics = TOPICS.map(|(name, count)| NewTopic::new(name, count, TopicReplication::Fixed(1)));
    let options = AdminOptions::new().request_timeout(Some(CREATE_MAX));
    for created in admin.create_topics(&topics, &options).await.context("the topics")? {
        created.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
    }
    Ok(())
}
