//! Restate's server by its npm package, which holds the program for this platform.
//! It measures nothing, and refuses the package's install scripts: they only report usage.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::Anchor;
use super::step::Step;
use super::tool::Tool;

const NPM: Tool = Tool {
    program: "npm",
    version: "--version",
    least: [7, 0, 0],
    get: "Node.js with npm (Debian: nodejs npm)",
};
/// Some two hundred megabytes, unpacked.
const LIMIT: Duration = Duration::from_secs(600);

/// See the module's page.
pub(super) const RESTATE: Anchor = Anchor {
    name: "restate",
    version: "1.7.12",
    install_tools: &[NPM],
    run_tools: &[],
    files: &[],
    steps,
    products: |directory| vec![program(directory)],
};

/// Its program.
pub(crate) fn server() -> Result<PathBuf> {
    Ok(program(&RESTATE.installed()?))
}

fn steps(directory: &Path) -> Result<Vec<Step>> {
    let package = format!("@restatedev/restate-server@{}", RESTATE.version);
    let arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."];
    let step = |what: &str, program, arguments: Vec<&str>| Step {
        what: what.to_owned(),
        program,
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        limit: LIMIT,
    };
    Ok(vec![
        step("npm fetches its package", NPM.find()?, [&arguments[..], &[&package]].concat()),
        step("it starts", program(directory), vec!["--version"]),
    ])
}

fn program(directory: &Path) -> PathBuf {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let package = format!("node_modules/@restatedev/restate-server-{system}-{processor}");
    directory.join(package).join("bin/restate-server")
}
