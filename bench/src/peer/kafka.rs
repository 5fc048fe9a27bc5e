//! Apache Kafka, one broker that is its own controller (KRaft), as its distribution starts it.
//!
//! `kafka` has its defaults: a record is acknowledged when it is in the page cache. `kafka-flush`
//! flushes before each acknowledgement, the nearest it has to Mainstay's durability. What is not a
//! default is what one broker alone needs (replication factors of one), and no pause before a group's
//! first rebalance. What it refuses: a log directory that was used before.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::process::Command;

use super::process::Process;
use super::ready::{self, Probe};
use super::{Kind, Peer, Port, Start, ports};
use crate::anchors;
use crate::row::Addresses;

/// Kafka as it comes.
pub(crate) const KAFKA: Kind = Kind {
    name: "kafka",
    what: "Apache Kafka 4.1.1, one broker, its defaults (no fsync before an acknowledgement), heap of 1 GiB",
    offers: &[Port::Kafka],
    usual: true,
    start: |options| start("kafka", options, "").boxed(),
};
/// Kafka with a flush for each batch.
pub(crate) const FLUSH: Kind = Kind {
    name: "kafka-flush",
    what: "the same with log.flush.interval.messages=1 (fsync before each acknowledgement)",
    offers: &[Port::Kafka],
    usual: true,
    start: |options| start("kafka-flush", options, "log.flush.interval.messages=1\n").boxed(),
};

const READY_MAX: Duration = Duration::from_secs(90);
/// One question to a broker that is up but may not know itself yet.
const METADATA_MAX: Duration = Duration::from_secs(5);
/// Any sixteen bytes.
const CLUSTER: &str = "bWFpbnN0YXktYmVuY2gtMQ";
/// What `kafka-server-start.sh` gives the JVM.
const JVM: [&str; 8] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// Warnings only; the logs of requests and of the controller would be written to files otherwise.
const LOGGING: &str = "status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
";

async fn start(name: &'static str, options: &Start, settings: &str) -> Result<Peer> {
    let directory = options.directory(name)?;
    let [client, controller] = ports::free()?.map(|address| address.to_string());
    let here = directory.path();
    std::fs::write(here.join("log4j2.properties"), LOGGING)?;
    let properties = properties(&here.join("data"), &client, &controller) + settings;
    std::fs::write(here.join("server.properties"), properties)?;
    format(here).await?;
    let mut broker = java(here, &JVM)?;
    broker.args(["kafka.Kafka", "server.properties"]);
    let mut process = Process::spawn(name, broker, &here.join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Kafka(&client)).await?;
    knows_itself(&mut process, &client).await?;
    Ok(Peer {
        name: name.to_owned(),
        addresses: Addresses { kafka: Some(client), ..Addresses::default() },
        cold_start: process.began.elapsed(),
        processes: vec![process],
        directories: vec![directory],
    })
}

fn properties(data: &Path, client: &str, controller: &str) -> String {
    let data = data.display();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{client},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{client}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"
    )
}

fn java(here: &Path, options: &[&str]) -> Result<Command> {
    let (program, class_path) = anchors::kafka::java()?;
    let mut command = Command::new(program);
    command
        .args(options)
        .args(["-Dlog4j2.configurationFile=log4j2.properties", "-cp", &class_path])
        .current_dir(here);
    Ok(command)
}

/// The log directory gets the cluster's id; not counted as part of a start.
async fn format(here: &Path) -> Result<()> {
    let mut command = java(here, &["-Xmx256m"])?;
    command.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER]);
    command.args(["--config", "server.properties"]);
    let mut process = Process::spawn("Kafka's storage tool", command, &here.join("format.log"))?;
    process.success(READY_MAX).await
}

/// The broker answers before its controller has let it in; a client can begin when it is in its metadata.
async fn knows_itself(process: &mut Process, address: &str) -> Result<()> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", address);
    while process.began.elapsed() < READY_MAX {
        let settings = settings.clone();
        let asked = tokio::task::spawn_blocking(move || -> Result<usize> {
            let client: BaseConsumer = settings.create()?;
            Ok(client.fetch_metadata(None, METADATA_MAX)?.brokers().len())
        });
        if asked.await?.is_ok_and(|brokers| brokers == 1) {
            return Ok(());
        }
        process.check()?;
    }
    ensure!(false, "no metadata; its log:\n{}", process.log_tail());
    Ok(())
}
