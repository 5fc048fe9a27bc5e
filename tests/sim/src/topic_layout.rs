//! The topics of a run and how many partitions they have; whoever comes first makes them.

use crate::kafka_client::{Error, KafkaClient, check, is, text, topic_name};
use crate::surroundings::{PLAIN_TOPIC, ROUTED_TOPIC};
use checker::Partition;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest};
use std::collections::BTreeMap;

/// How many partitions each topic has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicLayout(BTreeMap<String, i32>);

impl TopicLayout {
    /// Makes both topics, unless they are there, and looks at them.
    pub async fn make(client: &mut KafkaClient, partitions: i32) -> Result<TopicLayout, Error> {
        let both = [ROUTED_TOPIC, PLAIN_TOPIC];
        match TopicLayout::of(client, Some(&both)).await {
            Err(Error::Refused(code)) if is(code, ResponseError::UnknownTopicOrPartition) => {}
            there => return there,
        }
        let topics = both.map(|name| {
            CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(partitions)
                .with_replication_factor(1)
        });
        let request =
            CreateTopicsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(10_000);
        for topic in client.ask(&request).await?.topics {
            if !is(topic.error_code, ResponseError::TopicAlreadyExists) {
                check(topic.error_code)?;
            }
        }
        TopicLayout::of(client, Some(&both)).await
    }

    /// These topics, or all.
    pub async fn of(
        client: &mut KafkaClient,
        topics: Option<&[&str]>,
    ) -> Result<TopicLayout, Error> {
        let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let topics = topics.map(|topics| topics.iter().map(named).collect());
        let request =
            MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let mut layout = BTreeMap::new();
        for topic in client.ask(&request).await?.topics {
            check(topic.error_code)?;
            let name = topic.name.map_or_else(|| text(""), |name| name.0);
            layout.insert(name.to_string(), topic.partitions.len() as i32);
        }
        Ok(TopicLayout(layout))
    }

    /// How many partitions the topic has; 0 if there is none.
    pub fn partitions_of(&self, topic: &str) -> i32 {
        self.0.get(topic).copied().unwrap_or(0)
    }

    /// Every partition, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        let of_topic = |(topic, count): (&String, &i32)| {
            let topic = topic.clone();
            (0..*count).map(move |partition| Partition { topic: topic.clone(), partition })
        };
        self.0.iter().flat_map(of_topic).collect()
    }

    /// Where records of this key go.
    pub fn partition_for(&self, topic: &str, key: &str) -> i32 {
        let count = self.partitions_of(topic).max(1) as u64;
        (checker::digest(key.as_bytes()) % count) as i32
    }
}
