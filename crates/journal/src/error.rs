//! What can go wrong, by what the caller can do about it.

use std::io;

/// Whatever the replaying side has to say against an entry.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory open. Stop it, or use another directory.
    #[error("data directory {directory} is in use by another process (its LOCK file is locked)")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The directory was written by a release with another format. Use that release.
    #[error("data directory {directory} has format {found:?}; this release knows {known:?} only")]
    Version {
        /// The directory.
        directory: String,
        /// What its VERSION file says.
        found: String,
        /// What it should say.
        known: &'static str,
    },
    /// Bytes that had been durable are not what was written. Restore the file from a backup.
    #[error("{file} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// Where the damage begins.
        offset: u64,
        /// What shows that this is damage and no torn tail.
        reason: String,
    },
    /// A segment file is gone. Restore it from a backup.
    #[error("{file} is missing; the journal cannot be read without it")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file the journal knows nothing of. Move it away, or use another directory.
    #[error("{file} is no file of a journal; move it away, or use another data directory")]
    Unknown {
        /// The file.
        file: String,
    },
    /// The replaying side refused an entry.
    #[error("entry {lsn} at offset {offset} of {file} cannot be replayed: {source}")]
    Replay {
        /// The entry's LSN.
        lsn: base::Lsn,
        /// The file.
        file: String,
        /// Where its frame begins.
        offset: u64,
        /// Why.
        source: BoxError,
    },
    /// Options that cannot work together.
    #[error("journal option {option}: {reason}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// An entry was appended without room having been reserved.
    #[error("entry {lsn} was appended without reserved room")]
    Unreserved {
        /// The entry's LSN.
        lsn: base::Lsn,
    },
    /// The disk failed. While running: end the process, the outcome is unknown.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier call failed, and nothing is done any more.
    #[error("the journal has failed before; the process must end")]
    Poisoned,
}

impl Error {
    /// Makes an [`Error::Io`] out of an `io::Error`.
    pub(crate) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Error {
        let file = file.to_owned();
        move |source| Error::Io { action, file, source }
    }
}
