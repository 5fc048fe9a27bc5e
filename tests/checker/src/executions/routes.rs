//! B1: a routed record causes one signal or start in its workflow, in the order of the records.

use std::collections::HashMap;

use super::{Executions, Run, Seen};
use crate::finding::{Invariant, Report};
use crate::history::History;
use crate::log::Log;
use crate::{Kind, OnClosed, Place, Record, Route, RouteMode};

/// How a step in a workflow says which record it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Cause<'a> {
    At(&'a str, i32, i64),
    Value(u64),
}

/// Steps of one workflow that one route may have caused, by what caused them.
type Steps<'a> = HashMap<(&'a str, Cause<'a>), Vec<Seen<'a>>>;

/// B1.
pub(super) fn one_step_per_record(
    all: &Executions<'_>,
    history: &History<'_>,
    log: &Log<'_>,
    report: &mut Report,
) {
    for route in &history.declaration.routes {
        let steps = steps(all, route);
        let partitions = log
            .partitions
            .iter()
            .filter(|((topic, _), _)| route.topics.iter().any(|it| it == topic));
        for (_, facts) in partitions {
            let mut offsets: Vec<_> = facts.seen.iter().collect();
            offsets.sort_unstable_by_key(|(offset, _)| **offset);
            for (_, seen) in offsets {
                one_step(all, route, seen.record, &steps, history, log, report);
            }
        }
        in_order(all, route, log, report);
    }
}

/// The step's own word for its cause.
fn cause<'a>(route: &Route, kind: &'a Kind) -> Option<Cause<'a>> {
    let (value, record) = match kind {
        Kind::Signaled { name, value, record } if route.mode != RouteMode::Start => {
            (name == &route.signal).then_some((value, record))?
        }
        Kind::Started { value, record, continued_from: None, .. }
            if route.mode == RouteMode::Start =>
        {
            (value, record)
        }
        _ => return None,
    };
    match record {
        Some(Place { topic, partition, offset }) => Some(Cause::At(topic, *partition, *offset)),
        None => value.map(Cause::Value),
    }
}

fn steps<'a>(all: &Executions<'a>, route: &Route) -> Steps<'a> {
    let mut steps = Steps::new();
    for run in all.runs.values() {
        for seen in run.events() {
            if let Some(cause) = cause(route, &seen.event.kind) {
                steps.entry((run.workflow_id, cause)).or_default().push(seen);
            }
        }
    }
    steps
}

fn one_step(
    all: &Executions<'_>,
    route: &Route,
    record: &Record,
    steps: &Steps<'_>,
    history: &History<'_>,
    log: &Log<'_>,
    report: &mut Report,
) {
    let Some(key) = &record.key else { return };
    let workflow_id = format!("{}{key}", route.workflow_id_prefix);
    let at = Cause::At(&record.topic, record.partition, record.offset);
    let of = |cause| steps.get(&(workflow_id.as_str(), cause)).map_or(&[][..], Vec::as_slice);
    let by_value = || record.value.map(|value| (of(Cause::Value(value)), log.places.get(&value)));
    // A value that was written twice is two records, and may cause two steps.
    let (found, wanted) = match (of(at), by_value()) {
        ([], Some((found, places))) => (found, places.map_or(1, Vec::len)),
        (found, _) => (found, 1),
    };
    report.look(Invariant::B1);
    let dead_letter = record.value.is_some_and(|value| log.set_aside.contains(&value));
    let what = || {
        format!(
            "route {}: {}/{} offset {} for workflow {workflow_id}",
            route.name, record.topic, record.partition, record.offset
        )
    };
    if found.len() > wanted || dead_letter && !found.is_empty() {
        return report.find(Invariant::B1, found.iter().map(|seen| seen.by), || {
            let and = if dead_letter { " and set aside" } else { "" };
            format!("{} was delivered {} times{and}", what(), found.len())
        });
    }
    if history.last_look.is_none() || found.len() == wanted || dead_letter {
        return;
    }
    if !all.was_read(&workflow_id) && !all.absent.contains_key(workflow_id.as_str()) {
        return report.find(Invariant::Incomplete, [], || {
            format!(
                "workflow {workflow_id}, which route {} feeds, was not read at the end",
                route.name
            )
        });
    }
    let closed = all
        .runs_of(&workflow_id)
        .any(|run| run.closed().is_some_and(|it| it.1.next_run_id.is_none()));
    let elsewhere = match route.mode {
        RouteMode::SignalWithStart => false,
        RouteMode::Signal => !all.was_read(&workflow_id) || closed,
        RouteMode::Start => true,
    };
    let skipped = route.on_closed == OnClosed::Skip && closed;
    if !elsewhere && !skipped && !all.held_back.contains(workflow_id.as_str()) {
        report.find(Invariant::B1, [], || format!("{} was not delivered", what()));
    }
}

/// Records of one partition reach one workflow in their order.
fn in_order(all: &Executions<'_>, route: &Route, log: &Log<'_>, report: &mut Report) {
    for workflow_id in all.of_workflow.keys() {
        let mut reached: HashMap<(&str, i32), i64> = HashMap::new();
        let runs: Vec<_> = all.runs_of(workflow_id).collect();
        for (run, seen) in runs.iter().flat_map(|run| run.events().map(move |seen| (run, seen))) {
            let place = match cause(route, &seen.event.kind) {
                Some(Cause::At(topic, partition, offset)) => ((topic, partition), offset),
                Some(Cause::Value(value)) => match log.places.get(&value).map(Vec::as_slice) {
                    Some([place]) => *place,
                    _ => continue,
                },
                None => continue,
            };
            exists(run, seen, route, log, report);
            let ((topic, partition), offset) = place;
            let before = reached.insert((topic, partition), offset);
            if let Some(before) = before.filter(|before| *before > offset) {
                report.find(Invariant::B1, [seen.by], || {
                    format!(
                        "route {}: {} got {topic}/{partition} offset {offset} \
                         (event {}) after offset {before}",
                        route.name,
                        run.name(),
                        seen.event.id
                    )
                });
            }
        }
    }
}

/// A step that names a record names one that is there, and is its own.
fn exists(run: &Run<'_>, seen: Seen<'_>, route: &Route, log: &Log<'_>, report: &mut Report) {
    let (Kind::Signaled { record, value, .. } | Kind::Started { record, value, .. }) =
        &seen.event.kind
    else {
        return;
    };
    let Some(place) = record else { return };
    let name = (place.topic.as_str(), place.partition);
    // A partition that was not read, or records that were deleted, say nothing.
    let told = log.partitions.get(&name).filter(|facts| facts.last.is_some());
    let must_be_there = told.is_some_and(|facts| place.offset >= facts.delete_below);
    let right = match log.at(place) {
        Some(found) => {
            let key = found.record.key.as_deref().unwrap_or_default();
            run.workflow_id == format!("{}{key}", route.workflow_id_prefix)
                && (value.is_none() || *value == found.record.value)
        }
        None => !must_be_there,
    };
    if !right {
        report.find(Invariant::B1, [seen.by], || {
            format!(
                "route {}: {}: event {} comes from {}/{} offset {}, where no such record is",
                route.name,
                run.name(),
                seen.event.id,
                name.0,
                name.1,
                place.offset
            )
        });
    }
}
