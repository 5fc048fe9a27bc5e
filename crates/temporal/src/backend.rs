//! What the front needs of a node. The tests put a fake behind it.

use base::{BlobAddr, Uuid};
use bytes::Bytes;
use node::{Delivered, Error, Handle};
use std::future::Future;
use std::time::Duration;
use workflows::{Ask, Reply};

/// A node, or what stands in for one.
pub(crate) trait Backend: Clone + Send + Sync + 'static {
    /// What an ask is answered with.
    type Answer: Answer;

    /// Asks, and waits for the answer.
    fn workflows(&self, ask: Ask) -> impl Future<Output = Result<Self::Answer, Error>> + Send;

    /// Asks, and gives up when there is no answer in time.
    fn workflows_within(
        &self,
        ask: Ask,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Self::Answer>, Error>> + Send;

    /// Reads from the journal.
    fn read(&self, address: BlobAddr) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// The id of this node, drawn once.
    fn cluster_id(&self) -> Uuid;
}

/// A reply whose tasks go back to the machine, and from there to the next poller, if it is
/// dropped before it is taken.
pub(crate) trait Answer: Send + Sync + 'static {
    /// Looks at the reply.
    fn reply(&self) -> &Reply;

    /// Takes the reply. From here on nobody gives its tasks back.
    fn take(self) -> Reply;
}

impl Backend for Handle {
    type Answer = Delivered;

    fn workflows(&self, ask: Ask) -> impl Future<Output = Result<Delivered, Error>> + Send {
        Handle::workflows(self, ask)
    }

    fn workflows_within(
        &self,
        ask: Ask,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Delivered>, Error>> + Send {
        Handle::workflows_within(self, ask, within)
    }

    fn read(&self, address: BlobAddr) -> impl Future<Output = Result<Bytes, Error>> + Send {
        Handle::read(self, address)
    }

    fn cluster_id(&self) -> Uuid {
        Handle::cluster_id(self)
    }
}

impl Answer for Delivered {
    fn reply(&self) -> &Reply {
        Delivered::reply(self)
    }

    fn take(self) -> Reply {
        Delivered::take(self)
    }
}
