//! OffsetForLeaderEpoch 2-4: where an epoch ends. There is one epoch, so it ends at the high
//! watermark.

use crate::{
    api::{Api, Client, LEADER_EPOCH, NoAnswer, PerPartition, THROTTLE_MS, check_leader_epoch},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use base::PartitionId;
use topics::ErrorCode;

/// The API.
pub(crate) struct OffsetForLeaderEpoch;

/// An epoch of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) leader_epoch: i32,
}

/// The epoch's end; -1 if the epoch is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) leader_epoch: i32,
    pub(crate) end_offset: i64,
}

const NOTHING: Found = Found { leader_epoch: -1, end_offset: -1 };

impl Api for OffsetForLeaderEpoch {
    type Request = Vec<(String, Vec<Wanted>)>;
    type Response = PerPartition<Result<Found, ErrorCode>>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Self::Request> {
        if version >= 3 {
            reader.i32()?;
        }
        let topics = reader.array(2, |reader| {
            let name = reader.string()?;
            let partitions = reader.array(12, |reader| {
                let index = reader.i32()?;
                let (current_leader_epoch, leader_epoch) = (reader.i32()?, reader.i32()?);
                reader.tags()?;
                Ok(Wanted { index, current_leader_epoch, leader_epoch })
            })?;
            reader.tags()?;
            Ok((name, partitions))
        })?;
        reader.tags()?;
        Ok(topics)
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: Self::Request,
    ) -> Result<Self::Response, NoAnswer> {
        let mut response = Vec::with_capacity(request.len());
        for (name, partitions) in request {
            let topic = backend.topic(&name);
            let find = |wanted: Wanted| {
                let topic = topic.as_ref().ok_or(ErrorCode::UnknownTopicOrPartition)?;
                let id = PartitionId { topic: topic.id, index: wanted.index };
                let range = backend.range(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
                check_leader_epoch(wanted.current_leader_epoch)?;
                let end_offset = range.high_watermark;
                let found = Found { leader_epoch: LEADER_EPOCH, end_offset };
                Ok(if wanted.leader_epoch == LEADER_EPOCH { found } else { NOTHING })
            };
            let found = partitions.into_iter().map(|wanted| (wanted.index, find(wanted))).collect();
            response.push((name, found));
        }
        Ok(response)
    }

    fn encode(writer: &mut Writer, _: i16, response: &Self::Response) {
        writer.i32(THROTTLE_MS);
        writer.array(response, |writer, (name, partitions)| {
            writer.string(name);
            writer.array(partitions, |writer, (index, outcome)| {
                let found = outcome.unwrap_or(NOTHING);
                writer.i16(outcome.err().unwrap_or(ErrorCode::None).code());
                writer.i32(*index);
                writer.i32(found.leader_epoch);
                writer.i64(found.end_offset);
                writer.tags();
            });
            writer.tags();
        });
        writer.tags();
    }
}
