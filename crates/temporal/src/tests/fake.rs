//! A node whose answers the test writes, a server in front of it, and a client.

use crate::backend::{self, Backend};
use crate::options::Options;
use crate::server;
use base::{BlobAddr, RunId, Uuid};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use node::Error;
use prost::Message;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceExt};
use workflows::{Ask, EventBatch, HistorySlice, Reply};

pub(crate) const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// What the node does with an ask.
pub(crate) enum Answer {
    Reply(Reply),
    Fail(Error),
    /// It is never answered.
    Never,
}

type Script = dyn Fn(&Ask) -> Answer + Send + Sync;

/// The node. Tells of every ask, and of every waiting ask that was dropped.
#[derive(Clone)]
pub(crate) struct Fake {
    script: Arc<Script>,
    blobs: Arc<Mutex<HashMap<BlobAddr, Bytes>>>,
    events: mpsc::Sender<Event>,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Asked(Ask),
    Forgotten,
    GivenBack(Reply),
}

/// An answer that tells when it is not taken.
pub(crate) struct FakeAnswer(Option<Reply>, mpsc::Sender<Event>);

impl backend::Answer for FakeAnswer {
    fn reply(&self) -> &Reply {
        self.0.as_ref().expect("not yet taken")
    }

    fn take(mut self) -> Reply {
        self.0.take().expect("not yet taken")
    }
}

impl Drop for FakeAnswer {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            let _ = self.1.try_send(Event::GivenBack(reply));
        }
    }
}

impl Fake {
    pub(crate) fn new(
        script: impl Fn(&Ask) -> Answer + Send + Sync + 'static,
    ) -> (Fake, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(1024);
        (Fake { script: Arc::new(script), blobs: Arc::default(), events }, receiver)
    }

    /// The same node, with other answers.
    pub(crate) fn with(self, script: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Fake {
        Fake { script: Arc::new(script), ..self }
    }

    /// Writes batches of so many events, of about `event_bytes` each, to the journal.
    pub(crate) fn slice(&self, batch_sizes: &[i64], event_bytes: usize) -> HistorySlice {
        let mut slice = HistorySlice {
            run_id: RunId(Uuid::from_u128(11)),
            batches: Vec::new(),
            transient: Bytes::new(),
            next_event_id: 1,
            closed: false,
        };
        for size in batch_sizes {
            let first = slice.next_event_id;
            let bytes = history(first..first + size, event_bytes);
            let address = BlobAddr {
                segment: 1,
                position: u32::try_from(first).unwrap(),
                length: u32::try_from(bytes.len()).unwrap(),
                crc: 0,
            };
            self.blobs.lock().unwrap().insert(address, bytes);
            slice.batches.push(EventBatch {
                first_event_id: first,
                last_event_id: first + size - 1,
                address,
            });
            slice.next_event_id += size;
        }
        slice
    }

    async fn play(&self, ask: Ask) -> Result<FakeAnswer, Error> {
        struct Waiting<'a>(&'a mpsc::Sender<Event>, bool);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                if self.1 {
                    let _ = self.0.try_send(Event::Forgotten);
                }
            }
        }
        let answer = (self.script)(&ask);
        let _ = self.events.try_send(Event::Asked(ask));
        let mut waiting = Waiting(&self.events, true);
        if matches!(answer, Answer::Never) {
            std::future::pending::<()>().await;
        }
        waiting.1 = false;
        match answer {
            Answer::Reply(reply) => Ok(FakeAnswer(Some(reply), self.events.clone())),
            Answer::Fail(error) => Err(error),
            Answer::Never => unreachable!("it waits"),
        }
    }
}

impl Backend for Fake {
    type Answer = FakeAnswer;

    fn workflows(&self, ask: Ask) -> impl Future<Output = Result<FakeAnswer, Error>> + Send {
        self.play(ask)
    }

    async fn workflows_within(
        &self,
        ask: Ask,
        within: Duration,
    ) -> Result<Option<FakeAnswer>, Error> {
        match tokio::time::timeout(within, self.play(ask)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        let found = self.blobs.lock().unwrap().get(&address).cloned();
        found.ok_or_else(|| Error::Read("no such blob".to_owned()))
    }

    fn cluster_id(&self) -> Uuid {
        Uuid::from_u128(5)
    }
}

/// The wire form of a history with these events.
pub(crate) fn history(ids: std::ops::Range<i64>, event_bytes: usize) -> Bytes {
    let mut history = History::default();
    for event_id in ids {
        let text = "x".repeat(event_bytes);
        let user_metadata = Some(temporalio_protos::temporal::api::sdk::v1::UserMetadata {
            summary: Some(temporalio_protos::temporal::api::common::v1::Payload {
                data: text.into_bytes(),
                ..Default::default()
            }),
            details: None,
        });
        history.events.push(HistoryEvent { event_id, user_metadata, ..Default::default() });
    }
    history.encode_to_vec().into()
}

/// The ids of a history's events.
pub(crate) fn ids(history: Option<&History>) -> Vec<i64> {
    history.expect("a history").events.iter().map(|event| event.event_id).collect()
}

/// A server, with a node or a fake behind it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), server::Error>>,
}

impl Running {
    pub(crate) async fn start<B: Backend>(node: B, options: Options) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::run(listener, node, options, async {
            let _ = stopped.await;
        }));
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        let client = Client(endpoint.connect().await.unwrap());
        Running { address, client, stop, server }
    }

    /// The same without the connection that it came with.
    pub(crate) fn without_client(self) -> Running {
        let nowhere = Channel::from_static("http://127.0.0.1:1").connect_lazy();
        Running { client: Client(nowhere), ..self }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.server.await.unwrap().unwrap();
    }
}

/// A client that knows the real messages, and not the twins.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Channel);

impl Client {
    pub(crate) async fn call<Q, S>(&self, method: &str, request: Q) -> Result<S, Status>
    where
        Q: Message + Send + Sync + 'static,
        S: Message + Default + Send + Sync + 'static,
    {
        self.send(SERVICE, method, Request::new(request), false).await.map(Response::into_inner)
    }

    pub(crate) async fn send<Q, S>(
        &self,
        service: &str,
        method: &str,
        request: Request<Q>,
        gzip: bool,
    ) -> Result<Response<S>, Status>
    where
        Q: Message + Send + Sync + 'static,
        S: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        if gzip {
            grpc = grpc
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready().await.unwrap();
        let path = format!("/{service}/{method}").parse().unwrap();
        grpc.unary(request, path, ProstCodec::<Q, S>::default()).await
    }

    /// Sends bytes that no client would send, and gives the status and the answer's body.
    pub(crate) async fn send_raw(
        &self,
        method: &str,
        frame: Vec<u8>,
        encoding: Option<&str>,
    ) -> (Option<Status>, Bytes) {
        let body = Body::new(http_body_util::Full::new(Bytes::from(frame)));
        let response = self.send_body(method, body, encoding).await;
        assert!(response.headers().get("grpc-encoding").is_none(), "answers are not compressed");
        let status = Status::from_header_map(response.headers());
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().and_then(Status::from_header_map);
        (status.or(trailers), collected.to_bytes())
    }

    /// Sends the beginning of a request and never its end.
    pub(crate) async fn send_unfinished(&self, method: &str, begin: Vec<u8>) -> Option<Status> {
        let begin = tokio_stream::once(Ok::<_, Status>(Frame::data(Bytes::from(begin))));
        let body = Body::new(http_body_util::StreamBody::new(begin.chain(tokio_stream::pending())));
        let response = self.send_body(method, body, None).await;
        Status::from_header_map(response.headers())
    }

    async fn send_body(
        &self,
        method: &str,
        body: Body,
        encoding: Option<&str>,
    ) -> http::Response<Body> {
        let mut request = http::Request::post(format!("/{SERVICE}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let mut channel = self.0.clone();
        channel.ready().await.unwrap().call(request.body(body).unwrap()).await.unwrap()
    }
}

/// One gRPC message: flag, length, bytes.
pub(crate) fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(compressed)];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}
