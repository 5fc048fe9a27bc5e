//! Makes the part of the corpus that is made by code: what clients really send, in an order that
//! makes sense, and what unfolds to far more than it is.
//!
//! The requests of `kafka-request` come from the tests of Kafka's codec (`FUZZ_CORPUS`, see
//! docs/testing.md); what a run has found is put beside these files by hand.

mod batches;
mod kafka;
mod nodes;
mod temporal;
mod texts;

use crate::run::corpus_folder;
use crate::target;
use anyhow::Context;
use std::fs;

/// Writes it.
pub(crate) fn record() -> anyhow::Result<()> {
    kafka::record()?;
    batches::record()?;
    temporal::record()?;
    nodes::record()?;
    texts::record()
}

/// Writes one input.
fn keep(target_name: &str, name: &str, input: &[u8]) -> anyhow::Result<()> {
    let folder = corpus_folder(target(target_name).context("no such target")?);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), input)?;
    Ok(())
}
