//! The command line.

use crate::config::{Overrides, parse_listen};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

const SERVE_HELP: &str = "\
Exit codes: 0 stopped or checked, 1 failed, 2 wrong command line or configuration.
Logs go to stderr; MAINSTAY_LOG (or RUST_LOG) says which, as in MAINSTAY_LOG=bridge=debug.
The repository shows every key of the configuration in crates/mainstay/example.toml.";

/// A build with planted bugs must not be taken for one that may be used.
const VERSION: &str = if base::planted::COMPILED_IN {
    concat!(env!("CARGO_PKG_VERSION"), " WITH PLANTED BUGS, FOR TESTS ONLY")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Facts in a log, intent in workflows, one binary: Kafka's protocol and Temporal's on one
/// journal.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version = VERSION, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node: serve Kafka and Temporal clients from one data directory.
    Serve(Serve),
    /// See it work: a thousand orders through a saga, sent and checked by ordinary clients.
    #[cfg(feature = "demo")]
    Demo(demo::Options),
}

/// What `serve` is told.
#[derive(Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct Serve {
    /// Directory that holds everything the node keeps; made if it is missing.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address for Kafka clients [default: the file's, or 127.0.0.1:9092]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) kafka: Option<SocketAddr>,
    /// Address for Temporal clients [default: the file's, or 127.0.0.1:7233]; port 0 as above.
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) temporal: Option<SocketAddr>,
    /// Allow addresses that other machines can reach, although nobody is asked who they are.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Check the configuration, say so, and start nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// When ready, print one line of JSON with the addresses to stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Serve {
    /// What wins over the file.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { kafka: self.kafka, temporal: self.temporal, insecure: self.insecure }
    }
}
