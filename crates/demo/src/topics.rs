//! Makes the demo's topics before anything is sent, as a careful team would.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

use crate::error::Error;
use crate::records::{ORDERS, OUTCOMES, PAYMENTS};

const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Creates the topics of orders, payments and outcomes.
pub(crate) async fn create(kafka: SocketAddr) -> Result<(), Error> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.to_string())
        .set("client.id", "mainstay-demo")
        .set("log_level", "0")
        .create()?;
    let topics = [ORDERS, PAYMENTS, OUTCOMES]
        .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    for created in admin.create_topics(&topics, &options).await? {
        created.map_err(|(_, code)| KafkaError::AdminOp(code))?;
    }
    Ok(())
}
