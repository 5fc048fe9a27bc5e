//! The executions' side: each run's history, put together from everybody who saw a part of it.

mod activities;
mod emits;
mod progress;
mod requests;
mod routes;
mod tasks;
mod timers;

use std::collections::{HashMap, HashSet};

use crate::finding::{Invariant, Report};
use crate::history::{History, Op, Reached};
use crate::log::Log;
use crate::{Answer, Call, Event, Kind, OpId, PendingActivity, Record, Refusal, RunEnd, Status};

/// An event id beyond this is not believed.
const EVENT_ID_MAX: i64 = 1 << 22;

/// An event, and who saw it first.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) event: &'a Event,
    pub(crate) by: OpId,
    pub(crate) seen_us: i64,
}

/// How a run was described in the last look.
#[derive(Clone, Copy)]
pub(crate) struct Description<'a> {
    pub(crate) op: OpId,
    pub(crate) status: Status,
    pub(crate) workflow_task: Option<u32>,
    pub(crate) activities: &'a [PendingActivity],
}

/// A run.
#[derive(Default)]
pub(crate) struct Run<'a> {
    pub(crate) workflow_id: &'a str,
    pub(crate) run_id: &'a str,
    /// By id, from 1. Parts may be missing if only parts were seen.
    events: Vec<Option<Seen<'a>>>,
    lengths: Reached,
    /// The last reading of its history, if it was in the last look: (who, when).
    pub(crate) last: Option<(OpId, i64)>,
    pub(crate) described: Option<Description<'a>>,
}

impl<'a> Run<'a> {
    /// Its events as far as they are known without a gap.
    pub(crate) fn events(&self) -> impl Iterator<Item = Seen<'a>> + '_ {
        self.events.iter().map_while(|seen| *seen)
    }

    /// The event with this id.
    pub(crate) fn event(&self, id: i64) -> Option<Seen<'a>> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.events.get(index).copied().flatten()
    }

    pub(crate) fn started(&self) -> Option<(Seen<'a>, Option<&'a str>)> {
        let first = self.event(1)?;
        match &first.event.kind {
            Kind::Started { continued_from, .. } => Some((first, continued_from.as_deref())),
            _ => None,
        }
    }

    pub(crate) fn closed(&self) -> Option<(Seen<'a>, &'a RunEnd)> {
        let last = self.events.last().copied().flatten()?;
        match &last.event.kind {
            Kind::Closed(end) => Some((last, end)),
            _ => None,
        }
    }

    /// Whether events may wait, without an id, for a workflow task to end.
    pub(crate) fn may_hold_back(&self) -> bool {
        let task = self.events().filter_map(|seen| match seen.event.kind {
            Kind::WorkflowTaskScheduled { .. } | Kind::WorkflowTaskCompleted { .. } => Some(false),
            Kind::WorkflowTaskStarted { .. }
            | Kind::WorkflowTaskFailed { .. }
            | Kind::WorkflowTaskTimedOut { .. } => Some(true),
            _ => None,
        });
        self.closed().is_none() && task.last().unwrap_or(false)
    }

    /// For findings.
    pub(crate) fn name(&self) -> String {
        format!("run {} of workflow {}", self.run_id, self.workflow_id)
    }
}

/// All executions.
#[derive(Default)]
pub(crate) struct Executions<'a> {
    pub(crate) runs: HashMap<&'a str, Run<'a>>,
    /// Runs of each workflow id, in their order.
    pub(crate) of_workflow: HashMap<&'a str, Vec<&'a str>>,
    /// Workflows of which events may wait, without an id, for a workflow task to end.
    pub(crate) held_back: HashSet<&'a str>,
    /// What the last look was told is not there: workflow ids and runs.
    pub(crate) absent: HashMap<&'a str, OpId>,
}

impl<'a> Executions<'a> {
    /// Puts together what the history says; finds histories that contradict each other (E1).
    pub(crate) fn new(history: &'a History<'a>, report: &mut Report) -> Executions<'a> {
        let mut all = Executions::default();
        for op in &history.ops {
            all.take(op, history.is_last_look(op), report);
        }
        all.runs.values_mut().for_each(|run| run.lengths.sort());
        for (op, _, answer) in history.answers() {
            if let Answer::History { run_id, events } = answer {
                nothing_was_cut_off(&all.runs[run_id.as_str()], op, events.len(), report);
            }
        }
        for run in all.runs.values().filter(|run| !run.events.is_empty()) {
            ids_are_whole(run, report);
        }
        let held_back = all.runs.values().filter(|run| run.may_hold_back());
        all.held_back = held_back.map(|run| run.workflow_id).collect();
        all.order_runs();
        all
    }

    /// Judges the executions, and what ties them to the log.
    pub(crate) fn check(&self, history: &History<'a>, log: &Log<'a>, report: &mut Report) {
        for run in self.runs.values() {
            timers::fire_once_in_time(run, history, report);
            tasks::end_once(run, report);
            activities::end_once(run, report);
            if let Some((_, now_us)) = run.last {
                progress::nothing_waits_for_ever(run, now_us, history, report);
            }
        }
        if history.last_look.is_some() {
            self.all_were_read(report);
        }
        requests::starts_happen_once(self, history, report);
        requests::signals_happen_once(self, history, report);
        requests::ends_are_there(self, history, report);
        requests::refusals_name_what_is(self, history, report);
        tasks::accepted_once(self, history, report);
        activities::accepted_once(self, history, report);
        routes::one_step_per_record(self, history, log, report);
        emits::one_record_per_emit(self, history, log, report);
    }

    /// Whether some workflow emits this record; none if that cannot be known.
    pub(crate) fn emitted(
        &self,
        history: &History<'a>,
    ) -> impl Fn(&Record) -> Option<bool> + use<'a> {
        let emits = self.runs.values().flat_map(|run| run.events()).filter_map(|seen| match &seen
            .event
            .kind
        {
            Kind::ActivityScheduled { emit: Some(emit), .. } => Some((emit.value, emit)),
            _ => None,
        });
        let emits: HashMap<_, _> = emits.collect();
        let known = history.last_look.is_some() || !history.ops.iter().any(Op::is_of_workflows);
        move |record| {
            let emit = record.value.and_then(|value| emits.get(&value));
            let same =
                emit.is_some_and(|emit| emit.topic == record.topic && emit.key == record.key);
            (same || known).then_some(same)
        }
    }

    /// The runs of a workflow id, in their order.
    pub(crate) fn runs_of(&self, workflow_id: &str) -> impl Iterator<Item = &Run<'a>> + '_ {
        let runs = self.of_workflow.get(workflow_id).map_or(&[][..], Vec::as_slice);
        runs.iter().filter_map(|run_id| self.runs.get(run_id))
    }

    /// Whether a workflow id was looked at in the end.
    pub(crate) fn was_read(&self, workflow_id: &str) -> bool {
        self.runs_of(workflow_id).any(|run| run.last.is_some())
    }

    fn take(&mut self, op: &'a Op<'a>, last_look: bool, report: &mut Report) {
        if let (true, Some(crate::Outcome::Fail(Refusal::NotFound))) = (last_look, op.result)
            && let Call::History { workflow_id, run_id } | Call::Describe { workflow_id, run_id } =
                op.call
        {
            self.absent.insert(run_id.as_ref().unwrap_or(workflow_id), op.id);
        }
        match (op.call, op.answer()) {
            (Call::History { workflow_id, .. }, Some(Answer::History { run_id, events })) => {
                let run = self.run(workflow_id, run_id);
                run.take_events(op, events, report);
                run.lengths.add(op.returned, events.len() as i64, op.id);
                if last_look {
                    run.last = Some((op.id, op.returned_us));
                }
            }
            (
                Call::Describe { workflow_id, .. },
                Some(Answer::Described { run_id, status, workflow_task, activities }),
            ) => {
                let run = self.run(workflow_id, run_id);
                if last_look {
                    let (status, workflow_task) = (*status, *workflow_task);
                    run.described =
                        Some(Description { op: op.id, status, workflow_task, activities });
                }
            }
            (_, Some(Answer::WorkflowTask { workflow_id, run_id, events, .. })) => {
                let run = self.run(workflow_id, run_id);
                run.take_events(op, events, report);
                if let Some(last) = events.last() {
                    run.lengths.add(op.returned, last.id, op.id);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, workflow_id: &'a str, run_id: &'a str) -> &mut Run<'a> {
        self.runs.entry(run_id).or_insert_with(|| {
            self.of_workflow.entry(workflow_id).or_default().push(run_id);
            Run { workflow_id, run_id, ..Run::default() }
        })
    }

    /// By the time of the first run of a chain, then along the chain.
    fn order_runs(&mut self) {
        let mut places: HashMap<&str, (i64, usize)> = HashMap::with_capacity(self.runs.len());
        for run in self.runs.keys() {
            // Back to the first run, or to one whose place is known.
            let (mut chain, mut run) = (Vec::new(), *run);
            let (start_us, mut depth) = loop {
                if let Some(known) = places.get(run) {
                    break *known;
                }
                chain.push(run);
                match self.runs.get(run).and_then(Run::started) {
                    Some((_, Some(from))) if chain.len() <= self.runs.len() => run = from,
                    Some((seen, _)) => break (seen.event.at_us, 0),
                    None => break (i64::MAX, 0),
                }
            };
            for run in chain.into_iter().rev() {
                depth += 1;
                places.insert(run, (start_us, depth));
            }
        }
        for runs in self.of_workflow.values_mut() {
            runs.sort_by_key(|run| places[run]);
        }
    }

    fn all_were_read(&self, report: &mut Report) {
        for run in self.runs.values() {
            report.look(Invariant::Incomplete);
            if run.last.is_none() {
                self.not_there(run.run_id, None, run.name(), report);
            }
            let next = run.closed().and_then(|(seen, end)| Some((seen, end.next_run_id.as_ref()?)));
            if let Some((seen, next)) =
                next.filter(|(_, next)| !self.runs.contains_key(next.as_str()))
            {
                let what = format!("run {next}, which follows {}", run.name());
                self.not_there(next, Some(seen.by), what, report);
            }
        }
    }

    /// Something that was shown has no history in the end: it is gone (E1), or nobody looked.
    fn not_there(&self, name: &str, by: Option<OpId>, what: String, report: &mut Report) {
        match self.absent.get(name) {
            Some(op) => report.find(Invariant::E1, by.into_iter().chain([*op]), || {
                format!("{what} was there and is not found in the end")
            }),
            None => {
                report.find(Invariant::Incomplete, by, || format!("{what} was not read at the end"))
            }
        }
    }
}

impl<'a> Run<'a> {
    fn take_events(&mut self, op: &'a Op<'a>, events: &'a [Event], report: &mut Report) {
        // Of a history that was rewritten, the newest is what the other promises are judged by.
        let mut changed = false;
        for (index, event) in events.iter().enumerate() {
            report.look(Invariant::E1);
            if index > 0 && events[index - 1].id + 1 != event.id
                || !(1..=EVENT_ID_MAX).contains(&event.id)
            {
                let before = events.get(index.wrapping_sub(1)).map_or(0, |event| event.id);
                return report.find(Invariant::E1, [op.id], || {
                    format!("{}: event {} follows event {before}", self.name(), event.id)
                });
            }
            let place = usize::try_from(event.id).unwrap_or(1) - 1;
            if self.events.len() <= place {
                self.events.resize(place + 1, None);
            }
            let new = Seen { event, by: op.id, seen_us: op.returned_us };
            let seen = self.events[place].replace(new).unwrap_or(new);
            if seen.event == event {
                // Who saw it first counts.
                self.events[place] = Some(seen);
            } else if !std::mem::replace(&mut changed, true) {
                report.find(Invariant::E1, [seen.by, op.id], || {
                    let (was, is) = (&seen.event.kind, &event.kind);
                    format!("{}: event {} was {was:?} and is {is:?}", self.name(), event.id)
                });
            }
        }
    }
}

fn nothing_was_cut_off(run: &Run<'_>, op: &Op<'_>, length: usize, report: &mut Report) {
    report.look(Invariant::E1);
    let Some((reached, by)) = run.lengths.before(op.invoked) else { return };
    if (length as i64) < reached {
        report.find(Invariant::E1, [by, op.id], || {
            format!("{}: it had {reached} events and has {length} later", run.name())
        });
    }
}

fn ids_are_whole(run: &Run<'_>, report: &mut Report) {
    // A worker may have been given the last part only.
    let Some(last) = run.events.last().copied().flatten() else { return };
    let read_whole = run.lengths.before(usize::MAX).is_some() && run.event(1).is_some();
    if read_whole && run.events().count() < run.events.len() && run.last.is_some() {
        report.find(Invariant::E1, [last.by], || format!("{}: an event id is missing", run.name()));
    }
    if let Some(first) = run.event(1).filter(|it| !matches!(it.event.kind, Kind::Started { .. })) {
        report.find(Invariant::E1, [first.by], || {
            format!("{} begins with {:?}", run.name(), first.event.kind)
        });
    }
    let early = |seen: &Seen<'_>| {
        matches!(seen.event.kind, Kind::Closed(_)) && seen.event.id < last.event.id
    };
    if let Some(closed) = run.events().find(early) {
        report.find(Invariant::E1, [closed.by], || {
            format!("{}: events come after its end, event {}", run.name(), closed.event.id)
        });
    }
}
