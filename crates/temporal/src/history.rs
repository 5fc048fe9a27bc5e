//! GetWorkflowExecutionHistory: pages, waiting for news, and the close event alone.

use crate::backend::{Answer, Backend};
use crate::deadline;
use crate::delivery::followed_by;
use crate::front::{Front, mismatch};
use crate::page::{self, Page};
use crate::page_token::{Kind, Owner, PageToken};
use crate::status;
use crate::twins::GetWorkflowExecutionHistoryResponse as Response;
use base::{RunId, Uuid};
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;
use temporalio_protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use workflows::{Ask, HistoryAsk, HistorySlice, Reply};

/// Clients that show a history to people, who are not to see events that may never be.
const PEOPLES_CLIENTS: [&str; 2] = ["temporal-cli", "temporal-ui"];

/// Answers the RPC.
pub(crate) async fn get<B: Backend>(
    front: &Front<B>,
    request: Request<GetWorkflowExecutionHistoryRequest>,
) -> Result<Response, Status> {
    let max = front.options.history_poll_max;
    let within = deadline::of_request(request.metadata(), max, max)?;
    let for_people = is_for_people(request.metadata());
    let query = HistoryQuery::new(front, request.into_inner(), within, for_people)?;
    match (query.task_token(), query.close_only, query.wait) {
        (Some(token), ..) => query.task_page(token).await,
        (None, true, _) => query.close_event().await,
        (None, false, true) => query.news().await,
        (None, false, false) => query.page().await,
    }
}

/// One request, checked.
struct HistoryQuery<'a, B> {
    front: &'a Front<B>,
    namespace: String,
    workflow_id: String,
    run_id: Option<RunId>,
    token: Option<PageToken>,
    wait: bool,
    close_only: bool,
    page_events_max: i32,
    within: Duration,
    for_people: bool,
}

impl<'a, B: Backend> HistoryQuery<'a, B> {
    fn new(
        front: &'a Front<B>,
        request: GetWorkflowExecutionHistoryRequest,
        within: Duration,
        for_people: bool,
    ) -> Result<Self, Status> {
        let execution = request.execution.unwrap_or_default();
        let mut query = HistoryQuery {
            front,
            namespace: request.namespace,
            workflow_id: execution.workflow_id,
            run_id: parse_run_id(&execution.run_id)?,
            token: None,
            wait: request.wait_new_event,
            close_only: request.history_event_filter_type
                == HistoryEventFilterType::CloseEvent as i32,
            page_events_max: request.maximum_page_size,
            within,
            for_people,
        };
        if !request.next_page_token.is_empty() {
            let token = PageToken::decode(&request.next_page_token, query.owner())?;
            if query.run_id.is_some_and(|run_id| run_id != token.run_id) {
                let text = "RunId in the request does not match the NextPageToken.";
                return Err(Status::invalid_argument(text));
            }
            query.run_id = Some(token.run_id);
            query.token = Some(token);
        }
        Ok(query)
    }

    fn task_token(&self) -> Option<PageToken> {
        self.token.clone().filter(|token| token.kind == Kind::Task)
    }

    /// The next page of a workflow task's history, whatever else the request says.
    async fn task_page(&self, token: PageToken) -> Result<Response, Status> {
        let slice = self.slice(false).await?;
        let page = self.read(&slice, token.next_event_id..token.end_event_id).await?;
        match page.next_event_id {
            Some(next_event_id) => {
                let token = PageToken { next_event_id, ..token };
                Ok(Response::page(page.history, token.encode(self.owner())))
            }
            None => Ok(Response::page(followed_by(page.history, &token.transient), Vec::new())),
        }
    }

    /// A page of the history as it was when the first page was asked for.
    async fn page(&self) -> Result<Response, Status> {
        let slice = self.slice(!self.for_people).await?;
        let events = match &self.token {
            Some(token) => token.next_event_id..token.end_event_id.min(slice.next_event_id),
            None => 1..slice.next_event_id,
        };
        let page = self.read(&slice, events.clone()).await?;
        if let Some(next_event_id) = page.next_event_id {
            let token = self.history_token(&slice, next_event_id, events.end);
            return Ok(Response::page(page.history, token));
        }
        // Events that came meanwhile would have to stand before the transient ones.
        let all = if events.end == slice.next_event_id {
            followed_by(page.history, &slice.transient)
        } else {
            page.history
        };
        Ok(Response::page(all, Vec::new()))
    }

    /// The next events, as soon as there are some; the token lives until the run is closed.
    async fn news(&self) -> Result<Response, Status> {
        let next = self.token.as_ref().map_or(1, |token| token.next_event_id);
        let slice = match self.run_id {
            None => self.slice(false).await?,
            Some(run_id) => match self.slice_after(run_id, next, false).await? {
                Some(slice) => slice,
                None => return Ok(self.nothing_yet(run_id, next)),
            },
        };
        let page = self.read(&slice, next..slice.next_event_id).await?;
        let next = match page.next_event_id {
            Some(next) => next,
            None if slice.closed => return Ok(Response::page(page.history, Vec::new())),
            None => slice.next_event_id.max(next),
        };
        let token = self.history_token(&slice, next, slice.next_event_id);
        Ok(Response::page(page.history, token))
    }

    /// The close event and nothing else; nothing while the run is open.
    async fn close_event(&self) -> Result<Response, Status> {
        let now = match self.run_id {
            Some(_) if self.wait => None,
            _ => Some(self.slice(false).await?),
        };
        // A request that names no run waits for the one that is current now.
        let run_id = self.run_id.or(now.as_ref().map(|slice| slice.run_id));
        let slice = match (now, run_id) {
            (None, Some(run_id)) => self.slice_after(run_id, 1, true).await?,
            (Some(now), Some(run_id)) if self.wait && !now.closed => {
                self.slice_after(run_id, 1, true).await?
            }
            (now, _) => now,
        };
        match (slice, run_id) {
            (Some(slice), _) if slice.closed => {
                let page = self.read(&slice, slice.next_event_id - 1..slice.next_event_id).await?;
                Ok(Response::page(page.history, Vec::new()))
            }
            (None, Some(run_id)) => Ok(self.nothing_yet(run_id, 1)),
            _ => Ok(Response::page(Bytes::new(), Vec::new())),
        }
    }

    /// An empty page with a token: the client asks again.
    fn nothing_yet(&self, run_id: RunId, next_event_id: i64) -> Response {
        let token = PageToken {
            kind: Kind::History,
            run_id,
            next_event_id,
            end_event_id: next_event_id,
            transient: Bytes::new(),
        };
        Response::page(Bytes::new(), token.encode(self.owner()))
    }

    fn history_token(&self, slice: &HistorySlice, next: i64, end: i64) -> Vec<u8> {
        let token = PageToken {
            kind: Kind::History,
            run_id: slice.run_id,
            next_event_id: next,
            end_event_id: end,
            transient: Bytes::new(),
        };
        token.encode(self.owner())
    }

    /// The history as it is now.
    async fn slice(&self, include_transient: bool) -> Result<HistorySlice, Status> {
        let ask = HistoryAsk {
            namespace: self.namespace.clone(),
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id,
            wait_for_event: None,
            wait_for_close: false,
            include_transient,
        };
        let ask = Ask::GetWorkflowExecutionHistory(Box::new(ask));
        slice_of(self.front.ask(ask).await?)
    }

    /// The history when it has the event `next`, or is closed. `None` if that takes too long.
    async fn slice_after(
        &self,
        run_id: RunId,
        next: i64,
        wait_for_close: bool,
    ) -> Result<Option<HistorySlice>, Status> {
        let ask = HistoryAsk {
            namespace: self.namespace.clone(),
            workflow_id: self.workflow_id.clone(),
            run_id: Some(run_id),
            wait_for_event: Some(next),
            wait_for_close,
            include_transient: false,
        };
        let ask = Ask::GetWorkflowExecutionHistory(Box::new(ask));
        let waited = self.front.ask_within(ask, self.within).await?;
        waited.answer().map(|answer| slice_of(answer.take())).transpose()
    }

    async fn read(&self, slice: &HistorySlice, events: Range<i64>) -> Result<Page, Status> {
        let limits = self.front.page_limits(self.page_events_max);
        page::read(&self.front.backend, &slice.batches, events, limits).await.map_err(status::of)
    }

    fn owner(&self) -> Owner<'_> {
        Owner { namespace: &self.namespace, workflow_id: &self.workflow_id }
    }
}

fn slice_of(reply: Reply) -> Result<HistorySlice, Status> {
    match reply {
        Reply::GetWorkflowExecutionHistory(slice) => Ok(*slice),
        other => Err(mismatch(&other)),
    }
}

fn parse_run_id(text: &str) -> Result<Option<RunId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    match Uuid::try_parse(text) {
        Ok(uuid) => Ok(Some(RunId(uuid))),
        Err(_) => Err(Status::invalid_argument("Invalid RunId.")),
    }
}

fn is_for_people(metadata: &MetadataMap) -> bool {
    let name = metadata.get("client-name").and_then(|name| name.to_str().ok());
    name.is_some_and(|name| PEOPLES_CLIENTS.contains(&name))
}
