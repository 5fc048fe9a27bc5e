//! What the figures were taken on, and whether anything else was going on there.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// More runnable threads than this before a measurement begins, and its figures are doubtful.
const LOAD_QUIET_MAX: f64 = 0.5;
/// `f_type` of file systems that live in memory, where a sync means nothing.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// The machine, as a line below a table.
pub(crate) struct Machine {
    pub(crate) line: String,
}

impl Machine {
    /// Looks before the measurement begins. Refuses a directory that is in memory.
    pub(crate) fn look(directory: &Path) -> Result<Machine> {
        let stat = rustix::fs::statfs(directory).context("no such directory")?;
        let kind = stat.f_type;
        ensure!(![TMPFS, RAMFS].contains(&kind), "{} is in memory", directory.display());
        let cores = std::thread::available_parallelism()?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = load().unwrap_or(f64::NAN);
        let verdict = match load < LOAD_QUIET_MAX {
            true => "quiet",
            false => "**busy: for orientation only**",
        };
        let line =
            format!("{cores} cores, Linux {}, load before {load:.1}: {verdict}.", kernel.trim());
        Ok(Machine { line })
    }
}

/// Threads that ran or wanted to, averaged over the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
