//! A Kafka client of a few lines over the simulated network: requests and responses by crate
//! `kafka-protocol`, which shares no code with the server.
//!
//! Answers come in the order of the requests, so any number of requests may be under way. Every
//! wait ends in virtual time. After an error the connection is of no use any more, and the
//! outcome of everything that was sent and not answered is unknown.

use crate::network::{Gone, Network};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, RequestHeader,
    ResponseHeader, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

/// A request that has no answer after this is unknown.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why there is no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no node, or the connection has ended.
    #[error("the connection has ended")]
    Gone,
    /// The node is there and does not answer.
    #[error("there was no answer in time")]
    Late,
    /// The request was refused whole, with this code.
    #[error("refused: {}", name_of(*.0))]
    Refused(i16),
    /// The answer is not what the protocol says.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
}

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Error {
        Error::Gone
    }
}

/// A request, in the one version in which these clients speak it.
pub trait Spoken: Request {
    /// That version.
    const VERSION: i16;
}

macro_rules! spoken {
    ($($request:ty, $version:literal;)*) => {
        $(impl Spoken for $request { const VERSION: i16 = $version; })*
    };
}

spoken! {
    ProduceRequest, 11;
    FetchRequest, 12;
    ListOffsetsRequest, 7;
    MetadataRequest, 12;
    OffsetCommitRequest, 9;
    OffsetFetchRequest, 9;
    FindCoordinatorRequest, 4;
    JoinGroupRequest, 9;
    SyncGroupRequest, 5;
    HeartbeatRequest, 4;
    LeaveGroupRequest, 5;
    CreateTopicsRequest, 7;
    InitProducerIdRequest, 4;
}

/// One connection.
pub struct KafkaClient {
    stream: DuplexStream,
    received: BytesMut,
    correlation_id: i32,
    unanswered: VecDeque<i32>,
}

impl KafkaClient {
    /// Connects to the node that lives now.
    pub fn connect(network: &Network) -> Result<KafkaClient, Error> {
        let stream = network.kafka()?;
        let (received, unanswered) = (BytesMut::new(), VecDeque::new());
        Ok(KafkaClient { stream, received, correlation_id: 0, unanswered })
    }

    /// Sends a request and waits for its answer. No other may be under way.
    pub async fn ask<Q: Spoken>(&mut self, request: &Q) -> Result<Q::Response, Error> {
        self.send(request).await?;
        self.receive::<Q>().await
    }

    /// Sends a request.
    pub async fn send<Q: Spoken>(&mut self, request: &Q) -> Result<(), Error> {
        let frame = self.frame(request)?;
        self.write(&frame).await
    }

    /// Sends so many hundredths of a request, and no more.
    pub async fn send_part<Q: Spoken>(&mut self, request: &Q, percent: u64) -> Result<(), Error> {
        let frame = self.frame(request)?;
        let part = frame.len() * percent.min(99) as usize / 100;
        self.write(&frame[..part]).await
    }

    /// The answer to the first request that has none, which must be of this kind.
    pub async fn receive<Q: Spoken>(&mut self) -> Result<Q::Response, Error> {
        let frame = timeout(ANSWER_WITHIN, self.next_frame()).await;
        let mut frame = frame.map_err(|_| Error::Late)??;
        let version = Q::Response::header_version(Q::VERSION);
        let header = ResponseHeader::decode(&mut frame, version).map_err(malformed)?;
        if self.unanswered.pop_front() != Some(header.correlation_id) {
            let reason = format!("it answers request {}", header.correlation_id);
            return Err(Error::Malformed(reason));
        }
        let response = Q::Response::decode(&mut frame, Q::VERSION).map_err(malformed)?;
        match frame.len() {
            0 => Ok(response),
            rest => Err(Error::Malformed(format!("{rest} bytes after it"))),
        }
    }

    fn frame<Q: Spoken>(&mut self, request: &Q) -> Result<BytesMut, Error> {
        self.correlation_id += 1;
        self.unanswered.push_back(self.correlation_id);
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(Q::VERSION)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(text("sim")));
        let mut body = BytesMut::new();
        header.encode(&mut body, Q::header_version(Q::VERSION)).map_err(malformed)?;
        request.encode(&mut body, Q::VERSION).map_err(malformed)?;
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.put_u32(body.len() as u32);
        frame.put(body);
        Ok(frame)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = timeout(ANSWER_WITHIN, self.stream.write_all(bytes)).await;
        written.map_err(|_| Error::Late)?.map_err(|_| Error::Gone)
    }

    async fn next_frame(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(frame) = self.whole_frame()? {
                return Ok(frame);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Err(Error::Gone),
                Ok(_) => {}
            }
        }
    }

    fn whole_frame(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(mut head) = self.received.get(..4) else { return Ok(None) };
        let length = head.get_i32();
        let length = usize::try_from(length)
            .map_err(|_| Error::Malformed(format!("its length is {length}")))?;
        if self.received.len() < 4 + length {
            return Ok(None);
        }
        self.received.advance(4);
        Ok(Some(self.received.split_to(length).freeze()))
    }
}

fn malformed(error: impl ToString) -> Error {
    Error::Malformed(error.to_string())
}

/// `Ok` for code 0.
pub fn check(code: i16) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error::Refused(code)) }
}

/// Whether it is this error.
pub fn is(code: i16, error: ResponseError) -> bool {
    code == error.code()
}

/// What an error code is called.
pub fn name_of(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        Some(error) => format!("{error:?} ({code})"),
        None => format!("code {code}"),
    }
}

/// A string of the protocol.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name.
pub fn topic_name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// A group's id.
pub fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}
