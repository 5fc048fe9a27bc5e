//! The commands of a completed workflow task, as scripts write them.
//!
//! ```text
//! activity ID [queue=Q] [start-to-close=D] [schedule-to-close=D] [schedule-to-start=D]
//!          [heartbeat=D] [attempts=N] [initial=D] [coefficient=F] [max=D] [excluded=T,…] [eager]
//!          [untimed]                       (start-to-close is 10s where nothing is said)
//! cancel-activity EVENT | timer ID [DURATION] | cancel-timer ID | marker [NAME]
//! upsert KEY=VALUE | memo KEY=VALUE | done [VALUE] | canceled | fail [failure…]
//! can [queue=Q] [type=T] [input=V] [backoff=D] [cron=C] [attempts=N]
//! child | signal-external | cancel-external | message | nexus | cancel-nexus | bare TYPE
//! failure: [message=M] [type=T] [final] [delay=D]
//! ```

use crate::words::{Words, payload, payloads, proto_duration, span};
use std::collections::HashMap;
use temporalio_protos::temporal::api::command::v1 as command;
use temporalio_protos::temporal::api::command::v1::Command;
use temporalio_protos::temporal::api::command::v1::command::Attributes;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::{CommandType, TaskQueueKind};
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;

/// One command.
pub(crate) fn parse(text: &str) -> Command {
    let words = Words::of(text);
    let attributes = match words.word(0) {
        "bare" => {
            let name = format!("COMMAND_TYPE_{}", words.word(1));
            let kind = CommandType::from_str_name(&name).expect("a command type");
            return Command { command_type: kind as i32, ..Command::default() };
        }
        "activity" => Attributes::ScheduleActivityTaskCommandAttributes(activity(&words)),
        "cancel-activity" => Attributes::RequestCancelActivityTaskCommandAttributes(
            command::RequestCancelActivityTaskCommandAttributes {
                scheduled_event_id: words.word(1).parse().expect("an event id"),
            },
        ),
        "timer" => Attributes::StartTimerCommandAttributes(command::StartTimerCommandAttributes {
            timer_id: words.word(1).to_owned(),
            start_to_fire_timeout: words
                .plain
                .get(2)
                .map(|duration| proto_duration(span(duration))),
        }),
        "cancel-timer" => {
            Attributes::CancelTimerCommandAttributes(command::CancelTimerCommandAttributes {
                timer_id: words.word(1).to_owned(),
            })
        }
        "marker" => {
            Attributes::RecordMarkerCommandAttributes(command::RecordMarkerCommandAttributes {
                marker_name: words.word(1).to_owned(),
                ..Default::default()
            })
        }
        "upsert" | "memo" => properties(&words, text),
        _ => closing(&words),
    };
    Command { attributes: Some(attributes), ..Command::default() }
}

fn properties(words: &Words<'_>, text: &str) -> Attributes {
    let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
    let fields: HashMap<String, common::Payload> = pairs
        .map(|(key, value)| {
            let value = if value.is_empty() { common::Payload::default() } else { payload(value) };
            (key.to_owned(), value)
        })
        .collect();
    if words.word(0) == "memo" {
        Attributes::ModifyWorkflowPropertiesCommandAttributes(
            command::ModifyWorkflowPropertiesCommandAttributes {
                upserted_memo: Some(common::Memo { fields }),
            },
        )
    } else {
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(
            command::UpsertWorkflowSearchAttributesCommandAttributes {
                search_attributes: Some(common::SearchAttributes { indexed_fields: fields }),
            },
        )
    }
}

fn closing(words: &Words<'_>) -> Attributes {
    match words.word(0) {
        "done" => Attributes::CompleteWorkflowExecutionCommandAttributes(
            command::CompleteWorkflowExecutionCommandAttributes {
                result: words.plain.get(1).map(|value| payloads(value)),
            },
        ),
        "canceled" => Attributes::CancelWorkflowExecutionCommandAttributes(Default::default()),
        "fail" => Attributes::FailWorkflowExecutionCommandAttributes(
            command::FailWorkflowExecutionCommandAttributes { failure: Some(application(words)) },
        ),
        "can" => Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(
            command::ContinueAsNewWorkflowExecutionCommandAttributes {
                workflow_type: words
                    .key("type")
                    .map(|name| common::WorkflowType { name: name.to_owned() }),
                task_queue: words.key("queue").map(normal),
                input: words.payloads("input"),
                backoff_start_interval: words.duration("backoff"),
                cron_schedule: words.text("cron", ""),
                retry_policy: policy(words),
                ..Default::default()
            },
        ),
        "child" => Attributes::StartChildWorkflowExecutionCommandAttributes(Default::default()),
        "signal-external" => {
            Attributes::SignalExternalWorkflowExecutionCommandAttributes(Default::default())
        }
        "cancel-external" => {
            Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(Default::default())
        }
        "message" => Attributes::ProtocolMessageCommandAttributes(Default::default()),
        "nexus" => Attributes::ScheduleNexusOperationCommandAttributes(Default::default()),
        "cancel-nexus" => {
            Attributes::RequestCancelNexusOperationCommandAttributes(Default::default())
        }
        other => panic!("unknown command {other}"),
    }
}

fn activity(words: &Words<'_>) -> command::ScheduleActivityTaskCommandAttributes {
    let schedule_to_close_timeout = words.duration("schedule-to-close");
    let unsaid = schedule_to_close_timeout.is_none() && !words.flag("untimed");
    let ten_seconds = unsaid.then(|| proto_duration(span("10s")));
    command::ScheduleActivityTaskCommandAttributes {
        activity_id: words.word(1).to_owned(),
        activity_type: Some(common::ActivityType { name: "A".into() }),
        task_queue: words.key("queue").map(normal),
        input: words.payloads("input"),
        schedule_to_close_timeout,
        schedule_to_start_timeout: words.duration("schedule-to-start"),
        start_to_close_timeout: words.duration("start-to-close").or(ten_seconds),
        heartbeat_timeout: words.duration("heartbeat"),
        retry_policy: policy(words),
        request_eager_execution: words.flag("eager"),
        ..Default::default()
    }
}

/// The retry policy, if one of its fields is said.
pub(crate) fn policy(words: &Words<'_>) -> Option<common::RetryPolicy> {
    let said = ["attempts", "initial", "coefficient", "max", "excluded"];
    said.iter().any(|key| words.key(key).is_some()).then(|| common::RetryPolicy {
        initial_interval: words.duration("initial"),
        backoff_coefficient: words.number("coefficient", 0.0),
        maximum_interval: words.duration("max"),
        maximum_attempts: words.number("attempts", 0),
        non_retryable_error_types: words
            .key("excluded")
            .map_or(Vec::new(), |types| types.split(',').map(str::to_owned).collect()),
    })
}

/// An application failure.
pub(crate) fn application(words: &Words<'_>) -> failure::Failure {
    failure::Failure {
        message: words.text("message", "boom"),
        failure_info: Some(failure::failure::FailureInfo::ApplicationFailureInfo(
            failure::ApplicationFailureInfo {
                r#type: words.text("type", ""),
                non_retryable: words.flag("final"),
                next_retry_delay: words.duration("delay"),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}

/// A normal queue.
pub(crate) fn normal(name: &str) -> TaskQueue {
    let kind = TaskQueueKind::Normal as i32;
    TaskQueue { name: name.to_owned(), kind, normal_name: String::new() }
}

/// A worker's own queue beside the normal one.
pub(crate) fn sticky(name: &str, normal_name: &str) -> TaskQueue {
    let kind = TaskQueueKind::Sticky as i32;
    TaskQueue { name: name.to_owned(), kind, normal_name: normal_name.to_owned() }
}
