//! What a producer wants written: orders of parcels, each parcel one batch for one partition.
//!
//! A parcel keeps its bytes and its sequence through all repetitions, and remembers for each of
//! its records the first request that was made for it.

use crate::history::History;
use crate::kafka_client::topic_name;
use crate::records::NewRecord;
use bytes::Bytes;
use checker::{Answer, Call, Delivery, OpId, Partition, digest};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

/// One request of a producer.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// For different partitions.
    pub(crate) parcels: Vec<Parcel>,
}

/// One batch.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) to: Partition,
    pub(crate) bytes: Bytes,
    records: Vec<Tracked>,
}

/// A record, and the requests that were made for it.
#[derive(Clone, Debug)]
struct Tracked {
    record: NewRecord,
    first: Option<OpId>,
    latest: Option<OpId>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By<'a> {
    pub(crate) process: u32,
    pub(crate) producer: &'a str,
    pub(crate) delivery: Delivery,
}

impl Parcel {
    pub(crate) fn new(to: Partition, bytes: Bytes, records: Vec<NewRecord>) -> Parcel {
        let track = |record| Tracked { record, first: None, latest: None };
        Parcel { to, bytes, records: records.into_iter().map(track).collect() }
    }

    /// Writes down that it is about to be sent.
    pub(crate) fn invoke(&mut self, history: &History, by: By<'_>) {
        for tracked in &mut self.records {
            let repeats = tracked.first.filter(|_| by.delivery == Delivery::Idempotent);
            let op = history.invoke(
                by.process,
                Call::Send {
                    producer: by.producer.to_owned(),
                    delivery: by.delivery,
                    topic: self.to.topic.clone(),
                    partition: Some(self.to.partition),
                    key: tracked.record.key.clone(),
                    value: tracked.record.id,
                    digest: digest(&tracked.record.value),
                    repeats,
                },
            );
            tracked.first.get_or_insert(op);
            tracked.latest = Some(op);
        }
    }

    /// Writes down that it is in the log.
    pub(crate) fn ok(&self, history: &History, base_offset: Option<i64>) {
        for (index, op) in self.ops().enumerate() {
            let offset = base_offset.map(|base| base + index as i64);
            history.ok(op, Answer::Sent { partition: self.to.partition, offset });
        }
    }

    /// Writes down that it is definitely not.
    pub(crate) fn refused(&self, history: &History, why: &str) {
        self.ops().for_each(|op| history.refused(op, why));
    }

    /// Writes down that nobody knows.
    pub(crate) fn unknown(&self, history: &History, why: &str) {
        self.ops().for_each(|op| history.unknown(op, why));
    }

    fn ops(&self) -> impl Iterator<Item = OpId> {
        self.records.iter().filter_map(|it| it.latest)
    }
}

impl Order {
    /// The request, as it goes over the wire.
    pub(crate) fn request(&self, acks: i16) -> ProduceRequest {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for parcel in &self.parcels {
            let data = PartitionProduceData::default()
                .with_index(parcel.to.partition)
                .with_records(Some(parcel.bytes.clone()));
            match topics.iter_mut().find(|it| *it.name.0 == *parcel.to.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topics.push(
                    TopicProduceData::default()
                        .with_name(topic_name(&parcel.to.topic))
                        .with_partition_data(vec![data]),
                ),
            }
        }
        ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(topics)
    }

    /// The parcel for this partition, taken out.
    pub(crate) fn take(&mut self, topic: &str, partition: i32) -> Option<Parcel> {
        let is_it = |it: &Parcel| it.to.topic == topic && it.to.partition == partition;
        let index = self.parcels.iter().position(is_it)?;
        Some(self.parcels.remove(index))
    }
}
