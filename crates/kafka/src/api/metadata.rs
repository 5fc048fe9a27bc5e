//! Metadata 0-13: one broker, which leads everything, at the address the client dialled.

use crate::{
    api::{
        AUTHORIZED_OPERATIONS_UNKNOWN, Api, Client, LEADER_EPOCH, NODE_ID, NoAnswer, THROTTLE_MS,
        expect_reply, refusal,
    },
    backend::Backend,
    options::Advertised,
    wire::{Reader, Result as WireResult, Writer},
};
use base::{TopicId, Uuid};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{Metadata as MetadataAsk, TopicMetadata, TopicSelection},
};

/// The API.
pub(crate) struct Metadata;

/// Which topics; `None` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) topics: Option<Vec<Wanted>>,
    pub(crate) allow_auto_topic_creation: bool,
}

/// A topic by name, or, if that is null, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: TopicId,
    pub(crate) name: Option<String>,
}

/// What is told.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) cluster_id: String,
    pub(crate) advertised: Advertised,
    pub(crate) topics: Vec<TopicMetadata>,
}

impl Api for Metadata {
    type Request = Request;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        let topics = reader.nullable_array(2, |reader| {
            let id = if version >= 10 { reader.uuid()? } else { Uuid::nil() };
            let name =
                if version >= 10 { reader.nullable_string()? } else { Some(reader.string()?) };
            reader.tags()?;
            Ok(Wanted { id: TopicId(id), name })
        })?;
        // Version 0 has no null: an empty list means all.
        let topics = topics.filter(|topics| version >= 1 || !topics.is_empty());
        let allow_auto_topic_creation = version < 4 || reader.bool()?;
        if (8..=10).contains(&version) {
            reader.bool()?;
        }
        if version >= 8 {
            reader.bool()?;
        }
        reader.tags()?;
        Ok(Request { topics, allow_auto_topic_creation })
    }

    async fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        _: i16,
        request: Request,
    ) -> Result<Response, NoAnswer> {
        let mut topics = Vec::new();
        for selection in selections(request.topics) {
            topics.append(&mut ask(backend, selection, request.allow_auto_topic_creation).await?);
        }
        Ok(Response {
            cluster_id: backend.cluster_id(),
            advertised: client.peer.advertised.clone(),
            topics,
        })
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        if version >= 3 {
            writer.i32(THROTTLE_MS);
        }
        writer.array(std::slice::from_ref(&response.advertised), |writer, advertised| {
            writer.i32(NODE_ID);
            writer.string(&advertised.host);
            writer.i32(i32::from(advertised.port));
            if version >= 1 {
                writer.nullable_string(None);
            }
            writer.tags();
        });
        if version >= 2 {
            writer.nullable_string(Some(&response.cluster_id));
        }
        if version >= 1 {
            writer.i32(NODE_ID);
        }
        writer.array(&response.topics, |writer, topic| write_topic(writer, version, topic));
        if (8..=10).contains(&version) {
            writer.i32(AUTHORIZED_OPERATIONS_UNKNOWN);
        }
        if version >= 13 {
            writer.i16(ErrorCode::None.code());
        }
        writer.tags();
    }
}

/// Names and ids are asked apart; hardly any client mixes them.
fn selections(wanted: Option<Vec<Wanted>>) -> Vec<TopicSelection> {
    let Some(wanted) = wanted else { return vec![TopicSelection::All] };
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for topic in wanted {
        match topic.name {
            Some(name) => names.push(name),
            None => ids.push(topic.id),
        }
    }
    let mut selections = Vec::new();
    if !names.is_empty() {
        selections.push(TopicSelection::Names(names));
    }
    if !ids.is_empty() {
        selections.push(TopicSelection::Ids(ids));
    }
    selections
}

async fn ask<B: Backend>(
    backend: &B,
    selection: TopicSelection,
    allow_auto_topic_creation: bool,
) -> Result<Vec<TopicMetadata>, NoAnswer> {
    let topics = selection.clone();
    let metadata = MetadataAsk { topics, allow_auto_topic_creation };
    match backend.topics(Ask::Metadata(metadata)).await {
        Ok(reply) => Ok(expect_reply!(reply, Reply::Metadata)?.topics),
        Err(error) => {
            let error = refusal(error, ErrorCode::LeaderNotAvailable)?;
            Ok(refused(selection, error))
        }
    }
}

/// The same error for every topic asked. All topics have no names to answer with: none are told.
fn refused(selection: TopicSelection, error: ErrorCode) -> Vec<TopicMetadata> {
    let topic =
        |name, id| TopicMetadata { error, name, id, partition_count: 0, is_internal: false };
    match selection {
        TopicSelection::All => Vec::new(),
        TopicSelection::Names(names) => {
            names.into_iter().map(|name| topic(Some(name), TopicId(Uuid::nil()))).collect()
        }
        TopicSelection::Ids(ids) => ids.into_iter().map(|id| topic(None, id)).collect(),
    }
}

fn write_topic(writer: &mut Writer, version: i16, topic: &TopicMetadata) {
    writer.i16(topic.error.code());
    if version >= 12 {
        writer.nullable_string(topic.name.as_deref());
    } else {
        writer.string(topic.name.as_deref().unwrap_or_default());
    }
    if version >= 10 {
        writer.uuid(topic.id.0);
    }
    if version >= 1 {
        writer.bool(topic.is_internal);
    }
    let partitions: Vec<i32> = (0..topic.partition_count).collect();
    writer.array(&partitions, |writer, index| {
        writer.i16(ErrorCode::None.code());
        writer.i32(*index);
        writer.i32(NODE_ID);
        if version >= 7 {
            writer.i32(LEADER_EPOCH);
        }
        for nodes in [&[NODE_ID][..], &[NODE_ID][..]] {
            writer.array(nodes, |writer, node| writer.i32(*node));
        }
        if version >= 5 {
            writer.array(&[], |writer, node| writer.i32(*node));
        }
        writer.tags();
    });
    if version >= 8 {
        writer.i32(AUTHORIZED_OPERATIONS_UNKNOWN);
    }
    writer.tags();
}
