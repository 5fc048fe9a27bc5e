//! Fetch 4-16, from the published log only: what is answered is durable.
//!
//! Sessions (KIP-227) are refused by answering id 0, so every fetch is a full one. A fetch that
//! finds less than it wants waits once, and answers what is there when it is woken.

use crate::{
    api::{Api, Client, NoAnswer, Peer, THROTTLE_MS, check_leader_epoch},
    backend::{self, Backend},
    wire::{Reader, Result as WireResult, Writer},
};
use base::{PartitionId, TopicId, Uuid};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;
use topics::{BatchRef, ErrorCode};

/// The API.
pub(crate) struct Fetch;

/// First version whose clients understand zstd.
const ZSTD_VERSION_MIN: i16 = 10;
/// First version that names topics by id.
const TOPIC_ID_VERSION_MIN: i16 = 13;
/// First batches of partitions that are read before the answer begins, so that a batch that
/// cannot be read is an error of its partition.
const READ_AHEAD_BYTES: usize = 1 << 20;
/// The session epoch of a fetch outside any session.
const NO_SESSION: i32 = -1;
/// Byte of a batch that holds its codec, in the three lowest bits.
const CODEC_AT: usize = 22;

/// What to read, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) is_read_committed: bool,
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<RequestTopic>,
}

/// A topic by name, or by id from version 13 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<RequestPartition>,
}

/// A position in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestPartition {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: i32,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) error: ErrorCode,
    pub(crate) is_read_committed: bool,
    pub(crate) topics: Vec<ResponseTopic>,
}

/// Of one topic.
#[derive(Clone, Debug)]
pub(crate) struct ResponseTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<ResponsePartition>,
}

/// Of one partition.
#[derive(Clone, Debug)]
pub(crate) struct ResponsePartition {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) batches: Vec<BatchRef>,
    /// The first batch, if it has been read ahead.
    pub(crate) first: Option<Bytes>,
}

impl Api for Fetch {
    type Request = Request;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        if version <= 14 {
            // The replica id: this front has no followers, all fetch as consumers do.
            reader.i32()?;
        }
        let (max_wait_ms, min_bytes, max_bytes) = (reader.i32()?, reader.i32()?, reader.i32()?);
        let is_read_committed = reader.i8()? == 1;
        let session_epoch = if version >= 7 {
            reader.i32()?;
            reader.i32()?
        } else {
            NO_SESSION
        };
        let topics = reader.array(3, |reader| decode_topic(reader, version))?;
        if version >= 7 {
            reader.array(3, |reader| {
                decode_topic_name(reader, version)?;
                reader.array(4, Reader::i32)?;
                reader.tags()
            })?;
        }
        if version >= 11 {
            reader.string()?;
        }
        reader.tags()?;
        Ok(Request { max_wait_ms, min_bytes, max_bytes, is_read_committed, session_epoch, topics })
    }

    async fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        version: i16,
        request: Request,
    ) -> Result<Response, NoAnswer> {
        let is_read_committed = request.is_read_committed;
        if request.session_epoch > 0 {
            let error = ErrorCode::FetchSessionIdNotFound;
            return Ok(Response { error, is_read_committed, topics: Vec::new() });
        }
        let peer = &client.peer;
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let mut found = look(backend, peer, version, &request);
        if found.is_worth_waiting(&request) && !wait.is_zero() {
            let min_bytes = u64::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0);
            let deadline = Instant::now() + wait;
            backend.wait_for_bytes(&found.positions, min_bytes, deadline).await;
            found = look(backend, peer, version, &request);
        }
        let mut topics = found.topics;
        read_ahead(backend, version, &mut topics).await?;
        Ok(Response { error: ErrorCode::None, is_read_committed, topics })
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        writer.i32(THROTTLE_MS);
        if version >= 7 {
            writer.i16(response.error.code());
            writer.i32(0);
        }
        writer.array(&response.topics, |writer, topic| {
            if version >= TOPIC_ID_VERSION_MIN {
                writer.uuid(topic.id.0);
            } else {
                writer.string(&topic.name);
            }
            writer.array(&topic.partitions, |writer, partition| {
                write_partition(writer, version, response.is_read_committed, partition);
            });
            writer.tags();
        });
        writer.tags();
    }
}

fn decode_topic_name(reader: &mut Reader, version: i16) -> WireResult<(String, TopicId)> {
    Ok(if version >= TOPIC_ID_VERSION_MIN {
        (String::new(), TopicId(reader.uuid()?))
    } else {
        (reader.string()?, TopicId(Uuid::nil()))
    })
}

fn decode_topic(reader: &mut Reader, version: i16) -> WireResult<RequestTopic> {
    let (name, id) = decode_topic_name(reader, version)?;
    let partitions = reader.array(16, |reader| {
        let index = reader.i32()?;
        let current_leader_epoch = if version >= 9 { reader.i32()? } else { -1 };
        let fetch_offset = reader.i64()?;
        if version >= 12 {
            // The last fetched epoch: there is one epoch, so nothing can have diverged.
            reader.i32()?;
        }
        if version >= 5 {
            // The log start offset of a follower.
            reader.i64()?;
        }
        let max_bytes = reader.i32()?;
        reader.tags()?;
        Ok(RequestPartition { index, current_leader_epoch, fetch_offset, max_bytes })
    })?;
    reader.tags()?;
    Ok(RequestTopic { name, id, partitions })
}

/// What is there at one moment.
struct Found {
    topics: Vec<ResponseTopic>,
    /// The positions of the partitions that are fine.
    positions: Vec<(PartitionId, i64)>,
    bytes: usize,
    has_error: bool,
}

impl Found {
    fn is_worth_waiting(&self, request: &Request) -> bool {
        let min_bytes = usize::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0);
        !self.has_error && !self.positions.is_empty() && self.bytes < min_bytes
    }
}

/// What one response still has room for.
struct Room {
    bytes: usize,
    batches: usize,
    /// The first batch of a response comes whole, however large it is.
    is_first: bool,
}

fn look<B: Backend>(backend: &B, peer: &Peer, version: i16, request: &Request) -> Found {
    let limits = &peer.limits;
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limits.fetch_bytes_max);
    let batches = limits.fetch_batches_count_max;
    let mut room = Room { bytes: max_bytes, batches, is_first: true };
    let topics = Vec::with_capacity(request.topics.len());
    let mut found = Found { topics, positions: Vec::new(), bytes: 0, has_error: false };
    for topic in &request.topics {
        let (published, unknown) = if version >= TOPIC_ID_VERSION_MIN {
            (backend.topic_by_id(topic.id), ErrorCode::UnknownTopicId)
        } else {
            (backend.topic(&topic.name), ErrorCode::UnknownTopicOrPartition)
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let looked = match &published {
                None => Err(unknown),
                Some(published) => {
                    let id = PartitionId { topic: published.id, index: wanted.index };
                    look_into(backend, peer, id, wanted, &mut room).inspect(|partition| {
                        found.positions.push((id, wanted.fetch_offset));
                        found.bytes += partition.bytes();
                    })
                }
            };
            found.has_error |= looked.is_err();
            partitions.push(looked.unwrap_or_else(|error| failed(wanted.index, error)));
        }
        found.topics.push(ResponseTopic { name: topic.name.clone(), id: topic.id, partitions });
    }
    found
}

fn look_into<B: Backend>(
    backend: &B,
    peer: &Peer,
    id: PartitionId,
    wanted: &RequestPartition,
    room: &mut Room,
) -> Result<ResponsePartition, ErrorCode> {
    let range = backend.range(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(wanted.current_leader_epoch)?;
    if !(range.log_start_offset..=range.high_watermark).contains(&wanted.fetch_offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(room.bytes);
    let mut batches = Vec::new();
    if room.is_first || (max_bytes > 0 && room.batches > 0) {
        batches = backend.batches_from(id, wanted.fetch_offset, max_bytes);
    }
    if !room.is_first && batches.first().is_some_and(|batch| length(batch) > max_bytes) {
        batches.clear();
    }
    batches.truncate(room.batches.max(1));
    peer.damaged.cut(&mut batches)?;
    room.is_first &= batches.is_empty();
    room.batches = room.batches.saturating_sub(batches.len());
    let partition = ResponsePartition {
        index: wanted.index,
        error: ErrorCode::None,
        high_watermark: range.high_watermark,
        log_start_offset: range.log_start_offset,
        batches,
        first: None,
    };
    room.bytes = room.bytes.saturating_sub(partition.bytes());
    Ok(partition)
}

/// Reads the first batch of each partition while there is room for it; before version 10 looks
/// into every batch for zstd, which those clients cannot read.
async fn read_ahead<B: Backend>(
    backend: &B,
    version: i16,
    topics: &mut [ResponseTopic],
) -> Result<(), NoAnswer> {
    let mut room = READ_AHEAD_BYTES;
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let Some(first) = partition.batches.first().copied() else { continue };
        if version < ZSTD_VERSION_MIN {
            cut_at_zstd(backend, partition).await?;
        }
        if partition.batches.is_empty() || room < length(&first) {
            continue;
        }
        match backend.read(first).await {
            // A large one is read again when its turn to be written comes: only then has it a
            // place among the bytes that readers may hold together.
            Ok(bytes) if bytes.len() > crate::budget::SMALL_BYTES => {}
            Ok(bytes) => partition.first = Some(bytes),
            Err(backend::Error::Read(reason)) => {
                tracing::error!(?first, reason, "a batch cannot be read");
                *partition = failed(partition.index, ErrorCode::KafkaStorageError);
            }
            Err(error) => return Err(error.into()),
        }
        room -= length(&first);
    }
    Ok(())
}

async fn cut_at_zstd<B: Backend>(
    backend: &B,
    partition: &mut ResponsePartition,
) -> Result<(), NoAnswer> {
    for index in 0..partition.batches.len() {
        let bytes = backend.read(partition.batches[index]).await?;
        if bytes.get(CODEC_AT).is_some_and(|attributes| attributes & 0b111 == 4) {
            partition.batches.truncate(index);
            if index == 0 {
                *partition = failed(partition.index, ErrorCode::UnsupportedCompressionType);
            }
            return Ok(());
        }
    }
    Ok(())
}

impl ResponsePartition {
    fn bytes(&self) -> usize {
        self.batches.iter().map(length).sum()
    }
}

fn length(batch: &BatchRef) -> usize {
    batch.address.length as usize
}

fn failed(index: i32, error: ErrorCode) -> ResponsePartition {
    let (high_watermark, log_start_offset) = (-1, -1);
    let batches = Vec::new();
    ResponsePartition { index, error, high_watermark, log_start_offset, batches, first: None }
}

fn write_partition(
    writer: &mut Writer,
    version: i16,
    is_read_committed: bool,
    partition: &ResponsePartition,
) {
    writer.i32(partition.index);
    writer.i16(partition.error.code());
    writer.i64(partition.high_watermark);
    // The last stable offset: nothing is ever unstable while there are no transactions.
    writer.i64(partition.high_watermark);
    if version >= 5 {
        writer.i64(partition.log_start_offset);
    }
    // Aborted transactions: Kafka answers null unless committed records were asked for.
    if is_read_committed {
        writer.array(&[], |_, ()| ());
    } else {
        writer.null_array();
    }
    if version >= 11 {
        // The preferred read replica: none.
        writer.i32(-1);
    }
    writer.records(&partition.batches, partition.first.as_ref());
    writer.tags();
}

#[cfg(test)]
mod tests;
