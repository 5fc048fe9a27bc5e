//! E4 of workflow tasks: each ends once, in history and for its workers, and attempts make sense.

use std::collections::{HashMap, HashSet};

use super::{Executions, Run};
use crate::finding::{Invariant, Report};
use crate::history::{History, Op, Reached};
use crate::{Answer, Call, Kind, WorkflowTaskEnd};

/// In one run's history.
pub(super) fn end_once(run: &Run<'_>, report: &mut Report) {
    let mut ended = HashSet::new();
    let mut failed_before = false;
    for seen in run.events() {
        let (scheduled, started) = match seen.event.kind {
            Kind::WorkflowTaskScheduled { attempt } => {
                if attempt == 0 || attempt > 1 && !failed_before {
                    report.find(Invariant::E4, [seen.by], || {
                        format!(
                            "{}: event {} schedules attempt {attempt} of a workflow \
                             task that has not failed",
                            run.name(),
                            seen.event.id
                        )
                    });
                }
                continue;
            }
            Kind::WorkflowTaskCompleted { scheduled, started } => {
                failed_before = false;
                (scheduled, started)
            }
            Kind::WorkflowTaskFailed { scheduled, started }
            | Kind::WorkflowTaskTimedOut { scheduled, started } => {
                failed_before = true;
                (scheduled, started)
            }
            _ => continue,
        };
        report.look(Invariant::E4);
        let is_started = |id| match run.event(id).map(|it| &it.event.kind) {
            Some(Kind::WorkflowTaskStarted { scheduled: of }) => *of == scheduled,
            _ => false,
        };
        if !ended.insert(scheduled) || started != 0 && !is_started(started) {
            report.find(Invariant::E4, [seen.by], || {
                format!(
                    "{}: event {} ends the workflow task of event {scheduled}, \
                     which has ended or was not started by event {started}",
                    run.name(),
                    seen.event.id
                )
            });
        }
    }
}

/// What workers were told, and what became of it.
pub(super) fn accepted_once(all: &Executions<'_>, history: &History<'_>, report: &mut Report) {
    let mut ends: HashMap<(&str, i64), Vec<&Op<'_>>> = HashMap::new();
    for op in &history.ops {
        if let Call::EndWorkflowTask { run_id, started, .. } = op.call {
            ends.entry((run_id, *started)).or_default().push(op);
        }
    }
    for ((run_id, started), ops) in &ends {
        one_is_accepted(all.runs.get(run_id), *started, ops, report);
    }
    if !ends.is_empty() {
        for run in all.runs.values() {
            somebody_completed(run, &ends, report);
        }
    }
    attempts_rise(history, report);
}

fn one_is_accepted(run: Option<&Run<'_>>, started: i64, ops: &[&Op<'_>], report: &mut Report) {
    let completes = |op: &&&Op<'_>| {
        matches!(op.call, Call::EndWorkflowTask { end: WorkflowTaskEnd::Completed, .. })
    };
    let attempt = |op: &Op<'_>| match op.call {
        Call::EndWorkflowTask { attempt, .. } => *attempt,
        _ => 0,
    };
    let accepted: Vec<_> = ops.iter().filter(|op| op.acked()).collect();
    let mut attempts = HashSet::new();
    report.look(Invariant::E4);
    let twice = accepted.iter().any(|op| !attempts.insert(attempt(op)));
    if twice || accepted.iter().filter(|op| completes(op)).count() > 1 {
        return report.find(Invariant::E4, accepted.iter().map(|op| op.id), || {
            let name = run.map_or_else(String::new, Run::name);
            format!(
                "{name}: the workflow task that event {started} started was accepted {} times",
                accepted.len()
            )
        });
    }
    let (Some(run), Some(done)) = (run, accepted.into_iter().find(completes)) else { return };
    let in_history = run.events().any(|seen| {
        matches!(seen.event.kind, Kind::WorkflowTaskCompleted { started: by, .. } if by == started)
    });
    if run.last.is_some() && !in_history {
        report.find(Invariant::E4, [done.id], || {
            format!(
                "{}: a worker's answer to the task of event {started} was accepted \
                 and is not in the history",
                run.name()
            )
        });
    }
}

fn somebody_completed(
    run: &Run<'_>,
    ends: &HashMap<(&str, i64), Vec<&Op<'_>>>,
    report: &mut Report,
) {
    for seen in run.events() {
        let Kind::WorkflowTaskCompleted { started, .. } = seen.event.kind else { continue };
        let ops = ends.get(&(run.run_id, started)).map_or(&[][..], Vec::as_slice);
        if ops.iter().any(|op| op.possible()) {
            continue;
        }
        let invariant = if ops.is_empty() { Invariant::E4 } else { Invariant::Refused };
        report.find(invariant, ops.iter().map(|op| op.id).chain([seen.by]), || {
            let told = if ops.is_empty() { "nobody" } else { "only a refused worker" };
            format!(
                "{}: event {} completes a workflow task, and {told} did so",
                run.name(),
                seen.event.id
            )
        });
    }
}

/// Of the tasks that were handed out.
fn attempts_rise(history: &History<'_>, report: &mut Report) {
    let mut polls: HashMap<(&str, i64), Vec<(&Op<'_>, u32)>> = HashMap::new();
    for (op, _, answer) in history.answers() {
        if let Answer::WorkflowTask { run_id, scheduled, attempt, .. } = answer {
            polls.entry((run_id, *scheduled)).or_default().push((op, *attempt));
        }
    }
    for ((run_id, scheduled), polls) in polls {
        let what = format!("run {run_id}: the workflow task of event {scheduled}");
        never_back(&what, &polls, report);
        not_to_two(&what, &polls, history, report);
    }
}

/// An attempt is never handed out after a later one.
pub(super) fn never_back(what: &str, polls: &[(&Op<'_>, u32)], report: &mut Report) {
    let mut reached = Reached::default();
    for (op, attempt) in polls {
        reached.add(op.returned, i64::from(*attempt), op.id);
    }
    reached.sort();
    for (op, attempt) in polls {
        report.look(Invariant::E4);
        let before = reached.before(op.invoked).filter(|it| it.0 > i64::from(*attempt));
        if *attempt == 0 || before.is_some() {
            report.find(Invariant::E4, before.map(|it| it.1).into_iter().chain([op.id]), || {
                format!("{what} was handed out as attempt {attempt} after a later one")
            });
        }
    }
}

/// With nothing wrong anywhere, an attempt has one worker.
pub(super) fn not_to_two(
    what: &str,
    polls: &[(&Op<'_>, u32)],
    history: &History<'_>,
    report: &mut Report,
) {
    let mut last: HashMap<u32, &Op<'_>> = HashMap::new();
    let mut polls = polls.to_vec();
    polls.sort_unstable_by_key(|(op, _)| op.returned);
    for (op, attempt) in polls {
        let Some(other) = last.insert(attempt, op) else { continue };
        if !history.disturbed(other.invoked.min(op.invoked), op.returned) {
            report.find(Invariant::E4, [other.id, op.id], || {
                format!(
                    "{what}: attempt {attempt} was handed to two workers, and \
                     nothing had happened to either"
                )
            });
        }
    }
}
