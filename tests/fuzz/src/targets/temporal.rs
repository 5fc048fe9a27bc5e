//! Temporal's gRPC: calls of any RPC with any body, one after the other against one machine; and
//! the tokens and deadlines that clients hand back.

use super::block_on;
use crate::Fields;
use std::time::Duration;
use temporal::fuzzing::{Session, methods, page_token, timeout};

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

/// A byte that says which: a page token, a deadline, or a task token.
pub(crate) fn tokens(bytes: &[u8]) -> bool {
    let Some((kind, token)) = bytes.split_first() else { return false };
    match kind % 3 {
        0 => page_token(token, "default", "w"),
        1 => timeout(token),
        _ => {
            let mut body = Vec::new();
            prost::encoding::bytes::encode(1, &token.to_vec(), &mut body);
            let mut session = Session::default();
            let call = |session: &mut Session, method| block_on(session.call(method, &body, false));
            call(&mut session, "RespondWorkflowTaskCompleted");
            call(&mut session, "RespondQueryTaskCompleted");
            call(&mut session, "RespondActivityTaskCompleted") as i32 != INVALID_ARGUMENT
        }
    }
}
