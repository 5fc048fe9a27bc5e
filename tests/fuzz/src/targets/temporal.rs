//! Temporal's gRPC: calls of any RPC with any body, one after the other against one machine; and
//! the tokens and deadlines that clients hand back.

use super::block_on;
use crate::Fields;
use prost::Message;
use std::time::Duration;
use temporal::fuzzing::{Session, methods, page_token, timeout};
use temporalio_protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, PollWorkflowTaskQueueRequest, StartWorkflowExecutionRequest,
};
use workflows::fuzzing::seal_task_token;

/// Calls of one input.
const CALLS_MAX: usize = 64;
/// Flags of a call.
const IS_GZIP: u8 = 1;
const ADD_TOKEN: u8 = 2;
const ADD_TOKEN_BEFORE: u8 = 16;
const PASS_SECOND: u8 = 4;
const PASS_HOUR: u8 = 8;
/// Field `task_token` of all requests that have one: number 1, length-delimited.
const TOKEN_KEY: u8 = 0x0a;
/// Flags of a page.
const WAIT: u8 = 1;
const CLOSE_EVENT: u8 = 2;
const IS_TASK_PAGE: u8 = 4;
/// What a worker says with a task's token.
const ANSWERS: [&str; 7] = [
    "RecordActivityTaskHeartbeat",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RespondActivityTaskCompleted",
    "RespondQueryTaskCompleted",
    "RespondWorkflowTaskFailed",
    "RespondWorkflowTaskCompleted",
];

/// For each call: the RPC, flags, and the body. Understood if the last call is not refused as
/// malformed.
pub(crate) fn calls(bytes: &[u8]) -> bool {
    let methods: Vec<&str> = methods().collect();
    let mut fields = Fields(bytes);
    let mut session = Session::default();
    let mut is_understood = false;
    for _ in 0..CALLS_MAX {
        if fields.is_empty() {
            break;
        }
        let method = methods[usize::from(fields.byte()) % methods.len()];
        let flags = fields.byte();
        let mut body = fields.part().to_vec();
        if flags & (ADD_TOKEN | ADD_TOKEN_BEFORE) != 0 {
            let token = session.token(usize::from(flags & ADD_TOKEN_BEFORE != 0));
            body.extend_from_slice(&[TOKEN_KEY, token.len() as u8]);
            body.extend_from_slice(&token);
        }
        let code = block_on(session.call(method, &body, flags & IS_GZIP != 0));
        is_understood = !matches!(code as i32, INVALID_ARGUMENT | INTERNAL | UNIMPLEMENTED);
        if flags & PASS_SECOND != 0 {
            session.pass(Duration::from_secs(1));
        }
        if flags & PASS_HOUR != 0 {
            session.pass(Duration::from_secs(3_600));
        }
    }
    session.check();
    is_understood
}

const INVALID_ARGUMENT: i32 = 3;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;

/// A byte that says which: a page token, a deadline or a task token as they are; or what a page
/// token or a task token says, under a checksum that is right.
pub(crate) fn tokens(bytes: &[u8]) -> bool {
    let Some((kind, token)) = bytes.split_first() else { return false };
    match kind % 5 {
        0 => page_token(token, "default", "w"),
        1 => timeout(token),
        2 => {
            let mut session = Session::default();
            ANSWERS.iter().any(|method| answer(&mut session, method, token))
        }
        3 => page(token),
        _ => task(token),
    }
}

/// Which answer of a worker, and fields of the token: those that come again count, so that each
/// can be another one.
fn task(bytes: &[u8]) -> bool {
    let Some((which, fields)) = bytes.split_first() else { return false };
    let mut session = started();
    let patched = [&session.token(0)[..], fields].concat();
    let Some(sealed) = seal_task_token(&patched) else { return false };
    let is_taken = answer(&mut session, ANSWERS[usize::from(*which) % ANSWERS.len()], &sealed);
    session.pass(Duration::from_secs(3_600));
    session.check();
    is_taken
}

/// Whether it is taken.
fn answer(session: &mut Session, method: &str, token: &[u8]) -> bool {
    let mut body = Vec::new();
    prost::encoding::bytes::encode(1, &token.to_vec(), &mut body);
    block_on(session.call(method, &body, false)) as i32 == 0
}

/// Flags, the page's size, the next event and the end (8 bytes each), and what comes after.
fn page(bytes: &[u8]) -> bool {
    let Some(([flags, size], rest)) = bytes.split_first_chunk::<2>() else { return false };
    let Some((next, rest)) = rest.split_first_chunk::<8>() else { return false };
    let Some((end, transient)) = rest.split_first_chunk::<8>() else { return false };
    let mut session = started();
    let events = (i64::from_le_bytes(*next), i64::from_le_bytes(*end));
    let is_task = flags & IS_TASK_PAGE != 0;
    let request = GetWorkflowExecutionHistoryRequest {
        next_page_token: session.page_token(("default", "w"), is_task, events, transient),
        maximum_page_size: i32::from(*size),
        wait_new_event: flags & WAIT != 0,
        history_event_filter_type: 1 + i32::from(flags & CLOSE_EVENT != 0),
        ..history()
    };
    block_on(session.call("GetWorkflowExecutionHistory", &request.encode_to_vec(), false)) as i32
        == 0
}

/// A workflow that has begun, with a task at a worker.
fn started() -> Session {
    let mut session = Session::default();
    let task_queue = Some(TaskQueue { name: "q".into(), ..TaskQueue::default() });
    let start = StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: "w".into(),
        workflow_type: Some(WorkflowType { name: "W".into() }),
        task_queue: task_queue.clone(),
        request_id: "r".into(),
        ..StartWorkflowExecutionRequest::default()
    };
    let poll = PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue,
        ..PollWorkflowTaskQueueRequest::default()
    };
    block_on(session.call("StartWorkflowExecution", &start.encode_to_vec(), false));
    block_on(session.call("PollWorkflowTaskQueue", &poll.encode_to_vec(), false));
    session
}

fn history() -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
        ..GetWorkflowExecutionHistoryRequest::default()
    }
}
