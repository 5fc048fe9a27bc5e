//! A Kafka client of a few lines for tests: requests and responses by crate `kafka-protocol`,
//! which shares no code with the server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each of the tests that share this uses a part of it")]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        FetchRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::{FetchResponse, PartitionData},
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::PartitionProduceResponse,
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
    records::{Record, RecordBatchDecoder},
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        Client { stream: TcpStream::connect(address).await.unwrap(), correlation_id: 0 }
    }

    /// Sends a request and waits for its response.
    pub(crate) async fn ask<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.send(version, request).await;
        self.receive::<Q>(version).await
    }

    /// Sends a request.
    pub(crate) async fn send<Q: Request>(&mut self, version: i16, request: &Q) {
        self.correlation_id += 1;
        let frame = frame(self.correlation_id, version, request);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next response, which must be to a request of this kind.
    pub(crate) async fn receive<Q: Request>(&mut self, version: i16) -> Q::Response {
        self.receive_numbered::<Q>(version).await.1
    }

    /// The next response and its correlation id.
    pub(crate) async fn receive_numbered<Q: Request>(
        &mut self,
        version: i16,
    ) -> (i32, Q::Response) {
        let mut bytes = self.receive_bytes().await.expect("the server has closed the connection");
        let header_version = Q::Response::header_version(version);
        let header = ResponseHeader::decode(&mut bytes, header_version).unwrap();
        let response = Q::Response::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "{} bytes after the response", bytes.len());
        (header.correlation_id, response)
    }

    /// The next response as it is, or `None` if the server has closed the connection.
    pub(crate) async fn receive_bytes(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(Bytes::from(bytes))
    }

    /// Waits until the server closes the connection, without having answered.
    pub(crate) async fn expect_close(&mut self) {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = self.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "answered with {rest:?}");
    }
}

/// A request as it is on the wire, its length in front.
pub(crate) fn frame<Q: Request>(correlation_id: i32, version: i16, request: &Q) -> BytesMut {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut body = BytesMut::new();
    header.encode(&mut body, Q::header_version(version)).unwrap();
    request.encode(&mut body, version).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.put(body);
    frame
}

/// A topic's name.
pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A batch with one record per value, a second apart.
pub(crate) fn batch(first_timestamp_ms: i64, values: &[&str]) -> Bytes {
    let mut batch = topics::BatchBuilder::new();
    for (index, value) in values.iter().enumerate() {
        let timestamp_ms = first_timestamp_ms + index as i64 * 1_000;
        batch.push(timestamp_ms, None, Some(value.as_bytes()), &[]);
    }
    batch.build().unwrap().1.bytes().clone()
}

/// A produce request for partitions of one topic.
pub(crate) fn produce(topic: &str, acks: i16, batches: &[(i32, Bytes)]) -> ProduceRequest {
    let partitions = batches.iter().map(|(index, batch)| {
        PartitionProduceData::default().with_index(*index).with_records(Some(batch.clone()))
    });
    let data = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(partitions.collect());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(1_000).with_topic_data(vec![data])
}

/// A fetch of one partition of one topic.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// All partitions of a produce response.
pub(crate) fn produced(response: ProduceResponse) -> Vec<PartitionProduceResponse> {
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).collect()
}

/// The only partition of a fetch response.
pub(crate) fn fetched(response: &FetchResponse) -> &PartitionData {
    &response.responses[0].partitions[0]
}

/// Offsets and values of the records of a partition.
pub(crate) fn records(partition: &PartitionData) -> Vec<(i64, String)> {
    let mut bytes = partition.records.clone().expect("records are never null");
    if !bytes.has_remaining() {
        return Vec::new();
    }
    let sets = RecordBatchDecoder::decode_all(&mut bytes).unwrap();
    let record = |record: Record| {
        assert_eq!(record.partition_leader_epoch, 0);
        let value = record.value.unwrap_or_default();
        (record.offset, String::from_utf8_lossy(&value).into_owned())
    };
    sets.into_iter().flat_map(|set| set.records).map(record).collect()
}
