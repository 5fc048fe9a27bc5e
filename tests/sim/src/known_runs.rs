//! Every run that a history names.

use checker::{Answer, Call, Kind, Line, Outcome};
use std::collections::BTreeMap;

/// Run id to workflow id.
pub(crate) fn known_runs(lines: &[Line]) -> BTreeMap<String, String> {
    let mut asked = BTreeMap::new();
    let mut known = BTreeMap::new();
    for line in lines {
        match line {
            Line::Invoke { op, call, .. } => {
                asked.insert(*op, call);
            }
            Line::Return { op, result: Outcome::Ok(answer), .. } => {
                if let Some(call) = asked.get(op) {
                    note_runs(call, answer, &mut known);
                }
            }
            _ => {}
        }
    }
    known
}

fn note_runs(call: &Call, answer: &Answer, known: &mut BTreeMap<String, String>) {
    let workflow_id = match (call, answer) {
        (
            _,
            Answer::WorkflowTask { workflow_id, .. } | Answer::ActivityTask { workflow_id, .. },
        )
        | (
            Call::Start { workflow_id, .. }
            | Call::SignalWithStart { workflow_id, .. }
            | Call::Describe { workflow_id, .. }
            | Call::History { workflow_id, .. },
            _,
        ) => workflow_id.clone(),
        _ => return,
    };
    let mut note = |run: &str| {
        known.insert(run.to_owned(), workflow_id.clone());
    };
    match answer {
        Answer::Started { run_id, .. }
        | Answer::Described { run_id, .. }
        | Answer::ActivityTask { run_id, .. } => note(run_id),
        Answer::WorkflowTask { run_id, events, .. } | Answer::History { run_id, events } => {
            note(run_id);
            for event in events {
                match &event.kind {
                    Kind::Started { continued_from: Some(run), .. } => note(run),
                    Kind::Closed(end) => end.next_run_id.iter().for_each(|run| note(run)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
