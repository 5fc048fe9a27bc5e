//! OffsetCommit 2-9.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, OffsetCommitPartition, OffsetCommitTopic, OffsetCommitTopicResult},
};

/// The API.
pub(crate) struct OffsetCommit;

impl Api for OffsetCommit {
    type Request = ask::OffsetCommit;
    type Response = Vec<OffsetCommitTopicResult>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::OffsetCommit> {
        let (group, generation, member) = (reader.string()?, reader.i32()?, reader.string()?);
        let instance = if version >= 7 { reader.nullable_string()? } else { None };
        if version <= 4 {
            // The retention time: Kafka ignores it too since KIP-211.
            reader.i64()?;
        }
        let topics = reader.array(2, |reader| {
            let name = reader.string()?;
            let partitions = reader.array(13, |reader| {
                let (partition, offset) = (reader.i32()?, reader.i64()?);
                let leader_epoch = if version >= 6 { reader.i32()? } else { -1 };
                let metadata = reader.nullable_string()?.unwrap_or_default();
                reader.tags()?;
                Ok(OffsetCommitPartition { partition, offset, leader_epoch, metadata })
            })?;
            reader.tags()?;
            Ok(OffsetCommitTopic { name, partitions })
        })?;
        reader.tags()?;
        Ok(ask::OffsetCommit { group, generation, member, instance, topics })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::OffsetCommit,
    ) -> Result<Self::Response, NoAnswer> {
        let asked: Vec<(String, Vec<i32>)> = request.topics.iter().map(partitions_of).collect();
        match backend.topics(Ask::OffsetCommit(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::OffsetCommit),
            Err(error) => {
                let error = refusal(error, ErrorCode::CoordinatorNotAvailable)?;
                Ok(asked.into_iter().map(|topic| refused(topic, error)).collect())
            }
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Self::Response) {
        if version >= 3 {
            writer.i32(THROTTLE_MS);
        }
        writer.array(response, |writer, topic| {
            writer.string(&topic.name);
            writer.array(&topic.partitions, |writer, (index, error)| {
                writer.i32(*index);
                writer.i16(error.code());
                writer.tags();
            });
            writer.tags();
        });
        writer.tags();
    }
}

fn partitions_of(topic: &OffsetCommitTopic) -> (String, Vec<i32>) {
    (topic.name.clone(), topic.partitions.iter().map(|partition| partition.partition).collect())
}

fn refused((name, partitions): (String, Vec<i32>), error: ErrorCode) -> OffsetCommitTopicResult {
    let partitions = partitions.into_iter().map(|index| (index, error)).collect();
    OffsetCommitTopicResult { name, partitions }
}
