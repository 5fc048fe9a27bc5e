//! Which service a request is for; and the words of the errors that no service writes.
//!
//! Two kinds of error come out of the gRPC library without reaching us: an RPC that does not
//! exist has no message, and a request that is too large has a code that clients take for a
//! passing trouble. Both are answered in the words of Temporal's server, which SDKs look for.

use crate::budget::ReceiveBudget;
use crate::status;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// Sends each request to the service it names.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch<W, H> {
    pub(crate) budget: ReceiveBudget,
    pub(crate) workflow: W,
    pub(crate) health: H,
}

impl<W, H> Service<Request> for Dispatch<W, H>
where
    W: Service<Request, Response = Response, Error = Infallible> + NamedService,
    H: Service<Request, Response = Response, Error = Infallible> + NamedService,
    W::Future: Send + 'static,
    H::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Generated services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let path = request.uri().path().to_owned();
        let (service, method) = split(&path);
        let request = request.map(|body| self.budget.charge(body));
        if service == W::NAME {
            let answer = self.workflow.call(request);
            Box::pin(async move { Ok(reworded(answer.await?, &path)) })
        } else if service == H::NAME {
            let answer = self.health.call(request);
            Box::pin(async move { Ok(reworded(answer.await?, &path)) })
        } else {
            let status = status::unknown_method(service, method);
            Box::pin(async move { Ok(status.into_http()) })
        }
    }
}

/// `/package.Service/Method`.
fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or((path, ""))
}

/// The same response, or a better error. Only an error without a body has its status in the
/// headers.
fn reworded(response: Response, path: &str) -> Response {
    match Status::from_header_map(response.headers()).and_then(|status| better(&status, path)) {
        Some(status) => status.into_http(),
        None => response,
    }
}

fn better(status: &Status, path: &str) -> Option<Status> {
    let message = status.message();
    match status.code() {
        Code::Unimplemented if message.is_empty() => {
            let (service, method) = split(path);
            Some(status::unknown_method(service, method))
        }
        Code::OutOfRange if message.starts_with("Error, decoded message length too large") => {
            let [found, limit] = numbers(message);
            let text = format!("grpc: received message larger than max ({found} vs. {limit})");
            Some(Status::resource_exhausted(text))
        }
        Code::ResourceExhausted if message.starts_with("Error decompressing: size limit") => {
            let [limit, _] = numbers(message);
            let text =
                format!("grpc: received message after decompression larger than max {limit}");
            Some(Status::resource_exhausted(text))
        }
        // What is no gzip now will be none when it is sent again.
        Code::Internal if message.starts_with("Error decompressing") => {
            Some(Status::invalid_argument(message))
        }
        _ => None,
    }
}

/// The first two numbers in a text; 0 where there is none.
fn numbers(text: &str) -> [u64; 2] {
    let mut found = text.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok());
    [found.next().unwrap_or(0), found.next().unwrap_or(0)]
}
