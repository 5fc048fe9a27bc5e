//! A random walk through a small world: whatever is asked in whatever order, the machine keeps
//! its invariants, recovery brings back the same state, and histories are what SDKs can replay.
//!
//! Steps are lines of a script, so a walk that fails prints what it did, ready to be cut down to
//! a scenario. `WALK=first..last` walks other seeds.

use crate::script::Script;
use base::{Entropy, RunId, SeededEntropy};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use temporalio_protos::temporal::api::enums::v1::EventType as T;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes as A;
use workflows::Op;

const STEPS: usize = 300;
/// Recovery is compared with what is there every so many steps, and at each restart.
const COMPARE_EVERY: usize = 25;

#[test]
fn walks() {
    let range = std::env::var("WALK").unwrap_or_else(|_| "0..25".into());
    let (first, last) = range.split_once("..").expect("WALK=first..last");
    for seed in first.parse().expect("a number")..last.parse().expect("a number") {
        println!("seed {seed}");
        Walk::new(seed).run();
    }
}

struct Walk {
    script: Script,
    random: SeededEntropy,
    /// Signals are told apart by their inputs.
    signals: u64,
    /// Ids of the last activities.
    activities: VecDeque<i64>,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let limits = workflows::Limits {
            buffered_events_count: 6,
            history_event_count: 150,
            buffered_queries_count: 3,
            ..workflows::Limits::default()
        };
        let script = Script::quick(limits);
        Walk { script, random: SeededEntropy::new(seed), signals: 0, activities: VecDeque::new() }
    }

    fn run(mut self) {
        for step in 0..STEPS {
            let line = self.line();
            self.step(&line);
            if step % COMPARE_EVERY == 0 {
                self.script.world.compare_with_rebuilt();
            }
        }
        self.check_reachable();
        // What still waits in a buffer goes on record.
        for workflow in ["u", "v", "w"] {
            self.step(&format!("terminate {workflow}"));
        }
        self.script.world.compare_with_rebuilt();
        self.check_histories();
    }

    #[expect(clippy::print_stdout, reason = "shown if the test fails")]
    fn step(&mut self, line: &str) {
        println!("{line}");
        self.script.run(line);
        for shown in self.script.forget_output().lines() {
            let words: Vec<&str> = shown.split_whitespace().collect();
            if let [_, id, "ActivityTaskScheduled", ..] = words.as_slice() {
                self.activities.push_back(id.parse().expect("an event id"));
            }
        }
        while self.activities.len() > 4 {
            self.activities.pop_front();
        }
    }

    fn below(&self, n: u64) -> u64 {
        self.random.next_u64() % n
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }

    fn maybe<'a>(&self, n: u64, text: &'a str) -> &'a str {
        if self.one_in(n) { text } else { "" }
    }

    fn line(&mut self) -> String {
        let workflow = self.pick(&["u", "v", "w"]);
        match self.below(100) {
            0..6 => self.start(workflow),
            6..16 => self.signal(workflow),
            16 => format!("cancel {workflow}"),
            17 => self.end(workflow),
            18..40 => self.poll(),
            40..68 => self.complete(),
            68 => self.holder("fail-task", "p"),
            69..85 => self.activity(),
            85..89 => self.query(workflow),
            89..91 => self.forget(),
            91..94 => {
                let kind = self.pick(&["p", "x"]);
                self.holder("undelivered", kind)
            }
            94 => format!("reset-sticky {workflow}"),
            95 => format!("shutdown sticky={}", self.pick(&["s0", "s1"])),
            96 => self.pick(&["restart", "crash"]).into(),
            97 => format!("history {workflow} as=h{} {}", self.below(3), self.maybe(2, "wait=30")),
            _ => format!("advance {}ms", self.below(12_000)),
        }
    }

    fn end(&self, workflow: &str) -> String {
        if self.one_in(3) { format!("terminate {workflow}") } else { self.poll() }
    }

    fn start(&self, workflow: &str) -> String {
        let extra = [
            self.maybe(4, "delay=3s"),
            self.maybe(4, "run-timeout=20s"),
            self.maybe(6, "execution-timeout=40s"),
            self.maybe(3, "attempts=3"),
            self.maybe(4, "eager as=p0"),
            self.maybe(15, "conflict=TERMINATE_EXISTING"),
            self.maybe(4, "reuse=REJECT_DUPLICATE"),
        ];
        let (queue, request) = (self.below(2), self.below(6));
        format!("start {workflow} queue=q{queue} request=r{request} {}", extra.join(" "))
    }

    fn signal(&mut self, workflow: &str) -> String {
        self.signals += 1;
        let (input, request, queue) = (self.signals, self.below(60), self.below(2));
        if self.one_in(3) {
            let policy = self.maybe(25, "conflict=TERMINATE_EXISTING");
            return format!(
                "signal-with-start {workflow} s input={input} request=z{request} queue=q{queue} \
                 {policy}"
            );
        }
        format!("signal {workflow} s input={input} request=z{request}")
    }

    fn poll(&self) -> String {
        let (who, queue) = (self.below(4), self.below(2));
        match self.below(7) {
            0 | 1 => format!("poll p{who} queue=q{queue}"),
            2 | 3 => format!("poll p{who} sticky=s{queue} queue=q{queue}"),
            _ => format!("poll-activity x{who} queue=q{queue}"),
        }
    }

    /// A line about somebody who holds a task, or held one.
    fn holder(&self, command: &str, kind: &str) -> String {
        let names: Vec<_> = self.script.holders().filter(|name| name.starts_with(kind)).collect();
        if names.is_empty() {
            return self.poll();
        }
        let name = names[usize::try_from(self.below(names.len() as u64)).expect("an index")];
        if self.one_in(12) {
            return format!("keep {name} {kind}-old");
        }
        format!("{command} {name}")
    }

    fn complete(&self) -> String {
        if self.one_in(8) {
            return self.holder("answer", "p");
        }
        let mut line = self.holder("complete", "p");
        if !line.starts_with("complete") {
            return line;
        }
        for flag in [
            self.maybe(2, " sticky=s0"),
            self.maybe(2, " new"),
            self.maybe(10, " force"),
            self.maybe(5, " answer=k0:1"),
        ] {
            line.push_str(flag);
        }
        for _ in 0..self.below(4) {
            line.push_str(" ; ");
            line.push_str(&self.command());
        }
        line
    }

    fn command(&self) -> String {
        let n = self.below(12);
        match self.below(30) {
            0..12 => {
                let extra = [
                    self.maybe(3, "eager"),
                    self.maybe(3, "heartbeat=2s"),
                    self.maybe(3, "attempts=2"),
                    self.maybe(4, "schedule-to-close=9s"),
                    self.maybe(6, "queue=q1"),
                ];
                format!("activity a{n} {}", extra.join(" "))
            }
            12..15 => match self.activities.front() {
                Some(id) => format!("cancel-activity {id}"),
                None => "marker none".into(),
            },
            15..20 => format!("timer t{n} {}s", self.below(6) + 1),
            20 => format!("cancel-timer t{}", self.below(4)),
            21 => "marker m".into(),
            22 => "upsert k=1".into(),
            23 => "memo n=1".into(),
            24 => "done".into(),
            25 => "fail".into(),
            26 => "canceled".into(),
            27 | 28 => format!("can {}", self.maybe(3, "backoff=2s")),
            _ => self.pick(&["child", "nexus", "timer", "bare START_TIMER"]).into(),
        }
    }

    fn activity(&self) -> String {
        let kind = self.pick(&["x", "x", "a"]);
        let command =
            self.pick(&["act-complete", "act-fail", "act-fail", "heartbeat", "act-cancel"]);
        let mut line = self.holder(command, kind);
        if line.starts_with("act-fail") {
            line.push_str(self.pick(&["", "", " final", " delay=3s"]));
        } else if line.starts_with("heartbeat") {
            line.push_str(" details=1");
        }
        line
    }

    fn query(&self, workflow: &str) -> String {
        format!("query q{} {workflow} k{}", self.below(3), self.below(3))
    }

    fn forget(&self) -> String {
        let waiting = self.script.waiting();
        match waiting.as_slice() {
            [] => self.poll(),
            names => {
                let index = usize::try_from(self.below(names.len() as u64)).expect("an index");
                format!("forget {}", names[index])
            }
        }
    }

    /// After a restart every task can be had by polling: none is lost between two places.
    fn check_reachable(&mut self) {
        self.script.world.crash_after = None;
        self.step("restart");
        for poll in [
            "poll p queue=q0",
            "poll p queue=q1",
            "poll p sticky=s0",
            "poll p sticky=s1",
            "poll-activity x queue=q0",
            "poll-activity x queue=q1",
        ] {
            let before = self.script.waiting().len();
            while self.script.waiting().len() == before {
                self.step(poll);
            }
        }
        for workflow in ["u", "v", "w"] {
            self.script.run(&format!("describe {workflow}"));
            for line in self.script.forget_output().lines() {
                let had = line.contains("Started") || line.contains(" next=");
                let task = line.starts_with("  task") || line.starts_with("  activity");
                // Cancel-requested ones are with a worker, or they would be closed.
                assert!(!task || had || line.contains("CancelRequested"), "{workflow}: {line}");
            }
        }
    }

    fn check_histories(&self) {
        let mut recorded: BTreeMap<String, usize> = BTreeMap::new();
        for run in self.script.run_ids() {
            let events = self.script.world.history_of(run);
            check_history(run, &events);
            for event in &events {
                if let Some(input) = signal_input(event) {
                    *recorded.entry(input).or_default() += 1;
                }
            }
        }
        let mut happened = BTreeSet::new();
        for op in self.script.world.ops() {
            let events = match op {
                Op::Events(op) => op.events,
                Op::Buffered(op) => op.events,
                _ => continue,
            };
            happened.extend(events.iter().filter_map(signal_input));
        }
        for input in happened {
            assert_eq!(recorded.get(&input), Some(&1), "signal {input} is on record once");
        }
    }
}

fn signal_input(event: &HistoryEvent) -> Option<String> {
    let Some(A::WorkflowExecutionSignaledEventAttributes(a)) = &event.attributes else {
        return None;
    };
    let data = &a.input.as_ref()?.payloads.first()?.data;
    Some(String::from_utf8_lossy(data).into_owned())
}

/// What every SDK relies on when it replays.
fn check_history(run: RunId, events: &[HistoryEvent]) {
    let kinds: Vec<T> = events.iter().map(HistoryEvent::event_type).collect();
    assert_eq!(kinds.first(), Some(&T::WorkflowExecutionStarted), "{run} begins");
    let closes = kinds.iter().filter(|kind| is_close(**kind)).count();
    assert_eq!(closes, 1, "{run} is closed once: {kinds:?}");
    assert!(kinds.last().is_some_and(|kind| is_close(*kind)), "{run} ends with its close");
    for two in kinds.windows(2) {
        let ended = matches!(
            two[1],
            T::WorkflowTaskCompleted | T::WorkflowTaskFailed | T::WorkflowTaskTimedOut
        );
        let started = two[0] == T::WorkflowTaskStarted;
        let from_sticky = two[1] == T::WorkflowTaskTimedOut;
        assert!(started == ended || from_sticky, "{run}: {two:?} in {kinds:?}");
    }
    check_commands(run, events);
    check_pairs(run, events);
}

fn is_close(kind: T) -> bool {
    matches!(
        kind,
        T::WorkflowExecutionCompleted
            | T::WorkflowExecutionFailed
            | T::WorkflowExecutionTimedOut
            | T::WorkflowExecutionCanceled
            | T::WorkflowExecutionTerminated
            | T::WorkflowExecutionContinuedAsNew
    )
}

/// Events of commands follow their COMPLETED without a gap.
fn check_commands(run: RunId, events: &[HistoryEvent]) {
    let mut completed = 0;
    for event in events {
        if event.event_type() == T::WorkflowTaskCompleted {
            completed = event.event_id;
        } else if let Some(by) = command_of(event) {
            assert_eq!(by, completed, "{run}: event {} follows its commands", event.event_id);
        } else {
            completed = 0;
        }
    }
}

fn command_of(event: &HistoryEvent) -> Option<i64> {
    Some(match event.attributes.as_ref()? {
        A::ActivityTaskScheduledEventAttributes(a) => a.workflow_task_completed_event_id,
        A::ActivityTaskCancelRequestedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::TimerStartedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::TimerCanceledEventAttributes(a) => a.workflow_task_completed_event_id,
        A::MarkerRecordedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::UpsertWorkflowSearchAttributesEventAttributes(a) => a.workflow_task_completed_event_id,
        A::WorkflowPropertiesModifiedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::WorkflowExecutionCompletedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::WorkflowExecutionFailedEventAttributes(a) => a.workflow_task_completed_event_id,
        A::WorkflowExecutionCanceledEventAttributes(a) => a.workflow_task_completed_event_id,
        A::WorkflowExecutionContinuedAsNewEventAttributes(a) => a.workflow_task_completed_event_id,
        _ => return None,
    })
}

/// What is started was scheduled, and ends at most once.
fn check_pairs(run: RunId, events: &[HistoryEvent]) {
    let mut open: BTreeSet<i64> = BTreeSet::new();
    let mut started: BTreeMap<i64, i64> = BTreeMap::new();
    for event in events {
        let id = event.event_id;
        let (scheduled, start) = match event.attributes.as_ref().expect("attributes") {
            A::ActivityTaskScheduledEventAttributes(_) | A::TimerStartedEventAttributes(_) => {
                open.insert(id);
                continue;
            }
            A::ActivityTaskStartedEventAttributes(a) => {
                assert!(open.contains(&a.scheduled_event_id), "{run}: {id} starts nothing");
                started.insert(a.scheduled_event_id, id);
                continue;
            }
            A::WorkflowTaskStartedEventAttributes(a) => {
                assert!(a.scheduled_event_id < id, "{run}: {id} was scheduled");
                continue;
            }
            A::TimerFiredEventAttributes(a) => (a.started_event_id, None),
            A::TimerCanceledEventAttributes(a) => (a.started_event_id, None),
            A::ActivityTaskCompletedEventAttributes(a) => {
                (a.scheduled_event_id, Some(a.started_event_id))
            }
            A::ActivityTaskFailedEventAttributes(a) => {
                (a.scheduled_event_id, Some(a.started_event_id))
            }
            A::ActivityTaskTimedOutEventAttributes(a) => {
                (a.scheduled_event_id, Some(a.started_event_id))
            }
            A::ActivityTaskCanceledEventAttributes(a) => {
                (a.scheduled_event_id, Some(a.started_event_id))
            }
            _ => continue,
        };
        assert!(open.remove(&scheduled), "{run}: {id} ends nothing");
        if let Some(start) = start {
            let want = started.get(&scheduled).copied().unwrap_or(0);
            assert_eq!(start, want, "{run}: {id} names its start");
        }
    }
}
