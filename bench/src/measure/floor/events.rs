//! The history of one run, as the bytes of a `History`: events one behind the other.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use std::sync::OnceLock;
use std::time::Instant;
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

/// Field 1 of a `History`, with a length.
const EVENTS_KEY: u8 = 1 << 3 | 2;
/// Some day of 2027. No clock on the wall is needed for it to go on.
const EPOCH_SECONDS: i64 = 1_800_000_000;

/// The events of a run.
#[derive(Default)]
pub(crate) struct Events {
    bytes: BytesMut,
    last_id: i64,
    /// Where the events begin that no started task has shown yet.
    unseen: usize,
}

impl Events {
    /// Adds an event; says its id.
    pub(crate) fn push(&mut self, kind: EventType, attributes: Attributes) -> i64 {
        self.last_id += 1;
        let event = HistoryEvent {
            event_id: self.last_id,
            event_time: Some(now()),
            event_type: kind as i32,
            attributes: Some(attributes),
            ..HistoryEvent::default()
        };
        put(&mut self.bytes, EVENTS_KEY, &event);
        self.last_id
    }

    /// The id the next event will have.
    pub(crate) fn next_id(&self) -> i64 {
        self.last_id + 1
    }

    /// A task was started, whose event is the last one: what the worker has not seen, or all.
    pub(crate) fn show(&mut self, all: bool) -> Bytes {
        let from = if all { 0 } else { self.unseen };
        let shown = self.since(from);
        self.unseen = self.bytes.len();
        shown
    }

    /// The events behind a place in the bytes.
    pub(crate) fn since(&self, place: usize) -> Bytes {
        Bytes::copy_from_slice(self.bytes.get(place..).unwrap_or_default())
    }

    /// Bytes until now.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Adds a field that is a message.
pub(crate) fn put(into: &mut BytesMut, key: u8, message: &impl Message) {
    let length = message.encoded_len();
    into.reserve(length + 11);
    into.put_u8(key);
    put_length(into, length);
    // There is room: it was reserved.
    let _ = message.encode(into);
}

/// Adds a field that is a message, encoded already.
pub(crate) fn put_bytes(into: &mut BytesMut, key: u8, message: &[u8]) {
    into.put_u8(key);
    put_length(into, message.len());
    into.put_slice(message);
}

fn put_length(into: &mut BytesMut, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        into.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.put_u8(rest as u8);
}

/// A time that goes on.
pub(crate) fn now() -> prost_types::Timestamp {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let since = BEGIN.get_or_init(Instant::now).elapsed();
    prost_types::Timestamp {
        seconds: EPOCH_SECONDS + since.as_secs() as i64,
        nanos: since.subsec_nanos() as i32,
    }
}
