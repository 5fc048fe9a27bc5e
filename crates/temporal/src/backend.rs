//! What the front needs of a node. The tests put a fake behind it.

use base::{BlobAddr, Uuid};
use bytes::Bytes;
use std::future::Future;
use std::time::Duration;
use workflows::{Ask, Refusal, Reply};

/// Why an ask has no reply.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    /// The machine says no.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The disk is full. Nothing was written.
    #[error("the disk is full")]
    Full,
    /// More than one journal entry holds.
    #[error("the request needs {size_bytes} bytes of the journal, more than an entry may have")]
    TooLarge {
        /// What it would need.
        size_bytes: usize,
    },
    /// Too many requests wait.
    #[error("the node is overloaded")]
    Overloaded,
    /// The node stops; the outcome is unknown.
    #[error("the node is stopping")]
    Stopping,
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Read(String),
}

/// A node, or what stands in for one.
pub(crate) trait Backend: Clone + Send + Sync + 'static {
    /// Asks, and waits for the answer.
    fn workflows(&self, ask: Ask) -> impl Future<Output = Result<Reply, Error>> + Send;

    /// Asks, and gives up when there is no answer in time.
    fn workflows_within(
        &self,
        ask: Ask,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Reply>, Error>> + Send;

    /// Reads from the journal.
    fn read(&self, address: BlobAddr) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// The id of this node, drawn once.
    fn cluster_id(&self) -> Uuid;
}
