//! Temporal's server on PostgreSQL: all four services in one process, as `development-postgres12.yaml`
//! of its sources has them. It is started twice, because only a server can register the namespace, and
//! one that finds it there need not wait until it notices; the second start is the one that counts.
//! What it refuses: nothing; a failed step of the schema fails the start.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use tokio::process::Command;

use super::postgres::{self, Cluster};
use super::process::Process;
use super::ready::{self, Probe};
use super::temporal::{LIMIT, Pace, READY_MAX, at_home};
use super::{Kind, Peer, Port, Start, namespace, ports};
use crate::anchors;
use crate::row::Addresses;

/// What people run.
pub(crate) const POSTGRES: Kind = Kind {
    name: "temporal-postgres",
    what: "Temporal 1.31.2, one process, 4 history shards, on PostgreSQL with its defaults (fsync on)",
    offers: &[Port::Temporal],
    usual: true,
    start: |options| start("temporal-postgres", options, Pace::Default).boxed(),
};
/// The same without its pace.
pub(crate) const POSTGRES_UNPACED: Kind = Kind {
    name: "temporal-postgres-unpaced",
    what: "the same, its task queues read as often as there is something to read",
    offers: &[Port::Temporal],
    usual: false,
    start: |options| start("temporal-postgres-unpaced", options, Pace::Raised).boxed(),
};

/// Each call of the SQL tool.
const SCHEMA_MAX: Duration = Duration::from_secs(60);

async fn start(name: &str, options: &Start, pace: Pace) -> Result<Peer> {
    let cluster = Cluster::create(options).await?;
    let directory = options.directory(name)?;
    let here = directory.path();
    let [front, rest @ ..] = ports::free::<8>()?.map(|address| address.port());
    std::fs::write(here.join("limits.yaml"), limits(pace))?;
    let config = config(&cluster, front, rest, &here.join("limits.yaml"));
    std::fs::write(here.join("server.yaml"), config)?;
    let address = format!("127.0.0.1:{front}");
    let (database, first_answer) = cluster.start().await?;
    schema(&cluster, here).await?;
    let mut first = server("Temporal's first start", here, &address).await?;
    namespace::registered(&mut first, &address).await?;
    // Killed: its orderly end takes seconds, and the next start is at the same address.
    drop(first);
    let mut process = server(name, here, &address).await?;
    namespace::usable(&mut process, &address).await?;
    Ok(Peer {
        name: name.to_owned(),
        addresses: Addresses { temporal: Some(address), ..Addresses::default() },
        cold_start: first_answer + process.began.elapsed(),
        processes: vec![database, process],
        directories: vec![cluster.directory, directory],
    })
}

async fn server(name: &str, here: &Path, address: &str) -> Result<Process> {
    let mut command = at_home(Command::new(anchors::temporal::server()?.server), here);
    command.args(["--config-file", "server.yaml", "--allow-no-auth", "start"]);
    let mut process = Process::spawn(name, command, &here.join("log"))?;
    ready::wait(&mut process, READY_MAX, Probe::Temporal(address)).await?;
    Ok(process)
}

/// The two databases of a server, each with the newest schema that the tool carries.
async fn schema(cluster: &Cluster, here: &Path) -> Result<()> {
    let sql_tool = anchors::temporal::server()?.sql_tool;
    for (name, schema) in [("temporal", "temporal"), ("temporal_visibility", "visibility")] {
        let schema = format!("postgresql/v12/{schema}");
        let calls: [&[&str]; 3] = [
            &["create-database"],
            &["setup-schema", "-v", "0.0"],
            &["update-schema", "--schema-name", &schema],
        ];
        for call in calls {
            let mut command = at_home(Command::new(&sql_tool), here);
            command
                .args(["--plugin", "postgres12", "--endpoint", "127.0.0.1"])
                .args(["--port", &cluster.address.port().to_string()])
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
fn config(cluster: &Cluster, front: u16, rest: [u16; 7], limits: &Path) -> String {
    let [front_ring, history, history_ring, matching, matching_ring, worker, worker_ring] = rest;
    let store = |name: &str| {
        format!(
            "{{sql: {{pluginName: postgres12, databaseName: {name}, connectAddr: \"{}\", \
             connectProtocol: tcp, user: {user}, password: {user}, maxConns: 20, maxIdleConns: 20, \
             maxConnLifetime: 1h}}}}",
            cluster.address,
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

fn limits(pace: Pace) -> String {
    pace.raised().iter().map(|key| format!("{key}:\n  - value: {LIMIT}\n")).collect()
}
