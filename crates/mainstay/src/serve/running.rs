//! A node with its two fronts, from start to stop.

use super::STOP_MAX;
use crate::config::{Config, Limits};
use crate::descriptors;
use anyhow::Context;
use bridge::route::GROUP_PREFIX;
use node::{Handle, Node, NodeGuard, NodeOptions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use topics::ask::ListGroups;

/// What is running.
pub(crate) struct Running {
    /// Where Kafka clients connect: the port that was really bound.
    pub(crate) kafka: SocketAddr,
    /// Where Temporal clients connect.
    pub(crate) temporal: SocketAddr,
    handle: Handle,
    guard: NodeGuard,
    fronts: Fronts,
}

/// SIGTERM and SIGINT. Taken over before anything is started, so that none comes too early.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

struct Fronts {
    stop: watch::Sender<bool>,
    kafka: JoinHandle<()>,
    temporal: JoinHandle<Result<(), temporal::Error>>,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn new() -> anyhow::Result<Signals> {
        let on = |kind| signal(kind).context("cannot take over signals");
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Running {
    /// Opens the data directory, then the ports.
    pub(crate) async fn start(data: &Path, config: Config) -> anyhow::Result<Running> {
        let Config { kafka, temporal, advertised, routes, mut limits } = config;
        descriptors::provide(&mut limits);
        warn_of_public(&[kafka, temporal]);
        let names: Vec<String> = routes.iter().map(|route| route.name.clone()).collect();
        let options = NodeOptions {
            routes: routes.into_iter().map(Arc::new).collect(),
            pumps: pump_limits(&limits),
            ..NodeOptions::default()
        };
        let (handle, guard) = Node::open(data, options).context("cannot open the node")?;
        warn_of_strangers(&handle, &names).await;
        let kafka = bind("Kafka", "--kafka", kafka).await?;
        let temporal = bind("Temporal", "--temporal", temporal).await?;
        let addresses = (kafka.local_addr()?, temporal.local_addr()?);
        let advertised = advertised.map(|a| kafka::Advertised { host: a.host, port: a.port });
        let (stop, stopping) = watch::channel(false);
        let stopped = || {
            let mut stopping = stopping.clone();
            // An error means that the sender is gone, which is a stop as well.
            async move { drop(stopping.wait_for(|stopping| *stopping).await) }
        };
        let kafka_options = kafka::Options { advertised, limits: kafka_limits(&limits) };
        let fronts = Fronts {
            kafka: tokio::spawn(kafka::serve(kafka, handle.clone(), kafka_options, stopped())),
            temporal: tokio::spawn(temporal::serve(
                temporal,
                handle.clone(),
                temporal_options(&limits),
                stopped(),
            )),
            stop,
        };
        Ok(Running { kafka: addresses.0, temporal: addresses.1, handle, guard, fronts })
    }

    /// Drawn when the data directory came to life.
    pub(crate) fn cluster_id(&self) -> String {
        self.handle.kafka_cluster_id()
    }

    /// Until a signal comes, or something ends by itself; then stops.
    pub(crate) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let ended = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                Ok(())
            }
            ended = self.fronts.ended() => ended,
            () = self.handle.stopped() => Err(anyhow::anyhow!("the node has stopped by itself")),
        };
        tokio::select! {
            () = self.stop() => {}
            () = tokio::time::sleep(STOP_MAX) => {
                tracing::warn!("some connections had to be cut off");
            }
            signal = signals.next() => tracing::warn!(signal, "stopping at once"),
        }
        ended
    }

    /// Decided requests are answered, waiting ones are told that the node stops, the journal is
    /// closed.
    async fn stop(self) {
        self.handle.shutdown();
        self.fronts.stop.send_replace(true);
        let Fronts { kafka, temporal, .. } = self.fronts;
        // How they end no longer matters.
        let _ = tokio::join!(kafka, temporal);
        self.guard.stop().await;
    }
}

impl Fronts {
    /// A front that ends before it is told to has failed.
    async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = &mut self.kafka => {
                ended.context("the Kafka front has panicked")?;
                anyhow::bail!("the Kafka front has ended by itself")
            }
            ended = &mut self.temporal => {
                ended.context("the Temporal front has panicked")??;
                anyhow::bail!("the Temporal front has ended by itself")
            }
        }
    }
}

/// Allowed, because `insecure` was said; still worth a line.
fn warn_of_public(addresses: &[SocketAddr]) {
    for address in addresses.iter().filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(%address, "whoever can reach this address can read and write everything");
    }
}

/// A route is known by its name: one that was renamed starts anew, and its old position stays.
async fn warn_of_strangers(handle: &Handle, names: &[String]) {
    let ask = topics::Ask::ListGroups(ListGroups { states: Vec::new(), types: Vec::new() });
    let Ok(topics::Reply::ListGroups(groups)) = handle.topics(ask).await else { return };
    let known = groups.iter().filter_map(|group| group.group.strip_prefix(GROUP_PREFIX));
    for route in known.filter(|route| !names.iter().any(|name| name == route)) {
        tracing::warn!(
            route,
            "this route has a position, but is not configured (any more); if it was renamed, \
             the new name starts anew"
        );
    }
}

async fn bind(front: &str, flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "the {front} address {address} is in use by another program; stop that one, or choose \
             another address with {flag} (port 0 takes a free one)"
        ),
        _ => anyhow::anyhow!("cannot listen on the {front} address {address}: {error}"),
    })
}

fn pump_limits(limits: &Limits) -> bridge::pump::Limits {
    let default = bridge::pump::Limits::default();
    bridge::pump::Limits {
        in_flight_count: limits.route_in_flight_count.unwrap_or(default.in_flight_count),
        parked_count: limits.route_parked_count.unwrap_or(default.parked_count),
        parked_bytes: limits.route_parked_bytes.unwrap_or(default.parked_bytes),
        ..default
    }
}

fn kafka_limits(limits: &Limits) -> kafka::Limits {
    let default = kafka::Limits::default();
    kafka::Limits {
        request_bytes_max: limits.kafka_request_bytes.unwrap_or(default.request_bytes_max),
        connections_count_max: limits
            .kafka_connections_count
            .unwrap_or(default.connections_count_max),
        ..default
    }
}

fn temporal_options(limits: &Limits) -> temporal::Options {
    let default = temporal::Options::default();
    temporal::Options {
        request_bytes_max: limits.temporal_request_bytes.unwrap_or(default.request_bytes_max),
        connections_max: limits.temporal_connections_count.unwrap_or(default.connections_max),
        ..default
    }
}
