//! The door for the fuzz targets: the whole service, from a gRPC body to its answer, without
//! sockets and with the machine itself behind it instead of a node. Deterministic.
//!
//! Invariant of every run: what the machine plans comes back from its bytes on disk as it was,
//! and its own invariants hold afterwards.

use crate::backend::{self, Backend};
use crate::front::Front;
use crate::generated::temporal::api::workflowservice::v1::workflow_service_server::WorkflowServiceServer;
use crate::options::Options;
use crate::page_token::{Kind, Owner, PageToken};
use crate::{deadline, elements};
use base::{
    Blob, BlobAddr, Cx, JournalOp, Lsn, Machine, RunId, SeededEntropy, Ticket, Timestamp, Uuid,
    Verdict,
};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use node::Error;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower::Service;
use workflows::{Ask, Effect, Limits, Op, Refusal, Reply, Workflows};

/// How much may become due at once before it counts as endless.
const EXPIRIES_MAX: usize = 10_000;

/// The RPCs that are answered, sorted.
pub fn methods() -> impl Iterator<Item = &'static str> {
    elements::methods()
}

/// Reads a page token as if it were this execution's; says whether it is.
pub fn page_token(bytes: &[u8], namespace: &str, workflow_id: &str) -> bool {
    PageToken::decode(bytes, Owner { namespace, workflow_id }).is_ok()
}

/// Reads the header `grpc-timeout`; says whether it is one.
pub fn timeout(value: &[u8]) -> bool {
    let mut metadata = MetadataMap::new();
    let Ok(value) = value.try_into() else { return false };
    metadata.insert("grpc-timeout", value);
    let (default, max) = (Duration::from_secs(10), Duration::from_secs(300));
    deadline::of_request(&metadata, default, max).is_ok()
}

/// A new machine, and the service in front of it.
pub struct Session {
    behind: Behind,
    service: WorkflowServiceServer<Front<Behind>>,
    _stop: watch::Sender<bool>,
}

impl Default for Session {
    fn default() -> Session {
        let options = Options::default();
        let (stop, stopping) = watch::channel(false);
        let behind = Behind::new();
        let bytes_max = options.request_bytes_max;
        let front = Front::new(behind.clone(), Arc::new(options), stopping);
        let service = WorkflowServiceServer::new(front)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(bytes_max);
        Session { behind, service, _stop: stop }
    }
}

impl Session {
    /// Sends one request and gives the status of its answer. `is_gzip` says what the body claims
    /// to be.
    pub async fn call(&mut self, method: &str, body: &[u8], is_gzip: bool) -> Code {
        let mut frame = BytesMut::with_capacity(body.len() + 5);
        frame.put_u8(u8::from(is_gzip));
        frame.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        frame.put_slice(body);
        let encoding = if is_gzip { "gzip" } else { "identity" };
        let request = http::Request::post(format!(
            "/temporal.api.workflowservice.v1.WorkflowService/{method}"
        ))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(Body::new(Full::new(frame.freeze())));
        let Ok(request) = request else { return Code::Unimplemented };
        let Ok(response) = self.service.call(request).await;
        let early = Status::from_header_map(response.headers());
        let Ok(collected) = response.into_body().collect().await else { return Code::Unknown };
        let late = collected.trailers().and_then(Status::from_header_map);
        early.or(late).map_or(Code::Ok, |status| status.code())
    }

    /// The token of the task that was handed out last, or so many before it.
    pub fn token(&self, before: usize) -> Bytes {
        self.behind.locked().tokens.iter().rev().nth(before).cloned().unwrap_or_default()
    }

    /// A page token of the run that was started last, with whatever it says: whether it is that of
    /// a task, the next event, the end, and what comes after.
    pub fn page_token(
        &self,
        owner: (&str, &str),
        is_task: bool,
        events: (i64, i64),
        transient: &[u8],
    ) -> Vec<u8> {
        let token = PageToken {
            kind: if is_task { Kind::Task } else { Kind::History },
            run_id: RunId(self.behind.locked().run_id),
            next_event_id: events.0,
            end_event_id: events.1,
            transient: Bytes::copy_from_slice(transient),
        };
        token.encode(Owner { namespace: owner.0, workflow_id: owner.1 })
    }

    /// Time moves on, and what becomes due is done.
    pub fn pass(&mut self, time: Duration) {
        let mut state = self.behind.locked();
        state.now = state.now.after(time);
        for _ in 0..EXPIRIES_MAX {
            let Some(due) = state.workflows.due(state.now) else { return };
            let _ = state.ask(due);
        }
        panic!("what is due does not end");
    }

    /// Panics if an invariant of the machine does not hold.
    pub fn check(&self) {
        self.behind.locked().workflows.check();
    }
}

/// The machine, and what a node keeps beside it.
#[derive(Clone)]
struct Behind(Arc<Mutex<State>>);

struct State {
    workflows: Workflows,
    entropy: SeededEntropy,
    now: Timestamp,
    lsn: Lsn,
    tickets: u64,
    position: u32,
    blobs: HashMap<BlobAddr, Bytes>,
    answers: BTreeMap<Ticket, Result<Reply, Refusal>>,
    tokens: Vec<Bytes>,
    run_id: Uuid,
}

impl Behind {
    fn new() -> Behind {
        let mut state = State {
            workflows: Workflows::new(Limits::default(), 0),
            entropy: SeededEntropy::new(1),
            now: Timestamp::from_millis(1_700_000_000_000),
            lsn: Lsn(0),
            tickets: 0,
            position: 0,
            blobs: HashMap::new(),
            answers: BTreeMap::new(),
            tokens: Vec::new(),
            run_id: Uuid::nil(),
        };
        let birth = Workflows::birth(&Cx { now: state.now, entropy: &state.entropy });
        state.append(&birth, &mut Vec::new());
        Behind(Arc::new(Mutex::new(state)))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if it has to wait.
    fn ask(&self, ask: Ask) -> Result<Option<Answer>, Error> {
        let mut state = self.locked();
        // Its client waits on, so that a later call can be the worker's answer.
        let is_query = matches!(ask, Ask::QueryWorkflow(_));
        let ticket = state.ask(ask).map_err(Error::Workflows)?;
        let Some(answer) = state.answers.remove(&ticket) else {
            if !is_query {
                state.workflows.forget(ticket);
            }
            return Ok(None);
        };
        let reply = answer.map_err(Error::Workflows)?;
        if let Reply::StartWorkflowExecution(response, _) = &reply {
            state.run_id = response.run_id.parse().unwrap_or_default();
        }
        let token = match &reply {
            Reply::WorkflowTask(task) => Some(&task.response.task_token),
            Reply::ActivityTask(task) => Some(&task.response.task_token),
            Reply::StartWorkflowExecution(_, Some(task))
            | Reply::RespondWorkflowTaskCompleted(_, Some(task)) => Some(&task.response.task_token),
            _ => None,
        };
        if let Some(token) = token {
            state.tokens.push(Bytes::copy_from_slice(token));
        }
        Ok(Some(Answer(reply)))
    }
}

impl State {
    fn ask(&mut self, ask: Ask) -> Result<Ticket, Refusal> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let cx = Cx { now: self.now, entropy: &self.entropy };
        let mut plan = Vec::new();
        let answer = match self.workflows.decide(&ask, ticket, &cx, &mut plan) {
            Verdict::Go(answer) => answer,
            Verdict::Refuse(refusal) => return Err(refusal),
        };
        let mut effects = Vec::new();
        self.append(&plan, &mut effects);
        let cx = Cx { now: self.now, entropy: &self.entropy };
        self.workflows.attend(ask, ticket, &cx, &mut effects);
        self.answers.extend(answer.map(|answer| (ticket, Ok(answer))));
        for Effect::Reply(ticket, answer) in effects {
            self.answers.insert(ticket, *answer);
        }
        Ok(ticket)
    }

    /// By way of the ops' bytes, as a restart would.
    fn append(&mut self, ops: &[Op], effects: &mut Vec<Effect>) {
        self.lsn = self.lsn.next();
        for op in ops {
            let (mut body, mut blobs) = (Vec::new(), Vec::new());
            let kind = op.encode(&mut body, &mut blobs);
            let addresses: Vec<BlobAddr> = blobs.iter().map(|blob| self.store(blob)).collect();
            let bytes: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
            match Op::decode(kind, &body, &bytes) {
                Ok(read) => {
                    assert_eq!(format!("{read:?}"), format!("{op:?}"), "what is read was written");
                    self.workflows.apply(self.lsn, self.now, &read, &addresses, effects);
                }
                Err(error) => panic!("{op:?} cannot be read back: {error}"),
            }
        }
    }

    fn store(&mut self, blob: &Blob) -> BlobAddr {
        let length = blob.bytes().len() as u32;
        let address = BlobAddr { segment: 1, position: self.position, length, crc: blob.crc() };
        self.position += length;
        self.blobs.insert(address, blob.bytes().clone());
        address
    }
}

/// An answer that came at once.
struct Answer(Reply);

impl backend::Answer for Answer {
    fn reply(&self) -> &Reply {
        &self.0
    }

    fn take(self) -> Reply {
        self.0
    }
}

impl Backend for Behind {
    type Answer = Answer;

    async fn workflows(&self, ask: Ask) -> Result<Answer, Error> {
        self.ask(ask)?.ok_or(Error::Stopping)
    }

    async fn workflows_within(&self, ask: Ask, _: Duration) -> Result<Option<Answer>, Error> {
        self.ask(ask)
    }

    async fn read(&self, address: BlobAddr) -> Result<Bytes, Error> {
        let found = self.locked().blobs.get(&address).cloned();
        found.ok_or_else(|| Error::Read("no such blob".to_owned()))
    }

    fn cluster_id(&self) -> Uuid {
        Uuid::from_u128(5)
    }
}
