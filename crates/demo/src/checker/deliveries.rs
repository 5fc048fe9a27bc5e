//! Each order record, by (topic, partition, offset), was handled by its customer's mailbox exactly
//! once; each record reached the saga of its key at most once (a saga that has ended ignores it).

use std::collections::{BTreeMap, HashMap};

use super::{Delivery, Effect, History, Step, Violation};
use crate::plan::Fact;
use crate::records::RecordId;

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut sent: BTreeMap<&RecordId, &Delivery> = BTreeMap::new();
    for delivery in &history.deliveries {
        match &delivery.landed {
            Ok(id) => {
                if sent.insert(id, delivery).is_some() {
                    found.push(Violation::wrong(format!("two records were acknowledged as {id}")));
                }
            }
            Err(error) => {
                let order = &history.orders[delivery.order].id;
                let what =
                    format!("{order}: its {:?} record was not taken: {error}", delivery.fact);
                found.push(Violation::lost(what));
            }
        }
    }
    check_mailboxes(history, &sent, found);
    check_sagas(history, &sent, found);
}

fn check_mailboxes(
    history: &History,
    sent: &BTreeMap<&RecordId, &Delivery>,
    found: &mut Vec<Violation>,
) {
    let mut handled: HashMap<&RecordId, Vec<&Effect>> = HashMap::new();
    for effect in history.effects.iter().filter(|effect| effect.step == Step::Note) {
        for id in &effect.records {
            handled.entry(id).or_default().push(effect);
        }
    }
    for (id, delivery) in sent.iter().filter(|(_, delivery)| delivery.fact == Fact::Order) {
        let mailbox = mailbox_of(&history.orders[delivery.order].customer);
        let by = handled.remove(*id).unwrap_or_default();
        if by.is_empty() {
            found.push(Violation::lost(format!("{id} was never handled by {mailbox}")));
        }
        if by.len() > 1 {
            let calls: Vec<&str> = by.iter().map(|effect| effect.activity_id.as_str()).collect();
            let what = format!("{id} was handled {} times: {}", by.len(), calls.join(", "));
            found.push(Violation::duplicated(what));
        }
        for effect in by.iter().filter(|effect| effect.workflow_id != mailbox) {
            let what = format!("{id} went to {} instead of {mailbox}", effect.workflow_id);
            found.push(Violation::wrong(what));
        }
    }
    for (id, by) in handled {
        let what = format!("{} handled {id}, which is no order sent", by[0].workflow_id);
        found.push(Violation::wrong(what));
    }
}

/// The workflow id of a customer's mailbox.
pub(super) fn mailbox_of(customer: &str) -> String {
    format!("customer-{customer}")
}

fn check_sagas(
    history: &History,
    sent: &BTreeMap<&RecordId, &Delivery>,
    found: &mut Vec<Violation>,
) {
    for (_, outcome) in &history.outcomes {
        let mut records: Vec<&RecordId> = outcome.records.iter().collect();
        records.sort();
        for pair in records.windows(2).filter(|pair| pair[0] == pair[1]) {
            let what = format!("{}: {} reached its saga twice", outcome.order, pair[0]);
            found.push(Violation::duplicated(what));
        }
        for id in records {
            let right = sent
                .get(id)
                .is_some_and(|delivery| history.orders[delivery.order].id == outcome.order);
            if !right {
                let what = format!("{id} reached the saga of {}, not its own", outcome.order);
                found.push(Violation::wrong(what));
            }
        }
    }
}
