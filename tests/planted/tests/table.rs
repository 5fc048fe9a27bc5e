//! Fails when a bug has no check, when a check is run by nobody, and when `docs/planted-bugs.md`
//! says something else than the table (`UPDATE=1` rewrites it).

use base::planted::{Bug, VARIABLE};
use planted::{CHECKS, Check};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Everything in `crates` and `tests` that is Rust.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(std::fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    found
}

fn checks_of(bug: Bug) -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().filter(move |check| check.bug == bug)
}

#[test]
fn every_bug_has_a_hook_and_a_check() {
    let sources = sources();
    for bug in Bug::ALL {
        assert!(checks_of(*bug).next().is_some(), "nothing finds {bug}");
        let hook = format!("planted::is(Bug::{bug:?})");
        assert!(sources.iter().any(|text| text.contains(&hook)), "{bug} is planted nowhere");
    }
}

#[test]
fn every_check_is_run_by_its_executable() {
    let sources = sources();
    for Check { executable, bug, .. } in CHECKS {
        let calls = [
            format!("planted::gate(\"{executable}\")"),
            format!("planted::gate_of_program(\"{executable}\""),
        ];
        let is_called = calls.iter().any(|call| sources.iter().any(|text| text.contains(call)));
        assert!(is_called, "nobody runs the checks of {executable}, as the one of {bug}");
    }
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = root().join("docs/planted-bugs.md");
    let wanted = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &wanted).expect("writable");
    }
    let found = std::fs::read_to_string(&path).expect("the page");
    assert_eq!(found, wanted, "UPDATE=1 cargo test -p planted");
}

fn page() -> String {
    let mut page = format!("{}\n", HEAD.replace("{variable}", VARIABLE).trim_start());
    for bug in Bug::ALL {
        for (index, check) in checks_of(*bug).enumerate() {
            let (name, does, breaks) = match index {
                0 => (format!("`{bug}`"), bug.does(), bug.breaks()),
                _ => Default::default(),
            };
            let Check { executable, test, finding, seconds, .. } = check;
            let found = format!("`{executable}`: `{test}` | {finding} | {seconds}");
            let _ = writeln!(page, "| {name} | {does} | {breaks} | {found} |");
        }
    }
    page
}

const HEAD: &str = "
# Planted bugs

Tests that never fail prove nothing. Each line is a mistake that a careless engineer makes, planted at its true place in the
code, and the test that must find it with every change: by its name, and by what it says. The gate (`tests/planted`) plants every one in turn
and fails if it is not found, or found for another reason; it also runs each of these tests without a bug.

The hooks are behind the feature `planted` of the crate `base`, which only dev-dependencies may turn on (`tests/architecture` checks it), so no binary that
is shipped has them. A binary that has them says so at start and in `--version`. Try one by hand:

    {variable}=ack-before-fsync cargo test -p journal

Seconds are about what it takes to find the bug in a debug build on two cores, rounded up.
This page is written by `UPDATE=1 cargo test -p planted`.

| bug | what it does | promise broken | found by | what is said then | seconds |
|---|---|---|---|---|---|";
