//! Orders of events that were thought up to fool recovery. Each test tells its story.

use super::*;
use crate::testing::{Call, CallKind, Crash, Fault, Gained, Loss, NameLoss};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn plain(bytes: usize) -> Entry {
    Entry { meta: vec![3; bytes], ..Entry::default() }
}

/// A born, sealed journal with a torn group of two behind the seal: the first entry is torn in its
/// header, the second one is whole. The second begins `first_bytes` and a header behind the first.
fn half_a_group(first_bytes: usize) -> (SimDisk, Vec<Seen>) {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let kept = vec![append(&mut opened, plain(16))];
    commit(&mut opened).unwrap();
    opened.committer.seal().unwrap();
    append(&mut opened, plain(first_bytes));
    append(&mut opened, plain(16));
    commit(&mut opened).unwrap();
    let mut bytes = disk.contents("0000000001.segment");
    let torn = 4096 + 80 + 96 + 80;
    assert_eq!(bytes[torn + 12], 1, "an entry");
    bytes[torn] ^= 1;
    disk.replace("0000000001.segment", bytes);
    (disk.restart(), kept)
}

/// The zeros of a cut fail to be synced, and the process ends. The next start is shown zeros that
/// are on no disk, writes behind its boot frame exactly up to where a whole frame of the torn group
/// lies, and the power goes. What is uncovered has a right CRC, in a wrong boot epoch.
#[test]
fn old_frames_uncovered_by_a_lost_cut_are_cut_again() {
    let (torn, kept) = half_a_group(400);
    let mut uncovered = 0;
    for call in 0..12 {
        let disk = torn.restart();
        disk.fail_at(call, Fault::Error(ErrorKind::Other));
        drop(reopen(disk.clone(), small()));
        let disk = disk.restart();
        let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
        assert_eq!(seen, kept, "call {call}");
        let mut kept = kept.clone();
        kept.push(append(&mut opened, plain(400 - 80)));
        commit(&mut opened).unwrap();
        let after = disk.crash(Loss::Everything, 0);
        let end = 4096 + 80 + 96 + 80 + 80 + 400;
        let old = after.contents("0000000001.segment").get(end + 12) == Some(&1);
        uncovered += usize::from(old);
        let (mut opened, seen) = reopen(after.clone(), small()).expect("no damage");
        assert_eq!(seen, kept, "call {call}");
        kept.push(append(&mut opened, plain(8)));
        commit(&mut opened).unwrap();
        let after = after.crash(Loss::Everything, 0);
        assert_eq!(reopen(after, small()).unwrap().1, kept, "call {call}");
    }
    assert!(uncovered > 0, "the story did not happen");
}

/// A newborn journal with two entries in one unsynced group: the first is torn, the second whole.
fn a_torn_newborn(first_bytes: usize) -> (SimDisk, usize) {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    append(&mut opened, plain(first_bytes));
    append(&mut opened, plain(16));
    commit(&mut opened).unwrap();
    let first = 4096 + 80;
    let mut bytes = disk.contents("0000000001.segment");
    bytes[first] ^= 1;
    disk.replace("0000000001.segment", bytes);
    (disk.restart(), first)
}

/// What is left of a torn group must never follow a new frame, wherever that ends.
#[test]
fn the_rest_of_a_torn_group_never_comes_back() {
    let (disk, _) = a_torn_newborn(400);
    let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
    assert_eq!(seen, []);
    // With the boot frame before it, this one ends where the second old entry begins.
    let mut kept = vec![append(&mut opened, plain(400 - 80))];
    commit(&mut opened).unwrap();
    let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
    assert_eq!(seen, kept);
    kept.push(append(&mut opened, plain(1)));
    commit(&mut opened).unwrap();
    assert_eq!(reopen(disk, small()).unwrap().1, kept);
}

/// The torn group is gone from disk before the boot frame can be there, which might end where
/// an old entry begins.
#[test]
fn the_cut_is_durable_before_the_boot_frame() {
    let (torn, first) = a_torn_newborn(0);
    for call in 0..20 {
        for seed in 0..8 {
            let disk = torn.restart();
            disk.fail_at(call, Fault::Stop);
            drop(reopen(disk.clone(), small()));
            let after = disk.crash(Loss::Writes, seed);
            let (_, seen) = reopen(after, small()).expect("torn, not damaged");
            assert_eq!(seen, [], "call {call}, seed {seed}, first {first}");
        }
    }
}

/// Starts that find no room for their boot frame close the segment first. Wherever the power goes
/// in between, nothing is lost and nothing is in doubt.
#[test]
fn a_start_that_has_to_roll_survives_a_power_cut_at_every_call() {
    let options = Options { prepare_ahead_bytes: 0, ..small() };
    let (mut rolled, mut images) = (0, 0);
    for bytes in (7_600..8_000).step_by(16) {
        let disk = SimDisk::new(1);
        let (mut opened, _) = reopen(disk.clone(), options.clone()).unwrap();
        let all: Vec<Seen> =
            [6_000, 6_000, bytes].map(|bytes| append(&mut opened, plain(bytes))).into();
        commit(&mut opened).unwrap();
        let seal = opened.committer.seal().unwrap();
        drop(opened);
        let clean = disk.restart();
        drop(reopen(clean.clone(), options.clone()).unwrap());
        let boot_in_2 = clean.contents("0000000002.segment").get(4096 + 12) == Some(&3);
        rolled += usize::from(seal.is_some() && boot_in_2);
        for call in 0..clean.calls() {
            for side in [Fault::Stop, Fault::StopAfter] {
                let stopped = disk.restart();
                stopped.fail_at(call, side);
                drop(reopen(stopped.clone(), options.clone()));
                for loss in Loss::ALL {
                    let (names, gained) = (NameLoss::Each, Gained::Junk);
                    let after = stopped.crash_with(Crash { loss, names, gained, seed: call });
                    let context = format!("{bytes} bytes, call {call}, {side:?}, {loss:?}");
                    let (mut opened, seen) =
                        reopen(after.clone(), options.clone()).expect(&context);
                    assert_eq!(seen, all, "{context}");
                    append(&mut opened, plain(1));
                    commit(&mut opened).unwrap();
                    let again = after.crash(Loss::Everything, 0);
                    assert_eq!(reopen(again, options.clone()).unwrap().1.len(), 4, "{context}");
                    images += 1;
                }
            }
        }
    }
    assert!(rolled >= 5 && images > 1_000, "{rolled} {images}");
}

/// The only frame that proves the damage lies at every place a header can have in a piece of the
/// scan, and around the edge of what is read at once.
#[test]
fn a_proof_is_found_wherever_it_lies() {
    const FAR: usize = crate::window::WINDOW_BYTES;
    let options = Options {
        segment_bytes: 4 << 20,
        entry_bytes_max: 2 << 20,
        prepare_ahead_bytes: 0,
        ..small()
    };
    let near = (0..4096).step_by(8);
    let far = (FAR - 400..FAR + 400).step_by(8);
    let mut images = 0;
    for gap in near.chain(far) {
        let disk = SimDisk::new(2);
        let (mut opened, _) = reopen(disk.clone(), options.clone()).unwrap();
        for entry in [plain(8), Entry { meta: vec![0; gap], ..Entry::default() }] {
            append(&mut opened, entry);
            commit(&mut opened).unwrap();
        }
        opened.committer.seal().unwrap();
        let mut bytes = disk.contents("0000000001.segment");
        let (first, second) = (4096 + 80, 4096 + 80 + 88);
        let seal = second + 80 + gap;
        assert_eq!((bytes[second + 12], bytes[seal + 12]), (1, 2));
        bytes[first] ^= 1;
        bytes[second] ^= 1;
        disk.replace("0000000001.segment", bytes);
        let refused = reopen(disk.restart(), options.clone()).err();
        assert!(
            matches!(&refused, Some(Error::Damaged { offset, reason, .. })
                if *offset == first as u64 && reason.contains(&format!("offset {seal} "))),
            "{gap}: {refused:?}"
        );
        images += 1;
    }
    assert_eq!(images, 512 + 100);
}

/// The preparing thread's write or sync fails while the committer works on the same file. Linux
/// tells the committer's opening of it, too; whatever the order, what was acknowledged is there.
#[test]
fn a_failing_preparer_never_makes_the_committer_lie() {
    let options =
        Options { preparation: Preparation::Background, prepare_ahead_bytes: 1 << 10, ..small() };
    for due in 0..24 {
        let disk = SimDisk::new(due);
        let count = AtomicU64::new(0);
        disk.set_hook(Some(Arc::new(move |call: Call<'_>| {
            let here = std::thread::current().name() == Some("journal-prepare")
                && matches!(call.kind, CallKind::Write | CallKind::Sync)
                && call.file.ends_with(".segment");
            let failing = here && count.fetch_add(1, Ordering::Relaxed) == due;
            failing.then_some(Fault::Error(ErrorKind::Other))
        })));
        let (mut opened, mut all) = reopen(disk.clone(), options.clone()).unwrap();
        let entropy = SeededEntropy::new(due);
        let mut acknowledged = 0;
        let failure = loop {
            // The journal may have failed, or (its next segment could not be made) be full.
            if opened.appender.reserve(4_000).is_ok() {
                all.push(append_reserved(&mut opened, some_entry(&entropy, 900)));
            }
            match opened.committer.try_group() {
                Ok(_) => acknowledged = opened.appender.durable().0 as usize,
                Err(error) => break error,
            }
            assert!(all.len() < 100_000, "the preparer has not failed");
        };
        assert!(matches!(failure, Error::Io { .. }), "{failure}");
        assert_eq!(opened.appender.durable().0 as usize, acknowledged);
        assert_eq!(opened.appender.reserve(1), Err(crate::Full::Stopped));
        drop(opened);
        disk.set_hook(None);
        for after in [disk.crash(Loss::Everything, 0), disk.restart()] {
            let (_, seen) = reopen(after, options.clone()).unwrap();
            assert!(seen.len() >= acknowledged, "{due}: {} {acknowledged}", seen.len());
            assert_eq!(seen, all[..seen.len()]);
        }
    }
}
