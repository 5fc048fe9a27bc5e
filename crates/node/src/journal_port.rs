//! What the engine needs of the journal, so that tests can hold a sync back or make it fail.

use crate::error::Error;
use base::{Blob, BlobAddr, Cause, Lsn};

/// The writer's end.
pub(crate) trait Append: Send + 'static {
    /// Makes sure that an entry of this size can be appended.
    fn reserve(&mut self, meta_bytes: usize, blobs: &[Blob]) -> Result<(), Error>;
    /// Appends what has been reserved. Cannot fail.
    fn append(&mut self, cause: Cause, meta: Vec<u8>, blobs: Vec<Blob>) -> (Lsn, Vec<BlobAddr>);
    /// The last entry appended.
    fn tip(&self) -> Lsn;
    /// The last entry on disk.
    fn durable(&self) -> Lsn;
}

/// The committer's end.
pub(crate) trait Commit: Send + 'static {
    /// Waits for entries, writes and syncs them; says what is durable now. `None` when the writer
    /// has gone and everything it appended is on disk.
    fn run_group(&mut self) -> Result<Option<Lsn>, String>;
}
