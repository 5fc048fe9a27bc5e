//! Protobuf on gRPC, with two checks that the stock codec does not make.
//!
//! A request that is not protobuf is the client's mistake: INVALID_ARGUMENT, not INTERNAL, which
//! clients would retry. And a request of 4 MiB may claim two million elements of two bytes each,
//! which become two million structs of hundreds of bytes: the number of top-level fields has a
//! limit, checked before anything is decoded.

use bytes::Buf;
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Fields, and elements of repeated fields, that one request may have at its top level. A command,
/// the largest element, is 1,000 bytes in memory. A workflow task that is completed with so many
/// commands would fill two fifths of the largest history in one go.
const REQUEST_FIELDS_MAX: usize = 20_000;

/// Encodes `T`, decodes `U`.
#[derive(Debug)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Codec<T, U>;
    type Decoder = Codec<T, U>;

    fn encoder(&mut self) -> Self::Encoder {
        Codec::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Codec::default()
    }
}

impl<T: Message, U> Encoder for Codec<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl<T, U: Message + Default> Decoder for Codec<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let invalid = |what: &str| Status::invalid_argument(format!("invalid protobuf: {what}"));
        check_field_count(buf.chunk()).map_err(invalid)?;
        U::decode(buf).map(Some).map_err(|error| invalid(&error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Walks over the top-level fields, without looking into them. What is malformed is left to the
/// decoder, which says it better.
fn check_field_count(mut bytes: &[u8]) -> Result<(), &'static str> {
    let mut count = 0;
    while let Some(rest) = skip_field(bytes) {
        bytes = rest;
        count += 1;
        if count > REQUEST_FIELDS_MAX {
            return Err("more than 20000 fields");
        }
    }
    Ok(())
}

/// What comes after the first field of `bytes`; `None` at the end, or if it is malformed.
fn skip_field(bytes: &[u8]) -> Option<&[u8]> {
    let (key, rest) = crate::wire::varint(bytes)?;
    match key & 7 {
        0 => crate::wire::varint(rest).map(|(_, rest)| rest),
        1 => rest.get(8..),
        2 => {
            let (length, rest) = crate::wire::varint(rest)?;
            rest.get(usize::try_from(length).ok()?..)
        }
        5 => rest.get(4..),
        _ => None,
    }
}
