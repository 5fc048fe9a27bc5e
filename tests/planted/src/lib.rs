//! The gate of the planted bugs: each bug of [`base::planted`] must be found by a test that runs
//! with every change, and found for the right reason.
//!
//! [`CHECKS`] says which test that is. The test executable that holds it plants the bug into
//! itself: its test `planted_bugs_are_caught` calls [`gate`], which starts the same executable
//! again, for one test only, with the environment variable set. So there is nothing to find, to
//! build or to confuse, and `cargo test -p` of one crate is a gate for what this crate checks.
//!
//! Refuses: a bug that is not found, found late, found by another test than the table's or with
//! another finding; and a test that fails, or is not there, when no bug is planted.

mod check;
mod child;

pub use check::{CHECKS, Check};

use child::{Ended, run};
use std::path::Path;
use std::time::Instant;

/// Plants each bug that `executable` (this one) is to find, and panics if one is not found.
pub fn gate(executable: &str) {
    let this = std::env::current_exe().expect("the path of this executable");
    judge_all(executable, &this, |check| {
        vec!["--exact".into(), check.test.into(), "--test-threads=1".into()]
    });
}

/// The same for a program: `test` is its command line, and it is to end with a status that is not
/// zero and to print the finding.
pub fn gate_of_program(executable: &str, program: &Path) {
    judge_all(executable, program, |check| {
        check.test.split_whitespace().map(str::to_owned).collect()
    });
}

#[allow(clippy::print_stdout, reason = "only tests call this, and print how long it took")]
fn judge_all(executable: &str, program: &Path, arguments: impl Fn(&Check) -> Vec<String>) {
    let checks: Vec<&Check> =
        CHECKS.iter().filter(|check| check.executable == executable).collect();
    assert!(!checks.is_empty(), "no bug is to be found by {executable}");
    let mut problems = Vec::new();
    let mut honest: Vec<&str> = Vec::new();
    for check in checks {
        let arguments = arguments(check);
        if !honest.contains(&check.test) {
            honest.push(check.test);
            problems.extend(judge_honest(check, &run(program, &arguments, None)).err());
        }
        let started = Instant::now();
        let judged = judge_planted(check, &run(program, &arguments, Some(check.bug)));
        let seconds = started.elapsed().as_secs_f32();
        println!("{}: {seconds:.1} s, {}", check.bug, check.test);
        problems.extend(judged.err());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn judge_honest(check: &Check, ended: &Ended) -> Result<(), String> {
    let Check { test, .. } = check;
    let passed = ended.code == Some(0);
    let ran = ended.output.contains("1 passed") || !is_test(check);
    if passed && ran {
        return Ok(());
    }
    Err(format!("{test} must be there, and pass without a bug: {ended}"))
}

fn judge_planted(check: &Check, ended: &Ended) -> Result<(), String> {
    let Check { bug, test, finding, .. } = check;
    let failed = ended.code.is_some_and(|code| code != 0);
    let by_name = !is_test(check) || ended.output.contains(&format!("test {test} ... FAILED"));
    if failed && by_name && ended.output.contains(finding) {
        return Ok(());
    }
    Err(format!("{bug} ({}) is not found by {test} with \"{finding}\": {ended}", bug.does()))
}

/// Whether the check is a test of a test executable, not a command line.
fn is_test(check: &Check) -> bool {
    !check.test.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::planted::Bug;

    const CHECK: Check = Check {
        bug: Bug::AckBeforeFsync,
        executable: "x",
        test: "a::b",
        finding: "it is gone",
        seconds: 1,
    };

    fn ended(code: Option<i32>, output: &str) -> Ended {
        Ended { code, output: output.to_owned() }
    }

    #[test]
    fn only_the_right_failure_is_a_finding() {
        let right = "test a::b ... FAILED\n it is gone";
        assert!(judge_planted(&CHECK, &ended(Some(101), right)).is_ok());
        for (code, output) in [
            (Some(0), right),
            (None, right),
            (Some(101), "test a::b ... FAILED\n something else"),
            (Some(101), "test a::c ... FAILED\n it is gone"),
            (Some(101), "it is gone"),
        ] {
            let judged = judge_planted(&CHECK, &ended(code, output));
            let reason = judged.expect_err("not found");
            assert!(reason.contains("ack-before-fsync"), "{reason}");
        }
    }

    #[test]
    fn a_test_that_is_not_there_does_not_pass() {
        assert!(judge_honest(&CHECK, &ended(Some(0), "1 passed")).is_ok());
        assert!(judge_honest(&CHECK, &ended(Some(0), "0 passed")).is_err());
        assert!(judge_honest(&CHECK, &ended(Some(101), "1 passed")).is_err());
        assert!(judge_honest(&CHECK, &ended(None, "1 passed")).is_err());
    }
}
