//! One run of a test in a process of its own, with a bug or without, bounded in time.

use base::planted::{Bug, VARIABLE};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Whoever takes longer is killed, and has found nothing.
const SECONDS_MAX: u64 = 60;
/// So much of an output is shown when something is wrong.
const SHOWN_BYTES: usize = 3000;

/// How a process has ended.
pub(crate) struct Ended {
    /// `None`: by a signal, its own abort or because it took too long.
    pub(crate) code: Option<i32>,
    /// What it has printed.
    pub(crate) output: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.output.floor_char_boundary(self.output.len().saturating_sub(SHOWN_BYTES));
        write!(f, "ended with {:?} after printing\n{}", self.code, &self.output[from..])
    }
}

/// Runs `program`; kills it if it takes too long.
pub(crate) fn run(program: &Path, arguments: &[String], bug: Option<Bug>) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).env_remove(VARIABLE).env("RUST_BACKTRACE", "0");
    if let Some(bug) = bug {
        command.env(VARIABLE, bug.name());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the test starts");
    let output = read(&mut child);
    let status = child.wait().expect("the test ends");
    Ended { code: status.code(), output }
}

/// Everything that the child prints until it ends; after too long a time it is killed.
fn read(child: &mut Child) -> String {
    let (sender, receiver) = sync_channel(2);
    let pipes: [Box<dyn Read + Send>; 2] = [
        Box::new(child.stdout.take().expect("a pipe")),
        Box::new(child.stderr.take().expect("a pipe")),
    ];
    for mut pipe in pipes {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read until then is enough.
            let _ = pipe.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
    }
    let mut output = String::new();
    for _ in 0..2 {
        let bytes = receiver.recv_timeout(Duration::from_secs(SECONDS_MAX)).or_else(|_| {
            // It may have ended by itself just now.
            let _ = child.kill();
            receiver.recv()
        });
        output.push_str(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
    }
    output
}
