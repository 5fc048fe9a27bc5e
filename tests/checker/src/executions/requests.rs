//! E2: what was acknowledged is in the history, once. What was refused is not, and what a refusal
//! claims is so.

use std::collections::{HashMap, HashSet};

use super::{Executions, Run};
use crate::finding::{Invariant, Report};
use crate::history::{History, Op};
use crate::{Answer, Call, Kind, OpId, Outcome, Refusal, Status};

/// One start or signal that is meant, and all requests for it.
#[derive(Default)]
struct Meant<'a> {
    ops: Vec<(&'a Op<'a>, &'a str)>,
    name: &'a str,
}

impl Meant<'_> {
    /// Different requests that certainly were done; that may have been.
    fn counts(&self) -> (usize, usize) {
        let count = |which: &dyn Fn(&Op<'_>) -> bool| {
            let ids = self.ops.iter().filter(|(op, _)| which(op)).map(|(_, id)| *id);
            ids.collect::<HashSet<_>>().len()
        };
        (count(&|op| op.acked()), count(&|op| op.possible()))
    }

    fn ids(&self) -> impl Iterator<Item = OpId> + '_ {
        self.ops.iter().map(|(op, _)| op.id)
    }

    /// Says what is wrong with being there `found` times.
    fn judge(&self, what: &str, found: usize, missing_counts: bool, report: &mut Report) {
        report.look(Invariant::E2);
        let (certain, possible) = self.counts();
        if possible == 0 {
            report.look(Invariant::Refused);
        }
        if found > 0 && possible == 0 {
            report.find(Invariant::Refused, self.ids(), || {
                format!("{what} was refused and is in the history")
            });
        } else if found > possible {
            report.find(Invariant::E2, self.ids(), || {
                format!(
                    "{what} was asked for {possible} time(s) and is in the history {found} times"
                )
            });
        } else if found < certain && missing_counts {
            report.find(Invariant::E2, self.ids(), || {
                format!(
                    "{what} was acknowledged {certain} time(s) and is in the history \
                     {found} times"
                )
            });
        }
    }
}

/// Starts.
pub(super) fn starts_happen_once(all: &Executions<'_>, history: &History<'_>, report: &mut Report) {
    let mut meant: HashMap<(&str, u64), Meant<'_>> = HashMap::new();
    let mut told: HashMap<(&str, &str), (&str, OpId)> = HashMap::new();
    for op in &history.ops {
        let (Call::Start { workflow_id, request_id, .. }
        | Call::SignalWithStart { workflow_id, request_id, .. }) = op.call
        else {
            continue;
        };
        if let Call::Start { value, .. } = op.call {
            meant.entry((workflow_id, *value)).or_default().ops.push((op, request_id));
        }
        let Some(Answer::Started { run_id, started }) = op.answer() else { continue };
        report.look(Invariant::E2);
        the_run_is_there(all, workflow_id, run_id, op, history, report);
        if *started && matches!(op.call, Call::Start { .. }) {
            let (first, by) = *told.entry((workflow_id, request_id)).or_insert((run_id, op.id));
            if first != run_id {
                report.find(Invariant::E2, [by, op.id], || {
                    format!(
                        "workflow {workflow_id}: one start (request {request_id}) \
                         was answered with run {first} and with run {run_id}"
                    )
                });
            }
        }
    }
    let mut found: HashMap<(&str, u64), usize> = HashMap::new();
    for run in all.runs.values() {
        if let Some((_, None)) = run.started()
            && let Kind::Started { value: Some(value), .. } =
                run.event(1).map_or(&Kind::CancelRequested, |it| &it.event.kind)
        {
            *found.entry((run.workflow_id, *value)).or_default() += 1;
        }
    }
    let last_look = history.last_look.is_some();
    for ((workflow_id, value), meant) in &meant {
        let found = found.get(&(*workflow_id, *value)).copied().unwrap_or(0);
        // A run that a start was answered with is looked for by its id; one that joined it or
        // that has been answered with another's run need not be there.
        meant.judge(
            &format!("workflow {workflow_id}: the start with value {value}"),
            found,
            false,
            report,
        );
        let own = meant
            .ops
            .iter()
            .any(|(op, _)| matches!(op.answer(), Some(Answer::Started { started: true, .. })));
        if last_look && own && found == 0 && all.was_read(workflow_id) {
            report.find(Invariant::E2, meant.ids(), || {
                format!(
                    "workflow {workflow_id}: the start with value {value} was \
                     acknowledged and no run has it"
                )
            });
        }
    }
}

fn the_run_is_there(
    all: &Executions<'_>,
    workflow_id: &str,
    run_id: &str,
    op: &Op<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    if history.last_look.is_none() || all.runs.contains_key(run_id) {
        return;
    }
    let absent = all.absent.get(run_id).or_else(|| all.absent.get(workflow_id));
    // If the workflow was read and this run is not among its runs, nobody could have found it.
    if let Some(by) = absent {
        report.find(Invariant::E2, [op.id, *by], || {
            format!(
                "workflow {workflow_id} was started as run {run_id} and is not found in the end"
            )
        });
    } else {
        report.find(Invariant::Incomplete, [op.id], || {
            format!("run {run_id} of workflow {workflow_id} was not read at the end")
        });
    }
}

/// Signals.
pub(super) fn signals_happen_once(
    all: &Executions<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    let mut meant: HashMap<(&str, u64), Meant<'_>> = HashMap::new();
    for op in &history.ops {
        if let Call::Signal { workflow_id, request_id, name, value }
        | Call::SignalWithStart { workflow_id, request_id, name, value } = op.call
        {
            let meant = meant.entry((workflow_id, *value)).or_default();
            meant.ops.push((op, request_id));
            meant.name = name;
        }
    }
    let mut found: HashMap<(&str, u64), usize> = HashMap::new();
    let routed = history.declaration.routes.iter().map(|route| route.signal.as_str());
    let routed: HashSet<_> = routed.collect();
    for run in all.runs.values() {
        for seen in run.events() {
            let Kind::Signaled { name, value: Some(value), record: None } = &seen.event.kind else {
                continue;
            };
            let asked = meant.get(&(run.workflow_id, *value));
            if asked.is_none() && routed.contains(name.as_str()) {
                continue;
            }
            *found.entry((run.workflow_id, *value)).or_default() += 1;
            if asked.is_none_or(|meant| meant.name != name) {
                report.find(Invariant::E2, [seen.by], || {
                    format!(
                        "{}: event {}, signal {name} with value {value}, was sent by nobody",
                        run.name(),
                        seen.event.id
                    )
                });
            }
        }
    }
    for ((workflow_id, value), meant) in &meant {
        let found = found.get(&(*workflow_id, *value)).copied().unwrap_or(0);
        let acked = meant.ops.iter().find(|(op, _)| op.acked());
        if history.last_look.is_some()
            && !all.was_read(workflow_id)
            && let Some((op, _)) = acked
        {
            let absent = all.absent.contains_key(workflow_id);
            let invariant = if absent { Invariant::E2 } else { Invariant::Incomplete };
            report.find(invariant, [op.id], || {
                format!(
                    "workflow {workflow_id} got a signal and {}",
                    if absent { "is not found in the end" } else { "was not read at the end" }
                )
            });
            continue;
        }
        let held_back = all.held_back.contains(workflow_id);
        let missing_counts = history.last_look.is_some() && !held_back;
        meant.judge(
            &format!("workflow {workflow_id}: signal {} with value {value}", meant.name),
            found,
            missing_counts,
            report,
        );
    }
}

/// Requests to cancel, and terminations.
pub(super) fn ends_are_there(all: &Executions<'_>, history: &History<'_>, report: &mut Report) {
    for op in history.ops.iter().filter(|op| op.acked() && history.last_look.is_some()) {
        let (workflow_id, what) = match op.call {
            Call::RequestCancel { workflow_id, .. } => (workflow_id, "a request to cancel"),
            Call::Terminate { workflow_id } => (workflow_id, "a termination"),
            _ => continue,
        };
        report.look(Invariant::E2);
        let terminates = matches!(op.call, Call::Terminate { .. });
        let is_it = |kind: &Kind| match kind {
            Kind::CancelRequested => !terminates,
            Kind::Closed(end) => terminates && end.status == Status::Terminated,
            _ => false,
        };
        let there =
            all.runs_of(workflow_id).any(|run| run.events().any(|it| is_it(&it.event.kind)));
        let held_back = all.held_back.contains(workflow_id.as_str());
        if !there && (terminates || !held_back) {
            report.find(Invariant::E2, [op.id], || {
                format!(
                    "workflow {workflow_id}: {what} was acknowledged and is not in \
                     the history"
                )
            });
        }
    }
}

/// A refusal may only name what is, or was, or came to be; and "not found" must be so.
pub(super) fn refusals_name_what_is(
    all: &Executions<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    if history.last_look.is_none() {
        return;
    }
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (op, _, answer) in history.answers() {
        if let Answer::Started { run_id, .. }
        | Answer::Described { run_id, .. }
        | Answer::History { run_id, .. }
        | Answer::WorkflowTask { run_id, .. } = answer
        {
            let since = known.entry(run_id).or_insert(op.returned);
            *since = op.returned.min(*since);
        }
    }
    for op in &history.ops {
        let Some(Outcome::Fail(refusal)) = op.result else { continue };
        match (op.call, refusal) {
            (Call::Start { workflow_id, .. }, Refusal::AlreadyStarted { run_id }) => {
                report.look(Invariant::Named);
                let there =
                    all.runs.get(run_id.as_str()).is_some_and(|it| it.workflow_id == workflow_id);
                if !there {
                    report.find(Invariant::Named, [op.id], || {
                        format!(
                            "workflow {workflow_id}: a start was refused because \
                             run {run_id} is there, and it is not"
                        )
                    });
                }
            }
            (
                Call::Signal { workflow_id, .. } | Call::Describe { workflow_id, run_id: None },
                Refusal::NotFound,
            ) => {
                report.look(Invariant::Named);
                if let Some(run) = open_all_the_time(all, workflow_id, op, &known, history) {
                    report.find(Invariant::Named, [op.id], || {
                        format!(
                            "workflow {workflow_id} was said not to be found while \
                             run {run} was open"
                        )
                    });
                }
            }
            _ => {}
        }
    }
}

/// A run that was known to be open before the request began, and still after it ended.
fn open_all_the_time<'a>(
    all: &Executions<'a>,
    workflow_id: &str,
    op: &Op<'_>,
    known: &HashMap<&str, usize>,
    history: &History<'_>,
) -> Option<&'a str> {
    let apart_us = history.declaration.budgets.clocks_apart_ms * 1_000;
    let known = |run: &&Run<'a>| known.get(run.run_id).is_some_and(|since| *since < op.invoked);
    let open = |run: &&Run<'a>| {
        let until_us = run.closed().map_or(i64::MAX, |(seen, _)| seen.event.at_us);
        run.last.is_some() && until_us.saturating_sub(apart_us) > op.returned_us
    };
    all.runs_of(workflow_id).filter(open).find(known).map(|run| run.run_id)
}
