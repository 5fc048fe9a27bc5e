//! Every call of a script fails once, or is where the machine stops.

use super::*;
use crate::Group;
use crate::testing::{Fault, Loss};
use std::io::ErrorKind;

/// Appends, commits, seals, rolls and reopens until something fails. Says what it appended and how
/// much of that was acknowledged.
fn script(disk: &SimDisk) -> (Vec<Seen>, usize, Result<(), Error>) {
    let (mut all, mut acknowledged) = (Vec::new(), 0);
    let result = run(disk, &mut all, &mut acknowledged);
    (all, acknowledged, result)
}

fn run(disk: &SimDisk, all: &mut Vec<Seen>, acknowledged: &mut usize) -> Result<(), Error> {
    let entropy = SeededEntropy::new(11);
    for _ in 0..3 {
        let (mut opened, seen) = reopen(disk.clone(), small())?;
        assert_eq!(seen, *all, "what was committed is there after a restart");
        *acknowledged = all.len();
        for round in 0..8 {
            for _ in 0..=entropy.next_u64() % 4 {
                // A full or failing disk refuses before anything is appended.
                if opened.appender.reserve(4000).is_ok() {
                    all.push(append(&mut opened, some_entry(&entropy, 1200)));
                }
            }
            loop {
                let group = opened.committer.try_group();
                *acknowledged = opened.appender.durable().0 as usize;
                match group? {
                    Some(Group::Committed { durable, .. }) => {
                        assert_eq!(durable, opened.appender.durable());
                    }
                    _ => break,
                }
            }
            if round % 3 == 2 {
                opened.committer.seal()?;
            }
        }
    }
    Ok(())
}

/// What is there after a fault: all that was acknowledged, in order, and perhaps some of the rest.
fn check_prefix(seen: &[Seen], all: &[Seen], acknowledged: usize, context: &str) {
    let count = seen.len();
    assert!(count >= acknowledged, "{count} of {acknowledged} acknowledged are left: {context}");
    assert_eq!(seen, &all[..seen.len()], "{context}");
}

#[test]
fn whatever_was_acknowledged_survives_a_power_cut_at_every_call() {
    let clean = SimDisk::new(9);
    let (all, _, result) = script(&clean);
    result.unwrap();
    assert!(all.len() > 30 && clean.names().len() > 2, "{}", all.len());
    for call in 0..clean.calls() {
        let disk = SimDisk::new(9);
        disk.fail_at(call, Fault::Stop);
        let (all, acknowledged, result) = script(&disk);
        result.unwrap_err();
        for (loss, seed) in Loss::ALL.into_iter().zip([0, 0, call, call]) {
            let context = format!("call {call}, {loss:?}");
            let after = disk.crash(loss, seed);
            let (mut opened, seen) = reopen(after.clone(), small()).expect(&context);
            check_prefix(&seen, &all, acknowledged, &context);
            // What was seen once stays, also over a second power cut that loses all it can.
            let mut kept = seen;
            kept.push(append(&mut opened, Entry::default()));
            commit(&mut opened).unwrap();
            let again = after.crash(Loss::Everything, 0);
            let again = reopen(again, small()).expect(&context).1;
            assert_eq!(again, kept, "what was seen once stays: {context}");
        }
    }
}

#[test]
fn the_same_script_makes_the_same_calls_and_bytes() {
    let disks = [SimDisk::new(9), SimDisk::new(9)];
    let [first, second] = disks.each_ref().map(script);
    assert_eq!(first.0, second.0);
    let [first, second] = disks;
    assert_eq!(first.calls(), second.calls());
    assert_eq!(first.names(), second.names());
    for name in first.names() {
        assert_eq!(first.contents(&name), second.contents(&name), "{name}");
    }
}

/// A power cut in the middle of recovery from a power cut.
#[test]
fn recovery_survives_a_power_cut_at_every_call() {
    let clean = SimDisk::new(9);
    script(&clean).2.unwrap();
    for call in (0..clean.calls()).step_by(7) {
        let disk = SimDisk::new(9);
        disk.fail_at(call, Fault::Stop);
        let (all, acknowledged, _) = script(&disk);
        let torn = disk.crash(Loss::Sectors, call);
        let whole = torn.restart();
        let (_, seen) = reopen(whole.clone(), small()).unwrap();
        for recovery_call in 0..whole.calls() {
            let stopped = torn.restart();
            stopped.fail_at(recovery_call, Fault::Stop);
            let context = format!("call {call}, then {recovery_call}");
            // The last calls prepare ahead; their failure shows at the first commit.
            if let Ok((mut opened, _)) = reopen(stopped.clone(), small()) {
                assert!(opened.committer.try_group().is_err(), "{context}");
            }
            let after = stopped.crash(Loss::Sectors, recovery_call);
            let (_, again) = reopen(after, small()).expect(&context);
            check_prefix(&again, &all, acknowledged, &context);
            assert_eq!(seen, again, "{context}");
        }
    }
}

#[test]
fn a_failed_call_is_reported_once_and_nothing_acknowledged_is_lost() {
    let clean = SimDisk::new(9);
    script(&clean).2.unwrap();
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for call in 0..clean.calls() {
            let disk = SimDisk::new(9);
            disk.fail_at(call, Fault::Error(kind));
            let (all, acknowledged, _) = script(&disk);
            let context = format!("call {call}, {kind:?}");
            // The process has ended; the system goes on and shows pages that are on no disk.
            let after = disk.restart();
            let (mut opened, seen) = reopen(after.clone(), small()).expect(&context);
            check_prefix(&seen, &all, acknowledged, &context);
            let mut kept = seen;
            kept.push(append(&mut opened, Entry::default()));
            commit(&mut opened).unwrap();
            let lost = after.crash(Loss::Everything, 0);
            assert_eq!(reopen(lost, small()).expect(&context).1, kept, "{context}");
        }
    }
}

#[test]
fn after_an_error_the_committer_does_nothing_more() {
    for back in 1..=2 {
        let disk = SimDisk::new(1);
        let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
        append(&mut opened, some_entry(&SeededEntropy::new(1), 100));
        disk.fail_at(disk.calls() + 2 - back, Fault::Error(ErrorKind::Other));
        let failed = opened.committer.run_group();
        assert!(matches!(failed, Err(Error::Io { .. })), "a failed call is not made again");
        let calls = disk.calls();
        for _ in 0..3 {
            assert!(matches!(opened.committer.run_group(), Err(Error::Poisoned)));
            assert!(matches!(opened.committer.seal(), Err(Error::Poisoned)));
        }
        assert_eq!(disk.calls(), calls);
        assert_eq!(opened.appender.durable(), Lsn(0));
        assert_eq!(opened.appender.reserve(1), Err(crate::Full::Stopped));
    }
}
