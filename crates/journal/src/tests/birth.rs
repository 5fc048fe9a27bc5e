//! Birth, interrupted at every call; and what is refused instead of starting empty (T18).

use super::*;
use crate::RealDisk;
use crate::testing::{Call, CallKind, Crash, Fault, Gained, Loss, NameLoss};
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

const FIRST: &str = "0000000001.segment";

/// Whatever happens during birth, either nothing is there yet, or a journal that opens. `VERSION`
/// is never found without a first segment and its boot frame; so that case can be refused.
#[test]
fn a_birth_interrupted_at_any_call_is_repeated_or_finished() {
    let whole = SimDisk::new(3);
    drop(reopen(whole.clone(), small()).unwrap());
    let calls = whole.calls();
    let (mut images, mut versions) = (0, 0);
    for call in 0..calls {
        for side in [Fault::Stop, Fault::StopAfter] {
            let disk = SimDisk::new(3);
            disk.fail_at(call, side);
            drop(reopen(disk.clone(), small()));
            for crash in all_crashes(call) {
                let after = disk.crash_with(crash);
                let context = format!("call {call} of {calls}, {side:?}, {crash:?}");
                let names = after.names();
                if names.iter().any(|name| name == "VERSION") {
                    versions += 1;
                    assert!(names.iter().any(|name| name == FIRST), "{context}: {names:?}");
                }
                check_born(&after, &context);
                images += 1;
            }
        }
        for fault in [Fault::Error(ErrorKind::Other), Fault::LateError(ErrorKind::StorageFull)] {
            let disk = SimDisk::new(3);
            disk.fail_at(call, fault);
            drop(reopen(disk.clone(), small()));
            check_born(&disk.restart(), &format!("{fault:?} at call {call}"));
            images += 1;
        }
    }
    assert_eq!(images, calls * (2 * 24 * 4 + 2));
    assert!(calls >= 15 && versions > 100, "{calls} {versions}");
}

fn all_crashes(call: u64) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for (seed, loss) in (call..call + 4).flat_map(|seed| Loss::ALL.map(|loss| (seed, loss))) {
        for gained in Gained::ALL {
            let names = if seed % 2 == 0 { NameLoss::Each } else { NameLoss::LatestFirst };
            crashes.push(Crash { loss, names, gained, seed });
        }
    }
    crashes
}

/// It opens, takes an entry, and keeps it over a power cut.
fn check_born(disk: &SimDisk, context: &str) {
    let (mut opened, seen) = reopen(disk.clone(), small()).expect(context);
    assert_eq!(seen, [], "{context}");
    let kept = append(&mut opened, Entry::default());
    commit(&mut opened).unwrap();
    let names = disk.names();
    assert!(names.iter().all(|name| !name.ends_with(".preparing")), "{context}: {names:?}");
    let again = disk.crash(Loss::Everything, 0);
    assert!(again.names().contains(&"VERSION".into()), "{context}");
    assert_eq!(reopen(again, small()).expect(context).1, [kept], "{context}");
}

/// A botched restore must not look like a healthy, empty node.
#[test]
fn a_born_journal_without_its_beginning_is_refused() {
    let disk = SimDisk::new(4);
    written(&disk, &small(), 3);
    let empty = disk.restart();
    empty.lose(FIRST);
    assert_eq!(empty.names(), ["VERSION"]);
    assert!(matches!(reopen(empty, small()).err(), Some(Error::Missing { file }) if file == FIRST));
    let blank = disk.restart();
    blank.replace(FIRST, disk.contents(FIRST)[..4096].to_vec());
    let refused = reopen(blank, small()).err().unwrap();
    assert!(matches!(&refused, Error::Damaged { file, offset: 4096, .. } if file == FIRST));
    assert!(refused.to_string().contains("VERSION proves"), "{refused}");
    let hollow = disk.restart();
    hollow.replace(FIRST, Vec::new());
    assert!(matches!(reopen(hollow, small()).err(), Some(Error::Damaged { offset: 0, .. })));
}

/// Only the file that says that there was a journal is lost: it is made again.
#[test]
fn a_lost_version_or_lock_is_made_again() {
    let disk = SimDisk::new(4);
    let all = written(&disk, &small(), 100);
    disk.lose("VERSION");
    assert_eq!(reopen(disk.clone(), small()).unwrap().1, all);
    assert_eq!(disk.contents("VERSION"), b"unstable 1\n");
    let directory = tempfile::tempdir().unwrap();
    drop(reopen(RealDisk::open(directory.path()).unwrap(), small()).unwrap());
    fs::remove_file(directory.path().join("LOCK")).unwrap();
    drop(reopen(RealDisk::open(directory.path()).unwrap(), small()).unwrap());
    assert!(directory.path().join("LOCK").exists());
}

/// Each segment in turn is lost, emptied, or stands under another's name.
#[test]
fn lost_swapped_and_foreign_segments_are_named() {
    let disk = SimDisk::new(4);
    let all = written(&disk, &small(), 120);
    let names: Vec<String> = disk.names().into_iter().filter(|name| name != "VERSION").collect();
    let (last, others) = names.split_last().unwrap();
    let prepared = disk.contents(last)[4096..].iter().all(|byte| *byte == 0);
    assert!(prepared && others.len() >= 3, "{names:?}");
    for lost in others {
        let bad = disk.restart();
        bad.lose(lost);
        let refused = reopen(bad, small()).err();
        assert!(matches!(&refused, Some(Error::Missing { file }) if file == lost), "{refused:?}");
        // Together with everything behind it, as an interrupted copy leaves it.
        let bad = disk.restart();
        names.iter().filter(|name| *name >= lost).for_each(|name| bad.lose(name));
        let refused = reopen(bad, small()).err();
        assert!(matches!(&refused, Some(Error::Missing { file }) if file == lost), "{refused:?}");
        let bad = disk.restart();
        bad.replace(lost, Vec::new());
        let refused = reopen(bad, small()).err();
        assert!(matches!(&refused, Some(Error::Damaged { file, offset: 0, .. }) if file == lost));
    }
    // Of a segment nothing was ever written to nothing is lost.
    let bad = disk.restart();
    bad.lose(last);
    assert_eq!(reopen(bad, small()).unwrap().1, all);
    let swapped = disk.restart();
    swapped.replace(&names[0], disk.contents(&names[1]));
    swapped.replace(&names[1], disk.contents(&names[0]));
    assert!(matches!(reopen(swapped, small()), Err(Error::Damaged { offset: 0, .. })));
    let other = SimDisk::new(5);
    written(&other, &small(), 120);
    let foreign = disk.restart();
    foreign.replace(&names[1], other.contents(&names[1]));
    let refused = reopen(foreign, small()).err();
    assert!(matches!(&refused, Some(Error::Damaged { file, offset: 0, .. }) if *file == names[1]));
}

/// The last segment with entries is lost, and the one before it was closed: the close frame says
/// that there was another one, also when that one held nothing yet.
#[test]
fn a_lost_last_segment_is_named() {
    let options = Options { prepare_ahead_bytes: 0, ..small() };
    let (mut named, mut harmless) = (0, 0);
    for count in 1..90 {
        let disk = SimDisk::new(4);
        let all = written(&disk, &options, count);
        let last = disk.names().into_iter().rfind(|name| name.ends_with(".segment")).unwrap();
        if last == FIRST {
            continue;
        }
        disk.lose(&last);
        match reopen(disk, options.clone()) {
            Err(Error::Missing { file }) => {
                assert_eq!(file, last);
                named += 1;
            }
            Ok((_, seen)) => {
                assert_eq!(seen, all, "nothing was in it");
                harmless += 1;
            }
            Err(other) => panic!("{count}: {other}"),
        }
    }
    assert!(named > 3 && harmless > 20, "{named} {harmless}");
}

#[test]
fn unknown_files_are_named_and_those_of_the_system_left_alone() {
    let unknown = [
        "0000000002.segment.bak",
        "2.segment",
        "notes.txt",
        "0000000001.SEGMENT",
        "x.preparing",
        "CHECKPOINT",
    ];
    for name in unknown {
        for count in [0, 3] {
            let disk = SimDisk::new(4);
            if count > 0 {
                written(&disk, &small(), count);
            }
            disk.replace(name, b"?".to_vec());
            let before = disk.names();
            let refused = reopen(disk.clone(), small()).err().unwrap();
            assert!(matches!(&refused, Error::Unknown { file } if file == name), "{refused}");
            assert_eq!(disk.names(), before, "nothing was touched");
        }
    }
    let disk = SimDisk::new(4);
    let all = written(&disk, &small(), 3);
    let others = ["lost+found", ".snapshot", ".x.preparing", ".preparing", "LOCK"];
    for name in others {
        disk.replace(name, b"?".to_vec());
    }
    disk.replace("0000000009.preparing", b"half a header".to_vec());
    assert_eq!(reopen(disk.clone(), small()).unwrap().1, all);
    for name in others {
        assert!(disk.names().iter().any(|it| it == name), "{name} is not ours to remove");
    }
    assert!(!disk.names().iter().any(|it| it == "0000000009.preparing"));
}

#[test]
fn a_read_only_directory_is_refused_and_left_alone() {
    for count in [0, 100] {
        let disk = SimDisk::new(4);
        let all = if count == 0 { Vec::new() } else { written(&disk, &small(), count) };
        disk.set_read_only(true);
        let before: Vec<_> = disk.names().iter().map(|name| disk.contents(name)).collect();
        match reopen(disk.clone(), small()).err() {
            Some(Error::Io { file, source, .. }) => {
                assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem);
                assert!(count > 0 || file.starts_with("0000000001"), "{file}");
            }
            other => panic!("{other:?}"),
        }
        let after: Vec<_> = disk.names().iter().map(|name| disk.contents(name)).collect();
        assert_eq!(before, after);
        disk.set_read_only(false);
        assert_eq!(reopen(disk, small()).unwrap().1, all);
    }
}

/// Where the lock cannot be had, for whatever reason, nothing else is looked at.
#[test]
fn a_lock_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("LOCK")).unwrap();
    let refused = RealDisk::open(directory.path()).unwrap_err();
    let lock = directory.path().join("LOCK");
    assert!(matches!(&refused, Error::Io { file, .. } if file == lock.to_str().unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = RealDisk::open(file.path()).unwrap_err();
    assert!(refused.to_string().contains(file.path().to_str().unwrap()), "{refused}");
}

/// The order on which the refusals above rest, on the calls themselves.
#[test]
fn version_is_written_last() {
    let disk = SimDisk::new(3);
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    disk.set_hook(Some(Arc::new(move |call: Call<'_>| {
        noted.lock().unwrap().push((call.kind, call.file.to_owned()));
        None
    })));
    drop(reopen(disk, small()).unwrap());
    let calls = calls.lock().unwrap().clone();
    let at = |kind, file: &str| calls.iter().rposition(|call| *call == (kind, file.to_owned()));
    let boot_frame = calls.iter().position(|call| *call == (CallKind::Sync, FIRST.into()));
    let version = at(CallKind::Rename, "VERSION.preparing");
    assert!(boot_frame < version && version < at(CallKind::SyncDirectory, ""), "{calls:?}");
    assert!(boot_frame.is_some(), "{calls:?}");
}
