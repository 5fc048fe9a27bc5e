//! The real disk: the lock, the version, threads.

use super::*;
use crate::{Full, Group, RealDisk};
use std::fs;
use std::sync::mpsc::sync_channel;

#[test]
fn a_second_opener_is_refused_and_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let disk = RealDisk::open(&path).unwrap();
    let refused = RealDisk::open(&path).unwrap_err();
    assert!(matches!(&refused, Error::Locked { .. }));
    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    drop(disk);
    let (opened, _) = reopen(RealDisk::open(&path).unwrap(), small()).unwrap();
    assert!(RealDisk::open(&path).is_err());
    drop(opened);
    RealDisk::open(&path).unwrap();
}

#[test]
fn an_unknown_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    drop(reopen(disk, small()).unwrap());
    let version = directory.path().join("VERSION");
    assert_eq!(fs::read_to_string(&version).unwrap(), "unstable 1\n");
    fs::write(&version, "2\n").unwrap();
    let refused = reopen(RealDisk::open(directory.path()).unwrap(), small()).err().unwrap();
    assert!(matches!(&refused, Error::Version { found, .. } if found == "2"), "{refused}");
}

/// A writer, a committer and the preparing thread at work together, over many segments and two
/// runs.
#[test]
fn threads_append_commit_prepare_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 256 << 10,
        entry_bytes_max: 64 << 10,
        backlog_bytes_max: 128 << 10,
        group_bytes_max: 64 << 10,
        prepare_ahead_bytes: 16 << 10,
        preparation: Preparation::Background,
        ..small()
    };
    let entropy = SeededEntropy::new(3);
    let mut all = Vec::new();
    for _ in 0..2 {
        let disk = RealDisk::open(directory.path()).unwrap();
        let (opened, seen) = reopen(disk, options.clone()).unwrap();
        assert_eq!(seen, all);
        let Opened { mut appender, mut committer, reader, .. } = opened;
        let (durable, released) = sync_channel(1024);
        let committing = std::thread::spawn(move || {
            loop {
                match committer.run_group().unwrap() {
                    Group::Committed { durable: lsn, .. } => durable.send(lsn).unwrap(),
                    Group::Sealed => {}
                    Group::Closed => break,
                }
            }
        });
        let mut checked = all.len();
        let mut check = |all: &[Seen], lsn: Lsn| {
            for entry in &all[checked..lsn.0 as usize] {
                for (blob, address) in entry.blobs.iter().zip(&entry.addresses) {
                    assert_eq!(&reader.read(*address).unwrap(), blob);
                }
            }
            checked = lsn.0 as usize;
        };
        for _ in 0..400 {
            let entry = some_entry(&entropy, 4000);
            loop {
                match appender.reserve(64 << 10) {
                    Ok(()) => break,
                    Err(Full::Backlog { .. }) => appender.wait_for_backlog(),
                    Err(other) => panic!("{other}"),
                }
            }
            let (cause, meta) = (entry.cause, entry.meta.clone());
            let blobs = entry.blobs.iter().map(|blob| blob.bytes().clone()).collect();
            let (lsn, addresses) = appender.append(entry);
            all.push(Seen { lsn, cause, meta, blobs, addresses });
            for lsn in released.try_iter() {
                check(&all, lsn);
            }
        }
        drop(appender);
        for lsn in &released {
            check(&all, lsn);
        }
        committing.join().unwrap();
        assert_eq!(checked, all.len());
    }
    assert!(fs::read_dir(directory.path()).unwrap().count() > 6);
}

/// More slices than one system call takes.
#[test]
fn an_entry_of_thousands_of_blobs_is_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let (mut opened, _) = reopen(disk, Options::default()).unwrap();
    let blob = |number: usize| {
        // Sizes around the limit up to which blobs are copied.
        Blob::new(vec![number as u8; 1000 + number % 50].into())
    };
    let blobs: Vec<Blob> = (0..3000).map(blob).collect();
    let seen = append(&mut opened, Entry { blobs, ..Entry::default() });
    commit(&mut opened).unwrap();
    drop(opened);
    let disk = RealDisk::open(directory.path()).unwrap();
    assert_eq!(reopen(disk, Options::default()).unwrap().1, [seen]);
}

/// Only the room is taken at once; what is written to an empty journal stays small.
#[test]
fn an_empty_journal_is_small() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    drop(reopen(disk, Options::default()).unwrap());
    let bytes: u64 = fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 8 << 20, "{bytes}");
}
