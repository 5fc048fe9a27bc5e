//! The real binary and real client libraries under real faults.
//!
//! A run is one node (the `mainstay` binary), client processes that write down what they asked and
//! what they were told, and a method of doing harm: `kill -9`, a power cut. Afterwards everything is
//! read once more and the checker judges the histories. Nothing here decides what is right: this
//! crate only makes trouble and takes notes.
//!
//! One program is all of it: the director, each client process (`torture client`), and a method
//! inside a mount namespace of its own (`torture method`).
//!
//! What a machine does not offer (root, loop devices) is told as "not run", never as passed.

mod binary;
mod book;
mod child;
mod cli;
mod client;
mod disk;
mod events;
mod executions;
mod group;
mod injection;
mod kafka;
mod log;
mod machine;
mod method;
mod namespace;
mod node;
mod ports;
mod probe;
mod random;
mod read;
mod report;
mod scene;
mod temporal;

pub use cli::main;
