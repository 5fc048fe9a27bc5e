//! What the disk itself takes: one block, overwritten in place and synced, again and again.
//!
//! It is no peer's figure; latencies of acknowledgements are judged by it. Overwriting is the least a
//! disk can be asked for, so the comparison spares nobody.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::produce::blocking;
use super::{ANYTHING, Row};
use crate::measured::{Latency, Measured};
use crate::peer::Start;
use crate::usage::{Server, Window};

/// `bench run` does it itself, once for all peers.
pub(crate) const FDATASYNC: Row = Row {
    name: "fdatasync",
    what: "the disk alone: 4 KiB overwritten in place and synced, one after the other",
    unit: "sync",
    needs: ANYTHING,
    limit: Duration::from_secs(60),
    routes: "",
    drive: None,
};

const BLOCK_BYTES: usize = 4_096;
/// The file goes round in this many blocks, as a journal's segment is filled.
const BLOCKS: u64 = 4_096;
const SYNCS: u64 = 3_000;
const WARM_SYNCS: u64 = 200;

/// Measures the disk on which peers are started.
pub(crate) async fn fdatasync(start: &Start) -> Result<Vec<Measured>> {
    let directory = start.directory("disk")?;
    blocking(move || {
        let file = File::create(directory.path().join("block")).context("a file")?;
        for block in 0..BLOCKS {
            file.write_all_at(&[1; BLOCK_BYTES], block * BLOCK_BYTES as u64)?;
        }
        file.sync_all()?;
        sync(&file, WARM_SYNCS)?;
        let window = Window::open(&Server::default());
        let latency = Some(sync(&file, SYNCS)?);
        let used = window.close();
        Ok(vec![Measured {
            row: FDATASYNC.name.to_owned(),
            peer: "disk".to_owned(),
            count: SYNCS,
            wall: used.wall,
            latency,
            client_cpu: used.client_cpu,
            ..Measured::default()
        }])
    })
    .await
}

fn sync(file: &File, count: u64) -> Result<Latency> {
    let mut histogram = Histogram::<u64>::new(3).context("a histogram")?;
    for number in 0..count {
        let begin = Instant::now();
        file.write_all_at(&[2; BLOCK_BYTES], number % BLOCKS * BLOCK_BYTES as u64)?;
        file.sync_data().context("fdatasync")?;
        histogram.record(u64::try_from(begin.elapsed().as_micros())?)?;
    }
    Ok(Latency::of(&histogram))
}
