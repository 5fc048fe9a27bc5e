//! Restate, one node with all roles and its default durability: its log server's WAL is fsynced
//! before an append is acknowledged. Its defaults otherwise, but no telemetry and no Unix sockets.
//! What it refuses: nothing; a port that is taken makes its start fail.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::process::{Process, without_variables};
use super::{Kind, Peer, Port, Start, ports};
use crate::anchors;
use crate::row::Addresses;

const NAME: &str = "restate";

/// Restate as it comes.
pub(crate) const RESTATE: Kind = Kind {
    name: NAME,
    what: "Restate 1.7.12, one node, its defaults (replicated log of one, WAL with fsync, 24 partitions)",
    offers: &[Port::Restate],
    usual: true,
    start: |options| start(options).boxed(),
};

const READY_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// Has to be asked of every partition.
const QUERY: &str = r#"{"query":"select count(*) from sys_invocation_status"}"#;

async fn start(options: &Start) -> Result<Peer> {
    let directory = options.directory("restate")?;
    let here = directory.path();
    let [node, ingress, admin] = ports::free()?.map(|address| address.to_string());
    let config = format!(
        r#"cluster-name = "bench"
node-name = "bench"
base-dir = "{}"
bind-address = "{node}"
listen-mode = "tcp"
disable-telemetry = true
log-filter = "warn"
log-disable-ansi-codes = true
[ingress]
bind-address = "{ingress}"
[admin]
bind-address = "{admin}"
"#,
        here.join("data").display()
    );
    std::fs::write(here.join("restate.toml"), config)?;
    let mut command = Command::new(anchors::restate::server()?);
    without_variables(&mut command, "RESTATE_");
    command.args(["--no-logo", "--config-file", "restate.toml"]).current_dir(here);
    let mut process = Process::spawn("restate", command, &here.join("log"))?;
    wait(&mut process, &ingress, &admin).await?;
    Ok(Peer {
        name: NAME.to_owned(),
        addresses: Addresses {
            restate: Some(format!("http://{ingress}")),
            restate_admin: Some(format!("http://{admin}")),
            ..Addresses::default()
        },
        cold_start: process.began.elapsed(),
        processes: vec![process],
        directories: vec![directory],
    })
}

/// Its ingress is healthy, and all its partitions have a leader that answers a query.
async fn wait(process: &mut Process, ingress: &str, admin: &str) -> Result<()> {
    while process.began.elapsed() < READY_MAX {
        if ask(ingress, "GET", "/restate/health", "").await.is_ok_and(|ok| ok)
            && ask(admin, "POST", "/query", QUERY).await.is_ok_and(|ok| ok)
        {
            return Ok(());
        }
        process.check()?;
        tokio::time::sleep(PAUSE).await;
    }
    ensure!(false, "restate is not ready; its log:\n{}", process.log_tail());
    Ok(())
}

/// Whether a request is answered with 200: no HTTP client is worth its build for two questions.
async fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<bool> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    tokio::time::timeout(ATTEMPT_MAX, exchange).await?
}
