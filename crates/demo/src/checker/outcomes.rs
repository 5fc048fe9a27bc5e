//! Each order has exactly one outcome record, and it is the right one for the order's kind.

use std::collections::HashMap;

use super::{History, Violation};
use crate::records::{OutcomeEvent, RecordId};

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut by_order: HashMap<&str, Vec<&(RecordId, OutcomeEvent)>> = HashMap::new();
    for outcome in &history.outcomes {
        by_order.entry(&outcome.1.order).or_default().push(outcome);
    }
    for order in &history.orders {
        let seen = by_order.remove(order.id.as_str()).unwrap_or_default();
        if seen.is_empty() {
            found.push(Violation::lost(format!("{} has no outcome", order.id)));
        }
        if seen.len() > 1 {
            let places: Vec<String> = seen.iter().map(|(id, _)| id.to_string()).collect();
            let what = format!("{} has {} outcomes: {}", order.id, seen.len(), places.join(", "));
            found.push(Violation::duplicated(what));
        }
        let right = order.kind.outcome();
        for (_, event) in seen.into_iter().filter(|(_, event)| event.outcome != right) {
            let what = format!(
                "{} ({:?}) ended {:?} instead of {right:?}",
                order.id, order.kind, event.outcome
            );
            found.push(Violation::wrong(what));
        }
    }
    for id in by_order.into_keys() {
        found.push(Violation::wrong(format!("an outcome of {id}, which nobody ordered")));
    }
}
