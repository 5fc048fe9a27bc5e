//! Reading a history, and waiting for more of it.

use crate::ask::{Effect, HistoryAsk, Reply};
use crate::machine::{Decision, Run, Workflows};
use crate::proto::common;
use base::{RunId, Ticket};
use std::collections::HashMap;

/// Callers that wait for an event.
#[derive(Debug, Default)]
pub(crate) struct HistoryWaits {
    by_run: HashMap<RunId, Vec<(Ticket, HistoryAsk)>>,
    by_ticket: HashMap<Ticket, RunId>,
}

impl HistoryWaits {
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        let Some(run) = self.by_ticket.remove(&ticket) else { return };
        if let Some(waiting) = self.by_run.get_mut(&run) {
            waiting.retain(|(other, _)| *other != ticket);
            if waiting.is_empty() {
                self.by_run.remove(&run);
            }
        }
    }
}

impl Workflows {
    pub(crate) fn decide_history(&self, ask: &HistoryAsk) -> Decision {
        let run = self.find_history(ask)?;
        if !is_there(ask, run) {
            return Ok(None);
        }
        let slice = self.slice(run, 0, ask.include_transient);
        Ok(Some(Reply::GetWorkflowExecutionHistory(Box::new(slice))))
    }

    fn find_history(&self, ask: &HistoryAsk) -> Result<&Run, crate::Refusal> {
        let execution = common::WorkflowExecution {
            workflow_id: ask.workflow_id.clone(),
            run_id: ask.run_id.map_or(String::new(), |run| run.to_string()),
        };
        self.find(&ask.namespace, Some(&execution))
    }

    pub(crate) fn attend_history(&mut self, ask: HistoryAsk, ticket: Ticket) {
        let Ok(run) = self.find_history(&ask) else { return };
        if is_there(&ask, run) {
            return;
        }
        let id = run.state.id;
        self.waits.by_ticket.insert(ticket, id);
        self.waits.by_run.entry(id).or_default().push((ticket, ask));
    }

    /// Answers those who waited for a run that has just changed.
    pub(crate) fn answer_history_waits(&mut self, effects: &mut Vec<Effect>) {
        for id in &self.touched {
            let Some(waiting) = self.waits.by_run.remove(id) else { continue };
            let Some(run) = self.runs.get(id) else { continue };
            let (ready, still): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(_, ask)| is_there(ask, run));
            if !still.is_empty() {
                self.waits.by_run.insert(*id, still);
            }
            for (ticket, ask) in ready {
                self.waits.by_ticket.remove(&ticket);
                let slice = self.slice(run, 0, ask.include_transient);
                let reply = Reply::GetWorkflowExecutionHistory(Box::new(slice));
                effects.push(Effect::Reply(ticket, Box::new(Ok(reply))));
            }
        }
    }
}

/// Whether what the caller waits for has happened.
fn is_there(ask: &HistoryAsk, run: &Run) -> bool {
    let Some(event_id) = ask.wait_for_event else { return true };
    let closed = !run.state.is_running();
    closed || (!ask.wait_for_close && run.state.next_event_id > event_id)
}
