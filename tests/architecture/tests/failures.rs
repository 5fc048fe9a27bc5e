//! Fails when `docs/failures.md` names a test, a file, a section or a message that is
//! not there.
//!
//! `` `crate::path::name` `` must be a test of that crate at that place, `` `torture T3` `` a method of
//! the torture, and whatever begins with `crates/` or `tests/` a file.

use std::path::{Path, PathBuf};

const PAGE: &str = "docs/failures.md";
/// As many tests as this are named at least: the page is not empty, and its form is understood.
const NAMED_MIN: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Messages by which an operator knows what happened.
const MESSAGES: &[(&str, &str)] = &[
    ("crates/journal/src/cut.rs", "cutting a torn, unacknowledged tail"),
    ("crates/journal/src/error.rs", "is missing; the journal cannot be read without it"),
    (
        "crates/journal/src/error.rs",
        "is no file of a journal; move it away, or use another data directory",
    ),
    ("crates/journal/src/error.rs", "is in use by another process (its LOCK file is locked)"),
    ("crates/node/src/journal_port.rs", "the disk is full"),
    ("crates/node/src/committer.rs", "the node cannot go on; the process ends here"),
    ("crates/node/src/error.rs", "the journal is full"),
    ("crates/node/src/error.rs", "the journal cannot be read: "),
    ("crates/node/src/error.rs", "too many requests wait for the node"),
    ("crates/node/src/clock.rs", "the wall clock has jumped; timers follow the monotonic clock"),
    ("crates/node/src/node.rs", "node is open"),
    ("crates/node/src/node.rs", "route until now"),
    ("crates/base/src/machine.rs", "the journal was written by a newer release"),
    (
        "crates/bridge/src/pump/partition.rs",
        "a record went to the dead letters; its headers say why",
    ),
    ("crates/bridge/src/pump/partition.rs", "refused for now: the lane waits"),
    ("crates/bridge/src/pump/partition.rs", "cannot read; trying again"),
    ("crates/kafka/src/api/fetch.rs", "a batch cannot be read"),
    ("crates/kafka/src/server.rs", "too many connections: one more is closed"),
    ("crates/kafka/src/server.rs", "a connection is closed"),
    ("crates/mainstay/src/descriptors.rs", "too few file descriptors (ulimit -Hn)"),
    ("crates/temporal/src/budget.rs", "too many requests are being received"),
    ("crates/workflows/src/complete.rs", "workflow task heartbeat timeout"),
    ("crates/workflows/src/complete.rs", "Workflow task not found."),
];

/// What stands between backticks. Line breaks count as blanks.
fn quoted(page: &str) -> Vec<String> {
    page.split("\n\n").flat_map(|part| part.split('`').skip(1).step_by(2)).map(joined).collect()
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Files in which `crate::modules::name` may be: modules of the library, or a test of its own.
fn places(package: &str, modules: &[&str]) -> Vec<String> {
    let folder = match package {
        "fuzz-targets" => "tests/fuzz".to_owned(),
        "sim" | "torture" | "checker" | "planted" => format!("tests/{package}"),
        _ => format!("crates/{package}"),
    };
    let file = modules.join("/");
    let mut found = vec![
        format!("{folder}/src/{file}.rs"),
        format!("{folder}/src/{file}/mod.rs"),
        format!("{folder}/tests/{file}.rs"),
        format!("{folder}/tests/{file}/main.rs"),
    ];
    // A module of tests at the end of the file that it tests.
    if let Some((&"tests", rest)) = modules.split_last() {
        found.push(format!("{folder}/src/{}.rs", rest.join("/")));
    }
    found
}

/// Whether the file has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let head = format!("fn {name}(");
    let is_here = |line: &str| line.strip_prefix("async ").unwrap_or(line).starts_with(&head);
    let marked = |line: &&&str| line.starts_with("#[test") || line.starts_with("#[tokio::test");
    lines.iter().enumerate().filter(|(_, line)| is_here(line)).any(|(at, _)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.filter(marked).count() > 0
    })
}

fn is_path(text: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || "_:-".contains(c);
    text.contains("::") && text.chars().all(named)
}

#[test]
fn every_test_that_is_named_exists() {
    let named: Vec<String> = quoted(&read(PAGE)).into_iter().filter(|it| is_path(it)).collect();
    assert!(named.len() >= NAMED_MIN, "only {} tests are named", named.len());
    let missing = named.iter().filter(|test| {
        let parts: Vec<&str> = test.split("::").collect();
        let [package, modules @ .., name] = &parts[..] else { return true };
        !places(package, modules).iter().any(|file| has_test(&read(file), name))
    });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_file_and_method_that_is_named_exists() {
    let methods = read("tests/torture/src/method/mod.rs");
    for text in quoted(&read(PAGE)) {
        if text.starts_with("crates/") || text.starts_with("tests/") {
            assert!(root().join(&text).exists(), "{text}");
        }
        if let Some(method) = text.strip_prefix("torture ") {
            let there = methods.contains(&format!("Method::{method} => \"{method}\""));
            assert!(there, "torture has no {method}");
        }
    }
}

#[test]
fn every_section_has_a_heading() {
    let page = read(PAGE);
    let slug = |heading: &str| {
        let kept = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
        let text: String = heading.to_lowercase().chars().filter(kept).collect();
        text.replace(' ', "-")
    };
    let headings: Vec<String> =
        page.lines().filter_map(|it| it.strip_prefix("## ")).map(slug).collect();
    let links: Vec<&str> =
        page.split("](#").skip(1).filter_map(|it| it.split(')').next()).collect();
    assert!(links.len() > 16, "only {} links", links.len());
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "#{link} leads nowhere");
    }
}

/// What the page quotes is what is said: in the page, and as a text in the source.
#[test]
fn every_message_is_what_is_said() {
    let page = joined(&read(PAGE));
    for (file, message) in MESSAGES {
        assert!(page.contains(message), "the page does not quote \"{message}\"");
        // A text that goes on in the next line.
        let source = joined(&read(file)).replace("\\ ", "");
        assert!(source.contains(message), "{file} does not say \"{message}\"");
    }
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\nfn one() {}\n\nfn two() {}\n\n#[tokio::test(start_paused = true)]\n\
                #[allow(x)]\nasync fn three() {}\n";
    assert!(has_test(text, "one") && has_test(text, "three"));
    assert!(!has_test(text, "two") && !has_test(text, "on") && !has_test(text, "four"));
    assert!(is_path("a::b_c::d") && !is_path("a: b") && !is_path("no"));
}
