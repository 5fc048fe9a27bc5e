//! The clockwork of one activity: its four timeouts, and whether it is tried again.

use crate::op::{ActivityState, at};
use crate::proto::{common, enums, failure, history, positive};
use crate::run::Activity;
use base::Timestamp;
use enums::{RetryState, TimeoutType};
use failure::failure::FailureInfo;
use std::time::Duration;

/// Temporal's text; SDKs show it to people.
const NO_TIME_LEFT: &str = "Not enough time to schedule next retry before activity ScheduleToClose \
                            timeout, giving up retrying";

/// What comes next for an activity whose attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Another attempt, from this time on.
    RetryAt(Timestamp),
    /// None, and why.
    GiveUp(RetryState),
}

/// Fills in what the command left out, as Temporal normalises it at schedule time. The event
/// must carry schedule-to-start and schedule-to-close (the TypeScript SDK depends on them).
/// Durations are capped by the run's timeout.
pub(crate) fn normalise(
    a: &mut history::ActivityTaskScheduledEventAttributes,
    run_timeout: Option<Duration>,
) -> Result<(), String> {
    let given = |d: &Option<prost_types::Duration>| positive(d.as_ref());
    for (name, value) in [
        ("ScheduleToCloseTimeout", &a.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", &a.schedule_to_start_timeout),
        ("StartToCloseTimeout", &a.start_to_close_timeout),
        ("HeartbeatTimeout", &a.heartbeat_timeout),
    ] {
        if value.as_ref().is_some_and(|d| d.seconds < 0 || d.nanos < 0) {
            return Err(format!("A negative {name} is not valid."));
        }
    }
    let run = run_timeout.unwrap_or(Duration::ZERO);
    let cap = |d: Duration| if run.is_zero() || d.is_zero() { d } else { d.min(run) };
    let start_to_close = given(&a.start_to_close_timeout);
    let (to_close, to_start, start_to_close) = match given(&a.schedule_to_close_timeout) {
        Some(to_close) => {
            let to_start = given(&a.schedule_to_start_timeout).unwrap_or(to_close).min(to_close);
            (to_close, to_start, start_to_close.unwrap_or(to_close).min(to_close))
        }
        None => {
            let Some(start_to_close) = start_to_close else {
                return Err(
                    "A valid StartToClose or ScheduleToCloseTimeout is not set on command.".into(),
                );
            };
            (run, given(&a.schedule_to_start_timeout).unwrap_or(run), start_to_close)
        }
    };
    let heartbeat = given(&a.heartbeat_timeout).unwrap_or_default().min(start_to_close);
    a.schedule_to_close_timeout = Some(crate::proto::duration(cap(to_close)));
    a.schedule_to_start_timeout = Some(crate::proto::duration(cap(to_start)));
    a.start_to_close_timeout = Some(crate::proto::duration(cap(start_to_close)));
    a.heartbeat_timeout = Some(crate::proto::duration(cap(heartbeat)));
    a.retry_policy = Some(with_defaults(a.retry_policy.take().unwrap_or_default()));
    Ok(())
}

/// Temporal's default retry policy fills the gaps: 1 s, doubling, at most 100 times the first
/// interval, for ever.
pub(crate) fn with_defaults(mut policy: common::RetryPolicy) -> common::RetryPolicy {
    let initial = positive(policy.initial_interval.as_ref()).unwrap_or(Duration::from_secs(1));
    policy.initial_interval = Some(crate::proto::duration(initial));
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    }
    if positive(policy.maximum_interval.as_ref()).is_none() {
        policy.maximum_interval = Some(crate::proto::duration(initial.saturating_mul(100)));
    }
    policy
}

/// Checks a retry policy; the text is what Temporal says.
pub(crate) fn check_policy(policy: &common::RetryPolicy) -> Result<(), String> {
    let seconds = |d: &Option<prost_types::Duration>| {
        d.as_ref().map_or(0.0, |d| d.seconds as f64 + f64::from(d.nanos) / 1e9)
    };
    let (initial, maximum) = (seconds(&policy.initial_interval), seconds(&policy.maximum_interval));
    let coefficient = policy.backoff_coefficient;
    let problem = if initial < 0.0 {
        "InitialInterval cannot be negative on retry policy."
    } else if coefficient.is_nan() || (coefficient != 0.0 && coefficient < 1.0) {
        "BackoffCoefficient cannot be less than 1 on retry policy."
    } else if maximum < 0.0 {
        "MaximumInterval cannot be negative on retry policy."
    } else if maximum != 0.0 && maximum < initial {
        "MaximumInterval cannot be less than InitialInterval on retry policy."
    } else if policy.maximum_attempts < 0 {
        "MaximumAttempts cannot be negative on retry policy."
    } else {
        return Ok(());
    };
    Err(problem.into())
}

/// The timeout of an activity that comes first, and when.
pub(crate) fn deadline(activity: &Activity) -> Option<(Timestamp, Deadline)> {
    let scheduled = &activity.scheduled;
    let state = &activity.state;
    let mut first: Option<(Timestamp, Deadline)> = None;
    let mut consider = |timeout: Option<&prost_types::Duration>, from: i64, what: Deadline| {
        let Some(timeout) = positive(timeout) else { return };
        let when = at(from).after(timeout);
        if first.is_none_or(|(earliest, _)| when < earliest) {
            first = Some((when, what));
        }
    };
    let to_close = scheduled.schedule_to_close_timeout.as_ref();
    consider(to_close, state.first_scheduled_at, Deadline::Timeout(TimeoutType::ScheduleToClose));
    if activity.is_started() {
        let start_to_close = scheduled.start_to_close_timeout.as_ref();
        consider(start_to_close, state.started_at, Deadline::Timeout(TimeoutType::StartToClose));
        let beat = state.last_heartbeat_at.max(state.started_at);
        let heartbeat = scheduled.heartbeat_timeout.as_ref();
        consider(heartbeat, beat, Deadline::Timeout(TimeoutType::Heartbeat));
    } else if !state.backing_off {
        let to_start = scheduled.schedule_to_start_timeout.as_ref();
        consider(to_start, state.scheduled_at, Deadline::Timeout(TimeoutType::ScheduleToStart));
    }
    if state.backing_off && first.is_none_or(|(earliest, _)| at(state.scheduled_at) < earliest) {
        first = Some((at(state.scheduled_at), Deadline::Retry));
    }
    first
}

/// What an activity waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deadline {
    /// A timeout of this kind.
    Timeout(TimeoutType),
    /// The end of the backoff.
    Retry,
}

/// Whether and when a failed attempt is followed by another.
pub(crate) fn after_failure(
    activity: &Activity,
    failure: &failure::Failure,
    now: Timestamp,
) -> Next {
    if activity.state.cancel_requested_event_id != 0 {
        return Next::GiveUp(RetryState::CancelRequested);
    }
    if let Some(FailureInfo::TimeoutFailureInfo(info)) = &failure.failure_info
        && matches!(
            info.timeout_type(),
            TimeoutType::ScheduleToStart | TimeoutType::ScheduleToClose
        )
    {
        return Next::GiveUp(RetryState::Timeout);
    }
    let policy = activity.scheduled.retry_policy.clone().unwrap_or_default();
    let expires = match positive(activity.scheduled.schedule_to_close_timeout.as_ref()) {
        Some(timeout) => at(activity.state.first_scheduled_at).after(timeout),
        None => Timestamp::NEVER,
    };
    retry(&policy, activity.state.attempt, expires, failure, now)
}

/// The retry decision, common to activities and workflows.
pub(crate) fn retry(
    policy: &common::RetryPolicy,
    attempt: i32,
    expires: Timestamp,
    failure: &failure::Failure,
    now: Timestamp,
) -> Next {
    if !is_retryable(failure, &policy.non_retryable_error_types) {
        return Next::GiveUp(RetryState::NonRetryableFailure);
    }
    if policy.maximum_attempts > 0 && attempt >= policy.maximum_attempts {
        return Next::GiveUp(RetryState::MaximumAttemptsReached);
    }
    let when = now.after(next_delay(failure).unwrap_or_else(|| backoff(policy, attempt)));
    if when > expires {
        return Next::GiveUp(RetryState::Timeout);
    }
    Next::RetryAt(when)
}

fn next_delay(failure: &failure::Failure) -> Option<Duration> {
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => positive(info.next_retry_delay.as_ref()),
        _ => None,
    }
}

/// initial * coefficient^(attempt - 1), capped.
fn backoff(policy: &common::RetryPolicy, attempt: i32) -> Duration {
    let initial = positive(policy.initial_interval.as_ref()).unwrap_or(Duration::from_secs(1));
    let most = positive(policy.maximum_interval.as_ref()).unwrap_or(initial.saturating_mul(100));
    let factor = policy.backoff_coefficient.max(1.0).powi(attempt.saturating_sub(1));
    let seconds = initial.as_secs_f64() * factor;
    Duration::try_from_secs_f64(seconds).unwrap_or(most).min(most)
}

fn is_retryable(failure: &failure::Failure, excluded: &[String]) -> bool {
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            !info.non_retryable && !excluded.contains(&info.r#type)
        }
        Some(FailureInfo::TimeoutFailureInfo(info)) => {
            let kind = match info.timeout_type() {
                TimeoutType::StartToClose => "TemporalTimeout:StartToClose",
                TimeoutType::Heartbeat => "TemporalTimeout:Heartbeat",
                _ => return false,
            };
            !excluded.iter().any(|name| name == kind)
        }
        Some(FailureInfo::ServerFailureInfo(info)) => !info.non_retryable,
        Some(FailureInfo::CanceledFailureInfo(_) | FailureInfo::TerminatedFailureInfo(_)) => false,
        _ => true,
    }
}

/// The state of the attempt after this one.
pub(crate) fn next_attempt(
    before: &ActivityState,
    when: Timestamp,
    failure: failure::Failure,
    now: Timestamp,
) -> ActivityState {
    ActivityState {
        attempt: before.attempt.saturating_add(1),
        scheduled_at: when.0,
        started_at: 0,
        backing_off: true,
        identity: String::new(),
        request_id: String::new(),
        last_heartbeat_at: 0,
        last_failure: Some(failure),
        last_worker_identity: before.identity.clone(),
        last_attempt_ended_at: now.0,
        ..before.clone()
    }
}

/// The failure of a timeout.
pub(crate) fn timeout_failure(kind: TimeoutType, message: &str) -> failure::Failure {
    failure::Failure {
        message: message.to_owned(),
        source: "Server".into(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(failure::TimeoutFailureInfo {
            timeout_type: kind as i32,
            last_heartbeat_details: None,
        })),
        ..failure::Failure::default()
    }
}

/// The failure of an attempt that took too long.
pub(crate) fn attempt_timeout(kind: TimeoutType) -> failure::Failure {
    let name = match kind {
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        _ => "Heartbeat",
    };
    timeout_failure(kind, &format!("activity {name} timeout"))
}

/// The failure of an activity that ends by a timeout. Where there is no time left for another
/// attempt it is called schedule-to-close, whatever the clock that struck.
pub(crate) fn last_timeout(
    activity: &Activity,
    kind: TimeoutType,
    state: RetryState,
) -> failure::Failure {
    let expired = state == RetryState::Timeout && kind != TimeoutType::ScheduleToStart;
    let mut failure = if expired {
        timeout_failure(TimeoutType::ScheduleToClose, NO_TIME_LEFT)
    } else {
        attempt_timeout(kind)
    };
    if let Some(FailureInfo::TimeoutFailureInfo(info)) = &mut failure.failure_info {
        info.last_heartbeat_details.clone_from(&activity.state.heartbeat_details);
    }
    failure.cause = activity.state.last_failure.clone().map(Box::new);
    failure
}
