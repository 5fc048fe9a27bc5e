//! How everyone else talks to the node. Cheap to clone.

use crate::ask::{self, Ask, Publish, Reply, Route};
use crate::ask_size;
use crate::caller::{Caller, Pending, Unclaimed, Way};
use crate::error::Error;
use crate::inbox::{Inbox, Lane, Principal, WhenFull};
use crate::joined::Joined;
use crate::published::PublishedLog;
use base::{BlobAddr, Uuid};
use base64::Engine;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A handle to a running node.
///
/// Dropping the future of a request tells the machines to forget it; what it would have changed
/// may have happened or not.
#[derive(Clone)]
pub struct Handle {
    caller: Caller<Joined>,
    shared: Arc<Shared>,
}

struct Shared {
    log: PublishedLog,
    cluster_id: Uuid,
    generation: u32,
}

impl Handle {
    pub(crate) fn new(
        inbox: Arc<Inbox<Ask, Reply>>,
        log: PublishedLog,
        cluster_id: Uuid,
        generation: u32,
    ) -> Handle {
        let shared = Arc::new(Shared { log, cluster_id, generation });
        Handle { caller: Caller(inbox), shared }
    }

    /// Asks the facts. Waits while too much else waits, so that the caller stops reading its
    /// socket. For produces that must keep their order use [`Handle::send_topics`]: the first poll
    /// of this future need not give the request its place.
    pub async fn topics(&self, ask: topics::Ask) -> Result<topics::Reply, Error> {
        self.send_topics(ask).await?.reply().await
    }

    /// The first half of [`Handle::topics`]: when this is done, the request has its place.
    pub async fn send_topics(&self, ask: topics::Ask) -> Result<PendingTopics, Error> {
        let lane = match ask {
            topics::Ask::Produce(_) => Lane::Produce,
            _ => Lane::Other,
        };
        let way = Way {
            lane,
            size_bytes: ask_size::of_topics(&ask),
            when_full: WhenFull::Wait,
            principal: Principal::Anonymous,
        };
        Ok(PendingTopics(self.caller.send(Ask::Topics(ask), way).await?))
    }

    /// Asks the intent. Refuses with [`Error::Overloaded`] when too much else waits.
    ///
    /// The reply may hold a task, which must not be lost: it goes back to the machine unless it
    /// is taken out of its [`Delivered`]. Take it as late as possible.
    pub async fn workflows(&self, ask: workflows::Ask) -> Result<Delivered, Error> {
        let way = Way {
            lane: Lane::Other,
            size_bytes: ask_size::of_workflows(&ask),
            when_full: WhenFull::Refuse,
            principal: Principal::Anonymous,
        };
        self.workflows_by(ask, way).await
    }

    /// The same with a deadline: `None` when it has come. For long polls.
    pub async fn workflows_within(
        &self,
        ask: workflows::Ask,
        within: Duration,
    ) -> Result<Option<Delivered>, Error> {
        tokio::time::timeout(within, self.workflows(ask)).await.ok().transpose()
    }

    /// The same for the node itself, which waits for its turn.
    pub(crate) async fn workflows_inside(&self, ask: workflows::Ask) -> Result<Delivered, Error> {
        let size_bytes = ask_size::of_workflows(&ask);
        self.workflows_by(ask, from_inside(size_bytes)).await
    }

    async fn workflows_by(&self, ask: workflows::Ask, way: Way) -> Result<Delivered, Error> {
        let reply = self.caller.ask(Ask::Workflows(ask), way).await?;
        match reply.claim() {
            Reply::Workflows(reply) => {
                Ok(Delivered { reply: Some(reply), caller: self.caller.clone() })
            }
            other => unreachable!("{other:?} does not answer an ask of the intent"),
        }
    }

    pub(crate) async fn bridge(
        &self,
        ask: bridge::machine::Ask,
    ) -> Result<Result<bridge::machine::Reply, bridge::machine::Refusal>, Error> {
        match self.caller.ask(Ask::Bridge(ask), from_inside(512)).await?.claim() {
            Reply::Bridge(reply) => Ok(reply),
            other => unreachable!("{other:?} does not answer an ask of the bridge"),
        }
    }

    pub(crate) async fn route(
        &self,
        route: Route,
    ) -> Result<Result<bridge::Outcome, bridge::DeliverError>, Error> {
        let way = from_inside(ask_size::of_delivery(&route.delivery));
        match self.caller.ask(Ask::Route(Box::new(route)), way).await?.claim() {
            Reply::Route(reply) => Ok(reply),
            other => unreachable!("{other:?} does not answer a routed record"),
        }
    }

    pub(crate) async fn publish(
        &self,
        publish: Publish,
    ) -> Result<Result<(), ask::NotPublished>, Error> {
        let way = from_inside(publish.record.batch.bytes().len() + 512);
        match self.caller.ask(Ask::Publish(Box::new(publish)), way).await?.claim() {
            Reply::Publish(reply) => Ok(reply),
            other => unreachable!("{other:?} does not answer a publication"),
        }
    }

    /// What readers may see.
    pub fn log(&self) -> &PublishedLog {
        &self.shared.log
    }

    /// The bytes at an address that an answer has named.
    pub async fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        self.shared.log.read_blob(address).await
    }

    /// The same for several addresses, in their order.
    pub async fn read_all(&self, addresses: &[BlobAddr]) -> Result<Vec<Bytes>, Error> {
        self.shared.log.read_blobs(addresses).await
    }

    /// Drawn when the data directory came to life.
    pub fn cluster_id(&self) -> Uuid {
        self.shared.cluster_id
    }

    /// The cluster id as Kafka writes it: 22 characters of base64url.
    pub fn kafka_cluster_id(&self) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.shared.cluster_id.as_bytes())
    }

    /// The history generation: raised only by a restore.
    pub fn generation(&self) -> u32 {
        self.shared.generation
    }

    /// Makes the writer look at its clock: for clocks that are moved by hand.
    pub fn wake(&self) {
        self.caller.0.poke();
    }

    /// Takes no more requests. What has been decided is still answered, once it is on disk;
    /// everything else gets [`Error::Stopping`].
    pub fn shutdown(&self) {
        self.caller.0.close();
    }

    /// Waits until the node takes no more requests.
    pub async fn stopped(&self) {
        self.caller.0.closed().await;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("cluster_id", &self.shared.cluster_id)
            .finish_non_exhaustive()
    }
}

fn from_inside(size_bytes: usize) -> Way {
    let (lane, when_full) = (Lane::Other, WhenFull::Wait);
    Way { lane, size_bytes, when_full, principal: Principal::Node }
}

/// A request to the facts that has its place in the queue.
pub struct PendingTopics(Pending<Joined>);

impl PendingTopics {
    /// Waits for the reply.
    pub async fn reply(self) -> Result<topics::Reply, Error> {
        match self.0.await.map(Unclaimed::claim)? {
            Reply::Topics(reply) => Ok(reply),
            other => unreachable!("{other:?} does not answer an ask of the facts"),
        }
    }
}

/// A reply of the intent. If it is dropped, the tasks in it go to the next poller, as the same
/// tasks with the same tokens.
pub struct Delivered {
    reply: Option<workflows::Reply>,
    caller: Caller<Joined>,
}

impl Delivered {
    /// Looks at the reply.
    pub fn reply(&self) -> &workflows::Reply {
        match &self.reply {
            Some(reply) => reply,
            None => unreachable!("only `take`, which consumes it, empties it"),
        }
    }

    /// Takes the reply. From here on nobody gives its tasks back.
    pub fn take(mut self) -> workflows::Reply {
        match self.reply.take() {
            Some(reply) => reply,
            None => unreachable!("only `take`, which consumes it, empties it"),
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        for ask in self.reply.take().into_iter().flat_map(ask::returned) {
            self.caller.0.post(Ask::Workflows(ask));
        }
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reply.fmt(f)
    }
}
