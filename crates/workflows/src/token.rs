//! Task tokens: durable facts only, so that a worker that was busy during our restart completes
//! as if nothing had happened. A checksum keeps foreign or damaged tokens out.

use crate::ask::{Refusal, TaskToken};
use crate::machine::Workflows;
use crate::op::Id;
use base::{RunId, hash};
use bytes::Bytes;
use prost::Message;

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// A started workflow task: scheduled event id and attempt.
    Workflow(RunId, i64, i32),
    /// A started activity task: scheduled event id and attempt.
    Activity(RunId, i64, i32),
    /// A query in flight. Not durable: the caller waits on a connection.
    Query(uuid::Uuid),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(message, required, tag = "1")]
    id: Id,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(int64, tag = "3")]
    scheduled_event_id: i64,
    #[prost(int32, tag = "4")]
    attempt: i32,
    #[prost(uint32, tag = "5")]
    generation: u32,
    #[prost(message, required, tag = "6")]
    namespace: Id,
    #[prost(fixed32, tag = "7")]
    checksum: u32,
}

/// Turns a task into a token.
pub(crate) fn encode(task: Task, namespace: uuid::Uuid, generation: u32) -> TaskToken {
    let (id, kind, scheduled_event_id, attempt) = match task {
        Task::Workflow(run, scheduled, attempt) => (run.0, 1, scheduled, attempt),
        Task::Activity(run, scheduled, attempt) => (run.0, 2, scheduled, attempt),
        Task::Query(id) => (id, 3, 0, 0),
    };
    let mut wire = Wire {
        id: id.into(),
        kind,
        scheduled_event_id,
        attempt,
        generation,
        namespace: namespace.into(),
        checksum: 0,
    };
    wire.checksum = hash::crc32c(&wire.encode_to_vec());
    TaskToken(Bytes::from(wire.encode_to_vec()))
}

/// A token of the first generation that says the same, with a checksum that is right.
#[cfg(feature = "fuzzing")]
pub(crate) fn seal(token: &[u8]) -> Option<Vec<u8>> {
    let wire = Wire::decode(token).ok()?;
    let mut wire = Wire { generation: 0, checksum: 0, ..wire };
    wire.checksum = hash::crc32c(&wire.encode_to_vec());
    Some(wire.encode_to_vec())
}

impl Workflows {
    /// The task of a worker's answer. If the answer says its namespace, it must be the task's own.
    pub(crate) fn task_of(&self, token: &[u8], namespace: &str) -> Result<Task, Refusal> {
        let Some((task, home)) = decode_at_home(token, self.generation) else {
            return Err(Refusal::InvalidArgument("Invalid TaskToken.".into()));
        };
        if !namespace.is_empty() && self.namespaces.by_name(namespace)?.id != home {
            let text = "Operation requested with a token from a different namespace.";
            return Err(Refusal::InvalidArgument(text.into()));
        }
        Ok(task)
    }
}

/// The task a token names; `None` if it is not one of ours, or of another history generation.
pub(crate) fn decode(token: &[u8], generation: u32) -> Option<Task> {
    decode_at_home(token, generation).map(|(task, _)| task)
}

/// The same with the namespace it belongs to.
fn decode_at_home(token: &[u8], generation: u32) -> Option<(Task, uuid::Uuid)> {
    let mut wire = Wire::decode(token).ok()?;
    let checksum = std::mem::take(&mut wire.checksum);
    if hash::crc32c(&wire.encode_to_vec()) != checksum || wire.generation != generation {
        return None;
    }
    let task = match wire.kind {
        1 => Task::Workflow(wire.id.run(), wire.scheduled_event_id, wire.attempt),
        2 => Task::Activity(wire.id.run(), wire.scheduled_event_id, wire.attempt),
        3 => Task::Query(wire.id.uuid()),
        _ => return None,
    };
    Some((task, wire.namespace.uuid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_damage_is_seen() {
        let run = RunId(uuid::Uuid::from_u128(7));
        for task in [Task::Workflow(run, 2, 1), Task::Activity(run, 5, 3), Task::Query(run.0)] {
            let token = encode(task, uuid::Uuid::from_u128(9), 0).0;
            assert_eq!(decode(&token, 0), Some(task));
            assert_eq!(decode(&token, 1), None, "another generation");
            for position in 0..token.len() {
                let mut bad = token.to_vec();
                bad[position] ^= 0x41;
                assert_ne!(decode(&bad, 0), Some(task), "byte {position} flipped");
            }
        }
    }
}
