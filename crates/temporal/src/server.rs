//! The gRPC server: HTTP/2 over one listener, health beside the service, and a quick end.

use crate::backend::Backend;
use crate::budget::ReceiveBudget;
use crate::dispatch::Dispatch;
use crate::front::Front;
use crate::generated::temporal::api::workflowservice::v1::workflow_service_server::WorkflowServiceServer;
use crate::incoming;
use crate::options::Options;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;

/// A peer that is silent for this long is asked for a sign of life, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// ... and is gone if there is none after this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests in flight may take when the server stops. Waiting ones are answered at once.
const STOP_MAX: Duration = Duration::from_millis(700);
/// How much a client may send on one stream, and on all of a connection, before we have read it.
/// The default of HTTP/2, 64 KiB, would make a request of 4 MiB wait for 64 round trips.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Why the server ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gRPC library gave up.
    #[error("the Temporal front ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves a node until `shutdown` ends, then answers what waits and returns in less than a
/// second. The node is left running: stop it after this.
pub async fn serve(
    listener: TcpListener,
    node: node::Handle,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    run(listener, node, options, shutdown).await
}

/// The same for anything that stands in for a node.
pub(crate) async fn run<B: Backend>(
    listener: TcpListener,
    backend: B,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let (stop, stopping) = watch::channel(false);
    let connections = incoming::accept(listener, options.connections_max);
    let builder = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(options.streams_per_connection_max);
    let dispatch = dispatch(backend, options, stopping.clone()).await;
    let served = { builder }.serve_with_incoming_shutdown(dispatch, connections, async move {
        shutdown.await;
        stop.send_replace(true);
    });
    tokio::select! {
        ended = served => Ok(ended?),
        () = overdue(stopping) => Ok(()),
    }
}

/// The Temporal front without a listener: what answers one request, wherever it comes from.
/// `stopping` becomes true when waiting requests are to be answered.
pub async fn service(
    node: node::Handle,
    options: Options,
    stopping: watch::Receiver<bool>,
) -> impl Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    dispatch(node, options, stopping).await
}

async fn dispatch<B: Backend>(
    backend: B,
    options: Options,
    stopping: watch::Receiver<bool>,
) -> Dispatch<WorkflowServiceServer<Front<B>>, HealthServer<impl Health>> {
    let request_bytes_max = options.request_bytes_max;
    let budget = ReceiveBudget::new(options.receive_bytes_max);
    let front = Front::new(backend, Arc::new(options), stopping);
    let workflow = WorkflowServiceServer::new(front)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(request_bytes_max);
    let health = health::<B>(request_bytes_max).await;
    Dispatch { budget, workflow, health }
}

/// Ends when the server has been stopping for too long.
async fn overdue(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_ok() {
        tokio::time::sleep(STOP_MAX).await;
        tracing::warn!("requests in flight were cut off because the server stops");
    } else {
        std::future::pending::<()>().await;
    }
}

/// `grpc.health.v1.Health`: SERVING for the whole and for the service, by the name that Java's
/// SDK asks for.
async fn health<B: Backend>(request_bytes_max: usize) -> HealthServer<impl Health> {
    let reporter = tonic_health::server::HealthReporter::new();
    reporter.set_serving::<WorkflowServiceServer<Front<B>>>().await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    HealthServer::new(tonic_health::server::HealthService::from_health_reporter(reporter))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(request_bytes_max)
}
