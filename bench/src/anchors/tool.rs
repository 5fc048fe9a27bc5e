//! A program that an anchor needs and that is not ours to install: where it is, and whether it is new
//! enough. It measures nothing, and refuses nothing by itself: it says in words what is missing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

/// A program that does not tell its version within this time is not counted on.
const LIMIT: Duration = Duration::from_secs(20);

/// See the module's page.
pub(super) struct Tool {
    /// Its program.
    pub(super) program: &'static str,
    /// What makes it tell its version.
    pub(super) version: &'static str,
    /// The oldest version that will do.
    pub(super) least: [u32; 3],
    /// What to install, for people.
    pub(super) get: &'static str,
}

impl Tool {
    /// Where it is.
    pub(super) fn find(&self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::env::split_paths(&path).chain(debian());
        let mut programs = directories.map(|directory| directory.join(self.program));
        let found = programs.find(|program| is_executable(program));
        found.with_context(|| format!("no `{}` here: {}", self.program, self.get))
    }

    /// Says so if it is not here or too old.
    pub(super) async fn missing(&self) -> Option<String> {
        let program = match self.find() {
            Ok(program) => program,
            Err(error) => return Some(error.to_string()),
        };
        let ask = Command::new(&program)
            .arg(self.version)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let Ok(Ok(answer)) = tokio::time::timeout(LIMIT, ask).await else {
            return Some(format!("`{}` does not tell its version", program.display()));
        };
        // Java tells its version on stderr.
        let text = [answer.stdout, answer.stderr].concat();
        let found = first_version(&String::from_utf8_lossy(&text));
        (found < self.least).then(|| {
            let [program, found, least] =
                [program.display().to_string(), words(found), words(self.least)];
            format!("{program} is {found}, needs {least}: {}", self.get)
        })
    }
}

/// Where Debian keeps the programs of PostgreSQL's server: not on the path. The newest comes first.
fn debian() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    versions.sort();
    versions.iter().rev().map(|version| version.join("bin")).collect()
}

fn is_executable(program: &Path) -> bool {
    program.is_file() && rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The first number with dots in what a program says; parts that it does not tell are zero.
fn first_version(text: &str) -> [u32; 3] {
    let text = text.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let mut parts = text[..end.unwrap_or(text.len())].split('.').map(|part| part.parse().ok());
    std::array::from_fn(|_| parts.next().flatten().unwrap_or(0))
}

fn words(version: [u32; 3]) -> String {
    version.map(|part| part.to_string()).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_tells_its_version_in_its_own_way() {
        let said = |text| words(first_version(text));
        assert_eq!(said("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), "17.0.15");
        assert_eq!(said("go version go1.26.8 linux/amd64"), "1.26.8");
        assert_eq!(said("\u{1b}Apache Maven 3.8.7\nMaven home: /usr"), "3.8.7");
        assert_eq!(said("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), "15.18.0");
        assert_eq!(said("v20.20.2"), "20.20.2");
        assert_eq!(said("java: command not found"), "0.0.0");
    }
}
