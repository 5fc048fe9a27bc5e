//! JoinGroup 0-9, classic protocol. The answer waits for the join barrier.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, JoinGroupReply},
};

/// The API.
pub(crate) struct JoinGroup;

impl Api for JoinGroup {
    type Request = ask::JoinGroup;
    type Response = JoinGroupReply;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::JoinGroup> {
        let (group, session_timeout_ms) = (reader.string()?, reader.i32()?);
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
        let member = reader.string()?;
        let instance = if version >= 5 { reader.nullable_string()? } else { None };
        let protocol_type = reader.string()?;
        let protocols = reader.array(2, |reader| {
            let protocol = (reader.string()?, reader.bytes()?);
            reader.tags()?;
            Ok(protocol)
        })?;
        if version >= 8 {
            let reason = reader.nullable_string()?;
            tracing::debug!(group, member, reason, "a member joins");
        }
        reader.tags()?;
        Ok(ask::JoinGroup {
            group,
            member,
            instance,
            client_id: String::new(),
            client_host: String::new(),
            session_timeout_ms,
            rebalance_timeout_ms,
            protocol_type,
            protocols,
            requires_known_member: version >= 4,
            supports_skipping_assignment: version >= 9,
        })
    }

    async fn answer<B: Backend>(
        backend: &B,
        client: &Client,
        _: i16,
        mut request: ask::JoinGroup,
    ) -> Result<JoinGroupReply, NoAnswer> {
        request.client_id.clone_from(&client.id);
        request.client_host = format!("/{}", client.peer.address);
        let member = request.member.clone();
        match backend.topics(Ask::JoinGroup(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::JoinGroup),
            Err(error) => Ok(refused(member, refusal(error, ErrorCode::CoordinatorNotAvailable)?)),
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &JoinGroupReply) {
        if version >= 2 {
            writer.i32(THROTTLE_MS);
        }
        writer.i16(response.error.code());
        writer.i32(response.generation);
        if version >= 7 {
            writer.nullable_string(response.protocol_type.as_deref());
            writer.nullable_string(response.protocol_name.as_deref());
        } else {
            writer.string(response.protocol_name.as_deref().unwrap_or_default());
        }
        writer.string(&response.leader);
        if version >= 9 {
            writer.bool(response.skip_assignment);
        }
        writer.string(&response.member);
        writer.array(&response.members, |writer, (member, instance, metadata)| {
            writer.string(member);
            if version >= 5 {
                writer.nullable_string(instance.as_deref());
            }
            writer.bytes(metadata);
            writer.tags();
        });
        writer.tags();
    }
}

fn refused(member: String, error: ErrorCode) -> JoinGroupReply {
    JoinGroupReply {
        error,
        generation: -1,
        protocol_type: None,
        protocol_name: None,
        leader: String::new(),
        skip_assignment: false,
        member,
        members: Vec::new(),
    }
}
