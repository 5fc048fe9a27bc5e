//! ApiVersions 0-4: what this front serves. An unknown version is answered in the layout of
//! version 0, with UNSUPPORTED_VERSION and the whole list, so that the client can ask again.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS},
    backend::Backend,
    table::TABLE,
    wire::{Frame, Reader, Result as WireResult, Writer},
};
use topics::ErrorCode;

/// The API.
pub(crate) struct ApiVersions;

/// Name and version of the client's library, from version 3 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) client_software: Option<(String, String)>,
}

impl Api for ApiVersions {
    type Request = Request;
    type Response = ErrorCode;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        if version < 3 {
            return Ok(Request::default());
        }
        let client_software = Some((reader.string()?, reader.string()?));
        reader.tags()?;
        Ok(Request { client_software })
    }

    async fn answer<B: Backend>(
        _: &B,
        _: &Client,
        _: i16,
        request: Request,
    ) -> Result<ErrorCode, NoAnswer> {
        let valid = request
            .client_software
            .is_none_or(|(name, version)| is_software_name(&name) && is_software_name(&version));
        Ok(if valid { ErrorCode::None } else { ErrorCode::InvalidRequest })
    }

    fn encode(writer: &mut Writer, version: i16, error: &ErrorCode) {
        writer.i16(error.code());
        writer.array(&TABLE, |writer, entry| {
            writer.i16(entry.key as i16);
            writer.i16(entry.version_min);
            writer.i16(entry.version_max);
            writer.tags();
        });
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        writer.tags();
    }
}

/// The answer to a version we do not know.
pub(crate) fn unsupported(correlation_id: i32) -> Option<Frame> {
    let mut writer = Writer::new(false);
    writer.i32(correlation_id);
    ApiVersions::encode(&mut writer, 0, &ErrorCode::UnsupportedVersion);
    writer.finish()
}

/// KIP-511: letters and digits, dots and hyphens between them.
fn is_software_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    is_outer(bytes.first()) && is_outer(bytes.last()) && bytes.iter().copied().all(is_inner)
}
