//! PostgreSQL as the system has it: Temporal's database. It measures nothing, and refuses to install
//! a database: a distribution's package does that better.

use std::path::PathBuf;

use anyhow::Result;

use super::Anchor;
use super::tool::Tool;

const GET: &str = "PostgreSQL's server, 12 or newer (Debian: postgresql-15)";
const POSTGRES_PROGRAM: Tool =
    Tool { program: "postgres", version: "--version", least: [12, 0, 0], get: GET };
const INITDB: Tool = Tool { program: "initdb", version: "--version", least: [12, 0, 0], get: GET };

/// See the module's page.
pub(super) const POSTGRES: Anchor = Anchor {
    name: "postgres",
    version: "",
    install_tools: &[],
    run_tools: &[POSTGRES_PROGRAM, INITDB],
    files: &[],
    steps: |_| Ok(Vec::new()),
    products: |_| Vec::new(),
};

/// Its programs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The server.
    pub(crate) postgres: PathBuf,
    /// Makes a data directory.
    pub(crate) initdb: PathBuf,
}

/// Where they are.
pub(crate) fn programs() -> Result<Programs> {
    Ok(Programs { postgres: POSTGRES_PROGRAM.find()?, initdb: INITDB.find()? })
}
