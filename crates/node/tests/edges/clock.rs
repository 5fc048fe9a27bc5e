//! A clock that jumps ten years ahead or a day back, saws, or stands still: no timer fires early,
//! none is lost, offsets and ids are not touched, and the writer does not spin.

use crate::asks::{self, ask, poll_on};
use crate::support::{QUEUE, create_topic, events, options, produce};
use base::Timestamp;
use journal::testing::{Loss, SimDisk};
use node::{Clock, Handle, Node, NodeGuard, NodeOptions, SteeredClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::command::Attributes as Do;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use workflows::Reply;

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const YEARS: i64 = 3_650 * DAY;

/// What is done to the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    TenYearsAhead,
    TenYearsAheadAndBack,
    ADayBack,
    /// A second back in every step, and ahead again in the next.
    Sawtooth,
    /// A minute ahead in every step.
    Gallop,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::None,
    Trouble::TenYearsAhead,
    Trouble::TenYearsAheadAndBack,
    Trouble::ADayBack,
    Trouble::Sawtooth,
    Trouble::Gallop,
];

impl Trouble {
    fn happen(self, clock: &SteeredClock, step: i64) {
        let back = if step % 2 == 0 { -1 } else { 1 };
        match (self, step) {
            (Trouble::TenYearsAhead | Trouble::TenYearsAheadAndBack, 1) => clock.jump(YEARS),
            (Trouble::TenYearsAheadAndBack, 50) => clock.jump(-YEARS),
            (Trouble::ADayBack, 1) => clock.jump(-DAY),
            (Trouble::Sawtooth, _) => clock.jump(back * SECOND),
            (Trouble::Gallop, _) => clock.jump(60 * SECOND),
            _ => {}
        }
    }
}

/// Counts how often the writer looks.
struct Counted {
    clock: SteeredClock,
    looks: Arc<AtomicU64>,
}

impl Clock for Counted {
    fn now(&mut self) -> Timestamp {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }

    fn start(&mut self, last_entry: Timestamp) {
        self.clock.start(last_entry);
    }
}

fn open(disk: &SimDisk, clock: &SteeredClock, looks: &Arc<AtomicU64>) -> (Handle, NodeGuard) {
    let clock = Counted { clock: clock.clone(), looks: Arc::clone(looks) };
    let limits = asks::small_queues();
    let options = NodeOptions { clock: Box::new(clock), limits, ..options() };
    Node::open_on(disk.clone(), options).unwrap()
}

async fn history(handle: &Handle) -> Vec<HistoryEvent> {
    match ask(handle, asks::history("w", None)).await.unwrap() {
        Reply::GetWorkflowExecutionHistory(slice) => events(handle, &slice).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn fired(history: &[HistoryEvent]) -> Vec<&str> {
    let id = |event: &'_ HistoryEvent| match event.attributes.as_ref() {
        Some(Attributes::TimerFiredEventAttributes(a)) => Some(a.started_event_id),
        _ => None,
    };
    let name = |started| history.iter().find(|event| event.event_id == started);
    let names = history.iter().filter_map(id).filter_map(name);
    names
        .filter_map(|event| match event.attributes.as_ref() {
            Some(Attributes::TimerStartedEventAttributes(a)) => Some(a.timer_id.as_str()),
            _ => None,
        })
        .collect()
}

fn time(event: &HistoryEvent) -> Timestamp {
    let time = event.event_time.as_ref().unwrap();
    Timestamp::from_seconds_and_nanos(time.seconds, time.nanos)
}

fn timer(id: &str, seconds: i64) -> Do {
    let start_to_fire_timeout = asks::seconds(seconds);
    let timer_id = id.to_owned();
    Do::StartTimerCommandAttributes(command::StartTimerCommandAttributes {
        timer_id,
        start_to_fire_timeout,
    })
}

async fn set_up(handle: &Handle) {
    create_topic(handle, "t", 1).await.unwrap();
    ask(handle, asks::start("w", "start")).await.unwrap();
    let task = asks::workflow_task(handle, poll_on(QUEUE)).await;
    let commands = vec![timer("ten", 10), timer("twenty", 20), timer("day", 86_400)];
    ask(handle, asks::complete(&task, commands, None)).await.unwrap();
}

/// Lets 100 ms pass, in trouble, and has the writer look. Says what offset a record gets.
async fn step(handle: &Handle, clock: &SteeredClock, trouble: Trouble, step: i64) -> i64 {
    trouble.happen(clock, step);
    clock.advance(Duration::from_millis(100));
    handle.wake();
    asks::others_decided(handle).await;
    produce(handle, "t", &[("k", "v")]).await.unwrap().unwrap().base_offset
}

#[tokio::test]
async fn timers_follow_the_time_that_passes() {
    for trouble in TROUBLES {
        let (disk, clock, looks) = (SimDisk::new(1), SteeredClock::new(NOON), Arc::default());
        let (handle, guard) = open(&disk, &clock, &looks);
        set_up(&handle).await;
        let before = looks.load(Ordering::SeqCst);
        for number in 1..=300 {
            let context = format!("{trouble:?} step {number}");
            assert_eq!(step(&handle, &clock, trouble, number).await, number - 1, "{context}");
            let history = history(&handle).await;
            // One part in a thousand is the most that the wall can do.
            let wanted: &[&[&str]] = match number {
                0..=99 => &[&[]],
                100..=101 => &[&[], &["ten"]],
                102..=199 => &[&["ten"]],
                200..=201 => &[&["ten"], &["ten", "twenty"]],
                _ => &[&["ten", "twenty"]],
            };
            assert!(wanted.contains(&&*fired(&history)), "{context}: {:?}", fired(&history));
            let ids = history.iter().map(|event| event.event_id);
            assert!(ids.eq(1..=history.len() as i64), "{context}");
            assert!(history.windows(2).all(|two| time(&two[0]) <= time(&two[1])), "{context}");
        }
        // Each step has six requests or so, and each request two looks.
        let spent = looks.load(Ordering::SeqCst) - before;
        assert!(spent < 300 * 40, "{trouble:?}: the writer looked {spent} times");
        guard.stop().await;
    }
}

/// A restart takes the wall clock's time if that is ahead, and never goes back behind what is
/// written: timers are then late, at worst, by the time that the node was down.
#[tokio::test]
async fn no_timer_is_lost_over_a_restart_in_trouble() {
    for (jump, wanted) in [
        (0, vec!["ten"]),
        (-DAY, vec!["ten"]),
        (-YEARS, vec!["ten"]),
        (30 * SECOND, vec!["ten", "twenty"]),
        (YEARS, vec!["ten", "twenty", "day"]),
    ] {
        let (disk, clock, looks) = (SimDisk::new(2), SteeredClock::new(NOON), Arc::default());
        let (handle, guard) = open(&disk, &clock, &looks);
        set_up(&handle).await;
        for number in 1..=50 {
            step(&handle, &clock, Trouble::None, number).await;
        }
        clock.jump(jump);
        let disk = disk.crash(Loss::Everything, 1);
        guard.stop().await;
        let (handle, guard) = open(&disk, &clock, &looks);
        for number in 51..=110 {
            assert_eq!(step(&handle, &clock, Trouble::None, number).await, number - 1);
        }
        let history = history(&handle).await;
        assert_eq!(fired(&history), wanted, "{jump}");
        assert!(history.windows(2).all(|two| time(&two[0]) <= time(&two[1])), "{jump}");
        guard.stop().await;
    }
}

/// Half a millisecond before a timer is due the clock stops. The writer may look once in a
/// millisecond, and serves everybody.
#[tokio::test]
async fn a_clock_that_stands_still_does_not_make_the_writer_spin() {
    let (disk, clock, looks) = (SimDisk::new(3), SteeredClock::new(NOON), Arc::default());
    let (handle, guard) = open(&disk, &clock, &looks);
    set_up(&handle).await;
    clock.advance(Duration::from_micros(9_999_500));
    handle.wake();
    let (before, began) = (looks.load(Ordering::SeqCst), std::time::Instant::now());
    for _ in 0..500 {
        ask(&handle, asks::describe("w")).await.unwrap();
    }
    let spent = looks.load(Ordering::SeqCst) - before;
    let most = 500 * 4 + 2 * began.elapsed().as_millis() as u64 + 10;
    assert!(spent <= most, "the writer looked {spent} times, at most {most}");
    assert!(fired(&history(&handle).await).is_empty());
    clock.advance(Duration::from_millis(12));
    handle.wake();
    asks::others_decided(&handle).await;
    assert_eq!(fired(&history(&handle).await), ["ten"]);
    guard.stop().await;
}
