//! OffsetFetch 1-9. Up to version 7 a request is about one group; the machine is always asked
//! for several.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, FetchedOffset, OffsetFetchGroup, OffsetFetchGroupReply},
};

/// The API.
pub(crate) struct OffsetFetch;

/// First version that asks for several groups.
const GROUPS_VERSION_MIN: i16 = 8;
/// First version with an error for the whole request.
const ERROR_VERSION_MIN: i16 = 2;

/// Topic names and partitions.
type Topics = Vec<(String, Vec<i32>)>;

impl Api for OffsetFetch {
    type Request = Vec<OffsetFetchGroup>;
    type Response = Vec<OffsetFetchGroupReply>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Vec<OffsetFetchGroup>> {
        let groups = if version >= GROUPS_VERSION_MIN {
            reader.array(3, |reader| {
                let group = reader.string()?;
                if version >= 9 {
                    // Member id and epoch of KIP-848, which classic groups do not have.
                    reader.nullable_string()?;
                    reader.i32()?;
                }
                let topics = decode_topics(reader)?;
                reader.tags()?;
                Ok(OffsetFetchGroup { group, topics })
            })?
        } else {
            let group = reader.string()?;
            let topics = decode_topics(reader)?;
            vec![OffsetFetchGroup { group, topics }]
        };
        if version >= 7 {
            // Require stable: offsets are never pending while there are no transactions.
            reader.bool()?;
        }
        reader.tags()?;
        Ok(groups)
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        groups: Vec<OffsetFetchGroup>,
    ) -> Result<Self::Response, NoAnswer> {
        let asked = groups.clone();
        match backend.topics(Ask::OffsetFetch(ask::OffsetFetch { groups })).await {
            Ok(reply) => Ok(expect_reply!(reply, Reply::OffsetFetch)?.groups),
            Err(error) => {
                let error = refusal(error, ErrorCode::CoordinatorNotAvailable)?;
                Ok(asked.into_iter().map(|group| refused(group, error)).collect())
            }
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Self::Response) {
        if version >= 3 {
            writer.i32(THROTTLE_MS);
        }
        if version >= GROUPS_VERSION_MIN {
            writer.array(response, |writer, group| {
                writer.string(&group.group);
                write_topics(writer, version, group);
                writer.i16(group.error.code());
                writer.tags();
            });
        } else if let Some(group) = response.first() {
            write_topics(writer, version, group);
            if version >= ERROR_VERSION_MIN {
                writer.i16(group.error.code());
            }
        } else {
            writer.array::<()>(&[], |_, ()| ());
            if version >= ERROR_VERSION_MIN {
                writer.i16(ErrorCode::UnknownServerError.code());
            }
        }
        writer.tags();
    }
}

fn decode_topics(reader: &mut Reader) -> WireResult<Option<Topics>> {
    reader.nullable_array(2, |reader| {
        let topic = (reader.string()?, reader.array(4, Reader::i32)?);
        reader.tags()?;
        Ok(topic)
    })
}

fn write_topics(writer: &mut Writer, version: i16, group: &OffsetFetchGroupReply) {
    writer.array(&group.topics, |writer, (name, partitions)| {
        writer.string(name);
        writer.array(partitions, |writer, offset| {
            writer.i32(offset.partition);
            writer.i64(offset.offset);
            if version >= 5 {
                writer.i32(offset.leader_epoch);
            }
            writer.nullable_string(Some(&offset.metadata));
            writer.i16(offset.error.code());
            writer.tags();
        });
        writer.tags();
    });
}

/// Version 1 has an error only in the partitions, so it is told there as well.
fn refused(group: OffsetFetchGroup, error: ErrorCode) -> OffsetFetchGroupReply {
    let nothing = |partition| FetchedOffset {
        partition,
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        error,
    };
    let topics = group.topics.unwrap_or_default().into_iter();
    let topics = topics
        .map(|(name, partitions)| (name, partitions.into_iter().map(nothing).collect()))
        .collect();
    OffsetFetchGroupReply { group: group.group, error, topics }
}
