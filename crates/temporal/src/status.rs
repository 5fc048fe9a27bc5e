//! Refusals as gRPC statuses, as Temporal's server writes them: SDKs match codes, some messages
//! literally, and the first detail of `grpc-status-details-bin`.

use bytes::Bytes;
use node::Error;
use prost::{Message, Name};
use temporalio_protos::google::rpc;
use temporalio_protos::temporal::api::enums::v1::{
    ResourceExhaustedCause as Cause, ResourceExhaustedScope as Scope,
};
use temporalio_protos::temporal::api::errordetails::v1 as errordetails;
use temporalio_protos::temporal::api::failure::v1::Failure;
use tonic::{Code, Status};
use workflows::Refusal;

// A status travels in headers, and a status that bursts a client's header limit reaches it as
// "internal error" or not at all. The tightest limit is Java's, 8 KiB for all headers; in them,
// `grpc-message` is percent-encoded, and `grpc-status-details-bin`, which repeats it, is base64.

/// Bytes of `grpc-message`.
const MESSAGE_HEADER_BYTES_MAX: usize = 2_000;
/// Bytes of the details, before base64.
const DETAILS_BYTES_MAX: usize = 4_000;
/// Bytes of the text of a failure that is too large for the details.
const FAILURE_TEXT_BYTES_MAX: usize = 1_000;

/// The status of a request that was not carried out.
pub(crate) fn of(error: Error) -> Status {
    match error {
        Error::Workflows(refusal) => of_refusal(refusal),
        Error::Full => exhausted(&error.to_string(), Cause::PersistenceStorageLimit, Scope::System),
        Error::Overloaded => exhausted(&error.to_string(), Cause::SystemOverloaded, Scope::System),
        // The words by which SDKs know that the same request can never succeed.
        Error::TooLarge { .. } => {
            Status::resource_exhausted(format!("grpc: received message larger than max ({error})"))
        }
        Error::Stopping => Status::unavailable(error.to_string()),
        Error::Read(_) => Status::data_loss(error.to_string()),
        Error::Topics(_) => Status::internal(error.to_string()),
    }
}

fn of_refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::InvalidArgument(message) | Refusal::SignalsExhausted(message) => {
            Status::invalid_argument(shortened(message))
        }
        Refusal::Unimplemented(message) => Status::unimplemented(shortened(message)),
        Refusal::NotFound(message) | Refusal::WorkflowClosed(message) => {
            with_detail(Code::NotFound, message, &errordetails::NotFoundFailure::default())
        }
        Refusal::NamespaceNotFound(namespace) => {
            let message = format!("Namespace {namespace} is not found.");
            let detail = errordetails::NamespaceNotFoundFailure { namespace };
            with_detail(Code::NotFound, message, &detail)
        }
        Refusal::NamespaceAlreadyExists(message) => {
            let detail = errordetails::NamespaceAlreadyExistsFailure {};
            with_detail(Code::AlreadyExists, message, &detail)
        }
        Refusal::AlreadyStarted { message, start_request_id, run_id } => {
            let detail = errordetails::WorkflowExecutionAlreadyStartedFailure {
                start_request_id,
                run_id,
                ..Default::default()
            };
            with_detail(Code::AlreadyExists, message, &detail)
        }
        Refusal::ResourceExhausted { message, cause, scope } => exhausted(&message, cause, scope),
        Refusal::WorkflowNotReady(message) => {
            let detail = errordetails::WorkflowNotReadyFailure {};
            with_detail(Code::FailedPrecondition, message, &detail)
        }
        Refusal::QueryFailed { message, failure } => query_failed(message, failure.map(|f| *f)),
    }
}

/// UNIMPLEMENTED, in the words of grpc-go.
pub(crate) fn unknown_method(service: &str, method: &str) -> Status {
    let message = format!("unknown method {method} for service {service}");
    Status::unimplemented(shortened(message))
}

/// RESOURCE_EXHAUSTED, with cause and scope.
pub(crate) fn exhausted(message: &str, cause: Cause, scope: Scope) -> Status {
    let detail =
        errordetails::ResourceExhaustedFailure { cause: cause.into(), scope: scope.into() };
    with_detail(Code::ResourceExhausted, message.to_owned(), &detail)
}

/// A failure that is too large for a header goes without its cause and stack trace.
fn query_failed(message: String, failure: Option<Failure>) -> Status {
    let message = shortened(message);
    let mut detail = errordetails::QueryFailedFailure { failure };
    if message.len() + detail.encoded_len() > DETAILS_BYTES_MAX {
        detail.failure = detail.failure.map(|failure| Failure {
            message: cut(failure.message, FAILURE_TEXT_BYTES_MAX),
            ..Default::default()
        });
    }
    with_detail(Code::InvalidArgument, message, &detail)
}

fn with_detail<D: Message + Name>(code: Code, message: String, detail: &D) -> Status {
    let message = shortened(message);
    let any = prost_types::Any {
        type_url: format!("type.googleapis.com/{}", D::full_name()),
        value: detail.encode_to_vec(),
    };
    let details = rpc::Status { code: code.into(), message: message.clone(), details: vec![any] };
    Status::with_details(code, message, Bytes::from(details.encode_to_vec()))
}

/// As much of a text as fits into `grpc-message`.
fn shortened(message: String) -> String {
    let mut header_bytes = 0;
    let fits = message.bytes().take_while(|byte| {
        header_bytes += if byte.is_ascii_alphanumeric() { 1 } else { 3 };
        header_bytes <= MESSAGE_HEADER_BYTES_MAX
    });
    let length = fits.count();
    cut(message, length)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
