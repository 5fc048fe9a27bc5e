//! The real ones to measure against: what each needs, and how it is installed from its own packages.
//!
//! They live in a cache directory (`MAINSTAY_ANCHORS`, else `mainstay-anchors` in the user's cache),
//! one directory for each name and version. It measures nothing. It refuses to install a toolchain:
//! what is missing is said, and the others go on.

mod install;
pub(crate) mod kafka;
mod options;
pub(crate) mod postgres;
pub(crate) mod restate;
mod step;
pub(crate) mod temporal;
mod tool;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub(crate) use options::{Options, run};
use step::Step;
use tool::Tool;

/// All of them, in the order in which they are installed: the quick ones first.
const ANCHORS: [&Anchor; 5] =
    [&postgres::POSTGRES, &kafka::KAFKA, &restate::RESTATE, &temporal::CLI, &temporal::SERVER];

/// Written last into a directory whose installation is complete.
const STAMP: &str = "installed";

/// One of the real ones.
pub(crate) struct Anchor {
    /// Its own name.
    name: &'static str,
    /// The one version that is measured; empty where any that is there will do.
    version: &'static str,
    /// Without these it cannot be installed.
    install_tools: &'static [Tool],
    /// Without these it cannot run.
    run_tools: &'static [Tool],
    /// Files that the steps need: name and content.
    files: &'static [(&'static str, &'static str)],
    /// What installs it into this directory.
    steps: fn(&Path) -> Result<Vec<Step>>,
    /// What is in this directory afterwards.
    products: fn(&Path) -> Vec<PathBuf>,
}

impl Anchor {
    /// Its directory, when it is completely installed there.
    pub(crate) fn installed(&self) -> Result<PathBuf> {
        let directory = self.directory()?;
        let complete = self.is_complete(&directory);
        ensure!(complete, "{} is not installed: `bench anchors install`", self.title());
        Ok(directory)
    }

    /// Whether there is nothing left to install.
    fn is_installed(&self) -> bool {
        let complete = |directory: PathBuf| self.is_complete(&directory);
        self.version.is_empty() || self.directory().is_ok_and(complete)
    }

    fn title(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }

    fn directory(&self) -> Result<PathBuf> {
        Ok(cache()?.join(format!("{}-{}", self.name, self.version)))
    }

    fn is_complete(&self, directory: &Path) -> bool {
        let stamp = std::fs::read_to_string(directory.join(STAMP)).unwrap_or_default();
        stamp == self.stamp() && (self.products)(directory).iter().all(|product| product.exists())
    }

    /// Other contents of a file make another installation.
    fn stamp(&self) -> String {
        let files = self.files.iter().map(|(name, content)| format!("\n{name}:\n{content}"));
        format!("{}{}", self.title(), files.collect::<String>())
    }

    /// What this machine lacks of `tools`, in words.
    async fn missing(tools: &[Tool]) -> Vec<String> {
        let mut missing = Vec::new();
        for tool in tools {
            missing.extend(tool.missing().await);
        }
        missing
    }
}

/// Where all of them are.
fn cache() -> Result<PathBuf> {
    if let Some(chosen) = set("MAINSTAY_ANCHORS") {
        return std::path::absolute(chosen).context("MAINSTAY_ANCHORS");
    }
    let home = || set("HOME").map(|home| home.join(".cache"));
    let caches = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(home);
    let caches = caches.context("no HOME; say by MAINSTAY_ANCHORS where the anchors live")?;
    Ok(caches.join("mainstay-anchors"))
}

fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
