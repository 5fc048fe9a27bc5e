//! Records as clients write and read them: values that carry an id, and batches around them.

use crate::codec;
use crate::kafka_client::Error;
use bytes::{Bytes, BytesMut};
use checker::{Record, digest};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    Record as WireRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};

/// A record that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    /// The key.
    pub(crate) key: Option<String>,
    /// The id in the value.
    pub(crate) id: u64,
    /// The value.
    pub(crate) value: Bytes,
}

/// Who writes a batch, if it is to be written once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequenced {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

/// A value that carries this id: a JSON document, so that a route takes it.
pub fn value(id: u64, from: &str, padding_bytes: usize) -> Bytes {
    let padding = "x".repeat(padding_bytes);
    Bytes::from(format!(r#"{{"id":{id},"from":"{from}","padding":"{padding}"}}"#))
}

/// The id that a value carries, if it does.
pub fn id_of(value: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    value.get("id")?.as_u64()
}

/// A batch of these records.
pub(crate) fn batch(
    records: &[NewRecord],
    sequenced: Option<Sequenced>,
    compression: Compression,
    timestamp_ms: i64,
) -> Result<Bytes, Error> {
    let records = records.iter().enumerate();
    let records: Vec<WireRecord> =
        records.map(|(index, it)| wire_record(index, it, sequenced, timestamp_ms)).collect();
    let options = RecordEncodeOptions { version: 2, compression };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode_with_custom_compression(
        &mut bytes,
        &records,
        &options,
        Some(codec::compress),
    )
    .map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(bytes.freeze())
}

fn wire_record(
    index: usize,
    record: &NewRecord,
    sequenced: Option<Sequenced>,
    timestamp_ms: i64,
) -> WireRecord {
    let base_sequence = sequenced.map_or(NO_SEQUENCE, |it| it.base_sequence);
    WireRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: sequenced.map_or(NO_PRODUCER_ID, |it| it.producer_id),
        producer_epoch: sequenced.map_or(NO_PRODUCER_EPOCH, |it| it.producer_epoch),
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        // The encoder looks at the difference to the offset, also where there is no sequence.
        sequence: base_sequence.wrapping_add(index as i32),
        timestamp: timestamp_ms,
        key: record.key.clone().map(Bytes::from),
        value: Some(record.value.clone()),
        headers: Default::default(),
    }
}

/// The records of an answer from this offset on. An answer begins with a whole batch, so earlier
/// ones may be in it.
pub(crate) fn read(
    topic: &str,
    partition: i32,
    from_offset: i64,
    mut bytes: Bytes,
) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let set =
            RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(codec::decompress))
                .map_err(|error| Error::Malformed(format!("{topic}/{partition}: {error}")))?;
        records.extend(set.records.into_iter().filter(|it| it.offset >= from_offset));
    }
    Ok(records.into_iter().map(|it| seen(topic, partition, it)).collect())
}

fn seen(topic: &str, partition: i32, record: WireRecord) -> Record {
    let value = record.value.unwrap_or_default();
    Record {
        topic: topic.to_owned(),
        partition,
        offset: record.offset,
        key: record.key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        value: id_of(&value),
        digest: digest(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for compression in codec::ALL {
            let records: Vec<NewRecord> = (7..10)
                .map(|id| NewRecord { key: Some(format!("k{id}")), id, value: value(id, "p", 300) })
                .collect();
            let sequenced = Sequenced { producer_id: 5, producer_epoch: 0, base_sequence: 3 };
            for sequenced in [None, Some(sequenced)] {
                let bytes = batch(&records, sequenced, compression, 1).unwrap();
                let read = read("t", 2, 1, bytes).unwrap();
                let told = read.iter().map(|it| (it.offset, it.key.as_deref(), it.value));
                let expected = [(1, Some("k8"), Some(8)), (2, Some("k9"), Some(9))];
                assert_eq!(told.collect::<Vec<_>>(), expected, "{compression:?}");
            }
        }
    }
}
