//! The book of a run: what clients see is written down here as it happens, by the producer, the
//! consumer and the questions, and read by whoever waits for progress.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::checker::{Delivery, History, Question};
use crate::plan::PlannedOrder;
use crate::records::{Kind, OutcomeEvent, RecordId};

/// Orders that may be under way at once: enough to keep every part busy, few enough that a latency
/// means something.
const ORDERS_UNDER_WAY: usize = 100;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
    progress: watch::Sender<Progress>,
    under_way: Semaphore,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Records acknowledged.
    pub(crate) delivered: usize,
    /// Orders whose outcome was seen.
    pub(crate) ended: usize,
}

#[derive(Debug, Default)]
struct Pages {
    history: History,
    index: HashMap<String, usize>,
    /// When the last fact an order needs was handed to the producer.
    complete_at: HashMap<usize, Instant>,
    ended: BTreeSet<usize>,
    seen: BTreeSet<RecordId>,
    /// Per partition of the outcome topic: the next offset to read.
    positions: BTreeMap<i32, i64>,
    latencies: Vec<Duration>,
}

impl Book {
    /// A book for these orders.
    pub(crate) fn new(orders: Vec<PlannedOrder>) -> Self {
        let index =
            orders.iter().enumerate().map(|(index, order)| (order.id.clone(), index)).collect();
        let history = History { orders, ..History::default() };
        Self {
            pages: Mutex::new(Pages { history, index, ..Pages::default() }),
            progress: watch::Sender::new(Progress::default()),
            under_way: Semaphore::new(ORDERS_UNDER_WAY),
        }
    }

    /// Follows the run.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits until one more order may be under way. Unpaid orders do nothing but wait, and are let
    /// through.
    pub(crate) async fn admit(&self, kind: Kind) {
        if kind != Kind::Unpaid
            && let Ok(permit) = self.under_way.acquire().await
        {
            permit.forget();
        }
    }

    /// An order's fact is about to be sent for the first time.
    pub(crate) fn sending(&self, order: usize) {
        self.pages().complete_at.insert(order, Instant::now());
    }

    /// A delivery report came.
    pub(crate) fn delivered(&self, delivery: Delivery) {
        self.pages().history.deliveries.push(delivery);
        self.progress.send_modify(|progress| progress.delivered += 1);
    }

    /// An outcome record was read; it may have been read before.
    pub(crate) fn outcome(&self, id: RecordId, event: OutcomeEvent) {
        let mut pages = self.pages();
        let next = pages.positions.entry(id.partition).or_default();
        *next = (*next).max(id.offset + 1);
        if !pages.seen.insert(id.clone()) {
            return;
        }
        let order = pages.index.get(&event.order).copied();
        pages.history.outcomes.push((id, event));
        let Some(order) = order.filter(|order| pages.ended.insert(*order)) else {
            return;
        };
        let kind = pages.history.orders[order].kind;
        if kind != Kind::Unpaid {
            let since = pages.complete_at.get(&order).map(Instant::elapsed);
            pages.latencies.extend(since);
            self.under_way.add_permits(1);
        }
        drop(pages);
        self.progress.send_modify(|progress| progress.ended += 1);
    }

    /// A saga answered, or did not.
    pub(crate) fn answered(&self, question: Question) {
        self.pages().history.questions.push(question);
    }

    /// Whether the order's outcome was seen.
    pub(crate) fn has_ended(&self, order: usize) -> bool {
        self.pages().ended.contains(&order)
    }

    /// Where the consumer is in a partition of the outcome topic.
    pub(crate) fn position(&self, partition: i32) -> i64 {
        self.pages().positions.get(&partition).copied().unwrap_or(0)
    }

    /// Where the first record of this order is, once it is anywhere.
    pub(crate) fn landed(&self, order: usize) -> Option<RecordId> {
        let pages = self.pages();
        let mut of_order = pages.history.deliveries.iter().filter(|seen| seen.order == order);
        of_order.find_map(|seen| {
            let topic = crate::plan::Fact::Order.topic();
            seen.landed.as_ref().ok().filter(|id| id.topic == topic).cloned()
        })
    }

    /// From the last fact an order needs to its outcome, for every order that did not time out.
    pub(crate) fn latencies(&self) -> Vec<Duration> {
        self.pages().latencies.clone()
    }

    /// Everything seen so far.
    pub(crate) fn history(&self) -> History {
        self.pages().history.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
