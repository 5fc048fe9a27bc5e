//! The engine with a small machine and a journal whose syncs the test lets through.

use super::*;
use crate::caller::{Caller, Pending, Unclaimed, Way};
use crate::committer;
use crate::held::Published;
use crate::inbox::{Bounds, Lane, WhenFull};
use crate::journal_port::Commit;
use crate::machines::Room;
use crate::{LastWords, ManualClock};
use base::{Blob, Cause, JournalOp, OpError, OpKind, SeededEntropy};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;

/// Counts, hands out numbered tasks to those who poll, and has one alarm.
#[derive(Default)]
struct Counter {
    total: u64,
    tasks: VecDeque<u64>,
    pollers: VecDeque<Ticket>,
    alarm: Option<Timestamp>,
    rung: u64,
}

#[derive(Clone, Copy)]
enum Ask {
    Add(u64),
    Read,
    Refused,
    Task(u64),
    Poll,
    GiveBack(u64),
    Pollers,
    AlarmAt(Timestamp),
    Ring,
}

struct AddOp(u64);

impl JournalOp for AddOp {
    fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind {
        body.extend_from_slice(&self.0.to_le_bytes());
        blobs.push(Blob::new(Bytes::from(vec![0; 10])));
        OpKind { kind: 1, version: 1 }
    }

    fn decode(kind: OpKind, _: &[u8], _: &[Bytes]) -> Result<AddOp, OpError> {
        Err(OpError::UnknownKind(kind))
    }
}

impl Machines for Counter {
    type Ask = Ask;
    type FollowUp = Ask;
    type Op = AddOp;
    type Reply = u64;
    type Publication = u64;

    fn decide(&self, ask: Ask, _: Ticket, _: &Cx<'_>) -> Decision<Counter> {
        let (ops, answer) = match ask {
            Ask::Add(n) => (vec![AddOp(n)], Some(self.total + n)),
            Ask::Read => (vec![], Some(self.total)),
            Ask::Pollers => (vec![], Some(self.pollers.len() as u64)),
            Ask::Refused => return Decision::refuse(Error::Overloaded),
            Ask::Poll => (vec![], None),
            Ask::Ring => (vec![AddOp(0)], None),
            Ask::Task(n) | Ask::GiveBack(n) => (vec![], Some(n)),
            Ask::AlarmAt(_) => (vec![], Some(0)),
        };
        let answer = answer.map(Ok);
        let room = Room::Common;
        Decision { ops, cause: Cause::Request, answer, follow_up: Some(ask), room }
    }

    fn apply(
        &mut self,
        _: Lsn,
        _: Timestamp,
        op: &AddOp,
        blobs: &[BlobAddr],
        effects: &mut Effects<Counter>,
    ) {
        assert_eq!(blobs.len(), 1);
        self.total += op.0;
        effects.publications.push(self.total);
    }

    fn attend(&mut self, ask: Ask, ticket: Ticket, _: &Cx<'_>, effects: &mut Effects<Counter>) {
        match ask {
            Ask::Task(n) | Ask::GiveBack(n) => self.tasks.push_back(n),
            Ask::Poll => self.pollers.push_back(ticket),
            Ask::AlarmAt(time) => self.alarm = Some(time),
            Ask::Ring => (self.alarm, self.rung) = (None, self.rung + 1),
            _ => {}
        }
        while let (Some(&task), Some(&poller)) = (self.tasks.front(), self.pollers.front()) {
            effects.replies.push((poller, Ok(TASK + task)));
            self.tasks.pop_front();
            self.pollers.pop_front();
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.pollers.retain(|poller| *poller != ticket);
    }

    fn due(&self, now: Timestamp) -> Option<Ask> {
        self.alarm.filter(|alarm| *alarm <= now).map(|_| Ask::Ring)
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.alarm
    }

    fn resume(&mut self, _: Timestamp) {}

    fn check(&self) {}

    fn returned(reply: u64) -> Vec<Ask> {
        if reply >= TASK { vec![Ask::GiveBack(reply - TASK)] } else { vec![] }
    }
}

/// Replies from here on are tasks.
const TASK: u64 = 1_000;

/// A journal without a disk. Syncs happen when the test says so.
#[derive(Default)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
    durable: AtomicU64,
    full: AtomicBool,
}

#[derive(Default)]
struct DiskState {
    tip: u64,
    allowed: u64,
    fails: bool,
    closed: bool,
}

impl Disk {
    fn change(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn allow_all(&self) {
        self.change(|state| state.allowed = u64::MAX);
    }
}

struct FakeAppender(Arc<Disk>);
struct FakeCommitter(Arc<Disk>);

impl Append for FakeAppender {
    fn reserve(&mut self, _: usize, _: &[Blob], _: Room) -> Result<(), Error> {
        if self.0.full.load(Ordering::SeqCst) { Err(Error::Full) } else { Ok(()) }
    }

    fn append(&mut self, _: Cause, _: Vec<u8>, blobs: Vec<Blob>) -> (Lsn, Vec<BlobAddr>) {
        self.0.change(|state| state.tip += 1);
        let position = |blob: &Blob| BlobAddr {
            segment: 0,
            position: 0,
            length: blob.bytes().len() as u32,
            crc: blob.crc(),
        };
        (self.tip(), blobs.iter().map(position).collect())
    }

    fn tip(&self) -> Lsn {
        Lsn(self.0.state.lock().unwrap().tip)
    }

    fn durable(&self) -> Lsn {
        Lsn(self.0.durable.load(Ordering::SeqCst))
    }
}

impl Drop for FakeAppender {
    fn drop(&mut self) {
        self.0.change(|state| state.closed = true);
    }
}

impl Commit for FakeCommitter {
    fn run_group(&mut self) -> Result<Option<Lsn>, String> {
        let mut state = self.0.state.lock().unwrap();
        loop {
            let durable = self.0.durable.load(Ordering::SeqCst);
            if state.fails {
                return Err("the disk is gone".to_owned());
            }
            if durable < state.tip.min(state.allowed) {
                let durable = state.tip.min(state.allowed);
                self.0.durable.store(durable, Ordering::SeqCst);
                return Ok(Some(Lsn(durable)));
            }
            if state.closed {
                return Ok(None);
            }
            state = self.0.changed.wait(state).unwrap();
        }
    }
}

#[derive(Clone, Default)]
struct Readers(Arc<Mutex<Vec<u64>>>);

impl Published<u64> for Readers {
    fn publish(&self, blobs: Vec<(BlobAddr, Bytes)>, publications: Vec<u64>) {
        assert_eq!(blobs.len(), publications.len());
        self.0.lock().unwrap().extend(publications);
    }
}

struct Engine {
    caller: Caller<Counter>,
    disk: Arc<Disk>,
    clock: ManualClock,
    readers: Readers,
    failures: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    fn start(crash_point: Option<CrashPoint>) -> Engine {
        let bounds = Bounds { produce_bytes: 1_000, other_bytes: 1_000, requests: 100 };
        let inbox = Arc::new(Inbox::new(bounds));
        let (disk, readers) = (Arc::new(Disk::default()), Readers::default());
        let clock = ManualClock::new(Timestamp(0));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let last_released = crash_point.map_or(Lsn(u64::MAX), CrashPoint::last_released);
        let held = Arc::new(Held::new(Lsn(0), Box::new(readers.clone()), last_released));
        let writer = Writer {
            machines: Counter::default(),
            journal: FakeAppender(Arc::clone(&disk)),
            clock: Box::new(clock.clone()),
            entropy: Box::new(SeededEntropy::new(1)),
            inbox: Arc::clone(&inbox),
            held: Arc::clone(&held),
            waiting: HashMap::new(),
            due_after: None,
            unsynced_bytes_max: 1,
            crash_point,
            paranoid: true,
        };
        let (committer, failed) = (FakeCommitter(Arc::clone(&disk)), Arc::clone(&failures));
        let threads = vec![
            std::thread::spawn(move || writer.run()),
            std::thread::spawn({
                let inbox = Arc::clone(&inbox);
                move || {
                    let on_failure: committer::OnFailure = Arc::new(move |reason: &str| {
                        failed.lock().unwrap().push(reason.to_owned());
                    });
                    committer::run(committer, &held, &inbox, &on_failure);
                }
            }),
        ];
        Engine { caller: Caller(inbox), disk, clock, readers, failures, threads }
    }

    async fn send(&self, ask: Ask) -> Pending<Counter> {
        self.send_in(Lane::Other, ask).await
    }

    async fn send_in(&self, lane: Lane, ask: Ask) -> Pending<Counter> {
        let way =
            Way { lane, size_bytes: 1, when_full: WhenFull::Wait, principal: Principal::Anonymous };
        self.caller.send(ask, way).await.unwrap()
    }

    async fn ask(&self, ask: Ask) -> Result<u64, Error> {
        self.send(ask).await.await.map(Unclaimed::claim)
    }

    fn stop(self) -> Vec<u64> {
        self.caller.0.close();
        self.disk.allow_all();
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.readers.0.lock().unwrap().clone()
    }
}

fn is_ready(pending: &mut Pending<Counter>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    Pin::new(pending).poll(&mut context).is_ready()
}

use std::pin::Pin;

#[tokio::test]
async fn nothing_leaves_before_what_it_depends_on_is_on_disk() {
    let engine = Engine::start(None);
    assert_eq!(engine.ask(Ask::Read).await, Ok(0), "an idle node answers reads at once");
    let mut first = engine.send(Ask::Add(1)).await;
    let mut read = engine.send(Ask::Read).await;
    let mut refusal = engine.send(Ask::Refused).await;
    let mut second = engine.send(Ask::Add(10)).await;
    // All four are decided once the second entry is in the journal.
    wait_until(&engine.disk, |state| state.tip == 2);
    for pending in [&mut first, &mut read, &mut refusal, &mut second] {
        assert!(!is_ready(pending), "nobody is answered before the disk has it");
    }
    let readers = engine.readers.0.lock().unwrap().clone();
    assert!(readers.is_empty(), "nobody reads before the disk has it");
    engine.disk.change(|state| state.allowed = 1);
    assert_eq!(first.await.map(Unclaimed::claim), Ok(1));
    assert_eq!(read.await.map(Unclaimed::claim), Ok(1));
    assert_eq!(refusal.await.map(Unclaimed::claim), Err(Error::Overloaded));
    assert!(!is_ready(&mut second));
    assert_eq!(*engine.readers.0.lock().unwrap(), [1]);
    engine.disk.allow_all();
    assert_eq!(second.await.map(Unclaimed::claim), Ok(11));
    assert_eq!(engine.stop(), [1, 11]);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let engine = Engine::start(None);
    engine.disk.allow_all();
    engine.disk.full.store(true, Ordering::SeqCst);
    assert_eq!(engine.ask(Ask::Add(1)).await, Err(Error::Full));
    let read = engine.ask(Ask::Read).await;
    assert_eq!(read, Ok(0), "what was refused has left no trace");
    engine.disk.full.store(false, Ordering::SeqCst);
    assert_eq!(engine.ask(Ask::Add(1)).await, Ok(1));
    engine.stop();
}

#[tokio::test]
async fn when_the_disk_is_behind_only_produces_wait() {
    let engine = Engine::start(None);
    for round in 0..200 {
        let allowed = engine.disk.state.lock().unwrap().tip;
        engine.disk.change(|state| state.allowed = allowed);
        let first = engine.send_in(Lane::Produce, Ask::Add(1)).await;
        wait_until(&engine.disk, |state| state.tip == allowed + 1);
        let second = engine.send_in(Lane::Produce, Ask::Add(1)).await;
        let read = engine.send(Ask::Read).await;
        engine.disk.allow_all();
        assert_eq!(first.await.map(Unclaimed::claim), Ok(2 * round + 1));
        assert_eq!(read.await.map(Unclaimed::claim), Ok(2 * round + 1));
        assert_eq!(second.await.map(Unclaimed::claim), Ok(2 * round + 2));
    }
    engine.stop();
}

#[tokio::test]
async fn a_dropped_caller_is_forgotten() {
    let engine = Engine::start(None);
    let mut poll = engine.send(Ask::Poll).await;
    assert!(!is_ready(&mut poll));
    assert_eq!(engine.ask(Ask::Pollers).await, Ok(1));
    drop(poll);
    assert_eq!(engine.ask(Ask::Pollers).await, Ok(0));
    engine.stop();
}

#[tokio::test]
async fn a_task_that_nobody_takes_goes_to_the_next_poller() {
    let engine = Engine::start(None);
    // The answer is there, and its receiver is dropped without looking.
    let poll = engine.send(Ask::Poll).await;
    engine.ask(Ask::Task(7)).await.unwrap();
    drop(poll);
    assert_eq!(engine.ask(Ask::Poll).await, Ok(TASK + 7));
    // The receiver goes away while the answer is held for a sync.
    let poll = engine.send(Ask::Poll).await;
    let add = engine.send(Ask::Add(1)).await;
    let task = engine.send(Ask::Task(8)).await;
    wait_until(&engine.disk, |state| state.tip == 1);
    drop(poll);
    engine.disk.allow_all();
    add.await.map(Unclaimed::claim).unwrap();
    task.await.map(Unclaimed::claim).unwrap();
    assert_eq!(engine.ask(Ask::Poll).await, Ok(TASK + 8));
    // The reply has been received, and is dropped before it is claimed.
    let poll = engine.send(Ask::Poll).await;
    engine.ask(Ask::Task(9)).await.unwrap();
    drop(poll.await.unwrap());
    assert_eq!(engine.ask(Ask::Poll).await, Ok(TASK + 9));
    engine.stop();
}

#[tokio::test]
async fn time_makes_things_due() {
    let engine = Engine::start(None);
    engine.disk.allow_all();
    engine.ask(Ask::AlarmAt(Timestamp(5_000_000))).await.unwrap();
    assert!(engine.readers.0.lock().unwrap().is_empty());
    engine.clock.advance(Duration::from_secs(5));
    engine.caller.0.poke();
    wait_until(&engine.disk, |state| state.tip == 1);
    assert_eq!(engine.stop(), [0]);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_answered() {
    let engine = Engine::start(None);
    let add = engine.send(Ask::Add(1)).await;
    wait_until(&engine.disk, |state| state.tip == 1);
    let failures = Arc::clone(&engine.failures);
    engine.disk.change(|state| state.fails = true);
    wait_until_failed(&engine);
    assert!(engine.stop().is_empty());
    assert_eq!(add.await.map(Unclaimed::claim), Err(Error::Stopping));
    assert_eq!(failures.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_crash_point_cuts_the_journal_and_the_answers() {
    for (last_words, answer) in
        [(LastWords::Released, Ok(1)), (LastWords::Withheld, Err(Error::Stopping))]
    {
        let engine = Engine::start(Some(CrashPoint { after: Lsn(1), last_words }));
        engine.disk.allow_all();
        let first = engine.send(Ask::Add(1)).await;
        assert_eq!(first.await.map(Unclaimed::claim), answer);
        let disk = Arc::clone(&engine.disk);
        engine.stop();
        assert_eq!(disk.state.lock().unwrap().tip, 1);
    }
}

fn wait_until(disk: &Disk, condition: impl Fn(&DiskState) -> bool) {
    let state = disk.state.lock().unwrap();
    drop(disk.changed.wait_while(state, |state| !condition(state)).unwrap());
}

fn wait_until_failed(engine: &Engine) {
    while engine.failures.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
}
