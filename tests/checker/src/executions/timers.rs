//! E3: a timer fires once, not early, and not late.

use std::collections::HashMap;

use super::{Run, Seen};
use crate::Kind;
use crate::finding::{Invariant, Report};
use crate::history::History;

enum State {
    Runs,
    Fired,
    Canceled,
}

/// E3 for one run.
pub(super) fn fire_once_in_time(run: &Run<'_>, history: &History<'_>, report: &mut Report) {
    let mut timers: HashMap<i64, (i64, State)> = HashMap::new();
    for seen in run.events() {
        match &seen.event.kind {
            Kind::TimerStarted { duration_ms, .. } => {
                let due_us = seen.event.at_us.saturating_add(duration_ms.saturating_mul(1_000));
                timers.insert(seen.event.id, (due_us, State::Runs));
            }
            Kind::TimerFired { started } => {
                report.look(Invariant::E3);
                match timers.get_mut(started) {
                    Some((due_us, state @ State::Runs)) => {
                        *state = State::Fired;
                        in_time(run, seen, *due_us, history, report);
                    }
                    other => {
                        let why = match other {
                            Some((_, State::Fired)) => "has fired already",
                            Some(_) => "is canceled",
                            None => "was never started",
                        };
                        report.find(Invariant::E3, [seen.by], || {
                            let id = seen.event.id;
                            format!(
                                "{}: event {id} fires the timer of event {started}, which {why}",
                                run.name()
                            )
                        });
                    }
                }
            }
            Kind::TimerCanceled { started } => {
                if let Some((_, state)) = timers.get_mut(started) {
                    *state = State::Canceled;
                }
            }
            _ => {}
        }
    }
    let Some((by, now_us)) = run.last.filter(|_| run.closed().is_none()) else { return };
    let waiting = timers.iter().filter(|(_, (_, state))| matches!(state, State::Runs));
    for (started, (due_us, _)) in waiting {
        report.look(Invariant::E3);
        if latest(*due_us, history) < now_us {
            report.find(Invariant::E3, [by], || {
                let late_ms = (now_us - due_us) / 1_000;
                format!(
                    "{}: the timer of event {started} has not fired, {late_ms} ms after it was due",
                    run.name()
                )
            });
        }
    }
}

fn in_time(
    run: &Run<'_>,
    fired: Seen<'_>,
    due_us: i64,
    history: &History<'_>,
    report: &mut Report,
) {
    let apart_us = history.declaration.budgets.clocks_apart_ms * 1_000;
    let (id, at_us) = (fired.event.id, fired.event.at_us);
    if at_us < due_us || fired.seen_us.saturating_add(apart_us) < due_us {
        report.find(Invariant::E3, [fired.by], || {
            let early_ms = (due_us - at_us.min(fired.seen_us)) / 1_000;
            format!("{}: event {id} fires a timer {early_ms} ms before it is due", run.name())
        });
    }
    let latest_us = latest(due_us, history);
    if at_us > latest_us {
        report.find(Invariant::E3, [fired.by], || {
            format!(
                "{}: event {id} fires a timer {} ms after it was due, {} ms later than it may",
                run.name(),
                (at_us - due_us) / 1_000,
                (at_us - latest_us) / 1_000
            )
        });
    }
}

fn latest(due_us: i64, history: &History<'_>) -> i64 {
    let budgets = history.declaration.budgets;
    let late_us = (budgets.timer_late_ms + budgets.clocks_apart_ms) * 1_000;
    history.latest(due_us, late_us)
}
