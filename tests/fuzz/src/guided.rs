//! Coverage-guided runs, by cargo-fuzz, where a nightly toolchain is there. Where it is not, this
//! says so, and that is not a pass.

use crate::{INPUT_BYTES_MAX, Target, run};
use anyhow::bail;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs each target for so long, one after the other. What is new goes to `guided/corpus`.
pub(crate) fn guided(targets: &[&Target], seconds: u64, toolchain: &str) -> anyhow::Result<()> {
    if let Err(reason) = is_there(toolchain) {
        println!("not run: {reason}");
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guided");
    // The same dependencies as those of the product.
    fs::copy(folder.join("../../../Cargo.lock"), folder.join("Cargo.lock"))?;
    for target in targets {
        let [found, failed] = ["corpus", "artifacts"].map(|it| folder.join(it).join(target.name));
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&failed)?;
        let status = fuzz(toolchain, &folder)
            .arg("run")
            .args(options(&folder))
            .arg("guided")
            .args([found, run::corpus_folder(target)])
            .arg("--")
            .args(limits(seconds))
            .arg(format!("-artifact_prefix={}/", failed.display()))
            .env("FUZZ_TARGET", target.name)
            .status()?;
        if !status.success() {
            bail!("{} fails; the input is in {}", target.name, failed.display());
        }
        println!("{}: {seconds} s without a finding", target.name);
    }
    Ok(())
}

fn is_there(toolchain: &str) -> Result<(), String> {
    let works = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works(Command::new("cargo").args([&format!("+{toolchain}"), "--version"])) {
        return Err(format!("there is no toolchain {toolchain}"));
    }
    if !works(Command::new("cargo").args(["fuzz", "--version"])) {
        return Err("there is no cargo-fuzz (cargo install cargo-fuzz)".to_owned());
    }
    Ok(())
}

fn fuzz(toolchain: &str, folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.args([&format!("+{toolchain}"), "fuzz"]).current_dir(folder);
    // The variables of the cargo that runs this would choose its toolchain.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

/// Overflows of integers count. Memory errors cannot come from our code, which has no unsafe.
fn options(folder: &Path) -> Vec<PathBuf> {
    let mut options: Vec<PathBuf> =
        ["--sanitizer", "none", "--debug-assertions", "--fuzz-dir"].map(PathBuf::from).into();
    options.push(folder.to_owned());
    options
}

/// The target itself looks at what it holds and takes; these are for what does not end.
fn limits(seconds: u64) -> [String; 5] {
    [
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        "-timeout=30".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]
}
