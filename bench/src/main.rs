//! Mainstay, Kafka, Temporal and Restate side by side, on one machine, with the same client code.
//!
//! `bench run` starts each peer in a temporary directory, drives each row of the table against it from
//! a child process (`bench drive`), and prints one table of ratios and what became of each goal.
//! What it measures: throughput, latency, and the processor time of client and server apart. What it
//! refuses: to compare absolute times of different machines, or runs with different settings.
//!
//! Every row has a time limit; what a run started is ended by its process id, also when it ends early.

mod anchors;
mod cli;
mod drive;
mod fsyncs;
mod goals;
mod measure;
mod measured;
mod peer;
mod report;
mod row;
mod run;
mod usage;
mod worker;

fn main() -> std::process::ExitCode {
    cli::main()
}
