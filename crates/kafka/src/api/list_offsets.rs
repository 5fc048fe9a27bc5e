//! ListOffsets 1-7: the ends of a partition, and the first record at or after a time, told by
//! the record and not only by its batch.

use crate::{
    api::{Api, Client, LEADER_EPOCH, NoAnswer, PerPartition, THROTTLE_MS, check_leader_epoch},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use base::PartitionId;
use topics::{BatchRef, ErrorCode, records::Records};

/// The API.
pub(crate) struct ListOffsets;

/// The end of the log.
const LATEST: i64 = -1;
/// The beginning of the log.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734, from version 7 on).
const MAX_TIMESTAMP: i64 = -3;
/// What the records of one batch may unfold to when a timestamp is looked up in it.
const UNFOLDED_BYTES_MAX: usize = 32 << 20;

/// What to look up in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) timestamp_ms: i64,
}

/// What was found in one partition; -1 for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) timestamp_ms: i64,
    pub(crate) offset: i64,
}

/// The outcome for one partition.
pub(crate) type Outcome = Result<Found, ErrorCode>;

const NOTHING: Found = Found { timestamp_ms: -1, offset: -1 };

impl Api for ListOffsets {
    type Request = Vec<(String, Vec<Wanted>)>;
    type Response = PerPartition<Outcome>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Self::Request> {
        // The replica id: there are no followers.
        reader.i32()?;
        if version >= 2 {
            // The isolation level: everything is committed while there are no transactions.
            reader.i8()?;
        }
        let topics = reader.array(2, |reader| {
            let name = reader.string()?;
            let partitions = reader.array(12, |reader| {
                let index = reader.i32()?;
                let current_leader_epoch = if version >= 4 { reader.i32()? } else { -1 };
                let timestamp_ms = reader.i64()?;
                reader.tags()?;
                Ok(Wanted { index, current_leader_epoch, timestamp_ms })
            })?;
            reader.tags()?;
            Ok((name, partitions))
        })?;
        reader.tags()?;
        Ok(topics)
    }

    async fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        version: i16,
        request: Self::Request,
    ) -> Result<Self::Response, NoAnswer> {
        let mut response = Vec::with_capacity(request.len());
        for (name, partitions) in request {
            let topic = backend.topic(&name);
            let mut outcomes = Vec::with_capacity(partitions.len());
            for wanted in partitions {
                let outcome = match &topic {
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                    Some(topic) => {
                        let id = PartitionId { topic: topic.id, index: wanted.index };
                        look_up(backend, client, version, id, &wanted).await
                    }
                };
                outcomes.push((wanted.index, outcome));
            }
            response.push((name, outcomes));
        }
        Ok(response)
    }

    fn encode(writer: &mut Writer, version: i16, response: &Self::Response) {
        if version >= 2 {
            writer.i32(THROTTLE_MS);
        }
        writer.array(response, |writer, (name, partitions)| {
            writer.string(name);
            writer.array(partitions, |writer, (index, outcome)| {
                let found = outcome.unwrap_or(NOTHING);
                writer.i32(*index);
                writer.i16(outcome.err().unwrap_or(ErrorCode::None).code());
                writer.i64(found.timestamp_ms);
                writer.i64(found.offset);
                if version >= 4 {
                    writer.i32(if found.offset >= 0 { LEADER_EPOCH } else { -1 });
                }
                writer.tags();
            });
            writer.tags();
        });
        writer.tags();
    }
}

async fn look_up<B: Backend>(
    backend: &B,
    client: &Client,
    version: i16,
    id: PartitionId,
    wanted: &Wanted,
) -> Outcome {
    let range = backend.range(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(wanted.current_leader_epoch)?;
    match wanted.timestamp_ms {
        LATEST => Ok(Found { timestamp_ms: -1, offset: range.high_watermark }),
        EARLIEST => Ok(Found { timestamp_ms: -1, offset: range.log_start_offset }),
        MAX_TIMESTAMP if version >= 7 => match backend.batch_with_max_timestamp(id) {
            Some(batch) => first_record_from(backend, client, batch, batch.max_timestamp_ms).await,
            None => Ok(NOTHING),
        },
        ..0 => Err(ErrorCode::UnsupportedVersion),
        timestamp_ms => match backend.batch_for_timestamp(id, timestamp_ms) {
            Some(batch) => first_record_from(backend, client, batch, timestamp_ms).await,
            None => Ok(NOTHING),
        },
    }
}

/// The first record of `batch` at `timestamp_ms` or later. A batch that cannot be unfolded, or
/// whose header has promised too much, answers with its beginning: never later than the truth.
async fn first_record_from<B: Backend>(
    backend: &B,
    client: &Client,
    batch: BatchRef,
    timestamp_ms: i64,
) -> Outcome {
    let bytes = backend.read(batch).await.map_err(|error| {
        tracing::error!(?batch, %error, "a batch cannot be read");
        ErrorCode::KafkaStorageError
    })?;
    let begin = Found { timestamp_ms: batch.max_timestamp_ms, offset: batch.base_offset };
    // Never closed; if it were, the lookup would go on without a permit.
    let permit = client.peer.lookups.clone().acquire_owned().await.ok();
    // Unfolding takes milliseconds: not on a thread that serves other connections.
    let search = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let records = Records::open(&bytes, batch.base_offset, UNFOLDED_BYTES_MAX).ok()?;
        let mut records = records.map_while(Result::ok);
        let record = records.find(|record| record.timestamp_ms >= timestamp_ms)?;
        Some(Found { timestamp_ms: record.timestamp_ms, offset: record.offset })
    });
    Ok(search.await.ok().flatten().unwrap_or(begin))
}
