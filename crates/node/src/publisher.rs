//! Serves the reserved task queue `mainstay` of every namespace: the activity `mainstay.publish`
//! appends a record, in one entry with its own completion.
//!
//! A publisher keeps nothing: if the node dies between taking a task and publishing, the task's
//! timeout or the restart brings it back, and if it dies after, the entry is there or it is not.

use crate::ask::{NotPublished, Publish, RecordAppend};
use crate::error::Error;
use crate::handle::Handle;
use crate::join::IDENTITY;
use crate::publish_argument::PublishArgument;
use base::Timestamp;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use topics::BatchBuilder;
use topics::ErrorCode;
use workflows::{ActivityTask, Refusal, TaskToken};

/// The one activity type there is.
const ACTIVITY_TYPE: &str = "mainstay.publish";

/// How long a publisher waits when the node cannot take its request.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Takes tasks, one after the other, until the node stops.
pub(crate) async fn run(handle: Handle) {
    loop {
        match handle.workflows_inside(workflows::Ask::PollPublish).await {
            Ok(delivered) => {
                if let workflows::Reply::ActivityTask(task) = delivered.take() {
                    serve(&handle, *task).await;
                }
            }
            Err(Error::Stopping) => return,
            Err(error) => {
                tracing::warn!(%error, "publisher cannot poll");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn serve(handle: &Handle, task: ActivityTask) {
    let ActivityTask { response, token } = task;
    let namespace = response.workflow_namespace.clone();
    let publish = match record(&response) {
        Ok(record) => Publish { record, token, namespace },
        Err(failure) => return fail(handle, token, namespace, *failure).await,
    };
    loop {
        match handle.publish(publish.clone()).await {
            Ok(Ok(())) | Err(Error::Stopping) => return,
            Ok(Err(NotPublished::Activity(refusal))) => return report_lost(&refusal),
            Ok(Err(NotPublished::Record(error))) => {
                let failure = refused(error.code, error.message.as_deref());
                return fail(handle, publish.token, publish.namespace, failure).await;
            }
            Err(error @ Error::TooLarge { .. }) => {
                let failure = failure("RecordTooLarge", error.to_string(), Retry::Never);
                return fail(handle, publish.token, publish.namespace, failure).await;
            }
            Err(error) => {
                tracing::warn!(%error, "publisher waits");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// The record that a task asks for, or what the activity fails with.
pub(crate) fn record(
    task: &service::PollActivityTaskQueueResponse,
) -> Result<RecordAppend, Box<Failure>> {
    let never = |r#type: &str, message: String| Box::new(failure(r#type, message, Retry::Never));
    let activity_type = task.activity_type.as_ref().map_or("", |t| t.name.as_str());
    if activity_type != ACTIVITY_TYPE {
        let message = format!(
            "the task queue \"mainstay\" knows the activity type \"{ACTIVITY_TYPE}\" only, not \
             \"{activity_type}\""
        );
        return Err(never("UnknownActivityType", message));
    }
    let input: &[Payload] = task.input.as_ref().map_or(&[], |input| &input.payloads);
    let argument = PublishArgument::parse(input)
        .map_err(|error| never("InvalidPublishArgument", error.to_string()))?;
    let mut batch = BatchBuilder::new();
    let PublishArgument { topic, key, value, headers, place } = argument;
    batch.push(timestamp_ms(task), key.as_deref(), value.as_deref(), &headers);
    let (header, batch) =
        batch.build().map_err(|error| never("InvalidPublishArgument", error.to_string()))?;
    Ok(RecordAppend { topic, place, header, batch })
}

/// The writer's time at which this attempt was started: the publisher has no clock of its own.
fn timestamp_ms(task: &service::PollActivityTaskQueueResponse) -> i64 {
    let started = task.started_time.as_ref();
    started.map_or(0, |t| Timestamp::from_seconds_and_nanos(t.seconds, t.nanos).millis())
}

/// Whether the activity's retry policy applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    AsThePolicySays,
}

/// What the log refuses for reasons that may go away is tried again.
fn refused(code: ErrorCode, message: Option<&str>) -> Failure {
    let retry = match code {
        ErrorCode::KafkaStorageError
        | ErrorCode::PolicyViolation
        | ErrorCode::UnknownServerError
        | ErrorCode::ThrottlingQuotaExceeded => Retry::AsThePolicySays,
        _ => Retry::Never,
    };
    let detail = message.map(|message| format!(": {message}")).unwrap_or_default();
    failure("RecordRefused", format!("the log refuses the record: {code:?}{detail}"), retry)
}

fn failure(r#type: &str, message: String, retry: Retry) -> Failure {
    let info = ApplicationFailureInfo {
        r#type: r#type.to_owned(),
        non_retryable: retry == Retry::Never,
        ..Default::default()
    };
    Failure {
        message,
        source: "mainstay".to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

async fn fail(handle: &Handle, token: TaskToken, namespace: String, failure: Failure) {
    tracing::warn!(reason = failure.message, "mainstay.publish fails");
    let request = service::RespondActivityTaskFailedRequest {
        task_token: token.0.to_vec(),
        failure: Some(failure),
        identity: IDENTITY.to_owned(),
        namespace,
        ..Default::default()
    };
    let ask = workflows::Ask::RespondActivityTaskFailed(Box::new(request));
    loop {
        match handle.workflows_inside(ask.clone()).await {
            Ok(_) | Err(Error::Stopping) => return,
            Err(Error::Workflows(refusal)) => return report_lost(&refusal),
            Err(error) => {
                tracing::warn!(%error, "publisher waits");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// The activity timed out, was canceled, or its workflow has closed. Nothing was published.
fn report_lost(refusal: &Refusal) {
    tracing::info!(?refusal, "mainstay.publish came too late for its activity");
}
