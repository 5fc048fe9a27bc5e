//! Where the `mainstay` binary is: beside this program, built from the same sources.
//!
//! It is built when it is missing or older than a source file, in the profile of this program. Cargo
//! holds no lock while tests run, so that this does not wait for itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

/// Names another binary to torture: one with a planted bug, say.
const OVERRIDE: &str = "TORTURE_BINARY";

/// The binary; built first if it has to be.
pub(crate) fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OVERRIDE) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{OVERRIDE}: {} is no file", path.display());
        return Ok(path);
    }
    let here = std::env::current_exe().context("the path of this program")?;
    let directory = here.parent().context("the directory of this program")?;
    // Test programs are one level deeper.
    let is_test = directory.file_name().is_some_and(|name| name == "deps");
    let profile = if is_test { directory.parent() } else { Some(directory) };
    let profile = profile.context("the directory of the build profile")?;
    let binary = profile.join("mainstay");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    if !is_fresh(&binary, &sources)? {
        build(profile)?;
    }
    Ok(binary)
}

fn is_fresh(binary: &Path, sources: &Path) -> Result<bool> {
    let Ok(built) = binary.metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    Ok(newest(sources)?.is_none_or(|newest| newest <= built))
}

/// When a source file was last written; none where there are no sources (an installed program).
fn newest(directory: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    let Ok(entries) = directory.read_dir() else { return Ok(None) };
    for entry in entries {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let written = if path.is_dir() && path.file_name().is_none_or(|name| name != "tests") {
            self::newest(&path)?
        } else if matches!(ending, Some("rs" | "toml")) {
            Some(path.metadata()?.modified()?)
        } else {
            None
        };
        newest = newest.max(written);
    }
    Ok(newest)
}

fn build(profile: &Path) -> Result<()> {
    let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let target = profile.parent().context("the target directory")?;
    crate::cli::say("torture: building the binary mainstay\n");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "-p", "mainstay", "--bin", "mainstay", "--profile"])
        .arg(if name == "debug" { "dev" } else { name })
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the binary mainstay cannot be built");
    }
    Ok(())
}
