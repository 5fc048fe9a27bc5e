//! When is a run over? When no client can see anything left to do: the routes have read their topics
//! to the end, the consumer has read the outcomes to their end, no mailbox has anything waiting, and
//! no saga is open.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use temporalio_client::Client;

use crate::book::Book;
use crate::checker::{Execution, History, MailboxSeen, Status};
use crate::consumer;
use crate::error::Error;
use crate::node::ROUTES;
use crate::plan::Plan;
use crate::records::OUTCOMES;
use crate::temporal;

const PAUSE: Duration = Duration::from_millis(50);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server said when nothing moved any more.
#[derive(Debug, Default)]
pub(crate) struct AtRest {
    /// What is left unread, in words; empty when nothing is.
    pub(crate) lag: Vec<String>,
    executions: Vec<Execution>,
    mailboxes: Vec<MailboxSeen>,
}

impl AtRest {
    /// Adds what was seen to the history.
    pub(crate) fn complete(self, history: &mut History) {
        history.executions = self.executions;
        history.mailboxes = self.mailboxes;
    }
}

/// Waits for rest, at most until `until`; answers what was seen last.
pub(crate) async fn settle(
    kafka: SocketAddr,
    client: &Client,
    plan: &Plan,
    book: &Arc<Book>,
    until: Instant,
) -> Result<AtRest, Error> {
    let watchers = Watchers::open(kafka)?;
    let mut rest = AtRest::default();
    let (watchers, lag) = watchers.wait_for_end(Arc::clone(book), until).await;
    drop(watchers);
    rest.lag = lag;
    let customers: BTreeSet<String> =
        plan.orders.iter().map(|order| order.customer.clone()).collect();
    let customers: Vec<String> = customers.into_iter().collect();
    rest.mailboxes = empty_mailboxes(client, &customers, until).await;
    rest.executions = closed_sagas(client, plan, until).await;
    let mailboxes = customers.iter().map(|customer| format!("customer-{customer}")).collect();
    rest.executions.extend(temporal::describe(client, mailboxes).await.into_values());
    Ok(rest)
}

async fn empty_mailboxes(
    client: &Client,
    customers: &[String],
    until: Instant,
) -> Vec<MailboxSeen> {
    loop {
        let seen = temporal::ask_mailboxes(client, customers).await;
        let at_rest = seen.iter().all(|seen| seen.handled.is_some() && seen.waiting == 0);
        if at_rest || Instant::now() > until {
            return seen;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A saga publishes its outcome a moment before it closes: asks again those that are still open.
async fn closed_sagas(client: &Client, plan: &Plan, until: Instant) -> Vec<Execution> {
    let mut closed = Vec::new();
    let mut open: Vec<String> = plan.orders.iter().map(|order| order.id.clone()).collect();
    loop {
        let seen = temporal::describe(client, open).await.into_values();
        let (running, ended): (Vec<_>, Vec<_>) =
            seen.partition(|execution| execution.status == Status::Running);
        closed.extend(ended);
        if running.is_empty() || Instant::now() > until {
            closed.extend(running);
            return closed;
        }
        open = running.into_iter().map(|execution| execution.workflow_id).collect();
        tokio::time::sleep(PAUSE).await;
    }
}

/// One consumer for each route's group: they read nothing but committed offsets.
struct Watchers(Vec<(&'static str, &'static str, BaseConsumer)>);

impl Watchers {
    fn open(kafka: SocketAddr) -> Result<Self, Error> {
        let mut watchers = Vec::new();
        for (route, topic) in ROUTES {
            let group = format!("mainstay-route-{route}");
            watchers.push((route, topic, consumer::config(kafka, &group).create()?));
        }
        Ok(Self(watchers))
    }

    /// The calls block, so they run beside the runtime; the watchers come back with the answer.
    async fn wait_for_end(mut self, book: Arc<Book>, until: Instant) -> (Self, Vec<String>) {
        loop {
            let book = Arc::clone(&book);
            let looked = tokio::task::spawn_blocking(move || {
                let lag = self.lag(&book);
                (self, lag)
            });
            let lag = match looked.await {
                Ok((watchers, lag)) => {
                    self = watchers;
                    lag
                }
                Err(error) => return (Self(Vec::new()), vec![error.to_string()]),
            };
            if lag.is_empty() || Instant::now() > until {
                return (self, lag);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What is unread, in words.
    fn lag(&self, book: &Book) -> Vec<String> {
        let mut lag = Vec::new();
        for (route, topic, watcher) in &self.0 {
            match route_lag(watcher, topic) {
                Ok(0) => {}
                Ok(records) => lag.push(format!("route {route}: {records} records to go")),
                Err(error) => lag.push(format!("route {route}: {error}")),
            }
        }
        if let Some((_, _, any)) = self.0.first() {
            match outcome_lag(any, book) {
                Ok(0) => {}
                Ok(records) => lag.push(format!("{OUTCOMES}: {records} records to go")),
                Err(error) => lag.push(format!("{OUTCOMES}: {error}")),
            }
        }
        lag
    }
}

fn route_lag(watcher: &BaseConsumer, topic: &str) -> KafkaResult<i64> {
    let mut partitions = TopicPartitionList::new();
    for partition in partitions_of(watcher, topic)? {
        partitions.add_partition(topic, partition);
    }
    let committed = watcher.committed_offsets(partitions, CALL_TIMEOUT)?;
    let mut lag = 0;
    for place in committed.elements() {
        let (low, high) = watcher.fetch_watermarks(topic, place.partition(), CALL_TIMEOUT)?;
        lag += high - place.offset().to_raw().map_or(low, |offset| offset.max(low));
    }
    Ok(lag)
}

fn outcome_lag(watcher: &BaseConsumer, book: &Book) -> KafkaResult<i64> {
    let mut lag = 0;
    for partition in partitions_of(watcher, OUTCOMES)? {
        let (_, high) = watcher.fetch_watermarks(OUTCOMES, partition, CALL_TIMEOUT)?;
        lag += (high - book.position(partition)).max(0);
    }
    Ok(lag)
}

fn partitions_of(watcher: &BaseConsumer, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = watcher.fetch_metadata(Some(topic), CALL_TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    Ok(partitions.map(|partition| partition.id()).collect())
}
