//! A workflow task's history on its way to a worker: the first page, and the token for the rest.
//!
//! A task that was handed out is a promise in the journal. It is not taken from the node before
//! its history is here: if the history cannot be read, or the worker goes away meanwhile, the
//! node gives the task, as the same task, to the next poller.

use crate::backend::Backend;
use crate::front::Front;
use crate::page;
use crate::page_token::{Kind, Owner, PageToken};
use crate::status;
use crate::twins::PollWorkflowTaskQueueResponse;
use bytes::{Bytes, BytesMut};
use tonic::Status;
use workflows::{HistorySlice, WorkflowTask};

/// What goes into a task's `history` and `next_page_token`.
#[derive(Debug)]
pub(crate) struct FirstPage {
    history: Bytes,
    next_page_token: Vec<u8>,
}

impl FirstPage {
    /// Reads the page. The last page ends with the events that are not in history; if this is
    /// not the last one, its token carries them.
    pub(crate) async fn read<B: Backend>(
        front: &Front<B>,
        namespace: &str,
        task: &WorkflowTask,
    ) -> Result<FirstPage, Status> {
        let WorkflowTask { response, history, .. } = task;
        let start = first_event_id(history, response.previous_started_event_id);
        let events = start..history.next_event_id;
        let read = page::read(&front.backend, &history.batches, events, front.page_limits(0));
        let page = read.await.map_err(status::of)?;
        let Some(next_event_id) = page.next_event_id else {
            let history = followed_by(page.history, &history.transient);
            return Ok(FirstPage { history, next_page_token: Vec::new() });
        };
        let token = PageToken {
            kind: Kind::Task,
            run_id: history.run_id,
            next_event_id,
            end_event_id: history.next_event_id,
            transient: history.transient.clone(),
        };
        let workflow_id = response.workflow_execution.as_ref().map_or("", |it| &it.workflow_id);
        let next_page_token = token.encode(Owner { namespace, workflow_id });
        Ok(FirstPage { history: page.history, next_page_token })
    }

    /// What the worker gets.
    pub(crate) fn of(self, task: WorkflowTask) -> PollWorkflowTaskQueueResponse {
        PollWorkflowTaskQueueResponse::new(task.response, self.history, self.next_page_token)
    }
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
