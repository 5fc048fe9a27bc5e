//! Nothing is open that should be closed, no order ran twice, every mailbox is empty, and every
//! question was answered.

use std::collections::{BTreeMap, HashMap};

use super::deliveries::mailbox_of;
use super::{Execution, History, Question, Status, Violation};
use crate::customer::RECORDS_PER_RUN;
use crate::plan::Fact;
use crate::saga::State;

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let executions: HashMap<&str, &Execution> =
        history.executions.iter().map(|seen| (seen.workflow_id.as_str(), seen)).collect();
    check_sagas(history, &executions, found);
    check_mailboxes(history, &executions, found);
    check_questions(history, found);
}

fn check_sagas(
    history: &History,
    executions: &HashMap<&str, &Execution>,
    found: &mut Vec<Violation>,
) {
    let mut first_runs: HashMap<&str, &str> = HashMap::new();
    for (_, outcome) in &history.outcomes {
        first_runs.insert(&outcome.order, &outcome.first_run);
    }
    for order in &history.orders {
        let id = &order.id;
        let Some(seen) = executions.get(id.as_str()) else {
            found.push(Violation::lost(format!("nothing is known about the saga of {id}")));
            continue;
        };
        match seen.status {
            Status::Completed => {}
            Status::Running => found.push(Violation::stuck(format!("the saga of {id} is open"))),
            Status::Missing => found.push(Violation::lost(format!("{id} has no saga"))),
            Status::Failed => found.push(Violation::wrong(format!("the saga of {id} failed"))),
        }
        let published = first_runs.get(id.as_str()).copied().unwrap_or(&seen.first_run);
        if !seen.first_run.is_empty() && published != seen.first_run {
            let what = format!("{id} was started again: {published} and {}", seen.first_run);
            found.push(Violation::duplicated(what));
        }
    }
}

fn check_mailboxes(
    history: &History,
    executions: &HashMap<&str, &Execution>,
    found: &mut Vec<Violation>,
) {
    let mut records: BTreeMap<String, u64> = BTreeMap::new();
    for delivery in history.deliveries.iter().filter(|delivery| delivery.fact == Fact::Order) {
        let mailbox = mailbox_of(&history.orders[delivery.order].customer);
        *records.entry(mailbox).or_default() += u64::from(delivery.landed.is_ok());
    }
    for (id, expected) in records {
        let status = executions.get(id.as_str()).map_or(Status::Missing, |seen| seen.status);
        if status != Status::Running {
            found.push(Violation::lost(format!("the mailbox {id} is {status:?}, not Running")));
        }
        let Some(seen) = history.mailboxes.iter().find(|seen| seen.workflow_id == id) else {
            found.push(Violation::lost(format!("the mailbox {id} was not asked")));
            continue;
        };
        if seen.waiting > 0 {
            let what = format!("the mailbox {id} has {} records waiting", seen.waiting);
            found.push(Violation::stuck(what));
        }
        let runs = seen.handled.unwrap_or(0) / RECORDS_PER_RUN as u64 + 1;
        if seen.handled.is_some() && seen.runs != runs {
            let what = format!("the mailbox {id} is in run {} instead of {runs}", seen.runs);
            found.push(Violation::wrong(what));
        }
        match seen.handled {
            None => found.push(Violation::stuck(format!("the mailbox {id} did not answer"))),
            Some(handled) if handled < expected => {
                let what = format!("the mailbox {id} handled {handled} of {expected} records");
                found.push(Violation::lost(what));
            }
            Some(handled) if handled > expected => {
                let what =
                    format!("the mailbox {id} handled {handled} records, {expected} were sent");
                found.push(Violation::duplicated(what));
            }
            Some(_) => {}
        }
    }
}

fn check_questions(history: &History, found: &mut Vec<Violation>) {
    let answers: HashMap<&str, &Question> =
        history.questions.iter().map(|question| (question.order.as_str(), question)).collect();
    for order in history.orders.iter().filter(|order| order.asked) {
        let id = &order.id;
        match answers.get(id.as_str()) {
            None => found.push(Violation::lost(format!("{id} was not asked for its state"))),
            Some(question) => match &question.answer {
                Err(error) => {
                    let what = format!("{id} did not tell its state: {error}");
                    found.push(Violation::stuck(what));
                }
                Ok(answer) if !State::is_known(answer) => {
                    let what = format!("{id} answered {answer:?}, which is no state");
                    found.push(Violation::wrong(what));
                }
                Ok(_) => {}
            },
        }
    }
}
