//! Restate's official SDK, serving a handler of three durable steps, and callers of it through the
//! ingress: HTTP/1.1, a connection for each call under way.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use restate_sdk::prelude::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::worker::script::Order;

/// The service and its handler.
const HANDLER: &str = "/Steps/run";
/// How long a call may take.
const CALL_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// Three steps, each of them durable before the next: they answer what they were given.
pub(crate) struct Steps;

#[restate_sdk::service]
impl Steps {
    #[handler]
    async fn run(&self, ctx: Context<'_>, order: Json<Order>) -> Result<Json<Order>, HandlerError> {
        let order = ctx.run(async move || Ok(order)).name("reserve").await?;
        let order = ctx.run(async move || Ok(order)).name("charge").await?;
        Ok(ctx.run(async move || Ok(order)).name("ship").await?)
    }
}

/// The service at work; it ends when it is dropped.
pub(crate) struct Worker {
    serving: JoinHandle<()>,
}

impl Worker {
    /// Serves on a free port of this machine and tells Restate's administration of it.
    pub(crate) async fn start(admin: &str) -> Result<Worker> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = HttpServer::new(Endpoint::builder().bind(Steps).build());
        let never = std::future::pending::<()>();
        let worker = Worker { serving: tokio::spawn(server.serve_with_cancel(listener, never)) };
        let body = serde_json::json!({ "uri": format!("http://{address}/") }).to_string();
        let (status, said) = Callers::new(admin)?.post("/deployments", body).await?;
        ensure!(status == StatusCode::CREATED, "Restate does not know the service: {said}");
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Connections to one address; idle ones are used again.
pub(crate) struct Callers {
    authority: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Callers {
    /// Of an `http` URL.
    pub(crate) fn new(url: &str) -> Result<Callers> {
        let uri: Uri = url.parse().with_context(|| format!("the URL {url}"))?;
        let authority = uri.authority().with_context(|| format!("the URL {url}"))?;
        Ok(Callers { authority: authority.to_string(), idle: Mutex::default() })
    }

    /// Calls the handler and waits for its answer.
    pub(crate) async fn run(&self, order: &Order) -> Result<()> {
        let (status, said) = self.post(HANDLER, serde_json::to_string(order)?).await?;
        ensure!(status == StatusCode::OK, "{HANDLER} answers {status}: {said}");
        Ok(())
    }

    async fn post(&self, path: &str, body: String) -> Result<(StatusCode, String)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            connection.ready().await?;
            let answer = connection.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (status, said) = tokio::time::timeout(CALL_MAX, exchange).await??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender; what went wrong is told to whoever sends.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}
