//! Unknown RPCs and refusals, as a client sees them.

use super::fake::{Answer, Fake, Running, SERVICE};
use crate::options::Options;
use node::Error;
use prost::Message;
use temporalio_protos::google::rpc;
use temporalio_protos::temporal::api::enums::v1::{
    ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope,
};
use temporalio_protos::temporal::api::errordetails::v1 as errordetails;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Request, Status};
use workflows::{Ask, Refusal, Reply};

#[tokio::test]
async fn what_is_not_served_is_refused_by_name() {
    let (fake, _) = Fake::new(|_| Answer::Never);
    let running = Running::start(fake, Options::default()).await;
    for (service, method) in [
        (SERVICE, "UpdateWorkflowExecution"),
        (SERVICE, "RecordWorkerHeartbeat"),
        (SERVICE, "NoSuchThing"),
        ("temporal.api.operatorservice.v1.OperatorService", "ListSearchAttributes"),
        ("a.b.C", "D"),
    ] {
        let sent = running.client.send::<_, ()>(service, method, Request::new(()), false).await;
        let status = sent.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.message(), format!("unknown method {method} for service {service}"));
    }
    running.stop().await;
}

#[tokio::test]
async fn the_server_tells_about_itself_and_the_node_answers_the_rest() {
    let (fake, mut events) = Fake::new(|ask| match ask {
        Ask::SignalWorkflowExecution(_) => Answer::Reply(Reply::SignalWorkflowExecution),
        Ask::DescribeNamespace(_) => Answer::Reply(Reply::DescribeNamespace(Box::default())),
        _ => Answer::Reply(Reply::Done),
    });
    let running = Running::start(fake, Options::default()).await;
    let client = running.client.clone();
    let info: GetSystemInfoResponse = client.call("GetSystemInfo", ()).await.unwrap();
    assert_eq!(info.server_version, "1.31.2");
    assert!(info.capabilities.unwrap().eager_workflow_start);
    let cluster: GetClusterInfoResponse = client.call("GetClusterInfo", ()).await.unwrap();
    assert_eq!((cluster.cluster_name.as_str(), cluster.history_shard_count), ("active", 1));
    assert_eq!(cluster.cluster_id, "00000000-0000-0000-0000-000000000005");
    let signal = SignalWorkflowExecutionRequest { signal_name: "s".into(), ..Default::default() };
    let sent = Request::new(signal.clone());
    let answer: SignalWorkflowExecutionResponse =
        client.send(SERVICE, "SignalWorkflowExecution", sent, true).await.unwrap().into_inner();
    assert_eq!(answer, SignalWorkflowExecutionResponse::default());
    match events.recv().await {
        Some(super::fake::Event::Asked(Ask::SignalWorkflowExecution(asked))) => {
            assert_eq!(*asked, signal);
        }
        other => panic!("{other:?}"),
    }
    let () = client.call("DescribeNamespace", ()).await.unwrap();
    let sent: Result<(), Status> = client.call("ListNamespaces", ()).await;
    assert_eq!(sent.unwrap_err().code(), Code::Internal, "an answer to another question");
    running.stop().await;
}

/// What a signal is answered with when the node says `error`.
async fn status_of(error: Error) -> Status {
    let (fake, _) = Fake::new(move |_| Answer::Fail(error.clone()));
    let running = Running::start(fake, Options::default()).await;
    let sent: Result<(), Status> = running.client.call("SignalWorkflowExecution", ()).await;
    running.stop().await;
    sent.unwrap_err()
}

/// The first detail, which is all that SDKs look at.
fn detail<D: Message + Default + prost::Name>(status: &Status) -> D {
    let details = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((details.code, details.message.as_str()), (status.code() as i32, status.message()));
    assert_eq!(details.details[0].type_url, format!("type.googleapis.com/{}", D::full_name()));
    D::decode(details.details[0].value.as_slice()).unwrap()
}

async fn check<D>(refusal: Refusal, code: Code, message: &str, want: D)
where
    D: Message + Default + prost::Name + PartialEq + std::fmt::Debug,
{
    let status = status_of(Error::Workflows(refusal)).await;
    assert_eq!((status.code(), status.message()), (code, message));
    assert_eq!(detail::<D>(&status), want);
}

#[tokio::test]
async fn refusals_carry_the_details_that_sdks_look_for() {
    check(
        Refusal::NotFound("workflow not found".into()),
        Code::NotFound,
        "workflow not found",
        errordetails::NotFoundFailure::default(),
    )
    .await;
    check(
        Refusal::WorkflowClosed("closed".into()),
        Code::NotFound,
        "closed",
        errordetails::NotFoundFailure::default(),
    )
    .await;
    check(
        Refusal::NamespaceNotFound("shop".into()),
        Code::NotFound,
        "Namespace shop is not found.",
        errordetails::NamespaceNotFoundFailure { namespace: "shop".into() },
    )
    .await;
    check(
        Refusal::NamespaceAlreadyExists("there".into()),
        Code::AlreadyExists,
        "there",
        errordetails::NamespaceAlreadyExistsFailure {},
    )
    .await;
    check(
        Refusal::AlreadyStarted {
            message: "running".into(),
            start_request_id: "q".into(),
            run_id: "r".into(),
        },
        Code::AlreadyExists,
        "running",
        errordetails::WorkflowExecutionAlreadyStartedFailure {
            start_request_id: "q".into(),
            run_id: "r".into(),
            ..Default::default()
        },
    )
    .await;
    check(
        Refusal::WorkflowNotReady("not yet".into()),
        Code::FailedPrecondition,
        "not yet",
        errordetails::WorkflowNotReadyFailure {},
    )
    .await;
    let failure = Failure { message: "no such query".into(), ..Default::default() };
    check(
        Refusal::QueryFailed { message: "no".into(), failure: Some(Box::new(failure.clone())) },
        Code::InvalidArgument,
        "no",
        errordetails::QueryFailedFailure { failure: Some(failure) },
    )
    .await;
    check(
        Refusal::ResourceExhausted {
            message: "busy".into(),
            cause: Cause::BusyWorkflow,
            scope: Scope::Namespace,
        },
        Code::ResourceExhausted,
        "busy",
        errordetails::ResourceExhaustedFailure {
            cause: Cause::BusyWorkflow.into(),
            scope: Scope::Namespace.into(),
        },
    )
    .await;
}

#[tokio::test]
async fn refusals_without_details_keep_their_exact_words() {
    for (error, code, message) in [
        (
            Error::Workflows(Refusal::InvalidArgument("UnhandledCommand".into())),
            Code::InvalidArgument,
            "UnhandledCommand",
        ),
        (
            Error::Workflows(Refusal::SignalsExhausted("enough".into())),
            Code::InvalidArgument,
            "enough",
        ),
        (Error::Workflows(Refusal::Unimplemented("cron".into())), Code::Unimplemented, "cron"),
        (Error::Stopping, Code::Unavailable, "the node is stopping"),
        (Error::Full, Code::ResourceExhausted, "the journal is full"),
        (Error::Overloaded, Code::ResourceExhausted, "too many requests wait for the node"),
        (Error::Read("bad".into()), Code::DataLoss, "the journal cannot be read: bad"),
    ] {
        let status = status_of(error).await;
        assert_eq!((status.code(), status.message()), (code, message));
    }
    let status = status_of(Error::TooLarge { size_bytes: 9 }).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("grpc: received message larger than max"));
}

/// Headers have limits; a status that exceeds them would reach no client at all.
#[tokio::test]
async fn a_huge_failure_still_reaches_the_client() {
    let failure = Failure {
        message: "é".repeat(100_000),
        stack_trace: "s".repeat(1 << 20),
        source: "RustSDK".into(),
        ..Default::default()
    };
    let message = "é".repeat(100_000);
    let refusal = Refusal::QueryFailed { message, failure: Some(Box::new(failure)) };
    let status = status_of(Error::Workflows(refusal)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "é".repeat(333));
    let failure = detail::<errordetails::QueryFailedFailure>(&status).failure.unwrap();
    assert_eq!(failure.message, "é".repeat(500));
    assert!(status.details().len() < 4_000);
}
