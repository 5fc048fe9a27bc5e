//! Clients that start and signal workflows, look at them, and give up now and then. What they do
//! not know to be done they mostly ask again, under the same request id.

use crate::events;
use crate::intent::{Error, Intent, NAMESPACE};
use crate::program::{FINISH, QUEUE, STEP, duration, payloads, queue, workflow_type};
use crate::random::Random;
use crate::surroundings::Surroundings;
use checker::{Answer, Call, Outcome, Status};
use serde_json::json;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::time::{sleep, timeout};
use tonic::Request;

/// The workflow that key number `n` names: also the key of the records that are routed to it.
pub fn workflow_id(n: u64) -> String {
    format!("wf-{n}")
}

/// A client of executions.
pub struct Starter {
    process: u32,
    intent: Intent,
    random: Random,
    around: Surroundings,
    count: u64,
}

/// What is asked.
#[derive(Clone, Debug)]
enum Wish {
    Start { workflow_id: String, request_id: String, value: u64, once: bool },
    Signal { workflow_id: String, request_id: String, name: &'static str, value: u64 },
    SignalWithStart { workflow_id: String, request_id: String, value: u64 },
}

impl Starter {
    /// A client under this process number.
    pub fn new(around: Surroundings, process: u32) -> Starter {
        let random = Random::new(around.seed, &format!("starter {process}"));
        let intent = Intent::new(around.network.clone());
        Starter { process, intent, random, around, count: 0 }
    }

    /// Does what the plan says, then ends.
    pub async fn run(mut self) {
        for _ in 0..self.around.load.signals {
            sleep(self.random.millis(0, 400)).await;
            self.intent.connect().await;
            let workflow_id = workflow_id(self.random.below(self.around.load.workflows));
            match self.random.below(10) {
                0 => drop(self.describe(&workflow_id).await),
                1 => drop(self.history(&workflow_id, None).await),
                _ => {
                    let wish = self.wish(workflow_id);
                    self.insist(wish).await;
                }
            }
        }
    }

    fn wish(&mut self, workflow_id: String) -> Wish {
        self.count += 1;
        let value = u64::from(self.process) * 1_000_000 + self.count;
        let request_id = format!("request-{value}");
        match self.random.below(8) {
            0 => Wish::Start { workflow_id, request_id, value, once: false },
            1 => {
                Wish::Start { workflow_id: format!("once-{value}"), request_id, value, once: true }
            }
            2..5 => Wish::Signal { workflow_id, request_id, name: STEP, value },
            _ => Wish::SignalWithStart { workflow_id, request_id, value },
        }
    }

    /// Asks until there is an answer, mostly.
    async fn insist(&mut self, wish: Wish) {
        for _ in 0..20 {
            let noisy = self.around.stage.is_noisy();
            let vanishes = self.random.percent(self.around.load.client_vanishes_percent) && noisy;
            let within = self.random.millis(0, 100);
            let within = if vanishes { within } else { Duration::from_secs(60) };
            let outcome = self.ask(&wish, within).await;
            let again = matches!(outcome, Outcome::Unknown(_)) && self.random.percent(80);
            if !again {
                return;
            }
            sleep(self.random.millis(0, 1_000)).await;
            self.intent.connect().await;
        }
    }

    async fn ask(&mut self, wish: &Wish, within: Duration) -> Outcome {
        let history = self.around.history.clone();
        let op = history.invoke(self.process, wish.as_call());
        let asked = timeout(within, self.carry_out(wish.clone())).await;
        let outcome = match asked.unwrap_or(Err(Error::Vanished)) {
            Ok(answer) => Outcome::Ok(answer),
            Err(error) => error.outcome(),
        };
        history.settle(op, outcome.clone());
        outcome
    }

    async fn carry_out(&mut self, wish: Wish) -> Result<Answer, Error> {
        match wish {
            Wish::Start { workflow_id, request_id, value, once } => {
                let input = if once {
                    json!({ "id": value, "once": true })
                } else {
                    json!({ "id": value })
                };
                let request = StartWorkflowExecutionRequest {
                    namespace: NAMESPACE.to_owned(),
                    workflow_id,
                    workflow_type: Some(workflow_type()),
                    task_queue: queue(QUEUE),
                    input: payloads(&input),
                    workflow_task_timeout: Some(duration(3_000)),
                    request_id,
                    ..Default::default()
                };
                let asked = self.intent.ask(|mut it| async move {
                    it.start_workflow_execution(Request::new(request)).await
                });
                asked.await.map(|it| Answer::Started { run_id: it.run_id, started: it.started })
            }
            Wish::Signal { workflow_id, request_id, name, value } => {
                let request = SignalWorkflowExecutionRequest {
                    namespace: NAMESPACE.to_owned(),
                    workflow_execution: Some(WorkflowExecution {
                        workflow_id,
                        run_id: String::new(),
                    }),
                    signal_name: name.to_owned(),
                    input: payloads(&json!({ "id": value })),
                    request_id,
                    ..Default::default()
                };
                let asked = self.intent.ask(|mut it| async move {
                    it.signal_workflow_execution(Request::new(request)).await
                });
                asked.await.map(|_| Answer::Done)
            }
            Wish::SignalWithStart { workflow_id, request_id, value } => {
                let request = SignalWithStartWorkflowExecutionRequest {
                    namespace: NAMESPACE.to_owned(),
                    workflow_id,
                    workflow_type: Some(workflow_type()),
                    task_queue: queue(QUEUE),
                    workflow_task_timeout: Some(duration(3_000)),
                    signal_name: STEP.to_owned(),
                    signal_input: payloads(&json!({ "id": value })),
                    request_id,
                    ..Default::default()
                };
                let asked = self.intent.ask(|mut it| async move {
                    it.signal_with_start_workflow_execution(Request::new(request)).await
                });
                asked.await.map(|it| Answer::Started { run_id: it.run_id, started: it.started })
            }
        }
    }

    /// How the current run is: its id and its status. `None`: no answer, or there is none.
    pub async fn describe(&mut self, workflow_id: &str) -> Result<(String, Status), Error> {
        let history = self.around.history.clone();
        let call = Call::Describe { workflow_id: workflow_id.to_owned(), run_id: None };
        let op = history.invoke(self.process, call);
        let request = DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: String::new(),
            }),
        };
        let asked = self.intent.ask(|mut it| async move {
            it.describe_workflow_execution(Request::new(request)).await
        });
        match asked.await {
            Ok(response) => {
                let (answer, run_id, status) = described(&response);
                history.ok(op, answer);
                Ok((run_id, status))
            }
            Err(error) => {
                history.settle(op, error.outcome());
                Err(error)
            }
        }
    }

    /// Reads a run's history; the current one's if none is named.
    pub async fn history(&mut self, workflow_id: &str, run_id: Option<&str>) -> Result<(), Error> {
        let history = self.around.history.clone();
        // Without a run the answer must say which it was, so the run is asked for first.
        let run_id = match run_id {
            Some(run_id) => run_id.to_owned(),
            None => self.describe(workflow_id).await?.0,
        };
        let call =
            Call::History { workflow_id: workflow_id.to_owned(), run_id: Some(run_id.clone()) };
        let op = history.invoke(self.process, call);
        match self.intent.history(workflow_id, &run_id).await {
            Ok(events) => {
                let events = events::all_translated(events::lasting(&events));
                history.ok(op, Answer::History { run_id, events });
                Ok(())
            }
            Err(error) => {
                history.settle(op, error.outcome());
                Err(error)
            }
        }
    }

    /// Asks a workflow to end.
    pub async fn finish(&mut self, workflow_id: &str) {
        self.count += 1;
        let value = u64::from(self.process) * 1_000_000 + self.count;
        let request_id = format!("request-{value}");
        let workflow_id = workflow_id.to_owned();
        let wish = Wish::Signal { workflow_id, request_id, name: FINISH, value };
        self.insist(wish).await;
    }

    /// Finds the node.
    pub async fn connect(&mut self) {
        self.intent.connect().await;
    }
}

impl Wish {
    fn as_call(&self) -> Call {
        match self.clone() {
            Wish::Start { workflow_id, request_id, value, .. } => {
                Call::Start { workflow_id, request_id, value }
            }
            Wish::Signal { workflow_id, request_id, name, value } => {
                Call::Signal { workflow_id, request_id, name: name.to_owned(), value }
            }
            Wish::SignalWithStart { workflow_id, request_id, value } => {
                Call::SignalWithStart { workflow_id, request_id, name: STEP.to_owned(), value }
            }
        }
    }
}

fn described(response: &DescribeWorkflowExecutionResponse) -> (Answer, String, Status) {
    let info = response.workflow_execution_info.clone().unwrap_or_default();
    let run_id = info.execution.map(|it| it.run_id).unwrap_or_default();
    let status = match WorkflowExecutionStatus::try_from(info.status) {
        Ok(WorkflowExecutionStatus::Completed) => Status::Completed,
        Ok(WorkflowExecutionStatus::Failed) => Status::Failed,
        Ok(WorkflowExecutionStatus::Canceled) => Status::Canceled,
        Ok(WorkflowExecutionStatus::Terminated) => Status::Terminated,
        Ok(WorkflowExecutionStatus::ContinuedAsNew) => Status::ContinuedAsNew,
        Ok(WorkflowExecutionStatus::TimedOut) => Status::TimedOut,
        _ => Status::Running,
    };
    let pending = |it: &temporalio_protos::temporal::api::workflow::v1::PendingActivityInfo| {
        checker::PendingActivity {
            activity_id: it.activity_id.clone(),
            attempt: it.attempt.unsigned_abs(),
            next_at_us: None,
        }
    };
    let workflow_task = response.pending_workflow_task.as_ref().map(|it| it.attempt.unsigned_abs());
    let activities = response.pending_activities.iter().map(pending).collect();
    let answer = Answer::Described { run_id: run_id.clone(), status, workflow_task, activities };
    (answer, run_id, status)
}
