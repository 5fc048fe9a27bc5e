//! One step of an installation: a child process in a group of its own, with a time limit, its output
//! in a log file and a line on the terminal that says how long it has been at it.
//! It measures nothing, and refuses to go on after a step that failed.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// How often the line on the terminal moves.
const TICK: Duration = Duration::from_millis(200);
/// How much of a log is worth showing.
const LOG_LINES: usize = 15;

/// See the module's page.
pub(super) struct Step {
    /// What it does, for people.
    pub(super) what: String,
    /// The program, found already.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// What is added to its environment.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// It is ended after so long.
    pub(super) limit: Duration,
}

impl Step {
    /// Runs it in `directory`.
    pub(super) async fn run(&self, title: &str, directory: &Path, log: &Path) -> Result<()> {
        let progress = ProgressBar::new_spinner().with_message(format!("{title}: {}", self.what));
        progress.set_style(ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}")?);
        progress.enable_steady_tick(TICK);
        let mut group = Group(self.spawn(directory, log)?);
        let ended = tokio::time::timeout(self.limit, group.0.wait()).await;
        progress.finish_and_clear();
        let how = match ended {
            Ok(status) => match status? {
                status if status.success() => return Ok(()),
                status => status.to_string(),
            },
            Err(_) => format!("not done after {} s", self.limit.as_secs()),
        };
        bail!("{}: {how}; the end of {}:\n{}", self.what, log.display(), tail(log))
    }

    fn spawn(&self, directory: &Path, log: &Path) -> Result<Child> {
        let open = || -> std::io::Result<(File, File)> {
            let file = OpenOptions::new().create(true).append(true).open(log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().with_context(|| format!("the log {}", log.display()))?;
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}

/// A process and its children (compilers, downloads), ended when the step is given up.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // None once it has been waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Step {
        Step {
            what: "a step".to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD", "abracadabra".into())],
            limit,
        }
    }

    #[tokio::test]
    async fn a_step_that_fails_says_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let step = shell("echo $WORD; exit 3", Duration::from_secs(20));
        let error = step.run("x", directory.path(), &log).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("abracadabra"), "{error}");
    }

    #[tokio::test]
    async fn a_step_that_takes_too_long_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let step = shell("sleep 600 & echo $!; wait", Duration::from_millis(300));
        let error = step.run("x", directory.path(), &log).await.unwrap_err().to_string();
        assert!(error.contains("not done"), "{error}");
        let child = std::fs::read_to_string(&log).unwrap();
        let status = format!("/proc/{}/stat", child.trim());
        let until = std::time::Instant::now() + Duration::from_secs(10);
        // Gone, or dead and not yet collected by init.
        while std::fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(std::time::Instant::now() < until, "process {child} is left");
            tokio::task::yield_now().await;
        }
    }
}
