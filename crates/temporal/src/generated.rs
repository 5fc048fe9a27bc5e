//! What `build.rs` generates: the server side of `WorkflowService` and the twins of the responses
//! that carry a history.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/generated.rs"));
