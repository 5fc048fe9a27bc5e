//! The binary: command line, configuration, and the start and stop of what the other crates do.
//!
//! Invariants: nothing of a configuration is ignored; every failure is told in one message that
//! names what to do. Exit codes: 0 done, 1 failed while running, 2 a command line or a
//! configuration that cannot be carried out.

mod cli;
mod config;
mod descriptors;
mod logging;
mod serve;
mod tell;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().command {
        cli::Command::Serve(options) => serve::run(&options),
        #[cfg(feature = "demo")]
        cli::Command::Demo(options) => demo::run(options),
    }
}
