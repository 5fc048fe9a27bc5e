//! CreateTopics 2-7. From version 5 on the answer tells the topic's configs; they are never null
//! and always have a source, because the Java admin client trips over anything else.

use crate::{
    api::{
        Api, Client, NoAnswer, THROTTLE_MS,
        configs::{self, Config, SOURCE_DEFAULT},
        expect_reply, refusal,
    },
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use base::{TopicId, Uuid};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, CreateTopicResult, NewTopic},
};

/// The API.
pub(crate) struct CreateTopics;

impl Api for CreateTopics {
    type Request = ask::CreateTopics;
    type Response = Vec<CreateTopicResult>;

    fn decode(reader: &mut Reader, _: i16) -> WireResult<ask::CreateTopics> {
        let topics = reader.array(9, |reader| {
            let (name, partition_count) = (reader.string()?, reader.i32()?);
            let replication_factor = reader.i16()?;
            let assignments = reader.array(5, |reader| {
                let assignment = (reader.i32()?, reader.array(4, Reader::i32)?);
                reader.tags()?;
                Ok(assignment)
            })?;
            let configs = reader.array(2, |reader| {
                let config = (reader.string()?, reader.nullable_string()?);
                reader.tags()?;
                Ok(config)
            })?;
            reader.tags()?;
            Ok(NewTopic { name, partition_count, replication_factor, assignments, configs })
        })?;
        // How long Kafka may wait for the topic. It is there at once.
        reader.i32()?;
        let validate_only = reader.bool()?;
        reader.tags()?;
        Ok(ask::CreateTopics { topics, validate_only })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::CreateTopics,
    ) -> Result<Self::Response, NoAnswer> {
        let names: Vec<String> = request.topics.iter().map(|topic| topic.name.clone()).collect();
        match backend.topics(Ask::CreateTopics(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::CreateTopics),
            Err(error) => {
                let message = error.to_string();
                let error = refusal(error, ErrorCode::KafkaStorageError)?;
                Ok(names.into_iter().map(|name| refused(name, error, &message)).collect())
            }
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Self::Response) {
        writer.i32(THROTTLE_MS);
        writer.array(response, |writer, topic| {
            let is_created = topic.error == ErrorCode::None;
            writer.string(&topic.name);
            if version >= 7 {
                writer.uuid(topic.id.0);
            }
            writer.i16(topic.error.code());
            writer.nullable_string(topic.message.as_deref());
            if version >= 5 {
                writer.i32(if is_created { topic.partition_count } else { -1 });
                writer.i16(if is_created { 1 } else { -1 });
                let configs = if is_created { configs::TOPIC } else { &[] };
                writer.array(configs, write_config);
            }
            writer.tags();
        });
        writer.tags();
    }
}

fn write_config(writer: &mut Writer, config: &Config) {
    writer.string(config.name);
    writer.nullable_string(Some(config.value));
    writer.bool(config.is_read_only);
    writer.i8(SOURCE_DEFAULT);
    writer.bool(false);
    writer.tags();
}

fn refused(name: String, error: ErrorCode, message: &str) -> CreateTopicResult {
    let message = Some(message.to_owned());
    CreateTopicResult { name, id: TopicId(Uuid::nil()), error, message, partition_count: -1 }
}
