//! What others lose: answers that leave too early, the first task of a successor, a task whose
//! poller died, events that meet in one group of the journal, a mailbox at its limit, a clock that
//! jumps, a disk that is full in the middle of work.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod asks;
mod clock;
mod full;
mod gate;
mod group;
mod handover;
mod held;
mod limits;
mod mailbox;
mod successor;
#[path = "../support/mod.rs"]
mod support;
