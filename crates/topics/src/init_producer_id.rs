//! InitProducerId: a fresh producer id, drawn at random and journaled.
//!
//! As in Kafka, a producer without a transactional id always gets a new id with epoch 0, whatever
//! id it says it has: bumping is for transactions, and those are refused until they exist.

use crate::ErrorCode;
use crate::ask::{InitProducerId, ProducerIdAndEpoch};
use crate::op::{self, Op};
use base::Cx;

pub(crate) fn decide(
    ask: &InitProducerId,
    cx: &Cx<'_>,
    plan: &mut Vec<Op>,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    if ask.transactional_id.is_some() {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    // 63 bits, never negative.
    let id = (cx.entropy.next_u64() >> 1) as i64;
    plan.push(Op::ProducerIdAllocated(op::ProducerIdAllocated { id, epoch: 0 }));
    Ok(ProducerIdAndEpoch { id, epoch: 0 })
}
