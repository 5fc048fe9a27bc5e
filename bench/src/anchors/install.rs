//! One installation: what is there already is left alone, what is missing is said, and the stamp that
//! makes it count is written last. It measures nothing, and refuses to begin without its tools.

use anyhow::{Context, Result, ensure};

use super::{Anchor, STAMP, cache};

/// Installs it; answers in words what became of it.
pub(super) async fn install(anchor: &Anchor) -> Result<String> {
    let cannot_run = Anchor::missing(anchor.run_tools).await;
    if anchor.is_installed() {
        return Ok(with_missing("there", &cannot_run));
    }
    let cannot_install = Anchor::missing(anchor.install_tools).await;
    if !cannot_install.is_empty() {
        return Ok(with_missing("not installed", &[cannot_install, cannot_run].concat()));
    }
    carry_out(anchor).await?;
    Ok(with_missing("installed", &cannot_run))
}

async fn carry_out(anchor: &Anchor) -> Result<()> {
    let directory = anchor.directory()?;
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for (name, content) in anchor.files {
        std::fs::write(directory.join(name), content).with_context(|| (*name).to_owned())?;
    }
    let log = cache()?.join(format!("{}-{}.log", anchor.name, anchor.version));
    for step in (anchor.steps)(&directory)? {
        step.run(&anchor.title(), &directory, &log).await?;
    }
    for product in (anchor.products)(&directory) {
        let log = log.display();
        ensure!(product.exists(), "all steps are done, but there is no {product:?}; log: {log}");
    }
    std::fs::write(directory.join(STAMP), anchor.stamp())?;
    Ok(())
}

fn with_missing(outcome: &str, missing: &[String]) -> String {
    if missing.is_empty() {
        return outcome.to_owned();
    }
    format!("{outcome}; MISSING: {}", missing.join("; "))
}
