//! What all RPCs share: the node, the limits, and the end of waiting when the server stops.

use crate::backend::{Answer, Backend};
use crate::options::Options;
use crate::page::PageLimits;
use crate::status;
use node::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;
use workflows::{Ask, Reply};

/// The Temporal front of one node.
#[derive(Clone, Debug)]
pub(crate) struct Front<B> {
    pub(crate) backend: B,
    pub(crate) options: Arc<Options>,
    stopping: watch::Receiver<bool>,
}

impl<B: Backend> Front<B> {
    /// `stopping` becomes true, or is dropped, when waiting requests are to be answered.
    pub(crate) fn new(backend: B, options: Arc<Options>, stopping: watch::Receiver<bool>) -> Self {
        Front { backend, options, stopping }
    }

    /// Asks, and takes the answer, which has no tasks in it.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Reply, Status> {
        self.ask_for_task(ask).await.map(Answer::take)
    }

    /// Asks, and waits for the answer, which may have tasks in it.
    pub(crate) async fn ask_for_task(&self, ask: Ask) -> Result<B::Answer, Status> {
        self.backend.workflows(ask).await.map_err(status::of)
    }

    /// Asks, and waits for the answer, but not for ever.
    pub(crate) async fn ask_within(
        &self,
        ask: Ask,
        within: Duration,
    ) -> Result<Waited<B::Answer>, Status> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            answer = self.backend.workflows_within(ask, within) => match answer {
                Ok(Some(answer)) => Ok(Waited::Answer(answer)),
                Ok(None) => Ok(Waited::TimeOver),
                Err(Error::Stopping) => Ok(Waited::Stopping),
                Err(error) => Err(status::of(error)),
            },
            _ = stopping.wait_for(|stopping| *stopping) => Ok(Waited::Stopping),
        }
    }

    /// How much a page of history may hold, if the client asked for at most `wanted` events.
    pub(crate) fn page_limits(&self, wanted: i32) -> PageLimits {
        let max = self.options.history_page_events_max;
        let wanted = usize::try_from(wanted).ok().filter(|wanted| *wanted > 0);
        PageLimits {
            events_max: wanted.unwrap_or(max).min(max),
            bytes_max: self.options.history_page_bytes_max,
        }
    }
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) enum Waited<A> {
    /// With an answer.
    Answer(A),
    /// Nothing came in time.
    TimeOver,
    /// The server or the node stops.
    Stopping,
}

impl<A> Waited<A> {
    /// For requests whose clients ask again in any case.
    pub(crate) fn answer(self) -> Option<A> {
        match self {
            Waited::Answer(answer) => Some(answer),
            Waited::TimeOver | Waited::Stopping => None,
        }
    }
}

/// The machine answered with something that is no answer to the question.
pub(crate) fn mismatch(reply: &Reply) -> Status {
    tracing::error!(?reply, "the machine answered another question");
    Status::internal("the machine answered another question")
}
