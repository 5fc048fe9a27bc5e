//! What it means for a record when the workflows refuse its delivery.
//!
//! Invariant: each refusal means exactly one thing: the record is settled without a signal, it
//! can never be delivered (dead letter), or its lane waits. What only time or an operator can
//! change makes the lane wait: a dead letter would be a loss that nobody asked for.

use crate::delivery::Fate;
use crate::route::{Mode, OnClosed, Route};
use base::planted::{self, Bug};
use workflows::Refusal;

/// What becomes of a refused delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The record is settled so: plan its progress with this fate, and nothing else.
    Settled(Fate),
    /// It will never succeed: a dead letter.
    Permanent(String),
    /// It may succeed later.
    Transient(String),
}

/// Judges what a delivery for `route` was refused with.
pub fn judge(route: &Route, refusal: &Refusal) -> Judgement {
    match refusal {
        Refusal::AlreadyStarted { message, .. } => already_started(route, message),
        Refusal::WorkflowClosed(message) => closed(route, message),
        // A workflow that never was cannot be ignored: it may be a wrong id.
        Refusal::NotFound(message)
        | Refusal::InvalidArgument(message)
        | Refusal::NamespaceAlreadyExists(message)
        | Refusal::QueryFailed { message, .. }
        | Refusal::Unimplemented(message) => Judgement::Permanent(message.clone()),
        // A namespace that is missing today may be registered tomorrow, and until then every
        // record of the route would be a dead letter.
        Refusal::NamespaceNotFound(name) => {
            Judgement::Transient(format!("the namespace \"{name}\" does not exist"))
        }
        // Planted: the workflow has enough to do.
        Refusal::ResourceExhausted { .. } if planted::is(Bug::RecordDroppedAtFullMailbox) => {
            Judgement::Settled(Fate::Ignored)
        }
        // Temporal's code for the first is "invalid", but it ends with the run: it continues as
        // new, or closes and is started again.
        Refusal::SignalsExhausted(message)
        | Refusal::ResourceExhausted { message, .. }
        | Refusal::WorkflowNotReady(message) => Judgement::Transient(message.clone()),
    }
}

/// The workflow id has been used. With signal-with-start a running workflow takes the signal, so
/// it has closed; with start it may be running.
fn already_started(route: &Route, message: &str) -> Judgement {
    match route.on_closed {
        OnClosed::Ignore => Judgement::Settled(Fate::Ignored),
        OnClosed::Start | OnClosed::DeadLetter => Judgement::Permanent(message.to_owned()),
    }
}

/// A signal's workflow has closed.
fn closed(route: &Route, message: &str) -> Judgement {
    if matches!(route.mode, Mode::Signal(_)) && route.on_closed == OnClosed::Ignore {
        Judgement::Settled(Fate::Ignored)
    } else {
        Judgement::Permanent(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Spec;
    use temporalio_protos::temporal::api::enums::v1::{
        ResourceExhaustedCause, ResourceExhaustedScope,
    };

    fn route(mode: &str, on_closed: &str) -> Route {
        let text = |text: &str| Some(text.to_owned());
        let starts = mode != "signal";
        Route::new(Spec {
            name: text("r"),
            topics: Some(vec!["t".to_owned()]),
            mode: text(mode),
            on_closed: text(on_closed),
            signal: (mode != "start").then(|| "s".to_owned()),
            workflow_type: starts.then(|| "W".to_owned()),
            task_queue: starts.then(|| "q".to_owned()),
            ..Spec::default()
        })
        .unwrap()
    }

    #[test]
    fn each_refusal_means_one_thing() {
        let used = Refusal::AlreadyStarted {
            message: "used".into(),
            start_request_id: String::new(),
            run_id: String::new(),
        };
        let closed = Refusal::WorkflowClosed("workflow execution already completed".into());
        let unknown = Refusal::NotFound("workflow not found for ID: x".into());
        let exhausted = Refusal::ResourceExhausted {
            message: "busy".into(),
            cause: ResourceExhaustedCause::BusyWorkflow,
            scope: ResourceExhaustedScope::Namespace,
        };
        let ignored = || Judgement::Settled(Fate::Ignored);
        let permanent = |text: &str| Judgement::Permanent(text.into());
        let transient = |text: &str| Judgement::Transient(text.into());
        let bad = Refusal::InvalidArgument("bad".into());
        let run_limit = "exceeded workflow execution limit for signal events";
        let full = Refusal::SignalsExhausted(run_limit.into());
        let no_namespace = Refusal::NamespaceNotFound("n".into());
        let (with_start, start, signal) = ("signal-with-start", "start", "signal");
        for (mode, on_closed, refusal, want) in [
            (with_start, "ignore", &used, ignored()),
            (with_start, "dead-letter", &used, permanent("used")),
            (start, "ignore", &used, ignored()),
            (start, "start", &used, permanent("used")),
            (signal, "ignore", &closed, ignored()),
            (signal, "dead-letter", &closed, permanent("workflow execution already completed")),
            (signal, "ignore", &unknown, permanent("workflow not found for ID: x")),
            (with_start, "start", &bad, permanent("bad")),
            (with_start, "start", &full, transient(run_limit)),
            (with_start, "start", &exhausted, transient("busy")),
            (with_start, "start", &no_namespace, transient("the namespace \"n\" does not exist")),
        ] {
            assert_eq!(judge(&route(mode, on_closed), refusal), want, "{mode} {on_closed}");
        }
    }
}
