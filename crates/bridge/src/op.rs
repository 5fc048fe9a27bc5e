//! What the bridge journals. Kinds 200 to 299; kinds and field tags are never reused.

use crate::delivery::Fate;
use base::{Blob, JournalOp, OpError, OpKind, TopicId, Uuid};
use bytes::Bytes;
use prost::Message;

/// An op of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A route waits for a topic that does not exist: when it comes, every record of it is new.
    RouteAwaits(RouteAwaits),
    /// A route has met a topic, and where it starts is decided once and for all.
    RouteBound(RouteBound),
    /// A record is done.
    Progressed(Progressed),
    /// A topic is gone, and with it all positions in it.
    TopicForgotten(TopicId),
}

/// See [`Op::RouteAwaits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAwaits {
    /// Route name.
    pub route: String,
    /// Topic name.
    pub topic: String,
}

/// See [`Op::RouteBound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteBound {
    /// The number that stands for (route, topic id) in what follows.
    pub binding: u32,
    /// Route name.
    pub route: String,
    /// Topic name.
    pub topic: String,
    /// Topic id.
    pub topic_id: TopicId,
    /// Index of the first partition that `starts` is about: 0, or the number of partitions that
    /// were bound before.
    pub first_partition: u32,
    /// Where each partition starts.
    pub starts: Vec<i64>,
}

/// See [`Op::Progressed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// Of which route in which topic.
    pub binding: u32,
    /// Partition index.
    pub partition: i32,
    /// First offset that is done.
    pub first: i64,
    /// Last offset that is done: the record's own.
    pub last: i64,
    /// What has become of the record.
    pub fate: Fate,
}

const ROUTE_AWAITS: OpKind = OpKind { kind: 200, version: 1 };
const ROUTE_BOUND: OpKind = OpKind { kind: 201, version: 1 };
const PROGRESSED: OpKind = OpKind { kind: 202, version: 1 };
const TOPIC_FORGOTTEN: OpKind = OpKind { kind: 203, version: 1 };

#[derive(Clone, PartialEq, Message)]
struct RouteAwaitsBody {
    #[prost(string, tag = "1")]
    route: String,
    #[prost(string, tag = "2")]
    topic: String,
}

#[derive(Clone, PartialEq, Message)]
struct RouteBoundBody {
    #[prost(uint32, tag = "1")]
    binding: u32,
    #[prost(string, tag = "2")]
    route: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(bytes = "vec", tag = "4")]
    topic_id: Vec<u8>,
    #[prost(uint32, tag = "5")]
    first_partition: u32,
    #[prost(int64, repeated, tag = "6")]
    starts: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct ProgressedBody {
    #[prost(uint32, tag = "1")]
    binding: u32,
    #[prost(uint32, tag = "2")]
    partition: u32,
    #[prost(int64, tag = "3")]
    last: i64,
    /// `last - first`: 0 for a log without holes, and so not written.
    #[prost(uint64, tag = "4")]
    before: u64,
    /// 0 delivered, 1 ignored, 2 dead-lettered.
    #[prost(uint32, tag = "5")]
    fate: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TopicForgottenBody {
    #[prost(bytes = "vec", tag = "1")]
    topic_id: Vec<u8>,
}

impl JournalOp for Op {
    fn encode(&self, body: &mut Vec<u8>, _: &mut Vec<Blob>) -> OpKind {
        match self {
            Op::RouteAwaits(op) => {
                let RouteAwaits { route, topic } = op.clone();
                write(&RouteAwaitsBody { route, topic }, body);
                ROUTE_AWAITS
            }
            Op::RouteBound(op) => {
                write(&RouteBoundBody::from(op), body);
                ROUTE_BOUND
            }
            Op::Progressed(op) => {
                write(&ProgressedBody::from(op), body);
                PROGRESSED
            }
            Op::TopicForgotten(id) => {
                write(&TopicForgottenBody { topic_id: id.0.as_bytes().to_vec() }, body);
                TOPIC_FORGOTTEN
            }
        }
    }

    fn decode(kind: OpKind, body: &[u8], _: &[Bytes]) -> Result<Op, OpError> {
        let malformed = |reason: String| OpError::Malformed { kind, reason };
        match kind {
            ROUTE_AWAITS => read(body).map(|RouteAwaitsBody { route, topic }| {
                Op::RouteAwaits(RouteAwaits { route, topic })
            }),
            ROUTE_BOUND => {
                read::<RouteBoundBody>(body).and_then(RouteBound::try_from).map(Op::RouteBound)
            }
            PROGRESSED => {
                read::<ProgressedBody>(body).and_then(Progressed::try_from).map(Op::Progressed)
            }
            TOPIC_FORGOTTEN => read(body)
                .and_then(|body: TopicForgottenBody| topic_id(&body.topic_id))
                .map(Op::TopicForgotten),
            unknown => return Err(OpError::UnknownKind(unknown)),
        }
        .map_err(malformed)
    }
}

impl From<&RouteBound> for RouteBoundBody {
    fn from(op: &RouteBound) -> RouteBoundBody {
        RouteBoundBody {
            binding: op.binding,
            route: op.route.clone(),
            topic: op.topic.clone(),
            topic_id: op.topic_id.0.as_bytes().to_vec(),
            first_partition: op.first_partition,
            starts: op.starts.clone(),
        }
    }
}

impl TryFrom<RouteBoundBody> for RouteBound {
    type Error = String;

    fn try_from(body: RouteBoundBody) -> Result<RouteBound, String> {
        Ok(RouteBound {
            binding: body.binding,
            route: body.route,
            topic: body.topic,
            topic_id: topic_id(&body.topic_id)?,
            first_partition: body.first_partition,
            starts: body.starts,
        })
    }
}

impl From<&Progressed> for ProgressedBody {
    fn from(op: &Progressed) -> ProgressedBody {
        ProgressedBody {
            binding: op.binding,
            partition: op.partition.unsigned_abs(),
            last: op.last,
            before: op.last.abs_diff(op.first),
            fate: match op.fate {
                Fate::Delivered => 0,
                Fate::Ignored => 1,
                Fate::DeadLettered => 2,
            },
        }
    }
}

impl TryFrom<ProgressedBody> for Progressed {
    type Error = String;

    fn try_from(body: ProgressedBody) -> Result<Progressed, String> {
        let first = body.last.checked_sub_unsigned(body.before);
        Ok(Progressed {
            binding: body.binding,
            partition: i32::try_from(body.partition).map_err(|error| error.to_string())?,
            first: first.ok_or("the range begins below all offsets")?,
            last: body.last,
            fate: match body.fate {
                0 => Fate::Delivered,
                1 => Fate::Ignored,
                2 => Fate::DeadLettered,
                other => return Err(format!("unknown fate {other}")),
            },
        })
    }
}

fn write(message: &impl Message, body: &mut Vec<u8>) {
    // A Vec grows as needed, so there is always room.
    let _ = message.encode(body);
}

fn read<M: Message + Default>(body: &[u8]) -> Result<M, String> {
    M::decode(body).map_err(|error| error.to_string())
}

fn topic_id(bytes: &[u8]) -> Result<TopicId, String> {
    Uuid::from_slice(bytes).map(TopicId).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(op: &Op) -> Vec<u8> {
        let (mut body, mut blobs) = (Vec::new(), Vec::new());
        let kind = op.encode(&mut body, &mut blobs);
        assert!(blobs.is_empty());
        assert!((200..=299).contains(&kind.kind));
        assert_eq!(&Op::decode(kind, &body, &[]).unwrap(), op);
        body
    }

    #[test]
    fn ops_survive_the_journal() {
        let topic_id = TopicId(Uuid::from_u128(9));
        round_trip(&Op::RouteAwaits(RouteAwaits { route: "r".into(), topic: "t".into() }));
        round_trip(&Op::TopicForgotten(topic_id));
        round_trip(&Op::RouteBound(RouteBound {
            binding: 3,
            route: "r".into(),
            topic: "t".into(),
            topic_id,
            first_partition: 1,
            starts: vec![0, 17, i64::MAX - 1],
        }));
        let progressed = |first, last, fate| {
            Op::Progressed(Progressed { binding: 1, partition: 5, first, last, fate })
        };
        round_trip(&progressed(0, i64::MAX - 1, Fate::Ignored));
        round_trip(&progressed(7, 9, Fate::DeadLettered));
        // The common case is small: it is written for every record.
        assert!(round_trip(&progressed(1_000_000, 1_000_000, Fate::Delivered)).len() <= 8);
    }

    #[test]
    fn what_is_no_op_is_refused() {
        let malformed = |kind, body: &[u8]| {
            assert!(matches!(Op::decode(kind, body, &[]), Err(OpError::Malformed { .. })));
        };
        malformed(TOPIC_FORGOTTEN, b"\x0a\x01x");
        malformed(ROUTE_BOUND, b"\xff");
        malformed(PROGRESSED, b"\x28\x09");
        let unknown = OpKind { kind: 202, version: 2 };
        assert!(matches!(Op::decode(unknown, b"", &[]), Err(OpError::UnknownKind(_))));
    }
}
