//! The steps of the saga and the mailbox's note. Each reports its effect to the ledger and completes
//! only when the ledger has acknowledged it; what an attempt reports twice is one effect.

use std::sync::Arc;

use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::checker::{Effect, Step};
use crate::ledger;
use crate::records::{Call, Kind};

/// Attempts of a flaky charge that fail.
pub(crate) const FLAKY_FAILURES: u32 = 2;

/// The worker's activities.
pub(crate) struct Steps {
    ledger: ledger::Client,
}

impl Steps {
    /// Activities that report to `ledger`.
    pub(crate) fn new(ledger: ledger::Client) -> Self {
        Self { ledger }
    }

    async fn report(
        &self,
        ctx: &ActivityContext,
        step: Step,
        call: Call,
    ) -> Result<(), ActivityError> {
        let info = ctx.info();
        let effect = Effect {
            first_run: call.first_run,
            activity_id: info.activity_id.clone(),
            workflow_id: info.workflow_id.clone().unwrap_or_default(),
            step,
            attempt: info.attempt,
            records: call.records,
            at_ms: 0,
        };
        Ok(self.ledger.report(&effect).await?)
    }
}

#[activities]
impl Steps {
    #[activity]
    pub(crate) async fn reserve(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        self.report(&ctx, Step::Reserve, call).await
    }

    #[activity]
    pub(crate) async fn charge(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        match call.kind {
            Some(Kind::Declined) => Err(for_good("the card is declined")),
            Some(Kind::Flaky) if ctx.info().attempt <= FLAKY_FAILURES => {
                Err(ActivityError::application(ApplicationFailure::new("the bank is busy")))
            }
            _ => self.report(&ctx, Step::Charge, call).await,
        }
    }

    #[activity]
    pub(crate) async fn ship(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        if call.kind == Some(Kind::Undeliverable) {
            return Err(for_good("no such address"));
        }
        self.report(&ctx, Step::Ship, call).await
    }

    #[activity]
    pub(crate) async fn refund(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        self.report(&ctx, Step::Refund, call).await
    }

    #[activity]
    pub(crate) async fn release(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        self.report(&ctx, Step::Release, call).await
    }

    #[activity]
    pub(crate) async fn note(
        self: Arc<Self>,
        ctx: ActivityContext,
        call: Call,
    ) -> Result<(), ActivityError> {
        self.report(&ctx, Step::Note, call).await
    }
}

fn for_good(why: &'static str) -> ActivityError {
    ActivityError::application(ApplicationFailure::non_retryable(why))
}
