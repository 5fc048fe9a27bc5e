//! From a frame to a running request: header, table, decoder, and the future of the answer.

use crate::{
    api::{self, Api, Client, IsPlaced, NoAnswer, Peer},
    backend::{self, Backend},
    budget::Share,
    frame::Request,
    table::{self, Entry, Key},
    wire::{self, Frame, Reader, Writer},
};
use bytes::{Buf, Bytes};
use std::{pin::Pin, sync::Arc};

/// What all requests of one connection share.
#[derive(Debug)]
pub(crate) struct Context<B> {
    /// The node.
    pub(crate) backend: B,
    /// The connection.
    pub(crate) peer: Arc<Peer>,
}

/// Why a request cannot be begun. Closes the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Kafka closes the connection too.
    #[error("API key {key} version {version} is not served")]
    Unsupported {
        /// As asked.
        key: i16,
        /// As asked.
        version: i16,
    },
    /// The request is not what it claims to be.
    #[error("{api:?} version {version} cannot be decoded: {source}")]
    Malformed {
        /// The API.
        api: Key,
        /// The version.
        version: i16,
        /// What is wrong.
        source: wire::Error,
    },
    /// Not even a header.
    #[error("the request header cannot be decoded: {0}")]
    Header(#[from] wire::Error),
}

/// The answer of one request, to be awaited in the request's turn.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Frame, NoAnswer>> + Send>>;

/// A request under way.
pub(crate) struct Pending {
    /// The answer.
    pub(crate) answer: Answer,
    /// For a request that runs ahead of its turn: it is polled until this is said, and only then
    /// the next request is begun.
    pub(crate) runs_ahead: Option<IsPlaced>,
    /// Carry it out even if the client has gone.
    pub(crate) outlives_client: bool,
    /// Its bytes in flight.
    pub(crate) share: Share,
}

/// The fields before every request.
#[derive(Clone, Debug)]
struct Header {
    key: i16,
    version: i16,
    correlation_id: i32,
}

/// Decodes a request and makes the future that answers it.
pub(crate) fn begin<B: Backend>(
    context: &Arc<Context<B>>,
    request: Request,
) -> Result<Pending, Error> {
    let Request { bytes, share } = request;
    let header = header(&bytes)?;
    let unsupported = Error::Unsupported { key: header.key, version: header.version };
    let Some(entry) = table::find(header.key) else { return Err(unsupported) };
    if !entry.serves(header.version) {
        if entry.key == Key::ApiVersions {
            let answer = api::api_versions::unsupported(header.correlation_id);
            let answer = async move { answer.ok_or(NoAnswer::Silent) };
            return Ok(pending(Box::pin(answer), share, entry.key, IsPlaced::default()));
        }
        return Err(unsupported);
    }
    let malformed = |source| Error::Malformed { api: entry.key, version: header.version, source };
    let (client, reader) = body(context, entry, &header, bytes).map_err(malformed)?;
    let is_placed = client.is_placed.clone();
    let answer = match entry.key {
        Key::Produce => start::<api::Produce, B>,
        Key::Fetch => start::<api::Fetch, B>,
        Key::ListOffsets => start::<api::ListOffsets, B>,
        Key::Metadata => start::<api::Metadata, B>,
        Key::OffsetCommit => start::<api::OffsetCommit, B>,
        Key::OffsetFetch => start::<api::OffsetFetch, B>,
        Key::FindCoordinator => start::<api::FindCoordinator, B>,
        Key::JoinGroup => start::<api::JoinGroup, B>,
        Key::Heartbeat => start::<api::Heartbeat, B>,
        Key::LeaveGroup => start::<api::LeaveGroup, B>,
        Key::SyncGroup => start::<api::SyncGroup, B>,
        Key::DescribeGroups => start::<api::DescribeGroups, B>,
        Key::ListGroups => start::<api::ListGroups, B>,
        Key::ApiVersions => start::<api::ApiVersions, B>,
        Key::CreateTopics => start::<api::CreateTopics, B>,
        Key::DeleteTopics => start::<api::DeleteTopics, B>,
        Key::InitProducerId => start::<api::InitProducerId, B>,
        Key::OffsetForLeaderEpoch => start::<api::OffsetForLeaderEpoch, B>,
        Key::DescribeConfigs => start::<api::DescribeConfigs, B>,
    }(context, entry, &header, client, reader)
    .map_err(malformed)?;
    Ok(pending(answer, share, entry.key, is_placed))
}

fn header(bytes: &Bytes) -> Result<Header, wire::Error> {
    if bytes.len() < 8 {
        return Err(wire::Error::Short);
    }
    let mut head = bytes.slice(..8);
    Ok(Header { key: head.get_i16(), version: head.get_i16(), correlation_id: head.get_i32() })
}

/// Reads the rest of the header; the reader stands at the body then.
fn body<B: Backend>(
    context: &Context<B>,
    entry: &Entry,
    header: &Header,
    bytes: Bytes,
) -> Result<(Client, Reader), wire::Error> {
    let frame_bytes = bytes.len();
    let mut reader = Reader::new(bytes.slice(8..));
    let client_id = reader.legacy_nullable_string()?;
    reader.set_flexible(entry.is_flexible(header.version));
    reader.tags()?;
    let id = client_id.unwrap_or_default();
    let is_placed = IsPlaced::default();
    let client = Client { id, peer: context.peer.clone(), frame_bytes, is_placed };
    Ok((client, reader))
}

fn start<A: Api, B: Backend>(
    context: &Arc<Context<B>>,
    entry: &Entry,
    header: &Header,
    client: Client,
    mut reader: Reader,
) -> Result<Answer, wire::Error> {
    let (version, correlation_id) = (header.version, header.correlation_id);
    let request = A::decode(&mut reader, version)?;
    if reader.remaining() > 0 {
        let (api, bytes) = (entry.key, reader.remaining());
        tracing::debug!(?api, version, bytes, "bytes after the request are ignored");
    }
    let context = context.clone();
    let is_flexible = entry.is_flexible(version);
    // ApiVersions is answered with the oldest header, so that any client can read it.
    let has_header_tags = is_flexible && entry.key != Key::ApiVersions;
    Ok(Box::pin(async move {
        let response = A::answer(&context.backend, &client, version, request).await?;
        let mut writer = Writer::new(has_header_tags);
        writer.i32(correlation_id);
        writer.tags();
        writer.set_flexible(is_flexible);
        A::encode(&mut writer, version, &response);
        writer.finish().ok_or_else(|| NoAnswer::Close("the answer is too large".to_owned()))
    }))
}

/// Produces are under way at once. Everything else begins in its turn, as in Kafka: then it sees
/// what the connection has done before, and only one answer of a connection is held in memory.
/// Waits are given up with their connection, produces are not.
fn pending(answer: Answer, share: Share, key: Key, is_placed: IsPlaced) -> Pending {
    let is_produce = key == Key::Produce;
    let runs_ahead = is_produce.then_some(is_placed);
    Pending { answer, runs_ahead, outlives_client: is_produce, share }
}

impl From<backend::Error> for NoAnswer {
    fn from(error: backend::Error) -> NoAnswer {
        NoAnswer::Close(error.to_string())
    }
}
