//! The ledger: what the activities did, kept in the demo process so that it outlives every worker.
//!
//! Protocol: one line of JSON for each effect, one line [`ACK`] for each effect taken, in order, over
//! a local TCP connection. An effect counts once however often it is reported: (first run, activity
//! id) names it.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::checker::Effect;

/// The answer to an effect that was taken.
const ACK: &str = "ok\n";
/// Longest line taken: a note of fifty records is a few kilobytes.
const LINE_LIMIT_BYTES: u64 = 1 << 20;

/// The effects reported so far.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    /// How many distinct effects there are; changes wake whoever waits.
    count: watch::Sender<usize>,
    opened: Instant,
}

#[derive(Debug, Default)]
struct Pages {
    seen: HashSet<(String, String)>,
    /// In the order of first arrival.
    effects: Vec<Effect>,
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new() -> Self {
        Self { pages: Mutex::default(), count: watch::Sender::new(0), opened: Instant::now() }
    }

    /// Distinct effects so far, in the order of first arrival.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).effects.clone()
    }

    /// The number of distinct effects.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Takes reports from workers until the task is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let ledger = Arc::clone(&self);
            tokio::spawn(async move {
                // A worker that is killed ends its connection in any way it likes.
                let _ = ledger.serve_worker(stream).await;
            });
        }
    }

    async fn serve_worker(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut reader = BufReader::new(read);
        let mut line = String::new();
        loop {
            line.clear();
            (&mut reader).take(LINE_LIMIT_BYTES).read_line(&mut line).await?;
            // A last line without its end was cut off by a kill: it was not acknowledged.
            if !line.ends_with('\n') {
                return Ok(());
            }
            self.enter(serde_json::from_str(&line)?);
            write.write_all(ACK.as_bytes()).await?;
        }
    }

    fn enter(&self, mut effect: Effect) {
        effect.at_ms = self.opened.elapsed().as_millis() as u64;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (effect.first_run.clone(), effect.activity_id.clone());
        if pages.seen.insert(name) {
            pages.effects.push(effect);
            self.count.send_replace(pages.effects.len());
        }
    }
}

/// A worker's way to the ledger: one connection, one report at a time.
#[derive(Debug)]
pub(crate) struct Client(tokio::sync::Mutex<BufReader<TcpStream>>);

impl Client {
    /// Connects to the ledger at `address`.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(tokio::sync::Mutex::new(BufReader::new(stream))))
    }

    /// Reports `effect`; returns when the ledger has it.
    pub(crate) async fn report(&self, effect: &Effect) -> io::Result<()> {
        let mut line = serde_json::to_vec(effect)?;
        line.push(b'\n');
        // A report that is dropped half-way would leave its answer to the next one; the worker's
        // activities run to their end, so only its death drops one.
        let mut stream = self.0.lock().await;
        stream.get_mut().write_all(&line).await?;
        let mut answer = String::new();
        (&mut *stream).take(ACK.len() as u64).read_line(&mut answer).await?;
        if answer == ACK { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Step;

    fn effect(activity: &str) -> Effect {
        Effect {
            first_run: "run".to_owned(),
            activity_id: activity.to_owned(),
            workflow_id: "order-1".to_owned(),
            step: Step::Charge,
            attempt: 1,
            records: Vec::new(),
            at_ms: 0,
        }
    }

    async fn ledger() -> (Arc<Ledger>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = Arc::new(Ledger::new());
        tokio::spawn(Arc::clone(&ledger).serve(listener));
        (ledger, address)
    }

    #[tokio::test]
    async fn an_attempt_may_report_twice_an_effect_counts_once() {
        let (ledger, address) = ledger().await;
        let (one, two) =
            (Client::connect(address).await.unwrap(), Client::connect(address).await.unwrap());
        one.report(&effect("1")).await.unwrap();
        two.report(&effect("1")).await.unwrap();
        two.report(&effect("2")).await.unwrap();
        assert_eq!(ledger.count(), 2);
        let ids: Vec<String> = ledger.effects().into_iter().map(|e| e.activity_id).collect();
        assert_eq!(ids, ["1", "2"]);
    }

    #[tokio::test]
    async fn half_a_report_is_none() {
        let (ledger, address) = ledger().await;
        let mut cut = TcpStream::connect(address).await.unwrap();
        let line = serde_json::to_vec(&effect("cut")).unwrap();
        cut.write_all(&line).await.unwrap();
        cut.shutdown().await.unwrap();
        let mut rest = Vec::new();
        cut.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(ledger.count(), 0);
    }
}
