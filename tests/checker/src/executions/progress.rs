//! E6, E7, and the first task of a successor: in the end nothing that is due waits for ever.

use std::collections::HashMap;

use super::{Run, Seen, activities};
use crate::finding::{Invariant, Report};
use crate::history::History;
use crate::{Kind, Status};

/// What a run's history says of its workflow task.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Never,
    Scheduled(i64),
    Started(i64),
    /// The next attempt is not in history.
    Again,
    Done,
}

/// What a run waits for, by its history.
struct Waits<'a> {
    task: Task,
    completed: bool,
    /// What a worker has to be told of.
    due: Option<Seen<'a>>,
    due_us: i64,
    activities: HashMap<i64, (Seen<'a>, &'a str)>,
}

/// Judges a run that was read in the last look, at `now_us`.
pub(super) fn nothing_waits_for_ever(
    run: &Run<'_>,
    now_us: i64,
    history: &History<'_>,
    report: &mut Report,
) {
    let waits = waits(run);
    as_described(run, &waits, report);
    if run.closed().is_some() {
        return;
    }
    let Some((by, _)) = run.last else { return };
    let since = |us: i64| us.max(history.calm_us);
    let budget_us = history.declaration.budgets.stuck_after_ms.saturating_mul(1_000);
    let stuck = |us: i64| now_us.saturating_sub(since(us)) >= budget_us;
    let due = waits.due.is_some_and(|_| !stuck(waits.due_us));
    // What has not waited long enough yet does not count as judged.
    if !due && waits.activities.values().all(|it| stuck(it.0.event.at_us)) {
        report.look(Invariant::E7);
        if run.started().is_some_and(|(_, from)| from.is_some()) {
            report.look(Invariant::Successor);
        }
    }
    if let Some(due) = waits.due.filter(|_| stuck(waits.due_us)) {
        let invariant = no_task(run, &waits);
        report.find(invariant, [due.by, by], || {
            let state = match waits.task {
                Task::Scheduled(id) => format!(
                    "its workflow task (event {id}) was \
                     never started"
                ),
                Task::Started(id) => {
                    format!("its workflow task (started by event {id}) never ended")
                }
                Task::Again => "its workflow task was to be tried again and never ended".into(),
                Task::Never | Task::Done => "it has no workflow task".into(),
            };
            format!(
                "{}: event {} ({:?}) waits for a worker, and {state}",
                run.name(),
                due.event.id,
                due.event.kind
            )
        });
    }
    for (seen, activity_id) in waits.activities.values().filter(|it| stuck(it.0.event.at_us)) {
        let pending = run
            .described
            .and_then(|it| it.activities.iter().find(|it| it.activity_id == *activity_id));
        let backs_off = pending.is_some_and(|it| it.next_at_us.is_some_and(|next| next > now_us));
        if !backs_off {
            report.find(Invariant::E7, [seen.by, by], || {
                format!(
                    "{}: activity {activity_id} (event {}) never ended",
                    run.name(),
                    seen.event.id
                )
            });
        }
    }
}

fn no_task(run: &Run<'_>, waits: &Waits<'_>) -> Invariant {
    let successor = run.started().is_some_and(|(_, from)| from.is_some());
    let described_without = run.described.is_some_and(|it| it.workflow_task.is_none());
    match waits.task {
        _ if successor && !waits.completed => Invariant::Successor,
        Task::Never | Task::Done => Invariant::E6,
        Task::Again if described_without => Invariant::E6,
        _ => Invariant::E7,
    }
}

fn waits<'a>(run: &Run<'a>) -> Waits<'a> {
    let mut waits = Waits {
        task: Task::Never,
        completed: false,
        due: None,
        due_us: i64::MIN,
        activities: HashMap::new(),
    };
    for seen in run.events() {
        match &seen.event.kind {
            Kind::WorkflowTaskScheduled { .. } => waits.task = Task::Scheduled(seen.event.id),
            Kind::WorkflowTaskStarted { .. } => waits.task = Task::Started(seen.event.id),
            Kind::WorkflowTaskFailed { .. } | Kind::WorkflowTaskTimedOut { .. } => {
                waits.task = Task::Again;
                waits.due(seen, 0);
            }
            Kind::WorkflowTaskCompleted { .. } => {
                (waits.task, waits.completed, waits.due) = (Task::Done, true, None);
            }
            Kind::ActivityScheduled { activity_id, .. } => {
                waits.activities.insert(seen.event.id, (seen, activity_id));
            }
            Kind::Started { backoff_ms, .. } => waits.due(seen, *backoff_ms),
            Kind::Signaled { .. } if waits.backs_off() => {}
            Kind::Signaled { .. } | Kind::TimerFired { .. } | Kind::CancelRequested => {
                waits.due(seen, 0);
            }
            kind => {
                if let Some(scheduled) = activities::end_of(kind) {
                    waits.activities.remove(&scheduled);
                    waits.due(seen, 0);
                }
            }
        }
    }
    waits
}

impl<'a> Waits<'a> {
    fn due(&mut self, seen: Seen<'a>, after_ms: i64) {
        if self.due.is_none() {
            self.due = Some(seen);
            self.due_us = seen.event.at_us.saturating_add(after_ms.saturating_mul(1_000));
        }
    }

    /// A signal does not shorten the wait before the first workflow task.
    fn backs_off(&self) -> bool {
        self.task == Task::Never
    }
}

/// E6: what Describe says follows from the history.
fn as_described(run: &Run<'_>, waits: &Waits<'_>, report: &mut Report) {
    let Some(described) = run.described else { return };
    report.look(Invariant::E6);
    let status = run.closed().map_or(Status::Running, |(_, end)| end.status);
    let Some((by, _)) = run.last else { return };
    if status != described.status {
        return report.find(Invariant::E6, [described.op, by], || {
            format!(
                "{} is described as {:?}, its history says {status:?}",
                run.name(),
                described.status
            )
        });
    }
    if status != Status::Running || run.may_hold_back() {
        return;
    }
    let open = |id: &str| waits.activities.values().any(|it| it.1 == id);
    let unknown = described.activities.iter().find(|it| !open(&it.activity_id));
    let shown = |id: &str| described.activities.iter().any(|it| it.activity_id == id);
    let missing = waits.activities.values().find(|it| !shown(it.1));
    if let Some(activity_id) = unknown.map(|it| it.activity_id.as_str()).or(missing.map(|it| it.1))
    {
        report.find(Invariant::E6, [described.op, by], || {
            format!(
                "{}: history and description do not agree on whether activity \
                 {activity_id} is open",
                run.name()
            )
        });
    }
    let task = matches!(waits.task, Task::Scheduled(_) | Task::Started(_) | Task::Again);
    if task != described.workflow_task.is_some() {
        report.find(Invariant::E6, [described.op, by], || {
            format!(
                "{}: history and description do not agree on whether a workflow task is pending",
                run.name()
            )
        });
    }
}
