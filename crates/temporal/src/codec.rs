//! Protobuf on gRPC, with two checks that the stock codec does not make.
//!
//! A request that is not protobuf is the client's mistake: INVALID_ARGUMENT, not INTERNAL, which
//! clients would retry. And a request whose elements would fill the memory is refused before
//! anything is decoded.

use crate::elements;
use bytes::Buf;
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

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
    U: Message + Name + Default + Send + 'static,
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

impl<T, U: Message + Name + Default> Decoder for Codec<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        elements::check(U::NAME, buf.chunk())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let invalid = |error| Status::invalid_argument(format!("invalid protobuf: {error}"));
        U::decode(buf).map(Some).map_err(invalid)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
