//! Tells a history in few words: a small cast (topic `t`, partition 0, workflow `w`, run `r1`).

// Each test crate uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod model;

use checker::{
    ActivityEnd, Answer, Call, Declaration, Delivery, Emit, Event, Fault, Invariant, Kind, Line,
    OpId, Outcome, Partition, Party, Phase, Place, Record, Recorder, Refusal, Report, Route,
    RunEnd, Sink, Status, WorkflowTaskEnd, check,
};

pub struct Story {
    recorder: Recorder,
    pub now_us: i64,
}

/// Runs a bad story; the finding's words must contain `says`.
pub fn caught(invariant: Invariant, says: &str, tell: impl FnOnce(&mut Story)) {
    let mut story = Story::new();
    tell(&mut story);
    judge(&story, invariant, says);
}

pub fn caught_with_route(invariant: Invariant, says: &str, tell: impl FnOnce(&mut Story)) {
    let mut story = Story::with_route();
    tell(&mut story);
    judge(&story, invariant, says);
}

pub fn judge(story: &Story, invariant: Invariant, says: &str) {
    let report = story.report();
    assert_eq!(report.broken(), [invariant], "{report}");
    assert!(report.findings.iter().any(|it| it.what.contains(says)), "{report}");
}

pub fn ok(answer: Answer) -> Outcome {
    Outcome::Ok(answer)
}

pub fn unknown() -> Outcome {
    Outcome::Unknown("connection broken".into())
}

pub fn refused() -> Outcome {
    Outcome::Fail(Refusal::Other("no".into()))
}

pub fn sent(offset: i64) -> Outcome {
    ok(Answer::Sent { partition: 0, offset: Some(offset) })
}

pub fn started(run_id: &str) -> Outcome {
    ok(Answer::Started { run_id: run_id.into(), started: true })
}

pub fn done() -> Outcome {
    ok(Answer::Done)
}

pub fn partition() -> Partition {
    Partition { topic: "t".into(), partition: 0 }
}

pub fn place(offset: i64) -> Place {
    Place { topic: "t".into(), partition: 0, offset }
}

pub fn record(offset: i64, value: u64) -> Record {
    Record {
        topic: "t".into(),
        partition: 0,
        offset,
        key: Some("w".into()),
        value: Some(value),
        digest: value,
    }
}

pub fn records(values: &[u64]) -> Vec<Record> {
    values.iter().zip(0..).map(|(value, offset)| record(offset, *value)).collect()
}

pub fn send(value: u64) -> Call {
    Call::Send {
        producer: "a".into(),
        delivery: Delivery::Idempotent,
        topic: "t".into(),
        partition: Some(0),
        key: Some("w".into()),
        value,
        digest: value,
        repeats: None,
    }
}

/// A send by another kind of producer.
pub fn send_as(producer: &str, delivery: Delivery, value: u64) -> Call {
    match send(value) {
        Call::Send { topic, partition, key, value, digest, .. } => {
            let producer = producer.into();
            Call::Send { producer, delivery, topic, partition, key, value, digest, repeats: None }
        }
        other => other,
    }
}

/// The same send under the same sequence number.
pub fn again(op: OpId, value: u64) -> Call {
    match send(value) {
        Call::Send { producer, delivery, topic, partition, key, value, digest, .. } => {
            let repeats = Some(op);
            Call::Send { producer, delivery, topic, partition, key, value, digest, repeats }
        }
        other => other,
    }
}

pub fn poll() -> Call {
    Call::Poll { consumer: "c".into(), group: None, from: Vec::new() }
}

pub fn commit(offset: i64) -> Call {
    Call::Commit { group: "g".into(), place: place(offset) }
}

pub fn committed() -> Call {
    Call::FetchCommitted { group: "g".into(), partition: partition() }
}

pub fn start(request: &str, value: u64) -> Call {
    Call::Start { workflow_id: "w".into(), request_id: request.into(), value }
}

pub fn signal(request: &str, value: u64) -> Call {
    let (workflow_id, name) = ("w".into(), "s".into());
    Call::Signal { workflow_id, request_id: request.into(), name, value }
}

pub fn poll_workflow() -> Call {
    Call::PollWorkflowTask { queue: "q".into() }
}

pub fn workflow_task(scheduled: i64, started: i64, attempt: u32) -> Outcome {
    let (workflow_id, run_id) = ("w".into(), "r1".into());
    let events = Vec::new();
    ok(Answer::WorkflowTask { workflow_id, run_id, scheduled, started, attempt, events })
}

pub fn end_workflow_task(started: i64) -> Call {
    let end = WorkflowTaskEnd::Completed;
    Call::EndWorkflowTask { run_id: "r1".into(), started, attempt: 1, end }
}

pub fn poll_activity() -> Call {
    Call::PollActivityTask { queue: "q".into() }
}

pub fn activity_task(attempt: u32) -> Outcome {
    let (workflow_id, run_id) = ("w".into(), "r1".into());
    ok(Answer::ActivityTask { workflow_id, run_id, activity_id: "x".into(), attempt })
}

pub fn end_activity(attempt: u32, end: ActivityEnd) -> Call {
    Call::EndActivityTask { run_id: "r1".into(), activity_id: "x".into(), attempt, end }
}

pub fn heartbeat(attempt: u32) -> Call {
    Call::Heartbeat { run_id: "r1".into(), activity_id: "x".into(), attempt }
}

// Events.

pub fn first(value: u64) -> Kind {
    Kind::Started {
        workflow_type: "W".into(),
        value: Some(value),
        record: None,
        continued_from: None,
        backoff_ms: 0,
    }
}

pub fn successor_of(run_id: &str) -> Kind {
    Kind::Started {
        workflow_type: "W".into(),
        value: None,
        record: None,
        continued_from: Some(run_id.into()),
        backoff_ms: 0,
    }
}

pub fn signaled(value: u64) -> Kind {
    Kind::Signaled { name: "s".into(), value: Some(value), record: None }
}

pub fn routed(offset: i64, value: u64) -> Kind {
    Kind::Signaled { name: "in".into(), value: Some(value), record: Some(place(offset)) }
}

pub fn timer(duration_ms: i64) -> Kind {
    Kind::TimerStarted { timer_id: "t".into(), duration_ms }
}

pub fn activity(attempt_ms: Option<i64>, maximum_attempts: u32) -> Kind {
    Kind::ActivityScheduled { activity_id: "x".into(), emit: None, attempt_ms, maximum_attempts }
}

pub fn emit(value: u64) -> Kind {
    Kind::ActivityScheduled {
        activity_id: "e".into(),
        emit: Some(Emit { topic: "t".into(), key: Some("w".into()), value }),
        attempt_ms: None,
        maximum_attempts: 0,
    }
}

pub fn published(scheduled: i64, offset: i64) -> Kind {
    Kind::ActivityCompleted { scheduled, value: None, record: Some(place(offset)) }
}

pub fn activity_done(scheduled: i64, value: u64) -> Kind {
    Kind::ActivityCompleted { scheduled, value: Some(value), record: None }
}

pub fn closed(status: Status, next: Option<&str>) -> Kind {
    Kind::Closed(RunEnd { status, next_run_id: next.map(Into::into) })
}

/// A run's events: all at second 1 unless `At` moves the clock.
#[derive(Default)]
pub struct Events {
    list: Vec<Event>,
    at_us: i64,
}

impl Events {
    pub fn new(first: Kind) -> Events {
        Events { at_us: 1_000_000, ..Events::default() }.then(first)
    }

    pub fn then(mut self, kind: Kind) -> Events {
        let id = self.list.len() as i64 + 1;
        self.list.push(Event { id, at_us: self.at_us, kind, digest: None });
        self
    }

    pub fn after_ms(mut self, ms: i64) -> Events {
        self.at_us += ms * 1_000;
        self
    }

    /// A workflow task that is done.
    pub fn task(self) -> Events {
        let scheduled = self.list.len() as i64 + 1;
        self.then(Kind::WorkflowTaskScheduled { attempt: 1 })
            .then(Kind::WorkflowTaskStarted { scheduled })
            .then(Kind::WorkflowTaskCompleted { scheduled, started: scheduled + 1 })
    }

    pub fn list(self) -> Vec<Event> {
        self.list
    }
}

impl Story {
    pub fn new() -> Story {
        Story { recorder: Recorder::new(), now_us: 1_000_000 }
    }

    /// One with a route from `t` to the workflow of the key, by signal `in`.
    pub fn with_route() -> Story {
        let mut story = Story::new();
        let route = Route {
            name: "route".into(),
            topics: vec!["t".into()],
            workflow_id_prefix: String::new(),
            signal: "in".into(),
            mode: checker::RouteMode::SignalWithStart,
            on_closed: checker::OnClosed::Start,
        };
        story.line(Line::Declare(Declaration { routes: vec![route], ..Declaration::default() }));
        story
    }

    pub fn line(&mut self, line: Line) {
        let Ok(()) = self.recorder.put(line);
    }

    pub fn invoke(&mut self, process: u32, call: Call) -> OpId {
        self.now_us += 1_000;
        let Ok(op) = self.recorder.by(process).invoke(self.now_us, call);
        op
    }

    pub fn settle(&mut self, op: OpId, result: Outcome) {
        self.now_us += 1_000;
        let Ok(()) = self.recorder.settle(op, self.now_us, result);
    }

    /// A request and its answer.
    pub fn ask(&mut self, process: u32, call: Call, result: Outcome) -> OpId {
        let op = self.invoke(process, call);
        self.settle(op, result);
        op
    }

    pub fn effect(&mut self) {
        let (at_us, process) = (self.now_us, 9);
        let (run_id, activity_id) = ("r1".into(), "x".into());
        self.line(Line::Effect { at_us, process, run_id, activity_id, attempt: 1 });
    }

    /// The node is killed, and back after so many milliseconds.
    pub fn kill(&mut self, ms: i64) {
        let (party, fault) = (Party::Node, Fault::Kill);
        self.line(Line::Fault { at_us: self.now_us, party: party.clone(), fault });
        self.now_us += ms * 1_000;
        self.line(Line::Recovered { at_us: self.now_us, party });
    }

    /// All is calm for ten minutes; from here on there is only reading.
    pub fn calm(&mut self) -> &mut Story {
        self.line(Line::Phase { at_us: self.now_us, phase: Phase::Calm });
        self.now_us += 600_000_000;
        self.line(Line::Phase { at_us: self.now_us, phase: Phase::Final });
        self
    }

    /// Reads partition 0 of `t`.
    pub fn log(&mut self, values: &[u64]) -> &mut Story {
        let (start, end, records) = (0, values.len() as i64, records(values));
        self.ask(99, Call::ReadLog(partition()), ok(Answer::Log { start, end, records }));
        self
    }

    /// Reads a run.
    pub fn run(&mut self, run_id: &str, events: Vec<Event>) -> &mut Story {
        let call = Call::History { workflow_id: "w".into(), run_id: Some(run_id.into()) };
        self.ask(99, call, ok(Answer::History { run_id: run_id.into(), events }));
        self
    }

    pub fn lines(&self) -> &[Line] {
        self.recorder.lines()
    }

    pub fn report(&self) -> Report {
        check(self.recorder.lines())
    }
}
