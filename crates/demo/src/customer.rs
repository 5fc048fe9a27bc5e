//! The mailbox of one customer: a workflow that lives for ever, gets each of the customer's order
//! records as a signal, and handles each exactly once.
//!
//! After [`RECORDS_PER_RUN`] records it continues as new with what it has not handled yet; signals
//! which the server still holds are delivered to the next run.

use std::time::Duration;

use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ActivityExecutionError, ActivityOptions, ContinueAsNewOptions, SyncWorkflowContext,
    WorkflowContext, WorkflowContextView, WorkflowResult,
};

use crate::activities::Steps;
use crate::records::{Call, Mailbox, Order, RecordId};
use crate::saga::retry_policy;

/// How many records one run handles before it continues as new.
pub(crate) const RECORDS_PER_RUN: usize = 50;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The workflow.
#[workflow]
#[derive(Default)]
pub(crate) struct Customer {
    mailbox: Mailbox,
}

#[workflow_methods]
impl Customer {
    /// The first run has no input, every later one the mailbox the last one left.
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, left: RawValue) -> WorkflowResult<()> {
        take_over(ctx, &left);
        let first_run = ctx.info().first_execution_run_id().to_owned();
        let mut room = RECORDS_PER_RUN;
        while room > 0 {
            ctx.wait_condition(|customer| !customer.mailbox.waiting.is_empty()).await?;
            room -= handle(ctx, &first_run, room).await?;
        }
        let mailbox = ctx.state(|customer| customer.mailbox.clone());
        let input = RawValue::from_value(&mailbox, ctx.payload_converter());
        Err(match ctx.continue_as_new(input, ContinueAsNewOptions::default()) {
            Ok(never) => match never {},
            Err(termination) => termination,
        })
    }

    #[signal(name = "order")]
    pub(crate) fn order(&mut self, ctx: &mut SyncWorkflowContext<Self>, _order: Order) {
        self.mailbox.waiting.extend(RecordId::of_signal(ctx.headers()));
    }

    #[query(name = "mailbox")]
    pub(crate) fn mailbox(&self, _ctx: &WorkflowContextView) -> Mailbox {
        self.mailbox.clone()
    }
}

/// Puts what the last run left before what has come since.
fn take_over(ctx: &WorkflowContext<Customer>, left: &RawValue) {
    let left: Mailbox = left
        .payloads
        .first()
        .and_then(|payload| serde_json::from_slice(&payload.data).ok())
        .unwrap_or_default();
    ctx.state_mut(|customer| {
        let since = std::mem::take(&mut customer.mailbox.waiting);
        customer.mailbox = left;
        customer.mailbox.runs += 1;
        customer.mailbox.waiting.extend(since);
    });
}

/// Handles up to `room` waiting records with one activity; answers how many.
async fn handle(
    ctx: &WorkflowContext<Customer>,
    first_run: &str,
    room: usize,
) -> Result<usize, ActivityExecutionError> {
    let (batch, number) = ctx.state_mut(|customer| {
        let mailbox = &mut customer.mailbox;
        let count = mailbox.waiting.len().min(room);
        let batch: Vec<RecordId> = mailbox.waiting.drain(..count).collect();
        (batch, mailbox.handled)
    });
    let count = batch.len();
    // Activity ids start again with each run; this one is unique in the whole chain of runs, as the
    // identity of an effect must be.
    let options = ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT)
        .activity_id(format!("note-{number}"))
        .retry_policy(retry_policy())
        .build();
    let call = Call { first_run: first_run.to_owned(), kind: None, records: batch };
    ctx.execute_activity(Steps::note, call, options).await?;
    ctx.state_mut(|customer| customer.mailbox.handled += count as u64);
    Ok(count)
}
