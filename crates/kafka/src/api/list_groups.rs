//! ListGroups 0-5.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, ListedGroup},
};

/// The API.
pub(crate) struct ListGroups;

/// The groups, or why there are none.
pub(crate) type Response = Result<Vec<ListedGroup>, ErrorCode>;

impl Api for ListGroups {
    type Request = ask::ListGroups;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::ListGroups> {
        let states = if version >= 4 { reader.array(1, Reader::string)? } else { Vec::new() };
        let types = if version >= 5 { reader.array(1, Reader::string)? } else { Vec::new() };
        reader.tags()?;
        Ok(ask::ListGroups { states, types })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::ListGroups,
    ) -> Result<Response, NoAnswer> {
        match backend.topics(Ask::ListGroups(request)).await {
            Ok(reply) => Ok(Ok(expect_reply!(reply, Reply::ListGroups)?)),
            Err(error) => Ok(Err(refusal(error, ErrorCode::CoordinatorNotAvailable)?)),
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        let (error, groups) = match response {
            Ok(groups) => (ErrorCode::None, groups.as_slice()),
            Err(error) => (*error, &[][..]),
        };
        writer.i16(error.code());
        writer.array(groups, |writer, group| {
            writer.string(&group.group);
            writer.string(&group.protocol_type);
            if version >= 4 {
                writer.string(group.state);
            }
            if version >= 5 {
                writer.string("classic");
            }
            writer.tags();
        });
        writer.tags();
    }
}
