//! Produce 3-11. Versions 0 to 2 are advertised for old librdkafka's sake (KAFKA-18659) and
//! answered with UNSUPPORTED_VERSION.
//!
//! Everything that needs a batch's bytes is done here, on the connection's task: the checks of
//! its header and CRC, and the checksum for the journal. A batch that is refused does not keep
//! the request's other batches from being appended.

use crate::{
    api::{Api, Client, NoAnswer, PerPartition, THROTTLE_MS, expect_reply, refusal},
    backend::{Backend, Placed},
    wire::{Reader, Result as WireResult, Writer},
};
use base::{Blob, hash};
use bytes::Bytes;
use topics::{
    Ask, BatchHeader, ErrorCode, Reply,
    ask::{self, Appended, Origin, PartitionAppend, ProduceError},
    batch::{self, Codec},
};

/// The API.
pub(crate) struct Produce;

/// First version whose clients understand zstd.
const ZSTD_VERSION_MIN: i16 = 7;

/// Where the part of a batch begins that its CRC covers. The CRC stands before it.
const CRC_COVER_START: usize = 21;
/// From here on putting two CRCs together (microseconds) is cheaper than reading again.
const COMBINED_BYTES_MIN: usize = 64 << 10;

/// Batches for partitions of several topics.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) transactional_id: Option<String>,
    pub(crate) acks: i16,
    pub(crate) topics: PerPartition<Option<Bytes>>,
}

/// The outcome of each, in the request's order.
pub(crate) type Response = PerPartition<Outcome>;

/// The outcome for one partition.
pub(crate) type Outcome = Result<Appended, ProduceError>;

impl Api for Produce {
    type Request = Request;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        let transactional_id = if version >= 3 { reader.nullable_string()? } else { None };
        let acks = reader.i16()?;
        // How long Kafka may wait for replicas. There are none.
        reader.i32()?;
        let topics = reader.array(2, |reader| {
            let name = reader.string()?;
            let partitions = reader.array(5, |reader| {
                let partition = (reader.i32()?, reader.nullable_bytes()?);
                reader.tags()?;
                Ok(partition)
            })?;
            reader.tags()?;
            Ok((name, partitions))
        })?;
        reader.tags()?;
        Ok(Request { transactional_id, acks, topics })
    }

    async fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        version: i16,
        request: Request,
    ) -> Result<Response, NoAnswer> {
        let acks = request.acks;
        let response = match whole_request_error(version, &request) {
            Some(error) => refuse_all(request.topics, error),
            None => append(backend, client, version, request.topics).await?,
        };
        if acks != 0 {
            return Ok(response);
        }
        // The only way to tell a client that wants no answer is to close the connection.
        let mut outcomes = response.iter().flat_map(|(_, partitions)| partitions);
        match outcomes.find_map(|(_, outcome)| outcome.as_ref().err()) {
            None => Err(NoAnswer::Silent),
            Some(error) => Err(NoAnswer::Close(format!("produce with acks 0: {:?}", error.code))),
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        writer.array(response, |writer, (topic, partitions)| {
            writer.string(topic);
            writer.array(partitions, |writer, (index, outcome)| {
                writer.i32(*index);
                write_outcome(writer, version, outcome);
                writer.tags();
            });
            writer.tags();
        });
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        writer.tags();
    }
}

fn whole_request_error(version: i16, request: &Request) -> Option<ErrorCode> {
    if version < 3 {
        return Some(ErrorCode::UnsupportedVersion);
    }
    if !matches!(request.acks, -1..=1) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    let is_transactional = request.transactional_id.is_some();
    is_transactional.then_some(ErrorCode::TransactionalIdAuthorizationFailed)
}

fn refuse_all(topics: PerPartition<Option<Bytes>>, error: ErrorCode) -> Response {
    let refuse = |(index, _)| (index, Err(refused(error)));
    let refuse_topic =
        |(name, partitions): (_, Vec<_>)| (name, partitions.into_iter().map(refuse).collect());
    topics.into_iter().map(refuse_topic).collect()
}

/// Asks the node to append what passes the checks, and puts the outcomes back into their places.
async fn append<B: Backend>(
    backend: &B,
    client: &Client,
    version: i16,
    topics: PerPartition<Option<Bytes>>,
) -> Result<Response, NoAnswer> {
    let mut response: PerPartition<Option<Outcome>> = Vec::with_capacity(topics.len());
    let mut asked = Vec::new();
    for (topic, partitions) in topics {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for (partition, records) in partitions {
            let outcome = match check(records, version, client.frame_bytes) {
                Ok((header, batch)) => {
                    let topic = topic.clone();
                    asked.push(PartitionAppend { topic, partition, header, batch });
                    None
                }
                Err(error) => Some(Err(error)),
            };
            outcomes.push((partition, outcome));
        }
        response.push((topic, outcomes));
    }
    let mut appended = ask(backend, client, asked).await?.into_iter();
    let missing = || refused(ErrorCode::UnknownServerError);
    let mut fill = |outcome: Option<Outcome>| {
        outcome.unwrap_or_else(|| appended.next().unwrap_or_else(|| Err(missing())))
    };
    let mut fill_topic = |(name, partitions): (_, Vec<(i32, _)>)| {
        let partitions = partitions.into_iter().map(|(index, outcome)| (index, fill(outcome)));
        (name, partitions.collect())
    };
    Ok(response.into_iter().map(&mut fill_topic).collect())
}

async fn ask<B: Backend>(
    backend: &B,
    client: &Client,
    partitions: Vec<PartitionAppend>,
) -> Result<Vec<Outcome>, NoAnswer> {
    let count = partitions.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let produce = ask::Produce { partitions, origin: Origin::Client };
    let placed = backend.place(Ask::Produce(produce)).await;
    client.is_placed.set();
    let reply = match placed {
        Ok(placed) => placed.reply().await,
        Err(error) => Err(error),
    };
    match reply {
        Ok(reply) => expect_reply!(reply, Reply::Produce),
        Err(error) => {
            let message = error.to_string();
            let code = refusal(error, ErrorCode::KafkaStorageError)?;
            let error = ProduceError { message: Some(message), ..refused(code) };
            Ok(vec![Err(error); count])
        }
    }
}

/// Every check that needs nothing but the bytes.
fn check(
    records: Option<Bytes>,
    version: i16,
    frame_bytes: usize,
) -> Result<(BatchHeader, Blob), ProduceError> {
    let Some(records) = records.filter(|records| !records.is_empty()) else {
        let message = Some("a partition of the request has no record batch".to_owned());
        return Err(ProduceError { message, ..refused(ErrorCode::InvalidRecord) });
    };
    let header = BatchHeader::parse(&records).map_err(bad_batch)?;
    if header.codec() == Some(Codec::Zstd) && version < ZSTD_VERSION_MIN {
        return Err(refused(ErrorCode::UnsupportedCompressionType));
    }
    // A slice keeps its whole frame in memory for as long as the batch stays in the hot tail, so
    // a batch that is less than half of its frame gets bytes of its own.
    let records =
        if records.len() < frame_bytes / 2 { Bytes::copy_from_slice(&records) } else { records };
    Ok((header, blob(records)))
}

/// The checksum for the journal covers the whole batch, and most of the batch has just been read
/// for its own CRC: a large one is not read twice.
fn blob(batch: Bytes) -> Blob {
    let cover = batch.get(CRC_COVER_START..).map_or(0, <[u8]>::len);
    match batch.get(CRC_COVER_START - 4..CRC_COVER_START) {
        Some(&[a, b, c, d]) if cover >= COMBINED_BYTES_MIN => {
            let head = hash::crc32c(&batch[..CRC_COVER_START]);
            let crc = hash::crc32c_combine(head, u32::from_be_bytes([a, b, c, d]), cover);
            Blob::with_crc(batch, crc)
        }
        _ => Blob::new(batch),
    }
}

fn bad_batch(error: batch::Error) -> ProduceError {
    let message = Some(error.to_string());
    let record_errors = match &error {
        batch::Error::Record { index, source } => vec![(*index, Some(source.to_string()))],
        _ => Vec::new(),
    };
    ProduceError { code: error.code(), message, record_errors }
}

fn refused(code: ErrorCode) -> ProduceError {
    ProduceError { code, message: None, record_errors: Vec::new() }
}

fn write_outcome(writer: &mut Writer, version: i16, outcome: &Outcome) {
    let error = outcome.as_ref().err();
    let appended = outcome.as_ref().ok();
    writer.i16(error.map_or(ErrorCode::None, |error| error.code).code());
    writer.i64(appended.map_or(-1, |appended| appended.base_offset));
    if version >= 2 {
        writer.i64(appended.map_or(-1, |appended| appended.log_append_time_ms));
    }
    if version >= 5 {
        writer.i64(appended.map_or(-1, |appended| appended.log_start_offset));
    }
    if version >= 8 {
        let record_errors = error.map_or(&[][..], |error| &error.record_errors);
        writer.array(record_errors, |writer, (index, message)| {
            writer.i32(*index);
            writer.nullable_string(message.as_deref());
            writer.tags();
        });
        writer.nullable_string(error.and_then(|error| error.message.as_deref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::batch;

    #[test]
    fn the_checksum_for_the_journal_is_that_of_all_bytes() {
        for length in [0, 10, COMBINED_BYTES_MIN - 100, COMBINED_BYTES_MIN, 1_000_000] {
            let batch = batch(1, &["x".repeat(length).as_str()]);
            let (header, blob) = check(Some(batch.clone()), 9, batch.len()).unwrap();
            assert_eq!((blob.bytes(), blob.crc()), (&batch, hash::crc32c(&batch)));
            assert_eq!(header.record_count, 1);
        }
    }

    #[test]
    fn a_small_batch_does_not_keep_a_large_frame() {
        let batch = batch(1, &["x"]);
        let frame = Bytes::from([batch.as_ref(), &[0; 1_000]].concat());
        let slice = frame.slice(..batch.len());
        for (frame_bytes, is_copied) in [(batch.len() * 2 - 1, false), (frame.len(), true)] {
            let (_, blob) = check(Some(slice.clone()), 9, frame_bytes).unwrap();
            assert_eq!(blob.bytes().as_ptr() != slice.as_ptr(), is_copied);
        }
    }
}
