//! The idempotent producers of one partition: per producer its epoch and its last five batches.
//!
//! Invariants: a window holds 1 to 5 batches of one epoch in offset order; the order of silence
//! names every producer once. Kafka keeps five because a client has at most five requests in
//! flight. What is forgotten, and when, is decided outside and journaled with the append.

use crate::op::ProducerBatch;
use base::Timestamp;
use std::collections::{BTreeMap, VecDeque};

const WINDOW_BATCHES: usize = 5;

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Producers {
    windows: BTreeMap<i64, Window>,
    /// Base offset of each producer's last batch, and the producer: the first has been silent
    /// longest.
    by_last_offset: BTreeMap<i64, i64>,
}

/// One producer's last batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    epoch: i32,
    /// First sequence, last sequence, base offset; newest last.
    batches: VecDeque<(i32, i32, i64)>,
    last_at: Timestamp,
}

/// What the window says to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is next.
    Append,
    /// It is there already, at this base offset.
    Duplicate(i64),
    /// A batch before it is missing, or it is older than the window.
    OutOfOrder,
    /// The producer has a newer epoch.
    Fenced,
}

impl Producers {
    pub(crate) fn get(&self, id: i64) -> Option<&Window> {
        self.windows.get(&id)
    }

    /// Remembers an appended batch.
    pub(crate) fn note(&mut self, batch: &ProducerBatch, base_offset: i64, at: Timestamp) {
        let window = self.windows.entry(batch.id).or_insert_with(|| Window::new(batch.epoch));
        if let Some(last) = window.last_base_offset() {
            self.by_last_offset.remove(&last);
        }
        window.note(batch, base_offset, at);
        self.by_last_offset.insert(base_offset, batch.id);
    }

    pub(crate) fn forget(&mut self, id: i64) {
        if let Some(last) = self.windows.remove(&id).and_then(|it| it.last_base_offset()) {
            self.by_last_offset.remove(&last);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.windows.len()
    }

    /// Base offset of the last batch, producer, and when that was; from that offset on, the most
    /// silent first.
    pub(crate) fn most_silent(
        &self,
        from_offset: i64,
    ) -> impl Iterator<Item = (i64, i64, Timestamp)> {
        self.by_last_offset
            .range(from_offset..)
            .filter_map(|(offset, id)| Some((*offset, *id, self.windows.get(id)?.last_at)))
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.windows.len(), self.by_last_offset.len());
        for (id, window) in &self.windows {
            assert!((1..=WINDOW_BATCHES).contains(&window.batches.len()));
            let last = window.last_base_offset();
            assert_eq!(last.and_then(|it| self.by_last_offset.get(&it)), Some(id));
        }
    }
}

impl Window {
    pub(crate) fn new(epoch: i32) -> Window {
        Window { epoch, batches: VecDeque::new(), last_at: Timestamp::default() }
    }

    /// Kafka's rules (`ProducerStateEntry`, `ProducerAppendInfo`). A producer without a window is
    /// not judged: its state may have been forgotten, so any sequence is accepted.
    pub(crate) fn judge(&self, batch: &ProducerBatch) -> Judgement {
        if batch.epoch < self.epoch {
            return Judgement::Fenced;
        }
        if batch.epoch > self.epoch {
            let starts = batch.base_sequence == 0;
            return if starts { Judgement::Append } else { Judgement::OutOfOrder };
        }
        let same =
            |it: &&(i32, i32, i64)| it.0 == batch.base_sequence && it.1 == batch.last_sequence;
        if let Some(original) = self.batches.iter().find(same) {
            return Judgement::Duplicate(original.2);
        }
        match self.batches.back() {
            Some((_, last, _)) if batch.base_sequence != last.wrapping_add(1) & i32::MAX => {
                Judgement::OutOfOrder
            }
            _ => Judgement::Append,
        }
    }

    pub(crate) fn note(&mut self, batch: &ProducerBatch, base_offset: i64, at: Timestamp) {
        if batch.epoch != self.epoch {
            *self = Window::new(batch.epoch);
        }
        if self.batches.len() == WINDOW_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back((batch.base_sequence, batch.last_sequence, base_offset));
        self.last_at = at;
    }

    fn last_base_offset(&self) -> Option<i64> {
        self.batches.back().map(|it| it.2)
    }
}
