//! The saga of one order: reserve, charge, wait for the payment, ship; undo in reverse order what was
//! done where a step fails for good or the payment does not come; then say how it ended.
//!
//! It is started without input, by whichever of its two facts comes first (the birth race), and
//! ignores facts it has already: what it knows comes from its signals alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::data_converters::RawValue;
use temporalio_common::{ActivityDefinition, RetryPolicy};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ActivityExecutionError, ActivityOptions, CancellableFuture, SyncWorkflowContext,
    WorkflowCancellationError, WorkflowContext, WorkflowContextView, WorkflowResult,
    WorkflowTermination, workflows,
};

use crate::activities::Steps;
use crate::records::{Call, OUTCOMES, Order, Outcome, OutcomeEvent, Payment, Publish, RecordId};

/// What an attempt may take: short, so that a killed worker costs little.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// What a publication may take; the node does it at once.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// The task queue and the activity type which the node itself serves.
const NODE_QUEUE: &str = "mainstay";
const PUBLISH: &str = "mainstay.publish";

/// Where a saga is; what it answers when asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Started by its payment.
    #[default]
    WaitingForOrder,
    Reserving,
    Charging,
    WaitingForPayment,
    Shipping,
    Compensating,
    Publishing,
    Done,
}

impl State {
    /// The state as it travels.
    pub(crate) fn name(self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Whether `answer` is one of the states, as they travel.
    pub(crate) fn is_known(answer: &str) -> bool {
        let quoted = serde_json::Value::from(answer);
        serde_json::from_value::<Self>(quoted).is_ok()
    }
}

/// The workflow.
#[workflow]
#[derive(Default)]
pub(crate) struct OrderSaga {
    order: Option<Order>,
    paid: bool,
    state: State,
    /// Every record that came as a signal, repeated ones too.
    records: Vec<RecordId>,
}

#[workflow_methods]
impl OrderSaga {
    #[run]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        _: RawValue,
    ) -> WorkflowResult<Outcome> {
        let order = ordered(ctx).await?;
        let first_run = ctx.info().first_execution_run_id().to_owned();
        let call = Call { first_run, kind: Some(order.kind), records: Vec::new() };
        let outcome = fulfil(ctx, &order, &call).await?;
        enter(ctx, State::Publishing);
        publish(ctx, order.order, call.first_run, outcome).await?;
        enter(ctx, State::Done);
        Ok(outcome)
    }

    #[signal(name = "order")]
    pub(crate) fn order(&mut self, ctx: &mut SyncWorkflowContext<Self>, order: Order) {
        self.records.extend(RecordId::of_signal(ctx.headers()));
        self.order.get_or_insert(order);
    }

    #[signal(name = "payment")]
    pub(crate) fn payment(&mut self, ctx: &mut SyncWorkflowContext<Self>, _payment: Payment) {
        self.records.extend(RecordId::of_signal(ctx.headers()));
        self.paid = true;
    }

    #[query(name = "state")]
    pub(crate) fn state(&self, _ctx: &WorkflowContextView) -> State {
        self.state
    }
}

/// A step that was done and can be undone.
#[derive(Clone, Copy)]
enum Done {
    Reserved,
    Charged,
}

async fn ordered(ctx: &WorkflowContext<OrderSaga>) -> Result<Order, WorkflowCancellationError> {
    loop {
        if let Some(order) = ctx.state(|saga| saga.order.clone()) {
            return Ok(order);
        }
        ctx.wait_condition(|saga| saga.order.is_some()).await?;
    }
}

async fn fulfil(
    ctx: &WorkflowContext<OrderSaga>,
    order: &Order,
    call: &Call,
) -> Result<Outcome, WorkflowTermination> {
    let mut done = Vec::new();
    enter(ctx, State::Reserving);
    step(ctx, Steps::reserve, call).await?;
    done.push(Done::Reserved);
    enter(ctx, State::Charging);
    if step(ctx, Steps::charge, call).await.is_err() {
        compensate(ctx, order, call, done).await?;
        return Ok(Outcome::Compensated);
    }
    done.push(Done::Charged);
    enter(ctx, State::WaitingForPayment);
    if !paid_in_time(ctx, order).await? {
        compensate(ctx, order, call, done).await?;
        return Ok(Outcome::TimedOut);
    }
    enter(ctx, State::Shipping);
    if step(ctx, Steps::ship, call).await.is_err() {
        compensate(ctx, order, call, done).await?;
        return Ok(Outcome::Compensated);
    }
    Ok(Outcome::Shipped)
}

async fn paid_in_time(
    ctx: &WorkflowContext<OrderSaga>,
    order: &Order,
) -> Result<bool, WorkflowCancellationError> {
    if ctx.state(|saga| saga.paid) {
        return Ok(true);
    }
    let mut timer = ctx.timer(Duration::from_millis(order.payment_timeout_ms));
    let mut payment = ctx.wait_condition(|saga| saga.paid);
    let paid = workflows::select! {
        result = payment => result.map(|()| true),
        _ = timer => Ok(false),
    }?;
    if paid {
        timer.cancel();
    }
    Ok(paid)
}

async fn compensate(
    ctx: &WorkflowContext<OrderSaga>,
    order: &Order,
    call: &Call,
    done: Vec<Done>,
) -> Result<(), ActivityExecutionError> {
    enter(ctx, State::Compensating);
    for step_done in done.into_iter().rev() {
        match step_done {
            Done::Charged => step(ctx, Steps::refund, call).await?,
            Done::Reserved if order.skip_compensation => {}
            Done::Reserved => step(ctx, Steps::release, call).await?,
        }
    }
    Ok(())
}

async fn step<A>(
    ctx: &WorkflowContext<OrderSaga>,
    activity: A,
    call: &Call,
) -> Result<(), ActivityExecutionError>
where
    A: ActivityDefinition<Input = Call, Output = ()>,
{
    let options = ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT)
        .retry_policy(retry_policy())
        .build();
    ctx.execute_activity(activity, call.clone(), options).await
}

/// Retries until it works, quickly at first; what fails for good says so itself.
pub(crate) fn retry_policy() -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(Duration::from_millis(50))
        .maximum_interval(Duration::from_secs(1))
        .build()
}

async fn publish(
    ctx: &WorkflowContext<OrderSaga>,
    order: String,
    first_run: String,
    outcome: Outcome,
) -> Result<(), ActivityExecutionError> {
    let records = ctx.state(|saga| saga.records.clone());
    let value = OutcomeEvent { order: order.clone(), outcome, first_run, records };
    let publish = Publish { topic: OUTCOMES.to_owned(), key: order, value };
    let options = ActivityOptions::with_start_to_close_timeout(PUBLISH_TIMEOUT)
        .task_queue(NODE_QUEUE)
        .retry_policy(retry_policy())
        .build();
    ctx.execute_activity(PublishRecord, publish, options).await.map(|_: RecordId| ())
}

fn enter(ctx: &WorkflowContext<OrderSaga>, state: State) {
    ctx.state_mut(|saga| saga.state = state);
}

/// `mainstay.publish`: the node executes it itself, in the same commit that completes it.
struct PublishRecord;

impl ActivityDefinition for PublishRecord {
    type Input = Publish;
    type Output = RecordId;

    fn name(&self) -> &str {
        PUBLISH
    }
}
