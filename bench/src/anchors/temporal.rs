//! Temporal, twice: the CLI with its dev server, and the server with its SQL tool, both built by Go
//! from their modules. It measures nothing, and refuses a Go that is older than the server asks for.
//!
//! 1.5.1 is the last version of the CLI that `go install` can build (later ones have a `replace`);
//! the server inside it is 1.29.1. The server on PostgreSQL is the newest there is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::Anchor;
use super::step::Step;
use super::tool::Tool;

const GO: Tool =
    Tool { program: "go", version: "version", least: [1, 26, 4], get: "Go, 1.26.4 or newer" };
/// Hundreds of packages to fetch and to compile: minutes on a fast machine.
const LIMIT: Duration = Duration::from_secs(3600);
const START_LIMIT: Duration = Duration::from_secs(60);

/// The dev server.
pub(super) const CLI: Anchor = Anchor {
    name: "temporal-cli",
    version: "1.5.1",
    install_tools: &[GO],
    run_tools: &[],
    files: &[],
    steps: |directory| build(directory, &["github.com/temporalio/cli/cmd/temporal@v1.5.1"]),
    products: |directory| vec![directory.join("bin/temporal")],
};

/// The server and the tool that writes its schema.
pub(super) const SERVER: Anchor = Anchor {
    name: "temporal-server",
    version: "1.31.2",
    install_tools: &[GO],
    run_tools: &[],
    files: &[],
    steps: |directory| {
        let server = "go.temporal.io/server/cmd/server@v1.31.2";
        build(directory, &[server, "go.temporal.io/server/cmd/tools/sql@v1.31.2"])
    },
    products: |directory| vec![directory.join("bin/server"), directory.join("bin/sql")],
};

/// The programs of the server.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The server.
    pub(crate) server: PathBuf,
    /// Writes the schema, which it carries with it.
    pub(crate) sql_tool: PathBuf,
}

/// The CLI.
pub(crate) fn cli() -> Result<PathBuf> {
    Ok(CLI.installed()?.join("bin/temporal"))
}

/// The server and its tool.
pub(crate) fn server() -> Result<Programs> {
    let bin = SERVER.installed()?.join("bin");
    Ok(Programs { server: bin.join("server"), sql_tool: bin.join("sql") })
}

/// Go puts what it builds where `GOBIN` says, and keeps what it fetched in its own cache.
fn build(directory: &Path, packages: &[&str]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for package in packages {
        let bin = directory.join("bin");
        steps.push(Step {
            what: format!("Go builds {package}"),
            program: GO.find()?,
            arguments: vec!["install".into(), package.into()],
            environment: vec![("GOBIN", bin.clone().into_os_string())],
            limit: LIMIT,
        });
        let path = package.split('@').next().unwrap_or(package);
        let program = bin.join(path.rsplit('/').next().unwrap_or(path));
        steps.push(Step {
            what: "it starts".to_owned(),
            program,
            arguments: vec!["--version".into()],
            environment: Vec::new(),
            limit: START_LIMIT,
        });
    }
    Ok(steps)
}
