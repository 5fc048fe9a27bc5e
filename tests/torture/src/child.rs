//! A child process: its output in a log file, killed and waited for by its own id, also when the run
//! ends early.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// How much of a log is worth showing.
const LOG_LINES: usize = 15;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Process {
    /// What it is, for people.
    pub(crate) name: String,
    /// The process itself, for its input and output.
    pub(crate) child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it says on stderr is appended to `log`.
    pub(crate) fn spawn(name: String, mut command: Command, log: &Path) -> Result<Process> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("the log {}", log.display()))?;
        let child = command.stderr(Stdio::from(file)).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name, child, log: log.to_owned() })
    }

    /// Watches it for so long; fails if it ends by itself.
    pub(crate) async fn watch(&mut self, time: Duration) -> Result<()> {
        match tokio::time::timeout(time, self.child.wait()).await {
            Err(_) => Ok(()),
            Ok(status) => bail!(self.ended(status?)),
        }
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(self.ended(status)),
        }
    }

    /// kill -9, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// SIGSTOP: it stands still.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM: it is asked to end.
    pub(crate) fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end in {limit:?}\n{}", self.name, self.log_tail()),
        }
    }

    /// Waits until it has ended by itself, as it was asked to.
    pub(crate) async fn join(mut self, limit: Duration) -> Result<()> {
        drop(self.child.stdin.take());
        match self.wait(limit).await? {
            status if status.success() => Ok(()),
            status => bail!(self.ended(status)),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.with_context(|| format!("{} has ended", self.name))?;
        kill_process(pid, signal).with_context(|| format!("a signal to {}", self.name))
    }

    fn ended(&self, status: ExitStatus) -> String {
        format!(
            "{} ended by itself ({status}); the end of its log:\n{}",
            self.name,
            self.log_tail()
        )
    }

    /// The last lines it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}
