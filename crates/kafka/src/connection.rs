//! One connection: requests are read and begun in order, answers leave in the same order.
//!
//! Reading and writing are two loops of one task, joined by a bounded queue of requests under
//! way. When the queue or the budgets are full the socket is not read, and a client that does not
//! read its answers stops only itself. When the client has gone, its waits are given up and its
//! produces are carried out.

use crate::{
    api::{IsPlaced, NoAnswer},
    backend::{self, Backend},
    budget::{Budgets, Share},
    dispatch::{self, Answer, Context, Pending},
    frame::{self, FrameReader},
    options::Limits,
    wire::{Frame, Piece},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{
        mpsc::{self, error::TryRecvError},
        watch,
    },
    time::timeout,
};
use topics::BatchRef;

/// Small pieces are gathered until there are so many bytes.
const GATHERED_BYTES: usize = 64 << 10;
/// A piece from this size on is written from where it lies.
const LARGE_PIECE_BYTES: usize = 16 << 10;
/// The part of a batch that is rewritten on the way out: base offset, length, leader epoch.
const BATCH_HEAD_BYTES: usize = 16;

/// Why a connection ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request cannot be read.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// The request cannot be understood or is not served.
    #[error(transparent)]
    Dispatch(#[from] dispatch::Error),
    /// There is no answer, and the protocol has no other way to say so.
    #[error("{0}")]
    NoAnswer(String),
    /// A batch of an answer that has begun cannot be read.
    #[error("{batch:?} cannot be read: {source}")]
    Batch {
        /// The batch.
        batch: BatchRef,
        /// Why.
        source: backend::Error,
    },
    /// Others wait for the bytes in flight that this client holds and does nothing with.
    #[error("others wait for what this client holds: it neither sends the rest nor reads")]
    Overstayed,
    /// The answer cannot be written.
    #[error(transparent)]
    Write(std::io::Error),
}

impl Error {
    /// Whether it is the end that any connection may come to, and no one need be told.
    pub(crate) fn is_ordinary(&self) -> bool {
        use frame::Error::{Idle, Io};
        matches!(self, Error::Write(_) | Error::Frame(Io(_) | Idle(_)))
    }
}

/// Serves one connection until either side ends it, or `stop` becomes true.
pub(crate) async fn run<B: Backend>(
    (reader, writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    context: Arc<Context<B>>,
    budgets: Budgets,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let limits = &context.peer.limits;
    let (queue, queued) = mpsc::channel(limits.requests_in_flight_count_max.max(1));
    let (gone, is_gone) = watch::channel(false);
    let outgoing = Outgoing::new(writer, &context);
    let mut writing = pin!(write_answers(outgoing, queued, &budgets, is_gone));
    let read = tokio::select! {
        biased;
        read = read_requests(reader, &context, limits, &budgets, queue, stop) => read,
        written = &mut writing => return written,
        () = budgets.overstayed() => return Err(Error::Overstayed),
    };
    gone.send_replace(true);
    let written = writing.await;
    read.and(written)
}

/// A request whose turn has not come.
struct Turn {
    answer: State,
    outlives_client: bool,
    _share: Share,
}

enum State {
    UnderWay(Answer),
    Ready(Result<Frame, NoAnswer>),
}

async fn read_requests<B: Backend>(
    stream: impl AsyncRead + Unpin,
    context: &Arc<Context<B>>,
    limits: &Limits,
    budgets: &Budgets,
    queue: mpsc::Sender<Turn>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut frames = FrameReader::new(stream, budgets.clone(), limits);
    loop {
        let Ok(place) = queue.reserve().await else { return Ok(()) };
        let request = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            request = next_request(&mut frames, budgets, limits) => request?,
        };
        let Some(request) = request else { return Ok(()) };
        place.send(begin(dispatch::begin(context, request)?).await);
    }
}

/// The next request; an error if there has been none for too long while none is being answered.
async fn next_request(
    frames: &mut FrameReader<impl AsyncRead + Unpin>,
    budgets: &Budgets,
    limits: &Limits,
) -> Result<Option<frame::Request>, frame::Error> {
    let mut next = pin!(frames.next());
    loop {
        match timeout(limits.connection_idle_max, &mut next).await {
            Ok(request) => return request,
            Err(_) if budgets.is_unused() => {
                return Err(frame::Error::Idle(limits.connection_idle_max));
            }
            Err(_) => {}
        }
    }
}

/// Lets a request that runs ahead get its place in the node's queue before the next is begun, so
/// that the node has the requests of this connection in their order.
async fn begin(pending: Pending) -> Turn {
    let Pending { mut answer, runs_ahead, outlives_client, share: _share } = pending;
    let ready = match runs_ahead {
        Some(is_placed) => poll_until(&mut answer, &is_placed).await,
        None => None,
    };
    let answer = ready.map_or(State::UnderWay(answer), State::Ready);
    Turn { answer, outlives_client, _share }
}

async fn poll_until(answer: &mut Answer, is_placed: &IsPlaced) -> Option<Result<Frame, NoAnswer>> {
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if is_placed.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

async fn poll_once(answer: &mut Answer) -> Option<Result<Frame, NoAnswer>> {
    poll_fn(|context| {
        Poll::Ready(match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}

async fn write_answers<W: AsyncWrite + Unpin, B: Backend>(
    mut outgoing: Outgoing<'_, W, B>,
    mut queue: mpsc::Receiver<Turn>,
    budgets: &Budgets,
    mut gone: watch::Receiver<bool>,
) -> Result<(), Error> {
    loop {
        let turn = match queue.try_recv() {
            Ok(turn) => turn,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                outgoing.flush().await?;
                let Some(turn) = queue.recv().await else { break };
                turn
            }
        };
        match answer(turn, &mut outgoing, budgets, &mut gone).await? {
            Some(Ok(frame)) => outgoing.frame(frame, budgets).await?,
            Some(Err(NoAnswer::Silent)) | None => {}
            Some(Err(NoAnswer::Close(reason))) => {
                outgoing.flush().await?;
                return Err(Error::NoAnswer(reason));
            }
        }
    }
    outgoing.flush().await
}

/// Waits for a request's answer. What is written already leaves before the wait. `None`: the
/// client has gone, and nobody needs the answer.
async fn answer<W: AsyncWrite + Unpin, B: Backend>(
    turn: Turn,
    outgoing: &mut Outgoing<'_, W, B>,
    budgets: &Budgets,
    gone: &mut watch::Receiver<bool>,
) -> Result<Option<Result<Frame, NoAnswer>>, Error> {
    let mut answer = match turn.answer {
        State::Ready(answer) => return Ok(Some(answer)),
        State::UnderWay(answer) => answer,
    };
    if let Some(answer) = poll_once(&mut answer).await {
        return Ok(Some(answer));
    }
    outgoing.flush().await?;
    if turn.outlives_client {
        budgets.set_waiting_for_us(true);
        let answer = answer.await;
        budgets.set_waiting_for_us(false);
        return Ok(Some(answer));
    }
    tokio::select! {
        biased;
        answer = &mut answer => Ok(Some(answer)),
        _ = gone.wait_for(|gone| *gone) => Ok(None),
    }
}

/// The writing half: gathers small pieces, writes large ones from where they lie.
struct Outgoing<'a, W, B> {
    stream: W,
    context: &'a Context<B>,
    gathered: BytesMut,
}

impl<'a, W: AsyncWrite + Unpin, B: Backend> Outgoing<'a, W, B> {
    fn new(stream: W, context: &'a Context<B>) -> Self {
        Outgoing { stream, context, gathered: BytesMut::new() }
    }

    async fn frame(&mut self, frame: Frame, budgets: &Budgets) -> Result<(), Error> {
        self.gathered.put_u32(frame.length);
        for piece in frame.pieces {
            match piece {
                Piece::Bytes(bytes) => self.bytes(bytes, budgets).await?,
                Piece::Batch(batch, bytes) => {
                    // Readers that do not read share this bound, not one batch each.
                    let _share = budgets.outgoing(batch.address.length as usize).await;
                    let bytes = match bytes {
                        Some(bytes) => bytes,
                        None => self.read(batch).await?,
                    };
                    self.batch(batch, bytes, budgets).await?;
                }
            }
        }
        Ok(())
    }

    /// The whole batch, or an error: what is missing cannot be made up for once the frame's
    /// length has been told.
    async fn read(&self, batch: BatchRef) -> Result<Bytes, Error> {
        let read = self.context.backend.read(batch).await;
        read.map_err(|source| {
            if let backend::Error::Read(_) = source {
                self.context.peer.damaged.remember(&batch);
            }
            Error::Batch { batch, source }
        })
    }

    async fn batch(
        &mut self,
        batch: BatchRef,
        mut bytes: Bytes,
        budgets: &Budgets,
    ) -> Result<(), Error> {
        let announced = batch.address.length as usize;
        if bytes.len() != announced || announced < BATCH_HEAD_BYTES {
            let reason = format!("{} bytes instead of {announced}", bytes.len());
            return Err(Error::Batch { batch, source: backend::Error::Read(reason) });
        }
        let head = bytes.split_to(BATCH_HEAD_BYTES);
        self.gathered.put_i64(batch.base_offset);
        self.gathered.put_slice(&head[8..12]);
        self.gathered.put_i32(crate::api::LEADER_EPOCH);
        self.bytes(bytes, budgets).await
    }

    async fn bytes(&mut self, bytes: Bytes, budgets: &Budgets) -> Result<(), Error> {
        if bytes.len() < LARGE_PIECE_BYTES {
            self.gathered.put(bytes);
            if self.gathered.len() >= GATHERED_BYTES {
                self.flush().await?;
            }
            return Ok(());
        }
        let mut both = self.gathered.split().chain(bytes);
        while both.has_remaining() {
            self.stream.write_buf(&mut both).await.map_err(Error::Write)?;
            budgets.client_reads();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let mut gathered = self.gathered.split();
        self.stream.write_all_buf(&mut gathered).await.map_err(Error::Write)
    }
}
