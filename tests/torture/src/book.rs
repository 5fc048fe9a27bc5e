//! One process's history: every request is written before it is made, and what became of it as soon
//! as it is known. A process that cannot write its history ends at once: what is not noted must not
//! happen.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use checker::{Call, Line, OpId, Outcome, Sink, Writer};

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Book(Mutex<Writer>);

impl Book {
    /// Opens the history of the process with this number in `directory`.
    pub(crate) fn create(directory: &Path, process: u32) -> Result<Book> {
        let path = directory.join(format!("{process:05}.jsonl"));
        Ok(Book(Mutex::new(Writer::create(path, process).context("a history")?)))
    }

    /// A request is about to be made.
    pub(crate) fn invoke(&self, call: Call) -> OpId {
        self.write(|writer| writer.invoke(now_us(), call))
    }

    /// What became of it.
    pub(crate) fn settle(&self, op: OpId, result: Outcome) {
        self.write(|writer| writer.settle(op, now_us(), result));
    }

    /// Anything else.
    pub(crate) fn put(&self, line: Line) {
        self.write(|writer| writer.put(line));
    }

    fn write<T>(&self, what: impl FnOnce(&mut Writer) -> Result<T, checker::Error>) -> T {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut writer).unwrap_or_else(|error| {
            crate::cli::say(&format!("torture: cannot write the history: {error}\n"));
            std::process::exit(3)
        })
    }
}

/// The wall clock of this machine, which the node's event times come from too.
#[expect(clippy::disallowed_methods, reason = "histories are in wall clock time")]
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}
