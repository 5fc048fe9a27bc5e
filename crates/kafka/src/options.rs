//! What can be set on the Kafka front, with the defaults.

use std::time::Duration;

/// Options of [`serve`](crate::serve).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The address clients are told to connect to; without it, the one they dialled.
    pub advertised: Option<Advertised>,
    /// Bounds.
    pub limits: Limits,
}

/// An address that clients can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Bounds of the front. Beyond them a connection waits or is closed; memory stays flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request. A larger one closes the connection.
    pub request_bytes_max: usize,
    /// Requests of one connection that are not answered yet. At the limit its socket is not
    /// read.
    pub requests_in_flight_count_max: usize,
    /// Bytes of one connection's requests that are not answered yet. At the limit its socket is
    /// not read.
    pub connection_in_flight_bytes_max: usize,
    /// The same for all connections together: so much for requests of up to 16 KiB, and so much
    /// for larger ones.
    pub in_flight_bytes_max: usize,
    /// Batches that are being written to readers, of all connections together.
    pub outgoing_bytes_max: usize,
    /// When a request or a batch has waited so long for its part of that, connections that hold more than
    /// 16 KiB and whose clients have not moved for as long are closed.
    pub share_wait_max: Duration,
    /// Connections. One more is closed at once.
    pub connections_count_max: usize,
    /// Records in one fetch response, but always one whole batch.
    pub fetch_bytes_max: usize,
    /// Batches in one fetch response.
    pub fetch_batches_count_max: usize,
    /// Batches that are unfolded at once to look up a timestamp, each to 32 MiB at most (while
    /// its buffer grows, half as much again).
    pub lookups_count_max: usize,
    /// A connection on which nothing happens for this long is closed (Kafka's
    /// connections.max.idle.ms).
    pub connection_idle_max: Duration,
    /// A request that has not arrived whole after this and a second for each MiB closes its
    /// connection.
    pub request_stall_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_bytes_max: 16 << 20,
            requests_in_flight_count_max: 64,
            connection_in_flight_bytes_max: 32 << 20,
            in_flight_bytes_max: 32 << 20,
            outgoing_bytes_max: 32 << 20,
            share_wait_max: Duration::from_secs(5),
            connections_count_max: 4096,
            fetch_bytes_max: 55 << 20,
            fetch_batches_count_max: 10_000,
            lookups_count_max: 2,
            connection_idle_max: Duration::from_secs(600),
            request_stall_max: Duration::from_secs(30),
        }
    }
}
