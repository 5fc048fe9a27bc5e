//! SyncGroup 0-5. The answer waits for the leader's assignment.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use bytes::Bytes;
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, SyncGroupReply},
};

/// The API.
pub(crate) struct SyncGroup;

impl Api for SyncGroup {
    type Request = ask::SyncGroup;
    type Response = SyncGroupReply;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::SyncGroup> {
        let (group, generation, member) = (reader.string()?, reader.i32()?, reader.string()?);
        let instance = if version >= 3 { reader.nullable_string()? } else { None };
        let (protocol_type, protocol_name) = if version >= 5 {
            (reader.nullable_string()?, reader.nullable_string()?)
        } else {
            (None, None)
        };
        let assignments = reader.array(2, |reader| {
            let assignment = (reader.string()?, reader.bytes()?);
            reader.tags()?;
            Ok(assignment)
        })?;
        reader.tags()?;
        Ok(ask::SyncGroup {
            group,
            generation,
            member,
            instance,
            protocol_type,
            protocol_name,
            assignments,
        })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::SyncGroup,
    ) -> Result<SyncGroupReply, NoAnswer> {
        match backend.topics(Ask::SyncGroup(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::SyncGroup),
            Err(error) => Ok(SyncGroupReply {
                error: refusal(error, ErrorCode::CoordinatorNotAvailable)?,
                protocol_type: None,
                protocol_name: None,
                assignment: Bytes::new(),
            }),
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &SyncGroupReply) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        writer.i16(response.error.code());
        if version >= 5 {
            writer.nullable_string(response.protocol_type.as_deref());
            writer.nullable_string(response.protocol_name.as_deref());
        }
        writer.bytes(&response.assignment);
        writer.tags();
    }
}
