//! Tests of the whole journal. Most run on the simulated disk, with small segments.

mod attacks;
mod birth;
mod chains;
mod crash;
mod damage;
mod direct;
mod flips;
mod life;
mod random;
mod real;
mod script;
mod tail;

use crate::testing::SimDisk;
use crate::{Disk, Entry, Error, Opened, Options, Preparation, open};
use base::{Blob, BlobAddr, Cause, Entropy, Lsn, PartitionId, SeededEntropy, TopicId, Uuid};
use bytes::Bytes;
use std::time::Duration;

/// An entry as it was appended, or replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    lsn: Lsn,
    cause: Cause,
    meta: Vec<u8>,
    blobs: Vec<Bytes>,
    addresses: Vec<BlobAddr>,
}

/// Whether this is the long run: `LONG=1 cargo test -p journal`.
fn long() -> bool {
    std::env::var("LONG").is_ok_and(|value| value == "1")
}

/// Segments of 24 KiB, so that a few entries fill one.
fn small() -> Options {
    Options {
        segment_bytes: 24 << 10,
        group_bytes_max: 4 << 10,
        entry_bytes_max: 8 << 10,
        backlog_bytes_max: 64 << 10,
        idle_seal: Duration::from_millis(1),
        prepare_ahead_bytes: 2 << 10,
        open_files_max: 2,
        preparation: Preparation::Inline,
    }
}

/// Opens and returns what was replayed, having read every blob back by its address.
fn reopen<D: Disk>(disk: D, options: Options) -> Result<(Opened<D>, Vec<Seen>), Error> {
    let mut seen = Vec::new();
    let opened = open(disk, options, &mut |entry| {
        seen.push(Seen {
            lsn: entry.lsn,
            cause: entry.cause,
            meta: entry.meta.to_vec(),
            blobs: entry.blobs.to_vec(),
            addresses: entry.addresses.to_vec(),
        });
        Ok(())
    })?;
    for (entry, lsn) in seen.iter().zip(1..) {
        assert_eq!(entry.lsn, Lsn(lsn));
        for (blob, address) in entry.blobs.iter().zip(&entry.addresses) {
            assert_eq!(&opened.reader.read(*address).unwrap(), blob);
        }
    }
    assert_eq!(opened.last, Lsn(seen.len() as u64));
    assert_eq!(opened.appender.tip(), opened.last);
    assert_eq!(opened.appender.durable(), opened.last);
    Ok((opened, seen))
}

/// Appends an entry, for which there must be room; says how it must be replayed.
fn append<D: Disk>(opened: &mut Opened<D>, entry: Entry) -> Seen {
    let bytes = entry.meta.len() + entry.blobs.iter().map(|blob| blob.bytes().len()).sum::<usize>();
    opened.appender.reserve(bytes).unwrap();
    append_reserved(opened, entry)
}

/// The same when room has been reserved.
fn append_reserved<D: Disk>(opened: &mut Opened<D>, entry: Entry) -> Seen {
    let blobs: Vec<Bytes> = entry.blobs.iter().map(|blob| blob.bytes().clone()).collect();
    let (cause, meta) = (entry.cause, entry.meta.clone());
    let (lsn, addresses) = opened.appender.append(entry);
    Seen { lsn, cause, meta, blobs, addresses }
}

/// Commits all that is queued.
fn commit<D: Disk>(opened: &mut Opened<D>) -> Result<(), Error> {
    while opened.committer.try_group()?.is_some() {}
    Ok(())
}

/// Some entry: meta up to 200 bytes, up to three blobs of up to `blob_bytes_max`.
fn some_entry(entropy: &SeededEntropy, blob_bytes_max: usize) -> Entry {
    let below = |bound: usize| (entropy.next_u64() % bound as u64) as usize;
    let bytes = |length| (0..length).map(|_| entropy.next_u64() as u8).collect::<Vec<u8>>();
    let partition = PartitionId { topic: TopicId(Uuid::from_u128(5)), index: below(9) as i32 };
    let cause = match below(3) {
        0 => Cause::Request,
        1 => Cause::Record(partition, below(1000) as i64),
        _ => Cause::Entry(Lsn(below(1000) as u64)),
    };
    let meta = bytes(below(200));
    let blobs = (0..below(4)).map(|_| Blob::new(bytes(below(blob_bytes_max + 1)).into())).collect();
    Entry { cause, meta, blobs }
}

/// A journal of `count` entries, committed one by one, and what is in it.
fn written(disk: &SimDisk, options: &Options, count: usize) -> Vec<Seen> {
    let (mut opened, mut seen) = reopen(disk.clone(), options.clone()).unwrap();
    let entropy = SeededEntropy::new(count as u64);
    for _ in 0..count {
        seen.push(append(&mut opened, some_entry(&entropy, 500)));
        commit(&mut opened).unwrap();
    }
    seen
}
