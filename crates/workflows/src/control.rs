//! Cancellation requests and termination.

use crate::ask::{Refusal, Reply};
use crate::machine::{Decision, Run, Workflows};
use crate::op::Op;
use crate::proto::{Attributes, common, history, service};
use crate::signal::{must_be_running, not_found};
use crate::transaction::Transaction;
use base::Cx;

impl Workflows {
    /// Recorded once; any later request is a silent success, and so is one to a closed run.
    pub(crate) fn decide_request_cancel(
        &self,
        request: &service::RequestCancelWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let execution = request.workflow_execution.as_ref();
        let first = &request.first_execution_run_id;
        let run = self.find_in_chain(&request.namespace, execution, first)?;
        if !run.state.is_running() || run.state.cancel_requested {
            return Ok(Some(Reply::RequestCancelWorkflowExecution));
        }
        let event = history::WorkflowExecutionCancelRequestedEventAttributes {
            cause: request.reason.clone(),
            identity: request.identity.clone(),
            ..Default::default()
        };
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.happen_linked(
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(event),
            &request.links,
        );
        // A workflow that waits for its start delay or its retry hears of it at once.
        tx.ends_backoff = true;
        tx.finish();
        Ok(Some(Reply::RequestCancelWorkflowExecution))
    }

    pub(crate) fn decide_terminate(
        &self,
        request: &service::TerminateWorkflowExecutionRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let execution = request.workflow_execution.as_ref();
        let first = &request.first_execution_run_id;
        let run = self.find_in_chain(&request.namespace, execution, first)?;
        must_be_running(&run.state)?;
        let event = history::WorkflowExecutionTerminatedEventAttributes {
            reason: request.reason.clone(),
            details: request.details.clone(),
            identity: request.identity.clone(),
        };
        let mut planner = self.planner(cx, plan);
        let mut tx = Transaction::begin(&mut planner, &run.state);
        tx.close_by_force(Attributes::WorkflowExecutionTerminatedEventAttributes(event));
        tx.finish();
        Ok(Some(Reply::TerminateWorkflowExecution))
    }

    /// The run that a request names; the current one if it says by which run the chain began.
    fn find_in_chain(
        &self,
        namespace: &str,
        execution: Option<&common::WorkflowExecution>,
        first_run_id: &str,
    ) -> Result<&Run, Refusal> {
        if first_run_id.is_empty() {
            return self.find(namespace, execution);
        }
        let current = execution.map(|execution| common::WorkflowExecution {
            workflow_id: execution.workflow_id.clone(),
            run_id: String::new(),
        });
        let run = self.find(namespace, current.as_ref())?;
        let same = run.state.started.first_execution_run_id == first_run_id;
        same.then_some(run).ok_or_else(not_found)
    }
}
