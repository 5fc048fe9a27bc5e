//! The binary, on files that show the format.

use std::path::Path;
use std::process::{Command, Output};

fn run(files: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let files = files.iter().map(|file| folder.join(file));
    Command::new(env!("CARGO_BIN_EXE_checker")).args(files).output().expect("it runs")
}

#[test]
fn a_bad_history_is_told_and_fails() {
    let output = run(&["lost.jsonl"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let finding = "L1: value 2 was acked at orders/0 offset 1 and is lost: \
                   the log is 0..1 in the end [1#2, 2#1]";
    assert!(said.lines().any(|line| line == finding), "{said}");
}

#[test]
fn a_good_history_passes_though_its_writer_was_killed() {
    let output = run(&["kept.jsonl"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("L1: 4 judged, 0 broken"), "{said}");
}

#[test]
fn what_cannot_be_read_is_not_passed() {
    assert_eq!(run(&["kept.jsonl", "missing.jsonl"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}
