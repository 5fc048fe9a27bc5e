//! What keeps the demo from running at all. What a run finds wrong is no error but a violation.

use std::io;
use std::path::PathBuf;

/// Why the demo could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or directory of the run cannot be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A child process cannot be started.
    #[error("cannot start the {name}: {source}")]
    Start {
        /// Which process.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A child process ended by itself.
    #[error("the {name} ended by itself ({how}); the end of its log:\n{log}")]
    Died {
        /// Which process.
        name: &'static str,
        /// Its exit status.
        how: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The node does not answer on its ports.
    #[error("the node did not answer on {what} within {seconds} s; the end of its log:\n{log}")]
    NotReady {
        /// The port that is silent.
        what: String,
        /// How long it had.
        seconds: u64,
        /// The last lines it wrote.
        log: String,
    },
    /// No free ports were found.
    #[error("no two free ports between {from} and {to}")]
    Ports {
        /// First port tried.
        from: u16,
        /// Where the search ended.
        to: u16,
    },
    /// The ledger cannot be reached or opened.
    #[error("the ledger: {0}")]
    Ledger(io::Error),
    /// The Kafka client refused.
    #[error("the Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The Temporal client or worker refused.
    #[error("the Temporal client: {0}")]
    Temporal(Box<dyn std::error::Error + Send + Sync>),
    /// The runtime cannot be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The system does not let us listen for Ctrl-C.
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    /// A part of the demo itself broke down.
    #[error("a task of the demo failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A child was started without the addresses it needs.
    #[error("--worker needs --temporal and --ledger")]
    NoAddresses,
}

impl Error {
    /// Wraps whatever the Temporal SDK says.
    pub(crate) fn temporal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Temporal(source.into())
    }
}
