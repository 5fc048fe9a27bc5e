//! The caller's side of a request: from the ask to the answer, and what happens when the caller
//! goes away in between.
//!
//! A dropped [`Pending`] makes the machines forget its ticket. A reply that nobody claims is given
//! back to the machines: a task must not be lost because its poller's connection broke. Whatever
//! path a reply takes (no receiver, receiver gone, reply dropped unread), [`Unclaimed`] is dropped
//! on it, and that is where it is given back.

use crate::error::Error;
use crate::inbox::{Inbox, Lane, Principal, Request, Slot, WhenFull};
use crate::machines::Machines;
use base::Ticket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How a request travels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) lane: Lane,
    pub(crate) size_bytes: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) principal: Principal,
}

/// Asks the machines behind an inbox.
pub(crate) struct Caller<M: Machines>(pub(crate) Arc<Inbox<M::Ask, M::Reply>>);

impl<M: Machines> Clone for Caller<M> {
    fn clone(&self) -> Caller<M> {
        Caller(Arc::clone(&self.0))
    }
}

impl<M: Machines> Caller<M> {
    /// Queues an ask. Asks in one lane keep the order in which these futures were first polled.
    pub(crate) async fn send(&self, ask: M::Ask, way: Way) -> Result<Pending<M>, Error> {
        let in_flight = self.0.admit()?;
        let room = self.0.room(way.lane, way.size_bytes, way.when_full).await?;
        let ticket = self.0.ticket();
        let (sender, receiver) = oneshot::channel();
        let slot = Box::new(AnswerSlot { sender, inbox: Arc::clone(&self.0) });
        self.0.push(way.lane, Request { ask, ticket, principal: way.principal, slot, room });
        let inbox = Arc::clone(&self.0);
        Ok(Pending { ticket, receiver, inbox, answered: false, _in_flight: in_flight })
    }

    /// Asks and waits.
    pub(crate) async fn ask(&self, ask: M::Ask, way: Way) -> Result<Unclaimed<M>, Error> {
        self.send(ask, way).await?.await
    }
}

/// A request on its way. Resolves to the reply.
pub(crate) struct Pending<M: Machines> {
    ticket: Ticket,
    receiver: oneshot::Receiver<Result<Unclaimed<M>, Error>>,
    inbox: Arc<Inbox<M::Ask, M::Reply>>,
    answered: bool,
    _in_flight: OwnedSemaphorePermit,
}

impl<M: Machines> Future for Pending<M> {
    type Output = Result<Unclaimed<M>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.receiver).poll(cx));
        self.answered = true;
        Poll::Ready(answer.unwrap_or(Err(Error::Stopping)))
    }
}

impl<M: Machines> Drop for Pending<M> {
    fn drop(&mut self) {
        if !self.answered {
            // Closed first: a request that is still queued then finds its slot abandoned.
            self.receiver.close();
            self.inbox.forget(self.ticket);
        }
    }
}

struct AnswerSlot<M: Machines> {
    sender: oneshot::Sender<Result<Unclaimed<M>, Error>>,
    inbox: Arc<Inbox<M::Ask, M::Reply>>,
}

impl<M: Machines> Slot<M::Reply> for AnswerSlot<M> {
    fn abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    fn answer(self: Box<Self>, answer: Result<M::Reply, Error>) {
        let AnswerSlot { sender, inbox } = *self;
        // If nobody receives it, it comes back and is dropped here: given back.
        drop(sender.send(answer.map(|reply| Unclaimed { reply: Some(reply), inbox })));
    }
}

/// A reply that goes back if it is dropped.
pub(crate) struct Unclaimed<M: Machines> {
    reply: Option<M::Reply>,
    inbox: Arc<Inbox<M::Ask, M::Reply>>,
}

impl<M: Machines> Unclaimed<M> {
    /// Takes the reply; from here on the caller answers for it.
    #[allow(clippy::expect_used, reason = "only this, which takes `self`, empties it")]
    pub(crate) fn claim(mut self) -> M::Reply {
        self.reply.take().expect("a reply is claimed once")
    }
}

impl<M: Machines> Drop for Unclaimed<M> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            M::returned(reply).into_iter().for_each(|ask| self.inbox.post(ask));
        }
    }
}
