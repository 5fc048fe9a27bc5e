//! Heartbeat 0-4.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{Ask, ErrorCode, Reply, ask};

/// The API.
pub(crate) struct Heartbeat;

impl Api for Heartbeat {
    type Request = ask::Heartbeat;
    type Response = ErrorCode;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::Heartbeat> {
        let (group, generation, member) = (reader.string()?, reader.i32()?, reader.string()?);
        let instance = if version >= 3 { reader.nullable_string()? } else { None };
        reader.tags()?;
        Ok(ask::Heartbeat { group, generation, member, instance })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::Heartbeat,
    ) -> Result<ErrorCode, NoAnswer> {
        match backend.topics(Ask::Heartbeat(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::Heartbeat),
            Err(error) => refusal(error, ErrorCode::CoordinatorNotAvailable),
        }
    }

    fn encode(writer: &mut Writer, version: i16, error: &ErrorCode) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        writer.i16(error.code());
        writer.tags();
    }
}
