//! Appending, committing, rolling, sealing, being full: life without faults.

use super::*;
use crate::format::{END_BYTES, FRAMES_START, HEADER_BYTES};
use crate::{Full, Group};

/// Beside the segments there is one other file.
const VERSION_BYTES: u64 = 11;

fn blob_entry(bytes: usize) -> Entry {
    Entry { blobs: vec![Blob::new(vec![7; bytes].into())], ..Entry::default() }
}

#[test]
fn entries_come_back_as_they_were_over_many_segments() {
    let disk = SimDisk::new(1);
    let entropy = SeededEntropy::new(1);
    let mut all = Vec::new();
    for boot_epoch in 1..=4 {
        let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
        assert_eq!(seen, all);
        assert_eq!((opened.boot_epoch, opened.generation), (boot_epoch, 0));
        for _ in 0..60 {
            all.push(append(&mut opened, some_entry(&entropy, 2000)));
            if entropy.next_u64().is_multiple_of(3) {
                commit(&mut opened).unwrap();
                assert_eq!(opened.appender.durable(), opened.appender.tip());
            }
        }
        commit(&mut opened).unwrap();
        for entry in &all {
            for (blob, address) in entry.blobs.iter().zip(&entry.addresses) {
                assert_eq!(&opened.reader.read(*address).unwrap(), blob);
            }
        }
    }
    assert!(disk.names().len() > 20, "{:?}", disk.names());
}

#[test]
fn an_entry_of_nothing_and_one_of_the_largest_size_fit() {
    let disk = SimDisk::new(1);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let max = small().entry_bytes_max;
    let mut all = vec![append(&mut opened, Entry::default())];
    for _ in 0..10 {
        all.push(append(&mut opened, blob_entry(max)));
        commit(&mut opened).unwrap();
    }
    let full = Full::TooLarge { bytes: max + 1, max };
    assert_eq!(opened.appender.reserve(max + 1), Err(full.clone()));
    assert_eq!(opened.appender.reserve_emergency(max + 1), Err(full));
    drop(opened);
    assert_eq!(reopen(disk, small()).unwrap().1, all);
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let disk = SimDisk::new(1);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    for _ in 0..10 {
        append(&mut opened, blob_entry(300));
    }
    assert_eq!(opened.appender.backlog_bytes(), 10 * (300 + 88));
    let calls = disk.calls();
    let group = opened.committer.run_group().unwrap();
    let bytes = 10 * (300 + 88);
    assert_eq!(group, Group::Committed { durable: Lsn(10), entries: 10, bytes });
    assert_eq!(disk.calls() - calls, 2);
    assert_eq!(opened.appender.backlog_bytes(), 0);
    assert_eq!(opened.committer.try_group().unwrap(), None);
}

#[test]
fn a_group_ends_once_it_has_its_bytes() {
    let (mut opened, _) = reopen(SimDisk::new(1), small()).unwrap();
    for _ in 0..4 {
        append(&mut opened, blob_entry(1500));
    }
    let mut durable = Vec::new();
    while let Some(Group::Committed { durable: lsn, .. }) = opened.committer.try_group().unwrap() {
        durable.push(lsn.0);
    }
    assert_eq!(durable, [3, 4]);
}

#[test]
fn an_idle_journal_seals_once_and_a_closed_one_ends() {
    let disk = SimDisk::new(1);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    assert_eq!(opened.committer.seal().unwrap(), None, "a boot frame needs no seal");
    append(&mut opened, blob_entry(10));
    assert!(matches!(opened.committer.run_group().unwrap(), Group::Committed { .. }));
    assert_eq!(opened.committer.run_group().unwrap(), Group::Sealed);
    let calls = disk.calls();
    assert_eq!(opened.committer.seal().unwrap(), None);
    assert_eq!(disk.calls(), calls);
    append(&mut opened, blob_entry(20));
    let Opened { appender, mut committer, .. } = opened;
    drop(appender);
    assert!(matches!(committer.run_group().unwrap(), Group::Committed { .. }));
    assert_eq!(committer.run_group().unwrap(), Group::Sealed);
    assert_eq!(committer.run_group().unwrap(), Group::Closed);
    assert_eq!(committer.try_group().unwrap(), Some(Group::Closed));
    assert_eq!(reopen(disk, small()).unwrap().1.len(), 2);
}

/// Sizes of the last entry around the end of the segment: the entry, a seal and the close frame
/// always fit.
#[test]
fn the_end_of_a_segment_is_used_to_the_last_byte() {
    let options = small();
    let used = FRAMES_START + HEADER_BYTES + 2 * (8192 + HEADER_BYTES + 8);
    let exact = (options.segment_bytes - END_BYTES - used - HEADER_BYTES - 8) as usize;
    for bytes in exact - 170..exact + 20 {
        let disk = SimDisk::new(1);
        let (mut opened, _) = reopen(disk.clone(), options.clone()).unwrap();
        let mut all = vec![append(&mut opened, blob_entry(8192))];
        all.push(append(&mut opened, blob_entry(8192)));
        all.push(append(&mut opened, blob_entry(bytes)));
        assert_eq!(all[2].addresses[0].segment, if bytes <= exact { 1 } else { 2 });
        commit(&mut opened).unwrap();
        assert_eq!(opened.committer.seal().unwrap(), Some(Group::Sealed));
        drop(opened);
        // Starting again and again writes boot frames, which have to roll, too.
        for _ in 0..3 {
            let (mut opened, seen) = reopen(disk.clone(), options.clone()).unwrap();
            assert_eq!(seen, all, "{bytes}");
            all.push(append(&mut opened, blob_entry(5)));
            commit(&mut opened).unwrap();
            opened.committer.seal().unwrap();
        }
    }
}

#[test]
fn a_full_disk_refuses_before_appending_and_resumes() {
    let disk = SimDisk::new(1);
    let options = small();
    disk.set_room_bytes(Some(3 * u64::from(options.segment_bytes) + VERSION_BYTES));
    let (mut opened, mut all) = reopen(disk.clone(), options.clone()).unwrap();
    let fill = |opened: &mut Opened<SimDisk>, all: &mut Vec<Seen>| {
        while opened.appender.reserve(1000).is_ok() {
            all.push(append(opened, blob_entry(1000)));
            commit(opened).unwrap();
        }
    };
    fill(&mut opened, &mut all);
    let refused = opened.appender.reserve(1000);
    assert!(matches!(refused, Err(Full::Disk { .. })), "{refused:?}");
    assert_eq!(all.last().unwrap().addresses[0].segment, 3);
    // What frees room still gets through, but not for ever.
    let before = all.len();
    while opened.appender.reserve_emergency(100).is_ok() {
        let (lsn, addresses) = opened.appender.append(blob_entry(100));
        commit(&mut opened).unwrap();
        let blobs = vec![vec![7; 100].into()];
        all.push(Seen { lsn, cause: Cause::Request, meta: Vec::new(), blobs, addresses });
    }
    assert!(all.len() - before > 30, "half a segment was kept for it");
    // A full node starts, reads, and goes on once there is room.
    drop(opened);
    let (mut opened, seen) = reopen(disk.clone(), options.clone()).unwrap();
    assert_eq!(seen, all);
    assert!(matches!(opened.appender.reserve(1000), Err(Full::Disk { .. })));
    disk.set_room_bytes(Some(5 * u64::from(options.segment_bytes) + VERSION_BYTES));
    fill(&mut opened, &mut all);
    assert_eq!(all.last().unwrap().addresses[0].segment, 5);
    drop(opened);
    assert_eq!(reopen(disk, options).unwrap().1, all);
}

/// Without fallocate the room is made sure of by writing zeros.
#[test]
fn a_file_system_that_cannot_allocate_is_filled_at_once() {
    let disk = SimDisk::new(1);
    let options = Options { prepare_ahead_bytes: 0, ..small() };
    disk.forbid_allocation();
    disk.set_room_bytes(Some(2 * u64::from(options.segment_bytes) + VERSION_BYTES));
    let (mut opened, mut all) = reopen(disk.clone(), options.clone()).unwrap();
    assert_eq!(disk.contents("0000000001.segment").len(), options.segment_bytes as usize);
    while opened.appender.reserve(500).is_ok() {
        all.push(append(&mut opened, blob_entry(500)));
        commit(&mut opened).unwrap();
    }
    assert_eq!(all.last().unwrap().addresses[0].segment, 2);
    drop(opened);
    assert_eq!(reopen(disk, options).unwrap().1, all);
}

#[test]
fn a_backlog_is_refused_until_the_committer_has_caught_up() {
    let (mut opened, _) = reopen(SimDisk::new(1), small()).unwrap();
    while opened.appender.reserve(1000).is_ok() {
        append(&mut opened, blob_entry(1000));
    }
    let refused = opened.appender.reserve(1000);
    assert!(matches!(refused, Err(Full::Backlog { .. })), "{refused:?}");
    assert!(opened.appender.backlog_bytes() < small().backlog_bytes_max + 1100);
    let Opened { appender, mut committer, .. } = opened;
    std::thread::scope(|scope| {
        scope.spawn(|| appender.wait_for_backlog());
        while committer.try_group().unwrap().is_some() {}
    });
    appender.reserve(1000).unwrap();
    drop(committer);
    assert_eq!(appender.reserve(1000), Err(Full::Stopped));
}

#[test]
fn appending_without_room_fails_the_journal_and_never_acknowledges() {
    let disk = SimDisk::new(1);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let kept = append(&mut opened, blob_entry(100));
    commit(&mut opened).unwrap();
    opened.appender.append(blob_entry(30_000));
    assert_eq!(opened.appender.reserve(1), Err(Full::Stopped));
    assert!(matches!(opened.committer.run_group(), Err(Error::Unreserved { lsn: Lsn(2) })));
    assert!(matches!(opened.committer.run_group(), Err(Error::Poisoned)));
    assert_eq!(opened.appender.durable(), Lsn(1));
    assert_eq!(reopen(disk, small()).unwrap().1, [kept]);
}

#[test]
fn another_segment_size_holds_from_the_next_segment_on() {
    let disk = SimDisk::new(1);
    let mut all = written(&disk, &small(), 40);
    for segment_bytes in [64 << 10, 24 << 10, 40 << 10] {
        let options = Options { segment_bytes, ..small() };
        let (mut opened, seen) = reopen(disk.clone(), options).unwrap();
        assert_eq!(seen, all);
        for _ in 0..30 {
            all.push(append(&mut opened, blob_entry(3000)));
            commit(&mut opened).unwrap();
        }
    }
    assert_eq!(reopen(disk, small()).unwrap().1, all);
}

#[test]
fn options_that_cannot_work_are_named() {
    for (options, name) in [
        (Options { segment_bytes: 24 * 1024 + 4, ..small() }, "segment_bytes"),
        (Options { entry_bytes_max: 24 << 10, ..small() }, "entry_bytes_max"),
        (Options { open_files_max: 0, ..small() }, "open_files_max"),
    ] {
        let refused = reopen(SimDisk::new(1), options).err();
        assert!(matches!(refused, Some(Error::Options { option, .. }) if option == name));
    }
    let largest = 24 * 1024 - (FRAMES_START + END_BYTES) as usize - 4096;
    reopen(SimDisk::new(1), Options { entry_bytes_max: largest, ..small() }).unwrap();
}

#[test]
fn a_refusal_of_the_replaying_side_names_the_entry() {
    let disk = SimDisk::new(1);
    written(&disk, &small(), 3);
    let refused = open(disk, small(), &mut |entry| match entry.lsn {
        Lsn(2) => Err("unknown op".into()),
        _ => Ok(()),
    });
    assert!(matches!(refused.err(), Some(Error::Replay { lsn: Lsn(2), .. })));
}
