//! The workflows of a run: jobs, which starters signal, and mailboxes, which a route feeds. Both use
//! timers, activities, signals, continue-as-new and `mainstay.publish`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::data_converters::RawValue;
use temporalio_common::{ActivityDefinition, RetryPolicy};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ActivityExecutionError, ActivityOptions, CancellableFuture, ContinueAsNewOptions,
    SyncWorkflowContext, WorkflowCancellationError, WorkflowContext, WorkflowResult, workflows,
};

use super::starters::{Plan, Poke};
use super::worker::Work;
use crate::events::PUBLISH;
use crate::kafka::OUTCOMES;

const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// A job whose starter was killed gives up waiting after this.
const ABANDONED: Duration = Duration::from_secs(15);
/// Records of one run of a mailbox.
const RECORDS: usize = 15;
/// The queue that the node itself serves.
const NODE_QUEUE: &str = "mainstay";
/// Ids of what jobs and mailboxes publish are apart from all others.
const JOBS: u64 = 1 << 62;
const MAILBOXES: u64 = 1 << 61;

/// A job: in each round a timer, an activity, some signals, a record; then the next round as a new
/// run.
#[workflow]
#[derive(Default)]
pub(crate) struct Job {
    poked: u64,
}

#[workflow_methods]
impl Job {
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, plan: Plan) -> WorkflowResult<()> {
        // Signals that came with the start are counted already.
        ctx.state_mut(|job| job.poked += plan.poked);
        let id = plan.job << 2 | plan.round;
        let mut work = ctx.execute_activity(Work::work, id, options());
        let mut timer = ctx.timer(Duration::from_millis(plan.timer_ms));
        workflows::join!(&mut work, &mut timer).0?;
        let patient = poked(ctx, plan.pokes * (plan.round + 1)).await?;
        publish(ctx, format!("job-{}", plan.job), JOBS | id).await?;
        if !patient || plan.round + 1 == plan.rounds {
            return Ok(());
        }
        let poked = ctx.state(|job| job.poked);
        let next = Plan { value: None, round: plan.round + 1, poked, ..plan };
        Err(match ctx.continue_as_new(next, ContinueAsNewOptions::default()) {
            Ok(never) => match never {},
            Err(termination) => termination,
        })
    }

    #[signal(name = "poke")]
    pub(crate) fn poke(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _poke: Poke) {
        self.poked += 1;
    }
}

/// Waits for signals; false if nobody sends them any more.
async fn poked(ctx: &WorkflowContext<Job>, wanted: u64) -> Result<bool, WorkflowCancellationError> {
    if ctx.state(|job| job.poked >= wanted) {
        return Ok(true);
    }
    let mut timer = ctx.timer(ABANDONED);
    let mut enough = ctx.wait_condition(|job| job.poked >= wanted);
    let patient = workflows::select! {
        result = enough => result.map(|()| true),
        _ = timer => Ok(false),
    }?;
    if patient {
        timer.cancel();
    }
    Ok(patient)
}

/// What a record says that a mailbox gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fact {
    value: u64,
}

/// What a mailbox leaves to its next run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Left {
    waiting: Vec<u64>,
}

/// A mailbox: handles each record that a route sends it; lives for ever.
#[workflow]
#[derive(Default)]
pub(crate) struct Mailbox {
    waiting: Vec<u64>,
}

#[workflow_methods]
impl Mailbox {
    /// The first run has no input.
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, left: RawValue) -> WorkflowResult<()> {
        take_over(ctx, &left);
        let mut room = RECORDS;
        while room > 0 {
            ctx.wait_condition(|mailbox| !mailbox.waiting.is_empty()).await?;
            let batch: Vec<u64> = ctx.state_mut(|mailbox| {
                let count = mailbox.waiting.len().min(room);
                mailbox.waiting.drain(..count).collect()
            });
            room -= batch.len();
            let first = batch.first().copied().unwrap_or_default();
            ctx.execute_activity(Work::work, first, options()).await?;
            publish(ctx, "mailbox".to_owned(), MAILBOXES | first).await?;
        }
        let waiting = ctx.state(|mailbox| mailbox.waiting.clone());
        let input = RawValue::from_value(&Left { waiting }, ctx.payload_converter());
        Err(match ctx.continue_as_new(input, ContinueAsNewOptions::default()) {
            Ok(never) => match never {},
            Err(termination) => termination,
        })
    }

    #[signal(name = "fact")]
    pub(crate) fn fact(&mut self, _ctx: &mut SyncWorkflowContext<Self>, fact: Fact) {
        self.waiting.push(fact.value);
    }
}

/// Puts what the last run left before what has come since.
fn take_over(ctx: &WorkflowContext<Mailbox>, left: &RawValue) {
    let left: Option<Left> =
        left.payloads.first().and_then(|payload| serde_json::from_slice(&payload.data).ok());
    ctx.state_mut(|mailbox| {
        let since = std::mem::take(&mut mailbox.waiting);
        mailbox.waiting = left.unwrap_or_default().waiting;
        mailbox.waiting.extend(since);
    });
}

fn options() -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(ATTEMPT_MAX).retry_policy(retries()).build()
}

/// Quickly at first, for ever.
fn retries() -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(Duration::from_millis(50))
        .maximum_interval(Duration::from_secs(1))
        .build()
}

/// The argument of `mainstay.publish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Publication {
    topic: String,
    key: String,
    value: Fact,
}

/// `mainstay.publish`.
struct PublishRecord;

impl ActivityDefinition for PublishRecord {
    type Input = Publication;
    type Output = serde_json::Value;

    fn name(&self) -> &str {
        PUBLISH
    }
}

async fn publish<W>(
    ctx: &WorkflowContext<W>,
    key: String,
    value: u64,
) -> Result<(), ActivityExecutionError> {
    let publication = Publication { topic: OUTCOMES.to_owned(), key, value: Fact { value } };
    let options = ActivityOptions::with_start_to_close_timeout(ATTEMPT_MAX)
        .task_queue(NODE_QUEUE)
        .retry_policy(retries())
        .build();
    ctx.execute_activity(PublishRecord, publication, options).await.map(|_| ())
}
