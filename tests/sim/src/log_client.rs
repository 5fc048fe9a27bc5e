//! What readers ask of the node, each question and its answer written down in the history.

use crate::history::History;
use crate::kafka_client::{Error, KafkaClient, group_id, name_of, text, topic_name};
use crate::records;
use checker::{Answer, Call, OpId, Partition, Place, Record};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    FetchRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
};

/// One of a partition's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The first offset that can be read.
    Start,
    /// The high watermark.
    End,
}

/// What a member of a group shows with its commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
}

/// What was read of one partition, or the code that it was refused with.
pub(crate) type Fetched = (Place, Result<Vec<Record>, i16>);

/// A connection whose questions are written down.
pub(crate) struct LogClient {
    pub(crate) client: KafkaClient,
    history: History,
    process: u32,
}

impl LogClient {
    pub(crate) fn new(client: KafkaClient, history: &History, process: u32) -> LogClient {
        LogClient { client, history: history.clone(), process }
    }

    /// Reads from these places on, as a consumer does.
    pub(crate) async fn poll(
        &mut self,
        consumer: &str,
        group: Option<&str>,
        from: &[Place],
        max_wait_ms: i32,
    ) -> Result<Vec<Fetched>, Error> {
        let call = Call::Poll {
            consumer: consumer.to_owned(),
            group: group.map(str::to_owned),
            from: from.to_vec(),
        };
        let op = self.history.invoke(self.process, call);
        let fetched = self.fetch(from, max_wait_ms).await;
        let records = |fetched: &Vec<Fetched>| {
            let records = fetched.iter().filter_map(|it| it.1.as_ref().ok());
            Answer::Records(records.flatten().cloned().collect())
        };
        self.settle(&[op], fetched, |fetched| vec![Ok(records(fetched))])
    }

    /// Reads from these places on; nothing is written down.
    pub(crate) async fn fetch(
        &mut self,
        from: &[Place],
        max_wait_ms: i32,
    ) -> Result<Vec<Fetched>, Error> {
        let request = FetchRequest::default()
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(64 << 10)
            .with_session_epoch(-1)
            .with_topics(from.iter().map(fetch_topic).collect());
        let response = self.client.ask(&request).await?;
        let mut fetched = Vec::with_capacity(from.len());
        for topic in response.responses {
            for data in topic.partitions {
                let asked = |it: &&Place| {
                    it.topic == *topic.topic.0 && it.partition == data.partition_index
                };
                let place = from.iter().find(asked).ok_or_else(|| {
                    let topic = topic.topic.as_str();
                    Error::Malformed(format!("{topic}/{} was not asked", data.partition_index))
                })?;
                fetched.push((place.clone(), records_of(place, data)?));
            }
        }
        Ok(fetched)
    }

    /// Asks for ends of partitions, in their order.
    pub(crate) async fn bounds(
        &mut self,
        bound: Bound,
        of: &[Partition],
    ) -> Result<Vec<Result<i64, i16>>, Error> {
        let call = match bound {
            Bound::Start => Call::StartOffset,
            Bound::End => Call::EndOffset,
        };
        let ops = self.invoke(of.iter().cloned().map(call));
        let told = self.ask_bounds(bound, of).await;
        self.settle(&ops, told, |told| told.iter().map(|it| it.map(Answer::Offset)).collect())
    }

    pub(crate) async fn ask_bounds(
        &mut self,
        bound: Bound,
        of: &[Partition],
    ) -> Result<Vec<Result<i64, i16>>, Error> {
        let timestamp = match bound {
            Bound::Start => -2,
            Bound::End => -1,
        };
        let topic = |it: &Partition| {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(it.partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            let name = topic_name(&it.topic);
            ListOffsetsTopic::default().with_name(name).with_partitions(vec![partition])
        };
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(of.iter().map(topic).collect());
        let response = self.client.ask(&request).await?;
        let partitions = response.topics.into_iter().flat_map(|it| it.partitions);
        let told: Vec<_> = partitions.map(|it| coded(it.error_code, it.offset)).collect();
        complete(told, of.len())
    }

    /// Asks for the committed offsets of a group, in the partitions' order.
    pub(crate) async fn committed(
        &mut self,
        group: &str,
        of: &[Partition],
    ) -> Result<Vec<Result<Option<i64>, i16>>, Error> {
        let call = |partition| Call::FetchCommitted { group: group.to_owned(), partition };
        let ops = self.invoke(of.iter().cloned().map(call));
        let told = self.ask_committed(group, of).await;
        self.settle(&ops, told, |told| told.iter().map(|it| it.map(Answer::Committed)).collect())
    }

    pub(crate) async fn ask_committed(
        &mut self,
        group: &str,
        of: &[Partition],
    ) -> Result<Vec<Result<Option<i64>, i16>>, Error> {
        let topic = |it: &Partition| {
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(&it.topic))
                .with_partition_indexes(vec![it.partition])
        };
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_member_epoch(-1)
            .with_topics(Some(of.iter().map(topic).collect()));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let response = self.client.ask(&request).await?;
        let mut told = Vec::with_capacity(of.len());
        for group in response.groups {
            crate::kafka_client::check(group.error_code)?;
            let partitions = group.topics.into_iter().flat_map(|it| it.partitions);
            told.extend(partitions.map(|it| {
                let offset = Some(it.committed_offset).filter(|offset| *offset >= 0);
                coded(it.error_code, offset)
            }));
        }
        complete(told, of.len())
    }

    /// Commits, as a member or from outside; one code for each place.
    pub(crate) async fn commit(
        &mut self,
        group: &str,
        by: Option<&Credentials>,
        places: &[Place],
    ) -> Result<Vec<Result<(), i16>>, Error> {
        let call = |place| Call::Commit { group: group.to_owned(), place };
        let ops = self.invoke(places.iter().cloned().map(call));
        let told = self.ask_commit(group, by, places).await;
        self.settle(&ops, told, |told| told.iter().map(|it| it.map(|()| Answer::Done)).collect())
    }

    async fn ask_commit(
        &mut self,
        group: &str,
        by: Option<&Credentials>,
        places: &[Place],
    ) -> Result<Vec<Result<(), i16>>, Error> {
        let topic = |place: &Place| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(place.partition)
                .with_committed_offset(place.offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(None);
            let name = topic_name(&place.topic);
            OffsetCommitRequestTopic::default().with_name(name).with_partitions(vec![partition])
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(by.map_or(-1, |it| it.generation))
            .with_member_id(text(by.map_or("", |it| &it.member)))
            .with_group_instance_id(by.and_then(|it| it.instance.as_deref()).map(text))
            .with_topics(places.iter().map(topic).collect());
        let response = self.client.ask(&request).await?;
        let partitions = response.topics.into_iter().flat_map(|it| it.partitions);
        complete(partitions.map(|it| coded(it.error_code, ())).collect(), places.len())
    }

    fn invoke(&self, calls: impl Iterator<Item = Call>) -> Vec<OpId> {
        calls.map(|call| self.history.invoke(self.process, call)).collect()
    }

    /// Writes down what came back: one answer for each request, or nobody knows.
    fn settle<T>(
        &self,
        ops: &[OpId],
        told: Result<T, Error>,
        answers: impl Fn(&T) -> Vec<Result<Answer, i16>>,
    ) -> Result<T, Error> {
        match &told {
            Ok(told) => {
                for (op, answer) in ops.iter().zip(answers(told)) {
                    match answer {
                        Ok(answer) => self.history.ok(*op, answer),
                        Err(code) => self.history.refused(*op, name_of(code)),
                    }
                }
            }
            Err(error) => ops.iter().for_each(|op| self.history.unknown(*op, error)),
        }
        told
    }
}

fn fetch_topic(place: &Place) -> FetchTopic {
    let partition = FetchPartition::default()
        .with_partition(place.partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(place.offset)
        .with_partition_max_bytes(32 << 10);
    FetchTopic::default().with_topic(topic_name(&place.topic)).with_partitions(vec![partition])
}

fn records_of(place: &Place, data: PartitionData) -> Result<Result<Vec<Record>, i16>, Error> {
    if data.error_code != 0 {
        return Ok(Err(data.error_code));
    }
    let bytes = data.records.unwrap_or_default();
    records::read(&place.topic, place.partition, place.offset, bytes).map(Ok)
}

fn coded<T>(code: i16, value: T) -> Result<T, i16> {
    if code == 0 { Ok(value) } else { Err(code) }
}

/// One answer for each question, or none at all.
fn complete<T>(told: Vec<T>, asked: usize) -> Result<Vec<T>, Error> {
    match told.len() {
        count if count == asked => Ok(told),
        count => Err(Error::Malformed(format!("{count} answers to {asked} questions"))),
    }
}
