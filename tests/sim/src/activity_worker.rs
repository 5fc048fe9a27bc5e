//! A worker for activities: runs the body (a line in the history), and answers; or dies, hangs,
//! fails, answers late or not at all while there is noise.

use crate::history::History;
use crate::intent::{Error, Intent, NAMESPACE};
use crate::program::{QUEUE, payloads, queue};
use crate::random::Random;
use crate::surroundings::Surroundings;
use checker::{ActivityEnd, Answer, Call, Line, Outcome};
use serde_json::json;
use std::time::Duration;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::time::{sleep, timeout};
use tonic::Request;

/// Runs workers one after the other, under a new process number each: `first`, `first + 1`, ...
pub async fn run(around: Surroundings, first: u32) {
    for process in first.. {
        let worker = Worker {
            process,
            intent: Intent::new(around.network.clone()),
            random: Random::new(around.seed, &format!("activity worker {process}")),
            around: around.clone(),
            results: 0,
        };
        let pause = worker.random.millis(10, 2_000);
        worker.run().await;
        sleep(pause).await;
    }
}

struct Worker {
    process: u32,
    intent: Intent,
    random: Random,
    around: Surroundings,
    results: u64,
}

/// The worker has died.
struct Died;

impl Worker {
    async fn run(mut self) {
        loop {
            self.intent.connect().await;
            match self.poll().await {
                Some(task) => {
                    if let Err(Died) = self.serve(task).await {
                        return;
                    }
                }
                None => sleep(self.random.millis(1, 50)).await,
            }
        }
    }

    fn misfortune(&self, percent: u64) -> bool {
        self.random.percent(percent) && self.around.stage.is_noisy()
    }

    fn history(&self) -> History {
        self.around.history.clone()
    }

    async fn poll(&mut self) -> Option<PollActivityTaskQueueResponse> {
        let history = self.history();
        let call = Call::PollActivityTask { queue: QUEUE.to_owned() };
        let op = history.invoke(self.process, call);
        let request = PollActivityTaskQueueRequest {
            namespace: NAMESPACE.to_owned(),
            task_queue: queue(QUEUE),
            identity: format!("worker-{}", self.process),
            ..Default::default()
        };
        let vanishes = self.misfortune(self.around.load.client_vanishes_percent);
        let within = if vanishes { self.random.millis(0, 500) } else { Duration::from_secs(60) };
        let asked = self
            .intent
            .ask(|mut it| async move { it.poll_activity_task_queue(Request::new(request)).await });
        match timeout(within, asked).await.unwrap_or(Err(Error::Vanished)) {
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

    async fn serve(&mut self, task: PollActivityTaskQueueResponse) -> Result<(), Died> {
        let (_, run_id) = execution(&task);
        let (process, attempt) = (self.process, task.attempt.unsigned_abs());
        let activity_id = task.activity_id.clone();
        self.history().put(|at_us| Line::Effect { at_us, process, run_id, activity_id, attempt });
        if self.misfortune(self.around.load.worker_dies_percent) {
            return Err(Died);
        }
        sleep(self.random.millis(0, 100)).await;
        if self.misfortune(self.around.load.worker_late_percent) {
            sleep(self.random.millis(4_000, 8_000)).await;
        } else if self.random.percent(20) {
            self.heartbeat(&task).await;
            sleep(self.random.millis(0, 500)).await;
        }
        let end = if self.misfortune(self.around.load.activity_fails_percent) {
            ActivityEnd::Failed
        } else {
            self.results += 1;
            ActivityEnd::Completed(Some(u64::from(process) * 1_000_000 + self.results))
        };
        self.answer(&task, end).await;
        Ok(())
    }

    async fn heartbeat(&mut self, task: &PollActivityTaskQueueResponse) {
        let (_, run_id) = execution(task);
        let (activity_id, attempt) = (task.activity_id.clone(), task.attempt.unsigned_abs());
        let call = Call::Heartbeat { run_id, activity_id, attempt };
        let op = self.history().invoke(self.process, call);
        let request = RecordActivityTaskHeartbeatRequest {
            task_token: task.task_token.clone(),
            details: payloads(&json!({ "id": 0 })),
            identity: format!("worker-{}", self.process),
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let asked = self.intent.ask(|mut it| async move {
            it.record_activity_task_heartbeat(Request::new(request)).await
        });
        let outcome = match asked.await {
            Ok(_) => Outcome::Ok(Answer::Done),
            Err(error) => error.outcome(),
        };
        self.history().settle(op, outcome);
    }

    /// As SDKs do, the same answer is given again while there is none to it.
    async fn answer(&mut self, task: &PollActivityTaskQueueResponse, end: ActivityEnd) {
        for _ in 0..10 {
            let (_, run_id) = execution(task);
            let (activity_id, attempt) = (task.activity_id.clone(), task.attempt.unsigned_abs());
            let call = Call::EndActivityTask { run_id, activity_id, attempt, end };
            let op = self.history().invoke(self.process, call);
            let result = self.respond(task, end).await;
            let error = match result {
                Ok(()) => return self.history().ok(op, Answer::Done),
                Err(error) => error,
            };
            self.history().settle(op, error.outcome());
            if !error.is_passing() || self.misfortune(30) {
                return;
            }
            sleep(self.random.millis(1, 300)).await;
            self.intent.connect().await;
        }
    }

    async fn respond(
        &mut self,
        task: &PollActivityTaskQueueResponse,
        end: ActivityEnd,
    ) -> Result<(), Error> {
        let (task_token, namespace) = (task.task_token.clone(), NAMESPACE.to_owned());
        let identity = format!("worker-{}", self.process);
        if let ActivityEnd::Completed(Some(id)) = end {
            let result = payloads(&json!({ "id": id }));
            let request = RespondActivityTaskCompletedRequest {
                task_token,
                result,
                identity,
                namespace,
                ..Default::default()
            };
            let asked = self.intent.ask(|mut it| async move {
                it.respond_activity_task_completed(Request::new(request)).await
            });
            return asked.await.map(drop);
        }
        let failure = Some(Failure { message: "as planned".to_owned(), ..Default::default() });
        let request = RespondActivityTaskFailedRequest {
            task_token,
            failure,
            identity,
            namespace,
            ..Default::default()
        };
        let asked = self.intent.ask(|mut it| async move {
            it.respond_activity_task_failed(Request::new(request)).await
        });
        asked.await.map(drop)
    }
}

fn execution(task: &PollActivityTaskQueueResponse) -> (String, String) {
    task.workflow_execution
        .as_ref()
        .map(|it| (it.workflow_id.clone(), it.run_id.clone()))
        .unwrap_or_default()
}

fn seen(task: &PollActivityTaskQueueResponse) -> Answer {
    let (workflow_id, run_id) = execution(task);
    let (activity_id, attempt) = (task.activity_id.clone(), task.attempt.unsigned_abs());
    Answer::ActivityTask { workflow_id, run_id, activity_id, attempt }
}
