//! Errors of system calls: strace lets the n-th call of a thread fail, and writes down that it did.
//!
//! The call is not made at all, so that what it was to bring to the disk is still in memory only.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::machine;

/// What strace may take to write its last line, once the process is gone.
const LOG_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// The thread whose errors end the process always, as strace names it.
const COMMITTER: &str = "<committer>";

/// Why nothing can be injected on this machine, if it cannot.
pub(crate) fn hindrance() -> Option<String> {
    machine::missing(&["strace"]).or_else(|| {
        let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        let works = tried.as_ref().is_ok_and(|tried| tried.status.success());
        (!works).then(|| "strace may not trace here".to_owned())
    })
}

/// One error of one system call.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    /// The call.
    pub(crate) call: &'static str,
    /// What it answers.
    pub(crate) error: &'static str,
    /// Which call of a thread, from 1; those before it are made.
    pub(crate) when: u32,
}

/// What strace saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injected {
    /// When the first call failed.
    pub(crate) at_us: i64,
    /// How long the process lived after the committer's first one, or else after the last one: what
    /// fails while room is prepared ahead of need may not end it.
    pub(crate) lived: Duration,
}

impl Injection {
    /// What a program is to be run under. The program stays a child of whoever starts it.
    pub(crate) fn wrapper(&self, log: &Path) -> Vec<OsString> {
        let Injection { call, error, when } = self;
        let words = ["strace", "-D", "-f", "--seccomp-bpf", "-Y", "-ttt", "-q", "-e"];
        let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
        words.extend([
            format!("trace={call}").into(),
            "-e".into(),
            format!("inject={call}:error={error}:when={when}").into(),
            "-o".into(),
            log.into(),
        ]);
        words
    }
}

/// Reads what strace wrote about a process that has ended. That nothing was injected is an error:
/// such a run proves nothing.
pub(crate) async fn read(log: &Path) -> Result<Injected> {
    let until = Instant::now() + LOG_MAX;
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let end = text.lines().rfind(|line| line.contains(" +++ ")).and_then(time_us);
        let mut failed = text.lines().filter(|line| line.ends_with("(INJECTED)"));
        let committer = failed.clone().find(|line| line.contains(COMMITTER));
        let first = failed.next().and_then(time_us);
        let last = committer.or_else(|| failed.next_back()).and_then(time_us);
        match (first, end) {
            (Some(at_us), Some(end_us)) => {
                let lived = Duration::from_micros(end_us.abs_diff(last.unwrap_or(at_us)));
                return Ok(Injected { at_us, lived });
            }
            _ if Instant::now() < until => {}
            _ => bail!("control: nothing was injected; the end of strace's log:\n{}", tail(&text)),
        }
    }
}

/// `PID<THREAD> SECONDS.MICROS ...`
fn time_us(line: &str) -> Option<i64> {
    let (seconds, micros) = line.split_whitespace().nth(1)?.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
