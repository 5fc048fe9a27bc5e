//! Each step of each order took effect exactly once, and what a failed order did was undone exactly
//! once, in reverse order. An attempt may run twice: effects are told apart by (first run, activity id).

use std::collections::HashMap;

use super::{Effect, History, Step, Violation};
use crate::activities::FLAKY_FAILURES;
use crate::plan::PlannedOrder;
use crate::producer::UNPAID_TIMEOUT;
use crate::records::Kind;

/// What the server's clock may differ from ours within a timer.
const CLOCK_SLACK_MS: u64 = 100;

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut by_workflow: HashMap<&str, Vec<&Effect>> = HashMap::new();
    for effect in history.effects.iter().filter(|effect| effect.step != Step::Note) {
        by_workflow.entry(&effect.workflow_id).or_default().push(effect);
    }
    for order in &history.orders {
        let seen = by_workflow.remove(order.id.as_str()).unwrap_or_default();
        check_order(order, &seen, found);
    }
    for id in by_workflow.into_keys() {
        found.push(Violation::wrong(format!("effects of {id}, which nobody ordered")));
    }
}

/// The effects an order of this kind has, in this order.
fn expected(kind: Kind) -> &'static [Step] {
    match kind {
        Kind::Paid | Kind::Flaky => &[Step::Reserve, Step::Charge, Step::Ship],
        Kind::Declined => &[Step::Reserve, Step::Release],
        Kind::Undeliverable | Kind::Unpaid => {
            &[Step::Reserve, Step::Charge, Step::Refund, Step::Release]
        }
    }
}

fn check_order(order: &PlannedOrder, seen: &[&Effect], found: &mut Vec<Violation>) {
    let id = &order.id;
    let expected = expected(order.kind);
    let mut complete = true;
    for step in [Step::Reserve, Step::Charge, Step::Ship, Step::Refund, Step::Release] {
        let wanted = expected.contains(&step);
        let count = seen.iter().filter(|effect| effect.step == step).count();
        complete &= count == usize::from(wanted);
        match (wanted, count) {
            (true, 0) => found.push(Violation::lost(missing(id, step))),
            (true, 1) | (false, 0) => {}
            (true, _) => {
                let what = format!("{id}: {step:?} took effect {count} times");
                found.push(Violation::duplicated(what));
            }
            (false, _) => {
                let what = format!("{id} ({:?}): {step:?} should not have happened", order.kind);
                found.push(Violation::wrong(what));
            }
        }
    }
    let order_seen: Vec<Step> = seen.iter().map(|effect| effect.step).collect();
    if complete && order_seen != expected {
        let what = format!("{id}: steps came as {order_seen:?} instead of {expected:?}");
        found.push(Violation::wrong(what));
    }
    check_waits(order, seen, found);
    if let Some(first) = seen.first()
        && let Some(other) = seen.iter().find(|effect| effect.first_run != first.first_run)
    {
        let what = format!("{id} ran twice: {} and {}", first.first_run, other.first_run);
        found.push(Violation::duplicated(what));
    }
}

/// A flaky charge takes its failures before it succeeds; an unpaid order is not undone before its
/// timer is due.
fn check_waits(order: &PlannedOrder, seen: &[&Effect], found: &mut Vec<Violation>) {
    let of = |step| seen.iter().find(|effect| effect.step == step);
    let Some(charge) = of(Step::Charge) else { return };
    let id = &order.id;
    if order.kind == Kind::Flaky && charge.attempt <= FLAKY_FAILURES {
        let what = format!("{id}: its charge succeeded in attempt {}", charge.attempt);
        found.push(Violation::wrong(what));
    }
    let waited_ms = of(Step::Refund).map(|refund| refund.at_ms.saturating_sub(charge.at_ms));
    if order.kind == Kind::Unpaid
        && let Some(waited_ms) = waited_ms
        && waited_ms + CLOCK_SLACK_MS < UNPAID_TIMEOUT.as_millis() as u64
    {
        found.push(Violation::wrong(format!("{id}: timed out after {waited_ms} ms already")));
    }
}

fn missing(id: &str, step: Step) -> String {
    match step {
        Step::Refund => format!("{id}: its charge was not compensated"),
        Step::Release => format!("{id}: its reservation was not compensated"),
        _ => format!("{id}: {step:?} never took effect"),
    }
}
