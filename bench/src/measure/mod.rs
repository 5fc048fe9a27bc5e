//! The design's own measurements: what a choice rests on, kept so that it can be taken again.
//!
//! Each prints its table as Markdown, which is also how people read it; `--into FILE` puts it in the
//! place of the last one, between `<!-- NAME -->` and `<!-- /NAME -->`. A line below it says what
//! the machine was doing: figures of a busy machine are marked so.

mod files;
mod fio;
mod floor;
mod journal;
mod m1;
mod m2;
mod m3;
mod m4;
mod m8;
mod machine;
mod null_disk;
mod quantiles;
mod sample_node;
mod table;
mod threads;
mod timed_disk;

use crate::cli::tell;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use machine::Machine;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use table::Table;

/// `bench measure`.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    #[command(subcommand)]
    what: What,
    /// Where the files go that are written and synced: on the disk that is to be measured.
    #[arg(long, global = true, default_value = ".")]
    directory: PathBuf,
    /// Print the table only.
    #[arg(long, global = true)]
    markdown: bool,
    /// Replace the table of this measurement in a Markdown file.
    #[arg(long, global = true, value_name = "FILE")]
    into: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How long a group takes to be written and synced, by its size and how its room was prepared.
    M1(m1::Options),
    /// Processor time of the broker for a produce request, on a disk that does nothing.
    M2(m2::Options),
    /// What it costs to go from thread to thread, and the alternatives.
    M3(m3::Options),
    /// What the engine costs on top of what gRPC costs anyway.
    M4(m4::Options),
    /// Signals to one hot entity, through a route and through gRPC.
    M8(m8::Options),
    /// A server of canned answers: a part of M4.
    #[command(hide = true)]
    Floor {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
        /// Who answers.
        #[arg(long)]
        behind: floor::Behind,
    },
    /// The journal against `fio --fdatasync=1` at the same group sizes.
    Journal(journal::Options),
}

/// What a measurement has found.
pub(crate) struct Found {
    tables: Vec<Table>,
    /// What the table does not say by itself, each a line below it.
    remarks: Vec<String>,
}

/// Takes one measurement and prints its table.
pub(crate) async fn run(measure: Measure) -> Result<()> {
    let Measure { what, directory, markdown, into } = measure;
    if let What::Floor { listen, behind } = what {
        return floor::serve(listen, behind).await;
    }
    let machine = Machine::look(&directory)?;
    // Held here, so that it is removed also when this is interrupted.
    let place = tempfile::Builder::new().prefix("bench-measure-").tempdir_in(&directory)?;
    let name = what.name();
    let found = what.take(place.path().to_owned()).await?;
    let tables: Vec<String> = found.tables.iter().map(Table::to_string).collect();
    let table = tables.join("\n");
    let mut text = table.clone();
    for remark in found.remarks.iter().chain([&machine.line]) {
        write!(text, "\n{remark}\n")?;
    }
    if let Some(file) = into {
        let page = std::fs::read_to_string(&file).context("cannot read the page")?;
        std::fs::write(&file, replaced(&page, name, &text)?).context("cannot write the page")?;
    }
    tell(if markdown { &table } else { &text });
    Ok(())
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            What::M1(_) => "m1",
            What::M2(_) => "m2",
            What::M3(_) => "m3",
            What::M4(_) => "m4",
            What::M8(_) => "m8",
            What::Floor { .. } => "floor",
            What::Journal(_) => "journal",
        }
    }

    async fn take(self, place: PathBuf) -> Result<Found> {
        match self {
            What::M1(options) => blocking(move || m1::run(&options, &place)).await,
            What::M2(options) => blocking(move || m2::run(&options)).await,
            What::M3(options) => blocking(move || m3::run(&options, &place)).await,
            What::M4(options) => m4::run(&options, place).await,
            What::M8(options) => m8::run(&options, place).await,
            What::Floor { .. } => bail!("the floor is served, not taken"),
            What::Journal(options) => blocking(move || journal::run(&options, &place)).await,
        }
    }
}

/// Off the runtime: it syncs, spins and joins.
async fn blocking(take: impl FnOnce() -> Result<Found> + Send + 'static) -> Result<Found> {
    tokio::task::spawn_blocking(take).await?
}

/// `page` with `text` between the marks of `name`.
fn replaced(page: &str, name: &str, text: &str) -> Result<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let parts = page.split_once(&open).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&close)?;
        Some((before, after))
    });
    ensure!(parts.is_some(), "the page has no lines {open:?} and {close:?}");
    let (before, after) = parts.unwrap_or_default();
    Ok(format!("{before}{open}{text}{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn a_page_keeps_all_but_the_one_table() {
        let page = "a\n<!-- m1 -->\nold\n<!-- /m1 -->\nb\n<!-- m2 -->\nkept\n<!-- /m2 -->\n";
        let wanted = "a\n<!-- m1 -->\nnew\n<!-- /m1 -->\nb\n<!-- m2 -->\nkept\n<!-- /m2 -->\n";
        assert_eq!(replaced(page, "m1", "new\n").unwrap(), wanted);
        assert!(replaced(page, "m3", "new").is_err());
    }
}
