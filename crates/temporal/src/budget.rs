//! One budget for the bytes of all requests that are being received.
//!
//! A connection may have a thousand requests open, each of up to the request limit, and a client
//! that never finishes any of them would have the server hold them all. What does not fit into
//! the budget is refused. It does not wait: unfinished requests that wait for each other's bytes
//! would wait for ever. A request that is complete leaves this budget for the node's.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use temporalio_protos::temporal::api::enums::v1::{
    ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// What is left for requests that are being received.
#[derive(Clone, Debug)]
pub(crate) struct ReceiveBudget(Arc<Semaphore>);

impl ReceiveBudget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes: usize) -> ReceiveBudget {
        ReceiveBudget(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The same body, which takes from the budget until it is dropped.
    pub(crate) fn charge(&self, body: tonic::body::Body) -> tonic::body::Body {
        tonic::body::Body::new(Charged { body, budget: self.clone(), held: None })
    }
}

/// A body whose bytes are counted.
struct Charged {
    body: tonic::body::Body,
    budget: ReceiveBudget,
    held: Option<OwnedSemaphorePermit>,
}

impl Charged {
    fn take(&mut self, bytes: usize) -> Result<(), Status> {
        let wanted = u32::try_from(bytes).ok();
        let taken = wanted.and_then(|n| Arc::clone(&self.budget.0).try_acquire_many_owned(n).ok());
        let Some(taken) = taken else {
            let text = "too many requests are being received";
            return Err(crate::status::exhausted(text, Cause::SystemOverloaded, Scope::System));
        };
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        Ok(())
    }
}

impl Body for Charged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.take(data.len())
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
