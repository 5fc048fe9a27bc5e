//! The APIs, one per file: how a request is decoded, what is asked of the node, and how the
//! answer is encoded, for all versions of the table.

pub(crate) mod api_versions;
mod configs;
mod create_topics;
mod delete_topics;
mod describe_configs;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

#[cfg(test)]
mod oracle;

pub(crate) use api_versions::ApiVersions;
pub(crate) use create_topics::CreateTopics;
pub(crate) use delete_topics::DeleteTopics;
pub(crate) use describe_configs::DescribeConfigs;
pub(crate) use describe_groups::DescribeGroups;
pub(crate) use fetch::Fetch;
pub(crate) use find_coordinator::FindCoordinator;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use init_producer_id::InitProducerId;
pub(crate) use join_group::JoinGroup;
pub(crate) use leave_group::LeaveGroup;
pub(crate) use list_groups::ListGroups;
pub(crate) use list_offsets::ListOffsets;
pub(crate) use metadata::Metadata;
pub(crate) use offset_commit::OffsetCommit;
pub(crate) use offset_fetch::OffsetFetch;
pub(crate) use offset_for_leader_epoch::OffsetForLeaderEpoch;
pub(crate) use produce::Produce;
pub(crate) use sync_group::SyncGroup;

use crate::{
    backend::{self, Backend},
    damaged::Damaged,
    options::{Advertised, Limits},
    wire::{Reader, Result as WireResult, Writer},
};
use std::{
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Semaphore;
use topics::ErrorCode;

/// The one broker's id.
pub(crate) const NODE_ID: i32 = 1;
/// The one epoch of every partition: the history generation, which only a restore raises.
pub(crate) const LEADER_EPOCH: i32 = 0;
/// "Authorized operations were not asked for", and the same answer while there are none.
const AUTHORIZED_OPERATIONS_UNKNOWN: i32 = i32::MIN;
/// We never throttle by answer: an overloaded connection is simply not read.
const THROTTLE_MS: i32 = 0;

/// Something for each partition of each topic, in the request's order.
pub(crate) type PerPartition<T> = Vec<(String, Vec<(i32, T)>)>;

/// One API, all versions.
pub(crate) trait Api {
    /// The request, versions evened out.
    type Request: Send + 'static;
    /// The response, versions evened out.
    type Response: Send + 'static;

    /// Reads the body of a request.
    fn decode(reader: &mut Reader, version: i16) -> WireResult<Self::Request>;

    /// Asks the node.
    fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        version: i16,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Response, NoAnswer>> + Send;

    /// Writes the body of a response.
    fn encode(writer: &mut Writer, version: i16, response: &Self::Response);
}

/// Who asks, and over which connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Client id of the request's header; empty if null.
    pub(crate) id: String,
    /// The connection.
    pub(crate) peer: Arc<Peer>,
    /// Size of the request's frame, which a slice of it pins.
    pub(crate) frame_bytes: usize,
    /// Said when the request has its place in the node's queue.
    pub(crate) is_placed: IsPlaced,
}

/// Whether a request that runs ahead of its turn has its place in the node's queue, so that the
/// next one may follow. One poll of a future does not mean that: it may have been told to wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct IsPlaced(Arc<AtomicBool>);

impl IsPlaced {
    /// It has.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the requests of one connection have in common.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where the client is.
    pub(crate) address: IpAddr,
    /// Where the client reaches us.
    pub(crate) advertised: Advertised,
    /// Bounds of the server.
    pub(crate) limits: Limits,
    /// Lookups by timestamp, which unfold a batch: only so many at once in the whole server.
    pub(crate) lookups: Arc<Semaphore>,
    /// Batches that cannot be read.
    pub(crate) damaged: Arc<Damaged>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The protocol wants none (acks 0).
    Silent,
    /// The connection is closed, for this reason.
    Close(String),
}

/// The code that an API answers for a request the node has not carried out; `unavailable` is
/// what its clients take for "try again".
fn refusal(error: backend::Error, unavailable: ErrorCode) -> Result<ErrorCode, NoAnswer> {
    match error {
        backend::Error::Refused(code) => Ok(code),
        backend::Error::Unavailable(_) => Ok(unavailable),
        backend::Error::Read(_) | backend::Error::NoAnswer(_) => Err(error.into()),
    }
}

/// Takes the expected variant out of an answer of the node. Anything else is a bug of the node
/// and closes the connection.
macro_rules! expect_reply {
    ($reply:expr, $variant:path) => {
        match $reply {
            $variant(reply) => Ok(reply),
            _ => Err(crate::api::NoAnswer::Close("the node answered something else".to_owned())),
        }
    };
}
use expect_reply;

/// KIP-320: a client that knows a newer or an older history than ours must look again.
fn check_leader_epoch(current: i32) -> Result<(), ErrorCode> {
    match current {
        LEADER_EPOCH | ..=-1 => Ok(()),
        LEADER_EPOCH.. => Err(ErrorCode::UnknownLeaderEpoch),
    }
}
