//! DeleteTopics 1-6, by name, and by id from version 6 on.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use base::{TopicId, Uuid};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, DeleteTopicResult, TopicSelection},
};

/// The API.
pub(crate) struct DeleteTopics;

/// First version that can name topics by id.
const TOPIC_ID_VERSION_MIN: i16 = 6;

/// Names and ids of topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) names: Vec<String>,
    pub(crate) ids: Vec<TopicId>,
}

impl Api for DeleteTopics {
    type Request = Request;
    type Response = Vec<DeleteTopicResult>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        let mut request = Request::default();
        if version >= TOPIC_ID_VERSION_MIN {
            reader.array(18, |reader| {
                match (reader.nullable_string()?, reader.uuid()?) {
                    (Some(name), _) => request.names.push(name),
                    (None, id) => request.ids.push(TopicId(id)),
                }
                reader.tags()
            })?;
        } else {
            request.names = reader.array(1, Reader::string)?;
        }
        // How long Kafka may wait for the deletion. It is done at once.
        reader.i32()?;
        reader.tags()?;
        Ok(request)
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: Request,
    ) -> Result<Self::Response, NoAnswer> {
        let mut response = Vec::new();
        if !request.names.is_empty() {
            response.append(&mut ask(backend, TopicSelection::Names(request.names)).await?);
        }
        if !request.ids.is_empty() {
            response.append(&mut ask(backend, TopicSelection::Ids(request.ids)).await?);
        }
        Ok(response)
    }

    fn encode(writer: &mut Writer, version: i16, response: &Self::Response) {
        writer.i32(THROTTLE_MS);
        writer.array(response, |writer, topic| {
            if version >= TOPIC_ID_VERSION_MIN {
                writer.nullable_string(topic.name.as_deref());
                writer.uuid(topic.id.0);
            } else {
                writer.string(topic.name.as_deref().unwrap_or_default());
            }
            writer.i16(topic.error.code());
            if version >= 5 {
                writer.nullable_string(None);
            }
            writer.tags();
        });
        writer.tags();
    }
}

async fn ask<B: Backend>(
    backend: &B,
    topics: TopicSelection,
) -> Result<Vec<DeleteTopicResult>, NoAnswer> {
    let asked = topics.clone();
    match backend.topics(Ask::DeleteTopics(ask::DeleteTopics { topics })).await {
        Ok(reply) => expect_reply!(reply, Reply::DeleteTopics),
        Err(error) => Ok(refused(asked, refusal(error, ErrorCode::KafkaStorageError)?)),
    }
}

fn refused(topics: TopicSelection, error: ErrorCode) -> Vec<DeleteTopicResult> {
    match topics {
        TopicSelection::All => Vec::new(),
        TopicSelection::Names(names) => {
            let refuse = |name| DeleteTopicResult { name, id: TopicId(Uuid::nil()), error };
            names.into_iter().map(Some).map(refuse).collect()
        }
        TopicSelection::Ids(ids) => {
            ids.into_iter().map(|id| DeleteTopicResult { name: None, id, error }).collect()
        }
    }
}
