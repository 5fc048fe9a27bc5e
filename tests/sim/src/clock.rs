//! The node's clock in virtual time: tokio's paused clock, put at a date.
//!
//! Invariants: like the real one it never goes back in one life of the node, and starts at the
//! later of the last entry and the wall clock, which a plan may put back.

use base::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// The date at which every run begins.
const BEGINNING_US: i64 = 1_700_000_000_000_000;

/// The wall clock: the same for clients and servers.
#[derive(Clone, Copy, Debug)]
pub struct Wall(Instant);

impl Wall {
    /// It begins now.
    pub fn new() -> Wall {
        Wall(Instant::now())
    }

    /// The time now, in microseconds.
    pub fn now_us(&self) -> i64 {
        BEGINNING_US + self.0.elapsed().as_micros() as i64
    }
}

impl Default for Wall {
    fn default() -> Wall {
        Wall::new()
    }
}

/// A node's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Wall,
    behind_us: i64,
    at: (Instant, Timestamp),
}

impl Clock {
    /// A clock that is behind the wall clock by so much.
    pub fn new(wall: Wall, behind: Duration) -> Clock {
        let behind_us = behind.as_micros() as i64;
        Clock { wall, behind_us, at: (Instant::now(), Timestamp(wall.now_us() - behind_us)) }
    }
}

impl node::Clock for Clock {
    fn now(&mut self) -> Timestamp {
        let (since, at) = self.at;
        Timestamp(at.0 + since.elapsed().as_micros() as i64)
    }

    fn start(&mut self, last_entry: Timestamp) {
        let wall = Timestamp(self.wall.now_us() - self.behind_us);
        self.at = (Instant::now(), wall.max(last_entry));
    }
}
