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
    net::{TcpListener, TcpStream},
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
    let lookups = Arc::new(Semaphore::new(options.limits.lookups_count_max.max(1)));
    let budget = ServerBudget::new(&options.limits);
    let server = Server { backend, budget, lookups, damaged: Arc::default(), options };
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
                    if let Some(connection) = server.connection(stream, peer, stopped.clone()) {
                        connections.spawn(connection);
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

/// What connections have in common.
struct Server<B> {
    backend: B,
    options: Options,
    budget: Arc<ServerBudget>,
    lookups: Arc<Semaphore>,
    damaged: Arc<Damaged>,
}

impl<B: Backend> Server<B> {
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stopped: watch::Receiver<bool>,
    ) -> Option<impl Future<Output = ()> + Send + use<B>> {
        // Both fail only if the client has gone already.
        let local = stream.local_addr().ok()?;
        stream.set_nodelay(true).ok()?;
        let limits = self.options.limits.clone();
        let budgets = Budgets::of_connection(&self.budget, &limits);
        let dialled =
            || Advertised { host: local.ip().to_canonical().to_string(), port: local.port() };
        let advertised = self.options.advertised.clone().unwrap_or_else(dialled);
        let address = peer.ip().to_canonical();
        let (lookups, damaged) = (self.lookups.clone(), self.damaged.clone());
        let info = Arc::new(Peer { address, advertised, limits, lookups, damaged });
        let context = Arc::new(Context { backend: self.backend.clone(), peer: info });
        Some(async move {
            let ended = connection::run(stream.into_split(), context, budgets, stopped).await;
            match ended {
                Ok(()) => {}
                Err(error) if error.is_ordinary() => {
                    tracing::debug!(%peer, %error, "a connection has ended");
                }
                Err(error) => tracing::warn!(%peer, %error, "a connection is closed"),
            }
        })
    }
}

#[cfg(test)]
mod tests;
