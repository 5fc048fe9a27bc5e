//! Hand-made histories: a good one that passes, and one broken in each way the checker must see.

use super::*;
use crate::plan::{Fact, PlannedOrder};
use crate::records::{Kind, Outcome, OutcomeEvent, RecordId};

const KINDS: [Kind; 5] =
    [Kind::Paid, Kind::Flaky, Kind::Declined, Kind::Undeliverable, Kind::Unpaid];

fn record(topic: &str, offset: i64) -> RecordId {
    RecordId { topic: topic.to_owned(), partition: 0, offset }
}

fn effect(workflow: &str, run: &str, activity: &str, step: Step) -> Effect {
    Effect {
        first_run: run.to_owned(),
        activity_id: activity.to_owned(),
        workflow_id: workflow.to_owned(),
        step,
        attempt: 3,
        records: Vec::new(),
        // Refunds come well after charges.
        at_ms: if step == Step::Refund { 10_000 } else { 0 },
    }
}

fn steps(kind: Kind) -> Vec<Step> {
    match kind {
        Kind::Paid | Kind::Flaky => vec![Step::Reserve, Step::Charge, Step::Ship],
        Kind::Declined => vec![Step::Reserve, Step::Release],
        _ => vec![Step::Reserve, Step::Charge, Step::Refund, Step::Release],
    }
}

/// One order of each kind, `order-0` to `order-4`, all of customer 0, each sent once and well handled;
/// the last one's order record is sent twice.
fn good() -> History {
    let mut history = History::default();
    for (index, kind) in KINDS.into_iter().enumerate() {
        add_order(&mut history, index, kind);
    }
    deliver(&mut history, 4, Fact::Order, record("orders", 5));
    note(&mut history, "note-5", &[5]);
    let mailbox = "customer-0".to_owned();
    history.executions.push(Execution {
        workflow_id: mailbox.clone(),
        status: Status::Running,
        first_run: "run-c".to_owned(),
    });
    history.mailboxes.push(MailboxSeen {
        workflow_id: mailbox,
        handled: Some(6),
        waiting: 0,
        runs: 1,
    });
    history
}

fn add_order(history: &mut History, index: usize, kind: Kind) {
    let (id, run) = (format!("order-{index}"), format!("run-{index}"));
    let offset = index as i64;
    history.orders.push(PlannedOrder {
        id: id.clone(),
        customer: "0".to_owned(),
        kind,
        amount_cents: 1,
        paid_early: false,
        asked: index == 0,
    });
    deliver(history, index, Fact::Order, record("orders", offset));
    deliver(history, index, Fact::Payment, record("payments", offset));
    note(history, &format!("note-{index}"), &[offset]);
    for (number, step) in steps(kind).into_iter().enumerate() {
        history.effects.push(effect(&id, &run, &(number + 1).to_string(), step));
    }
    let event = OutcomeEvent {
        order: id.clone(),
        outcome: kind.outcome(),
        first_run: run.clone(),
        records: vec![record("orders", offset), record("payments", offset)],
    };
    history.outcomes.push((record("order-events", offset), event));
    history.executions.push(Execution {
        workflow_id: id.clone(),
        status: Status::Completed,
        first_run: run,
    });
    history.questions.push(Question { order: id, answer: Ok("charging".to_owned()) });
}

fn deliver(history: &mut History, order: usize, fact: Fact, id: RecordId) {
    history.deliveries.push(Delivery { order, fact, landed: Ok(id) });
}

fn note(history: &mut History, activity: &str, offsets: &[i64]) {
    let records = offsets.iter().map(|offset| record("orders", *offset)).collect();
    let note = effect("customer-0", "run-c", activity, Step::Note);
    history.effects.push(Effect { records, ..note });
}

/// Breaks the good history and says which single violation the checker finds.
#[track_caller]
fn only(break_it: impl FnOnce(&mut History)) -> Violation {
    let mut history = good();
    break_it(&mut history);
    let mut found = check(&history);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[track_caller]
fn any(fault: Fault, part: &str, break_it: impl FnOnce(&mut History)) {
    let mut history = good();
    break_it(&mut history);
    let found = check(&history);
    let named = found.iter().any(|v| v.fault == fault && v.what.contains(part));
    assert!(named, "no {fault:?} with {part:?} in {found:?}");
}

#[test]
fn a_good_history_passes() {
    assert_eq!(check(&good()), Vec::new());
}

#[test]
fn a_missing_outcome_is_lost() {
    let violation = only(|history| drop(history.outcomes.remove(2)));
    assert_eq!(violation, Violation::lost("order-2 has no outcome".to_owned()));
}

#[test]
fn a_second_outcome_is_a_duplicate() {
    let violation = only(|history| {
        let again = history.outcomes[1].1.clone();
        history.outcomes.push((record("order-events", 99), again));
    });
    assert_eq!(violation.fault, Fault::Duplicated);
    assert!(violation.what.contains("order-events-0@99"));
}

#[test]
fn a_paid_order_that_timed_out_is_wrong() {
    let violation = only(|history| history.outcomes[0].1.outcome = Outcome::TimedOut);
    assert_eq!(violation.fault, Fault::Wrong);
}

#[test]
fn an_outcome_nobody_ordered_is_wrong() {
    any(Fault::Wrong, "nobody ordered", |history| history.outcomes[0].1.order = "x".to_owned());
}

#[test]
fn a_skipped_compensation_is_lost() {
    for kind in [2, 3, 4] {
        let violation = only(|history| {
            let order = format!("order-{kind}");
            history.effects.retain(|e| !(e.workflow_id == order && e.step == Step::Release));
        });
        assert_eq!(violation.fault, Fault::Lost);
        assert!(violation.what.contains("reservation was not compensated"));
    }
}

#[test]
fn a_compensation_done_twice_is_a_duplicate() {
    let violation = only(|history| {
        history.effects.push(effect("order-2", "run-2", "9", Step::Release));
    });
    assert_eq!(violation.fault, Fault::Duplicated);
}

#[test]
fn compensations_in_the_order_of_the_steps_are_wrong() {
    let violation = only(|history| {
        for effect in history.effects.iter_mut().filter(|e| e.workflow_id == "order-3") {
            effect.step = match effect.step {
                Step::Refund => Step::Release,
                Step::Release => Step::Refund,
                other => other,
            };
        }
    });
    assert_eq!(violation.fault, Fault::Wrong);
    assert!(violation.what.contains("instead of"));
}

#[test]
fn compensating_a_shipped_order_is_wrong() {
    let refund = effect("order-0", "run-0", "9", Step::Refund);
    let violation = only(|history| history.effects.push(refund));
    assert_eq!(violation.fault, Fault::Wrong);
}

#[test]
fn an_order_that_ran_twice_is_a_duplicate() {
    any(Fault::Duplicated, "ran twice", |history| {
        history.effects.push(effect("order-0", "run-again", "1", Step::Reserve));
    });
    let violation = only(|history| history.executions[0].first_run = "run-again".to_owned());
    assert!(violation.what.contains("started again"));
}

#[test]
fn a_record_no_mailbox_handled_is_lost() {
    let violation = only(|history| history.effects.retain(|e| e.activity_id != "note-5"));
    assert_eq!(violation, Violation::lost("orders-0@5 was never handled by customer-0".to_owned()));
}

#[test]
fn a_record_handled_in_two_runs_is_a_duplicate() {
    let violation = only(|history| note(history, "note-6", &[3]));
    assert_eq!(violation.fault, Fault::Duplicated);
    assert!(violation.what.contains("orders-0@3 was handled 2 times"));
}

#[test]
fn a_record_handled_by_another_mailbox_is_wrong() {
    let violation = only(|history| {
        let note = history.effects.iter_mut().find(|e| e.activity_id == "note-1").unwrap();
        note.workflow_id = "customer-7".to_owned();
    });
    assert_eq!(violation.fault, Fault::Wrong);
}

#[test]
fn a_signal_doubled_in_a_saga_is_a_duplicate() {
    let violation = only(|history| {
        let again = history.outcomes[0].1.records[0].clone();
        history.outcomes[0].1.records.push(again);
    });
    assert_eq!(violation.fault, Fault::Duplicated);
}

#[test]
fn a_record_in_another_orders_saga_is_wrong() {
    let violation = only(|history| history.outcomes[0].1.records[1] = record("payments", 1));
    assert_eq!(violation.fault, Fault::Wrong);
}

#[test]
fn a_record_that_was_not_taken_is_lost() {
    any(Fault::Lost, "was not taken", |history| {
        history.deliveries[1].landed = Err("timed out".to_owned());
    });
}

#[test]
fn two_records_at_one_place_are_wrong() {
    any(Fault::Wrong, "two records were acknowledged", |history| {
        history.deliveries[2].landed = history.deliveries[0].landed.clone();
    });
}

#[test]
fn an_open_saga_is_stuck_and_a_failed_or_missing_one_is_named() {
    for (status, fault) in [
        (Status::Running, Fault::Stuck),
        (Status::Failed, Fault::Wrong),
        (Status::Missing, Fault::Lost),
    ] {
        assert_eq!(only(|history| history.executions[3].status = status).fault, fault);
    }
}

#[test]
fn a_mailbox_must_be_open_empty_and_complete() {
    let closed = only(|history| history.executions[5].status = Status::Completed);
    assert_eq!(closed.fault, Fault::Lost);
    assert_eq!(only(|history| history.mailboxes[0].waiting = 1).fault, Fault::Stuck);
    assert_eq!(only(|history| history.mailboxes[0].handled = None).fault, Fault::Stuck);
    assert_eq!(only(|history| history.mailboxes[0].handled = Some(5)).fault, Fault::Lost);
    assert_eq!(only(|history| history.mailboxes[0].handled = Some(7)).fault, Fault::Duplicated);
}

#[test]
fn a_question_without_a_good_answer_is_named() {
    assert_eq!(only(|history| history.questions.clear()).fault, Fault::Lost);
    let refused = only(|history| history.questions[0].answer = Err("no".to_owned()));
    assert_eq!(refused.fault, Fault::Stuck);
    let nonsense = only(|history| history.questions[0].answer = Ok("no".to_owned()));
    assert_eq!(nonsense.fault, Fault::Wrong);
}

#[test]
fn a_flaky_charge_that_does_not_fail_first_is_wrong() {
    let violation = only(|history| {
        for effect in &mut history.effects {
            effect.attempt = 2;
        }
    });
    assert_eq!(violation.fault, Fault::Wrong);
    assert!(violation.what.contains("order-1: its charge succeeded in attempt 2"));
}

#[test]
fn a_timer_that_fires_too_early_is_wrong() {
    let violation = only(|history| {
        let refund = |e: &&mut Effect| e.workflow_id == "order-4" && e.step == Step::Refund;
        history.effects.iter_mut().find(refund).unwrap().at_ms = 1_000;
    });
    assert_eq!(violation.fault, Fault::Wrong);
    assert!(violation.what.contains("timed out after 1000 ms"));
}

#[test]
fn a_mailbox_that_did_not_continue_as_new_is_wrong() {
    let violation = only(|history| history.mailboxes[0].runs = 2);
    assert_eq!(violation.fault, Fault::Wrong);
}
