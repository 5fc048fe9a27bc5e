//! A control group for the node: so much memory, and so many bytes a second to its disk.
//!
//! Memory by cgroup v1 where it is mounted, else by v2. The disk by v1 (blkio) only; where that is
//! missing the disk is as fast as it is.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MEMORY: &str = "/sys/fs/cgroup/memory";
const DISK: &str = "/sys/fs/cgroup/blkio";
const UNIFIED: &str = "/sys/fs/cgroup";

/// See the module's page. Removed when dropped; the node must be gone by then.
#[derive(Debug)]
pub(crate) struct Group {
    version: Version,
    memory: PathBuf,
    disk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Most bytes, the cache of files included.
    pub(crate) peak_bytes: u64,
    /// Bytes that are no cache, at this moment.
    pub(crate) anonymous_bytes: u64,
    /// How often the limit was met and memory was taken back.
    pub(crate) limited: u64,
    /// Processes that were killed for want of memory.
    pub(crate) killed: u64,
}

/// Why no such group can be made here, if it cannot.
pub(crate) fn hindrance() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("control groups need root".to_owned());
    }
    let tried = Group::create(256 << 20);
    tried.err().map(|error| format!("no control group for memory: {error:#}"))
}

impl Group {
    /// A group that may use so much memory.
    pub(crate) fn create(memory_bytes: u64) -> Result<Group> {
        let is_one = Path::new(MEMORY).join("memory.limit_in_bytes").exists();
        let (version, root) = if is_one { (Version::One, MEMORY) } else { (Version::Two, UNIFIED) };
        if version == Version::Two {
            let control = Path::new(root).join("cgroup.subtree_control");
            std::fs::write(control, "+memory").context("cgroup v2 gives no memory controller")?;
        }
        let group = Group { version, memory: new(root)?, disk: new(DISK).ok() };
        match version {
            Version::One => group.set("memory.limit_in_bytes", memory_bytes)?,
            Version::Two => group.set("memory.max", memory_bytes)?,
        }
        Ok(group)
    }

    /// Bounds what is written to the disk under `directory`; answers whether it is bounded.
    pub(crate) fn slow_disk(&self, directory: &Path, bytes_per_second: u64) -> Result<bool> {
        let Some(disk) = &self.disk else { return Ok(false) };
        let device = directory.metadata()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let rule = format!("{major}:{minor} {bytes_per_second}");
        // A file system that is not on one device, or a device that cannot be bounded.
        Ok(std::fs::write(disk.join("blkio.throttle.write_bps_device"), rule).is_ok())
    }

    /// What a program is to be run under: a shell that enters the group and becomes the program.
    pub(crate) fn wrapper(&self) -> Vec<OsString> {
        let enter = r#"for group in "$1" ${2:+"$2"}; do echo $$ > "$group/cgroup.procs" || exit 1; done
shift 2
exec "$@""#;
        let disk = self.disk.clone().unwrap_or_default();
        let words = ["sh", "-c", enter, "sh"].map(OsString::from);
        words.into_iter().chain([self.memory.clone().into(), disk.into()]).collect()
    }

    /// What was counted until now.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let [peak, stat, anonymous, limited, limited_key, events] = match self.version {
            Version::One => [
                "memory.max_usage_in_bytes",
                "memory.stat",
                "rss",
                "memory.failcnt",
                "",
                "memory.oom_control",
            ],
            Version::Two => {
                ["memory.peak", "memory.stat", "anon", "memory.events", "max", "memory.events"]
            }
        };
        Ok(Counts {
            peak_bytes: self.get(peak, "")?,
            anonymous_bytes: self.get(stat, anonymous)?,
            limited: self.get(limited, limited_key)?,
            killed: self.get(events, "oom_kill")?,
        })
    }

    fn set(&self, file: &str, value: u64) -> Result<()> {
        std::fs::write(self.memory.join(file), value.to_string()).with_context(|| file.to_owned())
    }

    /// The number in a file, or that behind a key.
    fn get(&self, file: &str, key: &str) -> Result<u64> {
        let text =
            std::fs::read_to_string(self.memory.join(file)).with_context(|| file.to_owned())?;
        let value = match key {
            "" => Some(text.trim()),
            key => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')),
        };
        let value = value.and_then(|value| value.trim().parse().ok());
        value.with_context(|| format!("{file}: no {key} in {text}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty: the node has ended.
        for path in self.disk.iter().chain([&self.memory]) {
            let _ = std::fs::remove_dir(path);
        }
    }
}

fn new(root: &str) -> Result<PathBuf> {
    let group = tempfile::Builder::new().prefix("torture-").tempdir_in(root);
    Ok(group.with_context(|| root.to_owned())?.keep())
}
