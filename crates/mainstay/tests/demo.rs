//! The demo in small: real node, real worker, real clients, and a checker that can fail.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use serde_json::Value;
use std::process::{Command, Stdio};

fn demo(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["demo", "--json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text:?}; stderr: {}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), figures)
}

fn assert_passes(arguments: &[&str], orders: u64) -> Value {
    let (code, figures) = demo(arguments);
    assert_eq!(code, Some(0), "{figures:#}");
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(count("lost") + count("duplicated") + count("stuck") + count("wrong"), 0);
    assert_eq!(count("shipped") + count("compensated") + count("timed_out"), orders);
    figures
}

#[test]
fn every_order_has_one_right_outcome() {
    assert_passes(&["--orders", "200", "--seed", "3"], 200);
}

#[test]
fn chaos_loses_and_doubles_nothing() {
    // A debug build on a busy machine needs longer than a second to get anything done.
    let arguments = ["--chaos", "--orders", "300", "--seed", "4", "--kill-every-ms", "2500"];
    let figures = assert_passes(&arguments, 300);
    assert!(figures["node_kills"].as_u64().unwrap() >= 2, "{figures:#}");
    assert!(figures["worker_kills"].as_u64().unwrap() >= 1, "{figures:#}");
}

/// A checker that cannot fail proves nothing.
#[test]
fn planted_faults_are_found() {
    for fault in ["lost-record", "doubled-signal", "skipped-compensation"] {
        let (code, figures) = demo(&["--orders", "60", "--plant", fault]);
        assert_eq!(code, Some(1), "{fault}: {figures:#}");
        assert!(!figures["violations"].as_array().unwrap().is_empty(), "{fault}: {figures:#}");
    }
}
