//! A child process of the demo: started again with the same command, killed like by a power switch,
//! its output kept in a log file, its processor time and memory looked up in `/proc`.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::error::Error;

/// Clock ticks per second in `/proc/PID/stat`: a constant of Linux's interface.
const TICKS_PER_SECOND: f64 = 100.0;
/// How much of a log is worth showing.
const LOG_LINES: usize = 20;

/// What a process has used; summed over its restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time of all runs.
    pub(crate) cpu_seconds: f64,
    /// Largest resident memory of any run.
    pub(crate) peak_rss_bytes: u64,
}

/// A process that can be started again.
#[derive(Debug)]
pub(crate) struct Process {
    /// What it is, for people.
    pub(crate) name: &'static str,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    /// Of the runs that are over.
    past: Usage,
    /// Of the run that goes on.
    present: Usage,
}

impl Process {
    /// Starts this program with `arguments`, its output going to `log`.
    pub(crate) fn start(
        name: &'static str,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> Result<Self, Error> {
        let (past, present) = (Usage::default(), Usage::default());
        let mut process = Self { name, arguments, log, child: None, past, present };
        process.spawn()?;
        Ok(process)
    }

    /// Starts it again after it was killed.
    pub(crate) fn spawn(&mut self) -> Result<(), Error> {
        let file = |source| Error::File { path: self.log.clone(), source };
        let open = || -> std::io::Result<(File, File)> {
            let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
            Ok((log.try_clone()?, log))
        };
        let (out, err) = open().map_err(file)?;
        let start = |source| Error::Start { name: self.name, source };
        let program = std::env::current_exe().map_err(start)?;
        let child = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C is for the demo, which ends its children itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        self.child = Some(child);
        Ok(())
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.died(status.to_string())),
            Err(error) => Err(self.died(error.to_string())),
        }
    }

    /// kill -9, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.sample();
        if let Some(mut child) = self.child.take() {
            // An error means that it is gone already.
            let _ = child.kill().await;
        }
        self.settle_usage();
    }

    /// SIGTERM, and waits until it is gone; kills it after `limit` and answers false.
    pub(crate) async fn stop(&mut self, limit: Duration) -> bool {
        self.sample();
        let Some(child) = &mut self.child else { return true };
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let clean = asked
            && matches!(tokio::time::timeout(limit, child.wait()).await, Ok(Ok(status)) if status.success());
        self.kill().await;
        clean
    }

    /// Looks up what it has used.
    pub(crate) fn sample(&mut self) {
        let pid = self.child.as_ref().and_then(Child::id);
        if let Some(seen) = pid.and_then(usage_of) {
            self.present = seen;
        }
    }

    /// What all its runs have used.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            cpu_seconds: self.past.cpu_seconds + self.present.cpu_seconds,
            peak_rss_bytes: self.past.peak_rss_bytes.max(self.present.peak_rss_bytes),
        }
    }

    /// The last lines it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn died(&self, how: String) -> Error {
        Error::Died { name: self.name, how, log: self.log_tail() }
    }

    fn settle_usage(&mut self) {
        self.past = self.usage();
        self.present = Usage::default();
    }
}

/// Reads `/proc`; none where there is no such thing.
fn usage_of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu_seconds: cpu_seconds(&stat)?, peak_rss_bytes: peak_rss_bytes(&status)? })
}

/// User and system time are the 14th and 15th field; the second is a name that may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn peak_rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_blanks_and_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 99";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[test]
    fn peak_memory_is_the_high_water_mark() {
        let status = "Name:\tmainstay\nVmPeak:\t  900 kB\nVmHWM:\t   12 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(peak_rss_bytes(status), Some(12 * 1024));
        assert_eq!(peak_rss_bytes("Name:\tzombie\n"), None);
    }
}
