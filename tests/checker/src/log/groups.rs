//! L6: committed offsets, log ends and log starts do not go back unasked.

use std::collections::HashMap;

use super::{Facts, Log};
use crate::finding::{Invariant, Report};
use crate::history::{History, Op, Reached};
use crate::{Answer, Call, OpId, Partition};

/// What a reader of a committed offset may be told.
#[derive(Default)]
struct Register {
    /// Of each value that was asked for: the position after which no commit of it can take effect
    /// any more, and that of the first one's invoke.
    candidates: HashMap<i64, (usize, usize)>,
    /// The latest invoke of what certainly took effect.
    settled: Option<(usize, OpId, i64)>,
}

enum Step {
    Ask(i64),
    Done(i64),
    Look,
    Told(Option<i64>),
}

/// Committed offsets are one register for each group and partition.
pub(super) fn commits_stay(history: &History<'_>, report: &mut Report) {
    type Steps<'a> = Vec<(usize, &'a Op<'a>, Step)>;
    let mut registers: HashMap<(&str, &str, i32), Steps<'_>> = HashMap::new();
    for op in history.ops.iter().filter(|op| op.possible()) {
        match (op.call, op.answer()) {
            (Call::Commit { group, place }, answer) => {
                let steps = registers.entry((group, &place.topic, place.partition)).or_default();
                steps.push((op.invoked, op, Step::Ask(place.offset)));
                if answer.is_some() {
                    steps.push((op.returned, op, Step::Done(place.offset)));
                }
            }
            (Call::FetchCommitted { group, partition }, Some(Answer::Committed(told))) => {
                let Partition { topic, partition } = partition;
                let steps = registers.entry((group, topic, *partition)).or_default();
                steps.push((op.invoked, op, Step::Look));
                steps.push((op.returned, op, Step::Told(*told)));
            }
            _ => {}
        }
    }
    for (name, mut steps) in registers {
        steps.sort_by_key(|step| step.0);
        let (mut register, mut looks) = (Register::default(), HashMap::new());
        for (_, op, step) in steps {
            match step {
                Step::Look => drop(looks.insert(op.id, register.settled)),
                Step::Told(told) => {
                    let settled = looks.remove(&op.id).flatten();
                    register.told(name, op, told, settled, report);
                }
                Step::Ask(offset) => register.asked(op, offset),
                Step::Done(offset) => register.settle(op.invoked, op.id, offset),
            }
        }
    }
}

impl Register {
    fn asked(&mut self, op: &Op<'_>, offset: i64) {
        let first = (op.returned, op.invoked);
        let candidate = self.candidates.entry(offset).or_insert(first);
        candidate.0 = candidate.0.max(op.returned);
    }

    fn settle(&mut self, invoked: usize, by: OpId, offset: i64) {
        if self.settled.is_none_or(|(latest, _, _)| latest < invoked) {
            self.settled = Some((invoked, by, offset));
        }
    }

    fn told(
        &mut self,
        (group, topic, partition): (&str, &str, i32),
        op: &Op<'_>,
        told: Option<i64>,
        settled: Option<(usize, OpId, i64)>,
        report: &mut Report,
    ) {
        report.look(Invariant::L6);
        let candidate = told.and_then(|offset| self.candidates.get(&offset).copied());
        let name = format_args!("group {group}, {topic}/{partition}");
        match (told, candidate, settled) {
            (Some(offset), None, _) => report
                .find(Invariant::L6, [op.id], || format!("{name}: {offset} was never committed")),
            (None, _, Some((_, by, offset))) => report.find(Invariant::L6, [by, op.id], || {
                format!("{name}: {offset} was committed and then there is nothing")
            }),
            (Some(told), Some((over, _)), Some((latest, by, offset))) if over < latest => {
                report.find(Invariant::L6, [by, op.id], || {
                    format!("{name}: {offset} was committed, and later it is {told} again")
                });
            }
            (Some(told), Some((_, invoked)), _) => self.settle(invoked, op.id, told),
            (None, _, None) => {}
        }
    }
}

/// Log ends and log starts.
pub(super) fn ends_and_starts_do_not_go_back(
    log: &Log<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    for (op, call, answer) in history.answers() {
        let (Call::EndOffset(name), Answer::Offset(end)) = (call, answer) else { continue };
        report.look(Invariant::L6);
        let facts = &log.partitions[&(name.topic.as_str(), name.partition)];
        let Some((reached, by)) = facts.ends.before(op.invoked) else { continue };
        if *end < reached {
            report.find(Invariant::L6, [by, op.id], || {
                format!(
                    "{}/{}: the end was {reached} and is {end} later",
                    name.topic, name.partition
                )
            });
        }
    }
    for ((topic, partition), facts) in &log.partitions {
        let Some(last) = &facts.last else { continue };
        let Some((end, by)) = facts.watermarks.iter().max() else { continue };
        if last.end < *end {
            report.find(Invariant::L6, [*by, last.by], || {
                format!("{topic}/{partition}: the end was {end} and is {} in the end", last.end)
            });
        }
    }
    starts_do_not_go_back(log, history, report);
}

fn starts_do_not_go_back(log: &Log<'_>, history: &History<'_>, report: &mut Report) {
    let mut starts: HashMap<(&str, i32), Reached> = HashMap::new();
    let start = |op: &Op<'_>| match (op.call, op.answer()) {
        (Call::StartOffset(name), Some(Answer::Offset(start))) => {
            Some(((name.topic.clone(), name.partition), *start))
        }
        (Call::DeleteRecords(place), Some(Answer::Offset(start))) => {
            Some(((place.topic.clone(), place.partition), *start))
        }
        (Call::ReadLog(name), Some(Answer::Log { start, .. })) => {
            Some(((name.topic.clone(), name.partition), *start))
        }
        _ => None,
    };
    let shown: Vec<_> = history.ops.iter().filter_map(|op| start(op).map(|it| (op, it))).collect();
    for (op, ((topic, partition), start)) in &shown {
        starts.entry((topic, *partition)).or_default().add(op.returned, *start, op.id);
    }
    starts.values_mut().for_each(Reached::sort);
    for (op, ((topic, partition), start)) in &shown {
        report.look(Invariant::L6);
        let facts = log.partitions.get(&(topic.as_str(), *partition));
        let asked = facts.map_or(0, |it| it.delete_below);
        // What was acknowledged and is gone is L1's.
        let lost = |it: &Facts<'_>| {
            it.last.is_some() && it.acked.iter().any(|it| (asked..*start).contains(&it.0))
        };
        if *start > asked && !facts.is_some_and(lost) {
            report.find(Invariant::L6, [op.id], || {
                format!(
                    "{topic}/{partition}: the log starts at {start}, and nobody \
                     asked to delete beyond {asked}"
                )
            });
        }
        let before = starts.get(&(topic.as_str(), *partition)).and_then(|it| it.before(op.invoked));
        if let Some((reached, by)) = before.filter(|(reached, _)| reached > start) {
            report.find(Invariant::L6, [by, op.id], || {
                format!(
                    "{topic}/{partition}: the log started at {reached} and starts at \
                     {start} later"
                )
            });
        }
    }
}
