//! E4 of activities: each ends once, by somebody who was given it, and attempts are counted right.

use std::collections::{HashMap, HashSet};

use super::{Executions, Run, Seen, tasks};
use crate::finding::{Invariant, Report};
use crate::history::{History, Op};
use crate::{ActivityEnd, Answer, Call, Kind};

/// In one run's history.
pub(super) fn end_once(run: &Run<'_>, report: &mut Report) {
    let mut maximum: HashMap<i64, u32> = HashMap::new();
    let mut ended = HashSet::new();
    for seen in run.events() {
        if let Kind::ActivityScheduled { maximum_attempts, .. } = seen.event.kind {
            maximum.insert(seen.event.id, maximum_attempts);
        }
        if let Kind::ActivityStarted { scheduled, attempt } = seen.event.kind {
            let maximum = maximum.get(&scheduled).copied().unwrap_or(0);
            if attempt == 0 || maximum > 0 && attempt > maximum {
                report.find(Invariant::E4, [seen.by], || {
                    format!(
                        "{}: event {} starts attempt {attempt} of at most {maximum}",
                        run.name(),
                        seen.event.id
                    )
                });
            }
        }
        let Some(scheduled) = end_of(&seen.event.kind) else { continue };
        report.look(Invariant::E4);
        if !maximum.contains_key(&scheduled) || !ended.insert(scheduled) {
            report.find(Invariant::E4, [seen.by], || {
                format!(
                    "{}: event {} ends the activity of event {scheduled}, which has \
                     ended or was never scheduled",
                    run.name(),
                    seen.event.id
                )
            });
        }
    }
}

/// The activity that this event ends, by the event that scheduled it.
pub(super) fn end_of(kind: &Kind) -> Option<i64> {
    match kind {
        Kind::ActivityCompleted { scheduled, .. }
        | Kind::ActivityFailed { scheduled }
        | Kind::ActivityTimedOut { scheduled }
        | Kind::ActivityCanceled { scheduled } => Some(*scheduled),
        _ => None,
    }
}

/// What workers did with one activity.
#[derive(Default)]
struct Work<'a> {
    polls: Vec<(&'a Op<'a>, u32)>,
    ends: Vec<(&'a Op<'a>, u32, ActivityEnd)>,
    heartbeats: Vec<(&'a Op<'a>, u32)>,
    effects: usize,
}

/// What workers were told, and what became of it.
pub(super) fn accepted_once(all: &Executions<'_>, history: &History<'_>, report: &mut Report) {
    let mut works: HashMap<(&str, &str), Work<'_>> = HashMap::new();
    for op in &history.ops {
        match (op.call, op.answer()) {
            (
                Call::PollActivityTask { .. },
                Some(Answer::ActivityTask { run_id, activity_id, attempt, .. }),
            ) => {
                works.entry((run_id, activity_id)).or_default().polls.push((op, *attempt));
            }
            (Call::EndActivityTask { run_id, activity_id, attempt, end }, _) => {
                works.entry((run_id, activity_id)).or_default().ends.push((op, *attempt, *end));
            }
            (Call::Heartbeat { run_id, activity_id, attempt }, Some(_)) => {
                works.entry((run_id, activity_id)).or_default().heartbeats.push((op, *attempt));
            }
            _ => {}
        }
    }
    for effect in &history.effects {
        works.entry((effect.run_id, effect.activity_id)).or_default().effects += 1;
    }
    if works.is_empty() {
        return;
    }
    let mut known: HashSet<(&str, &str)> = HashSet::new();
    let mut again: HashSet<(&str, &str)> = HashSet::new();
    for run in all.runs.values() {
        for seen in run.events() {
            let Kind::ActivityScheduled { activity_id, .. } = &seen.event.kind else { continue };
            if !known.insert((run.run_id, activity_id)) {
                again.insert((run.run_id, activity_id));
            }
        }
    }
    // An activity's id may be used again in a run; then it is not known whose the work was.
    works.retain(|name, _| !again.contains(name));
    for ((run_id, activity_id), work) in &works {
        let what = format!("run {run_id}: activity {activity_id}");
        work.ends_once(&what, report);
        work.handed_out_right(&what, history, report);
    }
    for run in all.runs.values() {
        in_history(run, &works, &again, history, report);
    }
}

impl Work<'_> {
    fn ends_once(&self, what: &str, report: &mut Report) {
        let mut attempts: HashMap<u32, &Op<'_>> = HashMap::new();
        for (op, attempt, _) in self.ends.iter().filter(|it| it.0.acked()) {
            report.look(Invariant::E4);
            if let Some(other) = attempts.insert(*attempt, op) {
                report.find(Invariant::E4, [other.id, op.id], || {
                    format!("{what}: attempt {attempt} was ended twice, and both were accepted")
                });
            }
        }
    }

    fn handed_out_right(&self, what: &str, history: &History<'_>, report: &mut Report) {
        tasks::not_to_two(what, &self.polls, history, report);
        for (beat, attempt) in &self.heartbeats {
            let of_attempt = self.polls.iter().filter(|(_, of)| of == attempt);
            let Some((again, _)) = of_attempt.clone().find(|(op, _)| op.invoked > beat.returned)
            else {
                continue;
            };
            // The poll that the heartbeat belongs to; without it nothing is known.
            if of_attempt.clone().any(|(op, _)| op.returned < beat.invoked) {
                report.find(Invariant::E4, [beat.id, again.id], || {
                    format!("{what}: attempt {attempt} has heartbeated and is handed out again")
                });
            }
        }
    }
}

/// One activity of one run.
struct Scheduled<'a> {
    seen: Seen<'a>,
    activity_id: &'a str,
    attempt_ms: Option<i64>,
    maximum_attempts: u32,
    started: Option<u32>,
    end: Option<Seen<'a>>,
}

fn in_history(
    run: &Run<'_>,
    works: &HashMap<(&str, &str), Work<'_>>,
    again: &HashSet<(&str, &str)>,
    history: &History<'_>,
    report: &mut Report,
) {
    let activities = scheduled(run);
    let none = Work::default();
    let once = |it: &&Scheduled<'_>| !again.contains(&(run.run_id, it.activity_id));
    for activity in activities.values().filter(once) {
        let work = works.get(&(run.run_id, activity.activity_id)).unwrap_or(&none);
        let what = format!("{}: activity {}", run.name(), activity.activity_id);
        tasks::never_back(&what, &work.polls, report);
        attempts_have_causes(&what, activity, work, report);
        accepted_is_there(&what, run, activity, work, history, report);
        somebody_did_it(&what, activity, work, history, report);
    }
}

fn scheduled<'a>(run: &Run<'a>) -> HashMap<i64, Scheduled<'a>> {
    let mut activities: HashMap<i64, Scheduled<'a>> = HashMap::new();
    for seen in run.events() {
        match &seen.event.kind {
            Kind::ActivityScheduled { activity_id, emit: None, attempt_ms, maximum_attempts } => {
                activities.insert(
                    seen.event.id,
                    Scheduled {
                        seen,
                        activity_id,
                        attempt_ms: *attempt_ms,
                        maximum_attempts: *maximum_attempts,
                        started: None,
                        end: None,
                    },
                );
            }
            Kind::ActivityStarted { scheduled, attempt } => {
                if let Some(activity) = activities.get_mut(scheduled) {
                    activity.started = Some(*attempt);
                }
            }
            kind => {
                if let Some(activity) = end_of(kind).and_then(|id| activities.get_mut(&id)) {
                    activity.end = Some(seen);
                }
            }
        }
    }
    activities
}

/// An attempt follows a failure that a worker reported, or a time-out that has passed.
fn attempts_have_causes(
    what: &str,
    activity: &Scheduled<'_>,
    work: &Work<'_>,
    report: &mut Report,
) {
    for (op, attempt) in &work.polls {
        report.look(Invariant::E4);
        let failures = work.ends.iter().filter(|(end, _, how)| {
            *how == ActivityEnd::Failed && end.possible() && end.invoked < op.returned
        });
        let passed_us = op.returned_us.saturating_sub(activity.seen.event.at_us).max(0);
        let timeouts = activity.attempt_ms.filter(|ms| *ms > 0).map(|ms| passed_us / (ms * 1_000));
        let most = timeouts.map(|timeouts| 1 + failures.count() as i64 + timeouts);
        if most.is_some_and(|most| i64::from(*attempt) > most) {
            report.find(Invariant::E4, [op.id], || {
                format!(
                    "{what}: attempt {attempt} was handed out, and failures and \
                     time-outs explain {} at most",
                    most.unwrap_or(0)
                )
            });
        }
        let maximum = activity.maximum_attempts;
        if maximum > 0 && *attempt > maximum {
            report.find(Invariant::E4, [op.id], || {
                format!("{what}: attempt {attempt} of at most {maximum} was handed out")
            });
        }
    }
    if activity.maximum_attempts == 1 && work.effects > 1 {
        report.find(Invariant::E4, work.polls.iter().map(|it| it.0.id), || {
            format!("{what} is to run at most once and ran {} times", work.effects)
        });
    }
}

/// What a worker was told is done is in the history, from its attempt.
fn accepted_is_there(
    what: &str,
    run: &Run<'_>,
    activity: &Scheduled<'_>,
    work: &Work<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    let last = |end: &ActivityEnd| *end != ActivityEnd::Failed;
    for (op, attempt, end) in work.ends.iter().filter(|it| it.0.acked() && last(&it.2)) {
        if let Some(after) = work.polls.iter().find(|(poll, _)| poll.invoked > op.returned) {
            report.find(Invariant::E4, [op.id, after.0.id], || {
                format!("{what} was ended, which was accepted, and is handed out afterwards")
            });
        }
        report.look(Invariant::E4);
        let wrong = activity.end.is_some_and(|seen| !fits(&seen.event.kind, *end));
        let other = activity.started.is_some_and(|started| started != *attempt);
        if wrong || other && activity.end.is_some() {
            report.find(Invariant::E4, [op.id], || {
                format!(
                    "{what}: attempt {attempt} was accepted as {end:?}, the history \
                     says {:?} of attempt {:?}",
                    activity.end.map(|it| &it.event.kind),
                    activity.started
                )
            });
        } else if activity.end.is_none() && must_be_there(run, op, history) {
            report.find(Invariant::E4, [op.id], || {
                format!(
                    "{what}: attempt {attempt} was accepted as {end:?} and the \
                     history does not say so"
                )
            });
        }
    }
}

fn fits(kind: &Kind, end: ActivityEnd) -> bool {
    match (kind, end) {
        (Kind::ActivityCompleted { value, .. }, ActivityEnd::Completed(told)) => {
            value.is_none() || told.is_none() || *value == told
        }
        (Kind::ActivityFailed { .. }, ActivityEnd::FailedForGood)
        | (Kind::ActivityCanceled { .. }, ActivityEnd::Canceled) => true,
        _ => false,
    }
}

/// Events wait while a worker has a workflow task, and are left behind if that one closes the run.
fn must_be_there(run: &Run<'_>, op: &Op<'_>, history: &History<'_>) -> bool {
    if run.last.is_none() {
        return false;
    }
    if run.closed().is_none() {
        return !run.may_hold_back();
    }
    let apart_us = history.declaration.budgets.clocks_apart_ms * 1_000;
    let tasks = run.events().filter(|it| matches!(it.event.kind, Kind::WorkflowTaskStarted { .. }));
    tasks.last().is_some_and(|task| op.returned_us.saturating_add(apart_us) < task.event.at_us)
}

/// What the history says was done, a worker did.
fn somebody_did_it(
    what: &str,
    activity: &Scheduled<'_>,
    work: &Work<'_>,
    history: &History<'_>,
    report: &mut Report,
) {
    let Some(end) = activity.end else { return };
    if !matches!(end.event.kind, Kind::ActivityCompleted { .. }) {
        return;
    }
    report.look(Invariant::E4);
    let ends = || work.ends.iter().filter(|it| fits(&end.event.kind, it.2));
    if !ends().any(|it| it.0.possible()) {
        let refused = ends().next().is_some();
        let invariant = if refused { Invariant::Refused } else { Invariant::E4 };
        let ops = ends().map(|it| it.0.id).chain([end.by]);
        return report.find(invariant, ops, || {
            let told = if refused { "a refused worker" } else { "nobody" };
            format!("{what}: event {} says it is completed, by {told}", end.event.id)
        });
    }
    if work.effects == 0 && !history.effects.is_empty() {
        report.find(Invariant::E4, [end.by], || {
            format!("{what}: event {} says it is completed, but its body never ran", end.event.id)
        });
    }
}
