//! The requests of a script's lines.

use crate::command::{application, normal, parse, policy, sticky};
use crate::script::Script;
use crate::words::{Words, payloads, span, stranger};
use base::RunId;
use std::collections::HashMap;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::query::v1 as query;
use temporalio_protos::temporal::api::taskqueue::v1::StickyExecutionAttributes;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use workflows::{Ask, HistoryAsk, Limits, TaskToken};

impl Script {
    pub(crate) fn ask_of(&self, name: &str, words: &Words<'_>, commands: &str) -> Ask {
        match name {
            "start" => Ask::StartWorkflowExecution(Box::new(start(words))),
            "signal" => Ask::SignalWorkflowExecution(Box::new(self.signal(words))),
            "signal-with-start" => {
                Ask::SignalWithStartWorkflowExecution(Box::new(signal_with_start(words)))
            }
            "cancel" | "terminate" => self.end(name, words),
            "poll" | "poll-activity" | "poll-publish" => poll(name, words),
            "complete" => {
                Ask::RespondWorkflowTaskCompleted(Box::new(self.complete(words, commands)))
            }
            "fail-task" => self.fail_task(words),
            "query" => self.query(words),
            "answer" => self.query_answer(words),
            "undelivered" => Ask::Undelivered(TaskToken(self.token(words.word(1)).into())),
            "shutdown" => Ask::ShutdownWorker(Box::new(service::ShutdownWorkerRequest {
                namespace: words.text("namespace", "default"),
                sticky_task_queue: words.text("sticky", ""),
                task_queue: words.text("queue", ""),
                worker_instance_key: words.text("key", ""),
                ..Default::default()
            })),
            "reset-sticky" => {
                Ask::ResetStickyTaskQueue(Box::new(service::ResetStickyTaskQueueRequest {
                    namespace: words.text("namespace", "default"),
                    execution: Some(self.execution(words)),
                }))
            }
            "register" | "namespace" | "namespaces" => namespaces(name, words),
            _ => self.activity_answer(name, words),
        }
    }

    fn activity_answer(&self, name: &str, words: &Words<'_>) -> Ask {
        let task_token = self.token(words.word(1));
        let identity = words.word(1).to_owned();
        match name {
            "act-complete" => Ask::RespondActivityTaskCompleted(Box::new(
                service::RespondActivityTaskCompletedRequest {
                    task_token,
                    identity,
                    namespace: words.text("namespace", ""),
                    result: words.payloads("result"),
                    ..Default::default()
                },
            )),
            "act-fail" => Ask::RespondActivityTaskFailed(Box::new(
                service::RespondActivityTaskFailedRequest {
                    task_token,
                    identity,
                    namespace: words.text("namespace", ""),
                    failure: Some(application(words)),
                    last_heartbeat_details: words.payloads("details"),
                    ..Default::default()
                },
            )),
            "act-cancel" => Ask::RespondActivityTaskCanceled(Box::new(
                service::RespondActivityTaskCanceledRequest {
                    task_token,
                    identity,
                    namespace: words.text("namespace", ""),
                    details: words.payloads("details"),
                    ..Default::default()
                },
            )),
            "heartbeat" => Ask::RecordActivityTaskHeartbeat(Box::new(
                service::RecordActivityTaskHeartbeatRequest {
                    task_token,
                    identity,
                    namespace: words.text("namespace", ""),
                    details: words.payloads("details"),
                    ..Default::default()
                },
            )),
            other => panic!("unknown command {other}"),
        }
    }

    pub(crate) fn token(&self, name: &str) -> Vec<u8> {
        self.tokens.get(name).cloned().unwrap_or_else(|| panic!("{name} has no task"))
    }

    /// `run=2` names a run of the workflow; `run=?` one that does not exist.
    fn run_id(&self, workflow_id: &str, number: Option<&str>) -> String {
        match number {
            None => String::new(),
            Some("?") => stranger().to_string(),
            Some(number) => {
                let name = format!("{workflow_id}#{number}");
                let found = self.runs.iter().find(|(_, known)| *known == name);
                found.unwrap_or_else(|| panic!("no run {name}")).0.to_string()
            }
        }
    }

    pub(crate) fn execution(&self, words: &Words<'_>) -> common::WorkflowExecution {
        let run_id = self.run_id(words.word(1), words.key("run"));
        common::WorkflowExecution { workflow_id: words.word(1).to_owned(), run_id }
    }

    fn signal(&self, words: &Words<'_>) -> service::SignalWorkflowExecutionRequest {
        service::SignalWorkflowExecutionRequest {
            namespace: words.text("namespace", "default"),
            workflow_execution: Some(self.execution(words)),
            signal_name: words.word(2).to_owned(),
            input: words.payloads("input"),
            request_id: words.text("request", ""),
            ..Default::default()
        }
    }

    fn end(&self, name: &str, words: &Words<'_>) -> Ask {
        let namespace = words.text("namespace", "default");
        let workflow_execution = Some(self.execution(words));
        let first_execution_run_id = self.run_id(words.word(1), words.key("first"));
        let reason = words.text("reason", "");
        if name == "cancel" {
            let request = service::RequestCancelWorkflowExecutionRequest {
                namespace,
                workflow_execution,
                first_execution_run_id,
                reason,
                ..Default::default()
            };
            Ask::RequestCancelWorkflowExecution(Box::new(request))
        } else {
            let request = service::TerminateWorkflowExecutionRequest {
                namespace,
                workflow_execution,
                first_execution_run_id,
                reason,
                ..Default::default()
            };
            Ask::TerminateWorkflowExecution(Box::new(request))
        }
    }

    fn complete(
        &self,
        words: &Words<'_>,
        commands: &str,
    ) -> service::RespondWorkflowTaskCompletedRequest {
        let sticky_attributes = words.key("sticky").map(|name| StickyExecutionAttributes {
            worker_task_queue: Some(sticky(name, "q")),
            schedule_to_start_timeout: Some(crate::words::proto_duration(span("5s"))),
        });
        let mut query_results = HashMap::new();
        if let Some((kind, value)) = words.key("answer").and_then(|text| text.split_once(':')) {
            let result = query::WorkflowQueryResult {
                result_type: enums::QueryResultType::Answered as i32,
                answer: Some(payloads(value)),
                ..Default::default()
            };
            let id = self.attached.get(kind).cloned().unwrap_or_else(|| stranger().to_string());
            query_results.insert(id, result);
        }
        let texts = commands.split(';').map(str::trim).filter(|text| !text.is_empty());
        let messages = if words.flag("message") { vec![Default::default()] } else { Vec::new() };
        service::RespondWorkflowTaskCompletedRequest {
            task_token: self.token(words.word(1)),
            identity: words.word(1).to_owned(),
            namespace: words.text("namespace", ""),
            commands: texts.map(parse).collect(),
            sticky_attributes,
            return_new_workflow_task: words.flag("new"),
            force_create_new_workflow_task: words.flag("force"),
            query_results,
            messages,
            ..Default::default()
        }
    }

    fn fail_task(&self, words: &Words<'_>) -> Ask {
        let cause = words.text("cause", "WORKFLOW_WORKER_UNHANDLED_FAILURE");
        let cause = format!("WORKFLOW_TASK_FAILED_CAUSE_{cause}");
        let cause = enums::WorkflowTaskFailedCause::from_str_name(&cause).expect("a cause");
        Ask::RespondWorkflowTaskFailed(Box::new(service::RespondWorkflowTaskFailedRequest {
            task_token: self.token(words.word(1)),
            identity: words.word(1).to_owned(),
            namespace: words.text("namespace", ""),
            cause: cause as i32,
            failure: Some(application(words)),
            ..Default::default()
        }))
    }

    fn query(&self, words: &Words<'_>) -> Ask {
        let run_id = self.run_id(words.word(2), words.key("run"));
        let condition = match words.key("reject") {
            Some("not-open") => enums::QueryRejectCondition::NotOpen,
            Some("not-clean") => enums::QueryRejectCondition::NotCompletedCleanly,
            _ => enums::QueryRejectCondition::None,
        };
        Ask::QueryWorkflow(Box::new(service::QueryWorkflowRequest {
            namespace: words.text("namespace", "default"),
            execution: Some(common::WorkflowExecution {
                workflow_id: words.word(2).to_owned(),
                run_id,
            }),
            query: Some(query::WorkflowQuery {
                query_type: words.word(3).to_owned(),
                ..Default::default()
            }),
            query_reject_condition: condition as i32,
        }))
    }

    fn query_answer(&self, words: &Words<'_>) -> Ask {
        let kind = match words.key("failed") {
            Some(_) => enums::QueryResultType::Failed,
            None => enums::QueryResultType::Answered,
        };
        Ask::RespondQueryTaskCompleted(Box::new(service::RespondQueryTaskCompletedRequest {
            task_token: self.token(words.word(1)),
            namespace: words.text("namespace", ""),
            completed_type: kind as i32,
            query_result: words.payloads("result"),
            error_message: words.text("failed", ""),
            ..Default::default()
        }))
    }

    pub(crate) fn history_ask(&self, words: &Words<'_>) -> Ask {
        let run_id = self.run_id(words.word(1), words.key("run"));
        let close = words.flag("close");
        Ask::GetWorkflowExecutionHistory(Box::new(HistoryAsk {
            namespace: words.text("namespace", "default"),
            workflow_id: words.word(1).to_owned(),
            run_id: run_id.parse().ok().map(RunId),
            wait_for_event: words
                .key("wait")
                .map(|n| n.parse().expect("an event id"))
                .or(close.then_some(1)),
            wait_for_close: close,
            include_transient: words.flag("transient"),
        }))
    }
}

pub(crate) fn limits(words: &Words<'_>) -> Limits {
    let default = Limits::default();
    Limits {
        buffered_events_count: words.number("buffered", default.buffered_events_count),
        signals_per_run_count: words.number("signals", default.signals_per_run_count),
        pending_activities_count: words.number("activities", default.pending_activities_count),
        buffered_bytes: words.number("buffered-bytes", default.buffered_bytes),
        shutdown_tasks_count: words.number("shutdown", default.shutdown_tasks_count),
        expired_bytes: words.number("expired-bytes", default.expired_bytes),
        history_event_count: words.number("events", default.history_event_count),
        history_bytes: words.number("history-bytes", default.history_bytes),
        suggest_continue_as_new_event_count: words
            .number("suggest", default.suggest_continue_as_new_event_count),
        request_ids_count: words.number("requests", default.request_ids_count),
        buffered_queries_count: words.number("queries", default.buffered_queries_count),
        ..default
    }
}

pub(crate) fn start(words: &Words<'_>) -> service::StartWorkflowExecutionRequest {
    let reuse = words.key("reuse").map(|policy| {
        let name = format!("WORKFLOW_ID_REUSE_POLICY_{policy}");
        enums::WorkflowIdReusePolicy::from_str_name(&name).expect("a reuse policy")
    });
    let conflict = words.key("conflict").map(|policy| {
        let name = format!("WORKFLOW_ID_CONFLICT_POLICY_{policy}");
        enums::WorkflowIdConflictPolicy::from_str_name(&name).expect("a conflict policy")
    });
    service::StartWorkflowExecutionRequest {
        namespace: words.text("namespace", "default"),
        workflow_id: words.word(1).to_owned(),
        workflow_type: Some(common::WorkflowType { name: words.text("type", "T") }),
        task_queue: Some(normal(words.key("queue").unwrap_or("q"))),
        input: words.payloads("input"),
        workflow_execution_timeout: words.duration("execution-timeout"),
        workflow_run_timeout: words.duration("run-timeout"),
        workflow_task_timeout: words.duration("task-timeout"),
        identity: words.text("as", "starter"),
        request_id: words.text("request", ""),
        workflow_id_reuse_policy: reuse.map_or(0, |policy| policy as i32),
        workflow_id_conflict_policy: conflict.map_or(0, |policy| policy as i32),
        retry_policy: policy(words),
        cron_schedule: words.text("cron", ""),
        memo: words.key("memo").map(|key| common::Memo {
            fields: [(key.to_owned(), crate::words::payload("1"))].into(),
        }),
        request_eager_execution: words.flag("eager"),
        workflow_start_delay: words.duration("delay"),
        ..Default::default()
    }
}

pub(crate) fn signal_with_start(
    words: &Words<'_>,
) -> service::SignalWithStartWorkflowExecutionRequest {
    let start = start(words);
    service::SignalWithStartWorkflowExecutionRequest {
        namespace: start.namespace,
        workflow_id: start.workflow_id,
        workflow_type: start.workflow_type,
        task_queue: start.task_queue,
        request_id: start.request_id,
        workflow_id_reuse_policy: start.workflow_id_reuse_policy,
        workflow_id_conflict_policy: start.workflow_id_conflict_policy,
        signal_name: words.word(2).to_owned(),
        signal_input: words.payloads("input"),
        workflow_start_delay: start.workflow_start_delay,
        cron_schedule: start.cron_schedule,
        ..Default::default()
    }
}

pub(crate) fn poll(name: &str, words: &Words<'_>) -> Ask {
    let namespace = words.text("namespace", "default");
    let identity = words.word(1).to_owned();
    let queue = words.key("queue").unwrap_or("q");
    match name {
        "poll-publish" => Ask::PollPublish,
        "poll-activity" => {
            Ask::PollActivityTaskQueue(Box::new(service::PollActivityTaskQueueRequest {
                namespace,
                identity,
                task_queue: Some(normal(queue)),
                worker_instance_key: words.text("key", ""),
                ..Default::default()
            }))
        }
        _ => Ask::PollWorkflowTaskQueue(Box::new(service::PollWorkflowTaskQueueRequest {
            namespace,
            identity,
            task_queue: Some(match words.key("sticky") {
                Some(name) => sticky(name, queue),
                None => normal(queue),
            }),
            worker_instance_key: words.text("key", ""),
            ..Default::default()
        })),
    }
}

fn namespaces(name: &str, words: &Words<'_>) -> Ask {
    match name {
        "register" => Ask::RegisterNamespace(Box::new(service::RegisterNamespaceRequest {
            namespace: words.word(1).to_owned(),
            workflow_execution_retention_period: words.duration("retention"),
            is_global_namespace: words.flag("global"),
            ..Default::default()
        })),
        "namespace" => Ask::DescribeNamespace(Box::new(service::DescribeNamespaceRequest {
            namespace: words.word(1).to_owned(),
            id: words.text("id", ""),
            ..Default::default()
        })),
        _ => Ask::ListNamespaces(Box::new(service::ListNamespacesRequest {
            page_size: words.number("size", 0),
            next_page_token: words.text("after", "").into_bytes(),
            ..Default::default()
        })),
    }
}
