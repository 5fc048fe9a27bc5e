//! Runs a method inside a mount and process namespace of its own: whatever happens to the run, its
//! mounts and its processes end with it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::report::Outcome;

/// Runs this program's `method NAME` inside; answers what became of it.
pub(crate) async fn run(name: &str, seed: u64, faults: u32) -> Result<Outcome> {
    let directory = tempfile::Builder::new().prefix("torture-outcome-").tempdir()?;
    let path = directory.path().join("outcome.json");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"])
        .arg("--kill-child")
        .arg(std::env::current_exe()?)
        .args(["method", name, "--inside"])
        .args(["--seed", &seed.to_string(), "--faults", &faults.to_string(), "--outcome"])
        .arg(&path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await.context("unshare")?;
    read(&path).with_context(|| format!("inside the namespace: {status}"))
}

fn read(path: &Path) -> Result<Outcome> {
    let Ok(bytes) = std::fs::read(path) else { bail!("no outcome was written") };
    serde_json::from_slice(&bytes).context("the outcome")
}
