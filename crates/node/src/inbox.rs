//! Where requests wait for the writer: two bounded lanes, and a third one for what must not be
//! refused.
//!
//! Produces have one lane, everything else the other, and the other is preferred, so that a signal
//! never waits behind megabytes of records. Both are bounded in bytes; the whole is bounded by the
//! number of requests in flight.
//!
//! The third lane carries tickets to be forgotten and tasks to be given back. Each belongs to a
//! request in flight, whose number is bounded; so is the lane.

use crate::error::Error;
use base::Ticket;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who asks. There is only one kind until authentication exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody has said who they are.
    Anonymous,
    /// The node itself: pumps, publishers.
    Node,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) produce_bytes: usize,
    pub(crate) other_bytes: usize,
    pub(crate) requests: usize,
}

/// Which lane a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Produce,
    Other,
}

/// What happens when the lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Wait: for producers, whose sockets then stop, and for the node's own tasks.
    Wait,
    /// Say so.
    Refuse,
}

/// Where an answer goes.
pub(crate) trait Slot<R>: Send {
    /// Nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    /// Delivers it.
    fn answer(self: Box<Self>, answer: Result<R, Error>);
}

/// One request on its way to the writer.
pub(crate) struct Request<A, R> {
    pub(crate) ask: A,
    pub(crate) ticket: Ticket,
    pub(crate) principal: Principal,
    pub(crate) slot: Box<dyn Slot<R>>,
    /// Room in the lane, given back when the writer takes the request.
    pub(crate) room: OwnedSemaphorePermit,
}

/// What the writer does next.
pub(crate) enum Work<A, R> {
    Request(Request<A, R>),
    /// An ask nobody waits for.
    Posted(A),
    Forget(Ticket),
    /// The time is up, or someone wants the writer to look around.
    Nothing,
    Closed,
}

/// The inbox. Shared by all handles and the writer.
pub(crate) struct Inbox<A, R> {
    state: Mutex<State<A, R>>,
    wake: Condvar,
    produce_room: Arc<Semaphore>,
    other_room: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
    /// Has no permits: whoever waits for one waits for the end.
    closing: Semaphore,
    bounds: Bounds,
    tickets: AtomicU64,
    /// Something was queued: for a writer that has no thread to sleep on.
    #[cfg(feature = "simulated")]
    news: tokio::sync::Notify,
}

struct State<A, R> {
    produces: VecDeque<Request<A, R>>,
    others: VecDeque<Request<A, R>>,
    posted: VecDeque<A>,
    forgotten: VecDeque<Ticket>,
    others_in_a_row: u32,
    sleeping: bool,
    /// Produces are not taken: too many bytes wait for the disk already.
    throttled: bool,
    poked: bool,
    closed: bool,
}

/// That many others go before one produce while both wait.
const OTHERS_PER_PRODUCE: u32 = 16;

impl<A, R> Inbox<A, R> {
    pub(crate) fn new(bounds: Bounds) -> Inbox<A, R> {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)));
        Inbox {
            state: Mutex::new(State {
                produces: VecDeque::new(),
                others: VecDeque::new(),
                posted: VecDeque::new(),
                forgotten: VecDeque::new(),
                others_in_a_row: 0,
                sleeping: false,
                throttled: false,
                poked: false,
                closed: false,
            }),
            wake: Condvar::new(),
            produce_room: semaphore(bounds.produce_bytes),
            other_room: semaphore(bounds.other_bytes),
            in_flight: semaphore(bounds.requests),
            closing: Semaphore::new(0),
            bounds,
            tickets: AtomicU64::new(1),
            #[cfg(feature = "simulated")]
            news: tokio::sync::Notify::new(),
        }
    }

    /// A fresh ticket.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// The right to have one more request in flight.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.in_flight).try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => Error::Stopping,
            tokio::sync::TryAcquireError::NoPermits => Error::Overloaded,
        })
    }

    /// Room for `bytes` in a lane. What is larger than the lane takes all of it.
    pub(crate) async fn room(
        &self,
        lane: Lane,
        bytes: usize,
        when_full: WhenFull,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let (semaphore, bound) = match lane {
            Lane::Produce => (&self.produce_room, self.bounds.produce_bytes),
            Lane::Other => (&self.other_room, self.bounds.other_bytes),
        };
        let weight = u32::try_from(bytes.clamp(1, bound.max(1))).unwrap_or(u32::MAX);
        let semaphore = Arc::clone(semaphore);
        match when_full {
            WhenFull::Wait => {
                semaphore.acquire_many_owned(weight).await.map_err(|_closed| Error::Stopping)
            }
            WhenFull::Refuse => {
                semaphore.try_acquire_many_owned(weight).map_err(|error| match error {
                    tokio::sync::TryAcquireError::Closed => Error::Stopping,
                    tokio::sync::TryAcquireError::NoPermits => Error::Overloaded,
                })
            }
        }
    }

    /// Queues a request. After `close` it is dropped, and with it its slot.
    pub(crate) fn push(&self, lane: Lane, request: Request<A, R>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return;
        }
        match lane {
            Lane::Produce => state.produces.push_back(request),
            Lane::Other => state.others.push_back(request),
        }
        self.rouse(state);
    }

    /// Queues an ask that nobody waits for and that must not be refused.
    pub(crate) fn post(&self, ask: A) {
        let mut state = self.lock();
        if !state.closed {
            state.posted.push_back(ask);
            self.rouse(state);
        }
    }

    /// The caller of `ticket` went away.
    pub(crate) fn forget(&self, ticket: Ticket) {
        let mut state = self.lock();
        if !state.closed {
            state.forgotten.push_back(ticket);
            self.rouse(state);
        }
    }

    /// Makes the writer look at the time.
    pub(crate) fn poke(&self) {
        let mut state = self.lock();
        state.poked = true;
        self.rouse(state);
    }

    /// Makes the writer look again if it has stopped taking produces.
    pub(crate) fn poke_if_throttled(&self) {
        let mut state = self.lock();
        if state.throttled {
            state.poked = true;
            self.rouse(state);
        }
    }

    /// Ends it: nothing more is taken, and who waits is told so.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let produces = std::mem::take(&mut state.produces);
        let others = std::mem::take(&mut state.others);
        let posted = std::mem::take(&mut state.posted);
        self.rouse(state);
        for semaphore in [&self.produce_room, &self.other_room, &self.in_flight] {
            semaphore.close();
        }
        self.closing.close();
        // Dropped outside the lock: slots wake tasks.
        drop((produces, others, posted));
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        // There never is a permit, so this ends with the error that it was closed.
        let _ = self.closing.acquire().await;
    }

    /// Waits until something was queued since the last call.
    #[cfg(feature = "simulated")]
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// What to do next; waits at most `wait` for it. Takes produces only while `takes_produces`
    /// says so, which is asked under the lock: whoever makes it true and then calls
    /// [`Inbox::poke_if_throttled`] finds the writer either before the question or asleep.
    pub(crate) fn next(
        &self,
        wait: Option<Duration>,
        takes_produces: impl Fn() -> bool,
    ) -> Work<A, R> {
        let deadline = wait.and_then(|wait| Instant::now().checked_add(wait));
        let mut state = self.lock();
        loop {
            state.throttled = !takes_produces();
            if let Some(work) = state.take() {
                return work;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Work::Nothing;
            }
            state.sleeping = true;
            state = self.sleep(state, left);
            state.sleeping = false;
        }
    }

    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, State<A, R>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<A, R>> {
        match left {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn rouse(&self, state: MutexGuard<'_, State<A, R>>) {
        let sleeping = state.sleeping;
        drop(state);
        #[cfg(feature = "simulated")]
        self.news.notify_one();
        if sleeping {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<A, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, R> State<A, R> {
    fn take(&mut self) -> Option<Work<A, R>> {
        if self.closed {
            return Some(Work::Closed);
        }
        if let Some(ticket) = self.forgotten.pop_front() {
            return Some(Work::Forget(ticket));
        }
        if let Some(ask) = self.posted.pop_front() {
            return Some(Work::Posted(ask));
        }
        if let Some(request) = self.take_request() {
            return Some(Work::Request(request));
        }
        std::mem::take(&mut self.poked).then_some(Work::Nothing)
    }

    fn take_request(&mut self) -> Option<Request<A, R>> {
        let produce_waits = !self.throttled && !self.produces.is_empty();
        if produce_waits && (self.others.is_empty() || self.others_in_a_row >= OTHERS_PER_PRODUCE) {
            self.others_in_a_row = 0;
            return self.produces.pop_front();
        }
        let other = self.others.pop_front()?;
        self.others_in_a_row = if produce_waits { self.others_in_a_row + 1 } else { 0 };
        Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    struct NoSlot;

    impl Slot<()> for NoSlot {
        fn abandoned(&self) -> bool {
            false
        }

        fn answer(self: Box<Self>, _answer: Result<(), Error>) {}
    }

    const BOUNDS: Bounds = Bounds { produce_bytes: 100, other_bytes: 100, requests: 2 };

    fn inbox() -> Inbox<u32, ()> {
        Inbox::new(BOUNDS)
    }

    fn push(inbox: &Inbox<u32, ()>, lane: Lane, ask: u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let room = runtime.block_on(inbox.room(lane, 1, WhenFull::Refuse)).unwrap();
        let request = Request {
            ask,
            ticket: inbox.ticket(),
            principal: Principal::Anonymous,
            slot: Box::new(NoSlot),
            room,
        };
        inbox.push(lane, request);
    }

    fn taken(inbox: &Inbox<u32, ()>, produces: bool) -> Option<u32> {
        match inbox.next(Some(Duration::ZERO), || produces) {
            Work::Request(request) => Some(request.ask),
            Work::Posted(ask) => Some(ask),
            _ => None,
        }
    }

    #[test]
    fn others_go_first_but_never_starve_produces() {
        let inbox = inbox();
        push(&inbox, Lane::Produce, 1_000);
        for ask in 0..20 {
            push(&inbox, Lane::Other, ask);
        }
        inbox.post(2_000);
        assert_eq!(taken(&inbox, true), Some(2_000));
        let order: Vec<u32> = (0..21).filter_map(|_| taken(&inbox, true)).collect();
        let expected: Vec<u32> = (0..16).chain([1_000]).chain(16..20).collect();
        assert_eq!(order, expected);
        push(&inbox, Lane::Produce, 1_001);
        assert_eq!(taken(&inbox, false), None);
        inbox.poke_if_throttled();
        assert_eq!(taken(&inbox, true), Some(1_001));
    }

    #[tokio::test]
    async fn lanes_are_bounded_in_bytes_and_requests_in_number() {
        let inbox = inbox();
        let whole = inbox.room(Lane::Produce, 1_000_000, WhenFull::Wait).await.unwrap();
        let more = inbox.room(Lane::Produce, 1, WhenFull::Refuse).await;
        assert_eq!(more.err(), Some(Error::Overloaded));
        assert!(inbox.room(Lane::Other, 100, WhenFull::Refuse).await.is_ok());
        drop(whole);
        assert!(inbox.room(Lane::Produce, 100, WhenFull::Refuse).await.is_ok());

        let admitted = (inbox.admit().unwrap(), inbox.admit().unwrap());
        assert_eq!(inbox.admit().err(), Some(Error::Overloaded));
        drop(admitted);
        assert!(inbox.admit().is_ok());
        inbox.close();
        assert_eq!(inbox.admit().err(), Some(Error::Stopping));
        let closed = inbox.room(Lane::Other, 1, WhenFull::Wait).await;
        assert_eq!(closed.err(), Some(Error::Stopping));
        assert!(matches!(inbox.next(None, || true), Work::Closed));
    }

    #[test]
    fn a_sleeping_writer_is_woken() {
        let inbox = Arc::new(inbox());
        let woken = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (inbox, woken) = (Arc::clone(&inbox), Arc::clone(&woken));
            move || {
                let work = inbox.next(None, || true);
                woken.store(matches!(work, Work::Forget(Ticket(7))), Ordering::SeqCst);
            }
        });
        inbox.forget(Ticket(7));
        writer.join().unwrap();
        assert!(woken.load(Ordering::SeqCst));
    }
}
