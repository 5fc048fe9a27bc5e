//! The shop: sends the planned records with an ordinary idempotent Kafka producer, in the plan's
//! order, and writes down where each landed. It outlives any number of restarts of the node.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::Plant;
use crate::book::Book;
use crate::checker::Delivery;
use crate::error::Error;
use crate::plan::{Fact, Plan, PlannedOrder, Step};
use crate::records::{CUSTOMER_HEADER, Kind, Order, Payment, RecordId};

/// How long a saga waits for a payment that never comes.
pub(crate) const UNPAID_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for one that does: no outage is so long that a paid order times out.
const PAID_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait where the client's own queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// The offset a planted lost record claims: far behind all others.
const LOST_OFFSET: i64 = 1 << 40;

/// The producer and what it writes to.
pub(crate) struct Shop {
    producer: FutureProducer,
    plan: Arc<Plan>,
    book: Arc<Book>,
    /// Orders to be asked for their state, as soon as their record is there.
    ask: mpsc::Sender<usize>,
    faults: Faults,
    reports: JoinSet<()>,
    /// For orders whose payment goes first: tells that it is there.
    paid_early: HashMap<usize, oneshot::Receiver<()>>,
    /// Repeats that wait for the end of their order.
    held_back: VecDeque<Step>,
}

/// Which orders are to go wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Its order record is acknowledged and nowhere.
    pub(crate) lost: Option<usize>,
    /// Its saga leaves out a compensation.
    pub(crate) uncompensated: Option<usize>,
}

impl Faults {
    /// Picks the victim of a planted fault.
    pub(crate) fn choose(plant: Option<Plant>, plan: &Plan) -> Self {
        let find = |wanted: &dyn Fn(usize, &PlannedOrder) -> bool| {
            plan.orders.iter().enumerate().position(|(index, order)| wanted(index, order))
        };
        let repeated = |order: usize| {
            plan.steps.iter().any(|s| s.again && s.order == order && s.fact == Fact::Order)
        };
        match plant {
            Some(Plant::LostRecord) => {
                let lost = find(&|index, order| {
                    order.kind == Kind::Paid && !order.asked && !repeated(index)
                });
                Self { lost, ..Self::default() }
            }
            Some(Plant::SkippedCompensation) => {
                let uncompensated = find(&|_, order| order.kind.outcome() != Kind::Paid.outcome());
                Self { uncompensated, ..Self::default() }
            }
            Some(Plant::DoubledSignal) | None => Self::default(),
        }
    }
}

impl Shop {
    /// A shop that sells to the node at `kafka`.
    pub(crate) fn open(
        kafka: SocketAddr,
        plan: Arc<Plan>,
        book: Arc<Book>,
        ask: mpsc::Sender<usize>,
        faults: Faults,
    ) -> Result<Self, Error> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka.to_string())
            .set("client.id", "mainstay-demo")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "600000")
            .set("retry.backoff.ms", "50")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "250")
            .set("log_level", "0")
            .create()?;
        Ok(Self {
            producer,
            plan,
            book,
            ask,
            faults,
            reports: JoinSet::new(),
            paid_early: HashMap::new(),
            held_back: VecDeque::new(),
        })
    }

    /// Sends everything; returns when every record was acknowledged or given up.
    pub(crate) async fn sell(mut self) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        for step in &plan.steps {
            if step.after_outcome {
                self.held_back.push_back(*step);
            } else {
                self.first_things_first(step).await;
                self.send(step).await?;
            }
            if let Some(held) = self.held_back.front().copied()
                && self.book.has_ended(held.order)
            {
                self.held_back.pop_front();
                self.send(&held).await?;
            }
        }
        let mut progress = self.book.progress();
        while let Some(held) = self.held_back.pop_front() {
            let ended = progress.wait_for(|_| self.book.has_ended(held.order)).await.is_ok();
            if ended {
                self.send(&held).await?;
            }
        }
        while self.reports.join_next().await.is_some() {}
        Ok(())
    }

    /// Lets an order in when there is room for it, and not before its early payment is there.
    async fn first_things_first(&mut self, step: &Step) {
        if step.again {
            return;
        }
        let order = &self.plan.orders[step.order];
        let opens = (step.fact == Fact::Payment) == order.paid_early;
        if opens {
            self.book.admit(order.kind).await;
        }
        self.book.sending(step.order);
        if step.fact == Fact::Order
            && let Some(paid) = self.paid_early.remove(&step.order)
        {
            // An error means that the payment was given up; its delivery says so.
            let _ = paid.await;
        }
    }

    async fn send(&mut self, step: &Step) -> Result<(), Error> {
        let order = &self.plan.orders[step.order];
        let topic = step.fact.topic();
        if step.fact == Fact::Order && self.faults.lost == Some(step.order) {
            let nowhere = RecordId { topic: topic.to_owned(), partition: 0, offset: LOST_OFFSET };
            let landed = Ok(nowhere);
            self.book.delivered(Delivery { order: step.order, fact: step.fact, landed });
            return Ok(());
        }
        let value = self.value(step, order);
        let delivery = self.enqueue(topic, order, &value).await?;
        let early = order.paid_early && step.fact == Fact::Payment && !step.again;
        let told = early.then(|| {
            let (told, tell) = oneshot::channel();
            self.paid_early.insert(step.order, tell);
            told
        });
        let asked = order.asked && step.fact == Fact::Order && !step.again;
        let report = Report {
            order: step.order,
            fact: step.fact,
            book: Arc::clone(&self.book),
            told,
            ask: asked.then(|| self.ask.clone()),
        };
        self.reports.spawn(report.follow(delivery));
        while self.reports.try_join_next().is_some() {}
        Ok(())
    }

    async fn enqueue(
        &self,
        topic: &str,
        order: &PlannedOrder,
        value: &str,
    ) -> Result<DeliveryFuture, Error> {
        let header = Header { key: CUSTOMER_HEADER, value: Some(&order.customer) };
        let headers = OwnedHeaders::new().insert(header);
        let mut record = FutureRecord::to(topic).key(&order.id).payload(value).headers(headers);
        loop {
            match self.producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    fn value(&self, step: &Step, order: &PlannedOrder) -> String {
        let skip_compensation = self.faults.uncompensated == Some(step.order);
        match step.fact {
            Fact::Order => json(&order_value(order, skip_compensation)),
            Fact::Payment => {
                json(&Payment { order: order.id.clone(), amount_cents: order.amount_cents })
            }
        }
    }
}

/// The value of an order's record.
pub(crate) fn order_value(order: &PlannedOrder, skip_compensation: bool) -> Order {
    let timeout = if order.kind == Kind::Unpaid { UNPAID_TIMEOUT } else { PAID_TIMEOUT };
    Order {
        order: order.id.clone(),
        customer: order.customer.clone(),
        amount_cents: order.amount_cents,
        kind: order.kind,
        payment_timeout_ms: timeout.as_millis() as u64,
        skip_compensation,
    }
}

fn json(value: &impl serde::Serialize) -> String {
    // Plain structs of strings and numbers always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

/// What is to happen when a record's delivery report comes.
struct Report {
    order: usize,
    fact: Fact,
    book: Arc<Book>,
    told: Option<oneshot::Sender<()>>,
    ask: Option<mpsc::Sender<usize>>,
}

impl Report {
    async fn follow(self, delivery: DeliveryFuture) {
        let topic = self.fact.topic().to_owned();
        let landed = match delivery.await {
            Ok(Ok(at)) => Ok(RecordId { topic, partition: at.partition, offset: at.offset }),
            Ok(Err((error, _))) => Err(error.to_string()),
            Err(_) => Err("the producer was closed".to_owned()),
        };
        self.book.delivered(Delivery { order: self.order, fact: self.fact, landed });
        if let Some(told) = self.told {
            // The producer may have been closed meanwhile.
            let _ = told.send(());
        }
        if let Some(ask) = self.ask {
            let _ = ask.send(self.order).await;
        }
    }
}
