//! How clients reach the node that lives now: byte streams for Kafka, requests for Temporal.
//!
//! A crash cuts everything at once: no byte and no answer leaves after it. What a client had
//! received before stays with it.

use crate::bell::Bell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use temporalio_protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

/// Bytes that a stream holds in each direction.
const STREAM_BYTES: usize = 64 << 10;

/// The port on which the simulated node is reached. Nothing is bound to it.
pub const PORT: u16 = 9092;

type Service =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, std::convert::Infallible>;

/// A client of the Temporal front.
pub type Client = WorkflowServiceClient<Service>;

/// There is no node, or there is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The network. Clones are the same.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    door: Option<Door>,
    lives: u64,
    /// The number of the life that can be reached; 0 if none can.
    life: Bell<u64>,
}

struct Door {
    handle: node::Handle,
    kafka: kafka::Front,
    connections: JoinSet<()>,
    /// One for each client, so that they are stopped in a known order.
    stops: Vec<watch::Sender<bool>>,
}

impl Door {
    fn stop_signal(&mut self) -> watch::Receiver<bool> {
        self.stops.retain(|stop| stop.receiver_count() > 0);
        let (stop, stopping) = watch::channel(false);
        self.stops.push(stop);
        stopping
    }
}

impl Network {
    /// A network on which there is no node.
    pub fn new() -> Network {
        Network(Arc::new(Mutex::new(State { door: None, lives: 0, life: Bell::new(0) })))
    }

    /// From now on this node answers.
    pub fn open(&self, handle: &node::Handle) {
        let door = Door {
            handle: handle.clone(),
            kafka: kafka::Front::new(handle.clone(), kafka::Options::default()),
            connections: JoinSet::new(),
            stops: Vec::new(),
        };
        let mut state = self.locked();
        state.door = Some(door);
        state.lives += 1;
        state.life.set(state.lives);
    }

    /// From now on nobody answers, and what is under way gets no answer.
    pub async fn cut(&self) {
        let door = {
            let mut state = self.locked();
            state.life.set(0);
            state.door.take()
        };
        if let Some(mut door) = door {
            door.connections.shutdown().await;
        }
    }

    /// The fronts are asked to stop, as on a polite end of the process: what waits is answered.
    pub fn stop(&self) {
        for stop in self.locked().door.iter().flat_map(|door| &door.stops) {
            stop.send_replace(true);
        }
    }

    /// A byte stream to the Kafka front.
    pub fn kafka(&self) -> Result<DuplexStream, Gone> {
        let mut state = self.locked();
        let door = state.door.as_mut().ok_or(Gone)?;
        let (client, server) = tokio::io::duplex(STREAM_BYTES);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let addresses = kafka::Addresses { local: address, peer: address };
        let stopping = door.stop_signal();
        let served = door.kafka.serve(tokio::io::split(server), addresses, stopping);
        door.connections.spawn(served);
        // Ended connections must not pile up.
        while door.connections.try_join_next().is_some() {}
        Ok(client)
    }

    /// A client of the Temporal front.
    pub async fn temporal(&self) -> Result<Wire, Gone> {
        let (handle, stopping, life, this) = {
            let mut state = self.locked();
            let (life, this) = (state.life.clone(), state.lives);
            let door = state.door.as_mut().ok_or(Gone)?;
            (door.handle.clone(), door.stop_signal(), life, this)
        };
        let options = temporal::Options {
            // So that what a dead worker's poll holds back is seen within a run.
            task_poll_max: std::time::Duration::from_secs(20),
            ..temporal::Options::default()
        };
        let service = Service::new(temporal::service(handle, options, stopping).await);
        Ok(Wire { service, life, this })
    }

    /// Waits until there is a node.
    pub async fn up(&self) {
        let life = self.locked().life.clone();
        life.until(|life| life != 0).await;
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

/// A way to one life of the node.
#[derive(Clone)]
pub struct Wire {
    service: Service,
    life: Bell<u64>,
    this: u64,
}

impl Wire {
    /// Makes a call. [`Gone`]: the node died before the answer, whatever it has done.
    pub async fn call<F: Future>(
        &mut self,
        call: impl FnOnce(Client) -> F,
    ) -> Result<F::Output, Gone> {
        let this = self.this;
        let client = WorkflowServiceClient::new(self.service.clone());
        tokio::select! {
            biased;
            () = self.life.until(|life| life != this) => Err(Gone),
            answer = call(client) => Ok(answer),
        }
    }
}
