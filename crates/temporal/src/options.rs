//! The front's limits, each with its default.

use std::time::Duration;

/// Limits of the Temporal front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one request, before and after decompression. More: RESOURCE_EXHAUSTED with the
    /// text by which SDKs know that trying again is of no use. Temporal's own limit.
    pub request_bytes_max: usize,
    /// Bytes of all requests that are being received. More: RESOURCE_EXHAUSTED.
    pub receive_bytes_max: usize,
    /// Events of one page of history. Temporal's own limit.
    pub history_page_events_max: usize,
    /// Bytes of one page of history, unless its first event alone has more.
    pub history_page_bytes_max: usize,
    /// How long a poll for a task may wait.
    pub task_poll_max: Duration,
    /// How long GetWorkflowExecutionHistory may wait for a new event.
    pub history_poll_max: Duration,
    /// How long a query may take whose client names no deadline.
    pub query_default: Duration,
    /// How long a query may take, whatever the client says.
    pub query_max: Duration,
    /// Open connections. More wait in the listener's backlog.
    pub connections_max: usize,
    /// Requests in flight on one connection.
    pub streams_per_connection_max: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            request_bytes_max: 4 << 20,
            receive_bytes_max: 64 << 20,
            history_page_events_max: 256,
            history_page_bytes_max: 2 << 20,
            task_poll_max: Duration::from_secs(60),
            history_poll_max: Duration::from_secs(20),
            query_default: Duration::from_secs(10),
            query_max: Duration::from_secs(300),
            connections_max: 4096,
            streams_per_connection_max: 1024,
        }
    }
}
