//! What both writers of a history can do, and the one that keeps it in memory.

use crate::{Call, Line, OpId, Outcome};

/// Takes lines of a history. One of these belongs to one process.
pub trait Sink {
    /// What can go wrong.
    type Error;

    /// Writes one line.
    fn put(&mut self, line: Line) -> Result<(), Self::Error>;

    /// A name for the next request of this process.
    fn next_op(&mut self) -> OpId;

    /// Writes that a request is about to be made; gives its name.
    fn invoke(&mut self, at_us: i64, call: Call) -> Result<OpId, Self::Error> {
        let op = self.next_op();
        self.put(Line::Invoke { op, at_us, call })?;
        Ok(op)
    }

    /// Writes what became of it.
    fn settle(&mut self, op: OpId, at_us: i64, result: Outcome) -> Result<(), Self::Error> {
        self.put(Line::Return { op, at_us, result })
    }
}

/// Keeps a history in memory, for all processes of a simulation.
#[derive(Debug, Default)]
pub struct Recorder {
    lines: Vec<Line>,
    process: u32,
    numbers: std::collections::HashMap<u32, u32>,
}

impl Recorder {
    /// An empty history.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// The process that the next requests are made by.
    pub fn by(&mut self, process: u32) -> &mut Recorder {
        self.process = process;
        self
    }

    /// What was written so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Gives the history away.
    pub fn into_lines(self) -> Vec<Line> {
        self.lines
    }
}

impl Sink for Recorder {
    type Error = std::convert::Infallible;

    fn put(&mut self, line: Line) -> Result<(), Self::Error> {
        self.lines.push(line);
        Ok(())
    }

    fn next_op(&mut self) -> OpId {
        let number = self.numbers.entry(self.process).or_default();
        *number += 1;
        OpId(self.process, *number)
    }
}
