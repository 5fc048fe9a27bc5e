//! Temporal's requests as a client makes them, and what it may believe of the answers.

use crate::network::{Client, Gone, Network, Wire};
use checker::{Outcome, Refusal};
use std::future::Future;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};

/// The namespace of all.
pub const NAMESPACE: &str = "default";

/// No answer after this is no answer: far more than anything but a poll takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Error {
    /// The node has died, or did not answer in time.
    NoAnswer,
    /// The client gave up.
    Vanished,
    /// The server said this.
    Status(Status),
}

impl Error {
    /// What the client may believe.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::NoAnswer => Outcome::Unknown("no answer".to_owned()),
            Error::Vanished => Outcome::Unknown("the client has vanished".to_owned()),
            Error::Status(status) => outcome_of(status),
        }
    }

    /// Whether it may be worth asking again.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::NoAnswer | Error::Vanished => true,
            Error::Status(status) => matches!(
                status.code(),
                Code::Unavailable
                    | Code::ResourceExhausted
                    | Code::DeadlineExceeded
                    | Code::Cancelled
            ),
        }
    }
}

fn outcome_of(status: &Status) -> Outcome {
    let words = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::NotFound => Outcome::Fail(Refusal::NotFound),
        Code::AlreadyExists => match run_id_of(status) {
            Some(run_id) => Outcome::Fail(Refusal::AlreadyStarted { run_id }),
            None => Outcome::Fail(Refusal::Other(words)),
        },
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::Unimplemented => Outcome::Fail(Refusal::Other(words)),
        _ => Outcome::Unknown(words),
    }
}

/// The run that is already there.
fn run_id_of(status: &Status) -> Option<String> {
    use prost::Message;
    use temporalio_protos::google::rpc;
    use temporalio_protos::temporal::api::errordetails::v1::WorkflowExecutionAlreadyStartedFailure;
    let details = rpc::Status::decode(status.details()).ok()?;
    let detail = details.details.first()?;
    let failure = WorkflowExecutionAlreadyStartedFailure::decode(detail.value.as_slice()).ok()?;
    Some(failure.run_id).filter(|run_id| !run_id.is_empty())
}

/// A client of the Temporal front, which finds the node that lives now.
#[derive(Clone)]
pub struct Intent {
    network: Network,
    wire: Option<Wire>,
}

impl Intent {
    /// A client that has not connected yet.
    pub fn new(network: Network) -> Intent {
        Intent { network, wire: None }
    }

    /// Waits until there is a node to ask.
    pub async fn connect(&mut self) {
        loop {
            self.network.up().await;
            if let Ok(wire) = self.network.temporal().await {
                self.wire = Some(wire);
                return;
            }
        }
    }

    /// Makes a request.
    pub async fn ask<T, F>(&mut self, request: impl FnOnce(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let Some(wire) = &mut self.wire else { return Err(Error::NoAnswer) };
        match timeout(PATIENCE, wire.call(request)).await {
            Ok(Ok(Ok(response))) => Ok(response.into_inner()),
            Ok(Ok(Err(status))) => Err(Error::Status(status)),
            Ok(Err(Gone)) => {
                self.wire = None;
                Err(Error::NoAnswer)
            }
            Err(_) => Err(Error::NoAnswer),
        }
    }

    /// Whether there was a node the last time.
    pub fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// The whole history of a run; the current one's if `run_id` is empty.
    pub async fn history(
        &mut self,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<Vec<HistoryEvent>, Error> {
        let execution =
            WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() };
        let mut events = Vec::new();
        let mut next_page_token = Vec::new();
        loop {
            let request = GetWorkflowExecutionHistoryRequest {
                namespace: NAMESPACE.to_owned(),
                execution: Some(execution.clone()),
                next_page_token,
                ..Default::default()
            };
            let page = self
                .ask(|mut it| async move {
                    it.get_workflow_execution_history(Request::new(request)).await
                })
                .await?;
            events.extend(page.history.map(|it| it.events).unwrap_or_default());
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(events);
            }
        }
    }
}
