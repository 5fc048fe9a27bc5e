//! Every target: its corpus, and mutations of it for a few seconds, in a process of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and tell")]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// For each target; `FUZZ_SECONDS` says another number.
const SECONDS: &str = "5";
/// At the same time.
const PROCESSES: usize = 2;

#[test]
fn no_input_panics_hangs_or_takes_more_than_its_bound() {
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let names = Mutex::new(fuzz_targets::TARGETS.iter().map(|target| target.name));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                loop {
                    let Some(name) = names.lock().unwrap().next() else { break };
                    failures.lock().unwrap().extend(run(name, &seconds).err());
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Gives what the process said, if it failed.
fn run(name: &str, seconds: &str) -> Result<(), String> {
    let artifacts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz-targets"))
        .args(["run", name, "--seconds", seconds, "--artifacts"])
        .arg(&artifacts)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    println!("{told}");
    if output.status.success() {
        return Ok(());
    }
    let under_way = artifacts.join(format!("{name}-under-way"));
    Err(format!("{name}: {}\n{told}\nthe last input: {}", output.status, under_way.display()))
}
