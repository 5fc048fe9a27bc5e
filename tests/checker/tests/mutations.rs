//! A good history, changed in one way, is bad, and the promise that the change breaks is named.

// All changes have one shape, whether they need a vector or not.
#![allow(clippy::ptr_arg)]

mod common;

use std::collections::HashMap;

use checker::Invariant::{self, *};
use checker::{
    Answer, Call, Delivery, Event, Kind, Line, OpId, Outcome, Phase, Record, Refusal, RunEnd,
    Status, check,
};
use common::model::{Random, World};
use proptest::prelude::*;

/// Changes the lines; false if there is nothing in them that it could change.
type Change = fn(&mut Vec<Line>, &mut Random) -> bool;

const CHANGES: &[(Invariant, Change)] = &[
    (L1, acked_bytes_change),
    (L1, acked_record_is_cut_off),
    (L2, a_poll_saw_another_record),
    (L2, a_poll_goes_back),
    (L3, a_record_is_written_twice),
    (L4, two_records_change_places),
    (L6, a_commit_is_forgotten),
    (L6, the_end_goes_back),
    (L7, a_record_from_nowhere),
    (E1, an_event_is_left_out),
    (E1, an_event_changes),
    (E2, a_signal_is_left_out),
    (E2, a_signal_is_there_twice),
    (E3, a_timer_fires_early),
    (E3, a_timer_fires_twice),
    (E3, a_timer_does_not_fire),
    (E4, an_answer_is_accepted_twice),
    (E4, a_task_has_two_workers),
    (E6, nobody_is_woken),
    (E6, a_description_is_old),
    (E7, a_task_is_stuck),
    (Successor, the_first_task_is_left_out),
    (B1, a_delivery_is_left_out),
    (B1, two_deliveries_change_places),
    (B2, an_emit_is_written_twice),
    (Refused, a_send_was_refused),
    (Refused, a_signal_was_refused),
    (Named, an_open_run_is_not_found),
    (Incomplete, a_run_is_not_read),
    (Malformed, a_request_returns_twice),
];

#[test]
fn every_change_is_caught() {
    let mut config = ProptestConfig::with_cases(25);
    config.failure_persistence = None;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let applied = std::cell::RefCell::new(HashMap::new());
    let judged = runner.run(&(any::<u64>(), any::<bool>()), |(seed, faults)| {
        let good = World::play(seed, 160, faults);
        for (index, (invariant, change)) in CHANGES.iter().enumerate() {
            let mut lines = good.lines().to_vec();
            if !change(&mut lines, &mut Random(seed)) {
                continue;
            }
            *applied.borrow_mut().entry(index).or_insert(0) += 1;
            let report = check(&lines);
            let caught = report.broken().contains(invariant);
            prop_assert!(caught, "change {index} is to break {invariant}:\n{report}");
        }
        Ok(())
    });
    judged.unwrap();
    for (index, (invariant, _)) in CHANGES.iter().enumerate() {
        let times = applied.borrow().get(&index).copied().unwrap_or(0);
        assert!(times >= 3, "change {index} ({invariant}) found its place {times} times only");
    }
}

// Finding a place.

/// One of those that fit.
fn pick<T>(list: impl IntoIterator<Item = T>, random: &mut Random) -> Option<T> {
    let mut list: Vec<T> = list.into_iter().collect();
    let count = list.len() as u64;
    (count > 0).then(|| list.swap_remove(random.below(count) as usize))
}

fn calls(lines: &[Line]) -> HashMap<OpId, Call> {
    let calls = lines.iter().filter_map(|line| match line {
        Line::Invoke { op, call, .. } => Some((*op, call.clone())),
        _ => None,
    });
    calls.collect()
}

/// Answers of requests, with what was asked.
fn answers(lines: &mut [Line]) -> Vec<(OpId, Call, &mut Answer)> {
    let calls = calls(lines);
    let answers = lines.iter_mut().filter_map(|line| match line {
        Line::Return { op, result: Outcome::Ok(answer), .. } => {
            Some((*op, calls[op].clone(), answer))
        }
        _ => None,
    });
    answers.collect()
}

fn acked_sends(lines: &mut [Line]) -> Vec<(OpId, String, u64, i64)> {
    let sends = answers(lines).into_iter().filter_map(|(op, call, answer)| match (call, answer) {
        (
            Call::Send { producer, value, repeats: None, delivery: Delivery::Idempotent, .. },
            Answer::Sent { offset: Some(offset), .. },
        ) => Some((op, producer, value, *offset)),
        _ => None,
    });
    sends.collect()
}

fn all_records(lines: &mut [Line]) -> Vec<&mut Record> {
    let lists = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::Records(records) | Answer::Log { records, .. } => Some(records),
        _ => None,
    });
    lists.flatten().collect()
}

/// The last look at a topic.
fn log<'a>(lines: &'a mut [Line], of: &str) -> (&'a mut i64, &'a mut Vec<Record>) {
    let mut logs =
        answers(lines).into_iter().filter_map(|(_, call, answer)| match (call, answer) {
            (Call::ReadLog(name), Answer::Log { end, records, .. }) if name.topic == of => {
                Some((end, records))
            }
            _ => None,
        });
    logs.next().expect("the model reads all")
}

/// Histories in the last look. Those before it are dropped: they would tell of the change.
fn last_histories(lines: &mut Vec<Line>) -> Vec<&mut Vec<Event>> {
    let last_look = |line: &Line| matches!(line, Line::Phase { phase: Phase::Final, .. });
    let begin = lines.iter().position(last_look).expect("a last look");
    let calls = calls(lines);
    let mut index = 0;
    lines.retain_mut(|line| {
        index += 1;
        match line {
            Line::Return { result: Outcome::Ok(Answer::WorkflowTask { events, .. }), .. } => {
                events.clear();
                true
            }
            Line::Invoke { op, .. } | Line::Return { op, .. } => {
                index > begin || !matches!(calls[op], Call::History { .. })
            }
            _ => true,
        }
    });
    let histories = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::History { events, .. } => Some(events),
        _ => None,
    });
    histories.collect()
}

/// An event of some kind in the last look: its history, and its index there.
fn event<'a>(
    lines: &'a mut Vec<Line>,
    random: &mut Random,
    is: impl Fn(&Kind) -> bool,
) -> Option<(&'a mut Vec<Event>, usize)> {
    let found = last_histories(lines).into_iter().filter_map(|events| {
        let places: Vec<_> = (0..events.len()).filter(|at| is(&events[*at].kind)).collect();
        (!places.is_empty()).then_some((events, places))
    });
    let (events, places) = pick(found.collect::<Vec<_>>(), random)?;
    let at = pick(places, random)?;
    Some((events, at))
}

fn open_history<'a>(lines: &'a mut Vec<Line>, random: &mut Random) -> Option<&'a mut Vec<Event>> {
    let open = |events: &&mut Vec<Event>| {
        events.last().is_some_and(|last| !matches!(last.kind, Kind::Closed(_)))
    };
    pick(last_histories(lines).into_iter().filter(open).collect::<Vec<_>>(), random)
}

fn put(events: &mut Vec<Event>, kind: Kind) {
    let last = events.last().expect("a first event");
    events.push(Event { id: last.id + 1, at_us: last.at_us, kind, digest: None });
}

fn add(lines: &mut Vec<Line>, call: Call, result: Outcome) {
    let (op, at_us) = (OpId(1_000, 1), i64::MAX - 1);
    lines.push(Line::Invoke { op, at_us, call });
    lines.push(Line::Return { op, at_us, result });
}

/// Replaces an event by one that says nothing.
fn blank(event: &mut Event) {
    event.kind = Kind::Other("Blank".into());
}

// The changes.

fn acked_bytes_change(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some((_, _, value, _)) = pick(acked_sends(lines), random) else { return false };
    for record in all_records(lines).into_iter().filter(|it| it.value == Some(value)) {
        record.digest ^= 1;
    }
    true
}

fn acked_record_is_cut_off(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some((_, _, _, offset)) = pick(acked_sends(lines), random) else { return false };
    let (end, records) = log(lines, "t");
    *end = offset;
    records.truncate(offset as usize);
    true
}

fn a_poll_saw_another_record(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let polls = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::Records(records) => records.first_mut(),
        _ => None,
    });
    let Some(record) = pick(polls.collect::<Vec<_>>(), random) else { return false };
    record.value = Some(1_000_000);
    true
}

fn a_poll_goes_back(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let polls = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::Records(records) if records.len() > 1 => Some(records),
        _ => None,
    });
    let Some(records) = pick(polls.collect::<Vec<_>>(), random) else { return false };
    records.swap(0, 1);
    true
}

fn a_record_is_written_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some((_, _, value, offset)) = pick(acked_sends(lines), random) else { return false };
    let (end, records) = log(lines, "t");
    let twin = Record { offset: *end, ..records[offset as usize].clone() };
    assert_eq!(twin.value, Some(value));
    records.push(twin);
    *end += 1;
    true
}

fn two_records_change_places(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let sends = acked_sends(lines);
    let pairs = sends.windows(2).filter(|pair| pair[0].1 == pair[1].1);
    let Some(pair) = pick(pairs, random) else { return false };
    let [(one, _, first, at_first), (two, _, second, at_second)] = pair else { return false };
    for record in all_records(lines).into_iter().filter(|it| it.topic == "t") {
        let other = match record.offset {
            offset if offset == *at_first => *second,
            offset if offset == *at_second => *first,
            _ => continue,
        };
        (record.value, record.digest) = (Some(other), other);
    }
    for (op, _, answer) in answers(lines) {
        let Answer::Sent { offset, .. } = answer else { continue };
        *offset = match op {
            op if op == *one => Some(*at_second),
            op if op == *two => Some(*at_first),
            _ => continue,
        };
    }
    true
}

fn a_commit_is_forgotten(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let reads = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::Committed(offset) => Some(offset),
        _ => None,
    });
    let Some(offset) = pick(reads.collect::<Vec<_>>(), random) else { return false };
    *offset = Some(-7);
    true
}

fn the_end_goes_back(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let ends = answers(lines).into_iter().filter_map(|(_, call, answer)| match (call, answer) {
        (Call::EndOffset(_), Answer::Offset(end)) => Some(end),
        _ => None,
    });
    let mut known = 0;
    let after_another = ends.filter(|end| std::mem::replace(&mut known, **end) > 0);
    let Some(end) = pick(after_another.collect::<Vec<_>>(), random) else { return false };
    *end = 0;
    true
}

fn a_record_from_nowhere(lines: &mut Vec<Line>, _: &mut Random) -> bool {
    let (end, records) = log(lines, "out");
    let (value, digest, key) = (Some(1_000_000), 0, None);
    records.push(Record { topic: "out".into(), partition: 0, offset: *end, key, value, digest });
    *end += 1;
    true
}

fn an_event_is_left_out(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let long = |events: &&mut Vec<Event>| events.len() > 3;
    let histories = last_histories(lines).into_iter().filter(long);
    let Some(events) = pick(histories.collect::<Vec<_>>(), random) else { return false };
    let at = 1 + random.below(events.len() as u64 - 2) as usize;
    events.remove(at);
    true
}

/// Seen by one reader only.
fn an_event_changes(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let histories = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::History { run_id, events } => {
            let known = seen.entry(run_id.clone()).or_default();
            (std::mem::replace(known, events.len()) > 0).then_some(events)
        }
        _ => None,
    });
    let Some(events) = pick(histories.collect::<Vec<_>>(), random) else { return false };
    events[0].at_us += 1;
    true
}

/// Values of signals that were acknowledged.
fn acked_signals(lines: &mut [Line]) -> Vec<u64> {
    let signals = answers(lines).into_iter().filter_map(|(_, call, _)| match call {
        Call::Signal { value, .. } | Call::SignalWithStart { value, .. } => Some(value),
        _ => None,
    });
    signals.collect()
}

fn a_signal_is_left_out(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let acked = acked_signals(lines);
    let is = |kind: &Kind| matches!(kind, Kind::Signaled { value: Some(value), record: None, .. } if acked.contains(value));
    let Some((events, at)) = event(lines, random, is) else { return false };
    blank(&mut events[at]);
    true
}

fn a_signal_is_there_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some(events) = open_history(lines, random) else { return false };
    let signal = |it: &&Event| matches!(it.kind, Kind::Signaled { record: None, .. });
    let Some(signal) = events.iter().find(signal).map(|it| it.kind.clone()) else { return false };
    put(events, signal);
    true
}

fn a_timer_fires_early(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let is = |kind: &Kind| matches!(kind, Kind::TimerFired { .. });
    let Some((events, at)) = event(lines, random, is) else { return false };
    let Kind::TimerFired { started } = events[at].kind else { return false };
    let timer = events[started as usize - 1].clone();
    let Kind::TimerStarted { duration_ms, .. } = timer.kind else { return false };
    events[at].at_us = timer.at_us + duration_ms * 1_000 - 1;
    true
}

fn a_timer_fires_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let is = |kind: &Kind| matches!(kind, Kind::TimerFired { .. });
    let Some((events, at)) = event(lines, random, is) else { return false };
    let twin = events[at].kind.clone();
    put(events, twin);
    true
}

fn a_timer_does_not_fire(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some(events) = open_history(lines, random) else { return false };
    put(events, common::timer(1_000));
    true
}

fn an_answer_is_accepted_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let ends = answers(lines).into_iter().filter_map(|(_, call, _)| match call {
        Call::EndActivityTask { .. } | Call::EndWorkflowTask { .. } => Some(call),
        _ => None,
    });
    let Some(call) = pick(ends.collect::<Vec<_>>(), random) else { return false };
    add(lines, call, common::done());
    true
}

fn a_task_has_two_workers(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let is_fault = |line: &Line| matches!(line, Line::Fault { .. });
    if lines.iter().any(is_fault) {
        return false;
    }
    let polls = answers(lines).into_iter().filter_map(|(_, call, answer)| {
        matches!(answer, Answer::ActivityTask { .. }).then(|| (call, answer.clone()))
    });
    let Some((call, answer)) = pick(polls.collect::<Vec<_>>(), random) else { return false };
    add(lines, call, Outcome::Ok(answer));
    true
}

fn nobody_is_woken(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some(events) = open_history(lines, random) else { return false };
    if matches!(events[0].kind, Kind::Started { continued_from: Some(_), .. }) {
        return false;
    }
    put(events, Kind::CancelRequested);
    true
}

fn a_description_is_old(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let described = answers(lines).into_iter().filter_map(|(_, _, answer)| match answer {
        Answer::Described { status, .. } if *status != Status::Running => Some(status),
        _ => None,
    });
    let Some(status) = pick(described.collect::<Vec<_>>(), random) else { return false };
    *status = Status::Running;
    true
}

fn a_task_is_stuck(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    if !nobody_is_woken(lines, random) {
        return false;
    }
    let woken = |events: &&mut Vec<Event>| {
        events.last().is_some_and(|last| last.kind == Kind::CancelRequested)
    };
    let events = last_histories(lines).into_iter().find(woken).expect("just put there");
    put(events, Kind::WorkflowTaskScheduled { attempt: 1 });
    true
}

fn the_first_task_is_left_out(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let successor = |events: &&mut Vec<Event>| {
        matches!(events[0].kind, Kind::Started { continued_from: Some(_), .. })
    };
    let histories = last_histories(lines).into_iter().filter(successor);
    let Some(events) = pick(histories.collect::<Vec<_>>(), random) else { return false };
    events.truncate(1);
    true
}

fn a_delivery_is_left_out(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let is = |kind: &Kind| matches!(kind, Kind::Signaled { record: Some(_), .. });
    let Some((events, at)) = event(lines, random, is) else { return false };
    blank(&mut events[at]);
    true
}

fn two_deliveries_change_places(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let routed = |event: &Event| matches!(event.kind, Kind::Signaled { record: Some(_), .. });
    let found = last_histories(lines).into_iter().filter_map(|events| {
        let places: Vec<_> = (0..events.len()).filter(|at| routed(&events[*at])).collect();
        (places.len() > 1).then(|| (places[0], places[1], events))
    });
    let Some((one, two, events)) = pick(found.collect::<Vec<_>>(), random) else { return false };
    let kind = events[one].kind.clone();
    events[one].kind = std::mem::replace(&mut events[two].kind, kind);
    true
}

fn an_emit_is_written_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let (end, records) = log(lines, "out");
    let Some(record) = pick(records.to_vec(), random) else {
        return false;
    };
    records.push(Record { offset: *end, ..record });
    *end += 1;
    true
}

/// Says that all requests of one kind for a value were refused.
fn refuse(lines: &mut [Line], of: impl Fn(&Call) -> bool) {
    let calls = calls(lines);
    for line in lines {
        if let Line::Return { op, result, .. } = line
            && of(&calls[op])
        {
            *result = Outcome::Fail(Refusal::Other("no".into()));
        }
    }
}

fn a_send_was_refused(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some((_, _, value, _)) = pick(acked_sends(lines), random) else { return false };
    refuse(lines, |call| matches!(call, Call::Send { value: of, .. } if *of == value));
    true
}

fn a_signal_was_refused(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let Some(value) = pick(acked_signals(lines), random) else { return false };
    refuse(
        lines,
        |call| matches!(call, Call::Signal { value: of, .. } | Call::SignalWithStart { value: of, .. } if *of == value),
    );
    true
}

fn an_open_run_is_not_found(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let mut open: HashMap<String, bool> = HashMap::new();
    for (_, _, answer) in answers(lines) {
        if let Answer::History { run_id, events } = answer {
            let closed = events.iter().any(|it| matches!(it.kind, Kind::Closed(RunEnd { .. })));
            open.insert(run_id.clone(), !closed);
        }
    }
    let starts = answers(lines).into_iter().filter_map(|(_, call, answer)| match (call, answer) {
        (Call::Start { workflow_id, .. }, Answer::Started { run_id, .. }) => {
            open.get(run_id).copied().unwrap_or(false).then_some(workflow_id)
        }
        _ => None,
    });
    let Some(workflow_id) = pick(starts.collect::<Vec<_>>(), random) else { return false };
    let (request_id, name, value) = ("late".into(), "s".into(), 1_000_000);
    let call = Call::Signal { workflow_id, request_id, name, value };
    add(lines, call, Outcome::Fail(Refusal::NotFound));
    true
}

fn a_run_is_not_read(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let histories = answers(lines).into_iter().filter_map(|(op, call, answer)| {
        matches!((call, answer), (Call::History { .. }, Answer::History { .. })).then_some(op)
    });
    let Some(last) = histories.last() else { return false };
    let _ = random;
    lines.retain(|line| !matches!(line, Line::Return { op, .. } if *op == last));
    let started = calls(lines).remove(&last);
    let Some(Call::History { run_id: Some(run_id), .. }) = started else { return false };
    let known = answers(lines).into_iter().any(
        |(_, _, answer)| matches!(answer, Answer::Described { run_id: of, .. } if *of == run_id),
    );
    assert!(known, "it is described");
    true
}

fn a_request_returns_twice(lines: &mut Vec<Line>, random: &mut Random) -> bool {
    let returns = lines.iter().filter(|line| matches!(line, Line::Return { .. }));
    let Some(line) = pick(returns.cloned(), random) else { return false };
    lines.push(line);
    true
}
