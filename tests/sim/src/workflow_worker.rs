//! A worker for workflow tasks: polls, decides with [`crate::program`], answers; and dies, hangs,
//! answers late, forgets its cache or gives up its poll while there is noise.

use crate::events;
use crate::intent::{Error, Intent, NAMESPACE};
use crate::program::{self, QUEUE, duration, queue};
use crate::random::Random;
use crate::surroundings::Surroundings;
use checker::{Answer, Call, Outcome, WorkflowTaskEnd};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use temporalio_protos::temporal::api::enums::v1::{TaskQueueKind, WorkflowTaskFailedCause};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::taskqueue::v1::{StickyExecutionAttributes, TaskQueue};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Request;

/// Runs workers one after the other, under a new process number each: `first`, `first + 1`, ...
pub async fn run(around: Surroundings, first: u32) {
    for process in first.. {
        let mut pollers = JoinSet::new();
        let random = Random::new(around.seed, &format!("workflow worker {process}"));
        let sticky = random.percent(around.load.sticky_percent);
        let cache = Arc::new(Mutex::new(BTreeMap::new()));
        let queues = std::iter::once(None).chain(sticky.then(|| Some(format!("sticky-{process}"))));
        for polls_sticky in queues.map(|queue| queue.is_some()) {
            let poller = Poller {
                process,
                sticky: sticky.then(|| format!("sticky-{process}")),
                polls_sticky,
                cache: Arc::clone(&cache),
                intent: Intent::new(around.network.clone()),
                random: Random::new(random.seed(), "poller"),
                around: around.clone(),
            };
            pollers.spawn(poller.run());
        }
        // The first that dies takes the others with it.
        pollers.join_next().await;
        pollers.shutdown().await;
        sleep(random.millis(10, 2_000)).await;
    }
}

type Cache = Arc<Mutex<BTreeMap<String, Vec<HistoryEvent>>>>;

struct Poller {
    process: u32,
    sticky: Option<String>,
    polls_sticky: bool,
    cache: Cache,
    intent: Intent,
    random: Random,
    around: Surroundings,
}

/// The worker has died.
struct Died;

impl Poller {
    async fn run(mut self) {
        loop {
            self.intent.connect().await;
            match self.poll().await {
                Some(task) => {
                    let mut next = Some(task);
                    while let Some(task) = next {
                        match self.serve(task).await {
                            Ok(inline) => next = inline,
                            Err(Died) => return,
                        }
                    }
                }
                None => sleep(self.random.millis(1, 50)).await,
            }
        }
    }

    fn misfortune(&self, percent: u64) -> bool {
        // Drawn in any case: what is drawn next must not depend on the part of the run.
        self.random.percent(percent) && self.around.stage.is_noisy()
    }

    async fn poll(&mut self) -> Option<PollWorkflowTaskQueueResponse> {
        let name = match (&self.sticky, self.polls_sticky) {
            (Some(sticky), true) => sticky.clone(),
            _ => QUEUE.to_owned(),
        };
        let history = self.around.history.clone();
        let op = history.invoke(self.process, Call::PollWorkflowTask { queue: name.clone() });
        let task_queue = match self.polls_sticky {
            true => Some(TaskQueue {
                name,
                kind: TaskQueueKind::Sticky.into(),
                normal_name: QUEUE.to_owned(),
            }),
            false => queue(&name),
        };
        let request = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue,
            identity: format!("worker-{}", self.process),
            ..Default::default()
        };
        let vanishes = self.misfortune(self.around.load.client_vanishes_percent);
        let within = if vanishes { self.random.millis(0, 500) } else { Duration::from_secs(60) };
        let asked = self
            .intent
            .ask(|mut it| async move { it.poll_workflow_task_queue(Request::new(request)).await });
        let answer = timeout(within, asked).await.unwrap_or(Err(Error::Vanished));
        match answer {
            Ok(task) if task.task_token.is_empty() => {
                history.ok(op, Answer::Nothing);
                None
            }
            Ok(task) => {
                history.ok(op, seen(&task));
                Some(task)
            }
            Err(error) => {
                history.settle(op, error.outcome());
                None
            }
        }
    }

    /// Serves a task. Gives the next one, if it came with the answer.
    async fn serve(
        &mut self,
        task: PollWorkflowTaskQueueResponse,
    ) -> Result<Option<PollWorkflowTaskQueueResponse>, Died> {
        if self.misfortune(self.around.load.worker_dies_percent) {
            return Err(Died);
        }
        if self.misfortune(self.around.load.worker_late_percent) {
            sleep(self.random.millis(2_000, 8_000)).await;
        }
        sleep(self.random.millis(0, 20)).await;
        let Some(events) = self.whole_history(&task).await else { return Ok(None) };
        if self.misfortune(self.around.load.worker_dies_percent / 3) {
            return Ok(self.fail(&task).await);
        }
        let commands = program::commands(&events, self.around.load.signals_per_run);
        let sticky_attributes = self.sticky.as_ref().map(|name| StickyExecutionAttributes {
            worker_task_queue: Some(TaskQueue {
                name: name.clone(),
                kind: TaskQueueKind::Sticky.into(),
                normal_name: QUEUE.to_owned(),
            }),
            schedule_to_start_timeout: Some(duration(1_000)),
        });
        let request = RespondWorkflowTaskCompletedRequest {
            task_token: task.task_token.clone(),
            commands,
            identity: format!("worker-{}", self.process),
            namespace: NAMESPACE.to_owned(),
            sticky_attributes,
            return_new_workflow_task: self.random.percent(50),
            ..Default::default()
        };
        Ok(self.complete(&task, request).await)
    }

    /// As SDKs do, the same answer is given again while there is none to it.
    async fn complete(
        &mut self,
        task: &PollWorkflowTaskQueueResponse,
        request: RespondWorkflowTaskCompletedRequest,
    ) -> Option<PollWorkflowTaskQueueResponse> {
        for _ in 0..10 {
            let op =
                self.around.history.invoke(self.process, ends(task, WorkflowTaskEnd::Completed));
            let request = request.clone();
            let asked = self.intent.ask(|mut it| async move {
                it.respond_workflow_task_completed(Request::new(request)).await
            });
            match asked.await {
                Ok(response) => {
                    self.around.history.ok(op, Answer::Done);
                    let next = response.workflow_task.filter(|task| !task.task_token.is_empty())?;
                    let queue = "with the answer".to_owned();
                    let call = Call::PollWorkflowTask { queue };
                    let op = self.around.history.invoke(self.process, call);
                    self.around.history.ok(op, seen(&next));
                    return Some(next);
                }
                Err(error) => {
                    self.around.history.settle(op, error.outcome());
                    if !error.is_passing() || self.misfortune(30) {
                        return None;
                    }
                }
            }
            sleep(self.random.millis(1, 300)).await;
            self.intent.connect().await;
        }
        None
    }

    async fn fail(
        &mut self,
        task: &PollWorkflowTaskQueueResponse,
    ) -> Option<PollWorkflowTaskQueueResponse> {
        let op = self.around.history.invoke(self.process, ends(task, WorkflowTaskEnd::Failed));
        let request = RespondWorkflowTaskFailedRequest {
            task_token: task.task_token.clone(),
            cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure.into(),
            identity: format!("worker-{}", self.process),
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let asked = self.intent.ask(|mut it| async move {
            it.respond_workflow_task_failed(Request::new(request)).await
        });
        let outcome = match asked.await {
            Ok(_) => Outcome::Ok(Answer::Done),
            Err(error) => error.outcome(),
        };
        self.around.history.settle(op, outcome);
        None
    }

    /// What came with the task, after what is cached, or everything anew.
    async fn whole_history(
        &mut self,
        task: &PollWorkflowTaskQueueResponse,
    ) -> Option<Vec<HistoryEvent>> {
        let (workflow_id, run_id) = execution(task);
        let came = task.history.as_ref().map(|it| it.events.clone()).unwrap_or_default();
        let first = came.first().map_or(1, |event| event.event_id);
        let cached = self.cached(&run_id);
        let fits = cached.last().is_none_or(|last| last.event_id + 1 >= first);
        let events = if first == 1 && task.next_page_token.is_empty() {
            came
        } else if task.next_page_token.is_empty() && !cached.is_empty() && fits {
            cached.into_iter().filter(|event| event.event_id < first).chain(came).collect()
        } else {
            let mut events = self.intent.history(&workflow_id, &run_id).await.ok()?;
            events.retain(|event| event.event_id <= task.started_event_id);
            events
        };
        // A transient task's own events are promised, not given.
        let lasting =
            events.iter().filter(|event| task.attempt <= 1 || event.event_id < scheduled(task));
        let lasting = lasting.cloned().collect();
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id, lasting);
        Some(events)
    }

    fn cached(&self, run_id: &str) -> Vec<HistoryEvent> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(run_id).cloned().unwrap_or_default()
    }
}

fn execution(task: &PollWorkflowTaskQueueResponse) -> (String, String) {
    task.workflow_execution
        .as_ref()
        .map(|it| (it.workflow_id.clone(), it.run_id.clone()))
        .unwrap_or_default()
}

/// The event that scheduled the task, promised or not: the one before it was started.
fn scheduled(task: &PollWorkflowTaskQueueResponse) -> i64 {
    task.started_event_id - 1
}

fn seen(task: &PollWorkflowTaskQueueResponse) -> Answer {
    let (workflow_id, run_id) = execution(task);
    let came = task.history.as_ref().map(|it| it.events.as_slice()).unwrap_or_default();
    let lasting = came.iter().filter(|event| task.attempt <= 1 || event.event_id < scheduled(task));
    Answer::WorkflowTask {
        workflow_id,
        run_id,
        scheduled: scheduled(task),
        started: task.started_event_id,
        attempt: task.attempt.unsigned_abs(),
        events: lasting.map(events::translated).collect(),
    }
}

fn ends(task: &PollWorkflowTaskQueueResponse, end: WorkflowTaskEnd) -> Call {
    let (_, run_id) = execution(task);
    let attempt = task.attempt.unsigned_abs();
    Call::EndWorkflowTask { run_id, started: task.started_event_id, attempt, end }
}
