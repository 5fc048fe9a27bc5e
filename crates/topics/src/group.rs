//! Consumer groups, classic protocol.
//!
//! A group is two things. What is journaled is a [`RecordedGroup`]: committed offsets and the last
//! complete generation. What is not is a [`live::Live`]: phase, sessions, who waits where. The
//! first changes in `apply` only, the second in `attend` only; `decide` reads both. After a
//! restart the second is made anew from the first, so members go on without a rebalance.
//!
//! The phases, with Kafka's names:
//!
//! ```text
//! Empty --join--> PreparingRebalance --all joined, or timeout--> CompletingRebalance
//!   ^                 ^        |                                      |
//!   |                 |        `--nobody left--> Empty                | leader's SyncGroup
//!   |                 `--------join, leave, expiry----- Stable <------'
//! ```

pub(crate) mod commit;
pub(crate) mod coordinator;
mod departure;
pub(crate) mod heartbeat;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod listing;
mod live;
mod member;
pub(crate) mod offset_fetch;
mod rebalance;
mod recorded;
mod subscription;
pub(crate) mod sync;

pub(crate) use recorded::RecordedGroup;

use crate::ErrorCode;
use crate::limits::Config;

/// Groups of this prefix show the positions of routes. Only the node moves those.
pub const RESERVED_PREFIX: &str = "mainstay-route-";

/// What every request that changes a group must pass first.
pub(crate) fn check_group_id(config: &Config, group: &str) -> Result<(), ErrorCode> {
    if group.is_empty() || group.len() > config.limits.group_id_bytes_max {
        return Err(ErrorCode::InvalidGroupId);
    }
    if group.starts_with(RESERVED_PREFIX) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    Ok(())
}
