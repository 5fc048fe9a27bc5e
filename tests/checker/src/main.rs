//! `checker FILE...`: judges the history in these files (one for each process of one run), prints
//! what is wrong and what was looked at, and exits with 1 if anything is wrong, 2 if a file cannot
//! be read.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut lines = Vec::new();
    let mut said = std::io::stdout().lock();
    if files.is_empty() {
        let _ = writeln!(said, "usage: checker HISTORY.jsonl...");
        return ExitCode::from(2);
    }
    for file in files {
        match checker::read(&file) {
            Ok(read) => lines.extend(read),
            Err(error) => {
                let _ = writeln!(said, "{error}");
                return ExitCode::from(2);
            }
        }
    }
    let report = checker::check(&lines);
    // Nobody may be listening; the exit code says it too.
    let _ = writeln!(said, "{report}{} lines", lines.len());
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
