//! What a Temporal server cannot cost less than: a tonic server that knows one workflow by heart.
//!
//! It is a measuring device and nothing else. Requests are received and decoded as any server must
//! and answers are encoded, with histories as bytes as Mainstay has them; what happens in between is
//! a few changes of maps in memory. It serves what a worker of sequential activities asks for, and
//! refuses every other call by name. Nothing is checked, nothing is kept, nothing times out.

mod codec;
mod events;
mod matching;
mod run;
mod service;

use anyhow::Result;
use service::Service;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// As Mainstay's front has them.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Behind {
    /// Canned answers.
    Nothing,
    /// Mainstay's front and engine, on a disk that does nothing.
    Engine,
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, behind: Behind) -> Result<()> {
    match behind {
        Behind::Nothing => {
            let builder = tonic::transport::Server::builder()
                .tcp_nodelay(true)
                .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_concurrent_streams(temporal::Options::default().streams_per_connection_max);
            Ok({ builder }.serve(address, Service::default()).await?)
        }
        Behind::Engine => {
            let options = node::NodeOptions::default();
            let (handle, _guard) =
                node::Node::open_on(super::null_disk::NullDisk::default(), options)?;
            let listener = TcpListener::bind(address).await?;
            let forever = std::future::pending();
            Ok(temporal::serve(listener, handle, temporal::Options::default(), forever).await?)
        }
    }
}
