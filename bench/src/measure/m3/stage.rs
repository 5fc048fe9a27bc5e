//! When a request was where, on its way from its caller and back.

use super::super::quantiles::Quantiles;
use anyhow::Result;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The way of one request. What a mechanism has no thread for happens at the same instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) asked: Instant,
    /// The writer had it; unknown of the node, whose way to the committer is not told apart.
    pub(crate) with_writer: Option<Instant>,
    pub(crate) write_begin: Instant,
    pub(crate) sync_begin: Instant,
    pub(crate) sync_end: Instant,
    pub(crate) answered: Instant,
}

impl Marks {
    /// Nothing has happened since it was asked.
    pub(crate) fn asked_now() -> Marks {
        let asked = Instant::now();
        Marks {
            asked,
            with_writer: Some(asked),
            write_begin: asked,
            sync_begin: asked,
            sync_end: asked,
            answered: asked,
        }
    }

    /// A write and a sync, and nobody who waits for it.
    pub(crate) fn bare(file: &File, group: &[u8], position: u64) -> Result<Marks> {
        let mut marks = Marks::asked_now();
        marks.write(file, group, position)?;
        marks.answered = marks.sync_end;
        Ok(marks)
    }

    /// Writes and syncs, and notes when.
    pub(crate) fn write(&mut self, file: &File, group: &[u8], position: u64) -> Result<()> {
        self.write_begin = Instant::now();
        file.write_all_at(group, position)?;
        self.sync_begin = Instant::now();
        file.sync_data()?;
        self.sync_end = Instant::now();
        Ok(())
    }

    /// From the ask to the answer.
    pub(crate) fn whole(&self) -> Duration {
        self.answered - self.asked
    }
}

/// How long requests were on each part of their way.
pub(crate) struct Stages([Quantiles; 5]);

impl Stages {
    /// Of no request yet.
    pub(crate) fn new() -> Result<Stages> {
        let none = Quantiles::new()?;
        Ok(Stages([none.clone(), none.clone(), none.clone(), none.clone(), none]))
    }

    /// Adds one request.
    pub(crate) fn add(&mut self, marks: &Marks) {
        let [writer, committer, write, sync, caller] = &mut self.0;
        if let Some(with_writer) = marks.with_writer {
            writer.add(with_writer.saturating_duration_since(marks.asked));
        }
        let before = marks.with_writer.unwrap_or(marks.asked);
        committer.add(marks.write_begin.saturating_duration_since(before));
        write.add(marks.sync_begin - marks.write_begin);
        sync.add(marks.sync_end - marks.sync_begin);
        caller.add(marks.answered.saturating_duration_since(marks.sync_end));
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Stages) -> Result<()> {
        self.0.iter_mut().zip(&other.0).try_for_each(|(own, other)| own.merge(other))
    }

    /// The median of each part, in microseconds.
    pub(crate) fn medians_us(&self) -> [String; 5] {
        let median = |part: &Quantiles| match part.count() {
            0 => "-".to_owned(),
            _ => format!("{:.0}", part.at_us(0.5)),
        };
        self.0.each_ref().map(median)
    }
}
