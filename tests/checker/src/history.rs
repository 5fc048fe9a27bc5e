//! Lines joined to requests, in the order of time.
//!
//! A position is the place of a line in that order. Request A was over before B began if A's
//! return is at a lower position than B's invoke; everything else counts as at the same time.

use std::collections::HashMap;

use crate::finding::{Invariant, Report};
use crate::{Answer, Call, Declaration, Line, OpId, Outcome, Party, Phase};

/// A request and what became of it.
pub(crate) struct Op<'a> {
    pub(crate) id: OpId,
    pub(crate) call: &'a Call,
    pub(crate) invoked: usize,
    pub(crate) result: Option<&'a Outcome>,
    /// Position of the return; `usize::MAX` if there is none or it is unknown.
    pub(crate) returned: usize,
    pub(crate) returned_us: i64,
}

impl<'a> Op<'a> {
    /// The answer, if it was done for certain.
    pub(crate) fn answer(&self) -> Option<&'a Answer> {
        match self.result {
            Some(Outcome::Ok(answer)) => Some(answer),
            _ => None,
        }
    }

    /// It was done for certain.
    pub(crate) fn acked(&self) -> bool {
        self.answer().is_some()
    }

    /// Whether it is a request of Temporal's protocol.
    pub(crate) fn is_of_workflows(&self) -> bool {
        !matches!(
            self.call,
            Call::Send { .. }
                | Call::Poll { .. }
                | Call::ReadLog(_)
                | Call::EndOffset(_)
                | Call::StartOffset(_)
                | Call::DeleteRecords(_)
                | Call::Commit { .. }
                | Call::FetchCommitted { .. }
        )
    }

    /// It may have been done.
    pub(crate) fn possible(&self) -> bool {
        !matches!(self.result, Some(Outcome::Fail(_)))
    }
}

/// An activity's body ran.
pub(crate) struct Effect<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) activity_id: &'a str,
}

/// From the first fault of a party until it has recovered.
#[derive(Clone, Copy)]
struct Window {
    from_us: i64,
    to_us: i64,
}

/// A history, joined.
#[derive(Default)]
pub(crate) struct History<'a> {
    pub(crate) declaration: Declaration,
    pub(crate) ops: Vec<Op<'a>>,
    pub(crate) effects: Vec<Effect<'a>>,
    /// Position of the line that begins the last look.
    pub(crate) last_look: Option<usize>,
    /// When all parties worked for good.
    pub(crate) calm_us: i64,
    node_down: Vec<Window>,
    faults: Vec<usize>,
    recoveries: Vec<usize>,
}

impl<'a> History<'a> {
    /// Joins the lines of all files of a run.
    pub(crate) fn new(lines: &'a [Line], report: &mut Report) -> History<'a> {
        let mut order: Vec<(i64, &Line)> = Vec::with_capacity(lines.len());
        let mut history = History { calm_us: i64::MIN, ..History::default() };
        let mut clocks: HashMap<u32, i64> = HashMap::new();
        for line in lines {
            match line {
                Line::Declare(declaration) => history.declare(declaration),
                Line::Invoke { op, at_us, .. } | Line::Return { op, at_us, .. } => {
                    // A wall clock may step back; what one process wrote has an order all the same.
                    let clock = clocks.entry(op.0).or_insert(i64::MIN);
                    *clock = (*clock).max(*at_us);
                    order.push((*clock, line));
                }
                Line::Effect { at_us, .. }
                | Line::Fault { at_us, .. }
                | Line::Recovered { at_us, .. }
                | Line::Phase { at_us, .. } => order.push((*at_us, line)),
            }
        }
        // Stable: lines of one time stay as they were written.
        order.sort_by_key(|(at_us, _)| *at_us);
        let mut names = HashMap::with_capacity(lines.len() / 2);
        let mut down = HashMap::new();
        for (position, (_, line)) in order.into_iter().enumerate() {
            match line {
                Line::Invoke { .. } | Line::Return { .. } => {
                    history.request(position, line, &mut names, report);
                }
                _ => history.surroundings(position, line, &mut down),
            }
        }
        history.still_down(&down);
        history
    }

    fn declare(&mut self, declaration: &Declaration) {
        let all = &mut self.declaration;
        all.run.clone_from(&declaration.run);
        all.budgets = declaration.budgets;
        all.routes.extend(declaration.routes.iter().cloned());
        all.foreign_topics.extend(declaration.foreign_topics.iter().cloned());
    }

    fn request(
        &mut self,
        position: usize,
        line: &'a Line,
        names: &mut HashMap<OpId, usize>,
        report: &mut Report,
    ) {
        match line {
            Line::Invoke { op, call, .. } => {
                if names.insert(*op, self.ops.len()).is_some() {
                    report.find(Invariant::Malformed, [*op], || "invoked twice".into());
                }
                self.ops.push(Op {
                    id: *op,
                    call,
                    invoked: position,
                    result: None,
                    returned: usize::MAX,
                    returned_us: i64::MAX,
                });
            }
            Line::Return { op, at_us, result } => {
                let Some(found) = names.get(op).map(|index| &mut self.ops[*index]) else {
                    return report
                        .find(Invariant::Malformed, [*op], || "returned, never invoked".into());
                };
                if found.result.replace(result).is_some() {
                    report.find(Invariant::Malformed, [*op], || "returned twice".into());
                }
                // What is unknown may still happen later: it never ends.
                if !matches!(result, Outcome::Unknown(_)) {
                    found.returned = position;
                }
                found.returned_us = *at_us;
            }
            _ => {}
        }
    }

    fn surroundings(
        &mut self,
        position: usize,
        line: &'a Line,
        down: &mut HashMap<&'a Party, (usize, i64)>,
    ) {
        match line {
            Line::Effect { run_id, activity_id, .. } => {
                self.effects.push(Effect { run_id, activity_id });
            }
            Line::Fault { at_us, party, .. } => {
                down.entry(party).or_insert_with(|| {
                    self.faults.push(position);
                    (position, *at_us)
                });
            }
            Line::Recovered { at_us, party } => {
                self.calm_us = self.calm_us.max(*at_us);
                let Some((_, from_us)) = down.remove(party) else { return };
                self.recoveries.push(position);
                if *party == Party::Node {
                    self.node_down.push(Window { from_us, to_us: *at_us });
                }
            }
            Line::Phase { at_us, phase: Phase::Calm } => {
                self.calm_us = self.calm_us.max(*at_us);
                // Clients that were killed are not waited for.
                let gone = down.extract_if(|party, _| **party != Party::Node).count();
                self.recoveries.extend(std::iter::repeat_n(position, gone));
            }
            Line::Phase { phase: Phase::Final, .. } => self.last_look = Some(position),
            _ => {}
        }
    }

    fn still_down(&mut self, down: &HashMap<&'a Party, (usize, i64)>) {
        if let Some((_, from_us)) = down.get(&Party::Node) {
            self.node_down.push(Window { from_us: *from_us, to_us: i64::MAX });
        }
    }

    /// The requests with their answers, done ones only.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&Op<'a>, &'a Call, &'a Answer)> {
        self.ops.iter().filter_map(|op| op.answer().map(|answer| (op, op.call, answer)))
    }

    /// Whether the request belongs to the last look.
    pub(crate) fn is_last_look(&self, op: &Op<'_>) -> bool {
        self.last_look.is_some_and(|position| op.invoked > position)
    }

    /// Whether anything was wrong with any party at some time between the two positions.
    pub(crate) fn disturbed(&self, from: usize, to: usize) -> bool {
        let begun = self.faults.partition_point(|position| *position <= to);
        let over = self.recoveries.partition_point(|position| *position < from);
        begun > over
    }

    /// When something that was due at `due_us` must have happened, if the node may be late by
    /// `late_us` whenever it works.
    pub(crate) fn latest(&self, due_us: i64, late_us: i64) -> i64 {
        let first = self.node_down.partition_point(|window| window.to_us < due_us);
        let mut latest = due_us.saturating_add(late_us);
        for window in &self.node_down[first..] {
            if window.from_us > latest {
                break;
            }
            latest = latest.max(window.to_us.saturating_add(late_us));
        }
        latest
    }
}

/// What is known to be reached: the greatest bound of all that was over before a position.
#[derive(Default)]
pub(crate) struct Reached(Vec<(usize, i64, OpId)>);

impl Reached {
    pub(crate) fn add(&mut self, position: usize, bound: i64, op: OpId) {
        self.0.push((position, bound, op));
    }

    /// To be called once, when all is added.
    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable();
        let mut greatest: Option<(i64, OpId)> = None;
        for (_, bound, op) in &mut self.0 {
            match greatest {
                Some((known, by)) if known >= *bound => (*bound, *op) = (known, by),
                _ => greatest = Some((*bound, *op)),
            }
        }
    }

    /// The greatest bound, and who showed it.
    pub(crate) fn before(&self, position: usize) -> Option<(i64, OpId)> {
        let count = self.0.partition_point(|(at, _, _)| *at < position);
        count.checked_sub(1).map(|last| (self.0[last].1, self.0[last].2))
    }
}
