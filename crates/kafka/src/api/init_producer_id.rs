//! InitProducerId 0-4. Transactions do not exist yet: a transactional id is refused.

use crate::{
    api::{Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal},
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, ProducerIdAndEpoch},
};

/// The API.
pub(crate) struct InitProducerId;

/// No producer.
const NO_PRODUCER: ProducerIdAndEpoch = ProducerIdAndEpoch { id: -1, epoch: -1 };

impl Api for InitProducerId {
    type Request = ask::InitProducerId;
    type Response = Result<ProducerIdAndEpoch, ErrorCode>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::InitProducerId> {
        let transactional_id = reader.nullable_string()?;
        reader.i32()?;
        let current = if version >= 3 {
            ProducerIdAndEpoch { id: reader.i64()?, epoch: reader.i16()? }
        } else {
            NO_PRODUCER
        };
        reader.tags()?;
        Ok(ask::InitProducerId { transactional_id, current })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        version: i16,
        request: ask::InitProducerId,
    ) -> Result<Self::Response, NoAnswer> {
        if request.transactional_id.is_some() {
            return Ok(Err(ErrorCode::TransactionalIdAuthorizationFailed));
        }
        match backend.topics(Ask::InitProducerId(request)).await {
            Ok(reply) => Ok(Ok(expect_reply!(reply, Reply::InitProducerId)?)),
            // Before version 4 clients know a fenced producer by the older name.
            Err(error) => Ok(Err(match refusal(error, ErrorCode::CoordinatorNotAvailable)? {
                ErrorCode::ProducerFenced if version < 4 => ErrorCode::InvalidProducerEpoch,
                ErrorCode::InvalidProducerEpoch if version >= 4 => ErrorCode::ProducerFenced,
                code => code,
            })),
        }
    }

    fn encode(writer: &mut Writer, _: i16, response: &Self::Response) {
        let (error, producer) = match response {
            Ok(producer) => (ErrorCode::None, *producer),
            Err(error) => (*error, NO_PRODUCER),
        };
        writer.i32(THROTTLE_MS);
        writer.i16(error.code());
        writer.i64(producer.id);
        writer.i16(producer.epoch);
        writer.tags();
    }
}
