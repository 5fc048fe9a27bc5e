//! `fio`, the disk's own measure, where it is installed.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How fio finds the room for its file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    /// `--overwrite=1`: the file is written and synced before.
    Overwrite,
    /// `--overwrite=0`: allocated, not written.
    Allocated,
    /// `--overwrite=0 --fallocate=none`: the file grows.
    Grows,
}

impl Room {
    fn arguments(self) -> [&'static str; 2] {
        match self {
            Room::Overwrite => ["--overwrite=1", "--fallocate=native"],
            Room::Allocated => ["--overwrite=0", "--fallocate=native"],
            Room::Grows => ["--overwrite=0", "--fallocate=none"],
        }
    }
}

/// Whether there is an fio, and which.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("fio").arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Writes groups of `group_bytes`, each with an fdatasync; says how many bytes in which time.
pub(crate) fn write_groups(
    place: &Path,
    room: Room,
    group_bytes: usize,
    bytes: u64,
    time: Duration,
) -> Result<(u64, Duration)> {
    let file = place.join("fio");
    let output = Command::new("fio")
        .args(["--name=groups", "--rw=write", "--ioengine=psync", "--fdatasync=1"])
        .args(["--output-format=json", "--thread", "--refill_buffers"])
        .args(room.arguments())
        .arg(format!("--filename={}", file.display()))
        .arg(format!("--bs={group_bytes}"))
        .arg(format!("--size={bytes}"))
        .arg(format!("--runtime={}ms", time.as_millis()))
        .stdin(Stdio::null())
        .output()
        .context("cannot run fio")?;
    std::fs::remove_file(&file).context("fio has left no file")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "fio has failed: {text}");
    read(&text)
}

#[derive(Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    write: Written,
}

#[derive(Deserialize)]
struct Written {
    io_bytes: u64,
    runtime: u64,
}

fn read(text: &str) -> Result<(u64, Duration)> {
    // Warnings come first.
    let json = text.find('{').and_then(|at| text.get(at..)).unwrap_or_default();
    let output: Output = serde_json::from_str(json).context("cannot read what fio says")?;
    let written = &output.jobs.first().context("fio tells of no job")?.write;
    Ok((written.io_bytes, Duration::from_millis(written.runtime)))
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::time::Duration;

    #[test]
    fn what_fio_says_is_read() {
        let text =
            "warning: a\n{\"jobs\": [{\"write\": {\"io_bytes\": 42, \"runtime\": 7, \"x\": 1}}]}";
        assert_eq!(read(text).unwrap(), (42, Duration::from_millis(7)));
        assert!(read("no json").is_err());
    }
}
