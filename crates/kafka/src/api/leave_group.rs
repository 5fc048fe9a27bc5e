//! LeaveGroup 0-5. Before version 3 a request names one member and has one outcome.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, LeaveGroupReply},
};

/// The API.
pub(crate) struct LeaveGroup;

impl Api for LeaveGroup {
    type Request = ask::LeaveGroup;
    type Response = LeaveGroupReply;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::LeaveGroup> {
        let group = reader.string()?;
        let members = if version < 3 {
            vec![(reader.string()?, None)]
        } else {
            reader.array(3, |reader| {
                let member = (reader.string()?, reader.nullable_string()?);
                if version >= 5 {
                    let reason = reader.nullable_string()?;
                    tracing::debug!(group, member = member.0, reason, "a member leaves");
                }
                reader.tags()?;
                Ok(member)
            })?
        };
        reader.tags()?;
        Ok(ask::LeaveGroup { group, members })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::LeaveGroup,
    ) -> Result<LeaveGroupReply, NoAnswer> {
        match backend.topics(Ask::LeaveGroup(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::LeaveGroup),
            Err(error) => Ok(LeaveGroupReply {
                error: refusal(error, ErrorCode::CoordinatorNotAvailable)?,
                members: Vec::new(),
            }),
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &LeaveGroupReply) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        if version >= 3 {
            writer.i16(response.error.code());
            writer.array(&response.members, |writer, (member, instance, error)| {
                writer.string(member);
                writer.nullable_string(instance.as_deref());
                writer.i16(error.code());
                writer.tags();
            });
        } else {
            writer.i16(only_outcome(response).code());
        }
        writer.tags();
    }
}

/// The one member's outcome, if the request as a whole was fine.
fn only_outcome(response: &LeaveGroupReply) -> ErrorCode {
    let of_member = response.members.first().map_or(ErrorCode::None, |(_, _, error)| *error);
    if response.error == ErrorCode::None { of_member } else { response.error }
}
