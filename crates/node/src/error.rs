//! Why the node did not carry out a request.

use topics::ErrorCode;
use workflows::Refusal;

/// Why a request has no reply. Whatever it is, the request has changed nothing, except with
/// [`Error::Stopping`]: then its outcome is unknown, as with a lost connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The facts refuse the whole request.
    #[error("refused with Kafka error code {0:?}")]
    Topics(ErrorCode),
    /// The intent refuses the request.
    #[error("refused: {0:?}")]
    Workflows(Refusal),
    /// The disk is full. Definitely not written.
    #[error("the journal is full")]
    Full,
    /// The request does not fit into one journal entry.
    #[error("the request needs an entry of {size_bytes} bytes, more than an entry may have")]
    TooLarge {
        /// What it would need.
        size_bytes: usize,
    },
    /// More requests wait than the node accepts.
    #[error("too many requests wait for the node")]
    Overloaded,
    /// The node stops, or has stopped.
    #[error("the node is stopping")]
    Stopping,
    /// Bytes of the journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Read(String),
}
