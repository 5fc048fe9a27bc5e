//! A process of a peer: in a process group of its own, its output in a log file, ended politely and,
//! where that does not help, not politely; also when the run ends early.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tokio::process::{Child, Command};

/// How much of a log is worth showing.
const LOG_LINES: usize = 15;
/// How long a process may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(20);
/// How long it may take to end at once.
const LAST_MAX: Duration = Duration::from_secs(10);
const LAST_PAUSE: Duration = Duration::from_millis(2);

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Process {
    /// What it is, for people.
    name: String,
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub(crate) began: Instant,
    /// What asks it to end.
    pub(crate) end_signal: Signal,
    /// What ends it at once, when a run ends early.
    pub(crate) last_signal: Signal,
}

impl Process {
    /// Starts `command`; what it says is appended to `log`.
    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Process> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("the log {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file))
            // Ctrl-C is for this program, which ends its peers itself.
            .process_group(0)
            .kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (name, log) = (name.to_owned(), log.to_owned());
        Ok(Process { name, child, log, began, end_signal: Signal::TERM, last_signal: Signal::KILL })
    }

    /// Its id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let (name, log) = (&self.name, self.log_tail());
            bail!("{name} ended by itself ({status}); the end of its log:\n{log}");
        }
        Ok(())
    }

    /// Waits until it has ended by itself, as it should; fails if it does not, or not well.
    pub(crate) async fn success(&mut self, limit: Duration) -> Result<()> {
        let how = match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => match status? {
                status if status.success() => return Ok(()),
                status => status.to_string(),
            },
            Err(_) => format!("not done within {limit:?}"),
        };
        bail!("{}: {how}; the end of its log:\n{}", self.name, self.log_tail())
    }

    /// Asks it to end, waits, and ends it if it does not.
    pub(crate) async fn end(mut self) {
        if let Some(pid) = self.pid() {
            // A process that is gone already has done what was asked.
            let _ = kill_process(pid, self.end_signal);
            let _ = tokio::time::timeout(END_MAX, self.child.wait()).await;
        }
    }

    /// The last lines it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn pid(&self) -> Option<Pid> {
        self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }
}

/// Takes the settings away that a peer would read from the user's environment.
pub(crate) fn without_variables(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            command.env_remove(name);
        }
    }
}

/// Whether it has, without waiting for it: the runtime does that.
fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        // Whatever is left of the group: the process itself, or children that outlive it. It has to
        // be gone before its directory is removed.
        for signal in [self.last_signal, Signal::KILL] {
            let _ = kill_process_group(pid, signal);
            let until = Instant::now() + LAST_MAX;
            while Instant::now() < until {
                if has_ended(pid) {
                    return;
                }
                std::thread::park_timeout(LAST_PAUSE);
            }
        }
    }
}
