//! The targets, by what they read.

pub(crate) mod batches;
pub(crate) mod config;
pub(crate) mod journal;
pub(crate) mod kafka;
pub(crate) mod routes;
pub(crate) mod temporal;

use std::future::Future;

/// Runs what needs a runtime on one of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O can always be built").block_on(future)
}
