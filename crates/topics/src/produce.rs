//! Produce: batches get their places, all in one entry.
//!
//! Invariants: a refused partition does not keep the others from being appended; a partition that
//! stands twice in one request sees its own earlier batch; a duplicate is answered with the place
//! of the original. Refused: unknown partitions, clients' batches over `batch_bytes_max`, and
//! sequences that the producer's window does not allow. Only the node itself creates topics here.

use crate::ask::{Appended, Origin, PartitionAppend, Produce, ProduceError};
use crate::create_topics::topic_to_create;
use crate::facts::Facts;
use crate::limits::Config;
use crate::op::{self, Op, ProducerBatch};
use crate::planned::{Planned, PlannedTopic};
use crate::producer::Judgement;
use crate::turned_away::TurnedAway;
use crate::{BatchHeader, ErrorCode};
use base::{Cx, PartitionId, Timestamp};

pub(crate) fn decide(
    facts: &Facts,
    config: &Config,
    turned_away: &TurnedAway,
    ask: &Produce,
    cx: &Cx<'_>,
    plan: &mut Vec<Op>,
) -> Vec<Result<Appended, ProduceError>> {
    let mut producing = Producing {
        facts,
        config,
        turned_away,
        origin: ask.origin,
        cx,
        planned: Planned::new(facts, plan),
        plan,
    };
    ask.partitions.iter().map(|item| producing.append(item)).collect()
}

struct Producing<'a, 'b> {
    facts: &'a Facts,
    config: &'a Config,
    turned_away: &'a TurnedAway,
    origin: Origin,
    cx: &'a Cx<'b>,
    planned: Planned<'a>,
    plan: &'a mut Vec<Op>,
}

impl Producing<'_, '_> {
    fn append(&mut self, item: &PartitionAppend) -> Result<Appended, ProduceError> {
        self.check_size(item)?;
        let partition = self.find_partition(item)?;
        let producer = producer_batch(&item.header);
        match producer.map_or(Judgement::Append, |it| self.planned.judge(partition, &it)) {
            Judgement::Append if self.misses_first(item) => Err(refused(
                ErrorCode::OutOfOrderSequenceNumber,
                "the producer's first batch is missing",
            )),
            Judgement::Append => Ok(self.plan_append(partition, item, producer)),
            Judgement::Duplicate(base_offset) => Ok(self.placed(partition, base_offset)),
            Judgement::OutOfOrder => {
                Err(refused(ErrorCode::OutOfOrderSequenceNumber, "a batch before it is missing"))
            }
            Judgement::Fenced => {
                Err(refused(ErrorCode::InvalidProducerEpoch, "the producer has a newer epoch"))
            }
        }
    }

    fn misses_first(&self, item: &PartitionAppend) -> bool {
        self.turned_away.misses_first(&item.topic, item.partition, &item.header)
    }

    fn check_size(&self, item: &PartitionAppend) -> Result<(), ProduceError> {
        let (bytes, most) = (item.batch.bytes().len(), self.config.limits.batch_bytes_max);
        if self.origin == Origin::Client && bytes > most {
            let message = format!("the batch has {bytes} bytes, the limit is {most}");
            return Err(refused(ErrorCode::MessageTooLarge, message));
        }
        Ok(())
    }

    fn find_partition(&mut self, item: &PartitionAppend) -> Result<PartitionId, ProduceError> {
        let topic = match (self.planned.topic_named(&item.topic), self.origin) {
            (Some(topic), _) => topic,
            (None, Origin::Node) => self.create_topic(&item.topic)?,
            (None, Origin::Client) => return Err(unknown(item)),
        };
        if !(0..topic.partition_count).contains(&item.partition) {
            return Err(unknown(item));
        }
        Ok(PartitionId { topic: topic.id, index: item.partition })
    }

    fn create_topic(&mut self, name: &str) -> Result<PlannedTopic, ProduceError> {
        let op = topic_to_create(&self.planned, self.config, name, self.cx)
            .map_err(|(code, message)| refused(code, message))?;
        let topic = PlannedTopic { id: op.topic(), partition_count: op.partition_count };
        self.push(Op::TopicCreated(op));
        Ok(topic)
    }

    fn plan_append(
        &mut self,
        partition: PartitionId,
        item: &PartitionAppend,
        producer: Option<ProducerBatch>,
    ) -> Appended {
        let limits = &self.config.limits;
        let silent_since = Timestamp(
            self.cx.now.0.saturating_sub(limits.producer_id_expiration_ms.saturating_mul(1_000)),
        );
        let forgotten_producer_ids = producer.map_or_else(Vec::new, |it| {
            let most = limits.producers_per_partition_max;
            self.planned.producers_to_forget(partition, &it, most, silent_since)
        });
        let base_offset = self.planned.next_offset(partition);
        let op = op::Appended {
            topic: Some(partition.topic.into()),
            partition: partition.index,
            base_offset,
            last_offset: base_offset + i64::from(item.header.last_offset_delta),
            max_timestamp_ms: item.header.max_timestamp_ms,
            producer,
            forgotten_producer_ids,
        };
        self.push(Op::Appended(op, item.batch.clone()));
        self.placed(partition, base_offset)
    }

    fn push(&mut self, op: Op) {
        self.planned.note(&op);
        self.plan.push(op);
    }

    fn placed(&self, partition: PartitionId, base_offset: i64) -> Appended {
        let log_start_offset =
            self.facts.partition(partition).map_or(0, |it| it.log_start_offset());
        Appended { partition, base_offset, log_append_time_ms: -1, log_start_offset }
    }
}

fn producer_batch(header: &BatchHeader) -> Option<ProducerBatch> {
    header.is_idempotent().then(|| ProducerBatch {
        id: header.producer_id,
        epoch: i32::from(header.producer_epoch),
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
    })
}

fn unknown(item: &PartitionAppend) -> ProduceError {
    let message = format!("there is no partition {} of topic {:?}", item.partition, item.topic);
    refused(ErrorCode::UnknownTopicOrPartition, message)
}

fn refused(code: ErrorCode, message: impl Into<String>) -> ProduceError {
    ProduceError { code, message: Some(message.into()), record_errors: Vec::new() }
}
