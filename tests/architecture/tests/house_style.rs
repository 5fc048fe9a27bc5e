//! Lengths of files and functions, the opening line of each file, and what must not be written.

use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(root).expect("the root of the repository");
    let mut found = Vec::new();
    let mut folders = ["bench", "crates", "tests"].map(PathBuf::from).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("readable file");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn every_file_opens_with_what_it_is() {
    for (path, text) in sources() {
        let first = text.lines().find(|line| !line.starts_with("#!["));
        assert!(first.is_some_and(|l| l.starts_with("//!")), "{} has no //!", path.display());
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let code: Vec<&str> = text.split("#[cfg(test)]").next().unwrap_or("").lines().collect();
        if code.len() > FILE_LINES_MAX {
            problems.push(format!("{}: {} lines", path.display(), code.len()));
        }
        for (name, lines) in functions(&code) {
            if lines > FUNCTION_LINES_MAX {
                problems.push(format!("{}: {name}: {lines} lines", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "too long:\n{}", problems.join("\n"));
}

/// Functions as rustfmt lays them out: from the line with `fn` to the brace at its indentation.
fn functions(code: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in code.iter().enumerate() {
        let trimmed = line.trim_start();
        let signature = ["fn ", "pub fn ", "pub(crate) fn ", "async fn ", "pub async fn "]
            .iter()
            .any(|opening| trimmed.starts_with(opening));
        if !signature || trimmed.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let length = code[start..].iter().position(|line| *line == close);
        found.push((trimmed.to_owned(), length.map_or(0, |lines| lines + 1)));
    }
    found
}

#[test]
fn nothing_unfinished_is_written() {
    // Put together so that this file does not find itself.
    let banned = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
    ];
    assert_absent(&banned, |_, text| text);
}

/// Backoff in production code waits for a duration because that is what it is for; a test waits
/// for a condition, or moves a paused clock.
#[test]
fn tests_do_not_wait_for_a_duration() {
    let banned = [concat!("thread::sl", "eep"), concat!("time::sl", "eep(")];
    assert_absent(&banned, |path, text| {
        if text.contains("start_paused") || in_paused_world(path) {
            return "";
        }
        if is_test(path) { text } else { text.split_once("#[cfg(test)]").map_or("", |it| it.1) }
    });
}

/// Helpers of tests that run on tokio's paused clock.
fn in_paused_world(path: &Path) -> bool {
    path.ends_with("bridge/src/pump/tests/world.rs") || path.ends_with("bridge/src/pump/tests.rs")
}

fn assert_absent(banned: &[&str], part: impl Fn(&Path, &'static str) -> &'static str) {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        for line in part(&path, text.leak()).lines() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}: {word}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(problems.is_empty(), "unfinished or fragile:\n{}", problems.join("\n"));
}
