//! The rows of the table: each is one kind of work, done by the same client code against every peer.

mod closed_loop;
mod consume;
pub(crate) mod disk;
mod kafka;
mod mailbox;
mod memory;
mod produce;
mod produce_latency;
mod produce_to_consumed;
mod record_to_record;
mod routed;
mod sender;
mod signal_with_start;
mod start;
mod workflow;

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;

use crate::measured::{Latency, Measured};
use crate::peer::Port;
use crate::usage::{Server, Used, Window};

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    produce::PRODUCE_1K,
    produce::PRODUCE_1K_BURST,
    produce::PRODUCE_100,
    consume::CONSUME_1K,
    consume::CONSUME_100,
    disk::FDATASYNC,
    produce_latency::PRODUCE_ONE,
    produce_to_consumed::PRODUCE_TO_CONSUMED,
    workflow::WORKFLOW_SDK,
    workflow::WORKFLOW_THIN,
    workflow::WORKFLOW_SDK_ONE,
    workflow::WORKFLOW_THIN_ONE,
    start::START,
    signal_with_start::SIGNAL_WITH_START,
    mailbox::MAILBOX_SDK,
    mailbox::MAILBOX_THIN,
    routed::ROUTED,
    record_to_record::RECORD_TO_RECORD,
    record_to_record::RECORD_TO_RECORD_ONE,
    memory::IDLE_MEMORY,
    COLD_START,
];

/// Rows in which single units are timed: they are compared by their median, all others by throughput.
pub(crate) const TIMED: &[&str] = &[
    "fdatasync",
    "produce-one",
    "produce-to-consumed",
    "workflow-sdk-one",
    "workflow-thin-one",
    "record-to-record-one",
    "cold-start",
];

/// No client drives it: `bench run` starts the peer several times.
pub(crate) const COLD_START: Row = Row {
    name: "cold-start",
    what: "from the start of the processes to their first answers",
    unit: "start",
    needs: ANYTHING,
    limit: Duration::from_secs(120),
    routes: "",
    drive: None,
};

/// For rows that every peer can be asked.
pub(crate) const ANYTHING: &[&[Port]] = &[&[]];
/// For rows on Kafka's protocol.
pub(crate) const KAFKA: &[&[Port]] = &[&[Port::Kafka]];
/// For rows on Temporal's protocol.
pub(crate) const TEMPORAL: &[&[Port]] = &[&[Port::Temporal]];

/// How a row is driven against a peer.
pub(crate) type Drive = for<'a> fn(&'a Job) -> BoxFuture<'a, Result<Vec<Measured>>>;

/// One kind of work.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// By which it is chosen.
    pub(crate) name: &'static str,
    /// One line for people.
    pub(crate) what: &'static str,
    /// What one unit of work is: a record, a workflow.
    pub(crate) unit: &'static str,
    /// Alternatives; a peer must offer all of one.
    pub(crate) needs: &'static [&'static [Port]],
    /// When a run of it is given up.
    pub(crate) limit: Duration,
    /// The routes Mainstay is started with, as its configuration file writes them.
    pub(crate) routes: &'static str,
    /// Does it. None for what only `bench run` can do.
    pub(crate) drive: Option<Drive>,
}

/// Where a row finds its peer.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Addresses {
    /// Kafka's protocol, HOST:PORT
    #[arg(long)]
    pub(crate) kafka: Option<String>,
    /// Temporal's gRPC, HOST:PORT
    #[arg(long)]
    pub(crate) temporal: Option<String>,
    /// Restate's ingress, a URL
    #[arg(long)]
    pub(crate) restate: Option<String>,
    /// Restate's administration, a URL
    #[arg(long)]
    pub(crate) restate_admin: Option<String>,
}

/// How much of a row is done.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(id = "extent")]
pub(crate) struct Options {
    /// Units of work instead of the row's own number
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Seconds of work instead of the row's own, for rows that go by time
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Units under way at once instead of the row's own number
    #[arg(long)]
    pub(crate) concurrency: Option<usize>,
    /// Polls of each queue and kind that a worker keeps open, instead of the SDKs' default
    #[arg(long)]
    pub(crate) pollers: Option<usize>,
    /// A tenth of the row's own numbers: for a look, not for a comparison
    #[arg(long)]
    pub(crate) quick: bool,
    /// Count the server's fsyncs too, with `perf`: costs a little
    #[arg(long)]
    pub(crate) fsyncs: bool,
}

/// One row against one peer.
#[derive(Clone)]
pub(crate) struct Job {
    /// Which.
    pub(crate) row: &'static Row,
    /// The peer's name, for the figures.
    pub(crate) peer: String,
    /// Where it is.
    pub(crate) addresses: Addresses,
    /// How much.
    pub(crate) options: Options,
    /// Its processes; empty where they are not on this machine.
    pub(crate) server: Server,
}

impl Addresses {
    /// The ports of both.
    pub(crate) fn with(self, other: Addresses) -> Addresses {
        Addresses {
            kafka: self.kafka.or(other.kafka),
            temporal: self.temporal.or(other.temporal),
            restate: self.restate.or(other.restate),
            restate_admin: self.restate_admin.or(other.restate_admin),
        }
    }
}

impl Options {
    /// How many units of work: what was asked for, or `usual`.
    pub(crate) fn count(&self, usual: u64) -> u64 {
        self.count.unwrap_or(if self.quick { usual.div_ceil(10) } else { usual })
    }

    /// How long: what was asked for, or `usual`.
    pub(crate) fn time(&self, usual: Duration) -> Duration {
        let usual = if self.quick { usual / 10 } else { usual };
        self.seconds.map_or(usual, Duration::from_secs)
    }
}

impl Row {
    /// Whether a peer that offers these ports can do it, and needs all its parts for it.
    pub(crate) fn suits(&self, parts: &[&'static [Port]]) -> bool {
        let offered: Vec<&Port> = parts.iter().flat_map(|part| part.iter()).collect();
        self.needs.iter().any(|needed| {
            let can = needed.iter().all(|port| offered.contains(&port));
            let used = |part: &&[Port]| part.iter().any(|port| needed.contains(port));
            can && (parts.len() == 1 || parts.iter().all(used))
        })
    }
}

impl Job {
    /// The address of the peer's Kafka front.
    pub(crate) fn kafka(&self) -> Result<&str> {
        self.addresses.kafka.as_deref().context("this row needs --kafka")
    }

    /// The address of the peer's Temporal front.
    pub(crate) fn temporal(&self) -> Result<&str> {
        self.addresses.temporal.as_deref().context("this row needs --temporal")
    }

    /// Begins to count.
    pub(crate) fn window(&self) -> Window {
        Window::open(&self.server)
    }

    /// A figure: `count` units of work in a window that is over.
    pub(crate) fn measured(&self, variant: &str, count: u64, used: Used) -> Measured {
        Measured {
            row: self.row.name.to_owned(),
            peer: self.peer.clone(),
            variant: variant.to_owned(),
            count,
            wall: used.wall,
            latency: None::<Latency>,
            client_cpu: used.client_cpu,
            server_cpu: used.server_cpu,
            server_peak_bytes: used.server_peak_bytes,
            fsyncs: used.fsyncs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_asked_only_for_what_needs_both() {
        let (kafka, temporal): (&[Port], &[Port]) = (&[Port::Kafka], &[Port::Temporal]);
        let both = Row { needs: &[&[Port::Kafka, Port::Temporal]], ..COLD_START };
        assert!(both.suits(&[kafka, temporal]) && both.suits(&[&[Port::Kafka, Port::Temporal]]));
        assert!(!both.suits(&[kafka]) && !both.suits(&[temporal]));
        let one = Row { needs: KAFKA, ..COLD_START };
        assert!(one.suits(&[kafka]) && !one.suits(&[kafka, temporal]) && !one.suits(&[temporal]));
        assert!(COLD_START.suits(&[&[Port::Restate]]) && !COLD_START.suits(&[kafka, temporal]));
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
