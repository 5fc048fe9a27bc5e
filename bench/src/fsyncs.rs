//! How often a server syncs files, counted by `perf stat` in the kernel.
//!
//! Counted are the calls of all threads and children, not what becomes of them. It costs every system
//! call of the machine a little, so it is done only when it is asked for (`--fsyncs`). It refuses
//! nothing: where there is no `perf`, or it may not count, there is no figure.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const EVENTS: &str = "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync";

/// A count that goes on.
#[derive(Debug)]
pub(crate) struct Fsyncs(Child);

impl Fsyncs {
    /// Begins to count the calls of these processes and of the children they start.
    pub(crate) fn count(pids: &[u32]) -> Option<Fsyncs> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let child = Command::new("perf")
            // Starts switched off; is told through its input, and answers on its output.
            .args(["stat", "-x", ",", "-D", "-1", "--control", "fd:0,1", "-e", EVENTS, "-p"])
            .arg(pids.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut fsyncs = Fsyncs(child.ok()?);
        fsyncs.tell("enable\n")?;
        Some(fsyncs)
    }

    /// Ends it, and says how many there were.
    pub(crate) fn end(mut self) -> Option<u64> {
        self.tell("disable\n")?;
        let pid = Pid::from_raw(i32::try_from(self.0.id()).ok()?)?;
        kill_process(pid, Signal::INT).ok()?;
        let mut said = String::new();
        self.0.stderr.take()?.read_to_string(&mut said).ok()?;
        total(&said)
    }

    /// Says something, and waits until it was understood.
    fn tell(&mut self, what: &str) -> Option<()> {
        self.0.stdin.as_mut()?.write_all(what.as_bytes()).ok()?;
        // "ack", a line's end and a zero.
        self.0.stdout.as_mut()?.read_exact(&mut [0; 5]).ok()
    }
}

impl Drop for Fsyncs {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sum of the lines that count something; none where it could not count.
fn total(said: &str) -> Option<u64> {
    let counts = said.lines().filter(|line| line.contains("sys_enter_"));
    counts.map(|line| line.split(',').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn counts_are_added_up() {
        let said = "Events disabled\nEvents enabled\n92,,syscalls:sys_enter_fdatasync,28,100.00,,\n\
                    8,,syscalls:sys_enter_fsync,28,100.00,,\n";
        assert_eq!(total(said), Some(100));
        assert_eq!(total("<not counted>,,syscalls:sys_enter_fsync,0,100.00,,\n"), None);
    }
}
