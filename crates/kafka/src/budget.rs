//! Bytes in flight: what requests hold in memory until their answers have left, of one
//! connection and of all together.
//!
//! Small and large requests have a part each of what all hold together, so that heartbeats and
//! metadata pass whatever happens to large frames. A share is given back by its client's doing
//! (the rest of a frame arrives, an answer is read) or by ours (a wait ends, the disk has synced).
//! The first may never happen. So when somebody has waited too long for a share, a connection
//! that holds much, and whose client has given nothing back for as long, must go. One that holds
//! a small request's bytes at most is left alone, and the small ones' part suffices for those.

use crate::options::Limits;
use std::{
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};

/// Up to this size a request is small.
pub(crate) const SMALL_BYTES: usize = 16 << 10;

/// Part of the connection's and of the server's bytes in flight.
#[derive(Debug)]
pub(crate) struct Share {
    /// `None` only if a budget were closed, which never happens.
    _of_connection: Option<OwnedSemaphorePermit>,
    _of_server: Option<OwnedSemaphorePermit>,
    bytes: usize,
    own: Arc<Own>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.own.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.own.moves();
    }
}

/// All connections' bytes in flight.
#[derive(Debug)]
pub(crate) struct ServerBudget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Batches on their way to readers.
    outgoing: Arc<Semaphore>,
    outgoing_bytes_max: usize,
    /// Changes when somebody has waited too long.
    pressure: watch::Sender<()>,
    patience: Duration,
}

impl ServerBudget {
    pub(crate) fn new(limits: &Limits) -> Arc<ServerBudget> {
        let room =
            |for_one: usize| Arc::new(Semaphore::new(limits.in_flight_bytes_max.max(for_one)));
        Arc::new(ServerBudget {
            small: room(limits.request_bytes_max.min(SMALL_BYTES)),
            large: room(limits.request_bytes_max),
            outgoing: Arc::new(Semaphore::new(limits.outgoing_bytes_max)),
            outgoing_bytes_max: limits.outgoing_bytes_max,
            pressure: watch::Sender::new(()),
            patience: limits.share_wait_max,
        })
    }

    /// The part of a request of this size.
    fn pool(&self, bytes: usize) -> &Arc<Semaphore> {
        if bytes <= SMALL_BYTES { &self.small } else { &self.large }
    }

    /// Waits for `bytes`, and lets those who hold much know if it takes too long.
    async fn acquire(&self, pool: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let mut acquired = std::pin::pin!(pool.clone().acquire_many_owned(permits(bytes)));
        loop {
            match timeout(self.patience, &mut acquired).await {
                Ok(permit) => return permit.ok(),
                Err(_) => self.pressure.send_replace(()),
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn large(&self) -> &Arc<Semaphore> {
        &self.large
    }

    #[cfg(test)]
    pub(crate) fn small(&self) -> &Arc<Semaphore> {
        &self.small
    }
}

/// One connection's bytes in flight beside the server's.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    own: Arc<Own>,
    server: Arc<ServerBudget>,
}

#[derive(Debug)]
struct Own {
    budget: Arc<Semaphore>,
    bytes_max: usize,
    /// Of the server's: what is only waited for is not counted.
    held_bytes: AtomicUsize,
    /// When the client has last got or given back a share.
    moved_at: Mutex<Instant>,
    /// Whether the client waits for us, and not we for the client.
    is_waiting_for_us: AtomicBool,
}

impl Own {
    fn moves(&self) {
        *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn moved_at(&self) -> Instant {
        *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budgets {
    /// A connection's own budget beside the server's.
    pub(crate) fn of_connection(server: &Arc<ServerBudget>, limits: &Limits) -> Budgets {
        let bytes_max = limits.connection_in_flight_bytes_max.max(limits.request_bytes_max);
        let own = Own {
            budget: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            held_bytes: AtomicUsize::new(0),
            moved_at: Mutex::new(Instant::now()),
            is_waiting_for_us: AtomicBool::new(false),
        };
        Budgets { own: Arc::new(own), server: server.clone() }
    }

    /// Whether no request of this connection is arriving or being answered.
    pub(crate) fn is_unused(&self) -> bool {
        self.own.budget.available_permits() == self.own.bytes_max
    }

    /// Waits for `bytes` of both. The connection's comes first: who holds the server's share
    /// never waits for anything but its own client.
    pub(crate) async fn share(&self, bytes: usize) -> Share {
        let of_connection = self.own.budget.clone().acquire_many_owned(permits(bytes)).await.ok();
        let of_server = self.server.acquire(self.server.pool(bytes), bytes).await;
        self.own.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.own.moves();
        let own = self.own.clone();
        Share { _of_connection: of_connection, _of_server: of_server, bytes, own }
    }

    /// Waits for `bytes` of what batches on their way to readers may hold together. The
    /// connection's own budget has no part in it: its requests wait for these very bytes to leave.
    pub(crate) async fn outgoing(&self, bytes: usize) -> Share {
        let bytes = bytes.min(self.server.outgoing_bytes_max);
        let of_server = self.server.acquire(&self.server.outgoing, bytes).await;
        self.own.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.own.moves();
        Share { _of_connection: None, _of_server: of_server, bytes, own: self.own.clone() }
    }

    /// The client has taken some of an answer.
    pub(crate) fn client_reads(&self) {
        self.own.moves();
    }

    /// Says whether what is held is held by our work, which ends by itself.
    pub(crate) fn set_waiting_for_us(&self, is_waiting_for_us: bool) {
        self.own.is_waiting_for_us.store(is_waiting_for_us, Ordering::Relaxed);
        self.own.moves();
    }

    /// Ends when others have waited too long while this connection holds much and does not move.
    pub(crate) async fn overstayed(&self) {
        let mut pressure = self.server.pressure.subscribe();
        while pressure.changed().await.is_ok() {
            let held_bytes = self.own.held_bytes.load(Ordering::Relaxed);
            // A large frame takes its time to arrive.
            let patience = self.server.patience + Duration::from_secs((held_bytes >> 20) as u64);
            if held_bytes > SMALL_BYTES
                && !self.own.is_waiting_for_us.load(Ordering::Relaxed)
                && self.own.moved_at().elapsed() >= patience
            {
                return;
            }
        }
        pending().await
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
