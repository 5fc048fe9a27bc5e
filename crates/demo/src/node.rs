//! The node of the run: its directory, its ports, its configuration and when it is ready.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::child::Process;
use crate::error::Error;

/// Below the range from which systems give out ports for outgoing connections: a client that tries
/// to reach a node which is down must not find itself.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_000;
const READY_TIMEOUT: Duration = Duration::from_secs(20);
const READY_PAUSE: Duration = Duration::from_millis(10);

/// The routes of the demo: both facts of an order to its saga, the orders to their customer's mailbox.
const CONFIG: &str = r#"# The routes of the demo: each record becomes a signal; the first one starts the workflow.
[[route]]
name = "orders"
topics = ["orders"]
workflow_type = "OrderSaga"
task_queue = "orders"
signal = "order"
on_closed = "ignore"
task_timeout = "3s"

[[route]]
name = "payments"
topics = ["payments"]
workflow_type = "OrderSaga"
task_queue = "orders"
signal = "payment"
on_closed = "ignore"
task_timeout = "3s"

[[route]]
name = "customers"
topics = ["orders"]
workflow_type = "Customer"
workflow_id = "customer-{header:customer}"
task_queue = "orders"
signal = "order"
task_timeout = "3s"
"#;

/// The names of the routes and the topic each reads.
pub(crate) const ROUTES: [(&str, &str); 3] =
    [("orders", "orders"), ("payments", "payments"), ("customers", "orders")];

/// Where a node lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where everything of the run is.
    pub(crate) directory: PathBuf,
    /// Its Kafka front.
    pub(crate) kafka: SocketAddr,
    /// Its Temporal front.
    pub(crate) temporal: SocketAddr,
}

impl Place {
    /// Finds two free ports and writes the configuration into `directory`.
    pub(crate) fn prepare(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("mainstay.toml");
        std::fs::write(&path, CONFIG).map_err(|source| Error::File { path, source })?;
        let (kafka, temporal) = free_ports()?;
        Ok(Self { directory: directory.to_owned(), kafka, temporal })
    }

    /// Starts the node and waits until both ports answer.
    pub(crate) async fn start(&self) -> Result<Process, Error> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let (data, config) = (at("data"), at("mainstay.toml"));
        let (kafka, temporal) = (self.kafka.to_string(), self.temporal.to_string());
        let arguments = ["serve", "--data", &data, "--config", &config]
            .into_iter()
            .chain(["--kafka", &kafka, "--temporal", &temporal])
            .map(str::to_owned)
            .collect();
        let mut node = Process::start("node", arguments, self.directory.join("node.log"))?;
        self.ready(&mut node).await?;
        Ok(node)
    }

    /// Waits until both ports answer.
    pub(crate) async fn ready(&self, node: &mut Process) -> Result<(), Error> {
        let until = Instant::now() + READY_TIMEOUT;
        for (what, address) in [("Kafka", self.kafka), ("Temporal", self.temporal)] {
            while TcpStream::connect(address).await.is_err() {
                node.check()?;
                if Instant::now() > until {
                    let what = format!("its {what} port {address}");
                    let (seconds, log) = (READY_TIMEOUT.as_secs(), node.log_tail());
                    return Err(Error::NotReady { what, seconds, log });
                }
                tokio::time::sleep(READY_PAUSE).await;
            }
        }
        Ok(())
    }
}

fn free_ports() -> Result<(SocketAddr, SocketAddr), Error> {
    let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    // Two demos at once start their search at different ports.
    let span = u32::from(LAST_PORT - FIRST_PORT);
    let first = FIRST_PORT + (std::process::id().wrapping_mul(31) % span) as u16;
    let mut free = (first..LAST_PORT)
        .chain(FIRST_PORT..first)
        .map(address)
        .filter(|address| TcpListener::bind(address).is_ok());
    match (free.next(), free.next()) {
        (Some(kafka), Some(temporal)) => Ok((kafka, temporal)),
        _ => Err(Error::Ports { from: FIRST_PORT, to: LAST_PORT }),
    }
}
