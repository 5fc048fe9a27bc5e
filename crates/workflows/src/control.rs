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
        tx.happen(Attributes::WorkflowExecutionCancelRequestedEventAttributes(event));
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
        tx.event(Attributes::WorkflowExecutionTerminatedEventAttributes(event));
        tx.finish();
        Ok(Some(Reply::TerminateWorkflowExecution))
    }

    /// The run of a request that may insist on the first run of the chain.
    fn find_in_chain(
        &self,
        namespace: &str,
        execution: Option<&common::WorkflowExecution>,
        first_run_id: &str,
    ) -> Result<&Run, Refusal> {
        let run = self.find(namespace, execution)?;
        let first = &run.state.started.first_execution_run_id;
        if !first_run_id.is_empty() && first != first_run_id {
            return Err(not_found());
        }
        Ok(run)
    }
}
