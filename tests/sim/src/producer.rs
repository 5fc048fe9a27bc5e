//! A producer: pipelines its requests, and repeats what its kind allows it to repeat.
//!
//! An idempotent one draws its producer id once in its life and never gives up a batch: it is
//! repeated under its sequence, in order, until it is acknowledged. The node must recognise it
//! over any number of restarts: if it is told that it is out of sequence, fenced or unknown, that
//! is a finding, unless a batch before it has just been refused.

use crate::codec;
use crate::kafka_client::{Error, KafkaClient, check, is, name_of};
use crate::order::{By, Order, Parcel};
use crate::random::Random;
use crate::records::{self, NewRecord, Sequenced};
use crate::surroundings::{PLAIN_TOPIC, ROUTED_TOPIC, Surroundings};
use crate::topic_layout::TopicLayout;
use checker::{Delivery, Partition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_protocol::records::Compression;
use std::collections::{BTreeMap, VecDeque};
use tokio::time::sleep;

/// Kafka's limit for idempotent producers; the node remembers as many batches.
const IN_FLIGHT_MAX: usize = 5;

/// A producer.
pub struct Producer {
    around: Surroundings,
    process: u32,
    name: String,
    delivery: Delivery,
    random: Random,
    acks: i16,
    compression: Compression,
    layout: Option<TopicLayout>,
    /// Producer id and epoch.
    identity: Option<(i64, i16)>,
    /// The next sequence in each partition.
    sequences: BTreeMap<(String, i32), i32>,
    /// To be sent next, in this order.
    queue: VecDeque<Order>,
    in_flight: VecDeque<Order>,
    /// Refused; to be sent again when nothing is in flight any more.
    again: VecDeque<Order>,
    /// Records that it has yet to make up.
    to_make: u64,
    made: u64,
}

impl Producer {
    /// The producer of this number. Its process in the history must be its own.
    pub fn new(around: &Surroundings, number: u64, process: u32) -> Producer {
        let random = Random::new(around.seed, &format!("producer-{number}"));
        let delivery = if random.percent(around.load.idempotent_percent) {
            Delivery::Idempotent
        } else {
            *random.pick(&[Delivery::Once, Delivery::Once, Delivery::Repeated])
        };
        let acks = if delivery == Delivery::Idempotent { -1 } else { *random.pick(&[-1, 1]) };
        let compression = *random.pick(&codec::ALL);
        Producer {
            around: around.clone(),
            process,
            name: format!("producer-{number}"),
            delivery,
            acks,
            compression,
            layout: None,
            identity: None,
            sequences: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            again: VecDeque::new(),
            to_make: around.load.sends,
            made: 0,
            random,
        }
    }

    /// Sends all it has to send. In the calm it begins nothing new, and finishes what it has begun.
    pub async fn run(mut self) {
        while self.has_work() {
            self.around.network.up().await;
            let ended = match KafkaClient::connect(&self.around.network) {
                Ok(mut client) => self.talk(&mut client).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.lose(&error);
            }
            let pause = self.random.millis(1, 300);
            sleep(pause).await;
        }
    }

    fn has_work(&mut self) -> bool {
        if !self.around.stage.is_noisy() {
            self.to_make = 0;
        }
        self.to_make > 0
            || [&self.queue, &self.in_flight, &self.again].iter().any(|it| !it.is_empty())
    }

    async fn talk(&mut self, client: &mut KafkaClient) -> Result<(), Error> {
        while self.has_work() {
            self.prepare(client).await?;
            let room = IN_FLIGHT_MAX - self.in_flight.len();
            let burst = self.random.between(1, IN_FLIGHT_MAX as u64).min(room as u64);
            for _ in 0..burst {
                if !self.again.is_empty() {
                    break;
                }
                let Some(order) = self.next_order()? else { break };
                self.send(client, order).await?;
            }
            let all = self.in_flight.len() as u64;
            let answers = if self.again.is_empty() { self.random.between(1, all) } else { all };
            for _ in 0..answers.min(all) {
                self.receive(client).await?;
            }
            if self.in_flight.is_empty() && !self.again.is_empty() {
                self.send_again();
                let pause = self.random.millis(20, 1_000);
                sleep(pause).await;
            }
            let pause = *self.random.pick(&[0, 0, 10, 300, 1_500]);
            let pause = self.random.millis(0, pause);
            sleep(pause).await;
        }
        Ok(())
    }

    /// Topics, and who it is.
    async fn prepare(&mut self, client: &mut KafkaClient) -> Result<(), Error> {
        if !self.in_flight.is_empty() {
            return Ok(());
        }
        if self.layout.is_none() {
            self.layout = Some(TopicLayout::make(client, self.around.load.partitions).await?);
        }
        if self.delivery == Delivery::Idempotent && self.identity.is_none() {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(60_000)
                .with_producer_id((-1).into())
                .with_producer_epoch(-1);
            let answer = client.ask(&request).await?;
            check(answer.error_code)?;
            self.identity = Some((answer.producer_id.0, answer.producer_epoch));
        }
        Ok(())
    }

    async fn send(&mut self, client: &mut KafkaClient, mut order: Order) -> Result<(), Error> {
        let by = By { process: self.process, producer: &self.name, delivery: self.delivery };
        for parcel in &mut order.parcels {
            parcel.invoke(&self.around.history, by);
        }
        let request = order.request(self.acks);
        self.in_flight.push_back(order);
        if !self.vanishes() {
            return client.send(&request).await;
        }
        match self.random.below(3) {
            0 => client.send_part(&request, self.random.below(100)).await?,
            1 => client.send(&request).await?,
            _ => {
                client.send(&request).await?;
                let pause = self.random.millis(0, 40);
                sleep(pause).await;
            }
        }
        Err(Error::Gone)
    }

    fn vanishes(&self) -> bool {
        self.around.stage.is_noisy()
            && self.random.percent(self.around.load.client_vanishes_percent)
    }

    async fn receive(&mut self, client: &mut KafkaClient) -> Result<(), Error> {
        let response = client.receive::<ProduceRequest>().await?;
        let Some(mut order) = self.in_flight.pop_front() else { return Ok(()) };
        let mut again = Order { parcels: Vec::new() };
        for topic in response.responses {
            for answer in topic.partition_responses {
                let Some(parcel) = order.take(&topic.name.0, answer.index) else {
                    let reason =
                        format!("{}/{} was not asked", topic.name.0.as_str(), answer.index);
                    return Err(Error::Malformed(reason));
                };
                again.parcels.extend(self.settle(parcel, &answer));
            }
        }
        if let Some(parcel) = order.parcels.first() {
            let reason = format!("nothing about {:?}", parcel.to);
            self.around.findings.add("protocol", &reason);
            self.in_flight.push_front(order);
            return Err(Error::Malformed(reason));
        }
        if !again.parcels.is_empty() {
            self.again.push_back(again);
        }
        Ok(())
    }

    /// What an answer means. `Some`: the parcel is to be sent again.
    fn settle(&mut self, parcel: Parcel, answer: &PartitionProduceResponse) -> Option<Parcel> {
        use ResponseError::{
            DuplicateSequenceNumber, KafkaStorageError, OutOfOrderSequenceNumber,
            UnknownTopicOrPartition,
        };
        let (history, code) = (&self.around.history, answer.error_code);
        if code == 0 {
            parcel.ok(history, Some(answer.base_offset));
            return None;
        }
        if is(code, DuplicateSequenceNumber) {
            parcel.ok(history, None);
            return None;
        }
        // Whatever else the node says to a batch, it has not taken it.
        parcel.refused(history, &name_of(code));
        if is(code, UnknownTopicOrPartition) {
            self.layout = None;
        } else if is(code, OutOfOrderSequenceNumber) && self.has_refused_before(&parcel.to) {
            // It follows from that.
        } else if !is(code, KafkaStorageError) {
            let promise = if self.delivery == Delivery::Idempotent { "L3" } else { "protocol" };
            let (name, to) = (&self.name, &parcel.to);
            let what = format!("{name} is told {} in {}/{}", name_of(code), to.topic, to.partition);
            self.around.findings.add(promise, what);
            self.give_up();
            return None;
        }
        let insists = self.delivery != Delivery::Once || self.random.percent(70);
        insists.then_some(parcel)
    }

    fn has_refused_before(&self, partition: &Partition) -> bool {
        self.again.iter().flat_map(|it| &it.parcels).any(|it| it.to == *partition)
    }

    /// Its state is beyond repair: it ends.
    fn give_up(&mut self) {
        self.to_make = 0;
        self.queue.clear();
        self.again.clear();
    }

    fn send_again(&mut self) {
        while let Some(order) = self.again.pop_back() {
            self.queue.push_front(order);
        }
    }

    /// The connection is lost, and what became of the requests in flight is unknown.
    fn lose(&mut self, error: &Error) {
        if let Error::Malformed(reason) = error {
            self.around.findings.add("protocol", format!("{}: {reason}", self.name));
        }
        for parcel in self.in_flight.iter().flat_map(|it| &it.parcels) {
            parcel.unknown(&self.around.history, &error.to_string());
        }
        match self.delivery {
            Delivery::Once => self.in_flight.clear(),
            Delivery::Idempotent | Delivery::Repeated => self.again.append(&mut self.in_flight),
        }
        self.send_again();
    }

    fn next_order(&mut self) -> Result<Option<Order>, Error> {
        if let Some(order) = self.queue.pop_front() {
            return Ok(Some(order));
        }
        let mut order = Order { parcels: Vec::new() };
        for _ in 0..*self.random.pick(&[1, 1, 1, 2, 3]) {
            let to = self.choose_partition();
            if self.to_make == 0 || order.parcels.iter().any(|it| it.to == to) {
                continue;
            }
            let parcel = self.make_parcel(to)?;
            order.parcels.push(parcel);
        }
        Ok(Some(order).filter(|order| !order.parcels.is_empty()))
    }

    fn choose_partition(&self) -> Partition {
        let layout = self.layout.clone().unwrap_or_default();
        let (topic, key) = if self.random.percent(65) {
            (ROUTED_TOPIC, self.workflow_id())
        } else {
            (PLAIN_TOPIC, self.random.below(1 << 32).to_string())
        };
        let partition = layout.partition_for(topic, &key);
        Partition { topic: topic.to_owned(), partition }
    }

    fn workflow_id(&self) -> String {
        format!("wf-{}", self.random.below(self.around.load.workflows.max(1)))
    }

    fn make_parcel(&mut self, to: Partition) -> Result<Parcel, Error> {
        let count = (*self.random.pick(&[1, 1, 2, 3])).min(self.to_make);
        let records: Vec<NewRecord> = (0..count).map(|_| self.make_record(&to)).collect();
        let sequenced = self.identity.map(|(producer_id, producer_epoch)| {
            let next = self.sequences.entry((to.topic.clone(), to.partition)).or_default();
            let base_sequence = *next;
            *next += count as i32;
            Sequenced { producer_id, producer_epoch, base_sequence }
        });
        let timestamp_ms = self.around.history.now_us() / 1_000;
        let bytes = records::batch(&records, sequenced, self.compression, timestamp_ms)?;
        Ok(Parcel::new(to, bytes, records))
    }

    fn make_record(&mut self, to: &Partition) -> NewRecord {
        self.to_make -= 1;
        self.made += 1;
        // No other process makes ids of this range.
        let id = u64::from(self.process) << 24 | self.made;
        let padding_bytes = self.random.below(*self.random.pick(&[1, 50, 500, 3_000])) as usize;
        let value = records::value(id, &self.name, padding_bytes);
        NewRecord { key: self.choose_key(to), id, value }
    }

    /// A key whose records go to this partition, which was chosen by one of them.
    fn choose_key(&self, to: &Partition) -> Option<String> {
        if to.topic != ROUTED_TOPIC {
            return self.random.percent(50).then(|| format!("key-{}", self.random.below(5)));
        }
        let layout = self.layout.clone().unwrap_or_default();
        let keys = (0..self.around.load.workflows.max(1)).map(|it| format!("wf-{it}"));
        let fits = |key: &String| layout.partition_for(ROUTED_TOPIC, key) == to.partition;
        let keys: Vec<String> = keys.filter(fits).collect();
        keys.get(self.random.below(keys.len() as u64) as usize).cloned()
    }
}
