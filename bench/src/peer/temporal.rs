//! Temporal, three ways: the dev server of its CLI with its store in memory or in a file (SQLite), and
//! the server on PostgreSQL. All rate limits are raised out of the way; all else is as they come.
//!
//! What it refuses: to touch the user's own settings of the CLI, which looks for them at home.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use tokio::process::Command;

use super::postgres::{self, Database};
use super::process::Process;
use super::ready::{self, Probe};
use super::{Kind, Peer, Port, Start, namespace, ports};
use crate::anchors;
use crate::row::Addresses;

const ON_POSTGRES: &str = "temporal-postgres";

/// Nothing survives its end.
pub(crate) const MEMORY: Kind = Kind {
    name: "temporal-memory",
    what: "Temporal's dev server (CLI 1.5.1, server 1.29.1), SQLite in memory: not durable",
    offers: &[Port::Temporal],
    start: |options| dev_server("temporal-memory", options, false).boxed(),
};
/// Its database is a file.
pub(crate) const FILE: Kind = Kind {
    name: "temporal-file",
    what: "the same, SQLite in a file with SQLite's defaults (rollback journal, synchronous=FULL)",
    offers: &[Port::Temporal],
    start: |options| dev_server("temporal-file", options, true).boxed(),
};
/// What people run.
pub(crate) const POSTGRES: Kind = Kind {
    name: ON_POSTGRES,
    what: "Temporal 1.31.2, one process, 4 history shards, on PostgreSQL with its defaults (fsync on)",
    offers: &[Port::Temporal],
    start: |options| server(options).boxed(),
};

/// Rates that a server allows by itself, per instance: far below what is measured here.
const LIMITS: [&str; 12] = [
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "frontend.namespaceCount",
    "frontend.persistenceMaxQPS",
    "history.rps",
    "history.persistenceMaxQPS",
    "matching.rps",
    "matching.persistenceMaxQPS",
    "worker.persistenceMaxQPS",
    "system.visibilityPersistenceMaxReadQPS",
    "system.visibilityPersistenceMaxWriteQPS",
];
/// Out of the way.
const LIMIT: u32 = 1_000_000;

const READY_MAX: Duration = Duration::from_secs(90);
/// Each call of the SQL tool.
const SCHEMA_MAX: Duration = Duration::from_secs(60);

async fn dev_server(name: &'static str, options: &Start, file: bool) -> Result<Peer> {
    let directory = options.directory(name)?;
    let here = directory.path();
    let [front] = ports::free()?;
    let mut command = at_home(Command::new(anchors::temporal::cli()?), here);
    command
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"])
        .args(["--port", &front.port().to_string()])
        .args(
            LIMITS
                .iter()
                .flat_map(|key| ["--dynamic-config-value".to_owned(), format!("{key}={LIMIT}")]),
        );
    if file {
        command.arg("--db-filename").arg(here.join("temporal.db"));
    }
    let front = front.to_string();
    let mut process = Process::spawn(name, command, &here.join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(&front)).await?;
    let cold_start = process.began.elapsed();
    namespace::usable(&mut process, &front).await?;
    Ok(Peer {
        name: name.to_owned(),
        addresses: Addresses { temporal: Some(front), ..Addresses::default() },
        cold_start,
        processes: vec![process],
        directories: vec![directory],
    })
}

/// Where it looks for settings, and writes one, there is nothing but this run.
fn at_home(mut command: Command, here: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"TEMPORAL_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", here)
        .env("XDG_CONFIG_HOME", here)
        .env("TEMPORAL_VERSION_CHECK_DISABLED", "1")
        .current_dir(here);
    command
}

/// A start is the database's and the server's on a schema that is there already.
async fn server(options: &Start) -> Result<Peer> {
    let programs = anchors::temporal::server()?;
    let database = postgres::start(options).await?;
    let directory = options.directory(ON_POSTGRES)?;
    let here = directory.path();
    schema(&programs.sql_tool, &database, here).await?;
    let [front, rest @ ..] = ports::free::<8>()?.map(|address| address.port());
    std::fs::write(here.join("limits.yaml"), limits())?;
    let config = config(&database, front, rest, &here.join("limits.yaml"));
    std::fs::write(here.join("server.yaml"), config)?;
    let mut command = at_home(Command::new(programs.server), here);
    command.args(["--config-file", "server.yaml", "--allow-no-auth", "start"]);
    let address = format!("127.0.0.1:{front}");
    let mut process = Process::spawn(ON_POSTGRES, command, &here.join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(&address)).await?;
    let cold_start = database.cold_start + process.began.elapsed();
    namespace::usable(&mut process, &address).await?;
    Ok(Peer {
        name: ON_POSTGRES.to_owned(),
        addresses: Addresses { temporal: Some(address), ..Addresses::default() },
        cold_start,
        processes: vec![database.process, process],
        directories: vec![database.directory, directory],
    })
}

/// The two databases of a server, each with the newest schema that the tool carries.
async fn schema(sql_tool: &Path, database: &Database, here: &Path) -> Result<()> {
    for (name, schema) in [("temporal", "temporal"), ("temporal_visibility", "visibility")] {
        let schema = format!("postgresql/v12/{schema}");
        let calls: [&[&str]; 3] = [
            &["create-database"],
            &["setup-schema", "-v", "0.0"],
            &["update-schema", "--schema-name", &schema],
        ];
        for call in calls {
            let mut command = at_home(Command::new(sql_tool), here);
            command
                .args(["--plugin", "postgres12", "--endpoint", "127.0.0.1"])
                .args(["--port", &database.address.port().to_string()])
                .args(["--user", postgres::USER, "--password", postgres::USER])
                .args(["--database", name])
                .args(call);
            let log = here.join("schema.log");
            let mut process = Process::spawn("Temporal's SQL tool", command, &log)?;
            process.success(SCHEMA_MAX).await?;
        }
    }
    Ok(())
}

/// The server's own `development-postgres12.yaml`, without archival, profiles and metrics, and with as
/// many connections for visibility as for the rest.
fn config(database: &Database, front: u16, rest: [u16; 7], limits: &Path) -> String {
    let [front_ring, history, history_ring, matching, matching_ring, worker, worker_ring] = rest;
    let store = |name: &str| {
        format!(
            "{{sql: {{pluginName: postgres12, databaseName: {name}, connectAddr: \"{}\", \
             connectProtocol: tcp, user: {user}, password: {user}, maxConns: 20, maxIdleConns: 20, \
             maxConnLifetime: 1h}}}}",
            database.address,
            user = postgres::USER,
        )
    };
    let service = |grpc: u16, ring: u16| {
        format!("{{rpc: {{grpcPort: {grpc}, membershipPort: {ring}, bindOnLocalHost: true}}}}")
    };
    let rows = [
        "log: {stdout: true, level: error}".to_owned(),
        "persistence:".to_owned(),
        "  defaultStore: main".to_owned(),
        "  visibilityStore: visibility".to_owned(),
        "  numHistoryShards: 4".to_owned(),
        "  datastores:".to_owned(),
        format!("    main: {}", store("temporal")),
        format!("    visibility: {}", store("temporal_visibility")),
        "global: {membership: {maxJoinDuration: 30s, broadcastAddress: 127.0.0.1}}".to_owned(),
        "services:".to_owned(),
        format!("  frontend: {}", service(front, front_ring)),
        format!("  history: {}", service(history, history_ring)),
        format!("  matching: {}", service(matching, matching_ring)),
        format!("  worker: {}", service(worker, worker_ring)),
        "clusterMetadata:".to_owned(),
        "  enableGlobalNamespace: false".to_owned(),
        "  failoverVersionIncrement: 10".to_owned(),
        "  masterClusterName: active".to_owned(),
        "  currentClusterName: active".to_owned(),
        "  clusterInformation:".to_owned(),
        "    active: {enabled: true, initialFailoverVersion: 1, rpcName: frontend, ".to_owned()
            + &format!("rpcAddress: \"127.0.0.1:{front}\"}}"),
        "dcRedirectionPolicy: {policy: noop}".to_owned(),
        format!("dynamicConfigClient: {{filepath: {}, pollInterval: 60s}}", limits.display()),
    ];
    rows.join("\n") + "\n"
}

fn limits() -> String {
    LIMITS.iter().map(|key| format!("{key}:\n  - value: {LIMIT}\n")).collect()
}
