//! A worker without an SDK: it polls, looks at the events it has not seen, and answers. What it
//! costs is nearly nothing, so that a row shows the server's own limit.
//!
//! It keeps to the protocol as the SDKs do: a sticky queue of its own, runs kept between tasks,
//! the whole history fetched where it is needed, the next workflow task taken with the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use temporalio_client::tonic::{Code, Request, Status};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueKind;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::taskqueue::v1::{
    StickyExecutionAttributes, TaskQueue,
};
use temporalio_common::protos::temporal::api::workflowservice::v1 as service;
use tokio::task::JoinSet;

use crate::worker::rpc::{self, CALL_MAX, Client, LONG_POLL_MAX, NAMESPACE, Rpc};
use crate::worker::script::{Script, ends};

/// Concurrent polls of each queue and kind: so many that they are not what bounds a server. (SDKs
/// begin with 5 and go up to 100 where the server says so.)
pub(crate) const POLLERS: usize = 32;
/// How long a task waits for this worker before others may have it: the SDKs' default.
const STICKY_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a poll that failed.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// A worker at work; it ends when it is dropped.
pub(crate) struct Worker {
    pollers: JoinSet<()>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Worker {
    /// Begins to work on `queue`.
    pub(crate) fn start<S: Script>(rpc: Rpc, queue: &str, pollers: usize, script: S) -> Worker {
        let trouble = Arc::<Mutex<Option<String>>>::default();
        let inner = Arc::new(Inner {
            rpc,
            queue: queue.to_owned(),
            sticky: format!("{queue}-sticky"),
            script,
            runs: Mutex::default(),
            trouble: Arc::clone(&trouble),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..pollers {
            tasks.spawn(Arc::clone(&inner).poll_workflow_tasks(inner.sticky_queue()));
            tasks.spawn(Arc::clone(&inner).poll_workflow_tasks(rpc::queue(queue)));
            tasks.spawn(Arc::clone(&inner).poll_activity_tasks());
        }
        Worker { pollers: tasks, trouble }
    }

    /// What went wrong first, if anything did that a server is not to do.
    pub(crate) async fn end(mut self) -> Option<String> {
        self.pollers.shutdown().await;
        locked(&self.trouble).take()
    }
}

struct Inner<S: Script> {
    rpc: Rpc,
    queue: String,
    sticky: String,
    script: S,
    /// By run id; a run whose task is being worked on is not here.
    runs: Mutex<HashMap<String, Cached<S::Run>>>,
    trouble: Arc<Mutex<Option<String>>>,
}

/// What is known of a run.
#[derive(Default)]
struct Cached<R> {
    last_event_id: i64,
    run: R,
}

impl<S: Script> Inner<S> {
    async fn poll_workflow_tasks(self: Arc<Self>, queue: TaskQueue) {
        let request = service::PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(queue),
            identity: rpc::identity(),
            ..Default::default()
        };
        loop {
            let mut poll = Request::new(request.clone());
            poll.set_timeout(LONG_POLL_MAX);
            match self.rpc.client.clone().poll_workflow_task_queue(poll).await {
                Ok(task) if task.get_ref().task_token.is_empty() => {}
                Ok(task) => {
                    let worker = Arc::clone(&self);
                    tokio::spawn(async move {
                        let done = worker.work(task.into_inner()).await;
                        worker.note("a workflow task", done);
                    });
                }
                Err(status) => self.poll_failed(status).await,
            }
        }
    }

    async fn poll_activity_tasks(self: Arc<Self>) {
        let request = service::PollActivityTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: Some(rpc::queue(&self.queue)),
            identity: rpc::identity(),
            ..Default::default()
        };
        loop {
            let mut poll = Request::new(request.clone());
            poll.set_timeout(LONG_POLL_MAX);
            match self.rpc.client.clone().poll_activity_task_queue(poll).await {
                Ok(task) if task.get_ref().task_token.is_empty() => {}
                Ok(task) => self.act(task.into_inner()),
                Err(status) => self.poll_failed(status).await,
            }
        }
    }

    /// Works on a task, and on those that come back with the answers.
    async fn work(
        self: &Arc<Self>,
        mut task: service::PollWorkflowTaskQueueResponse,
    ) -> Result<(), Status> {
        loop {
            let run_id = task.workflow_execution.clone().unwrap_or_default().run_id;
            let token = std::mem::take(&mut task.task_token);
            let mut cached = self.caught_up(&run_id, task).await?;
            let commands = self.script.decide(&cached.run, &self.queue);
            let over = ends(&commands);
            let request = self.completion(token, commands);
            let call = |mut client: Client, request| async move {
                client.respond_workflow_task_completed(request).await
            };
            // On failure the run is forgotten, and built again from its whole history.
            let answer = self.rpc.call(request, CALL_MAX, call).await?;
            self.script.settled(&mut cached.run);
            if !over {
                locked(&self.runs).insert(run_id, cached);
            }
            answer.activity_tasks.into_iter().for_each(|activity| self.act(activity));
            match answer.workflow_task {
                Some(next) if !next.task_token.is_empty() => task = next,
                _ => return Ok(()),
            }
        }
    }

    /// What is known of a run, with the task's events seen.
    async fn caught_up(
        &self,
        run_id: &str,
        task: service::PollWorkflowTaskQueueResponse,
    ) -> Result<Cached<S::Run>, Status> {
        let mut cached = locked(&self.runs).remove(run_id).unwrap_or_default();
        let execution = task.workflow_execution.unwrap_or_default();
        let events = task.history.unwrap_or_default().events;
        let mut page = task.next_page_token;
        let first = events.first().map_or(0, |event| event.event_id);
        if first > cached.last_event_id + 1 {
            // It is about a run of which the beginning is not known here.
            cached = Cached::default();
            page = self.fetch(&execution, Vec::new(), task.started_event_id, &mut cached).await?;
        } else {
            self.see(&mut cached, events, task.started_event_id);
        }
        while !page.is_empty() {
            page = self.fetch(&execution, page, task.started_event_id, &mut cached).await?;
        }
        Ok(cached)
    }

    /// Sees one page of a history; answers the next page's token.
    async fn fetch(
        &self,
        execution: &WorkflowExecution,
        next_page_token: Vec<u8>,
        last: i64,
        cached: &mut Cached<S::Run>,
    ) -> Result<Vec<u8>, Status> {
        let request = service::GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.to_owned(),
            execution: Some(execution.clone()),
            next_page_token,
            ..Default::default()
        };
        let call = |mut client: Client, request| async move {
            client.get_workflow_execution_history(request).await
        };
        let page = self.rpc.call(request, CALL_MAX, call).await?;
        self.see(cached, page.history.unwrap_or_default().events, last);
        Ok(page.next_page_token)
    }

    /// Sees what is new up to the start of the task; what is later belongs to the next one.
    fn see(&self, cached: &mut Cached<S::Run>, events: Vec<HistoryEvent>, last: i64) {
        for event in events {
            if event.event_id > cached.last_event_id && event.event_id <= last {
                cached.last_event_id = event.event_id;
                self.script.see(&mut cached.run, event);
            }
        }
    }

    fn completion(
        &self,
        task_token: Vec<u8>,
        commands: Vec<temporalio_common::protos::temporal::api::command::v1::Command>,
    ) -> service::RespondWorkflowTaskCompletedRequest {
        service::RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.to_owned(),
            task_token,
            commands,
            identity: rpc::identity(),
            sticky_attributes: Some(StickyExecutionAttributes {
                worker_task_queue: Some(self.sticky_queue()),
                schedule_to_start_timeout: STICKY_TIMEOUT.try_into().ok(),
            }),
            return_new_workflow_task: true,
            ..Default::default()
        }
    }

    /// Completes an activity with what it was given.
    fn act(self: &Arc<Self>, task: service::PollActivityTaskQueueResponse) {
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            let request = service::RespondActivityTaskCompletedRequest {
                namespace: NAMESPACE.to_owned(),
                task_token: task.task_token,
                result: task.input,
                identity: rpc::identity(),
                ..Default::default()
            };
            let call = |mut client: Client, request| async move {
                client.respond_activity_task_completed(request).await
            };
            let done = worker.rpc.call(request, CALL_MAX, call).await;
            worker.note("an activity task", done.map(drop));
        });
    }

    fn sticky_queue(&self) -> TaskQueue {
        TaskQueue {
            name: self.sticky.clone(),
            kind: TaskQueueKind::Sticky as i32,
            normal_name: self.queue.clone(),
        }
    }

    async fn poll_failed(&self, status: Status) {
        // A poll that found nothing may end as its deadline.
        if !matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) {
            self.note("a poll", Err(status));
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Keeps the first trouble. That a task came too late, or that a signal came before the
    /// answer, is in the nature of things: another task follows.
    fn note(&self, what: &str, done: Result<(), Status>) {
        let Err(status) = done else { return };
        let expected = status.code() == Code::NotFound
            || (status.code() == Code::InvalidArgument && status.message().contains("Unhandled"));
        if !expected {
            locked(&self.trouble).get_or_insert_with(|| format!("{what}: {status}"));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
