//! The token with which a client asks for the next page of a history.
//!
//! Opaque to clients, and checked: the checksum covers the namespace and the workflow id too, so
//! that a token never opens another execution's history.
//!
//! ```text
//! version 1 | kind u8 | run id 16 | next event id i64 | end event id i64 | transient.. | crc32c
//! ```

use base::{RunId, Uuid, hash};
use bytes::{Buf, BufMut, Bytes};
use tonic::Status;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 1 + 16 + 8 + 8;
const CRC_BYTES: usize = 4;

/// Where the next page starts, and what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    /// What the pages are for.
    pub(crate) kind: Kind,
    /// The run, so that a new run of the same workflow id does not change the pages.
    pub(crate) run_id: RunId,
    /// The first event of the next page.
    pub(crate) next_event_id: i64,
    /// The id after the last event of the last page. Of no meaning to a client that waits.
    pub(crate) end_event_id: i64,
    /// What comes after the last page, and is not in history: only with [`Kind::Task`].
    pub(crate) transient: Bytes,
}

/// What the pages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They go on with the history of a workflow task, which ends where the task started.
    Task,
    /// They are asked for as a history.
    History,
}

/// The execution a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    /// Namespace name.
    pub(crate) namespace: &'a str,
    /// Workflow id.
    pub(crate) workflow_id: &'a str,
}

impl PageToken {
    /// The token's bytes.
    pub(crate) fn encode(&self, owner: Owner<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.transient.len() + CRC_BYTES);
        bytes.put_u8(VERSION);
        bytes.put_u8(match self.kind {
            Kind::Task => 1,
            Kind::History => 2,
        });
        bytes.put_slice(self.run_id.0.as_bytes());
        bytes.put_i64(self.next_event_id);
        bytes.put_i64(self.end_event_id);
        bytes.put_slice(&self.transient);
        bytes.put_u32(checksum(&bytes, owner));
        bytes
    }

    /// The reverse; INVALID_ARGUMENT for whatever was not made by `encode` for this owner.
    pub(crate) fn decode(bytes: &[u8], owner: Owner<'_>) -> Result<PageToken, Status> {
        Self::parse(bytes, owner).ok_or_else(|| Status::invalid_argument("Invalid NextPageToken."))
    }

    fn parse(bytes: &[u8], owner: Owner<'_>) -> Option<PageToken> {
        let body_bytes = bytes.len().checked_sub(CRC_BYTES).filter(|len| *len >= HEAD_BYTES)?;
        let (mut body, mut crc) = bytes.split_at_checked(body_bytes)?;
        if crc.get_u32() != checksum(body, owner) || body.get_u8() != VERSION {
            return None;
        }
        let kind = match body.get_u8() {
            1 => Kind::Task,
            2 => Kind::History,
            _ => return None,
        };
        Some(PageToken {
            kind,
            run_id: RunId(Uuid::from_u128(body.get_u128())),
            next_event_id: body.get_i64(),
            end_event_id: body.get_i64(),
            transient: Bytes::copy_from_slice(body),
        })
    }
}

/// The length keeps ("a", "bc") apart from ("ab", "c").
fn checksum(body: &[u8], owner: Owner<'_>) -> u32 {
    let crc = hash::crc32c(&(owner.namespace.len() as u64).to_be_bytes());
    let crc = hash::crc32c_append(crc, owner.namespace.as_bytes());
    let crc = hash::crc32c_append(crc, owner.workflow_id.as_bytes());
    hash::crc32c_append(crc, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_own_execution_only() {
        let token = PageToken {
            kind: Kind::Task,
            run_id: RunId(Uuid::from_u128(7)),
            next_event_id: 257,
            end_event_id: 300,
            transient: Bytes::from_static(b"later"),
        };
        let owner = Owner { namespace: "a", workflow_id: "bc" };
        let bytes = token.encode(owner);
        assert_eq!(PageToken::decode(&bytes, owner).unwrap(), token);
        let other = Owner { namespace: "ab", workflow_id: "c" };
        assert!(PageToken::decode(&bytes, other).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(PageToken::decode(&damaged, owner).is_err(), "byte {at}");
            assert!(PageToken::decode(&bytes[..at], owner).is_err(), "cut at {at}");
        }
    }
}
