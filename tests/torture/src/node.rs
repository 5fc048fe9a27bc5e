//! The node of a run: where it lives, and the process while there is one.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::child::Process;
use crate::{binary, ports};

/// A start takes some ten milliseconds; what takes this long is a finding.
const READY_MAX: Duration = Duration::from_secs(30);

/// Where the Kafka and the Temporal front of a node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The Kafka front.
    pub(crate) kafka: SocketAddr,
    /// The Temporal front.
    pub(crate) temporal: SocketAddr,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where clients find it, over all restarts.
    pub(crate) addresses: Addresses,
    /// What it keeps. Another directory may be put here while the node is down.
    pub(crate) data: PathBuf,
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
    /// What it is started under from now on: a program and its arguments, if any.
    pub(crate) under: Vec<OsString>,
    /// Words of log lines that the faults of a run explain.
    pub(crate) explained: &'static [&'static str],
    /// The longest time that a start took.
    pub(crate) slowest_start: Duration,
}

impl Node {
    /// A node that is not running yet; `directory` takes its configuration and its log.
    pub(crate) fn new(directory: &Path, data: PathBuf, config: &str) -> Result<Node> {
        let (kafka, temporal) = ports::two()?;
        let path = directory.join("mainstay.toml");
        std::fs::write(&path, config).context("the node's configuration")?;
        Ok(Node {
            addresses: Addresses { kafka, temporal },
            data,
            binary: binary::find()?,
            config: path,
            log: directory.join("node.log"),
            process: None,
            under: Vec::new(),
            explained: &[],
            slowest_start: Duration::ZERO,
        })
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(&mut self) -> Result<()> {
        if !self.try_start().await? {
            let process = self.process()?;
            bail!(
                "the node ended before it was ready; the end of its log:\n{}",
                process.log_tail()
            );
        }
        Ok(())
    }

    /// Starts it where it may end by itself; answers whether it said that it is ready.
    pub(crate) async fn try_start(&mut self) -> Result<bool> {
        let begin = Instant::now();
        self.spawn()?;
        let process = self.process.as_mut().context("the node is running")?;
        let stdout = process.child.stdout.as_mut().context("the node's output")?;
        let mut banner = String::new();
        let mut reader = BufReader::new(stdout);
        let read = tokio::time::timeout(READY_MAX, reader.read_line(&mut banner)).await;
        match read {
            Ok(Ok(0)) => return Ok(false),
            Ok(Ok(_)) if banner.starts_with('{') => {}
            _ => bail!("the node is not ready ({read:?}); its log:\n{}", process.log_tail()),
        }
        self.slowest_start = self.slowest_start.max(begin.elapsed());
        Ok(true)
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        let mut command = match self.under.split_first() {
            None => Command::new(&self.binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command
            .args(["serve", "--json", "--data"])
            .arg(&self.data)
            .arg("--config")
            .arg(&self.config)
            .args(["--kafka", &self.addresses.kafka.to_string()])
            .args(["--temporal", &self.addresses.temporal.to_string()])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        self.process = Some(Process::spawn("the node".to_owned(), command, &self.log)?);
        Ok(())
    }

    /// Watches it for so long; fails if it ends by itself.
    pub(crate) async fn watch(&mut self, time: Duration) -> Result<()> {
        self.process()?.watch(time).await
    }

    /// kill -9, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process()?.check()?;
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Waits until it has ended by itself, as something was done that must end it.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.process()?.wait(limit).await?;
        self.process = None;
        Ok(status)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self, limit: Duration) -> Result<()> {
        self.process()?.ask_to_end()?;
        match self.process.take() {
            Some(process) => process.join(limit).await,
            None => Ok(()),
        }
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the node is not running")
    }

    /// The id of the running process.
    pub(crate) fn id(&mut self) -> Result<u32> {
        self.process()?.id().context("the node has ended")
    }

    /// Lines of its log that no fault explains.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let bad = text.lines().filter(|line| line.contains("panicked") || line.contains("ERROR"));
        let explained = |line: &&str| self.explained.iter().any(|words| line.contains(words));
        bad.filter(|line| !explained(line)).map(|line| format!("the node's log: {line}")).collect()
    }
}
