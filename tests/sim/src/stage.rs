//! How far a run has come. All parties look at it.

use crate::bell::Bell;

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Everything may go wrong.
    Noise,
    /// Nothing goes wrong any more: the node stays up, workers behave, producers finish what they
    /// have begun.
    Calm,
    /// All producers are done and everything they sent has arrived where it goes.
    Arrived,
    /// Nothing but reading.
    Final,
}

/// The part of a run that all parties are in.
#[derive(Clone, Debug)]
pub struct Stage(Bell<Part>);

impl Stage {
    /// It begins with noise.
    pub fn new() -> Stage {
        Stage(Bell::new(Part::Noise))
    }

    /// Where it is now.
    pub fn part(&self) -> Part {
        self.0.get()
    }

    /// Whether things may still go wrong.
    pub fn is_noisy(&self) -> bool {
        self.part() == Part::Noise
    }

    /// Goes on.
    pub fn enter(&self, part: Part) {
        self.0.set(part);
    }

    /// Waits until it has come so far.
    pub async fn reached(&self, part: Part) {
        self.0.until(|now| now >= part).await;
    }
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}
