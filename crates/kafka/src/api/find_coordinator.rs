//! FindCoordinator 0-4: the coordinator of every group is this node. Coordinators of transactions
//! do not exist yet: their ids are refused.

use crate::{
    api::{Api, Client, NODE_ID, NoAnswer, THROTTLE_MS},
    backend::Backend,
    options::Advertised,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::ErrorCode;

/// The API.
pub(crate) struct FindCoordinator;

/// Keys of one type: 0 group, 1 transaction, 2 share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) key_type: i8,
    pub(crate) keys: Vec<String>,
}

/// The same for each key.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) keys: Vec<String>,
    pub(crate) coordinator: Result<Advertised, ErrorCode>,
}

impl Api for FindCoordinator {
    type Request = Request;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        let mut keys = if version < 4 { vec![reader.string()?] } else { Vec::new() };
        let key_type = if version >= 1 { reader.i8()? } else { 0 };
        if version >= 4 {
            keys = reader.array(1, Reader::string)?;
        }
        reader.tags()?;
        Ok(Request { key_type, keys })
    }

    async fn answer<B: Backend>(
        _: &B,
        client: &Client,
        _: i16,
        request: Request,
    ) -> Result<Response, NoAnswer> {
        let coordinator = match request.key_type {
            0 => Ok(client.peer.advertised.clone()),
            1 => Err(ErrorCode::TransactionalIdAuthorizationFailed),
            _ => Err(ErrorCode::InvalidRequest),
        };
        Ok(Response { keys: request.keys, coordinator })
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        let error = response.coordinator.as_ref().err().copied().unwrap_or(ErrorCode::None);
        if version >= 4 {
            writer.array(&response.keys, |writer, key| {
                writer.string(key);
                write_node(writer, &response.coordinator);
                writer.i16(error.code());
                writer.nullable_string(None);
                writer.tags();
            });
        } else {
            writer.i16(error.code());
            if version >= 1 {
                writer.nullable_string(None);
            }
            write_node(writer, &response.coordinator);
        }
        writer.tags();
    }
}

fn write_node(writer: &mut Writer, coordinator: &Result<Advertised, ErrorCode>) {
    match coordinator {
        Ok(advertised) => {
            writer.i32(NODE_ID);
            writer.string(&advertised.host);
            writer.i32(i32::from(advertised.port));
        }
        Err(_) => {
            writer.i32(-1);
            writer.string("");
            writer.i32(-1);
        }
    }
}
