//! Processor time and memory of a server's processes, from `/proc`, and processor time of this one.
//!
//! A server is some processes and all their descendants. A child that ended inside the window and was
//! waited for is in its parent's `cutime`, so that nothing is lost when PostgreSQL's backends or a
//! shell end. Not counted: children of a parent that ignores SIGCHLD, and daemons that left the tree.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::fsyncs::Fsyncs;

/// Clock ticks per second in `/proc/PID/stat`: a constant of Linux's interface.
const TICKS_PER_SECOND: u64 = 100;
/// How often the memory of a server with several processes is looked at.
const MEMORY_PAUSE: Duration = Duration::from_millis(500);

/// The processes of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// Those that were started; their descendants belong to it too.
    pub(crate) pids: Vec<u32>,
    /// Whether windows count its fsyncs too.
    pub(crate) fsyncs: bool,
}

/// A stretch of time in which work is done and everything is counted.
pub(crate) struct Window {
    server: Server,
    began: Instant,
    client_cpu: Duration,
    server_cpu: Duration,
    peak: PeakMemory,
    fsyncs: Option<Fsyncs>,
}

/// What a window came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// How long it was.
    pub(crate) wall: Duration,
    /// Processor time of this process.
    pub(crate) client_cpu: Duration,
    /// Processor time of the server.
    pub(crate) server_cpu: Duration,
    /// The most memory the server had.
    pub(crate) server_peak_bytes: u64,
    /// fsync and fdatasync calls of the server, where they were counted.
    pub(crate) fsyncs: Option<u64>,
}

impl Window {
    /// Begins to count.
    pub(crate) fn open(server: &Server) -> Window {
        let peak = PeakMemory::watch(server);
        let pids = || server.stats().iter().map(|stat| stat.pid).collect::<Vec<_>>();
        let fsyncs = if server.fsyncs { Fsyncs::count(&pids()) } else { None };
        Window {
            server: server.clone(),
            peak,
            fsyncs,
            server_cpu: server.cpu(),
            client_cpu: own_cpu(),
            began: Instant::now(),
        }
    }

    /// Ends it.
    pub(crate) fn close(self) -> Used {
        let wall = self.began.elapsed();
        let client_cpu = own_cpu().saturating_sub(self.client_cpu);
        let server_cpu = self.server.cpu().saturating_sub(self.server_cpu);
        let fsyncs = self.fsyncs.and_then(Fsyncs::end);
        Used { wall, client_cpu, server_cpu, server_peak_bytes: self.peak.end(), fsyncs }
    }
}

impl Server {
    /// User and system time of all processes and of the children they have waited for.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.stats().iter().map(|stat| stat.ticks).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory now; what processes share is counted once.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let (mut own, mut shared) = (0, 0);
        for stat in self.stats() {
            let Some(memory) = Memory::of(stat.pid) else { continue };
            own += memory.anonymous_bytes;
            shared = memory.shared_bytes.max(shared);
        }
        own + shared
    }

    /// The processes that were started, and their descendants.
    fn stats(&self) -> Vec<Stat> {
        if self.pids.is_empty() {
            return Vec::new();
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<Stat> = pids.filter_map(Stat::of).collect();
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for stat in &all {
            children.entry(stat.parent).or_default().push(stat.pid);
        }
        let mut members: HashSet<u32> = HashSet::new();
        let mut left = self.pids.clone();
        while let Some(pid) = left.pop() {
            if members.insert(pid) {
                left.extend(children.get(&pid).into_iter().flatten());
            }
        }
        all.into_iter().filter(|stat| members.contains(&stat.pid)).collect()
    }
}

/// Processor time of this process.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The highest memory since a moment. One process has a mark of its own for that in the kernel; the sum
/// of several has none and is looked at now and then.
struct PeakMemory {
    single: Option<u32>,
    watcher: Option<(SyncSender<()>, JoinHandle<u64>)>,
}

impl PeakMemory {
    fn watch(server: &Server) -> PeakMemory {
        let stats = server.stats();
        if let [stat] = stats[..] {
            // Sets the high water mark to what is resident now. Where that is not allowed, the mark
            // is that of the process's whole life, which is no less.
            let _ = fs::write(format!("/proc/{}/clear_refs", stat.pid), "5");
            return PeakMemory { single: Some(stat.pid), watcher: None };
        }
        if stats.is_empty() {
            return PeakMemory { single: None, watcher: None };
        }
        let (end, ended) = sync_channel(1);
        let server = server.clone();
        let watcher = std::thread::spawn(move || {
            let mut peak = server.resident_bytes();
            while ended.recv_timeout(MEMORY_PAUSE) == Err(RecvTimeoutError::Timeout) {
                peak = server.resident_bytes().max(peak);
            }
            server.resident_bytes().max(peak)
        });
        PeakMemory { single: None, watcher: Some((end, watcher)) }
    }

    fn end(self) -> u64 {
        let single = self.single.and_then(Memory::of).map_or(0, |memory| memory.peak_bytes);
        let watched = self.watcher.and_then(|(end, watcher)| {
            drop(end);
            watcher.join().ok()
        });
        watched.unwrap_or(0).max(single)
    }
}

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// User and system time, its own and that of the children it waited for.
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        Stat::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields are counted after the second one, a name that may hold anything.
    fn parse(pid: u32, line: &str) -> Option<Stat> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Stat { pid, parent: u32::try_from(number(1)?).ok()?, ticks })
    }
}

/// What `/proc/PID/status` says about memory.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    anonymous_bytes: u64,
    shared_bytes: u64,
    peak_bytes: u64,
}

impl Memory {
    fn of(pid: u32) -> Option<Memory> {
        Memory::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Memory> {
        let bytes = |name: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
        };
        Some(Memory {
            anonymous_bytes: bytes("RssAnon:")?,
            shared_bytes: bytes("RssFile:")? + bytes("RssShmem:")?,
            peak_bytes: bytes("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_name_may_hold_blanks_and_brackets() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 1 0 99";
        assert_eq!(Stat::parse(42, line), Some(Stat { pid: 42, parent: 7, ticks: 307 }));
    }

    #[test]
    fn memory_is_told_apart() {
        let status = "VmHWM:\t 30 kB\nRssAnon:\t 10 kB\nRssFile:\t 4 kB\nRssShmem:\t 1 kB\n";
        let memory = Memory::parse(status).unwrap();
        assert_eq!((memory.anonymous_bytes, memory.shared_bytes), (10 * 1024, 5 * 1024));
        assert_eq!(memory.peak_bytes, 30 * 1024);
        assert_eq!(Memory::parse("Name:\tzombie\n"), None);
    }

    /// A child's work counts while it runs, and after it was waited for.
    #[test]
    fn a_grandchild_that_worked_and_ended_is_counted() {
        let script = "i=0; (while [ $i -lt 300000 ]; do i=$((i+1)); done); echo done; read line";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Server { pids: vec![shell.id()], fsyncs: false };
        let window = Window::open(&server);
        let mut said = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut said).unwrap();
        let used = window.close();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(used.server_cpu >= Duration::from_millis(50), "{used:?}");
        assert!(used.server_cpu <= used.wall + Duration::from_millis(20), "{used:?}");
        assert!(used.server_peak_bytes > 100 * 1024, "{used:?}");
    }
}
