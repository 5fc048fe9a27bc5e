//! The reliability log: each long run leaves one line for each method, whatever it found.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::report::Outcome;

const HEAD: &str = "\
# Reliability log

Every long run appends its figures here, also those that found something. `torture` rows come from
`cargo run --release -p torture -- long --seed N`; a fault is one kill or one power cut, a request is one
call of a client whose answer was judged. How the methods work: [testing](testing.md).

| date | commit | method | seed | faults | requests | passed | failed | not run | found |
|---|---|---|---|---|---|---|---|---|---|
";

/// The log of the repository that this program was built from.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reliability-log.md")
}

/// What is checked out; to be asked before a run, which may outlast it.
pub(crate) fn commit() -> String {
    said("git", &["describe", "--always", "--dirty", "--exclude=*"])
}

/// Appends these outcomes of that commit.
pub(crate) fn append(path: &Path, commit: &str, outcomes: &[Outcome]) -> Result<()> {
    let what = || format!("the reliability log {}", path.display());
    let is_new = !path.exists();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.with_context(what)?;
    let head = if is_new { HEAD } else { "" };
    let rows: String = outcomes.iter().map(|outcome| row(commit, outcome)).collect();
    file.write_all(format!("{head}{rows}").as_bytes()).with_context(what)
}

fn row(commit: &str, it: &Outcome) -> String {
    let found = match (it.findings.first(), &it.not_run) {
        (Some(first), _) => format!("{} finding(s): {first}", it.findings.len()),
        (None, Some(why)) => why.clone(),
        (None, None) => "nothing".to_owned(),
    };
    // A table has one line for a row, and bars between its cells.
    let found = found.replace('\n', " ").replace('|', "/");
    format!(
        "| {} | {commit} | {} {} | {} | {} | {} | {} | {} | {} | {found} |\n",
        said("date", &["-u", "+%Y-%m-%d"]),
        it.method,
        it.title,
        it.seed,
        it.faults,
        it.requests,
        it.passed,
        it.failed,
        u8::from(it.not_run.is_some()),
    )
}

/// What a program says; a question mark where it says nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let output = Command::new(program).args(arguments).current_dir(here).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "?".to_owned())
}
