//! T1 and T2: every call of a script is where the machine stops, or fails. `LONG=1` enumerates 20
//! scripts more.

use super::script::{Run, Script};
use super::*;
use crate::testing::{Call, CallKind, Crash, Fault, Gained, Loss, NameLoss};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::Mutex;

/// What is there after a fault: all that was acknowledged, in order, and perhaps some of the rest.
fn check_prefix(seen: &[Seen], all: &[Seen], acknowledged: usize, context: &str) {
    let count = seen.len();
    assert!(count >= acknowledged, "{count} of {acknowledged} acknowledged are left: {context}");
    assert_eq!(seen, &all[..seen.len()], "{context}");
}

/// Opens what a fault has left, goes on, and loses what it can: what was seen once stays.
fn check_and_go_on(disk: &SimDisk, options: &Options, run: &Run, context: &str) {
    let stays = |opened: Result<(Opened<SimDisk>, Vec<Seen>), Error>| {
        opened.unwrap_or_else(|error| panic!("what was seen once stays: {context}: {error}"))
    };
    let (mut opened, seen) = stays(reopen(disk.clone(), options.clone()));
    check_prefix(&seen, &run.all, run.acknowledged, context);
    let mut kept = seen;
    kept.push(append(&mut opened, Entry::default()));
    commit(&mut opened).unwrap();
    let again = disk.crash(Loss::Everything, 0);
    let (_, again) = stays(reopen(again, options.clone()));
    assert_eq!(again, kept, "what was seen once stays: {context}");
}

/// T1's four kinds of loss, and crueller ones.
fn crashes(seed: u64) -> Vec<Crash> {
    let plain = [Loss::Nothing, Loss::Everything, Loss::Writes, Loss::Sectors];
    let plain = plain.map(|loss| {
        let (names, gained) = (NameLoss::LatestFirst, Gained::Nothing);
        Crash { loss, names, gained, seed }
    });
    let gains = [Gained::Zeros, Gained::Junk, Gained::Recycled];
    let cruel = Loss::ALL.iter().enumerate().map(|(number, loss)| {
        let gained = gains[(number + seed as usize) % gains.len()];
        Crash { loss: *loss, names: NameLoss::Each, gained, seed }
    });
    plain.into_iter().chain(cruel).collect()
}

#[test]
fn t1_whatever_was_acknowledged_survives_a_power_cut_at_every_call() {
    for script in Script::all() {
        let (clean, _) = script.clean();
        let mut images = 0;
        for (call, side) in both_sides(clean.calls()) {
            let disk = script.disk();
            disk.fail_at(call, side);
            let run = script.run(&disk);
            // A script hears of a stop only if it still wants to write: a preparation may fail.
            let heard = run.result.is_err() || run.acknowledged == run.all.len();
            assert!(heard, "{script:?}, call {call}, {side:?}");
            for crash in crashes(call) {
                let context = format!("{script:?}, call {call}, {side:?}, {crash:?}");
                check_and_go_on(&disk.crash_with(crash), &script.options(), &run, &context);
                images += 1;
            }
        }
        // Of these, 4 × 2 × at least 200 calls are T1's own.
        assert_eq!(images, clean.calls() * 2 * (4 + 6));
        assert!(clean.calls() * 2 * 4 >= 1_600);
    }
}

/// A short T1: enough to find planted bugs.
#[test]
fn whatever_was_acknowledged_survives_a_power_cut_here_and_there() {
    let (clean, _) = Script(0).clean();
    for call in (0..clean.calls()).step_by(5) {
        let disk = Script(0).disk();
        disk.fail_at(call, Fault::Stop);
        let run = Script(0).run(&disk);
        for crash in crashes(call).into_iter().take(4) {
            check_and_go_on(&disk.crash_with(crash), &small(), &run, &format!("{call} {crash:?}"));
        }
    }
}

fn both_sides(calls: u64) -> impl Iterator<Item = (u64, Fault)> {
    (0..calls).flat_map(|call| [(call, Fault::Stop), (call, Fault::StopAfter)])
}

#[test]
fn the_same_script_makes_the_same_calls_and_bytes() {
    let disks = [0, 0].map(|_| Script(0).disk());
    let [first, second] = disks.each_ref().map(|disk| Script(0).run(disk).all);
    assert_eq!(first, second);
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
    let (clean, _) = Script(0).clean();
    let mut images = 0;
    for call in (0..clean.calls()).step_by(if long() { 1 } else { 7 }) {
        let (run, torn) = torn(call);
        let whole = torn.restart();
        let (_, seen) = reopen(whole.clone(), small()).unwrap();
        for (recovery_call, side) in both_sides(whole.calls()) {
            let stopped = torn.restart();
            stopped.fail_at(recovery_call, side);
            let context = format!("call {call}, then {recovery_call} {side:?}");
            // The last calls prepare ahead; their failure shows at the first commit.
            if let Ok((mut opened, _)) = reopen(stopped.clone(), small()) {
                assert!(opened.committer.try_group().is_err(), "{context}");
            }
            for gained in Gained::ALL {
                let (loss, names) = (Loss::Sectors, NameLoss::Each);
                let after = stopped.crash_with(Crash { loss, names, gained, seed: recovery_call });
                let (_, again) = reopen(after, small()).expect(&context);
                check_prefix(&again, &run.all, run.acknowledged, &context);
                assert_eq!(seen, again, "{context}");
                images += 1;
            }
        }
    }
    assert!(images > 1_000, "{images}");
}

/// The script, stopped at a call, with torn sectors and junk behind them.
fn torn(call: u64) -> (Run, SimDisk) {
    let disk = Script(0).disk();
    disk.fail_at(call, Fault::Stop);
    let run = Script(0).run(&disk);
    let (names, gained) = (NameLoss::Each, Gained::Recycled);
    let torn = disk.crash_with(Crash { loss: Loss::Sectors, names, gained, seed: call });
    (run, torn)
}

/// A sync that fails during recovery: the process ends, the system goes on and shows pages that are
/// on no disk, and much later the power goes.
#[test]
fn recovery_survives_an_error_at_every_call() {
    let (clean, _) = Script(0).clean();
    let mut images = 0;
    for call in (0..clean.calls()).step_by(if long() { 1 } else { 7 }) {
        let (run, torn) = torn(call);
        let whole = torn.restart();
        drop(reopen(whole.clone(), small()).unwrap());
        for recovery_call in 0..whole.calls() {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let failed = torn.restart();
                failed.fail_at(recovery_call, Fault::Error(kind));
                drop(reopen(failed.clone(), small()));
                let context = format!("call {call}, then {kind:?} at {recovery_call}");
                check_and_go_on(&failed.restart(), &small(), &run, &context);
                images += 1;
            }
        }
    }
    assert!(images > 500, "{images}");
}

const FAULTS: [Fault; 4] = [
    Fault::Error(ErrorKind::Other),
    Fault::Error(ErrorKind::StorageFull),
    Fault::Short,
    Fault::LateError(ErrorKind::Other),
];

#[test]
fn t2_after_an_error_at_any_call_nothing_acknowledged_is_lost() {
    for script in Script::all() {
        let (clean, whole) = script.clean();
        let mut images = 0;
        for fault in FAULTS {
            for call in 0..clean.calls() {
                let disk = script.disk();
                let hit = fail_and_tell(&disk, call, fault);
                let run = script.run(&disk);
                disk.set_hook(None);
                let context = format!("{script:?}, {fault:?} at call {call}");
                match fault {
                    Fault::Short => {
                        run.result.as_ref().expect(&context);
                        assert_eq!(run.all, whole.all, "{context}");
                    }
                    _ => check_no_late_acknowledgement(&run, &hit, script, &context),
                }
                // The process has ended; the system goes on and shows pages that are on no disk.
                check_and_go_on(&disk.restart(), &script.options(), &run, &context);
                images += 1;
            }
        }
        assert_eq!(images, clean.calls() * 4);
        assert!(clean.calls() * 3 >= 600);
    }
}

/// The call that failed.
struct Hit {
    kind: CallKind,
    file: String,
    /// The disk as a power cut right before the call would have left it.
    durable: SimDisk,
}

/// Has a call fail; tells later which one it was.
fn fail_and_tell(disk: &SimDisk, due: u64, fault: Fault) -> Arc<Mutex<Option<Hit>>> {
    let hit = Arc::new(Mutex::new(None));
    let (told, watched) = (Arc::clone(&hit), disk.clone());
    disk.set_hook(Some(Arc::new(move |call: Call<'_>| {
        (call.kind != CallKind::Read && call.number == due).then(|| {
            let durable = watched.crash(Loss::Everything, 0);
            durable.set_hook(None);
            let (kind, file) = (call.kind, call.file.to_owned());
            *told.lock().unwrap() = Some(Hit { kind, file, durable });
            fault
        })
    })));
    hit
}

/// R6: after a failed write or sync of a segment nothing is acknowledged that was not durable before
/// it, and the journal says so. (The making of another segment may fail: the journal is full until
/// it succeeds.)
fn check_no_late_acknowledgement(
    run: &Run,
    hit: &Mutex<Option<Hit>>,
    script: Script,
    context: &str,
) {
    let Hit { kind, file, durable } = hit.lock().unwrap().take().expect(context);
    if matches!(kind, CallKind::Write | CallKind::Sync) && file.ends_with(".segment") {
        let (_, seen) = reopen(durable, script.options()).expect(context);
        assert!(run.acknowledged <= seen.len(), "{} {}: {context}", run.acknowledged, seen.len());
        // What fails after the last group is heard by nobody: the script has ended.
        let heard = matches!(run.result, Err(Error::Io { .. }));
        assert!(heard || run.acknowledged == run.all.len(), "{context}");
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_never_a_torn_tail() {
    let (disk, whole) = Script(0).clean();
    let before = disk.restart();
    drop(reopen(before.clone(), small()).unwrap());
    let reads = before.reads();
    for due in 0..reads {
        let failing = disk.restart();
        failing.set_hook(Some(Arc::new(move |call: Call<'_>| {
            let now = call.kind == CallKind::Read && call.number == due;
            now.then_some(Fault::Error(ErrorKind::Other))
        })));
        let opened = open(failing.clone(), small(), &mut |_| Ok(()));
        // Blobs are read back by the caller, after the opening: these reads are not reached.
        if failing.reads() > due {
            assert!(matches!(opened.err(), Some(Error::Io { .. })), "read {due} of {reads}");
        }
        failing.set_hook(None);
        assert_eq!(reopen(failing.restart(), small()).unwrap().1, whole.all, "read {due}");
    }
    let slow = disk.restart();
    slow.set_read_bytes_max(Some(333));
    assert_eq!(reopen(slow.clone(), small()).unwrap().1, whole.all);
    assert!(slow.reads() > 3 * reads, "{} {reads}", slow.reads());
}

/// The hook is asked before each call and without a lock: a sync may take as long as it likes.
#[test]
fn a_slow_disk_is_only_slow() {
    let (clean, whole) = Script(0).clean();
    let disk = Script(0).disk();
    let (clock_ms, asked) = (Arc::new(Mutex::new(0)), disk.clone());
    let clock = Arc::clone(&clock_ms);
    disk.set_hook(Some(Arc::new(move |call: Call<'_>| {
        if call.kind != CallKind::Read {
            assert_eq!(asked.calls(), call.number + 1);
        }
        if call.kind == CallKind::Sync {
            *clock.lock().unwrap() += 200;
        }
        None
    })));
    assert_eq!(Script(0).run(&disk).all, whole.all);
    assert_eq!(disk.calls(), clean.calls());
    assert!(*clock_ms.lock().unwrap() > 200 * 60);
    disk.set_hook(None);
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
