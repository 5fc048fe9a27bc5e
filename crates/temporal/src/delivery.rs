//! Tasks on their way to a worker: the first page of history, and the way back.
//!
//! A task that was handed out is a promise in the journal. If its way to the worker ends here,
//! because the history cannot be read or the worker has gone away, it is given back, and goes as
//! the same task to the next poller.

use crate::backend::Backend;
use crate::front::Front;
use crate::page::{self, Page};
use crate::page_token::{Kind, Owner, PageToken};
use crate::status;
use crate::twins::PollWorkflowTaskQueueResponse;
use bytes::{Bytes, BytesMut};
use tonic::Status;
use workflows::{Ask, HistorySlice, TaskToken, WorkflowTask};

/// Turns a task into what the worker gets: with the first page of its history.
pub(crate) async fn workflow_task<B: Backend>(
    front: &Front<B>,
    namespace: &str,
    task: WorkflowTask,
) -> Result<PollWorkflowTaskQueueResponse, Status> {
    let WorkflowTask { response, history, token } = task;
    let guard = Undelivered { backend: &front.backend, token };
    let start = first_event_id(&history, response.previous_started_event_id);
    let events = start..history.next_event_id;
    let read = page::read(&front.backend, &history.batches, events, front.page_limits(0));
    let page = read.await.map_err(status::of)?;
    let workflow_id = response.workflow_execution.as_ref().map_or("", |it| &it.workflow_id);
    let (bytes, next) = with_rest(page, &history, Owner { namespace, workflow_id });
    guard.delivered();
    Ok(PollWorkflowTaskQueueResponse::new(response, bytes, next))
}

/// A slice for a sticky worker starts after what the worker has seen, even if the machine's first
/// batch starts before that. A slice from the first event is a whole history.
fn first_event_id(history: &HistorySlice, previous_started_event_id: i64) -> i64 {
    match history.batches.first() {
        Some(batch) if batch.first_event_id > 1 => {
            batch.first_event_id.max(previous_started_event_id + 1)
        }
        _ => 1,
    }
}

/// The last page ends with the events that are not in history; an earlier one comes with a token,
/// which carries them.
fn with_rest(page: Page, history: &HistorySlice, owner: Owner<'_>) -> (Bytes, Vec<u8>) {
    let Some(next_event_id) = page.next_event_id else {
        return (followed_by(page.history, &history.transient), Vec::new());
    };
    let token = PageToken {
        kind: Kind::Task,
        run_id: history.run_id,
        next_event_id,
        end_event_id: history.next_event_id,
        transient: history.transient.clone(),
    };
    (page.history, token.encode(owner))
}

/// Two histories, one after the other.
pub(crate) fn followed_by(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(second);
    both.freeze()
}

/// Gives a task back unless it is delivered.
struct Undelivered<'a, B: Backend> {
    backend: &'a B,
    token: Option<TaskToken>,
}

impl<B: Backend> Undelivered<'_, B> {
    fn delivered(mut self) {
        self.token = None;
    }
}

impl<B: Backend> Drop for Undelivered<'_, B> {
    fn drop(&mut self) {
        let (Some(token), Ok(runtime)) = (self.token.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let backend = self.backend.clone();
        runtime.spawn(async move {
            // A node that refuses has lost the task already, to its timeout.
            let _ = backend.workflows(Ask::Undelivered(token)).await;
        });
    }
}
