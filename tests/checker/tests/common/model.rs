//! A tiny server that keeps its promises, and clients that write down what they see of it: the
//! source of good histories. Who acts next, what is lost on the way and when the node dies is
//! drawn from a seed.

use std::collections::{BTreeMap, HashMap};

use checker::{
    ActivityEnd, Answer, Call, Delivery, Emit, Event, Kind, Line, Outcome, Place, Record, Refusal,
    RunEnd, Status, WorkflowTaskEnd,
};

use super::{Story, ok, partition, refused, unknown};

/// Numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// A run.
#[derive(Default)]
struct Run {
    workflow: String,
    events: Vec<Event>,
    held_back: Vec<(i64, Kind)>,
    task: Option<i64>,
    open: bool,
    timers: BTreeMap<i64, i64>,
    activity: Option<(i64, u32)>,
    emit: Option<(i64, u64)>,
}

impl Run {
    fn put(&mut self, at_us: i64, kind: Kind) -> i64 {
        let id = self.events.len() as i64 + 1;
        self.events.push(Event { id, at_us, kind, digest: Some(id as u64) });
        id
    }

    /// Something from outside: it waits for the worker, or wakes it.
    fn outside(&mut self, at_us: i64, kind: Kind) {
        if matches!(self.task, Some(started) if started > 0) {
            self.held_back.push((at_us, kind));
            return;
        }
        self.put(at_us, kind);
        self.wake(at_us);
    }

    fn wake(&mut self, at_us: i64) {
        if self.task.is_none() {
            self.put(at_us, Kind::WorkflowTaskScheduled { attempt: 1 });
            self.task = Some(0);
        }
    }
}

/// The server and its world.
pub struct World {
    pub story: Story,
    random: Random,
    logs: HashMap<&'static str, Vec<Record>>,
    sent: HashMap<u64, i64>,
    committed: Option<i64>,
    position: i64,
    runs: Vec<Run>,
    current: HashMap<String, usize>,
    requests: HashMap<String, String>,
    routed: usize,
    values: u64,
    faults: bool,
}

fn run_id(index: usize) -> String {
    format!("run-{index}")
}

impl World {
    /// A run of so many steps, to its end.
    pub fn play(seed: u64, steps: usize, faults: bool) -> Story {
        let mut world = World {
            story: Story::with_route(),
            random: Random(seed),
            logs: HashMap::from([("t", Vec::new()), ("out", Vec::new())]),
            sent: HashMap::new(),
            committed: None,
            position: 0,
            runs: Vec::new(),
            current: HashMap::new(),
            requests: HashMap::new(),
            routed: 0,
            values: 0,
            faults,
        };
        for _ in 0..steps {
            world.step();
        }
        world.finish();
        world.story
    }

    fn step(&mut self) {
        self.story.now_us += self.random.below(20_000) as i64;
        match self.random.below(12) {
            0 | 1 => self.sends(),
            2 => self.polls(),
            3 => self.commits(),
            4 => self.watermark(),
            5 => self.starts(),
            6 | 7 => self.signals(),
            8 => self.works(),
            9 => self.acts(),
            10 => self.reads(),
            _ if self.faults && self.random.one_in(4) => self.dies(),
            _ => self.story.now_us += self.random.below(400_000) as i64,
        }
        self.by_itself();
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// What the client is told of something that was, or was not, done.
    fn told(&mut self, answer: Option<Answer>) -> Outcome {
        match answer {
            _ if self.faults && self.random.one_in(6) => unknown(),
            Some(answer) => ok(answer),
            None => refused(),
        }
    }

    /// Whether the request arrives.
    fn arrives(&mut self) -> bool {
        !self.faults || !self.random.one_in(8)
    }

    fn append(&mut self, topic: &'static str, key: &str, value: u64) -> i64 {
        let log = self.logs.get_mut(topic).expect("a topic");
        let offset = log.len() as i64;
        let key = Some(key.into());
        let (value, digest) = (Some(value), value);
        log.push(Record { topic: topic.into(), partition: 0, offset, key, value, digest });
        offset
    }

    /// Up to three sends in one pipeline; what is unknown is repeated if it can be.
    fn sends(&mut self) {
        let process = 1 + self.random.below(3) as u32;
        let delivery = if process == 3 { Delivery::Once } else { Delivery::Idempotent };
        let key = format!("w{}", self.random.below(3));
        let mut pipeline = Vec::new();
        for _ in 0..=self.random.below(3) {
            let value = self.value();
            let call = |repeats| Call::Send {
                producer: format!("p{process}"),
                delivery,
                topic: "t".into(),
                partition: Some(0),
                key: Some(key.clone()),
                value,
                digest: value,
                repeats,
            };
            let op = self.story.invoke(process, call(None));
            pipeline.push((op, value, call(Some(op))));
        }
        for (op, value, again) in pipeline {
            let mut last = op;
            loop {
                let done = self.arrives();
                if done && !(delivery == Delivery::Idempotent && self.sent.contains_key(&value)) {
                    let offset = self.append("t", &key, value);
                    self.sent.insert(value, offset);
                }
                let offset = self.sent.get(&value).filter(|_| done).copied();
                let told = offset.map(|offset| Answer::Sent { partition: 0, offset: Some(offset) });
                // What has been done once is not refused when it is repeated.
                let outcome = match self.told(told) {
                    Outcome::Fail(_) if self.sent.contains_key(&value) => unknown(),
                    outcome => outcome,
                };
                self.story.settle(last, outcome.clone());
                let repeat =
                    delivery == Delivery::Idempotent && matches!(outcome, Outcome::Unknown(_));
                // Only the newest send can be repeated without changing the order of the others.
                if !repeat || value != self.values || self.random.one_in(2) {
                    break;
                }
                last = self.story.invoke(process, again.clone());
            }
        }
    }

    fn polls(&mut self) {
        if self.random.one_in(6) {
            self.position = self.committed.unwrap_or(0);
        }
        let from = usize::try_from(self.position).expect("small");
        let count = 1 + self.random.below(5) as usize;
        let read: Vec<_> = self.logs["t"].iter().skip(from).take(count).cloned().collect();
        self.position += read.len() as i64;
        let from = vec![Place { topic: "t".into(), partition: 0, offset: from as i64 }];
        let call = Call::Poll { consumer: "c".into(), group: Some("g".into()), from };
        self.story.ask(4, call, ok(Answer::Records(read)));
    }

    fn commits(&mut self) {
        if self.random.one_in(2) {
            let call = super::commit(self.position);
            let done = self.arrives();
            self.committed = if done { Some(self.position) } else { self.committed };
            let told = self.told(done.then_some(Answer::Done));
            self.story.ask(4, call, told);
        } else {
            let answer = ok(Answer::Committed(self.committed));
            self.story.ask(5, super::committed(), answer);
        }
    }

    fn watermark(&mut self) {
        let end = self.logs["t"].len() as i64;
        self.story.ask(5, Call::EndOffset(partition()), ok(Answer::Offset(end)));
    }

    fn new_run(&mut self, workflow: &str, value: Option<u64>, from: Option<usize>) -> usize {
        let mut run = Run { workflow: workflow.into(), open: true, ..Run::default() };
        let continued_from = from.map(run_id);
        let workflow_type = "W".into();
        let (record, backoff_ms) = (None, 0);
        let first = Kind::Started { workflow_type, value, record, continued_from, backoff_ms };
        run.put(self.story.now_us, first);
        self.runs.push(run);
        self.current.insert(workflow.into(), self.runs.len() - 1);
        self.runs.len() - 1
    }

    fn open_run(&self, workflow: &str) -> Option<usize> {
        self.current.get(workflow).copied().filter(|index| self.runs[*index].open)
    }

    fn starts(&mut self) {
        let workflow = format!("w{}", self.random.below(5));
        let value = self.value();
        let request = format!("start-{value}");
        for _ in 0..=self.random.below(3) {
            let call =
                Call::Start { workflow_id: workflow.clone(), request_id: request.clone(), value };
            let op = self.story.invoke(6, call);
            if !self.arrives() {
                self.story.settle(op, unknown());
                continue;
            }
            let answer = match (self.requests.get(&request), self.open_run(&workflow)) {
                (Some(run_id), _) => Ok(run_id.clone()),
                (None, Some(there)) => Err(Refusal::AlreadyStarted { run_id: run_id(there) }),
                (None, None) => {
                    let index = self.new_run(&workflow, Some(value), None);
                    self.runs[index].wake(self.story.now_us);
                    self.requests.insert(request.clone(), run_id(index));
                    Ok(run_id(index))
                }
            };
            let told = match answer {
                Ok(run_id) => self.told(Some(Answer::Started { run_id, started: true })),
                Err(refusal) => Outcome::Fail(refusal),
            };
            self.story.settle(op, told);
        }
    }

    fn signals(&mut self) {
        let workflow_id = format!("w{}", self.random.below(5));
        let value = self.value();
        let request_id = format!("signal-{value}");
        let with_start = self.random.one_in(3);
        for _ in 0..=self.random.below(2) {
            let (workflow_id, request_id) = (workflow_id.clone(), request_id.clone());
            let (name, request) = ("s".to_owned(), request_id.clone());
            let call = match with_start {
                true => Call::SignalWithStart {
                    workflow_id: workflow_id.clone(),
                    request_id,
                    name: name.clone(),
                    value,
                },
                false => Call::Signal {
                    workflow_id: workflow_id.clone(),
                    request_id,
                    name: name.clone(),
                    value,
                },
            };
            let op = self.story.invoke(7, call);
            if !self.arrives() {
                self.story.settle(op, unknown());
                continue;
            }
            let known = self.requests.get(&request).cloned();
            let open = self.open_run(&workflow_id);
            let run = match (known, open) {
                (Some(run), _) => Some((run, false)),
                (None, None) if !with_start => None,
                (None, open) => {
                    let index = open.unwrap_or_else(|| self.new_run(&workflow_id, None, None));
                    let signal = Kind::Signaled { name, value: Some(value), record: None };
                    self.runs[index].outside(self.story.now_us, signal);
                    self.requests.insert(request, run_id(index));
                    Some((run_id(index), open.is_none()))
                }
            };
            let told = match run {
                Some((run_id, started)) if with_start => {
                    self.told(Some(Answer::Started { run_id, started }))
                }
                Some(_) => self.told(Some(Answer::Done)),
                None => Outcome::Fail(Refusal::NotFound),
            };
            self.story.settle(op, told);
        }
    }

    /// A worker does a workflow task, or loses it.
    fn works(&mut self) {
        let Some(index) = self.runs.iter().position(|run| run.open && run.task.is_some()) else {
            return;
        };
        let (queue, now) = ("q".into(), self.story.now_us);
        let poll = self.story.invoke(8, Call::PollWorkflowTask { queue });
        let run = &mut self.runs[index];
        let (scheduled, started) = match run.task {
            Some(0) => {
                let scheduled = run
                    .events
                    .iter()
                    .rposition(|it| matches!(it.kind, Kind::WorkflowTaskScheduled { .. }));
                let scheduled = scheduled.expect("it was scheduled") as i64 + 1;
                (scheduled, run.put(now, Kind::WorkflowTaskStarted { scheduled }))
            }
            Some(started) => match run.events[started as usize - 1].kind {
                Kind::WorkflowTaskStarted { scheduled } => (scheduled, started),
                _ => unreachable!("a task that was started"),
            },
            None => return,
        };
        run.task = Some(started);
        let answer = Answer::WorkflowTask {
            workflow_id: run.workflow.clone(),
            run_id: run_id(index),
            scheduled,
            started,
            attempt: 1,
            events: run.events.clone(),
        };
        if self.faults && self.random.one_in(6) {
            return self.story.settle(poll, unknown());
        }
        self.story.settle(poll, ok(answer));
        if self.random.one_in(4) {
            self.signals();
        }
        let end = WorkflowTaskEnd::Completed;
        let call = Call::EndWorkflowTask { run_id: run_id(index), started, attempt: 1, end };
        let op = self.story.invoke(8, call);
        self.complete(index, scheduled, started);
        let told = self.told(Some(Answer::Done));
        self.story.settle(op, told);
    }

    fn complete(&mut self, index: usize, scheduled: i64, started: i64) {
        let now = self.story.now_us;
        let (what, value, ms) =
            (self.random.below(6), self.value(), self.random.below(3_000) as i64);
        let run = &mut self.runs[index];
        run.task = None;
        run.put(now, Kind::WorkflowTaskCompleted { scheduled, started });
        let held_back = std::mem::take(&mut run.held_back);
        let id = run.events.len() + 1;
        match what {
            0 => {
                let timer = run
                    .put(now, Kind::TimerStarted { timer_id: format!("t{id}"), duration_ms: ms });
                run.timers.insert(timer, now + ms * 1_000);
            }
            1 if run.activity.is_none() => {
                let activity_id = format!("a{id}");
                let (attempt_ms, maximum_attempts) = (Some(60_000), 0);
                let kind = Kind::ActivityScheduled {
                    activity_id,
                    emit: None,
                    attempt_ms,
                    maximum_attempts,
                };
                run.activity = Some((run.put(now, kind), 1));
            }
            2 if run.emit.is_none() => {
                let emit = Emit { topic: "out".into(), key: Some("k".into()), value };
                let activity_id = format!("e{id}");
                let (attempt_ms, maximum_attempts) = (None, 0);
                let kind = Kind::ActivityScheduled {
                    activity_id,
                    emit: Some(emit),
                    attempt_ms,
                    maximum_attempts,
                };
                run.emit = Some((run.put(now, kind), value));
            }
            3 => return self.continue_as_new(index, held_back),
            4 if held_back.is_empty() => {
                run.open = false;
                run.put(now, Kind::Closed(RunEnd { status: Status::Completed, next_run_id: None }));
            }
            _ => {}
        }
        for (at_us, kind) in held_back {
            self.runs[index].outside(at_us, kind);
        }
    }

    fn continue_as_new(&mut self, index: usize, held_back: Vec<(i64, Kind)>) {
        let now = self.story.now_us;
        let next_run_id = Some(run_id(self.runs.len()));
        let run = &mut self.runs[index];
        run.open = false;
        run.put(now, Kind::Closed(RunEnd { status: Status::ContinuedAsNew, next_run_id }));
        let workflow = run.workflow.clone();
        let next = self.new_run(&workflow, None, Some(index));
        // Ends of activities and timers stay behind; signals go on.
        for (at_us, kind) in
            held_back.into_iter().filter(|it| matches!(it.1, Kind::Signaled { .. }))
        {
            self.runs[next].outside(at_us, kind);
        }
        self.runs[next].wake(now);
    }

    /// A worker does an activity, fails, or loses it.
    fn acts(&mut self) {
        let Some(index) = self.runs.iter().position(|run| run.open && run.activity.is_some())
        else {
            return;
        };
        let (scheduled, attempt) = self.runs[index].activity.expect("just seen");
        let Kind::ActivityScheduled { activity_id, .. } =
            self.runs[index].events[scheduled as usize - 1].kind.clone()
        else {
            unreachable!("an activity that was scheduled");
        };
        let poll = self.story.invoke(9, Call::PollActivityTask { queue: "q".into() });
        if self.faults && self.random.one_in(6) {
            return self.story.settle(poll, unknown());
        }
        let task = Answer::ActivityTask {
            workflow_id: self.runs[index].workflow.clone(),
            run_id: run_id(index),
            activity_id: activity_id.clone(),
            attempt,
        };
        self.story.settle(poll, ok(task));
        let (at_us, run_id) = (self.story.now_us, run_id(index));
        let effect = Line::Effect {
            at_us,
            process: 9,
            run_id: run_id.clone(),
            activity_id: activity_id.clone(),
            attempt,
        };
        self.story.line(effect);
        let value = self.value();
        let fails = self.random.one_in(3);
        let end = if fails { ActivityEnd::Failed } else { ActivityEnd::Completed(Some(value)) };
        let op = self.story.invoke(9, Call::EndActivityTask { run_id, activity_id, attempt, end });
        let (now, run) = (self.story.now_us, &mut self.runs[index]);
        if fails {
            run.activity = Some((scheduled, attempt + 1));
        } else {
            run.activity = None;
            run.outside(now, Kind::ActivityStarted { scheduled, attempt });
            run.outside(
                now,
                Kind::ActivityCompleted { scheduled, value: Some(value), record: None },
            );
        }
        let told = self.told(Some(Answer::Done));
        self.story.settle(op, told);
    }

    fn reads(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let index = self.random.below(self.runs.len() as u64) as usize;
        self.read(index);
    }

    fn read(&mut self, index: usize) {
        let workflow_id = self.runs[index].workflow.clone();
        let call = Call::History { workflow_id, run_id: Some(run_id(index)) };
        let events = self.runs[index].events.clone();
        self.story.ask(5, call, ok(Answer::History { run_id: run_id(index), events }));
    }

    fn dies(&mut self) {
        let ms = 10 + self.random.below(3_000) as i64;
        self.story.kill(ms);
    }

    /// Timers, the route, and the publisher.
    fn by_itself(&mut self) {
        let now = self.story.now_us;
        for run in self.runs.iter_mut().filter(|run| run.open) {
            let due: Vec<i64> =
                run.timers.iter().filter(|it| *it.1 <= now).map(|it| *it.0).collect();
            for started in due {
                run.timers.remove(&started);
                run.outside(now, Kind::TimerFired { started });
            }
        }
        while self.routed < self.logs["t"].len() && !self.random.one_in(3) {
            let record = self.logs["t"][self.routed].clone();
            self.routed += 1;
            let workflow = record.key.clone().expect("it has a key");
            let index =
                self.open_run(&workflow).unwrap_or_else(|| self.new_run(&workflow, None, None));
            let place = Place { topic: "t".into(), partition: 0, offset: record.offset };
            let kind =
                Kind::Signaled { name: "in".into(), value: record.value, record: Some(place) };
            self.runs[index].outside(now, kind);
        }
        for index in 0..self.runs.len() {
            let Some((scheduled, value)) = self.runs[index].emit.filter(|_| self.runs[index].open)
            else {
                continue;
            };
            self.runs[index].emit = None;
            let offset = self.append("out", "k", value);
            let record = Some(Place { topic: "out".into(), partition: 0, offset });
            self.runs[index]
                .outside(now, Kind::ActivityCompleted { scheduled, value: None, record });
        }
    }

    fn is_quiet(&self) -> bool {
        let waits =
            |run: &Run| run.task.is_some() || run.activity.is_some() || !run.timers.is_empty();
        self.routed == self.logs["t"].len() && !self.runs.iter().any(|run| run.open && waits(run))
    }

    fn finish(&mut self) {
        let phase = checker::Phase::Calm;
        self.story.line(Line::Phase { at_us: self.story.now_us, phase });
        self.faults = false;
        while !self.is_quiet() {
            self.story.now_us += 100_000;
            self.works();
            self.acts();
            self.by_itself();
        }
        self.story.calm();
        for (topic, records) in std::mem::take(&mut self.logs) {
            let (start, end) = (0, records.len() as i64);
            let name = checker::Partition { topic: topic.into(), partition: 0 };
            self.story.ask(5, Call::ReadLog(name), ok(Answer::Log { start, end, records }));
        }
        for index in 0..self.runs.len() {
            self.read(index);
            self.describe(index);
        }
    }

    /// Nothing is pending by then.
    fn describe(&mut self, index: usize) {
        let run = &self.runs[index];
        let status = match run.events.last().map(|last| &last.kind) {
            Some(Kind::Closed(end)) => end.status,
            _ => Status::Running,
        };
        let (workflow_id, run_id) = (run.workflow.clone(), run_id(index));
        let call = Call::Describe { workflow_id, run_id: Some(run_id.clone()) };
        let (workflow_task, activities) = (None, Vec::new());
        let described = Answer::Described { run_id, status, workflow_task, activities };
        self.story.ask(5, call, ok(described));
    }
}
