//! What an entry may hold: the ops of all machines, told apart by their kinds.

use base::{Blob, JournalOp, OpError, OpKind, Uuid};
use bytes::Bytes;
use prost::Message;

/// An op of one of the machines. `topics` has the kinds 1 to 99, `workflows` 100 to 199, `bridge`
/// 200 to 299, the node itself 300 to 399.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "ops live in a plan, for one decision")]
pub(crate) enum Op {
    Topics(topics::Op),
    Workflows(workflows::Op),
    Bridge(bridge::Op),
    Node(NodeOp),
}

impl JournalOp for Op {
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind {
        match self {
            Op::Topics(op) => op.encode(body, blobs),
            Op::Workflows(op) => op.encode(body, blobs),
            Op::Bridge(op) => op.encode(body, blobs),
            Op::Node(op) => op.encode(body, blobs),
        }
    }

    fn decode(kind: OpKind, body: &[u8], blobs: &[Bytes]) -> Result<Op, OpError> {
        match kind.kind {
            1..=99 => topics::Op::decode(kind, body, blobs).map(Op::Topics),
            100..=199 => workflows::Op::decode(kind, body, blobs).map(Op::Workflows),
            200..=299 => bridge::Op::decode(kind, body, blobs).map(Op::Bridge),
            300..=399 => NodeOp::decode(kind, body, blobs).map(Op::Node),
            _ => Err(OpError::UnknownKind(kind)),
        }
    }
}

/// What the node itself journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeOp {
    /// The data directory has come to life: part of the first entry.
    Born(Born),
}

/// See [`NodeOp::Born`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Born {
    /// Drawn once.
    pub(crate) cluster_id: Uuid,
    /// 0 at birth.
    pub(crate) history_generation: u32,
}

const BORN: OpKind = OpKind { kind: 300, version: 1 };

#[derive(Clone, PartialEq, Message)]
struct BornBody {
    #[prost(bytes = "vec", tag = "1")]
    cluster_id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    history_generation: u32,
}

impl JournalOp for NodeOp {
    fn encode(&self, body: &mut Vec<u8>, _: &mut Vec<Blob>) -> OpKind {
        let NodeOp::Born(born) = self;
        let message = BornBody {
            cluster_id: born.cluster_id.as_bytes().to_vec(),
            history_generation: born.history_generation,
        };
        body.extend_from_slice(&message.encode_to_vec());
        BORN
    }

    fn decode(kind: OpKind, body: &[u8], _: &[Bytes]) -> Result<NodeOp, OpError> {
        if kind != BORN {
            return Err(OpError::UnknownKind(kind));
        }
        let malformed = |reason: String| OpError::Malformed { kind, reason };
        let message = BornBody::decode(body).map_err(|error| malformed(error.to_string()))?;
        let cluster_id = Uuid::from_slice(&message.cluster_id)
            .map_err(|_| malformed("the cluster id is no UUID".to_owned()))?;
        let history_generation = message.history_generation;
        Ok(NodeOp::Born(Born { cluster_id, history_generation }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_comes_back_and_unknown_kinds_are_refused() {
        let born = NodeOp::Born(Born { cluster_id: Uuid::from_u128(7), history_generation: 3 });
        let (mut body, mut blobs) = (Vec::new(), Vec::new());
        let kind = Op::Node(born.clone()).encode(&mut body, &mut blobs);
        assert!(matches!(Op::decode(kind, &body, &[]), Ok(Op::Node(back)) if back == born));
        for kind in [0, 99, 199, 299, 301, 400, u16::MAX] {
            let unknown = OpKind { kind, version: 1 };
            assert!(matches!(Op::decode(unknown, &body, &[]), Err(OpError::UnknownKind(_))));
        }
        assert!(Op::decode(BORN, b"\x0a\x01x", &[]).is_err());
    }
}
