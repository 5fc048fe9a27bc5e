//! Calls: one of each RPC, and lives of workflows as SDKs lead them.

use super::keep;
use anyhow::Context;
use fuzz_targets::Fields;
use prost::Message;
use std::io::Write;
use temporal::fuzzing::methods;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::command::v1::{self as command, Command};
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::CommandType;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::*;

const GZIP: u8 = 1;
const TOKEN: u8 = 2;
const TOKEN_BEFORE: u8 = 16;
const SECOND: u8 = 4;
const HOUR: u8 = 8;

pub(super) fn record() -> anyhow::Result<()> {
    let mut calls = Calls::default();
    one_of_each()?;
    calls.start()?.poll()?;
    calls.complete(vec![activity("1"), timer("t")])?.call(
        "PollActivityTaskQueue",
        0,
        &poll_activity(),
    )?;
    let activity_done = RespondActivityTaskCompletedRequest {
        namespace: namespace(),
        result: payloads(),
        ..Default::default()
    };
    calls.call("RecordActivityTaskHeartbeat", TOKEN, &heartbeat())?;
    calls.call("RespondActivityTaskCompleted", TOKEN | SECOND, &activity_done)?;
    calls.signal()?.poll()?.complete(vec![done()])?;
    calls.call("GetWorkflowExecutionHistory", HOUR, &history())?;
    calls.keep("life")?;
    calls.start()?.poll()?.complete(vec![timer("t"), activity("1")])?;
    calls.call("SignalWorkflowExecution", HOUR, &signal())?;
    calls.poll()?.call("RespondWorkflowTaskFailed", TOKEN | SECOND, &task_failed())?;
    calls.poll()?.complete(vec![again()])?.poll()?.complete(vec![failed()])?;
    calls.keep("timeouts")?;
    calls.start()?.poll()?.complete(vec![activity("1"), timer("t")])?;
    calls.call("PollActivityTaskQueue", 0, &poll_activity())?;
    calls.call("RespondActivityTaskFailed", TOKEN | SECOND, &activity_failed())?;
    calls.call("RequestCancelWorkflowExecution", 0, &cancel())?;
    calls.poll()?.complete(vec![cancel_timer(), cancel_activity(), canceled()])?;
    calls.keep("cancel")?;
    bombs()
}

/// Input under construction.
#[derive(Default)]
struct Calls(Vec<u8>);

impl Calls {
    fn call<Q: Message>(
        &mut self,
        method: &str,
        flags: u8,
        request: &Q,
    ) -> anyhow::Result<&mut Calls> {
        self.raw(method, flags, &request.encode_to_vec())
    }

    fn raw(&mut self, method: &str, flags: u8, body: &[u8]) -> anyhow::Result<&mut Calls> {
        let index = methods().position(|it| it == method).context("no such RPC")?;
        self.0.extend_from_slice(&[u8::try_from(index)?, flags]);
        Fields::push(&mut self.0, body);
        Ok(self)
    }

    fn start(&mut self) -> anyhow::Result<&mut Calls> {
        self.call("StartWorkflowExecution", 0, &start())
    }

    fn poll(&mut self) -> anyhow::Result<&mut Calls> {
        let poll = PollWorkflowTaskQueueRequest {
            namespace: namespace(),
            task_queue: queue(),
            ..Default::default()
        };
        self.call("PollWorkflowTaskQueue", 0, &poll)
    }

    fn signal(&mut self) -> anyhow::Result<&mut Calls> {
        self.call("SignalWorkflowExecution", 0, &signal())
    }

    fn complete(&mut self, commands: Vec<Command>) -> anyhow::Result<&mut Calls> {
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: namespace(),
            commands,
            ..Default::default()
        };
        self.call("RespondWorkflowTaskCompleted", TOKEN, &request)
    }

    fn keep(&mut self, name: &str) -> anyhow::Result<()> {
        keep("temporal-calls", name, &std::mem::take(&mut self.0))
    }
}

/// Each RPC that is served, in its place: on a workflow that runs, with a task that is started.
fn one_of_each() -> anyhow::Result<()> {
    for method in methods() {
        let mut calls = Calls::default();
        calls.start()?.poll()?;
        if method.contains("Activity") {
            calls.complete(vec![activity("1")])?;
            if method != "PollActivityTaskQueue" {
                calls.call("PollActivityTaskQueue", 0, &poll_activity())?;
            }
        }
        if method == "RespondQueryTaskCompleted" {
            calls.complete(vec![])?.call("QueryWorkflow", 0, &query())?.poll()?;
        }
        if method == "RespondActivityTaskCanceled" {
            calls.call("RequestCancelWorkflowExecution", 0, &cancel())?.poll()?;
            calls.complete(vec![cancel_activity()])?;
        }
        let flags = match method {
            "RespondActivityTaskCanceled" => TOKEN_BEFORE,
            _ if method.starts_with("Respond") || method.starts_with("Record") => TOKEN,
            _ => 0,
        };
        calls.raw(method, flags, &body_of(method))?.keep(method)?;
    }
    Ok(())
}

fn body_of(method: &str) -> Vec<u8> {
    match method {
        "StartWorkflowExecution" => {
            let other = StartWorkflowExecutionRequest { workflow_id: "other".into(), ..start() };
            other.encode_to_vec()
        }
        "SignalWithStartWorkflowExecution" => signal_with_start().encode_to_vec(),
        "SignalWorkflowExecution" => signal().encode_to_vec(),
        "GetWorkflowExecutionHistory" => history().encode_to_vec(),
        "QueryWorkflow" => query().encode_to_vec(),
        "PollActivityTaskQueue" => poll_activity().encode_to_vec(),
        "RequestCancelWorkflowExecution" => cancel().encode_to_vec(),
        "TerminateWorkflowExecution" => {
            let execution = execution();
            let request = TerminateWorkflowExecutionRequest {
                namespace: namespace(),
                workflow_execution: execution,
                details: payloads(),
                ..Default::default()
            };
            request.encode_to_vec()
        }
        "DescribeWorkflowExecution" | "ResetStickyTaskQueue" => {
            let request =
                DescribeWorkflowExecutionRequest { namespace: namespace(), execution: execution() };
            request.encode_to_vec()
        }
        "RegisterNamespace" => RegisterNamespaceRequest {
            namespace: "new".into(),
            workflow_execution_retention_period: seconds(86_400),
            ..Default::default()
        }
        .encode_to_vec(),
        "PollWorkflowTaskQueue" => PollWorkflowTaskQueueRequest {
            namespace: namespace(),
            task_queue: queue(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ShutdownWorker" => ShutdownWorkerRequest {
            namespace: namespace(),
            sticky_task_queue: "sticky".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        "RespondWorkflowTaskFailed" => task_failed().encode_to_vec(),
        "RespondActivityTaskFailed" => activity_failed().encode_to_vec(),
        "RecordActivityTaskHeartbeat" => heartbeat().encode_to_vec(),
        "RespondActivityTaskCanceled" => RespondActivityTaskCanceledRequest {
            namespace: namespace(),
            details: payloads(),
            ..Default::default()
        }
        .encode_to_vec(),
        "RespondQueryTaskCompleted" => RespondQueryTaskCompletedRequest {
            namespace: namespace(),
            completed_type: 1,
            query_result: payloads(),
            ..Default::default()
        }
        .encode_to_vec(),
        // The namespace is the first field of the two that describe one, the second elsewhere.
        "DescribeNamespace" => {
            DescribeNamespaceRequest { namespace: namespace(), ..Default::default() }
                .encode_to_vec()
        }
        _ => Vec::new(),
    }
}

/// Few bytes that become many: compressed, and as elements.
fn bombs() -> anyhow::Result<()> {
    let mut calls = Calls::default();
    for (name, unit, count) in [
        ("zeros", &[0u8][..], 4 << 20),
        ("commands", &[0x12, 0], 19_999),
        ("commands-too-many", &[0x12, 0], 1 << 20),
        ("payloads", &[0x2a, 2, 0x0a, 0], 900_000),
        ("failures", &[0x1a, 2, 0x22, 0], 900_000),
    ] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&unit.repeat(count))?;
        let body = gzip.finish()?;
        for method in
            ["RespondWorkflowTaskCompleted", "StartWorkflowExecution", "RespondWorkflowTaskFailed"]
        {
            calls.raw(method, GZIP, &body)?.keep(&format!("bomb-{name}-{method}"))?;
        }
    }
    // `input` of a start, filled with empty payloads as far as elements may go; and causes of
    // causes of a failure.
    let input = common::Payloads { payloads: vec![common::Payload::default(); 32_000] };
    let large = StartWorkflowExecutionRequest { input: Some(input), ..start() };
    calls.call("StartWorkflowExecution", 0, &large)?.poll()?.keep("many-payloads")?;
    let mut failure = Failure::default();
    for _ in 0..95 {
        failure = Failure { cause: Some(Box::new(failure)), ..Failure::default() };
    }
    let request = RespondWorkflowTaskFailedRequest { failure: Some(failure), ..task_failed() };
    calls.start()?.poll()?.call("RespondWorkflowTaskFailed", TOKEN, &request)?.keep("deep-failure")
}

fn namespace() -> String {
    "default".to_owned()
}

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: "q".into(), kind: 1, ..Default::default() })
}

fn execution() -> Option<common::WorkflowExecution> {
    Some(common::WorkflowExecution { workflow_id: "w".into(), run_id: String::new() })
}

fn payloads() -> Option<common::Payloads> {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    let payload = common::Payload { metadata, data: b"{\"a\":1}".to_vec(), ..Default::default() };
    Some(common::Payloads { payloads: vec![payload] })
}

fn start() -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_id: "w".into(),
        workflow_type: Some(common::WorkflowType { name: "W".into() }),
        task_queue: queue(),
        input: payloads(),
        request_id: "r".into(),
        retry_policy: Some(common::RetryPolicy { maximum_attempts: 3, ..Default::default() }),
        ..Default::default()
    }
}

fn signal_with_start() -> SignalWithStartWorkflowExecutionRequest {
    SignalWithStartWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_id: "w2".into(),
        workflow_type: Some(common::WorkflowType { name: "W".into() }),
        task_queue: queue(),
        signal_name: "s".into(),
        signal_input: payloads(),
        ..Default::default()
    }
}

fn signal() -> SignalWorkflowExecutionRequest {
    SignalWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: execution(),
        signal_name: "s".into(),
        input: payloads(),
        ..Default::default()
    }
}

fn cancel() -> RequestCancelWorkflowExecutionRequest {
    RequestCancelWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: execution(),
        ..Default::default()
    }
}

fn history() -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: namespace(),
        execution: execution(),
        maximum_page_size: 2,
        ..Default::default()
    }
}

fn query() -> QueryWorkflowRequest {
    QueryWorkflowRequest {
        namespace: namespace(),
        execution: execution(),
        query: Some(WorkflowQuery { query_type: "state".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn poll_activity() -> PollActivityTaskQueueRequest {
    PollActivityTaskQueueRequest {
        namespace: namespace(),
        task_queue: queue(),
        ..Default::default()
    }
}

fn heartbeat() -> RecordActivityTaskHeartbeatRequest {
    RecordActivityTaskHeartbeatRequest {
        namespace: namespace(),
        details: payloads(),
        ..Default::default()
    }
}

fn task_failed() -> RespondWorkflowTaskFailedRequest {
    RespondWorkflowTaskFailedRequest {
        namespace: namespace(),
        cause: 1,
        failure: Some(Failure { message: "m".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn activity_failed() -> RespondActivityTaskFailedRequest {
    RespondActivityTaskFailedRequest {
        namespace: namespace(),
        failure: Some(Failure { message: "m".into(), ..Default::default() }),
        last_heartbeat_details: payloads(),
        ..Default::default()
    }
}

fn do_it(kind: CommandType, attributes: Do) -> Command {
    Command { command_type: kind.into(), attributes: Some(attributes), ..Default::default() }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn activity(id: &str) -> Command {
    let attributes = command::ScheduleActivityTaskCommandAttributes {
        activity_id: id.into(),
        activity_type: Some(common::ActivityType { name: "A".into() }),
        task_queue: queue(),
        input: payloads(),
        start_to_close_timeout: seconds(10),
        heartbeat_timeout: seconds(5),
        ..Default::default()
    };
    do_it(CommandType::ScheduleActivityTask, Do::ScheduleActivityTaskCommandAttributes(attributes))
}

fn timer(id: &str) -> Command {
    let attributes = command::StartTimerCommandAttributes {
        timer_id: id.into(),
        start_to_fire_timeout: seconds(60),
    };
    do_it(CommandType::StartTimer, Do::StartTimerCommandAttributes(attributes))
}

fn cancel_timer() -> Command {
    let attributes = command::CancelTimerCommandAttributes { timer_id: "t".into() };
    do_it(CommandType::CancelTimer, Do::CancelTimerCommandAttributes(attributes))
}

fn cancel_activity() -> Command {
    let attributes = command::RequestCancelActivityTaskCommandAttributes { scheduled_event_id: 5 };
    let attributes = Do::RequestCancelActivityTaskCommandAttributes(attributes);
    do_it(CommandType::RequestCancelActivityTask, attributes)
}

fn canceled() -> Command {
    let attributes = Do::CancelWorkflowExecutionCommandAttributes(Default::default());
    do_it(CommandType::CancelWorkflowExecution, attributes)
}

fn done() -> Command {
    let attributes = command::CompleteWorkflowExecutionCommandAttributes { result: payloads() };
    let attributes = Do::CompleteWorkflowExecutionCommandAttributes(attributes);
    do_it(CommandType::CompleteWorkflowExecution, attributes)
}

fn failed() -> Command {
    let failure = Some(Failure { message: "m".into(), ..Default::default() });
    let attributes = command::FailWorkflowExecutionCommandAttributes { failure };
    let attributes = Do::FailWorkflowExecutionCommandAttributes(attributes);
    do_it(CommandType::FailWorkflowExecution, attributes)
}

fn again() -> Command {
    let attributes = command::ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(common::WorkflowType { name: "W".into() }),
        task_queue: queue(),
        input: payloads(),
        ..Default::default()
    };
    let attributes = Do::ContinueAsNewWorkflowExecutionCommandAttributes(attributes);
    do_it(CommandType::ContinueAsNewWorkflowExecution, attributes)
}
