//! The history of one run: what its clients saw, and a hash of all of it, so that two runs of one
//! seed can be compared line by line.

use crate::clock::Wall;
use checker::{Answer, Call, Line, OpId, Outcome, Recorder, Refusal, Sink};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all clients of a run.
#[derive(Clone)]
pub struct History {
    wall: Wall,
    written: Arc<Mutex<Written>>,
}

struct Written {
    recorder: Recorder,
    hasher: DefaultHasher,
    /// Told as it happens.
    aloud: bool,
}

impl History {
    /// An empty one. `aloud`: every line is printed as it is written.
    pub fn new(wall: Wall, aloud: bool) -> History {
        let written = Written { recorder: Recorder::new(), hasher: DefaultHasher::new(), aloud };
        History { wall, written: Arc::new(Mutex::new(written)) }
    }

    /// A process asks.
    pub fn invoke(&self, process: u32, call: Call) -> OpId {
        let mut written = self.locked();
        let op = written.recorder.by(process).next_op();
        written.put(Line::Invoke { op, at_us: self.wall.now_us(), call });
        op
    }

    /// What became of it.
    pub fn settle(&self, op: OpId, result: Outcome) {
        self.locked().put(Line::Return { op, at_us: self.wall.now_us(), result });
    }

    /// It was done.
    pub fn ok(&self, op: OpId, answer: Answer) {
        self.settle(op, Outcome::Ok(answer));
    }

    /// It was refused, in these words.
    pub fn refused(&self, op: OpId, why: impl ToString) {
        self.settle(op, Outcome::Fail(Refusal::Other(why.to_string())));
    }

    /// Nobody knows.
    pub fn unknown(&self, op: OpId, why: impl ToString) {
        self.settle(op, Outcome::Unknown(why.to_string()));
    }

    /// Any other line.
    pub fn put(&self, line: impl FnOnce(i64) -> Line) {
        let line = line(self.wall.now_us());
        self.locked().put(line);
    }

    /// Something that only this run's trace needs to know: what the node did, not what a client
    /// saw.
    pub fn trace(&self, what: std::fmt::Arguments<'_>) {
        let mut written = self.locked();
        let text = format!("{} {what}", self.wall.now_us());
        text.hash(&mut written.hasher);
        if written.aloud {
            tracing::info!("{text}");
        }
    }

    /// The wall clock's time.
    pub fn now_us(&self) -> i64 {
        self.wall.now_us()
    }

    /// The hash of all that was written.
    pub fn hash(&self) -> u64 {
        self.locked().hasher.finish()
    }

    /// Everything that was written.
    pub fn lines(&self) -> Vec<Line> {
        self.locked().recorder.lines().to_vec()
    }

    fn locked(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn put(&mut self, line: Line) {
        let text = format!("{line:?}");
        text.hash(&mut self.hasher);
        if self.aloud {
            tracing::info!("{text}");
        }
        let Ok(()) = self.recorder.put(line);
    }
}
