//! One member of a live group.
//!
//! Invariants: a member waits in JoinGroup or in SyncGroup or in neither; while it waits its
//! session does not run.

use crate::ask::JoinGroup;
use crate::group::subscription;
use crate::op::{GroupMember, GroupProtocol};
use base::{Ticket, Timestamp};
use bytes::Bytes;
use std::time::Duration;

/// A member as the coordinator sees it now.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Place in the order of joining; the lowest becomes leader.
    pub(crate) order: u64,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// When the session ends, unless the member waits.
    pub(crate) session_deadline: Timestamp,
    /// Waits in JoinGroup.
    pub(crate) joining: Option<Ticket>,
    /// Waits in SyncGroup.
    pub(crate) syncing: Option<Ticket>,
    /// Has asked for this generation's assignment.
    pub(crate) synced: bool,
    /// Has never had an answer to a join, so its client may not know its id.
    pub(crate) is_new: bool,
}

impl Member {
    pub(crate) fn new(ask: &JoinGroup, order: u64, text_bytes_max: usize) -> Member {
        let mut member = Member {
            order,
            instance: ask.instance.clone(),
            client_id: String::new(),
            client_host: String::new(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_deadline: Timestamp::NEVER,
            joining: None,
            syncing: None,
            synced: false,
            is_new: true,
        };
        member.update(ask, text_bytes_max);
        member
    }

    /// As it was when its generation was complete. Its session starts now.
    pub(crate) fn from_recorded(recorded: &GroupMember, order: u64, now: Timestamp) -> Member {
        let protocols = recorded.protocols.iter();
        let mut member = Member {
            order,
            instance: recorded.instance.clone(),
            client_id: recorded.client_id.clone(),
            client_host: recorded.client_host.clone(),
            session_timeout_ms: recorded.session_timeout_ms,
            rebalance_timeout_ms: recorded.rebalance_timeout_ms,
            protocols: protocols.map(|it| (it.name.clone(), it.metadata.clone())).collect(),
            assignment: recorded.assignment.clone(),
            session_deadline: Timestamp::NEVER,
            joining: None,
            syncing: None,
            synced: true,
            is_new: false,
        };
        member.restart_session(now);
        member
    }

    pub(crate) fn to_recorded(&self, id: &str, assignment: Bytes) -> GroupMember {
        let protocols = self.protocols.iter();
        GroupMember {
            id: id.to_owned(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            protocols: protocols
                .map(|(name, metadata)| GroupProtocol {
                    name: name.clone(),
                    metadata: metadata.clone(),
                })
                .collect(),
            assignment,
        }
    }

    /// Takes over what a new join says.
    pub(crate) fn update(&mut self, ask: &JoinGroup, text_bytes_max: usize) {
        self.client_id = clipped(&ask.client_id, text_bytes_max).to_owned();
        self.client_host = clipped(&ask.client_host, text_bytes_max).to_owned();
        self.session_timeout_ms = ask.session_timeout_ms;
        self.rebalance_timeout_ms = rebalance_timeout_ms(ask);
        self.protocols.clone_from(&ask.protocols);
    }

    pub(crate) fn restart_session(&mut self, now: Timestamp) {
        self.session_deadline = now.after(milliseconds(self.session_timeout_ms));
    }

    pub(crate) fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    pub(crate) fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether a join says the same again.
    pub(crate) fn matches(&self, protocols: &[(String, Bytes)]) -> bool {
        self.protocols == protocols
    }

    /// Whether a static member that comes back wants what its predecessor wanted.
    pub(crate) fn wants_the_same(&self, protocol: &str, ask: &JoinGroup) -> bool {
        let new = ask.protocols.iter().find(|it| it.0 == protocol).map(|it| &it.1);
        match (self.metadata(protocol), new) {
            (Some(old), Some(new)) => subscription::same(&ask.protocol_type, &old, new),
            _ => false,
        }
    }

    /// What it says about a protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Option<Bytes> {
        self.protocols.iter().find(|it| it.0 == protocol).map(|it| it.1.clone())
    }

    pub(crate) fn metadata_bytes(&self) -> usize {
        protocol_bytes(&self.protocols)
    }
}

pub(crate) fn protocol_bytes(protocols: &[(String, Bytes)]) -> usize {
    protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
}

/// -1 (before v1) stands for the session timeout; anything else negative is taken as 0.
fn rebalance_timeout_ms(ask: &JoinGroup) -> i32 {
    if ask.rebalance_timeout_ms == -1 {
        ask.session_timeout_ms
    } else {
        ask.rebalance_timeout_ms.max(0)
    }
}

pub(crate) fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}

/// At most so many bytes, cut at a character.
pub(crate) fn clipped(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
