//! The listener: accepts connections up to the limit, and stops them all within a second.

use crate::{
    api::Peer,
    backend::Backend,
    budget::{Budgets, ServerBudget},
    connection,
    damaged::Damaged,
    dispatch::Context,
    options::{Advertised, Options},
};
use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long connections may finish what they have begun when the server stops.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Pause after a failed accept, which mostly means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves Kafka clients of the node on `listener` until `shutdown` completes. What has begun then
/// has half a second to be answered.
pub async fn serve(
    listener: TcpListener,
    handle: node::Handle,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) {
    serve_backend(listener, handle, options, shutdown).await;
}

/// Serves `backend` on `listener` until `shutdown` completes.
pub(crate) async fn serve_backend<B: Backend>(
    listener: TcpListener,
    backend: B,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) {
    let server = Server::new(backend, options);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if connections.len() >= server.options.limits.connections_count_max => {
                    tracing::warn!(%peer, "too many connections: one more is closed");
                }
                Ok((stream, peer)) => {
                    // Both fail only if the client has gone already.
                    if let Ok(local) = stream.local_addr() && stream.set_nodelay(true).is_ok() {
                        let addresses = Addresses { local, peer };
                        let stopped = stopped.clone();
                        connections.spawn(server.connection(stream.into_split(), addresses, stopped));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// The Kafka front without a listener: serves byte streams, wherever they come from.
#[derive(Clone)]
pub struct Front(Arc<Server<node::Handle>>);

impl Front {
    /// A front for the node. All streams share its limits.
    pub fn new(handle: node::Handle, options: Options) -> Front {
        Front(Arc::new(Server::new(handle, options)))
    }

    /// Serves one client until either side ends it, or `stop` becomes true.
    pub fn serve<R, W>(
        &self,
        stream: (R, W),
        addresses: Addresses,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<R, W>
    where
        R: AsyncRead + Send + Sync + Unpin,
        W: AsyncWrite + Send + Sync + Unpin,
    {
        self.0.connection(stream, addresses, stop)
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The one the client dialled.
    pub local: SocketAddr,
    /// The client's.
    pub peer: SocketAddr,
}

/// What connections have in common.
struct Server<B> {
    backend: B,
    options: Options,
    budget: Arc<ServerBudget>,
    lookups: Arc<Semaphore>,
    damaged: Arc<Damaged>,
}

impl<B: Backend> Server<B> {
    fn new(backend: B, options: Options) -> Server<B> {
        let lookups = Arc::new(Semaphore::new(options.limits.lookups_count_max.max(1)));
        let budget = ServerBudget::new(&options.limits);
        Server { backend, budget, lookups, damaged: Arc::default(), options }
    }

    fn connection<R, W>(
        &self,
        stream: (R, W),
        Addresses { local, peer }: Addresses,
        stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<B, R, W>
    where
        R: AsyncRead + Send + Sync + Unpin,
        W: AsyncWrite + Send + Sync + Unpin,
    {
        let limits = self.options.limits.clone();
        let budgets = Budgets::of_connection(&self.budget, &limits);
        let dialled =
            || Advertised { host: local.ip().to_canonical().to_string(), port: local.port() };
        let advertised = self.options.advertised.clone().unwrap_or_else(dialled);
        let address = peer.ip().to_canonical();
        let (lookups, damaged) = (self.lookups.clone(), self.damaged.clone());
        let info = Arc::new(Peer { address, advertised, limits, lookups, damaged });
        let context = Arc::new(Context { backend: self.backend.clone(), peer: info });
        async move {
            let ended = connection::run(stream, context, budgets, stopped).await;
            match ended {
                Ok(()) => {}
                Err(error) if error.is_ordinary() => {
                    tracing::debug!(%peer, %error, "a connection has ended");
                }
                Err(error) => tracing::warn!(%peer, %error, "a connection is closed"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
